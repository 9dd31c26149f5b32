// Somebody at a page: types, writes, sends a file, looks at the traffic, until there is no more input. Says on a line of
// its own when the page is there, each time a text is sent, and in the end what was done.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { nothingRan, open, start, trouble } from './browser.mjs';

const { SHOAL_LINK: link, SHOAL_WITH: contact, SHOAL_TEXT: text } = process.env;
let over = false;
once(process.stdin.resume(), 'end').then(() => (over = true));

const { browser } = await start();
try {
  const page = await open(browser, { origin: new URL(link).origin, axe: false });
  await page.goto(link);
  const talk = page.locator('.talk', { hasText: contact });
  await talk.click();
  const compose = page.locator('#compose');
  await compose.waitFor();
  console.log('open');

  await page.locator('#file').setInputFiles({ name: 'a file.bin', mimeType: 'application/octet-stream', buffer: Buffer.alloc(70_000, 7) });
  await page.locator('dialog button.main').click();
  await page.locator('.parcel', { hasText: 'a file.bin' }).waitFor();
  let texts = 0;
  let looks = 0;
  while (!over) {
    const typed = text.slice(0, 1 + Math.floor(Math.random() * 8));
    await compose.pressSequentially(typed);
    await page.keyboard.insertText(text.slice(typed.length));
    console.log('send');
    await compose.press('Enter');
    await page.waitForFunction(() => document.getElementById('compose').value === '');
    texts += 1;
    if (texts % 10) continue;
    // Both pictures of the traffic move meanwhile.
    await page.locator('#open-network').click();
    await page.locator('canvas.traffic:not(.small)').waitFor();
    await talk.click();
    await compose.waitFor();
    looks += 1;
  }
  const shown = await page.locator('.said .own').count();
  const heard = await page.locator('.said .theirs').count();
  // The last lines are shown, with what came among them.
  assert.ok(shown > 0 && heard > 0, `${shown} of ${texts} are shown, and ${heard} that came`);
  await nothingRan(page, 'the page');
  assert.deepEqual(trouble, []);
  console.log(`done ${texts} texts, ${heard} shown that came, ${looks} looks at the traffic`);
} finally {
  await browser.close();
}
