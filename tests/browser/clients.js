/** OAuth clients on the administration's pages, without any script in them: made, given a new secret, deleted. */
import assert from 'node:assert/strict';
import { MIA, OLIVIA, OPTARE, arrival, browse, button, link, openPortal, signIn, window } from './browser.js';

const CALLBACK = 'https://crm.example/auth/callback';

await browse(async (browser) => {
  const { page, complaints } = await window(browser, { javaScriptEnabled: false });
  await page.goto(`${OPTARE}/admin/clients`);
  await arrival(page, `${OPTARE}/sign-in`);
  await signIn(page, OLIVIA);
  await arrival(page, `${OPTARE}/admin/clients`);

  await link(page, 'Create New Client').click();
  await page.getByLabel('Name', { exact: true }).fill('Our CRM');
  await page.getByLabel('Redirect URIs').fill(`${CALLBACK}\nhttp://crm.example/callback`);
  await page.getByLabel('Application type').selectOption('Regular Web App');
  await button(page, 'Create Client').click();
  await page.getByText('Line 2 must be https://').waitFor();
  assert.equal(await page.getByLabel('Redirect URIs').getAttribute('aria-invalid'), 'true');
  assert.equal(await page.getByLabel('Name', { exact: true }).inputValue(), 'Our CRM');

  await page.getByLabel('Redirect URIs').fill(CALLBACK);
  await button(page, 'Create Client').click();
  await page.getByText('it is shown only this once').waitFor();
  const id = await page.locator('#client-id').innerText();
  const first = await page.locator('#client-secret').innerText();
  assert.match(id, /^pub_/);
  assert.match(first, /^sk_/);
  assert.equal(await isLetIn(id, first), true);
  assert.equal(await isLetIn(id, 'sk_wrong'), false);

  await page.goto(`${OPTARE}/admin/clients/${id}`);
  assert.equal(await page.getByText(first).count(), 0, 'nobody sees the secret again');
  await page.getByText(`sk_…${first.slice(-4)}`).waitFor();
  await button(page, 'Rotate Secret').click();
  await page.getByText('The secret before it works until').waitFor();
  const second = await page.locator('#client-secret').innerText();
  assert.equal(await isLetIn(id, first), true);
  assert.equal(await isLetIn(id, second), true);
  await page.getByRole('button', { name: `Revoke now the secret ending in ${first.slice(-4)}` }).click();
  await page.getByText('The secret is revoked.').waitFor();
  assert.equal(await isLetIn(id, first), false);
  assert.equal(await isLetIn(id, second), true);

  await page.getByLabel('Description (optional)').fill('Customers\nand prospects');
  await page.getByLabel('Allowed origins (optional)').fill('https://crm.example');
  await button(page, 'Save settings').click();
  await page.getByText('The settings are saved.').waitFor();
  assert.equal(await page.getByLabel('Description (optional)').inputValue(), 'Customers\nand prospects');
  assert.equal(await page.getByLabel('Redirect URIs').inputValue(), CALLBACK);

  await button(page, 'Disable').click();
  await page.getByText('The client is disabled.').waitFor();
  assert.equal(await isLetIn(id, second), false);
  await button(page, 'Enable').click();
  await page.getByText('The client is enabled.').waitFor();
  assert.equal(await isLetIn(id, second), true);

  const member = await window(browser);
  await openPortal(member.page, MIA);
  assert.equal(await link(member.page, 'OAuth Clients').count(), 0);
  for (const path of ['/admin/clients', '/admin/clients/new', `/admin/clients/${id}`, `/admin/clients/${id}/delete`]) {
    const answer = await member.page.goto(OPTARE + path);
    assert.equal(answer.status(), 403, path);
  }

  await link(page, 'Delete Application…').click();
  await link(page, 'Keep it').click();
  await link(page, 'Delete Application…').click();
  await button(page, 'Delete Application').click();
  await page.getByText('The application is deleted.').waitFor();
  assert.equal(await link(page, 'Our CRM').count(), 0);
  assert.equal(await isLetIn(id, second), false);
  assert.deepEqual(complaints, []);
});

/** Whether the token endpoint takes these credentials: then it goes on to the code, which nobody issued. */
async function isLetIn(id, secret) {
  const body = new URLSearchParams({
    grant_type: 'authorization_code', code: 'auth_nobody', redirect_uri: CALLBACK, client_id: id, client_secret: secret,
  });
  const { error } = await (await fetch(`${OPTARE}/oauth/token`, { method: 'POST', body })).json();
  assert(['invalid_grant', 'invalid_client'].includes(error), error);
  return error === 'invalid_grant';
}
