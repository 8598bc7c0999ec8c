/** The pictures of the README; they are written only with UPDATE_SCREENSHOTS, so that tests change no file. */
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { OLIVIA, browse, button, link, openApps, openPortal, signedInAs, window } from './browser.js';

await browse(async (browser) => {
  const { page } = await window(browser, { colorScheme: 'light' });
  await openPortal(page, OLIVIA);
  await openApps(page);
  await button(page, 'Install Customer Service').click();
  await link(page, 'Open Customer Service').waitFor();
  // Without the message that it was just installed.
  await openApps(page);
  await take(page, 'apps.png');
  await link(page, 'Open Customer Service').click();
  await signedInAs(page);
  await take(page, 'sample-app.png');
});

async function take(page, name) {
  const path = process.env.UPDATE_SCREENSHOTS && fileURLToPath(new URL(`../../docs/${name}`, import.meta.url));
  const picture = await page.screenshot(path ? { path } : {});
  assert(picture.length > 0);
}
