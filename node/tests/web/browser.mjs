// A browser whose pages are watched: nothing may be run that a text brought, asked of elsewhere, or said on the console.

import { mkdtempSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { chromium } from 'playwright-core';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
  '--host-resolver-rules=MAP rebound.test 127.0.0.1'];

export const trouble = [];

export async function start() {
  const shots = process.env.SHOAL_WEB_SHOTS;
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS, downloadsPath: mkdtempSync(path.join(tmpdir(), 'shoal-web-')) });
  return { browser, shots };
}

// A page of a context of its own. What comes of `allowed` is no trouble.
export async function open(browser, { width = 1280, height = 800, dark = false, language = 'en-GB', axe = true, origin, allowed = [] }) {
  const context = await browser.newContext({
    viewport: { width, height }, colorScheme: dark ? 'dark' : 'light', locale: language, timezoneId: 'Europe/Berlin', reducedMotion: 'reduce', acceptDownloads: true,
  });
  await context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin }).catch(() => {});
  await context.addInitScript(() => {
    window.violations = [];
    addEventListener('securitypolicyviolation', (event) => window.violations.push(`${event.violatedDirective} ${event.sourceFile}`));
  });
  if (axe) await context.addInitScript(AXE);
  await live(context);
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  const tell = (words) => allowed.some((it) => words.includes(it)) || trouble.push(words);
  page.on('pageerror', (error) => tell(`error: ${error.stack}`));
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && tell(`console: ${message.text()}`));
  page.on('dialog', (dialog) => (tell(`dialog: ${dialog.message()}`), dialog.dismiss()));
  page.on('request', (request) => request.url().startsWith(origin) || request.url().startsWith('blob:') || tell(`asked of elsewhere: ${request.url()}`));
  return page;
}

// With SHOAL_WEB_LIVE, a folder, the page's files are those that stand there now, and not those that are in the binary:
// for who works on the page.
async function live(context) {
  const folder = process.env.SHOAL_WEB_LIVE;
  if (!folder) return;
  await context.route(/:\d+\/(web\/[\w.-]+)?$/, async (route) => {
    const name = new URL(route.request().url()).pathname.replace('/web/', '').replace(/^\/$/, 'index.html');
    const response = await route.fetch();
    await route.fulfill({ response, body: readFileSync(path.join(folder, name)) });
  });
}

// That nothing ran that was not the page's own.
export async function nothingRan(page, what) {
  const { ran, violations } = await page.evaluate(() => ({ ran: window.ran, violations: window.violations }));
  if (ran !== undefined) throw new Error(`${what}: something ran: ${ran}`);
  if (violations.length) throw new Error(`${what}: ${violations.join(', ')}`);
}

// What axe-core finds wrong with a page, for people who can't see it, or hear, or use a mouse.
export async function accessible(page, what) {
  const before = await page.evaluate(() => window.violations.length);
  const found = await page.evaluate(async () => {
    const { violations } = await window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] });
    return violations.map((it) => `${it.id}: ${it.help}\n  ${it.nodes.slice(0, 3).map((node) => `${node.html.slice(0, 160)} ${node.any.map((any) => any.message).join('; ')}`).join('\n  ')}`);
  });
  // axe-core may try what the policy forbids: that is not the page's doing.
  await page.evaluate((kept) => (window.violations.length = kept), before);
  if (found.length) throw new Error(`${what}:\n${found.join('\n')}`);
}
