/** The scenarios of our own client, `libs/apps/src/optare-client.ts`, as the page Applications writes them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { OptareClient, OptareError } from '../../libs/apps/dist/src/optare-client.js';
import { Browser } from './browser.js';
import { api, clients, issuer, person } from './world.js';

const SCOPE = 'openid profile email offline_access';

/** The storage of a browser's tab. */
function tab() {
  const kept = new Map();
  return {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => kept.set(key, value),
    removeItem: (key) => kept.delete(key),
  };
}

test('a single-page app signs a person in, keeps them signed in, and signs them out', async () => {
  const of = clients.spa;
  const client = new OptareClient({ domain: issuer, clientId: of.client_id, storage: tab() });
  let left;
  globalThis.location = { assign: (url) => (left = url) };
  await client.auth.signIn({ redirectUri: of.redirect_uri, scope: SCOPE, appState: { page: '/orders' } });
  delete globalThis.location;

  const browser = new Browser(issuer, person);
  const { callback } = await browser.open(left);
  const { tokens, claims, appState } = await client.auth.handleCallback(callback);
  assert.equal(claims.sub, person.id);
  assert.deepEqual(appState, { page: '/orders' });
  assert.equal((await client.auth.getUser(tokens.access_token)).email, person.email);

  const [first, second] = await Promise.all([
    client.auth.refresh(tokens.refresh_token),
    client.auth.refresh(tokens.refresh_token),
  ]);
  assert.equal(first.access_token, second.access_token);
  await client.auth.revoke(first.refresh_token);
  await assert.rejects(client.auth.refresh(first.refresh_token), { name: 'OptareError', error: 'invalid_grant' });
  await assert.rejects(client.auth.getUser(first.access_token), { name: 'OptareError', status: 401 });

  const end = await browser.open(
    client.auth.signOutUrl({ idToken: tokens.id_token, returnTo: of.post_logout_redirect_uri, state: 'bye' }),
  );
  assert.equal(String(end.callback), `${of.post_logout_redirect_uri}?state=bye`);
  const silent = await client.auth.startSignIn({ redirectUri: of.redirect_uri, prompt: 'none' });
  const { callback: refused } = await browser.open(silent.url);
  await assert.rejects(client.auth.finishSignIn({ url: refused, pending: silent.pending }), { error: 'login_required' });
});

test('a web application signs a person in with its secret', async () => {
  const of = clients.web;
  const client = new OptareClient({ domain: issuer, clientId: of.client_id, clientSecret: of.client_secret });
  const { url, pending } = await client.auth.startSignIn({ redirectUri: of.redirect_uri });
  const { callback } = await new Browser(issuer, person).open(url);
  const { claims } = await client.auth.finishSignIn({ url: callback, pending });
  assert.equal(claims.sub, person.id);
});

test('a service gets a token for an API', async () => {
  const of = clients.m2m;
  const client = new OptareClient({ domain: issuer, clientId: of.client_id });
  const request = { clientId: of.client_id, clientSecret: of.client_secret, audience: api.identifier };
  const token = await client.auth.getM2MToken(request);
  const keys = createRemoteJWKSet(new URL('/.well-known/jwks.json', issuer));
  await jwtVerify(token, keys, { issuer, audience: api.identifier, typ: 'at+jwt' });
  assert.equal(await client.auth.getM2MToken(request), token, 'it is kept');
  const wrong = client.auth.getM2MToken({ ...request, audience: 'https://unknown.example' });
  await assert.rejects(wrong, (error) => error instanceof OptareError && error.error === 'invalid_target');
});
