/** Our client in a single-page app of another origin: CORS, Web Crypto and the tab's storage as a browser has them. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { OPTARE, SAMPLE_APP, arrival, browse, button, signIn, window } from './browser.js';

const { clients, person } = JSON.parse(process.env.OIDC_WORLD);
const CLIENT = readFileSync(new URL('../../libs/apps/dist/src/optare-client.js', import.meta.url));

const PAGE = `<!doctype html><html lang="en"><title>A single-page app</title><link rel="icon" href="data:,">
<button id="in">Sign in</button> <button id="refresh">Refresh</button> <button id="out">Sign out</button> <p id="who"></p>
<script type="module">
  import { OptareClient } from '/optare-client.js';
  const { auth } = new OptareClient({ domain: '${OPTARE}', clientId: '${clients.single_page.client_id}' });
  const tell = (text) => { document.querySelector('#who').textContent = text; };
  const on = (id, act) => document.querySelector(id).addEventListener('click', () => act().catch((error) => tell(error.message)));
  let tokens;
  on('#in', () => auth.signIn({ redirectUri: location.origin + '/callback', scope: 'openid profile offline_access' }));
  on('#refresh', async () => {
    tokens = { ...tokens, ...(await auth.refresh(tokens.refresh_token)) };
    tell('Still ' + (await auth.getUser(tokens.access_token)).name);
  });
  on('#out', async () => {
    await auth.revoke(tokens.refresh_token);
    location.assign(auth.signOutUrl({ idToken: tokens.id_token, returnTo: location.origin + '/' }));
  });
  if (location.pathname === '/callback') {
    ({ tokens } = await auth.handleCallback());
    tell('Hello ' + (await auth.getUser(tokens.access_token)).name);
  }
</script></html>`;

const app = createServer((request, response) => {
  const [type, body] = request.url === '/optare-client.js' ? ['text/javascript', CLIENT] : ['text/html', PAGE];
  response.writeHead(200, { 'Content-Type': type }).end(body);
});
await new Promise((listening) => app.listen(Number(new URL(SAMPLE_APP).port), 'localhost', listening));

try {
  await browse(async (browser) => {
    const { page, complaints } = await window(browser);
    await page.goto(`${SAMPLE_APP}/`);
    await button(page, 'Sign in').click();
    await arrival(page, `${OPTARE}/sign-in`);
    await signIn(page, person, person.password);
    await page.getByText(`Hello ${person.name}`).waitFor();
    await button(page, 'Refresh').click();
    await page.getByText(`Still ${person.name}`).waitFor();

    // A reload loses the tokens; the session at Optare ID gives new ones without a page.
    await page.goto(`${SAMPLE_APP}/`);
    await button(page, 'Sign in').click();
    await page.getByText(`Hello ${person.name}`).waitFor();
    assert.deepEqual(complaints, []);

    await button(page, 'Sign out').click();
    await arrival(page, `${SAMPLE_APP}/`);
    await button(page, 'Sign in').click();
    await arrival(page, `${OPTARE}/sign-in`);
    assert.deepEqual(complaints, []);
  });
} finally {
  app.close();
}
