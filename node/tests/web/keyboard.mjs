// What somebody does who has no mouse: every stop has a name, the focus goes where the work goes, and nothing is a trap.

import assert from 'node:assert/strict';

const focused = (page) => page.evaluate(() => {
  const at = document.activeElement;
  const box = at.getBoundingClientRect();
  const label = at.labels?.[0]?.textContent;
  return { id: at.id, tag: at.tagName, name: at.getAttribute('aria-label') || label || at.textContent.trim(), seen: box.width > 0 && box.height > 0 };
});

async function tabTo(page, id, most = 30) {
  for (let steps = 0; steps < most; steps += 1) {
    const at = await focused(page);
    if (at.id === id) return;
    await page.keyboard.press('Tab');
    const next = await focused(page);
    assert.ok(next.tag === 'BODY' || (next.name && next.seen), `a stop without a name, or out of sight: ${JSON.stringify(next)}`);
  }
  throw new Error(`Tab does not lead to ${id}`);
}

// Invites somebody and gives the link.
export async function keyboard(page, whom) {
  await tabTo(page, 'open-invite');
  await page.keyboard.press('Enter');
  assert.equal((await focused(page)).id, 'heading', 'the heading of what was opened has the focus');
  await tabTo(page, 'whom');
  await page.keyboard.type(whom);
  await tabTo(page, 'make-invitation');
  await page.keyboard.press('Enter');
  await page.locator('#link').waitFor();
  await page.waitForFunction(() => document.activeElement.id === 'given');
  await tabTo(page, 'copy');
  await page.keyboard.press('Enter');
  await page.locator('#copy', { hasText: 'Copied' }).waitFor();
  const link = await page.locator('#link').inputValue();
  assert.match(link, /^shoal:[a-z2-7]+$/i);
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), link);

  // A question takes the focus, is left by Escape, and gives the focus back.
  const revoke = page.locator('.rows button').last();
  await revoke.focus();
  await page.keyboard.press('Enter');
  await page.locator('dialog').waitFor();
  assert.ok(await page.evaluate(() => document.querySelector('dialog').contains(document.activeElement)));
  await page.keyboard.press('Escape');
  await page.locator('dialog').waitFor({ state: 'detached' });
  assert.ok(await revoke.evaluate((it) => it === document.activeElement), 'the focus is where it was');
  return link;
}
