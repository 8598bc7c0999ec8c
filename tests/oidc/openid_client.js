/** The scenarios of the npm package `openid-client`, which checks what it gets as its users rely on. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, test } from 'node:test';
import { createRemoteJWKSet, importPKCS8, jwtVerify } from 'jose';
import * as client from 'openid-client';
import { Browser } from './browser.js';
import { WORLD, api, clients, eventually, issuer, manage, manager, person } from './world.js';

const SCOPE = 'openid profile email organization offline_access';

/** A client's configuration as its developer would write it, with signatures checked. */
async function configured(of, authentication) {
  const metadata = {
    client_secret: of.client_secret,
    id_token_signed_response_alg: of.id_token_signed_response_alg ?? 'RS256',
  };
  const proof = authentication ?? (of.client_secret === undefined ? client.None() : client.ClientSecretPost());
  return client.discovery(new URL(issuer), of.client_id, metadata, proof, {
    execute: [client.allowInsecureRequests, client.enableNonRepudiationChecks],
  });
}

function somebody(answers = person) {
  return new Browser(issuer, { decision: 'authorize', ...answers });
}

/** From the client's link to its tokens. */
async function signIn(config, of, { browser = somebody(), parameters = {}, checks = {} } = {}) {
  const pkceCodeVerifier = client.randomPKCECodeVerifier();
  const [expectedState, expectedNonce] = [client.randomState(), client.randomNonce()];
  const address = client.buildAuthorizationUrl(config, {
    redirect_uri: of.redirect_uri,
    scope: SCOPE,
    state: expectedState,
    nonce: expectedNonce,
    code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: 'S256',
    ...parameters,
  });
  const arrival = await browser.open(address);
  const tokens = await client.authorizationCodeGrant(config, arrival.callback, {
    pkceCodeVerifier,
    expectedState,
    expectedNonce,
    idTokenExpected: true,
    ...checks,
  });
  return { tokens, browser, arrival };
}

/** The error that a library reports, with the server's own words in it. */
async function refused(promise) {
  return promise.then(
    () => assert.fail('it was not refused'),
    (error) => ({ error: error.error, description: error.error_description, status: error.status ?? error.cause?.status }),
  );
}

test('discovery tells what the client library needs', async () => {
  const config = await configured(clients.web);
  const server = config.serverMetadata();
  assert.equal(server.issuer, issuer);
  assert.equal(server.supportsPKCE(), true);
  for (const [name, path] of Object.entries({
    authorization_endpoint: '/oauth/authorize',
    token_endpoint: '/oauth/token',
    userinfo_endpoint: '/oauth/userinfo',
    revocation_endpoint: '/oauth/revoke',
    introspection_endpoint: '/oauth/introspect',
    end_session_endpoint: '/oauth/logout',
    jwks_uri: '/.well-known/jwks.json',
  })) {
    assert.equal(server[name], issuer + path, name);
  }
  assert.equal(server.authorization_response_iss_parameter_supported, true);
  assert.equal(server.backchannel_logout_supported, true);
  assert.equal(server.backchannel_logout_session_supported, true);
  for (const algorithm of ['RS256', 'ES256', 'EdDSA']) {
    assert.ok(server.id_token_signing_alg_values_supported.includes(algorithm), algorithm);
  }
  for (const grant of ['authorization_code', 'refresh_token', 'client_credentials']) {
    assert.ok(server.grant_types_supported.includes(grant), grant);
  }
  for (const method of ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none']) {
    assert.ok(server.token_endpoint_auth_methods_supported.includes(method), method);
  }
  assert.ok(server.response_modes_supported.includes('form_post'));
});

for (const name of ['web', 'web_es256', 'web_eddsa', 'spa', 'native', 'jwt']) {
  test(`a person signs in through the client ${name}, and its ID token is signed as it wants`, async () => {
    const of = clients[name];
    const authentication = name === 'jwt' ? await privateKeyJwt() : undefined;
    const config = await configured(of, authentication);
    const { tokens, browser, arrival } = await signIn(config, of);
    assert.ok(String(arrival.url).startsWith(of.redirect_uri), String(arrival.url));
    assert.equal(arrival.parameters.get('iss'), issuer);
    assert.deepEqual(browser.asked, ['password'], 'a first-party client needs no consent');
    const claims = tokens.claims();
    assert.equal(claims.iss, issuer);
    assert.equal(claims.sub, person.id);
    const header = JSON.parse(Buffer.from(tokens.id_token.split('.')[0], 'base64url'));
    assert.equal(header.alg, of.id_token_signed_response_alg ?? 'RS256');
    const user = await client.fetchUserInfo(config, tokens.access_token, claims.sub);
    assert.equal(user.email, person.email);
    assert.equal(user.email_verified, true);
    assert.equal(user.name, person.name);
    assert.equal(user.organization_id, WORLD.organization_id);
    assert.equal(user.role, 'member');
  });
}

async function privateKeyJwt() {
  return client.PrivateKeyJwt(await importPKCS8(WORLD.key_pem, 'ES256'));
}

test('a library that sends its secret by HTTP Basic is served as well', async () => {
  const config = await configured(clients.web, client.ClientSecretBasic(clients.web.client_secret));
  const { tokens } = await signIn(config, clients.web);
  assert.equal(tokens.claims().aud, clients.web.client_id);
});

test('a refresh token is replaced at each use, and ends with its family', async () => {
  const config = await configured(clients.spa);
  const { tokens } = await signIn(config, clients.spa);
  const second = await client.refreshTokenGrant(config, tokens.refresh_token);
  assert.notEqual(second.refresh_token, tokens.refresh_token);
  assert.equal(second.claims().sub, person.id);
  assert.equal(second.claims().auth_time, tokens.claims().auth_time);
  const third = await client.refreshTokenGrant(config, second.refresh_token);
  await client.fetchUserInfo(config, third.access_token, person.id);
  const replay = await refused(client.refreshTokenGrant(config, tokens.refresh_token));
  assert.equal(replay.error, 'invalid_grant');
  assert.equal((await refused(client.refreshTokenGrant(config, third.refresh_token))).error, 'invalid_grant');
});

test('another client cannot use a refresh token', async () => {
  const { tokens } = await signIn(await configured(clients.web), clients.web);
  const other = await configured(clients.web_es256);
  assert.equal((await refused(client.refreshTokenGrant(other, tokens.refresh_token))).error, 'invalid_grant');
});

test('a service gets a token for an API, by either name of the parameter', async () => {
  const config = await configured(clients.m2m);
  for (const parameters of [{ audience: api.identifier }, { resource: api.identifier }]) {
    const tokens = await client.clientCredentialsGrant(config, { scope: 'read:products', ...parameters });
    assert.equal(tokens.token_type, 'bearer');
    assert.equal(tokens.scope, 'read:products');
    assert.equal(tokens.refresh_token, undefined);
    assert.equal(tokens.id_token, undefined);
    const keys = createRemoteJWKSet(new URL('/.well-known/jwks.json', issuer));
    const { payload, protectedHeader } = await jwtVerify(tokens.access_token, keys, {
      issuer,
      audience: api.identifier,
      typ: 'at+jwt',
    });
    assert.equal(protectedHeader.alg, 'ES256');
    assert.equal(payload.client_id, clients.m2m.client_id);
    const atUserinfo = await refused(client.fetchUserInfo(config, tokens.access_token, client.skipSubjectCheck));
    assert.equal(atUserinfo.status, 403);
  }
  const elsewhere = await refused(client.clientCredentialsGrant(config, { audience: 'https://unknown.example' }));
  assert.equal(elsewhere.error, 'invalid_target');
  const tooMuch = await refused(
    client.clientCredentialsGrant(config, { audience: api.identifier, scope: 'admin:users' }),
  );
  assert.deepEqual([tooMuch.error, tooMuch.description], ['invalid_scope', 'Requested scope not allowed']);
});

test('a client without the right to it gets no token of its own', async () => {
  const config = await configured(clients.spa);
  assert.equal((await refused(client.clientCredentialsGrant(config))).error, 'unauthorized_client');
});

test('a service may prove itself by a key of its own', async () => {
  const config = await configured(clients.m2m_jwt, await privateKeyJwt());
  const tokens = await client.clientCredentialsGrant(config, { audience: api.identifier });
  assert.ok(tokens.access_token);
});

test('an access token is introspected, revoked, and then worth nothing', async () => {
  const config = await configured(clients.web);
  const { tokens } = await signIn(config, clients.web);
  const before = await client.tokenIntrospection(config, tokens.access_token);
  assert.equal(before.active, true);
  assert.equal(before.sub, person.id);
  assert.equal(before.client_id, clients.web.client_id);
  assert.equal(before.iss, issuer);
  assert.deepEqual(new Set(before.scope.split(' ')), new Set(SCOPE.split(' ')));
  await client.tokenRevocation(config, tokens.access_token, { token_type_hint: 'access_token' });
  assert.deepEqual(await client.tokenIntrospection(config, tokens.access_token), { active: false });
  const after = await refused(client.fetchUserInfo(config, tokens.access_token, person.id));
  assert.equal(after.status, 401);
});

test('revoking a refresh token ends the access tokens that came with it', async () => {
  const config = await configured(clients.spa);
  const { tokens } = await signIn(config, clients.spa);
  await client.tokenRevocation(config, tokens.refresh_token, { token_type_hint: 'refresh_token' });
  assert.equal((await refused(client.refreshTokenGrant(config, tokens.refresh_token))).error, 'invalid_grant');
  assert.equal((await refused(client.fetchUserInfo(config, tokens.access_token, person.id))).status, 401);
  // RFC 7009 §2.2: a token that means nothing is revoked already.
  await client.tokenRevocation(config, 'refresh_unknown');
});

test('introspection tells nothing about the tokens of others', async () => {
  const { tokens } = await signIn(await configured(clients.web), clients.web);
  const stranger = await configured(clients.third_party);
  assert.deepEqual(await client.tokenIntrospection(stranger, tokens.access_token), { active: false });
});

test('the answer may come as a form', async () => {
  const config = await configured(clients.web);
  const { tokens, arrival } = await signIn(config, clients.web, { parameters: { response_mode: 'form_post' } });
  assert.equal(arrival.method, 'POST');
  assert.equal(arrival.url.search, '', 'nothing stands in the address');
  assert.equal(tokens.claims().sub, person.id);
});

test('an error may come as a form, too', async () => {
  const config = await configured(clients.web);
  const address = client.buildAuthorizationUrl(config, {
    redirect_uri: clients.web.redirect_uri,
    scope: 'openid',
    state: '<"&\'> \u00e4 \u{1f511}',
    prompt: 'none',
    response_mode: 'form_post',
  });
  const arrival = await somebody().open(address);
  assert.equal(arrival.method, 'POST');
  assert.equal(arrival.parameters.get('error'), 'login_required');
  assert.equal(arrival.parameters.get('state'), '<"&\'> \u00e4 \u{1f511}');
  assert.equal(arrival.parameters.get('iss'), issuer);
});

test('an answer of another issuer is refused by the library', async () => {
  const config = await configured(clients.web);
  const { browser } = await signIn(config, clients.web);
  const address = client.buildAuthorizationUrl(config, { redirect_uri: clients.web.redirect_uri, scope: 'openid' });
  const { callback } = await browser.open(address);
  assert.equal(callback.searchParams.get('iss'), issuer);
  const forged = new URL(callback);
  forged.searchParams.set('iss', 'https://attacker.example');
  const aboutTheIssuer = (error) => /"iss"/.test(error.cause?.message);
  await assert.rejects(client.authorizationCodeGrant(config, forged), aboutTheIssuer);
  const stripped = new URL(callback);
  stripped.searchParams.delete('iss');
  await assert.rejects(client.authorizationCodeGrant(config, stripped), aboutTheIssuer);
});

test('prompt=none is silent with a session, and login_required without one', async () => {
  const config = await configured(clients.web);
  const parameters = { prompt: 'none' };
  const without = await refused(signIn(config, clients.web, { parameters }));
  assert.equal(without.error, 'login_required');
  const { tokens, browser } = await signIn(config, clients.web);
  const silent = await signIn(config, clients.web, { browser, parameters });
  assert.deepEqual(browser.asked, ['password']);
  assert.equal(silent.tokens.claims().sub, tokens.claims().sub);
  assert.equal(silent.tokens.claims().auth_time, tokens.claims().auth_time);
});

test('prompt=login and max_age ask again', async () => {
  const config = await configured(clients.web);
  const { tokens, browser } = await signIn(config, clients.web);
  const again = await signIn(config, clients.web, { browser, parameters: { prompt: 'login' } });
  assert.deepEqual(browser.asked, ['password', 'password']);
  assert.ok(again.tokens.claims().auth_time >= tokens.claims().auth_time);
  const fresh = await signIn(config, clients.web, {
    browser,
    parameters: { max_age: '10000' },
    checks: { maxAge: 10_000 },
  });
  assert.deepEqual(browser.asked, ['password', 'password'], 'the sign-in is recent enough');
  assert.equal(fresh.tokens.claims().auth_time, again.tokens.claims().auth_time);
});

test('a client of somebody else asks for consent, once', async () => {
  const config = await configured(clients.third_party);
  const denied = await refused(signIn(config, clients.third_party, { browser: somebody({ ...person, decision: 'deny' }) }));
  assert.equal(denied.error, 'access_denied');
  const { browser } = await signIn(config, clients.third_party);
  assert.deepEqual(browser.asked, ['password', 'decision']);
  const second = somebody();
  await signIn(config, clients.third_party, { browser: second });
  assert.deepEqual(second.asked, ['password'], 'consent is remembered');
  const third = somebody();
  await signIn(config, clients.third_party, { browser: third, parameters: { prompt: 'login consent' } });
  assert.deepEqual(third.asked, ['password', 'decision'], 'unless the client wants it asked again');
});

test('what one person agrees to is not agreed to by the next', async () => {
  const of = clients.another_third_party;
  const config = await configured(of);
  const parameters = { redirect_uri: of.redirect_uri, scope: SCOPE, prompt: 'login consent' };
  const accomplice = somebody();
  const waits = ({ url }) => accomplice.asked.includes('decision') && url.pathname.startsWith('/oauth/authorize');
  const { url } = await accomplice.open(client.buildAuthorizationUrl(config, parameters), waits);
  // The accomplice stops here and has somebody else open the address.
  const { decision, ...without } = manager;
  const victim = new Browser(issuer, { ...without, organization: WORLD.organization_id });
  await victim.open(`/sign-in?continue=${encodeURIComponent('/portal/dashboard')}`);
  assert.deepEqual(victim.asked, ['password']);
  const arrival = await victim.open(url);
  assert.equal(arrival.parameters.get('code'), null, 'no code without their own consent');
});

test('who belongs to several organizations says for which, once', async () => {
  const of = clients.third_party;
  const config = await configured(of);
  const [first, second] = WORLD.manager_organizations;
  const organizationOf = async (tokens) =>
    (await client.fetchUserInfo(config, tokens.access_token, manager.id)).organization_id;

  const browser = somebody({ ...manager, organization: first });
  const { tokens } = await signIn(config, of, { browser });
  assert.ok(browser.asked.includes('organization'), browser.asked.join());
  assert.equal(await organizationOf(tokens), first);
  const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token);
  assert.equal(await organizationOf(refreshed), first, 'a refresh does not change it');
  const again = somebody(manager);
  assert.equal(await organizationOf((await signIn(config, of, { browser: again })).tokens), first);
  assert.ok(!again.asked.includes('organization'), 'it is remembered');
  const named = await signIn(config, of, { browser: again, parameters: { organization: second } });
  assert.equal(await organizationOf(named.tokens), second, 'the client may name another');
});

test('who signs out at the provider comes back to the client with its state', async () => {
  const config = await configured(clients.web);
  const { tokens, browser } = await signIn(config, clients.web);
  const address = client.buildEndSessionUrl(config, {
    id_token_hint: tokens.id_token,
    post_logout_redirect_uri: clients.web.post_logout_redirect_uri,
    state: 'goodbye',
  });
  const { callback } = await browser.open(address);
  assert.equal(`${callback.origin}${callback.pathname}`, clients.web.post_logout_redirect_uri);
  assert.equal(callback.searchParams.get('state'), 'goodbye');
  const silent = await refused(signIn(config, clients.web, { browser, parameters: { prompt: 'none' } }));
  assert.equal(silent.error, 'login_required');
});

test('signing out leads to no address that is not registered', async () => {
  const config = await configured(clients.web);
  const { tokens, browser } = await signIn(config, clients.web);
  const address = client.buildEndSessionUrl(config, {
    id_token_hint: tokens.id_token,
    post_logout_redirect_uri: 'https://attacker.example/',
  });
  const end = await browser.open(address);
  assert.equal(end.url.origin, issuer);
});

test('a client is told behind the scenes that a session ended', async () => {
  const of = clients.backchannel;
  const received = [];
  const receiver = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    received.push({ method: request.method, url: request.url, type: request.headers['content-type'], body });
    response.writeHead(200, { 'Cache-Control': 'no-store' }).end();
  });
  after(() => receiver.close());
  await new Promise((listening) => receiver.listen(WORLD.backchannel_port, '127.0.0.1', listening));

  const config = await configured(of);
  const { tokens, browser } = await signIn(config, of);
  const address = client.buildEndSessionUrl(config, {
    id_token_hint: tokens.id_token,
    post_logout_redirect_uri: of.post_logout_redirect_uri,
  });
  await browser.open(address);
  const [notice] = await eventually('the logout notice', () => received.length > 0 && received);
  assert.equal(notice.method, 'POST');
  assert.match(notice.type, /^application\/x-www-form-urlencoded/);
  const token = new URLSearchParams(notice.body).get('logout_token');
  const keys = createRemoteJWKSet(new URL('/.well-known/jwks.json', issuer));
  const { payload, protectedHeader } = await jwtVerify(token, keys, { issuer, audience: of.client_id });
  // OpenID Connect Back-Channel Logout §2.4 and §2.6.
  assert.equal(protectedHeader.typ, 'logout+jwt');
  assert.equal(payload.sub, person.id);
  assert.equal(payload.sid, tokens.claims().sid);
  assert.ok(payload.jti);
  assert.deepEqual(payload.events, { 'http://schemas.openid.net/event/backchannel-logout': {} });
  assert.equal('nonce' in payload, false);
});

test('keys change while people are signed in', async () => {
  const of = clients.web;
  const config = await configured(of);
  const { tokens, browser } = await signIn(config, of);
  const before = JSON.parse(Buffer.from(tokens.id_token.split('.')[0], 'base64url')).kid;
  const keys = createRemoteJWKSet(new URL('/.well-known/jwks.json', issuer), { cooldownDuration: 0 });
  await jwtVerify(tokens.id_token, keys, { issuer, audience: of.client_id });

  await manage('POST', '/v1/keys/rotate', { now: true });

  const second = await signIn(await configured(of), of, { browser });
  const after = JSON.parse(Buffer.from(second.tokens.id_token.split('.')[0], 'base64url')).kid;
  assert.notEqual(after, before);
  // Whoever keeps the keys fetches them again when it meets a new one.
  await jwtVerify(second.tokens.id_token, keys, { issuer, audience: of.client_id });
  await jwtVerify(tokens.id_token, keys, { issuer, audience: of.client_id });
  // Tokens of the old key are good until they end.
  await client.fetchUserInfo(config, tokens.access_token, person.id);
  await client.refreshTokenGrant(await configured(of), tokens.refresh_token);
});

test('errors say what the guides say', async () => {
  const config = await configured(clients.web);
  const unknown = await configured({ client_id: 'client_unknown', client_secret: 'sk_unknown' });
  const nobody = await refused(client.refreshTokenGrant(unknown, 'refresh_x'));
  assert.deepEqual(nobody, { error: 'invalid_client', description: 'Client not found', status: 401 });
  const wrong = await configured({ ...clients.web, client_secret: 'sk_wrong' });
  const badSecret = await refused(client.refreshTokenGrant(wrong, 'refresh_x'));
  assert.deepEqual([badSecret.error, badSecret.status], ['invalid_client', 401]);

  const scope = await refused(signIn(config, clients.web, { parameters: { scope: 'openid emial' } }));
  assert.deepEqual([scope.error, scope.description], ['invalid_scope', 'Requested scope not allowed']);
  const page = await somebody().open(
    client.buildAuthorizationUrl(config, { redirect_uri: `${clients.web.redirect_uri}/`, scope: 'openid' }),
  );
  assert.equal(page.status, 400);
  assert.match(page.page, /invalid_request: redirect_uri not registered/);
  const stranger = await somebody().open(
    client.buildAuthorizationUrl(unknown, { redirect_uri: clients.web.redirect_uri, scope: 'openid' }),
  );
  assert.equal(stranger.status, 400);
  assert.match(stranger.page, /invalid_client: Client not found/);

  const { browser } = await signIn(config, clients.web);
  const parameters = { redirect_uri: clients.web.redirect_uri, scope: 'openid' };
  const { callback } = await browser.open(client.buildAuthorizationUrl(config, parameters));
  await client.authorizationCodeGrant(config, callback);
  assert.equal((await refused(client.authorizationCodeGrant(config, callback))).error, 'invalid_grant');
});

test('public clients need PKCE with S256', async () => {
  const config = await configured(clients.spa);
  const { browser } = await signIn(config, clients.spa);
  const ask = (parameters) =>
    browser.open(
      client.buildAuthorizationUrl(config, {
        redirect_uri: clients.spa.redirect_uri,
        scope: 'openid',
        state: 's',
        ...parameters,
      }),
    );
  for (const parameters of [
    {},
    { code_challenge: 'a'.repeat(43), code_challenge_method: 'plain' },
    // 42 characters are no SHA-256.
    { code_challenge: 'E9Mrozoa2owUednMEfp_rZxsIrxVArokAZd3KeKT9A'.slice(0, 42), code_challenge_method: 'S256' },
  ]) {
    const arrival = await ask(parameters);
    assert.equal(arrival.parameters.get('error'), 'invalid_request', JSON.stringify(parameters));
    assert.equal(arrival.parameters.get('state'), 's');
  }
});
