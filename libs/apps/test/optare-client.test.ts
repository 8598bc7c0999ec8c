import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, beforeEach, describe, test } from 'node:test';
import { OptareClient, OptareError, type PendingSignIn } from '../src/optare-client.ts';

interface Answer {
  status?: number;
  body: unknown;
}

let answers: (Answer | ((form: URLSearchParams) => Answer))[];
let received: { line: string; headers: IncomingHttpHeaders; form: URLSearchParams }[];

const optareId = createServer(async (request, response) => {
  let body = '';
  for await (const chunk of request) body += chunk;
  const form = new URLSearchParams(body);
  received.push({ line: `${request.method} ${request.url}`, headers: request.headers, form });
  const next = (answers.length > 1 ? answers.shift() : answers[0]) ?? { status: 500, body: {} };
  const answer = typeof next === 'function' ? next(form) : next;
  response.writeHead(answer.status ?? 200, { 'Content-Type': 'application/json' }).end(JSON.stringify(answer.body));
});

let domain: string;

before(async () => {
  await new Promise<void>((listening) => optareId.listen(0, '127.0.0.1', listening));
  domain = `http://127.0.0.1:${(optareId.address() as AddressInfo).port}`;
});
after(() => {
  optareId.closeAllConnections();
  optareId.close();
});
beforeEach(() => {
  [answers, received] = [[], []];
});

const REDIRECT = 'https://app.example/callback';
const TOKENS = { access_token: 'access_1', token_type: 'Bearer', expires_in: 3600 };

function spa(storage?: Storage) {
  return new OptareClient({ domain, clientId: 'pub_1', ...(storage && { storage }) });
}

/** A tab's storage, as far as it is used. */
function tab(): Storage {
  const kept = new Map<string, string>();
  return {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => void kept.set(key, value),
    removeItem: (key: string) => void kept.delete(key),
  } as Storage;
}

function idToken(claims: Record<string, unknown>) {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'RS256' })}.${part(claims)}.signature`;
}

function claims(pending: PendingSignIn, changes: Record<string, unknown> = {}) {
  const now = Math.floor(Date.now() / 1000);
  return { iss: domain, sub: 'user_1', aud: 'pub_1', exp: now + 3600, iat: now, nonce: pending.nonce, ...changes };
}

function callback(pending: PendingSignIn, changes: Record<string, string> = {}) {
  return `${REDIRECT}?${new URLSearchParams({ code: 'auth_1', state: pending.state, iss: domain, ...changes })}`;
}

async function errorOf(promise: Promise<unknown>): Promise<OptareError> {
  const error = await promise.then(
    () => assert.fail('expected an error'),
    (error: unknown) => error,
  );
  assert.ok(error instanceof OptareError, String(error));
  return error;
}

describe('a service', () => {
  const REQUEST = { clientId: 'srv_1', clientSecret: 'sk_1', audience: 'https://api.example' };

  test('gets a token by its id and secret', async () => {
    answers = [{ body: TOKENS }];
    assert.equal(await spa().auth.getM2MToken({ ...REQUEST, scope: 'read:products' }), 'access_1');
    assert.equal(received[0]?.line, 'POST /oauth/token');
    assert.deepEqual(Object.fromEntries(received[0].form), {
      grant_type: 'client_credentials',
      audience: 'https://api.example',
      scope: 'read:products',
      client_id: 'srv_1',
      client_secret: 'sk_1',
    });
  });

  test('is the client itself if it names no other', async () => {
    answers = [{ body: TOKENS }];
    const client = new OptareClient({ domain, clientId: 'srv_1', clientSecret: 'sk_1' });
    await client.auth.getM2MToken({ audience: 'https://api.example' });
    assert.equal(received[0]?.form.get('client_id'), 'srv_1');
    assert.throws(() => spa().auth.getM2MToken({ audience: 'https://api.example' }), /getM2MToken needs clientSecret/);
  });

  test('gets the same token until it is about to end', async () => {
    answers = [{ body: { ...TOKENS, access_token: 'first' } }, { body: { ...TOKENS, access_token: 'second', expires_in: 0 } }];
    const { auth } = spa();
    const both = await Promise.all([auth.getM2MToken(REQUEST), auth.getM2MToken(REQUEST)]);
    assert.deepEqual([...both, await auth.getM2MToken(REQUEST)], ['first', 'first', 'first']);
    assert.equal(received.length, 1);
    const elsewhere = { ...REQUEST, audience: 'https://other.example' };
    assert.equal(await auth.getM2MToken(elsewhere), 'second');
    await auth.getM2MToken(elsewhere);
    assert.equal(received.length, 3, 'a token that ends at once is not kept');
  });

  test('asks again after a refusal', async () => {
    answers = [{ status: 401, body: { error: 'invalid_client', error_description: 'Client not found' } }, { body: TOKENS }];
    const { auth } = spa();
    const error = await errorOf(auth.getM2MToken(REQUEST));
    assert.equal(error.message, 'No token for the service: HTTP 401, invalid_client, Client not found');
    assert.ok(!`${error.stack} ${JSON.stringify(error)}`.includes('sk_1'));
    assert.equal(await auth.getM2MToken(REQUEST), 'access_1');
  });
});

describe('a secret', () => {
  test('is refused in a browser', () => {
    Object.assign(globalThis, { document: {} });
    try {
      assert.throws(() => new OptareClient({ domain, clientId: 'a', clientSecret: 'b' }), /must not be in a browser/);
      new OptareClient({ domain, clientId: 'a' });
    } finally {
      Reflect.deleteProperty(globalThis, 'document');
    }
  });
});

describe('a sign-in', () => {
  test('begins with PKCE, state and nonce, which are new each time', async () => {
    const { url, pending } = await spa().auth.startSignIn({
      redirectUri: REDIRECT,
      scope: 'openid offline_access',
      audience: 'https://api.example',
      prompt: 'login',
    });
    const query = Object.fromEntries(new URL(url).searchParams);
    assert.ok(url.startsWith(`${domain}/oauth/authorize?`));
    assert.match(pending.codeVerifier, /^[\w-]{43}$/);
    assert.deepEqual(query, {
      client_id: 'pub_1',
      redirect_uri: REDIRECT,
      response_type: 'code',
      scope: 'openid offline_access',
      state: pending.state,
      nonce: pending.nonce,
      code_challenge: createHash('sha256').update(pending.codeVerifier).digest('base64url'),
      code_challenge_method: 'S256',
      resource: 'https://api.example',
      prompt: 'login',
    });
    const other = await spa().auth.startSignIn({ redirectUri: REDIRECT });
    for (const key of ['state', 'nonce', 'codeVerifier'] as const) assert.notEqual(other.pending[key], pending[key]);
  });

  test('ends with tokens and who signed in', async () => {
    const { auth } = spa();
    const { pending } = await auth.startSignIn({ redirectUri: REDIRECT, appState: { page: '/orders' } });
    answers = [{ body: { ...TOKENS, id_token: idToken(claims(pending, { name: 'Zoë' })) } }];
    const { tokens, claims: who, appState } = await auth.finishSignIn({ url: callback(pending), pending });
    assert.equal(tokens.access_token, 'access_1');
    assert.deepEqual([who?.sub, who?.['name']], ['user_1', 'Zoë']);
    assert.deepEqual(appState, { page: '/orders' });
    assert.deepEqual(Object.fromEntries(received[0]!.form), {
      grant_type: 'authorization_code',
      code: 'auth_1',
      redirect_uri: REDIRECT,
      code_verifier: pending.codeVerifier,
      client_id: 'pub_1',
    });
  });

  test('on a server sends the secret, and takes the path that its framework gives', async () => {
    const { auth } = new OptareClient({ domain, clientId: 'pub_1', clientSecret: 'sk_1' });
    const { pending } = await auth.startSignIn({ redirectUri: REDIRECT });
    answers = [{ body: { ...TOKENS, id_token: idToken(claims(pending)) } }];
    await auth.finishSignIn({ url: callback(pending).replace('https://app.example', ''), pending });
    assert.equal(received[0]?.form.get('client_secret'), 'sk_1');
  });

  test('does not take the answer of another sign-in or of somebody else', async () => {
    const { auth } = spa();
    const { pending } = await auth.startSignIn({ redirectUri: REDIRECT });
    for (const [changes, why] of [
      [{ state: 'other' }, 'the answer belongs to another sign-in'],
      [{ iss: 'https://attacker.example' }, 'the answer comes from somebody else'],
      [{ error: 'access_denied', error_description: 'No' }, 'access_denied, No'],
      [{ code: '' }, 'no code in the answer'],
    ] as const) {
      const error = await errorOf(auth.finishSignIn({ url: callback(pending, changes), pending }));
      assert.equal(error.message, `Sign-in failed: ${why}`);
    }
    assert.equal(received.length, 0, 'no code was redeemed');
  });

  test('does not take an ID token that is not for it', async () => {
    const { auth } = spa();
    const { pending } = await auth.startSignIn({ redirectUri: REDIRECT });
    for (const [changes, why] of [
      [{ iss: 'https://attacker.example' }, 'is from somebody else'],
      [{ aud: 'pub_2' }, 'is for another application'],
      [{ nonce: 'other' }, 'belongs to another sign-in'],
      [{ exp: 1 }, 'has expired'],
      [{ exp: undefined }, 'has expired'],
    ] as const) {
      answers = [{ body: { ...TOKENS, id_token: idToken(claims(pending, changes)) } }];
      const error = await errorOf(auth.finishSignIn({ url: callback(pending), pending }));
      assert.equal(error.message, `Sign-in failed: the ID token ${why}`);
    }
    answers = [{ body: { ...TOKENS, id_token: 'no token' } }];
    assert.match((await errorOf(auth.finishSignIn({ url: callback(pending), pending }))).message, /cannot be read/);
  });
});

describe('in a browser', () => {
  test('a sign-in leaves the page and goes on at the redirect URI, once', async () => {
    const storage = tab();
    let left = '';
    Object.assign(globalThis, { location: { assign: (url: string) => (left = url) } });
    try {
      await spa(storage).auth.signIn({ redirectUri: REDIRECT, appState: 7 });
    } finally {
      Reflect.deleteProperty(globalThis, 'location');
    }
    const { state, nonce } = Object.fromEntries(new URL(left).searchParams) as { state: string; nonce: string };
    const pending = { state, nonce } as PendingSignIn;
    answers = [{ body: { ...TOKENS, id_token: idToken(claims(pending)) } }];
    const signedIn = await spa(storage).auth.handleCallback(callback(pending));
    assert.equal(signedIn.appState, 7);
    const error = await errorOf(spa(storage).auth.handleCallback(callback(pending)));
    assert.equal(error.message, 'Sign-in failed: none was started in this tab');
  });

  test('elsewhere, signIn says what to use instead', async () => {
    await assert.rejects(spa().auth.signIn({ redirectUri: REDIRECT }), /signIn is for browsers/);
  });
});

describe('tokens', () => {
  test('are refreshed once, however many ask at the same time', async () => {
    answers = [{ body: { ...TOKENS, refresh_token: 'refresh_2' } }];
    const { auth } = spa();
    const [one, two] = await Promise.all([auth.refresh('refresh_1'), auth.refresh('refresh_1')]);
    assert.equal(one, two);
    assert.equal(received.length, 1);
    await auth.refresh('refresh_1');
    assert.equal(received.length, 2);
  });

  test('that cannot be refreshed say why', async () => {
    answers = [{ status: 400, body: { error: 'invalid_grant' } }];
    const error = await errorOf(spa().auth.refresh('refresh_1'));
    assert.deepEqual([error.message, error.error], ['Token refresh failed: HTTP 400, invalid_grant', 'invalid_grant']);
  });

  test('are revoked', async () => {
    answers = [{ body: {} }];
    await spa().auth.revoke('refresh_1');
    assert.equal(received[0]?.line, 'POST /oauth/revoke');
    assert.deepEqual(Object.fromEntries(received[0].form), { token: 'refresh_1', client_id: 'pub_1' });
  });

  test('tell who their person is', async () => {
    answers = [{ body: { sub: 'user_1', name: 'Zoë' } }];
    assert.deepEqual(await spa().auth.getUser('access_1'), { sub: 'user_1', name: 'Zoë' });
    assert.equal(received[0]?.headers.authorization, 'Bearer access_1');
    answers = [{ body: {} }];
    assert.match((await errorOf(spa().auth.getUser('access_1'))).message, /no sub/);
  });
});

describe('addresses', () => {
  test('of signing out name what they are given', () => {
    const { auth } = spa();
    assert.equal(auth.signOutUrl(), `${domain}/oauth/logout?client_id=pub_1`);
    const url = new URL(auth.signOutUrl({ idToken: 'a.b.c', returnTo: 'https://app.example/', state: 's' }));
    assert.deepEqual(Object.fromEntries(url.searchParams), {
      id_token_hint: 'a.b.c',
      client_id: 'pub_1',
      post_logout_redirect_uri: 'https://app.example/',
      state: 's',
    });
  });

  test('may come without a scheme or with a slash', async () => {
    for (const domain of ['id.example', 'https://id.example/']) {
      const { url } = await new OptareClient({ domain, clientId: 'pub_1' }).auth.startSignIn({ redirectUri: REDIRECT });
      assert.ok(url.startsWith('https://id.example/oauth/authorize?'), url);
    }
    assert.throws(() => new OptareClient({ domain: '', clientId: 'a' }), /^TypeError: OptareClient needs domain/);
    assert.throws(() => new OptareClient({ domain, clientId: '' }), /^TypeError: OptareClient needs clientId/);
  });
});
