/** Signing in that begins at the app: the form of the sign-in page leads over two redirects to another origin. */
import assert from 'node:assert/strict';
import { MIA, OLIVIA, OPTARE, arrival, browse, button, link, openApps, openPortal, signIn, signedInAs, window } from './browser.js';

await browse(async (browser) => {
  const owner = await window(browser);
  await openPortal(owner.page, OLIVIA);
  await openApps(owner.page);
  await button(owner.page, 'Install Customer Service').click();
  const way = await link(owner.page, 'Open Customer Service').getAttribute('href');
  assert(way.startsWith('/oauth/authorize?'), way);

  for (const javaScriptEnabled of [true, false]) {
    const { page, complaints, close } = await window(browser, { javaScriptEnabled });
    await page.goto(OPTARE + way);
    await arrival(page, `${OPTARE}/sign-in`);
    await signIn(page, MIA, 'not the password');
    await page.getByText('E-mail address or password is wrong').waitFor();
    await signIn(page, MIA);
    assert.deepEqual(await signedInAs(page), { ...MIA, organization: 'Acme Corp', role: 'member' });
    assert.deepEqual(complaints, []);
    await close();
  }
  assert.deepEqual(owner.complaints, []);
});
