/** Signing in and installing an app with nothing but the keyboard. */
import assert from 'node:assert/strict';
import { OLIVIA, OPTARE, arrival, browse, eventually, hasCredentials, window } from './browser.js';

await browse(async (browser) => {
  const { page } = await window(browser);
  await page.goto(OPTARE);
  await page.locator('#email:focus').waitFor();
  await page.keyboard.type(OLIVIA.email);
  await page.keyboard.press('Tab');
  await page.keyboard.type('demo-password');
  await page.keyboard.press('Tab');
  assert.equal(await focused(page), 'Sign in');
  await page.keyboard.press('Enter');
  await arrival(page, `${OPTARE}/portal/dashboard`);

  await page.keyboard.press('Tab');
  assert.equal(await focused(page), 'Skip to content');
  await page.keyboard.press('Enter');
  await tabTo(page, 'Apps of Acme Corp');
  await page.keyboard.press('Enter');
  await arrival(page, `${OPTARE}/portal/apps`);
  await tabTo(page, 'Install Customer Service');
  await page.keyboard.press('Enter');
  await eventually('the sample app has the credentials', hasCredentials);
});

async function tabTo(page, name) {
  const passed = [];
  for (let presses = 0; presses < 30; presses += 1) {
    await page.keyboard.press('Tab');
    const now = await focused(page);
    if (now === name) return;
    passed.push(now);
  }
  assert.fail(`Tab does not reach ${name}; it went over ${passed.join(', ')}`);
}

/** The text of what has the focus, which must be seen to have it. */
async function focused(page) {
  const { text, outline } = await page.evaluate(() => {
    const element = document.activeElement;
    return { text: element.textContent.trim(), outline: getComputedStyle(element).outlineStyle };
  });
  assert.notEqual(outline, 'none', `${text} has the focus and does not show it`);
  return text;
}
