/** Registering, confirming the address, a second factor and signing out everywhere, without any script in the pages. */
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { OPTARE, arrival, browse, button, eventually, link, window } from './browser.js';

const ZOE = { name: 'Zoë Newcomer', email: 'zoe@new.example', password: 'a fine long password' };

await browse(async (browser) => {
  const { page, complaints } = await window(browser, { javaScriptEnabled: false });
  await page.goto(`${OPTARE}/sign-in`);
  await link(page, 'Create an account').click();
  await page.getByLabel('Your name').fill(ZOE.name);
  await page.getByLabel('E-mail address').fill(ZOE.email);
  await page.getByLabel('Password').fill(ZOE.password);
  await button(page, 'Create account').click();
  await page.getByRole('heading', { name: 'Look into your mailbox' }).waitFor();

  await page.goto(await linkInMailTo(ZOE.email));
  await button(page, 'Yes, confirm it').click();
  await page.getByText('Your e-mail address is confirmed.').waitFor();
  await signIn(page, ZOE);
  await page.getByText('No organization yet').waitFor();
  await page.getByRole('navigation').getByRole('link', { name: 'Account' }).click();
  await page.getByText('confirmed', { exact: true }).waitFor();

  await link(page, 'Two-factor sign-in settings').click();
  await page.getByLabel('Your current password').fill(ZOE.password);
  await button(page, 'Set up').click();
  const secret = (await page.locator('#secret').textContent()).replaceAll(' ', '');
  await page.getByRole('img', { name: 'QR code' }).waitFor();
  await page.getByLabel('The code that the app shows').fill(codeOf(secret));
  await button(page, 'Turn on').click();
  await page.getByRole('heading', { name: 'Your recovery codes' }).waitFor();
  const recovery = await page.locator('.codes code').allTextContents();
  assert.equal(recovery.length, 10);
  await link(page, 'I have kept them').click();
  await page.getByText('Two-factor sign-in is on.').waitFor();

  await link(page, 'Your account').click();
  await link(page, 'See your sessions').click();
  await page.getByText('This browser').waitFor();
  await page.getByRole('button', { name: 'Sign out everywhere' }).click();
  await page.getByText('You are signed out everywhere.').waitFor();

  await signIn(page, ZOE);
  await page.getByLabel('Code').fill('not the code');
  await button(page, 'Sign in').click();
  await page.getByRole('alert').getByText('This code is wrong').waitFor();
  await page.getByLabel('Code').fill(recovery[0]);
  await button(page, 'Sign in').click();
  await arrival(page, `${OPTARE}/portal/dashboard`);
  assert.deepEqual(complaints, []);
});

async function signIn(page, person) {
  await page.getByLabel('E-mail address').fill(person.email);
  await page.getByLabel('Password').fill(person.password);
  await button(page, 'Sign in').click();
}

/** The link in the only mail to an address. */
async function linkInMailTo(address) {
  const folder = join(process.env.OPTARE_DATA, 'mail');
  let found;
  await eventually(`a mail to ${address}`, async () => {
    const files = (await readdir(folder).catch(() => [])).filter((file) => file.endsWith('.eml'));
    const mails = await Promise.all(files.map((file) => readFile(join(folder, file), 'utf8')));
    found = mails.find((mail) => mail.includes(`To: ${address}`));
    return found;
  });
  return found.split('\r\n').find((line) => line.startsWith('http'));
}

/** The code of now (RFC 6238). */
function codeOf(secret) {
  const bits = [...secret].map((digit) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(digit).toString(2).padStart(5, '0')).join('');
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const step = Buffer.alloc(8);
  step.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000)));
  const tag = createHmac('sha1', key).update(step).digest();
  const number = tag.readUInt32BE(tag[19] & 15) & 0x7fffffff;
  return String(number % 1_000_000).padStart(6, '0');
}
