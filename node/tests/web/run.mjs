// The page from end to end: two daemons of a real network, a browser for each, and what a user does with them.

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { accessible, nothingRan, open, start, trouble } from './browser.mjs';
import { Daemon } from './daemons.mjs';
import { keyboard } from './keyboard.mjs';
import { impostor, strangers } from './strangers.mjs';

const { SHOAL_BIN: shoal, SHOAL_PLACE: place, SHOAL_PORTS: ports } = process.env;
const [alicesPort, bobsPort, otherPort] = ports.split(',').map(Number);
const begun = performance.now();
const step = (words) => console.log(`${((performance.now() - begun) / 1000).toFixed(1).padStart(6)} s  ${words}`);

const { browser, shots } = await start();
const daemons = { alice: new Daemon(shoal, place, 'alice', alicesPort), bob: new Daemon(shoal, place, 'bob', bobsPort) };

async function shot(page, name) {
  if (!shots) return;
  mkdirSync(shots, { recursive: true });
  // A picture that does not come says nothing of the page.
  await page.screenshot({ path: path.join(shots, `${name}.png`), timeout: 20_000 }).catch((error) => step(`no picture of ${name}: ${error.message.split('\n')[0]}`));
}

// One that the documents show.
async function picture(page, name) {
  const folder = process.env.SHOAL_WEB_PICTURES;
  if (!folder) return;
  mkdirSync(folder, { recursive: true });
  await page.evaluate(() => document.activeElement?.blur());
  await page.screenshot({ path: path.join(folder, `${name}.png`) });
}

const HOSTILE = '<img src=x onerror="window.ran=1"><script>window.ran=2</script> javascript:window.ran=3 \u202egnp.exe \u0007\u001b[2J';
const HOSTILE_NAME = '<b onclick=window.ran=4>x</b>&lt;';
const HOSTILE_FILE = '<img src=x onerror=window.ran=5>.html';

async function main() {
  await Promise.all(Object.values(daemons).map((daemon) => daemon.start()));
  await Promise.all(Object.values(daemons).flatMap((daemon) => [daemon.until('online'), daemon.until('open')]));
  const links = {};
  for (const [name, daemon] of Object.entries(daemons)) links[name] = await daemon.link();
  step('both daemons are there');

  await paint(await daemons.alice.link());
  await locked();
  const alice = await open(browser, { origin: daemons.alice.origin, allowed: ['ERR_CONNECTION_REFUSED', 'ERR_INCOMPLETE_CHUNKED', 'ERR_EMPTY_RESPONSE', 'ERR_CONNECTION_RESET'] });
  const bob = await open(browser, { width: 360, height: 740, dark: true, language: 'de-DE', origin: daemons.bob.origin, allowed: ['422', 'ERR_CONNECTION_REFUSED', 'ERR_INCOMPLETE_CHUNKED', 'ERR_EMPTY_RESPONSE', 'ERR_CONNECTION_RESET'] });
  await alice.goto(links.alice);
  await bob.goto(links.bob);
  await usedUp(links.alice);
  assert.equal(await alice.evaluate(() => location.href), `${daemons.alice.origin}/`, 'the token is out of the address');
  await alice.getByText('Connected', { exact: true }).waitFor();
  await bob.locator('.side').getByText('Verbunden').waitFor();
  await every(alice, 'welcome');
  await every(bob, 'welcome');

  // By the keyboard alone.
  const invitation = await keyboard(alice, 'Bob');
  step('invited by the keyboard');
  await every(alice, 'invite');
  await bob.locator('#open-accept').click();
  await every(bob, 'accept');
  await bob.locator('#invitation').fill('shoal:nonsense');
  await bob.locator('#accept').click();
  await bob.locator('#accept-wrong').waitFor();
  await every(bob, 'accept, with an error');
  await bob.locator('#invitation').fill(invitation);
  await bob.locator('#their-name').fill('\u202eecilA');
  await bob.locator('#accept').click();
  await bob.locator('#accept-wrong', { hasText: 'Zeichen' }).waitFor();
  await bob.locator('#their-name').fill(HOSTILE_NAME);
  await bob.locator('#accept').click();
  await bob.locator('#compose').waitFor();
  await bob.locator('#heading', { hasText: HOSTILE_NAME }).waitFor();
  await alice.locator('.talk', { hasText: 'Bob' }).waitFor();
  step('accepted: each has the other');

  // Both ways, and what it becomes.
  await alice.locator('.talk', { hasText: 'Bob' }).click();
  await verify(alice, bob);
  await every(alice, 'contact');
  await alice.locator('.back').click();
  step('verified');
  await alice.locator('.note', { hasText: 'Reaches the mailbox of Bob in about' }).waitFor();
  await write(alice, 'Hello Bob. Are you well?');
  await alice.locator('.said .own', { hasText: 'about' }).waitFor();
  await bob.locator('.said .theirs', { hasText: 'Hello Bob. Are you well?' }).waitFor();
  step('a message has come');
  const spoken = bob.locator('#said');
  await spoken.getByText(/Nachricht von .*Hello Bob/).waitFor({ state: 'attached' });
  await alice.locator('.said .own[data-state=stored], .said .own[data-state=delivered]').waitFor();
  await bob.locator('#open-contact').click();
  await bob.locator('#label').fill('Alice');
  await bob.locator('#save-label').click();
  await bob.locator('#heading', { hasText: 'Alice' }).waitFor();
  await bob.locator('#reads').check();
  await bob.locator('#reads:checked').waitFor();
  await bob.locator('.back').click();
  await write(bob, 'Very well, thank you. Shall we meet at the harbour on Saturday? I can bring the boat, if the wind is right.');
  await alice.locator('.said .theirs', { hasText: 'harbour' }).waitFor();
  await write(alice, 'Gladly. Ten o’clock?');
  await alice.locator('.said .own[data-state=stored]', { hasText: 'Ten' }).waitFor();
  await bob.locator('.said .theirs', { hasText: 'Ten' }).waitFor();
  await write(bob, 'Ten it is. Nobody will know but us.');
  await alice.locator('.said .theirs', { hasText: 'Nobody will know' }).waitFor();
  await bob.locator('#file').setInputFiles({ name: 'chart of the harbour.txt', mimeType: 'text/plain', buffer: Buffer.from('Keep left of the green light.\n'.repeat(30)) });
  await bob.locator('dialog button.main').click();
  await alice.locator('.parcel', { hasText: 'chart' }).locator('[data-does=save]').waitFor();
  await picture(alice, 'web');
  await picture(bob, 'web-phone');
  await write(bob, HOSTILE);
  const hostile = alice.locator('.said .theirs', { hasText: '<script>window.ran=2</script>' });
  await hostile.waitFor();
  assert.equal(await hostile.locator('img, script, a').count(), 0, 'it is shown, and nothing is made of it');
  assert.match(await hostile.textContent(), /\\u\{202e\}gnp\.exe \\u\{7\}\\u\{1b\}\[2J/);
  await nothingRan(alice, 'a text');
  step('a hostile text is a text');

  // It has a minute to live, from the minute in which it is written on: what becomes of it is looked at in the end.
  await alice.locator('#life').selectOption('60000');
  await write(alice, 'This one is gone soon.');
  await alice.locator('#life').selectOption('0');
  await alice.locator('.said .own', { hasText: 'This one is gone soon.' }).getByText('Disappears').waitFor();
  await bob.locator('.said .theirs', { hasText: 'This one is gone soon.' }).waitFor();
  step('a message with a minute to live has come');

  const content = 'The chart of the harbour.\n'.repeat(40);
  await bob.locator('#file').setInputFiles({ name: HOSTILE_FILE, mimeType: 'text/html', buffer: Buffer.from(content) });
  await bob.locator('dialog').waitFor();
  await every(bob, 'the question before a file', { dialog: true });
  await bob.locator('dialog button.main').click();
  await bob.locator('.parcel', { hasText: 'onerror' }).waitFor();

  await write(alice, 'I have it. Shall we meet on Saturday?');
  await bob.locator('.said .theirs', { hasText: 'Shall we meet' }).waitFor();
  await every(alice, 'conversation');
  await every(bob, 'conversation');
  await traffic(alice, bob);
  await alarms(alice);
  await restart(alice, bob);
  const save = alice.locator('.parcel', { hasText: 'onerror' }).locator('[data-does=save]');
  await save.waitFor({ timeout: 180_000 });
  const [download] = await Promise.all([alice.waitForEvent('download'), save.click()]);
  assert.match(download.suggestedFilename(), /^[^<>:"/\\|?*\p{Cc}]+\.html$/u);
  assert.equal(readFileSync(await download.path(), 'utf8'), content);
  await nothingRan(alice, 'a file and its name');
  step(`a file has come and is saved as ${download.suggestedFilename()}`);
  await strangers({ browser, daemon: daemons.alice, token: daemons.alice.token(), port: otherPort });
  step('pages of elsewhere and other names are refused');

  await alice.locator('.said .own', { hasText: 'This one is gone soon.' }).waitFor({ state: 'detached', timeout: 150_000 });
  await bob.locator('.said .theirs', { hasText: 'This one is gone soon.' }).waitFor({ state: 'detached', timeout: 150_000 });
  step('what had a minute to live is gone at both ends');
  await states(alice);
  await part(alice);
  for (const [name, page] of Object.entries({ alice, bob })) await nothingRan(page, name);
  assert.deepEqual(trouble, []);
}

// How soon something is seen, and how much comes for it.
async function paint(link) {
  const page = await open(browser, { axe: false, origin: daemons.alice.origin });
  const sizes = [];
  page.on('response', (answer) => /\/(web\/.*)?$/.test(new URL(answer.url()).pathname) && sizes.push(answer.body().then((body) => body.length, () => 0)));
  const found = [];
  for (let turn = 0; turn < 5; turn += 1) {
    await page.goto('about:blank');
    // The tab has been let in: the second time it needs no link.
    await page.goto(turn ? daemons.alice.origin : link);
    await page.locator('.side .network').waitFor();
    const seen = await page.waitForFunction(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime);
    found.push(await seen.jsonValue());
  }
  const bytes = (await Promise.all(sizes)).reduce((all, it) => all + it, 0) / found.length;
  found.sort((one, other) => one - other);
  step(`first paint after ${found.map((ms) => ms.toFixed(0)).join(', ')} ms; ${Math.round(bytes)} bytes in all`);
  assert.ok(bytes > 10_000 && bytes < 300_000, `${bytes}`);
  const headers = (await page.goto(daemons.alice.origin).then(() => page.request.get(daemons.alice.origin))).headers();
  assert.match(headers['content-security-policy'], /default-src 'none'.*trusted-types 'none'/);
  await nothingRan(page, 'opening');
  await page.context().close();
}

// Without the token it says what to do.
async function locked() {
  for (const [address, words] of [['/', 'it opens only with the link'], [`/#${'0'.repeat(64)}`, 'has been used, or is too old']]) {
    const page = await open(browser, { width: 360, origin: daemons.alice.origin, allowed: ['401', '404'] });
    await page.goto(daemons.alice.origin + address);
    await page.getByText(words).waitFor();
    await page.getByText('shoal web --dir DIR').waitFor();
    await every(page, words);
    assert.equal(await page.evaluate(() => sessionStorage.length), 0);
    await page.context().close();
  }
  step('who has no token is told what to do');
}

// What stays in a browser's history opens nothing.
async function usedUp(link) {
  const page = await open(browser, { origin: daemons.alice.origin, axe: false, allowed: ['404'] });
  await page.goto(link);
  await page.getByText('has been used, or is too old').waitFor();
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  await page.context().close();
  step('a link opens once');
}

async function write(page, text) {
  await page.locator('#compose').fill(text);
  await page.locator('#compose').press('Enter');
  await page.waitForFunction(() => document.getElementById('compose').value === '');
}

async function verify(alice, bob) {
  const numbers = [];
  for (const page of [alice, bob]) {
    await page.locator('#open-contact').click();
    await page.locator('.number li').first().waitFor();
    numbers.push(await page.locator('.number li').allTextContents());
    await page.locator('#verify').click();
    await page.waitForFunction(() => document.getElementById('verify') && document.querySelector('#safety .icon'));
  }
  assert.equal(numbers[0].length, 12);
  assert.deepEqual(numbers[0], numbers[1], 'both see the same');
  await bob.locator('.back').click();
}

// It shows itself changing, and that what is written changes nothing of how much leaves.
async function traffic(alice, bob) {
  for (const page of [alice, bob]) {
    if (await page.locator('.conversation .back').isVisible()) await page.locator('.conversation .back').click();
    await page.locator('#open-network').click();
    await page.locator('canvas.traffic:not(.small)').waitFor();
  }
  await alice.waitForFunction(() => /± \S+ packets a second\. While nothing/.test(document.querySelector('.compared').textContent), null, { timeout: 90_000 });
  step(await alice.locator('.compared').textContent());
  await picture(alice, 'web-traffic');
  for (const page of [alice, bob]) await every(page, 'network');
  await bob.locator('.page .back').click();
  await bob.locator('.talk').first().click();
  await alice.locator('.talk', { hasText: 'Bob' }).click();
}

// What is wrong is said in words, and what the daemon says of it stays a text.
async function alarms(alice) {
  const told = ['the network has too few providers of different families for two mailboxes: what waits in the only one is lost if its provider is',
    '<img src=x onerror=window.ran=6> of a kind that nobody knows'];
  await alice.route('**/v1/status', async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, json: { ...await response.json(), alarms: told } });
  });
  await alice.locator('#open-network').getByText('2 things to know').waitFor();
  await alice.locator('#open-network').click();
  await alice.getByText('You have one mailbox only, because this network is small.').waitFor();
  await alice.locator('.alarm .quote', { hasText: '<img src=x' }).waitFor();
  await every(alice, 'alarms');
  await alice.unroute('**/v1/status');
  await alice.locator('.state.good').waitFor();
  await alice.locator('.talk', { hasText: 'Bob' }).click();
  step('what is wrong is said in words');
}

// The daemon stops and comes again: the page says so, and goes on.
async function restart(alice, bob) {
  await daemons.bob.stop();
  await bob.locator('.banner').getByText('antwortet nicht').waitFor();
  await every(bob, 'the daemon is gone');
  await write(alice, 'You were away when I wrote this.');
  await alice.locator('.said .own', { hasText: 'You were away' }).locator('xpath=self::*[@data-state="stored"]').waitFor();
  // Another user of the machine takes its port meanwhile, and says what a daemon says.
  const heard = await impostor(bobsPort, async () => {
    await bob.locator('.banner').getByText('antwortet etwas anderes').waitFor();
    await bob.locator('#compose').fill('A secret');
    await bob.locator('#compose').press('Enter');
    await bob.locator('#compose-wrong').waitFor();
    await bob.locator('#compose').fill('');
  });
  assert.ok(heard.length > 0 && heard.every((it) => it.path.startsWith('/web/proof/')), JSON.stringify(heard));
  assert.ok(heard.every((it) => !it.authorization && !it.body), 'the token is shown to nobody else');
  step('who takes the port of a daemon that is gone is shown nothing');
  await daemons.bob.start();
  await bob.locator('.said .theirs', { hasText: 'You were away when I wrote this.' }).waitFor();
  await bob.locator('.banner').waitFor({ state: 'hidden' });
  step('the page went on after the daemon was stopped and started');
}

// Every state has its words. Those that a contact tells come within ten minutes, at a drawn time: here the daemon's answer is
// changed. The client’s tests have the real ones, in virtual time.
async function states(alice) {
  const own = alice.locator('.said .own', { hasText: 'Gladly. Ten' });
  for (const [state, words] of [['queued', 'Waiting to leave'], ['sent', 'On its way'], ['delivered', 'Arrived at Bob'], ['read', 'Read by Bob'], ['expired', 'Not delivered']]) {
    await alice.route(/\/v1\/conversations\/./, async (route) => {
      const response = await route.fetch();
      const page = await response.json();
      page.lines?.forEach((line) => line.text.startsWith('Gladly') && (line.state = state));
      await route.fulfill({ response, json: page });
    });
    await alice.locator('.page .back, .conversation .back').first().click({ timeout: 2_000 }).catch(() => {});
    await alice.locator('#open-network').click();
    await alice.locator('.talk', { hasText: 'Bob' }).click();
    await own.locator(`xpath=self::*[@data-state="${state}"]`).getByText(words).first().waitFor();
    await accessible(alice, state);
    await alice.unroute(/\/v1\/conversations\/./);
  }
  step('each state has its words');
}

async function part(alice) {
  await alice.locator('#open-contact').click();
  await alice.locator('#block').click();
  await every(alice, 'the question before a block', { dialog: true });
  await alice.locator('dialog button.danger').click();
  await alice.locator('#block', { hasText: 'End the block' }).waitFor();
  await alice.locator('.back').click();
  await alice.locator('.notice', { hasText: 'blocked' }).waitFor();
  assert.equal(await alice.locator('#compose').count(), 0);
  await alice.locator('#open-contact').click();
  await alice.locator('#remove').click();
  await alice.locator('dialog button.danger').click();
  await alice.locator('h1', { hasText: 'Welcome' }).waitFor();
  assert.equal(await alice.locator('.talk').count(), 0);
  step('blocked and removed');
}

// The view as it is on a phone and on a desk, by day and by night.
async function every(page, what, { dialog = false } = {}) {
  const before = page.viewportSize();
  const night = await page.evaluate(() => matchMedia('(prefers-color-scheme: dark)').matches);
  for (const width of [360, 1280]) {
    await page.setViewportSize({ width, height: width === 360 ? 740 : 800 });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(wide <= width, `${what} at ${width}: ${wide} wide`);
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme });
      await accessible(page, `${what}, ${width}, ${colorScheme}`);
      if (!dialog) await page.waitForTimeout(50);
      await shot(page, `${what.replace(/\W+/g, '-')}-${width}-${colorScheme}`);
    }
  }
  await page.setViewportSize(before);
  await page.emulateMedia({ colorScheme: night ? 'dark' : 'light' });
}

try {
  await main();
  step('done');
} catch (error) {
  for (const [index, context] of browser.contexts().entries()) {
    for (const page of context.pages()) await shot(page, `failed-${index}`).catch(() => {});
  }
  console.error(error);
  console.error(trouble);
  process.exitCode = 1;
} finally {
  await browser.close();
  await Promise.all(Object.values(daemons).map((daemon) => daemon.child && daemon.stop()));
}
