import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createHmac, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const SERVER = fileURLToPath(new URL('../server.js', import.meta.url));
const APP_URL = 'https://support.optare.one';
const WEBHOOK_KEY = Buffer.from('the key of the tests, 32 bytes..');

/** What the app sees of Optare ID: one user, an organization with the app, and its two endpoints. */
class FakeOptareId {
  user: Record<string, unknown> = {
    sub: 'user_abc123',
    email: 'john@acme.com',
    name: 'John Doe',
    email_verified: true,
    organization_id: 'org_abc123',
    organization_name: 'Acme Corp',
    role: 'admin',
  };
  client = { id: 'app_xyz789', secret: 'secret_1' };
  expiresIn = 3600;
  refreshes = 0;
  url = '';
  #codes = new Set<string>();
  #accessToken = '';
  #refreshToken = '';
  #server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    const [status, answer] =
      request.url === '/oauth/token'
        ? this.#token(new URLSearchParams(body))
        : request.url === '/oauth/userinfo' && request.headers.authorization === `Bearer ${this.#accessToken}`
          ? [200, this.user]
          : [401, { error: 'invalid_token' }];
    response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(answer));
  });

  async start() {
    await new Promise<void>((listening) => this.#server.listen(0, '127.0.0.1', listening));
    this.url = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  stop() {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  issueCode(): string {
    const code = randomUUID();
    this.#codes.add(code);
    return code;
  }

  #token(form: URLSearchParams): [number, object] {
    if (form.get('client_id') !== this.client.id || form.get('client_secret') !== this.client.secret) {
      return [401, { error: 'invalid_client' }];
    }
    if (form.get('grant_type') === 'refresh_token') {
      if (form.get('refresh_token') !== this.#refreshToken) return [400, { error: 'invalid_grant' }];
      this.refreshes += 1;
    } else if (form.get('redirect_uri') !== `${APP_URL}/auth/callback` || !this.#codes.delete(form.get('code') ?? '')) {
      return [400, { error: 'invalid_grant' }];
    }
    this.#accessToken = randomUUID();
    this.#refreshToken = randomUUID();
    const tokens = { access_token: this.#accessToken, refresh_token: this.#refreshToken };
    return [200, { ...tokens, token_type: 'Bearer', expires_in: this.expiresIn }];
  }
}

/** The app as its own process, whose redirects to `APP_URL` lead back to it. */
class App {
  output = '';
  #process: ChildProcess;
  #url = '';

  constructor(environment: Record<string, string>) {
    this.#process = spawn(process.execPath, [SERVER], {
      // A zone away from UTC, because the tables keep times without one.
      env: { ...process.env, TZ: 'Asia/Bangkok', PORT: '0', APP_URL, OPTARE_ID_URL: optareId.url, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#process.stderr!.on('data', (data) => (this.output += data));
    running.add(this);
  }

  async ready(): Promise<this> {
    for await (const line of createInterface(this.#process.stdout!)) {
      this.output += `${line}\n`;
      const port = line.match(/^customer-service listening on \S+:(\d+)$/)?.[1];
      if (port) {
        this.#process.stdout!.on('data', (data) => (this.output += data)).resume();
        this.#url = `http://127.0.0.1:${port}`;
        return this;
      }
    }
    throw new Error(`the app did not start: ${this.output}`);
  }

  /** Waits for a line on stderr. */
  async says(text: string): Promise<void> {
    while (!this.output.includes(text)) await once(this.#process.stderr!, 'data');
  }

  fetch(path: string, init: RequestInit = {}): Promise<Response> {
    return fetch(this.#url + path, { redirect: 'manual', ...init });
  }

  get(path: string, cookie = ''): Promise<Response> {
    return this.fetch(path, { headers: { Cookie: cookie } });
  }

  async webhook(event: object): Promise<Response> {
    const body = JSON.stringify(event);
    return this.fetch('/api/webhooks/optare', { method: 'POST', body, headers: sign(body) });
  }

  callback(state = 'org_abc123', code = optareId.issueCode()): Promise<Response> {
    return this.get(`/auth/callback?${new URLSearchParams({ code, state })}`);
  }

  async signIn(): Promise<string> {
    const response = await this.callback();
    assert.equal(location(response), '/dashboard', this.output);
    return response.headers.get('Set-Cookie')!.split(';')[0]!;
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    running.delete(this);
    if (this.#process.exitCode !== null) return this.#process.exitCode;
    this.#process.kill(signal);
    return new Promise((stopped) => this.#process.once('exit', stopped));
  }
}

const optareId = new FakeOptareId();
const running = new Set<App>();
let folder: string;
let app: App;

before(async () => {
  await optareId.start();
  folder = await mkdtemp(join(tmpdir(), 'customer-service-'));
  app = await start();
});
after(async () => {
  for (const each of running) await each.stop();
  optareId.stop();
  await rm(folder, { recursive: true });
});

function start(): Promise<App> {
  const secret = `whsec_${WEBHOOK_KEY.toString('base64')}`;
  return new App({ DATA_DIR: join(folder, 'data'), OPTARE_WEBHOOK_SECRET: secret }).ready();
}

function sign(body: string): Record<string, string> {
  const id = `msg_${randomUUID()}`;
  const timestamp = Math.floor(Date.now() / 1000);
  const signature = createHmac('sha256', WEBHOOK_KEY).update(`${id}.${timestamp}.${body}`).digest('base64');
  return { 'webhook-id': id, 'webhook-timestamp': `${timestamp}`, 'webhook-signature': `v1,${signature}` };
}

function installed(organizationId = 'org_abc123') {
  return { event: 'app.installed', organizationId, clientId: optareId.client.id, clientSecret: optareId.client.secret };
}

function uninstalled(organizationId = 'org_abc123') {
  return { event: 'app.uninstalled', organizationId, clientId: optareId.client.id };
}

/** Where a response redirects to inside of the app. */
function location(response: Response): string {
  assert.equal(response.status, 302);
  const target = response.headers.get('Location')!;
  assert.ok(target.startsWith(`${APP_URL}/`), target);
  return target.slice(APP_URL.length);
}

async function assertReceived(response: Response): Promise<void> {
  assert.equal(response.status, 200);
  assert.deepEqual(await response.json(), { received: true });
}

test('an app that is installed signs users in until it is uninstalled', async (t) => {
  let session: string;

  await t.test('without installation nobody gets in', async () => {
    assert.equal(location(await app.get('/dashboard')), '/login');
    assert.equal(location(await app.callback()), '/login?error=auth_failed');
    assert.match(app.output, /No credentials found/);
  });

  await t.test('the installation is received', async () => {
    await assertReceived(await app.webhook(installed()));
    assert.match(app.output, /App installed for org: org_abc123/);
  });

  await t.test('the same installation again is not acknowledged', async () => {
    assert.equal((await app.webhook(installed())).status, 500);
    assert.ok(!app.output.includes(optareId.client.secret));
  });

  await t.test('an event of tomorrow is acknowledged', async () => {
    await assertReceived(await app.webhook({ event: 'app.upgraded', organizationId: 'org_abc123' }));
  });

  await t.test('a user who opens the app is signed in', async () => {
    const response = await app.callback();
    assert.equal(location(response), '/dashboard');
    assert.match(response.headers.get('Set-Cookie')!, /^session=[\w-]{43}; HttpOnly; Secure; Path=\/$/);
    session = response.headers.get('Set-Cookie')!.split(';')[0]!;
  });

  await t.test('the dashboard shows the user', async () => {
    const response = await app.get('/dashboard', `theme=dark; ${session}`);
    assert.equal(response.status, 200);
    const page = await response.text();
    for (const shown of ['John Doe', 'john@acme.com', 'org_abc123', 'admin']) assert.ok(page.includes(`>${shown}<`), shown);
    assert.equal(optareId.refreshes, 0);
  });

  await t.test('a signed state works too', async () => {
    assert.equal(location(await app.callback('org_abc123.nonce.signature')), '/dashboard');
  });

  await t.test('the next sign-in brings a new name and role', async () => {
    Object.assign(optareId.user, { name: '<b>John & Co</b>', role: 'member' });
    session = await app.signIn();
    const page = await (await app.get('/dashboard', session)).text();
    assert.ok(page.includes('>&#60;b&#62;John &#38; Co&#60;/b&#62;<'));
    assert.ok(page.includes('>member<'));
  });

  await t.test('an expired session is refreshed, with a new refresh token each time', async () => {
    optareId.expiresIn = -1;
    session = await app.signIn();
    assert.equal((await app.get('/dashboard', session)).status, 200);
    optareId.expiresIn = 3600;
    assert.equal((await app.get('/dashboard', session)).status, 200);
    assert.equal(optareId.refreshes, 2);
    assert.equal((await app.get('/dashboard', session)).status, 200);
    assert.equal(optareId.refreshes, 2);
  });

  await t.test('credentials and sessions outlive a restart', async () => {
    assert.equal(await app.stop('SIGTERM'), 0);
    app = await start();
    assert.equal((await app.get('/dashboard', session)).status, 200);
    assert.equal(optareId.refreshes, 2);
    await app.signIn();
  });

  await t.test('after signing out the session is gone', async () => {
    const leaving = await app.signIn();
    const response = await app.fetch('/logout', { method: 'POST', headers: { Cookie: leaving } });
    assert.equal(location(response), '/login');
    assert.match(response.headers.get('Set-Cookie')!, /^session=;.*Max-Age=0$/);
    assert.equal(location(await app.get('/dashboard', leaving)), '/login');
    assert.equal((await app.get('/dashboard', session)).status, 200);
  });

  await t.test('uninstalling ends refresh and sign-in', async () => {
    optareId.expiresIn = -1;
    session = await app.signIn();
    await assertReceived(await app.webhook(uninstalled()));
    await assertReceived(await app.webhook(uninstalled()));
    assert.equal(location(await app.get('/dashboard', session)), '/login');
    assert.equal(location(await app.callback()), '/login?error=auth_failed');
    assert.equal(optareId.refreshes, 2);
  });

  await t.test('installing again brings new credentials', async () => {
    optareId.client = { id: 'app_new', secret: 'secret_2' };
    optareId.expiresIn = 3600;
    await assertReceived(await app.webhook(installed()));
    session = await app.signIn();
    assert.equal((await app.get('/dashboard', session)).status, 200);
  });
});

test('a callback that failed leads to sign-in', async () => {
  await app.webhook(installed('org_other'));
  assert.equal(location(await app.get('/auth/callback?error=access_denied&state=org_other')), '/login?error=access_denied');
  assert.equal(location(await app.get('/auth/callback?state=org_other')), '/login?error=missing_code');
  assert.equal(location(await app.callback('org_unknown')), '/login?error=auth_failed');
  assert.equal(location(await app.get('/auth/callback?code=1')), '/login?error=auth_failed');
  assert.equal(location(await app.callback('org_other', 'used-or-wrong')), '/login?error=auth_failed');
  assert.match(app.output, /Token exchange failed: HTTP 400, invalid_grant/);
});

test('a code is redeemed once', async () => {
  await app.webhook(installed('org_once'));
  const code = optareId.issueCode();
  assert.equal(location(await app.callback('org_once', code)), '/dashboard');
  assert.equal(location(await app.callback('org_once', code)), '/login?error=auth_failed');
});

test('an error in the callback address stays text', async () => {
  const response = await app.get(`/auth/callback?error=${encodeURIComponent('ไม่\r\nSet-Cookie: session=1;<script>')}`);
  assert.equal(response.headers.get('Set-Cookie'), null);
  const page = await (await app.get(location(response))).text();
  assert.ok(page.includes('&#60;script&#62;'));
  assert.ok(!page.includes('<script>'));
});

test('a session that cannot be refreshed leads to sign-in', async () => {
  await app.webhook(installed('org_refused'));
  optareId.user.organization_id = 'org_refused';
  optareId.user.sub = 'user_refused';
  optareId.expiresIn = -1;
  const response = await app.callback('org_refused');
  const session = response.headers.get('Set-Cookie')!.split(';')[0]!;
  optareId.client.secret = 'secret_rotated';
  assert.equal(location(await app.get('/dashboard', session)), '/login');
});

test('a user without e-mail is not signed in, and the log does not show who it was', async () => {
  await app.webhook(installed('org_erased'));
  optareId.user = { sub: 'user_erased', name: 'Jane Roe', organization_id: 'org_erased', role: 'member' };
  assert.equal(location(await app.callback('org_erased')), '/login?error=auth_failed');
  await app.says('null value in column "email"');
  assert.ok(!app.output.includes('Jane Roe'));
});

test('a made-up session leads to sign-in', async () => {
  for (const cookie of ['session=made-up', "session=' OR 1=1", 'session=', 'xsession=1']) {
    assert.equal(location(await app.get('/dashboard', cookie)), '/login', cookie);
  }
});

test('a webhook that Optare ID did not sign changes nothing', async () => {
  const body = JSON.stringify(installed('org_forged'));
  const attempts = [{}, { ...sign(body), 'webhook-timestamp': '1614265330' }, sign(`${body} `)];
  for (const headers of attempts) {
    const response = await app.fetch('/api/webhooks/optare', { method: 'POST', body, headers });
    assert.equal(response.status, 401);
  }
  assert.equal(location(await app.get('/login?organization=org_forged')), '/login?error=unknown_organization');
});

test('signing in from the app goes the way of "Open App"', async () => {
  await app.webhook(installed('org_login'));
  assert.match(await (await app.get('/login')).text(), /<form action="\/login">/);
  const response = await app.get('/login?organization=org_login');
  assert.equal(response.status, 302);
  const target = new URL(response.headers.get('Location')!);
  assert.equal(target.origin + target.pathname, `${optareId.url}/oauth/authorize`);
  assert.deepEqual(Object.fromEntries(target.searchParams), {
    client_id: optareId.client.id,
    redirect_uri: `${APP_URL}/auth/callback`,
    response_type: 'code',
    scope: 'openid profile email organization',
    state: 'org_login',
  });
});

test('other requests are refused', async () => {
  assert.equal((await app.get('/nowhere')).status, 404);
  const wrongMethod = await app.get('/logout');
  assert.equal(wrongMethod.status, 405);
  assert.equal(wrongMethod.headers.get('Allow'), 'POST');
  const body = 'x'.repeat(65 * 1024);
  assert.equal((await app.fetch('/api/webhooks/optare', { method: 'POST', body })).status, 413);
});

test('without a webhook secret the app says so, and believes the body as the guide does', async () => {
  const unsigned = await new App({ DATA_DIR: join(folder, 'unsigned'), OPTARE_WEBHOOK_SECRET: '' }).ready();
  assert.match(unsigned.output, /OPTARE_WEBHOOK_SECRET is not set/);
  const body = JSON.stringify(installed());
  await assertReceived(await unsigned.fetch('/api/webhooks/optare', { method: 'POST', body }));
  assert.equal(await unsigned.stop('SIGINT'), 0);
});

test('a stop while starting leaves a database that opens', async () => {
  const DATA_DIR = join(folder, 'stopped');
  const starting = new App({ DATA_DIR, OPTARE_WEBHOOK_SECRET: '' });
  await starting.says('OPTARE_WEBHOOK_SECRET is not set');
  assert.equal(await starting.stop(), 0, starting.output);
  await (await new App({ DATA_DIR }).ready()).stop();
});

test('without its two addresses the app does not start', async () => {
  for (const name of ['OPTARE_ID_URL', 'APP_URL']) {
    const broken = new App({ [name]: '' });
    await assert.rejects(broken.ready(), new RegExp(`customer-service needs ${name}`));
    assert.equal(await broken.stop(), 1);
  }
});
