/** What a member sees and may do, from a mistyped password to signing out. */
import assert from 'node:assert/strict';
import { MIA, OLIVIA, OPTARE, arrival, browse, button, link, openApps, openPortal, signIn, signedInAs, window } from './browser.js';

await browse(async (browser) => {
  const owner = await window(browser);
  await openPortal(owner.page, OLIVIA);
  await openApps(owner.page);
  await button(owner.page, 'Install Customer Service').click();
  await link(owner.page, 'Open Customer Service').waitFor();

  const { page, complaints } = await window(browser);
  await page.goto(`${OPTARE}/portal/apps`);
  await arrival(page, `${OPTARE}/sign-in`);
  await signIn(page, MIA, 'not the password');
  await page.getByRole('alert').getByText('E-mail address or password is wrong').waitFor();
  assert.equal(await page.getByLabel('E-mail address').inputValue(), MIA.email);
  assert.equal(await page.getByLabel('Password').inputValue(), '');
  await signIn(page, MIA);
  await arrival(page, `${OPTARE}/portal/apps`);

  await page.getByText(MIA.name).waitFor();
  assert.equal(await page.getByRole('button', { name: /install/i }).count(), 0);
  await link(page, 'Open Customer Service').click();
  assert.deepEqual(await signedInAs(page), { ...MIA, organization: 'Acme Corp', role: 'member' });

  await link(page, 'Back to your apps').click();
  await button(page, 'Sign out').click();
  await page.getByText('You are signed out.').waitFor();
  for (const path of ['dashboard', 'apps', 'subscriptions']) {
    await page.goto(`${OPTARE}/portal/${path}`);
    await arrival(page, `${OPTARE}/sign-in`);
  }
  await page.goBack();
  await arrival(page, `${OPTARE}/sign-in`);
  assert.deepEqual(complaints, []);
});
