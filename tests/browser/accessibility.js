/** WCAG 2.2 level AA as far as axe can tell, in light and dark, and no page wider than a small phone. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { MIA, OLIVIA, OPTARE, arrival, browse, button, openApps, openPortal, signIn, window } from './browser.js';

const AXE = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const LEVELS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22a', 'wcag22aa'];
/** 1280 pixels at 400 % (WCAG 1.4.10). */
const NARROW = { width: 320, height: 640 };
const WIDE = { width: 1200, height: 800 };

/** Pages that everybody sees, and pages of somebody who signed in. */
const OUTSIDE = [
  '/sign-in', '/sign-in?done=signed-out', '/sign-in/code', '/register', '/verify-email?token=none', '/forgot-password',
  '/reset-password?token=none', '/oauth/authorize?client_id=app_unknown', '/no/such/page',
];
const INSIDE = [
  '/portal/dashboard', '/portal/apps', '/portal/subscriptions', '/portal/oauth-clients', '/account', '/account/password', '/account/two-factor',
  '/account/sessions', '/admin/clients', '/admin/clients/new',
];

await browse(async (browser) => {
  const faults = [];
  const owner = await window(browser);
  await openPortal(owner.page, OLIVIA);
  await openApps(owner.page);
  await button(owner.page, 'Install Customer Service').click();
  await owner.page.getByText('Customer Service is installed.').waitFor();
  const confirmation = owner.page.url().slice(OPTARE.length);
  await owner.page.goto(`${OPTARE}/admin/clients/new`);
  await owner.page.getByLabel('Name', { exact: true }).fill('Our CRM');
  await button(owner.page, 'Create Client').click();
  const client = `/admin/clients/${await owner.page.locator('#client-id').innerText()}`;
  await button(owner.page, 'Rotate Secret').click();
  await owner.page.locator('#client-secret').waitFor();
  INSIDE.push(client, `${client}/delete`);

  for (const colorScheme of ['light', 'dark']) {
    // axe is a script, which the pages' policy forbids.
    const { page } = await window(browser, { colorScheme, bypassCSP: true });
    const visit = async (path) => {
      await page.goto(OPTARE + path);
      assert.equal(page.url(), OPTARE + path);
      await check(path);
    };
    const check = async (what) => {
      for (const viewport of [WIDE, NARROW]) {
        await page.setViewportSize(viewport);
        faults.push(...(await faultsOf(page)).map((fault) => `${what} ${colorScheme} ${viewport.width}: ${fault}`));
      }
    };
    for (const path of OUTSIDE) await visit(path);
    await page.goto(OPTARE);
    await signIn(page, MIA, 'not the password');
    await page.getByRole('alert').waitFor();
    await check('a refused sign-in');
    await signIn(page, OLIVIA);
    await arrival(page, `${OPTARE}/portal/dashboard`);
    for (const path of [...INSIDE, confirmation]) await visit(path);

    await page.goto(OPTARE + client);
    await button(page, 'Rotate Secret').click();
    await check('a new secret');
    await page.getByLabel('Redirect URIs').fill('http://crm.example');
    await button(page, 'Save settings').click();
    await page.getByRole('alert').waitFor();
    await check('refused settings');
    await page.goto(`${OPTARE}/account/two-factor`);
    await page.getByLabel('Your current password').fill('demo-password');
    await button(page, 'Set up').click();
    await arrival(page, `${OPTARE}/account/two-factor/set-up`);
    await check('a second factor being set up');
    await page.goto(`${OPTARE}/language?to=de&back=/account`);
    for (const path of INSIDE) await visit(path);
    assert.equal(await page.locator('html').getAttribute('lang'), 'de');
  }
  assert.deepEqual(faults, []);
});

async function faultsOf(page) {
  await page.evaluate(AXE);
  const results = await page.evaluate((levels) => globalThis.axe.run(document, { runOnly: levels }), LEVELS);
  // Proof that axe saw the page and looked for what WCAG 2.2 added.
  const looked = [...results.passes, ...results.violations].map((rule) => rule.id);
  for (const rule of ['color-contrast', 'document-title', 'target-size']) assert(looked.includes(rule), looked.join());

  const faults = results.violations.map((rule) => `${rule.id}: ${rule.nodes.map((node) => node.failureSummary + node.html).join('; ')}`);
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  const room = page.viewportSize().width;
  if (width > room) faults.push(`${width} pixels wide, ${room} there are`);
  return faults;
}
