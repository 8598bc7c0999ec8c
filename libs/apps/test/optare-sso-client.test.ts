import assert from 'node:assert/strict';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, beforeEach, describe, test } from 'node:test';
import { OptareError, OptareSSO, decodeState, startLogin, verifyState, verifyWebhook } from '../src/optare-sso-client.ts';

interface Answer {
  status: number;
  headers?: Record<string, string>;
  body: string;
}

let answer: Answer | 'none';
let received: { line: string; headers: IncomingHttpHeaders; body: string }[];

const optareId = createServer(async (request, response) => {
  let body = '';
  for await (const chunk of request) body += chunk;
  received.push({ line: `${request.method} ${request.url}`, headers: request.headers, body });
  if (answer === 'none') return;
  response.writeHead(answer.status, { 'Content-Type': 'application/json', ...answer.headers }).end(answer.body);
});

let optareIdUrl: string;

before(async () => {
  await new Promise<void>((listening) => optareId.listen(0, '127.0.0.1', listening));
  optareIdUrl = `http://127.0.0.1:${(optareId.address() as AddressInfo).port}`;
});
after(() => {
  optareId.closeAllConnections();
  optareId.close();
});
beforeEach(() => {
  received = [];
});

const CODE = {
  code: 'code/+1',
  clientId: 'app_xyz789',
  clientSecret: 'secret &=%',
  redirectUri: 'https://support.optare.one/auth/callback',
};
const REFRESH = { refreshToken: 'refresh_1', clientId: 'app_xyz789', clientSecret: 'secret_1' };
const TOKENS = { access_token: 'access_1', token_type: 'Bearer', expires_in: 3600, refresh_token: 'refresh_1' };

function sso(options: { timeoutMs?: number } = {}) {
  return new OptareSSO({ optareIdUrl, ...options });
}

function json(status: number, body: unknown, headers: Record<string, string> = {}): Answer {
  return { status, headers, body: JSON.stringify(body) };
}

async function errorOf(promise: Promise<unknown>): Promise<OptareError> {
  const error = await promise.then(
    () => assert.fail('expected an error'),
    (error: unknown) => error,
  );
  assert.ok(error instanceof OptareError);
  return error;
}

describe('tokens', () => {
  test('a code is redeemed in a form that carries the client secret', async () => {
    answer = json(200, TOKENS);
    assert.deepEqual(await sso().exchangeCodeForTokens(CODE), TOKENS);

    const [request] = received;
    assert.equal(request?.line, 'POST /oauth/token');
    assert.equal(request.headers['content-type'], 'application/x-www-form-urlencoded');
    assert.equal(request.headers.authorization, undefined);
    assert.deepEqual(Object.fromEntries(new URLSearchParams(request.body)), {
      grant_type: 'authorization_code',
      code: 'code/+1',
      redirect_uri: 'https://support.optare.one/auth/callback',
      client_id: 'app_xyz789',
      client_secret: 'secret &=%',
    });
  });

  test('a refresh token gives new tokens', async () => {
    answer = json(200, TOKENS);
    assert.deepEqual(await sso().refreshToken(REFRESH), TOKENS);
    assert.deepEqual(Object.fromEntries(new URLSearchParams(received[0]?.body)), {
      grant_type: 'refresh_token',
      refresh_token: 'refresh_1',
      client_id: 'app_xyz789',
      client_secret: 'secret_1',
    });
  });

  test('a slash at the end of the address does no harm', async () => {
    answer = json(200, TOKENS);
    await new OptareSSO({ optareIdUrl: `${optareIdUrl}/` }).exchangeCodeForTokens(CODE);
    assert.equal(received[0]?.line, 'POST /oauth/token');
  });

  test('a missing address is reported where the client is made', () => {
    const unset = undefined as unknown as string;
    assert.throws(() => new OptareSSO({ optareIdUrl: unset }), /^TypeError: OptareSSO needs optareIdUrl/);
  });
});

describe('a refused token request', () => {
  test('says why in its message and in its properties', async () => {
    answer = json(400, { error: 'invalid_grant', error_description: 'Authorization code has expired' });
    const error = await errorOf(sso().exchangeCodeForTokens(CODE));
    assert.equal(error.message, 'Token exchange failed: HTTP 400, invalid_grant, Authorization code has expired');
    assert.equal(error.status, 400);
    assert.equal(error.error, 'invalid_grant');
    assert.equal(error.error_description, 'Authorization code has expired');
  });

  test('is named by what was asked for', async () => {
    answer = json(401, { error: 'invalid_client' });
    const error = await errorOf(sso().refreshToken(REFRESH));
    assert.equal(error.message, 'Token refresh failed: HTTP 401, invalid_client');
    assert.equal(error.error_description, undefined);
  });

  test('may come as a page', async () => {
    answer = { status: 502, headers: { 'Content-Type': 'text/html' }, body: '<h1>Bad Gateway</h1>' };
    const error = await errorOf(sso().exchangeCodeForTokens(CODE));
    assert.equal(error.message, 'Token exchange failed: HTTP 502');
    assert.equal(error.status, 502);
  });

  test('does not repeat the secret', async () => {
    answer = json(400, { error: 'invalid_grant' });
    const error = await errorOf(sso().exchangeCodeForTokens(CODE));
    assert.ok(!`${error.stack} ${JSON.stringify(error)}`.includes(CODE.clientSecret));
  });
});

describe('an answer that cannot be used is an error', () => {
  test('without an access token', async () => {
    for (const body of ['{}', 'null', '[]', 'OK', '{"access_token":1}']) {
      answer = { status: 200, body };
      const error = await errorOf(sso().exchangeCodeForTokens(CODE));
      assert.equal(error.message, 'Token exchange failed: HTTP 200, no access_token in the answer', body);
    }
  });

  test('a redirect, which is not followed with the secret', async () => {
    answer = { status: 307, headers: { Location: `${optareIdUrl}/elsewhere` }, body: '' };
    const error = await errorOf(sso().exchangeCodeForTokens(CODE));
    assert.match(error.message, /^Token exchange failed/);
    assert.equal(received.length, 1);
  });

  test('none within the timeout', async () => {
    answer = 'none';
    const error = await errorOf(sso({ timeoutMs: 50 }).getUserInfo('access_1'));
    assert.equal(error.message, `User info failed: no answer from ${optareIdUrl}`);
    assert.equal((error.cause as Error).name, 'TimeoutError');
    assert.equal(error.status, undefined);
  });

  test('none at all', async () => {
    const error = await errorOf(new OptareSSO({ optareIdUrl: 'http://127.0.0.1:1' }).refreshToken(REFRESH));
    assert.match(error.message, /^Token refresh failed: no answer/);
    assert.ok(error.cause);
  });
});

describe('user info', () => {
  test('is asked for with the access token', async () => {
    const user = { sub: 'user_abc123', email: 'john@acme.com', organization_id: 'org_xyz789', role: 'admin' };
    answer = json(200, user);
    assert.deepEqual(await sso().getUserInfo('access_1'), user);
    assert.equal(received[0]?.line, 'GET /oauth/userinfo');
    assert.equal(received[0]?.headers.authorization, 'Bearer access_1');
  });

  test('that is refused says why, as the header does', async () => {
    const challenge = 'Bearer realm="optare", error="invalid_token", error_description="The access token expired"';
    answer = { status: 401, headers: { 'WWW-Authenticate': challenge }, body: '' };
    const error = await errorOf(sso().getUserInfo('access_1'));
    assert.equal(error.message, 'User info failed: HTTP 401, invalid_token, The access token expired');
    assert.equal(error.error, 'invalid_token');
    assert.equal(error.error_description, 'The access token expired');
  });
});

describe('state', () => {
  test('names the organization, alone or signed', () => {
    assert.equal(decodeState('org_abc123'), 'org_abc123');
    assert.equal(decodeState('org_0197-7f3a.nonce-1.sig_1'), 'org_0197-7f3a');
  });

  test('that names none is refused', () => {
    for (const state of [null, '', 'abc', 'org_', 'org_a.b', 'org_a.b.c.d', 'org_a..c', ' org_a', 'org_a\n', 'xorg_a']) {
      assert.throws(() => decodeState(state), /^OptareError: State names no organization/, String(state));
    }
  });
});

describe('a sign-in that begins at the app', () => {
  const REQUEST = {
    optareIdUrl: 'https://id.example/',
    organizationId: 'org_abc123',
    clientId: 'app_xyz789',
    redirectUri: 'https://support.optare.one/auth/callback',
    stateSecret: 'a secret of the app',
  };
  const started = async () => {
    const { url, nonce } = await startLogin(REQUEST);
    return { url: new URL(url), nonce, state: new URL(url).searchParams.get('state') };
  };

  test('asks for what "Open" asks for, with a state that names the organization', async () => {
    const { url, state } = await started();
    assert.equal(url.origin + url.pathname, 'https://id.example/oauth/authorize');
    assert.deepEqual(Object.fromEntries(url.searchParams), {
      client_id: 'app_xyz789',
      redirect_uri: 'https://support.optare.one/auth/callback',
      response_type: 'code',
      scope: 'openid profile email organization',
      state,
    });
    assert.equal(decodeState(state), 'org_abc123');
  });

  test('ends in the browser that it began in', async () => {
    const { nonce, state } = await started();
    assert.equal(await verifyState({ state, nonce, stateSecret: REQUEST.stateSecret }), 'org_abc123');
  });

  test('ends nowhere else', async () => {
    const { nonce, state } = await started();
    const other = await started();
    for (const forged of [
      { nonce: undefined },
      { nonce: other.nonce },
      { state: other.state },
      { state: 'org_abc123' },
      { state: null },
      { state: state!.replace('org_abc123', 'org_other') },
      { state: `${state!.slice(0, -2)}AA` },
      { state: `${state!.slice(0, -3)}` },
      { stateSecret: 'another' },
    ]) {
      const wrong = { state, nonce, stateSecret: REQUEST.stateSecret, ...forged };
      await assert.rejects(verifyState(wrong), /^OptareError: State/, JSON.stringify(forged));
    }
  });
});

describe('a webhook', () => {
  // The example that the Standard Webhooks reference libraries publish.
  const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
  const BODY = '{"test": 2432232314}';
  const HEADERS = {
    'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek',
    'webhook-timestamp': '1614265330',
    'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
  };
  const WRONG = 'v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=';
  const seconds = (offset: number) => new Date((1614265330 + offset) * 1000);

  function verify(change: { body?: string; headers?: Record<string, string>; secret?: string; now?: Date } = {}) {
    const headers = { ...HEADERS, ...change.headers };
    return verifyWebhook({ body: BODY, secret: SECRET, now: seconds(0), ...change, headers });
  }

  test('that is signed gives its event', async () => {
    assert.deepEqual(await verify(), { test: 2432232314 });
    const headers = new Headers(HEADERS);
    assert.deepEqual(await verifyWebhook({ body: BODY, headers, secret: SECRET, now: seconds(0) }), { test: 2432232314 });
  });

  test('may carry several signatures, of which one matches', async () => {
    const signature = `v1a,${WRONG.slice(3)} v1,short ${WRONG} ${HEADERS['webhook-signature']}`;
    assert.deepEqual(await verify({ headers: { 'webhook-signature': signature } }), { test: 2432232314 });
  });

  test('of up to five minutes ago or ahead is accepted', async () => {
    await verify({ now: seconds(300) });
    await verify({ now: seconds(-300) });
    for (const now of [seconds(301), seconds(-301), new Date(NaN)]) {
      await assert.rejects(verify({ now }), /^OptareError: Webhook verification failed: its time/);
    }
  });

  test('that was changed is refused', async () => {
    const noMatch = /^OptareError: Webhook verification failed: no signature matches/;
    await assert.rejects(verify({ body: BODY.replace(' ', '') }), noMatch);
    await assert.rejects(verify({ headers: { 'webhook-id': 'msg_other' } }), noMatch);
    await assert.rejects(verify({ headers: { 'webhook-timestamp': '1614265331' } }), noMatch);
    await assert.rejects(verify({ secret: 'whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA' }), noMatch);
    for (const signature of [WRONG, 'v1,', 'v1', HEADERS['webhook-signature'].replace('v1,', 'v2,'), 'v1,!!!!']) {
      await assert.rejects(verify({ headers: { 'webhook-signature': signature } }), noMatch, signature);
    }
  });

  test('without its headers is refused', async () => {
    for (const name of Object.keys(HEADERS)) {
      await assert.rejects(verify({ headers: { [name]: '' } }), /^OptareError: Webhook verification failed: a header is missing/);
    }
    await assert.rejects(verify({ headers: { 'webhook-timestamp': 'now' } }), /its time/);
  });

  test('is never accepted with an empty secret', async () => {
    await assert.rejects(verify({ secret: 'whsec_' }));
  });
});
