/** The scenarios of the npm package `oauth4webapi`: the protocol step by step, and an API that checks its tokens. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { importPKCS8 } from 'jose';
import * as oauth from 'oauth4webapi';
import { Browser } from './browser.js';
import { WORLD, api, clients, issuer, person } from './world.js';

const insecure = { [oauth.allowInsecureRequests]: true };

let server;

before(async () => {
  for (const algorithm of ['oidc', 'oauth2']) {
    const response = await oauth.discoveryRequest(new URL(issuer), { ...insecure, algorithm });
    server = await oauth.processDiscoveryResponse(new URL(issuer), response);
  }
});

function metadata(of) {
  return { client_id: of.client_id, id_token_signed_response_alg: of.id_token_signed_response_alg };
}

/** From the client's link to its tokens, with every check that the library has. */
async function signIn(of, proof, { parameters = {} } = {}) {
  const [verifier, state, nonce] = [
    oauth.generateRandomCodeVerifier(),
    oauth.generateRandomState(),
    oauth.generateRandomNonce(),
  ];
  const address = new URL(server.authorization_endpoint);
  for (const [name, value] of Object.entries({
    client_id: of.client_id,
    redirect_uri: of.redirect_uri,
    response_type: 'code',
    scope: 'openid profile email offline_access',
    state,
    nonce,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    ...parameters,
  })) {
    address.searchParams.set(name, value);
  }
  const arrival = await new Browser(issuer, { ...person, decision: 'authorize' }).open(address);
  const callback = oauth.validateAuthResponse(server, metadata(of), arrival.callback, state);
  const response = await oauth.authorizationCodeGrantRequest(
    server, metadata(of), proof, callback, of.redirect_uri, verifier, insecure,
  );
  const signed = response.clone();
  const tokens = await oauth.processAuthorizationCodeResponse(server, metadata(of), response, {
    expectedNonce: nonce,
    requireIdToken: true,
  });
  await oauth.validateApplicationLevelSignature(server, response, insecure);
  assert.equal(signed.headers.get('cache-control'), 'no-store');
  return { tokens, claims: oauth.getValidatedIdTokenClaims(tokens), arrival };
}

/** An API as its developer writes it with this library (RFC 9068). */
function admitted(accessToken, audience) {
  const request = new Request('https://api.example/products', { headers: { Authorization: `Bearer ${accessToken}` } });
  return oauth.validateJwtAccessToken(server, request, audience, insecure);
}

for (const name of ['web', 'web_es256', 'web_eddsa']) {
  test(`${name}: the answer and its signature are what the library demands`, async () => {
    const of = clients[name];
    const { tokens, claims } = await signIn(of, oauth.ClientSecretBasic(of.client_secret));
    assert.equal(claims.sub, person.id);
    assert.equal(tokens.expires_in, 3600);
    const response = await oauth.userInfoRequest(server, metadata(of), tokens.access_token, insecure);
    const user = await oauth.processUserInfoResponse(server, metadata(of), claims.sub, response);
    assert.equal(user.email, person.email);
  });
}

test('an access token from a sign-in is a JWT for the client itself', async () => {
  const of = clients.web;
  const { tokens } = await signIn(of, oauth.ClientSecretPost(of.client_secret));
  const claims = await admitted(tokens.access_token, of.client_id);
  assert.equal(claims.sub, person.id);
  assert.equal(claims.client_id, of.client_id);
  await assert.rejects(admitted(tokens.access_token, api.identifier), /aud/);
});

test('a person signs in at an app for an API, which can check the token by itself', async () => {
  const of = clients.spa;
  const { tokens } = await signIn(of, oauth.None(), {
    parameters: { resource: api.identifier, scope: 'openid read:products' },
  });
  const claims = await admitted(tokens.access_token, api.identifier);
  assert.equal(claims.sub, person.id);
  assert.ok(claims.scope.split(' ').includes('read:products'), claims.scope);
});

test('an API admits a service', async () => {
  const of = clients.m2m;
  const proof = oauth.ClientSecretBasic(of.client_secret);
  const parameters = { audience: api.identifier, scope: 'read:products' };
  const response = await oauth.clientCredentialsGrantRequest(server, metadata(of), proof, parameters, insecure);
  const tokens = await oauth.processClientCredentialsResponse(server, metadata(of), response);
  const claims = await admitted(tokens.access_token, api.identifier);
  assert.equal(claims.client_id, of.client_id);
  assert.equal(claims.scope, 'read:products');
});

test('a private key proves the client, and its assertion works once', async () => {
  const of = clients.m2m_jwt;
  const key = await importPKCS8(WORLD.key_pem, 'ES256');
  let sent;
  const proof = oauth.PrivateKeyJwt(key, { [oauth.modifyAssertion]: (header, payload) => (sent = { header, payload }) });
  const parameters = { audience: api.identifier };
  const response = await oauth.clientCredentialsGrantRequest(server, metadata(of), proof, parameters, insecure);
  await oauth.processClientCredentialsResponse(server, metadata(of), response);
  const again = oauth.PrivateKeyJwt(key, {
    [oauth.modifyAssertion]: (_, payload) => Object.assign(payload, sent.payload),
  });
  const replayed = await oauth.clientCredentialsGrantRequest(server, metadata(of), again, parameters, insecure);
  assert.equal(replayed.status, 401);
  assert.equal((await replayed.json()).error, 'invalid_client');
});

test('tokens are refreshed, introspected and revoked', async () => {
  const of = clients.web;
  const proof = oauth.ClientSecretPost(of.client_secret);
  const { tokens, claims } = await signIn(of, proof);
  const refreshed = await oauth.refreshTokenGrantRequest(server, metadata(of), proof, tokens.refresh_token, insecure);
  const second = await oauth.processRefreshTokenResponse(server, metadata(of), refreshed.clone());
  assert.equal(oauth.getValidatedIdTokenClaims(second).sub, claims.sub);

  const look = async (token) =>
    oauth.processIntrospectionResponse(
      server, metadata(of), await oauth.introspectionRequest(server, metadata(of), proof, token, insecure),
    );
  assert.equal((await look(second.refresh_token)).active, true);
  assert.equal((await look(second.access_token)).token_type?.toLowerCase(), 'bearer');
  await oauth.processRevocationResponse(
    await oauth.revocationRequest(server, metadata(of), proof, second.refresh_token, insecure),
  );
  for (const token of [second.refresh_token, second.access_token]) {
    assert.deepEqual(await look(token), { active: false });
  }
});
