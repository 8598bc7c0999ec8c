/** The guides' own code and commands, unchanged but for addresses and ids, and what their troubleshooting says. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import { promisify } from 'node:util';
import axios from 'axios';
import { Browser } from './browser.js';
import { authorizationUrl, callback } from './guides/client_app.js';
import { WORLD, clients, issuer, manage, person } from './world.js';

// RFC 7636 appendix B, as the guide has it.
const VERIFIER = 'dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk';
const CHALLENGE = 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM';

/** What a command of a guide answers. */
async function command(name, of, environment) {
  const script = fileURLToPath(new URL(`guides/${name}.sh`, import.meta.url));
  const { stdout } = await promisify(execFile)('bash', [script], {
    env: {
      PATH: process.env.PATH,
      ISSUER: issuer,
      CLIENT_ID: of.client_id,
      CLIENT_SECRET: of.client_secret,
      REDIRECT_URI: of.redirect_uri,
      ...environment,
    },
  });
  return JSON.parse(stdout);
}

function asked(of, changes = {}) {
  const state = 'random_state_value';
  return { issuer, clientId: of.client_id, redirectUri: of.redirect_uri, scope: 'openid email profile', state, ...changes };
}

async function authorize(of, { browser = new Browser(issuer, { ...person, decision: 'authorize' }), ...changes } = {}) {
  const arrival = await browser.open(authorizationUrl(asked(of, changes)));
  return { ...Object.fromEntries(arrival.callback.searchParams), callback: arrival.callback, browser };
}

/** The error of a refused request, as `error: error_description`. */
async function troubleOf(request) {
  const { response } = await request.then(
    () => assert.fail('it was not refused'),
    (error) => error,
  );
  assert.equal(typeof response?.data, 'object', 'an OAuth error is JSON');
  return `${response.data.error}: ${response.data.error_description}`;
}

test('the client app of the CLI guide signs a person in', async () => {
  const of = clients.web;
  const answer = await authorize(of);
  const { tokens, refresh_token, user } = await callback({
    issuer,
    clientId: of.client_id,
    clientSecret: of.client_secret,
    redirectUri: of.redirect_uri,
    query: answer,
    storedState: 'random_state_value',
  });
  assert.match(tokens.access_token, /^eyJ/);
  assert.equal(tokens.token_type, 'Bearer');
  assert.equal(tokens.expires_in, 3600);
  assert.match(refresh_token, /^refresh_/);
  assert.deepEqual(new Set(tokens.scope.split(' ')), new Set(['openid', 'email', 'profile']));
  assert.equal(user.sub, person.id);
  assert.equal(user.email, person.email);
  assert.equal(user.email_verified, true);
  assert.equal(user.name, person.name);
  assert.equal(user.organizationId, WORLD.organization_id);
});

test('the command of the API reference gets what it prints', async () => {
  const of = clients.web;
  const { code } = await authorize(of, { challenge: CHALLENGE, scope: 'openid profile email offline_access organization' });
  assert.match(code, /^auth_/);
  const tokens = await command('reference', of, { CODE: code, VERIFIER });
  assert.deepEqual(
    Object.keys(tokens).sort(),
    ['access_token', 'expires_in', 'id_token', 'refresh_token', 'scope', 'token_type'],
  );
  const { data: user } = await axios.get(`${issuer}/oauth/userinfo`, {
    headers: { Authorization: `Bearer ${tokens.access_token}` },
  });
  assert.deepEqual([user.sub, user.name, user.email], [person.id, person.name, person.email]);
  assert.equal(user.organizationId, WORLD.organization_id);
  assert.equal(user.organization_id, user.organizationId);
});

test('forms and JSON are answered alike, also with errors', async () => {
  const of = clients.web;
  const body = {
    grant_type: 'authorization_code', code: 'auth_xxx', redirect_uri: of.redirect_uri,
    client_id: of.client_id, client_secret: of.client_secret,
  };
  const sent = async (body) => (await axios.post(`${issuer}/oauth/token`, body).catch((error) => error)).response;
  const [json, form] = [await sent(body), await sent(new URLSearchParams(body))];
  assert.deepEqual([json.status, json.data], [form.status, form.data]);
  assert.equal(json.data.error, 'invalid_grant');
  assert.equal(json.headers['cache-control'], 'no-store');
});

test('the OAuth tutorial, from consent to the second access token', async () => {
  const of = clients.tutorial;
  const scope = 'org.permission.customer org.permission.conversation offline_access';
  const page = await new Browser(issuer, person).open(authorizationUrl(asked(of, { scope })));
  assert.match(page.page, /My OAuth App/, 'the consent page shows the title');
  const { code, state, callback, browser } = await authorize(of, { scope });
  assert.ok(browser.asked.includes('decision'));
  assert.ok(String(callback).startsWith('https://your-redirect-url.net/?code='), String(callback));
  assert.equal(state, 'random_state_value');

  const tokens = await command('tutorial_code', of, { CODE: code });
  assert.deepEqual(new Set(tokens.scope.split(' ')), new Set(scope.split(' ')));
  assert.equal(tokens.token_type.toLowerCase(), 'bearer');
  assert.equal(tokens.expires_in, 86400);
  assert.equal(tokens.id_token, undefined);
  const second = await command('tutorial_refresh', of, { REFRESH_TOKEN: tokens.refresh_token });
  assert.equal(second.expires_in, 86400);
  assert.equal(second.scope, tokens.scope);
  for (const name of ['access_token', 'refresh_token']) assert.notEqual(second[name], tokens[name], name);
  const third = await command('tutorial_refresh', of, { REFRESH_TOKEN: second.refresh_token });
  assert.ok(third.access_token);
});

test('without offline_access the tutorial gets no refresh token', async () => {
  const of = clients.tutorial;
  const { code } = await authorize(of, { scope: 'org.permission.customer' });
  const tokens = await command('tutorial_code', of, { CODE: code });
  assert.equal(tokens.refresh_token, undefined);
});

test('any state comes back as it was', async () => {
  for (const state of ['x'.repeat(1024), 'a b&c=d+e%20', '{"a": [1, "ä 🔑"]}', '../../?#', WORLD.organization_id]) {
    assert.equal((await authorize(clients.web, { state })).state, state);
  }
});

test('troubleshooting: a client that is not there', async () => {
  const unknown = { ...clients.web, client_id: 'client_abc123' };
  const page = await new Browser(issuer).open(authorizationUrl(asked(unknown)));
  assert.equal(page.status, 400);
  assert.match(page.page, /invalid_client: Client not found/);
  assert.match(page.page, /Invalid Client/);
  const body = { grant_type: 'authorization_code', code: 'auth_xxx', client_id: 'client_abc123', client_secret: 'sk_x' };
  const request = axios.post(`${issuer}/oauth/token`, { ...body, redirect_uri: clients.web.redirect_uri });
  assert.equal(await troubleOf(request), 'invalid_client: Client not found');
});

test('troubleshooting: a client that is not active', async () => {
  const of = clients.switched;
  await manage('POST', `/v1/clients/${of.client_id}/disable`);
  const page = await new Browser(issuer).open(authorizationUrl(asked(of)));
  assert.equal(page.status, 400);
  assert.match(page.page, /invalid_client: Client not found/);
  await manage('POST', `/v1/clients/${of.client_id}/enable`);
  assert.ok((await authorize(of)).code);
});

test('troubleshooting: a redirect URI that is not registered', async () => {
  for (const change of [
    (uri) => `${uri}/`,
    (uri) => uri.replace('https:', 'http:'),
    (uri) => uri.replace('.example', '.example:8443'),
    (uri) => `${uri}?a=b`,
    (uri) => uri.replace('callback', 'Callback'),
    () => 'https://attacker.example/callback',
  ]) {
    const redirectUri = change(clients.web.redirect_uri);
    const page = await new Browser(issuer, person).open(authorizationUrl(asked(clients.web, { redirectUri })));
    assert.equal(page.status, 400, redirectUri);
    assert.match(page.page, /invalid_request: redirect_uri not registered/);
  }
});

test('troubleshooting: a scope that is not allowed or misspelt', async () => {
  for (const scope of ['openid emial', 'openid admin:users', 'openid otomate-social-pro']) {
    const { error, error_description, state } = await authorize(clients.web, { scope });
    assert.equal(`${error}: ${error_description}`, 'invalid_scope: Requested scope not allowed');
    assert.equal(state, 'random_state_value');
  }
});

test('troubleshooting: the challenge that the guide once had is one character short', async () => {
  const challenge = 'E9Mrozoa2owUednMEfp_rZxsIrxVArokAZd3KeKT9A';
  assert.equal(challenge.length, 42);
  for (const of of [clients.web, clients.spa]) {
    const { error, code } = await authorize(of, { challenge });
    assert.deepEqual([error, code], ['invalid_request', undefined]);
  }
});

test('troubleshooting: what has expired', async () => {
  const of = clients.web;
  const { code, browser } = await authorize(of);
  const live = await authorize(of, { browser });
  const tokens = await command('tutorial_code', of, { CODE: live.code });
  const time = (seconds) => axios.post(`${issuer}/dev/clock`, { advance_seconds: seconds });

  await time(301);
  const late = await command('tutorial_code', of, { CODE: code });
  assert.equal(`${late.error}: ${late.error_description}`, 'invalid_grant: Authorization code has expired');
  const userinfo = () =>
    axios.get(`${issuer}/oauth/userinfo`, { headers: { Authorization: `Bearer ${tokens.access_token}` } });
  assert.equal((await userinfo()).status, 200);
  await time(3600);
  assert.equal(await troubleOf(userinfo()), 'invalid_token: Access token is invalid or expired');
  const garbage = axios.get(`${issuer}/oauth/userinfo`, { headers: { Authorization: 'Bearer eyJhbGc...' } });
  assert.equal(await troubleOf(garbage), 'invalid_token: Access token is invalid or expired');
  const refreshed = await command('tutorial_refresh', of, { REFRESH_TOKEN: tokens.refresh_token });
  assert.ok(refreshed.access_token, JSON.stringify(refreshed));
});
