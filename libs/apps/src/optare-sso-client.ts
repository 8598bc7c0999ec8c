/**
 * Optare ID for apps in one file, to copy into yours: sign users in, keep them signed in, check webhooks.
 * It uses fetch and Web Crypto only, so that it runs on Node >= 20, Deno, Bun and edge runtimes.
 */

/** A successful token response (RFC 6749 §5.1, OpenID Connect Core §3.1.3.3). */
export interface Tokens {
  access_token: string;
  token_type: string;
  /** Lifetime of the access token in seconds. */
  expires_in: number;
  /** After a refresh: replaces the old one if present, else the old one stays in use (RFC 6749 §6). */
  refresh_token?: string;
  id_token?: string;
  scope?: string;
}

/**
 * The signed-in user (OpenID Connect Core §5.3.2), as answered to the scopes that Optare ID
 * opens apps with, `openid profile email organization`. Fewer scopes give fewer claims.
 */
export interface UserInfo {
  sub: string;
  email: string;
  email_verified: boolean;
  name: string;
  picture?: string;
  organization_id: string;
  organization_name: string;
  role: string;
}

/** The body of a webhook. Answer 2xx to events you do not know: new ones may be added. */
export interface WebhookEvent {
  event: 'app.installed' | 'app.uninstalled' | 'app.secret_rotated' | (string & {});
  organizationId: string;
  clientId: string;
  /** Sent with `app.installed` and `app.secret_rotated`. */
  clientSecret?: string;
}

export class OptareError extends Error {
  override name = 'OptareError';
  /** HTTP status; absent if no answer arrived. */
  readonly status?: number | undefined;
  /** OAuth error code, such as `invalid_grant` (RFC 6749 §5.2) or `invalid_token` (RFC 6750 §3.1). */
  readonly error?: string | undefined;
  readonly error_description?: string | undefined;

  constructor(message: string, answer?: Pick<OptareError, 'status' | 'error' | 'error_description'>, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    Object.assign(this, answer);
  }
}

export class OptareSSO {
  readonly #url: string;
  readonly #timeoutMs: number;

  constructor({ optareIdUrl, timeoutMs = 10_000 }: { optareIdUrl: string; timeoutMs?: number }) {
    if (!optareIdUrl) throw new TypeError('OptareSSO needs optareIdUrl, such as https://id.optare.one');
    this.#url = optareIdUrl.replace(/\/+$/, '');
    this.#timeoutMs = timeoutMs;
  }

  /** Redeems an authorization code, which works once (RFC 6749 §4.1.3). */
  exchangeCodeForTokens(request: {
    code: string;
    clientId: string;
    clientSecret: string;
    /** The same string as in the authorization request. */
    redirectUri: string;
  }): Promise<Tokens> {
    return this.#token('Token exchange failed', {
      grant_type: 'authorization_code',
      code: request.code,
      redirect_uri: request.redirectUri,
      client_id: request.clientId,
      client_secret: request.clientSecret,
    });
  }

  /** Gets new tokens for a refresh token (RFC 6749 §6). */
  refreshToken(request: { refreshToken: string; clientId: string; clientSecret: string }): Promise<Tokens> {
    return this.#token('Token refresh failed', {
      grant_type: 'refresh_token',
      refresh_token: request.refreshToken,
      client_id: request.clientId,
      client_secret: request.clientSecret,
    });
  }

  /** Asks who the user of an access token is (OpenID Connect Core §5.3, RFC 6750 §2.1). */
  getUserInfo(accessToken: string): Promise<UserInfo> {
    const headers = { Accept: 'application/json', Authorization: `Bearer ${accessToken}` };
    return this.#request('User info failed', '/oauth/userinfo', 'sub', { headers });
  }

  /** The client authenticates in the form: `client_secret_post` (RFC 6749 §2.3.1). */
  #token(failure: string, form: Record<string, string>): Promise<Tokens> {
    return this.#request(failure, '/oauth/token', 'access_token', {
      method: 'POST',
      headers: { Accept: 'application/json', 'Content-Type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams(form).toString(),
    });
  }

  async #request<Answer>(
    failure: string,
    path: string,
    required: keyof Answer & string,
    init: RequestInit,
  ): Promise<Answer> {
    let response: Response;
    let body: Record<string, unknown>;
    try {
      response = await fetch(this.#url + path, {
        ...init,
        // A followed redirect could carry a secret to another host.
        redirect: 'manual',
        signal: AbortSignal.timeout(this.#timeoutMs),
      });
      body = parseObject(await response.text());
    } catch (cause) {
      throw new OptareError(`${failure}: no answer from ${this.#url}`, undefined, cause);
    }
    if (response.ok && typeof body[required] === 'string') return body as Answer;

    // RFC 6749 §5.2 puts the reason into the body, RFC 6750 §3 into this header.
    const challenge = response.headers.get('WWW-Authenticate') ?? '';
    const reason = (name: string) =>
      typeof body[name] === 'string' ? body[name] : challenge.match(`\\b${name}="([^"]*)"`)?.[1];
    const answer = {
      status: response.status,
      error: reason('error'),
      error_description: reason('error_description'),
    };
    const missing = response.ok && `no ${required} in the answer`;
    const details = [`HTTP ${answer.status}`, missing, answer.error, answer.error_description];
    throw new OptareError(`${failure}: ${details.filter(Boolean).join(', ')}`, answer);
  }
}

/**
 * A sign-in that begins at your app instead of at "Open": where to send the browser, and a nonce for a cookie
 * of its own (`HttpOnly; Secure; SameSite=Lax`), which binds the answer to this browser (RFC 9700 §4.7).
 */
export async function startLogin(request: {
  optareIdUrl: string;
  organizationId: string;
  clientId: string;
  redirectUri: string;
  /** A secret of your app's own, 32 random bytes or more, which signs the state. */
  stateSecret: string;
  scope?: string;
}): Promise<{ url: string; nonce: string }> {
  const nonce = base64url(crypto.getRandomValues(new Uint8Array(32)));
  const unsigned = `${decodeState(request.organizationId)}.${nonce}`;
  const key = await stateKey(request.stateSecret);
  const signature = new Uint8Array(await crypto.subtle.sign('HMAC', key, new TextEncoder().encode(unsigned)));
  const query = new URLSearchParams({
    client_id: request.clientId,
    redirect_uri: request.redirectUri,
    response_type: 'code',
    scope: request.scope ?? 'openid profile email organization',
    state: `${unsigned}.${base64url(signature)}`,
  });
  return { url: `${request.optareIdUrl.replace(/\/+$/, '')}/oauth/authorize?${query}`, nonce };
}

/** The organization id in a state of `startLogin`, if this app signed it for this browser; throws otherwise. */
export async function verifyState({ state, nonce, stateSecret }: {
  state: string | null;
  /** From the cookie. */
  nonce: string | undefined;
  stateSecret: string;
}): Promise<string> {
  const [organizationId, signedNonce, signature] = [decodeState(state), ...(state?.split('.').slice(1) ?? [])];
  const failed = () => new OptareError('State was not made for this browser');
  if (!nonce || signedNonce !== nonce || !signature?.match(/^[\w-]{43}$/)) throw failed();
  const signed = new TextEncoder().encode(`${organizationId}.${nonce}`);
  const bytes = decodeBase64(signature.replaceAll('-', '+').replaceAll('_', '/'));
  if (!(await crypto.subtle.verify('HMAC', await stateKey(stateSecret), bytes, signed))) throw failed();
  return organizationId;
}

function stateKey(secret: string): Promise<CryptoKey> {
  const algorithm = { name: 'HMAC', hash: 'SHA-256' };
  return crypto.subtle.importKey('raw', new TextEncoder().encode(secret), algorithm, false, ['sign', 'verify']);
}

function base64url(bytes: Uint8Array): string {
  const text = btoa(String.fromCharCode(...bytes));
  return text.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

/**
 * The organization id in the `state` of a callback: `org_…` alone or signed, `org_….nonce.signature`.
 * It tells whose credentials to redeem the code with, and the token endpoint refuses a code of
 * another client (RFC 6749 §4.1.3). It does not check the signature, so it is no defence against
 * forged callbacks (RFC 9700 §4.7); `verifyState` does.
 */
export function decodeState(state: string | null): string {
  const organizationId = state?.match(/^(org_[\w-]+)(\.[\w-]+\.[\w-]+)?$/)?.[1];
  if (!organizationId) throw new OptareError('State names no organization');
  return organizationId;
}

const WEBHOOK_TOLERANCE_SECONDS = 5 * 60;

/**
 * Returns the event of a webhook that Optare ID has signed within the last five minutes; throws
 * otherwise (Standard Webhooks, "Verifying webhook authenticity"). `body` is the text as received:
 * parsed and printed again, its bytes would differ from those signed. A delivery that is repeated
 * has the same `webhook-id`.
 */
export async function verifyWebhook({ body, headers, secret, now = new Date() }: {
  body: string;
  headers: Headers | Record<string, string>;
  /** `whsec_` and the key in base64. */
  secret: string;
  now?: Date;
}): Promise<WebhookEvent> {
  const failed = (why: string) => new OptareError(`Webhook verification failed: ${why}`);

  const received = new Headers(headers);
  const id = received.get('webhook-id');
  const timestamp = received.get('webhook-timestamp');
  const signatures = received.get('webhook-signature');
  if (!id || !timestamp || !signatures) throw failed('a header is missing');

  const age = now.getTime() / 1000 - (/^\d+$/.test(timestamp) ? Number(timestamp) : NaN);
  if (!(Math.abs(age) <= WEBHOOK_TOLERANCE_SECONDS)) throw failed('its time is not within five minutes of now');

  const algorithm = { name: 'HMAC', hash: 'SHA-256' };
  const secretBytes = decodeBase64(secret.replace(/^whsec_/, ''));
  const key = await crypto.subtle.importKey('raw', secretBytes, algorithm, false, ['verify']);
  const signed = new TextEncoder().encode(`${id}.${timestamp}.${body}`);
  // There are several while the secret is rotated.
  for (const signature of signatures.split(' ')) {
    const base64 = signature.match(/^v1,([A-Za-z0-9+/]{43}=)$/)?.[1];
    // crypto.subtle.verify compares in constant time.
    if (base64 && (await crypto.subtle.verify(algorithm, key, decodeBase64(base64), signed))) {
      return JSON.parse(body) as WebhookEvent;
    }
  }
  throw failed('no signature matches');
}

function decodeBase64(text: string) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

/** An object, empty if the text is none: a proxy may answer with a page. */
function parseObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
