/**
 * Optare ID for your own applications in one file, to copy into yours: sign people in from a browser or a
 * server, keep them signed in, and get tokens for services. Apps of the marketplace use optare-sso-client.ts.
 * It uses fetch and Web Crypto only, so that it runs in browsers, Node >= 20, Deno, Bun and edge runtimes.
 */

/** A successful token response (RFC 6749 §5.1, OpenID Connect Core §3.1.3.3). */
export interface Tokens {
  access_token: string;
  token_type: string;
  /** Lifetime of the access token in seconds. */
  expires_in: number;
  /** After a refresh: replaces the one before. Asked for with the scope `offline_access`. */
  refresh_token?: string;
  id_token?: string;
  scope?: string;
}

/** Claims of an ID token (OpenID Connect Core §2). */
export interface IdTokenClaims {
  iss: string;
  sub: string;
  aud: string | string[];
  exp: number;
  iat: number;
  auth_time?: number;
  nonce?: string;
  sid?: string;
  [claim: string]: unknown;
}

/** Who signed in (OpenID Connect Core §5.3.2); which claims there are depends on the scopes. */
export interface User {
  sub: string;
  name?: string;
  picture?: string;
  email?: string;
  email_verified?: boolean;
  organization_id?: string;
  organization_name?: string;
  role?: string;
  [claim: string]: unknown;
}

export interface SignInOptions {
  /** One of the redirect URIs that the application has registered, exactly. */
  redirectUri: string;
  /** Default: `openid profile email`. Add `offline_access` to stay signed in by refresh tokens. */
  scope?: string;
  /** The API that the access token is for (RFC 8707). */
  audience?: string;
  /** For whom to sign in, if the person belongs to several organizations. */
  organization?: string;
  /** `none` answers at once, with an error where a page would be needed; `login` asks for the password again. */
  prompt?: string;
  loginHint?: string;
  /** Comes back from `finishSignIn`, e.g. the page to go on with. */
  appState?: unknown;
}

/** What must be kept from the start of a sign-in to its end, where only this person's browser or session has it. */
export interface PendingSignIn {
  state: string;
  nonce: string;
  codeVerifier: string;
  redirectUri: string;
  appState?: unknown;
}

export interface SignedIn {
  tokens: Tokens;
  claims: IdTokenClaims | undefined;
  appState: unknown;
}

export class OptareError extends Error {
  override name = 'OptareError';
  /** HTTP status; absent if no answer arrived. */
  readonly status?: number | undefined;
  /** OAuth error code, such as `invalid_grant` (RFC 6749 §5.2) or `login_required` (OpenID Connect Core §3.1.2.6). */
  readonly error?: string | undefined;
  readonly error_description?: string | undefined;

  constructor(message: string, answer?: Pick<OptareError, 'status' | 'error' | 'error_description'>, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    Object.assign(this, answer);
  }
}

export interface OptareClientOptions {
  /** Where Optare ID is, such as `https://id.optare.one`. */
  domain: string;
  clientId: string;
  /** Only on servers: without it, the application is a public client (SPA, native). */
  clientSecret?: string | undefined;
  timeoutMs?: number;
  /** Where `signIn` keeps what `handleCallback` needs; default: the tab's `sessionStorage`. */
  storage?: Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>;
}

export class OptareClient {
  readonly auth: OptareAuth;

  constructor(options: OptareClientOptions) {
    this.auth = new OptareAuth(options);
  }
}

const STORAGE_KEY = 'optare.sign-in';
/** A token is renewed this long before it ends, so that it does not end on its way. */
const MARGIN_SECONDS = 60;
/** How far clocks may differ. */
const SKEW_SECONDS = 60;

class OptareAuth {
  readonly #issuer: string;
  readonly #clientId: string;
  readonly #clientSecret: string | undefined;
  readonly #timeoutMs: number;
  readonly #storage: OptareClientOptions['storage'];
  readonly #serviceTokens = new Map<string, { token: Promise<string>; renewAt: number }>();
  readonly #refreshing = new Map<string, Promise<Tokens>>();

  constructor({ domain, clientId, clientSecret, timeoutMs = 10_000, storage }: OptareClientOptions) {
    if (!domain) throw new TypeError('OptareClient needs domain, such as https://id.optare.one');
    if (!clientId) throw new TypeError('OptareClient needs clientId');
    if (clientSecret) refuseInBrowsers();
    this.#issuer = (domain.includes('://') ? domain : `https://${domain}`).replace(/\/+$/, '');
    this.#clientId = clientId;
    this.#clientSecret = clientSecret;
    this.#timeoutMs = timeoutMs;
    this.#storage = storage;
  }

  /**
   * An access token for a service, no person being involved (RFC 6749 §4.4). It is kept and given again until
   * shortly before it ends, so ask for it before each request.
   */
  getM2MToken(request: {
    audience: string;
    clientId?: string | undefined;
    clientSecret?: string | undefined;
    scope?: string;
  }): Promise<string> {
    refuseInBrowsers();
    const { audience, clientId = this.#clientId, clientSecret = this.#clientSecret, scope } = request;
    if (!clientSecret) throw new TypeError('getM2MToken needs clientSecret');
    const key = JSON.stringify([clientId, audience, scope]);
    const kept = this.#serviceTokens.get(key);
    if (kept && now() < kept.renewAt) return kept.token;

    // Until the answer is there, whoever asks waits for the same one.
    const entry = { token: Promise.resolve(''), renewAt: Infinity };
    entry.token = this.#token('No token for the service', {
      grant_type: 'client_credentials',
      audience,
      scope,
      client_id: clientId,
      client_secret: clientSecret,
    }).then(
      (tokens) => {
        entry.renewAt = now() + Math.max(tokens.expires_in - MARGIN_SECONDS, tokens.expires_in / 2);
        return tokens.access_token;
      },
      (error: unknown) => {
        if (this.#serviceTokens.get(key) === entry) this.#serviceTokens.delete(key);
        throw error;
      },
    );
    this.#serviceTokens.set(key, entry);
    return entry.token;
  }

  /** The address to send the browser to, and what `finishSignIn` needs afterwards: code flow with PKCE (RFC 7636). */
  async startSignIn(options: SignInOptions): Promise<{ url: string; pending: PendingSignIn }> {
    const { redirectUri, scope = 'openid profile email', appState } = options;
    const pending: PendingSignIn = { state: random(), nonce: random(), codeVerifier: random(), redirectUri, appState };
    const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(pending.codeVerifier));
    const query = parameters({
      client_id: this.#clientId,
      redirect_uri: redirectUri,
      response_type: 'code',
      scope,
      state: pending.state,
      nonce: pending.nonce,
      code_challenge: base64url(new Uint8Array(digest)),
      code_challenge_method: 'S256',
      resource: options.audience,
      organization: options.organization,
      prompt: options.prompt,
      login_hint: options.loginHint,
    });
    return { url: `${this.#issuer}/oauth/authorize?${query}`, pending };
  }

  /** Checks what came back to the redirect URI and gets the tokens for it. */
  async finishSignIn({ url, pending }: { url: string | URL; pending: PendingSignIn }): Promise<SignedIn> {
    const answer = new URL(url, this.#issuer).searchParams;
    const failed = (why: string) => new OptareError(`Sign-in failed: ${why}`);
    // Who sends a forged or mixed-up answer here must not learn anything from it (RFC 9700 §4.7, RFC 9207 §2.4).
    if (answer.get('state') !== pending.state) throw failed('the answer belongs to another sign-in');
    if (answer.get('iss') !== this.#issuer) throw failed('the answer comes from somebody else');
    const error = answer.get('error');
    if (error) {
      const error_description = answer.get('error_description') ?? undefined;
      const message = [error, error_description].filter(Boolean).join(', ');
      throw new OptareError(`Sign-in failed: ${message}`, { status: undefined, error, error_description });
    }
    const code = answer.get('code');
    if (!code) throw failed('no code in the answer');
    const tokens = await this.#token('Sign-in failed', {
      grant_type: 'authorization_code',
      code,
      redirect_uri: pending.redirectUri,
      code_verifier: pending.codeVerifier,
      client_id: this.#clientId,
      client_secret: this.#clientSecret,
    });
    const claims = tokens.id_token === undefined ? undefined : this.#checked(tokens.id_token, pending.nonce);
    return { tokens, claims, appState: pending.appState };
  }

  /** In a browser: leaves this page for Optare ID. `handleCallback` goes on at the redirect URI. */
  async signIn(options: SignInOptions): Promise<void> {
    const { url, pending } = await this.startSignIn(options);
    this.#kept().setItem(STORAGE_KEY, JSON.stringify(pending));
    location.assign(url);
  }

  /** In a browser, at the redirect URI: ends what `signIn` began. It works once; reloading the page is an error. */
  async handleCallback(url: string | URL = location.href): Promise<SignedIn> {
    const pending = this.#kept().getItem(STORAGE_KEY);
    if (pending === null) throw new OptareError('Sign-in failed: none was started in this tab');
    this.#kept().removeItem(STORAGE_KEY);
    return this.finishSignIn({ url, pending: JSON.parse(pending) as PendingSignIn });
  }

  /** New tokens for a refresh token, which is used up by it. Calls at the same time share one answer. */
  refresh(refreshToken: string): Promise<Tokens> {
    const running = this.#refreshing.get(refreshToken);
    if (running) return running;
    const tokens = this.#token('Token refresh failed', {
      grant_type: 'refresh_token',
      refresh_token: refreshToken,
      client_id: this.#clientId,
      client_secret: this.#clientSecret,
    }).finally(() => this.#refreshing.delete(refreshToken));
    this.#refreshing.set(refreshToken, tokens);
    return tokens;
  }

  /** Asks who the person of an access token is (OpenID Connect Core §5.3). */
  async getUser(accessToken: string): Promise<User> {
    const headers = { Accept: 'application/json', Authorization: `Bearer ${accessToken}` };
    const body = await this.#request('User info failed', '/oauth/userinfo', { headers });
    if (typeof body['sub'] !== 'string') throw new OptareError('User info failed: no sub in the answer');
    return body as User;
  }

  /** Ends a token: a refresh token with all that came of it (RFC 7009). */
  async revoke(token: string): Promise<void> {
    const form = { token, client_id: this.#clientId, client_secret: this.#clientSecret };
    await this.#post('Revocation failed', '/oauth/revoke', form);
  }

  /** The address that signs the person out of Optare ID and leads back (OpenID Connect RP-Initiated Logout §2). */
  signOutUrl({ idToken, returnTo, state }: {
    idToken?: string | undefined;
    /** One of the logout URIs that the application has registered. */
    returnTo?: string;
    state?: string;
  } = {}): string {
    const query = parameters({
      id_token_hint: idToken,
      client_id: this.#clientId,
      post_logout_redirect_uri: returnTo,
      state,
    });
    return `${this.#issuer}/oauth/logout?${query}`;
  }

  #kept() {
    const storage = this.#storage ?? globalThis.sessionStorage;
    if (!storage) throw new TypeError('signIn is for browsers: use startSignIn and finishSignIn, or give a storage');
    return storage;
  }

  /**
   * The claims of an ID token, checked (OpenID Connect Core §3.1.3.7). Its signature is not: it came straight
   * from the token endpoint over TLS, which item 6 there accepts instead.
   */
  #checked(idToken: string, nonce: string): IdTokenClaims {
    const failed = (why: string) => new OptareError(`Sign-in failed: the ID token ${why}`);
    let claims: IdTokenClaims;
    try {
      const payload = (idToken.split('.')[1] ?? '').replaceAll('-', '+').replaceAll('_', '/');
      const bytes = Uint8Array.from(atob(payload), (character) => character.charCodeAt(0));
      claims = JSON.parse(new TextDecoder().decode(bytes)) as IdTokenClaims;
    } catch (cause) {
      throw new OptareError('Sign-in failed: the ID token cannot be read', undefined, cause);
    }
    if (claims.iss !== this.#issuer) throw failed('is from somebody else');
    if (![claims.aud].flat().includes(this.#clientId)) throw failed('is for another application');
    if (claims.nonce !== nonce) throw failed('belongs to another sign-in');
    if (!(claims.exp + SKEW_SECONDS > now())) throw failed('has expired');
    return claims;
  }

  async #token(failure: string, form: Record<string, string | undefined>): Promise<Tokens> {
    const body = await this.#post(failure, '/oauth/token', form);
    if (typeof body['access_token'] !== 'string') throw new OptareError(`${failure}: no access_token in the answer`);
    return body as unknown as Tokens;
  }

  /** A confidential client authenticates in the form: `client_secret_post` (RFC 6749 §2.3.1). */
  #post(failure: string, path: string, form: Record<string, string | undefined>) {
    return this.#request(failure, path, {
      method: 'POST',
      headers: { Accept: 'application/json', 'Content-Type': 'application/x-www-form-urlencoded' },
      body: parameters(form).toString(),
    });
  }

  async #request(failure: string, path: string, init: RequestInit): Promise<Record<string, unknown>> {
    let response: Response;
    let body: Record<string, unknown>;
    try {
      response = await fetch(this.#issuer + path, {
        ...init,
        // A followed redirect could carry a secret to another host.
        redirect: 'manual',
        credentials: 'omit',
        signal: AbortSignal.timeout(this.#timeoutMs),
      });
      body = parseObject(await response.text());
    } catch (cause) {
      throw new OptareError(`${failure}: no answer from ${this.#issuer}`, undefined, cause);
    }
    if (response.ok) return body;
    const reason = (name: string) => (typeof body[name] === 'string' ? body[name] : undefined);
    const answer = {
      status: response.status,
      error: reason('error'),
      error_description: reason('error_description'),
    };
    const details = [`HTTP ${answer.status}`, answer.error, answer.error_description];
    throw new OptareError(`${failure}: ${details.filter(Boolean).join(', ')}`, answer);
  }
}

export type { OptareAuth };

function refuseInBrowsers() {
  if (typeof document !== 'undefined') {
    throw new TypeError('A client secret must not be in a browser, where everybody can read it: leave clientSecret out');
  }
}

/** What has a value. */
function parameters(values: Record<string, string | undefined>): URLSearchParams {
  const given = Object.entries(values).filter((pair): pair is [string, string] => pair[1] !== undefined);
  return new URLSearchParams(given);
}

function now(): number {
  return Date.now() / 1000;
}

/** 256 random bits in 43 characters. */
function random(): string {
  return base64url(crypto.getRandomValues(new Uint8Array(32)));
}

function base64url(bytes: Uint8Array): string {
  const text = btoa(String.fromCharCode(...bytes));
  return text.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
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
