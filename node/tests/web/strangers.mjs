// Whoever is not the page: pages of elsewhere in the same browser, also such that know the token, and other names of
// this machine.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';

export async function strangers({ browser, daemon, token, port }) {
  const server = createServer((_, answer) => {
    answer.writeHead(200, { 'Content-Type': 'text/html' });
    answer.end('<!doctype html><title>elsewhere</title>');
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const page = await (await browser.newContext()).newPage();
  try {
    for (const elsewhere of [`http://127.0.0.1:${port}/`, `http://localhost:${port}/`]) {
      await page.goto(elsewhere);
      const told = await page.evaluate(tried, { origin: daemon.origin, token });
      assert.deepEqual(told, { plain: 'refused', bearer: 'refused', opaque: 'refused', script: 'refused', picture: 'refused', socket: 'refused' }, elsewhere);
      const frame = page.frames().find((it) => it.parentFrame());
      assert.match(await frame.locator('body').textContent(), /"code":"forbidden"/, 'in a frame there is no page');
    }
    // A name of somebody's that leads here.
    const rebound = daemon.origin.replace('127.0.0.1', 'rebound.test');
    const answer = await page.goto(`${rebound}/`);
    assert.equal(answer.status(), 403);
    const read = await page.evaluate(async ({ token }) => (await fetch('/v1/status', { headers: { Authorization: `Bearer ${token}` } })).status, { token });
    assert.equal(read, 403);
    // The page itself may be led to, in a tab of its own, and knows nothing there.
    await page.goto(`http://127.0.0.1:${port}/`);
    await page.evaluate((origin) => location.assign(`${origin}/`), daemon.origin);
    await page.getByText('shoal web --dir DIR').waitFor();
  } finally {
    await page.context().close();
    server.close();
  }
}

// Listens where a daemon was while something is done; gives all that it was asked.
export async function impostor(port, meanwhile) {
  const heard = [];
  const server = createServer(async (asked, answer) => {
    let body = '';
    for await (const piece of asked) body += piece;
    heard.push({ path: asked.url, authorization: asked.headers.authorization, body });
    answer.writeHead(200, { 'Content-Type': 'application/json' });
    answer.end(JSON.stringify({ proof: '0'.repeat(64), contacts: [], conversations: [] }));
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  try {
    await meanwhile();
  } finally {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  }
  return heard;
}

// What a page tries that wants to know.
async function tried({ origin, token }) {
  const asked = (path, options) => fetch(origin + path, options).then((answer) => answer.type === 'opaque' ? 'opaque' : `got ${answer.status}`, () => 'refused');
  const loaded = (name, property) => new Promise((done) => {
    const element = document.createElement(name);
    element.addEventListener('load', () => done('got it'));
    element.addEventListener('error', () => done('refused'));
    element[property] = `${origin}${name === 'img' ? '/web/icon.svg' : name === 'script' ? '/web/main.js' : '/'}`;
    document.body.append(element);
  });
  const socket = new Promise((done) => {
    const opened = new WebSocket(`${origin.replace('http', 'ws')}/v1/events/ws`, ['shoal.events', `shoal.token.${token}`]);
    opened.addEventListener('open', () => done('got it'));
    opened.addEventListener('error', () => done('refused'));
  });
  await loaded('iframe', 'src');
  return {
    plain: await asked('/v1/status'),
    bearer: await asked('/v1/status', { headers: { Authorization: `Bearer ${token}` } }),
    opaque: await asked('/v1/status', { mode: 'no-cors' }),
    script: await loaded('script', 'src'),
    picture: await loaded('img', 'src'),
    socket: await socket,
  };
}
