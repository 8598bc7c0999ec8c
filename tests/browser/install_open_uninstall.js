/** The demo's round without any script in the pages: every button is a form, every way a link (R057). */
import assert from 'node:assert/strict';
import {
  OLIVIA, OPTARE, SAMPLE_APP, arrival, browse, button, eventually, hasCredentials, link, openApps, openPortal, signedInAs, window,
} from './browser.js';

await browse(async (browser) => {
  const { page, complaints } = await window(browser, { javaScriptEnabled: false });
  await openPortal(page, OLIVIA);
  await openApps(page);

  await button(page, 'Install Customer Service').click();
  await page.getByText('Customer Service is installed.').waitFor();
  await eventually('the sample app has the credentials', hasCredentials);

  await link(page, 'Open Customer Service').click();
  const olivia = { ...OLIVIA, organization: 'Acme Corp', role: 'owner' };
  assert.deepEqual(await signedInAs(page), olivia);

  await link(page, 'Back to your apps').click();
  await arrival(page, `${OPTARE}/portal/apps`);
  await button(page, 'Uninstall Customer Service').click();
  await page.getByText('Customer Service is uninstalled.').waitFor();
  await button(page, 'Install Customer Service').waitFor();
  assert.equal(await link(page, 'Open Customer Service').count(), 0);
  await eventually('the sample app has forgotten the credentials', async () => !(await hasCredentials()));
  assert.deepEqual(complaints, []);

  await page.goto(`${SAMPLE_APP}/customer-service/dashboard`);
  await page.getByRole('heading', { name: 'You are signed out' }).waitFor();
  await page.getByText('Optare ID refuses the access token').waitFor();

  await openPortalAgain(page);
  await button(page, 'Install Customer Service').click();
  await eventually('the sample app has credentials again', hasCredentials);
  await link(page, 'Open Customer Service').click();
  assert.deepEqual(await signedInAs(page), olivia);
});

async function openPortalAgain(page) {
  await link(page, 'Back to your apps').click();
  await arrival(page, `${OPTARE}/portal/apps`);
}
