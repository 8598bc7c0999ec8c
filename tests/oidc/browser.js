/**
 * A browser as far as signing in needs one: it follows redirects, fills in forms and keeps cookies,
 * until it is sent to another origin, i.e. to the client. It knows fields by their names, not pages.
 */

const LONGEST_JOURNEY = 20;

export class Browser {
  #cookies = new Map();

  /** `answers` are given wherever a form asks: email, password, decision, organization. */
  constructor(origin, answers = {}) {
    this.origin = origin;
    this.answers = answers;
    /** The forms that were filled in, by what they asked for, e.g. `['password', 'decision']`. */
    this.asked = [];
  }

  /**
   * Opens `address` and goes on until the client is reached: its URL, or the form that it is sent.
   * `stop` may end it before a request of ours.
   */
  async open(address, stop = () => false) {
    let request = { method: 'GET', url: new URL(address, this.origin) };
    for (let step = 0; step < LONGEST_JOURNEY; step += 1) {
      if (request.url.origin !== this.origin || stop(request)) return new Arrival(request);
      const response = await this.#send(request);
      const next = await this.#next(request, response);
      if (!next) return new Arrival(request, response);
      request = next;
    }
    throw new Error(`no end after ${LONGEST_JOURNEY} pages; the last one is ${request.url}`);
  }

  async #send({ method, url, form }) {
    const headers = { Accept: 'text/html', Cookie: [...this.#cookies].map((pair) => pair.join('=')).join('; ') };
    if (method === 'POST') Object.assign(headers, { Origin: this.origin, 'Sec-Fetch-Site': 'same-origin' });
    const response = await fetch(url, { method, headers, body: form, redirect: 'manual' });
    for (const cookie of response.headers.getSetCookie()) {
      const [, name, value] = cookie.match(/^([^=]+)=([^;]*)/);
      if (value === '' || /;\s*max-age=0/i.test(cookie)) this.#cookies.delete(name);
      else this.#cookies.set(name, value);
    }
    response.page = await response.text();
    return response;
  }

  /** Where the browser goes from an answer; nowhere from a page that asks for nothing. */
  async #next({ url }, response) {
    const location = response.headers.get('location');
    if (location !== null) return { method: 'GET', url: new URL(location, url) };
    const refresh = refreshOf(response.page);
    if (refresh !== undefined) return { method: 'GET', url: new URL(refresh, url) };
    for (const form of formsOf(response.page)) {
      const action = new URL(form.action || url, url);
      // A form for another origin is the answer itself (response_mode=form_post).
      const filled = action.origin === this.origin ? this.#fill(form) : form.fields;
      if (filled === undefined) continue;
      if (form.method === 'POST') return { method: 'POST', url: action, form: filled };
      action.search = String(filled);
      return { method: 'GET', url: action };
    }
    return undefined;
  }

  /** The fields to send, if this form asks for something that there is an answer to. */
  #fill(form) {
    const wanted = ['password', 'decision', 'organization'].find((name) => form.names.has(name));
    if (wanted === undefined || this.answers[wanted] === undefined) return undefined;
    if (this.asked.filter((each) => each === wanted).length >= 3) throw new Error(`${wanted} is asked for again and again`);
    this.asked.push(wanted);
    for (const name of form.names) {
      if (this.answers[name] !== undefined) form.fields.set(name, this.answers[name]);
    }
    return form.fields;
  }
}

/** Where a journey ended. */
class Arrival {
  constructor({ method, url, form }, response) {
    this.method = method;
    this.url = url;
    this.form = form;
    /** Only on our own pages. */
    this.status = response?.status;
    this.page = response?.page;
  }

  /** The parameters that the client gets. */
  get parameters() {
    return this.form ?? this.url.searchParams;
  }

  /** What client libraries take. */
  get callback() {
    if (this.page !== undefined) throw new Error(`no client was reached, but ${this.url} (${this.status}):\n${this.page}`);
    return this.method === 'POST' ? new Request(this.url, { method: 'POST', body: this.form }) : this.url;
  }
}

function refreshOf(page) {
  const tag = page.match(/<meta\b[^>]*http-equiv=["']?refresh\b[^>]*>/i)?.[0];
  const content = tag && attributesOf(tag).get('content');
  return content?.match(/url\s*=\s*['"]?(.*?)['"]?\s*$/i)?.[1];
}

function* formsOf(page) {
  for (const [, attributes, inside] of page.matchAll(/<form\b([^>]*)>(.*?)<\/form>/gis)) {
    const form = attributesOf(attributes);
    const fields = new URLSearchParams();
    const names = new Set();
    for (const [tag, kind] of inside.matchAll(/<(input|button|select|textarea)\b[^>]*>/gi)) {
      const field = attributesOf(tag);
      const name = field.get('name');
      if (name === undefined || field.has('disabled')) continue;
      names.add(name);
      const type = (field.get('type') ?? 'text').toLowerCase();
      const isPressed = kind.toLowerCase() === 'button' || type === 'submit';
      const isChosen = !['radio', 'checkbox'].includes(type) || field.has('checked');
      if (!isPressed && isChosen) fields.append(name, field.get('value') ?? '');
    }
    yield { action: form.get('action'), method: (form.get('method') ?? 'get').toUpperCase(), fields, names };
  }
}

function attributesOf(tag) {
  const attributes = new Map();
  for (const [, name, double, single, bare] of tag.matchAll(/([\w-]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+)))?/g)) {
    attributes.set(name.toLowerCase(), decoded(double ?? single ?? bare ?? ''));
  }
  return attributes;
}

const ENTITIES = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

function decoded(text) {
  return text.replace(/&(?:#x([0-9a-f]+)|#(\d+)|(\w+));/gi, (whole, hex, decimal, name) => {
    if (name !== undefined) return ENTITIES[name.toLowerCase()] ?? whole;
    return String.fromCodePoint(hex === undefined ? Number(decimal) : Number.parseInt(hex, 16));
  });
}
