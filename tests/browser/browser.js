/** Debian's Chromium with a profile of its own, and what the scripts do in it again and again. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';

export const OPTARE = process.env.OPTARE_URL;
export const SAMPLE_APP = process.env.SAMPLE_APP_URL;
assert(OPTARE && SAMPLE_APP, 'OPTARE_URL and SAMPLE_APP_URL are the addresses that `optare demo` prints');

export const OLIVIA = { email: 'olivia@acme.example', name: 'Olivia Owner' };
export const MIA = { email: 'mia@acme.example', name: 'Mia Member' };
const PASSWORD = 'demo-password';

const CHROMIUM = '/usr/bin/chromium';
const ARGUMENTS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** Runs `visit` in a browser that closes with it, and tells what there was to see if it fails. */
export async function browse(visit) {
  if (!existsSync(CHROMIUM)) throw new Error(`${CHROMIUM} is missing: install the Debian package chromium`);
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ARGUMENTS });
  try {
    await visit(browser);
  } catch (error) {
    for (const { page, complaints } of windows.filter(({ page }) => !page.isClosed())) {
      console.error(`${page.url()} shows:\n${await page.locator('body').innerText()}\n${complaints.join('\n')}\n`);
    }
    throw error;
  } finally {
    await browser.close();
  }
}

const windows = [];

/**
 * Somebody's browser window: its first page, on which `complaints` gathers what the browser has to complain about,
 * e.g. a form that the Content-Security-Policy stopped.
 */
export async function window(browser, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1200, height: 800 }, ...options });
  const complaints = [];
  await context.exposeBinding('complain', (_, complaint) => complaints.push(complaint));
  await context.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (violation) => {
      globalThis.complain(`${violation.effectiveDirective} stopped ${violation.blockedURI || 'inline'}`);
    });
  });
  context.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(`${message.text()} (${message.location().url})`);
  });
  context.on('weberror', (error) => complaints.push(error.error().message));
  const page = await context.newPage();
  windows.push({ page, complaints });
  return { page, complaints, close: () => context.close() };
}

/** Fills in the sign-in page that is open. */
export async function signIn(page, person, password = PASSWORD) {
  await page.getByLabel('E-mail address').fill(person.email);
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

export async function openPortal(page, person) {
  await page.goto(OPTARE);
  await signIn(page, person);
  await arrival(page, `${OPTARE}/portal/dashboard`);
}

export async function openApps(page) {
  await page.getByRole('navigation').getByRole('link', { name: 'Apps', exact: true }).click();
  await page.getByRole('heading', { name: 'Apps', level: 1 }).waitFor();
}

export function button(page, name) {
  return page.getByRole('button', { name, exact: true });
}

export function link(page, name) {
  return page.getByRole('link', { name, exact: true });
}

/** Waits until the page shows `address`, whatever its query is. */
export async function arrival(page, address) {
  await page.waitForURL((url) => url.origin + url.pathname === address);
}

/** What the sample app tells about who is signed in. */
export async function signedInAs(page) {
  await arrival(page, `${SAMPLE_APP}/customer-service/dashboard`);
  const text = (id) => page.locator(`#${id}`).textContent();
  return { name: await text('name'), email: await text('email'), organization: await text('organization'), role: await text('role') };
}

/** Whether the webhook with the credentials of Customer Service has arrived at the sample app. */
export async function hasCredentials() {
  const home = await (await fetch(SAMPLE_APP)).text();
  return /<li>Customer Service: org_\w+ → app_\w+<\/li>/.test(home);
}

/** Looks again and again until it is so, and gives up after ten seconds. */
export async function eventually(what, look) {
  const end = Date.now() + 10_000;
  while (!(await look())) {
    assert(Date.now() < end, `waited ten seconds in vain: ${what}`);
    await new Promise((awake) => setTimeout(awake, 20));
  }
}
