// The local API, as this page asks it. Nothing else is asked by anybody here.

const TOKEN = 'shoal.token';
// How long a daemon may take for a proof: who passes it on to one that has yet to start has no longer.
const PATIENCE_MS = 2000;

let token = null;

// Takes the token: that which this tab has, or for the code behind the `#`, which is good once. The code stays in the history
// of the browser, and is worth nothing there. Gives what is wrong, if it is: there was no link, or one that is used.
export async function takeToken() {
  const code = location.hash.slice(1);
  if (location.hash) history.replaceState(null, '', '/');
  token = /^[0-9a-f]{64}$/.test(code) ? await enter(code).catch(() => null) : null;
  if (token) sessionStorage.setItem(TOKEN, token);
  token ??= sessionStorage.getItem(TOKEN);
  return token ? null : code ? 'used' : 'none';
}

// Who answers is shown the code's name only, and has to know the code: the token comes under it.
async function enter(code) {
  const name = hex(await mac(code, 'shoal page link'));
  const told = await (await fetch(`/web/enter/${name}`, { cache: 'no-store', credentials: 'omit', redirect: 'error', signal: AbortSignal.timeout(PATIENCE_MS) })).json();
  const port = location.port || 80;
  if (told.proof !== hex(await mac(code, `shoal page proof ${port} ${told.hidden}`))) return null;
  const pad = new Uint8Array(await mac(code, `shoal page token ${port}`));
  return hex(pad.map((byte, at) => byte ^ Number.parseInt(told.hidden.slice(2 * at, 2 * at + 2), 16)));
}

async function mac(key, words) {
  const encoder = new TextEncoder();
  const sealing = await crypto.subtle.importKey('raw', encoder.encode(key), { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
  return crypto.subtle.sign('HMAC', sealing, encoder.encode(words));
}

export function forgetToken() {
  token = null;
  sessionStorage.removeItem(TOKEN);
}

// What the daemon said instead of doing it: `code` for programs, `message` in English for people. With `gone` it said
// nothing, because it was not there.
export class Refused extends Error {
  constructor(code, message, status = 0) {
    super(message);
    this.code = code;
    this.status = status;
  }

  get gone() {
    return this.code === 'gone';
  }
}

// Whether who answers here is the daemon whose page this is: while that does not run, another user of this machine may
// listen at its port, and is not to be shown the token. When nobody answered, it has to be proven again.
let proven = true;
let proving = null;

const hex = (bytes) => [...new Uint8Array(bytes)].map((byte) => byte.toString(16).padStart(2, '0')).join('');

async function prove() {
  const challenge = hex(crypto.getRandomValues(new Uint8Array(32)));
  let told;
  try {
    const answer = await fetch(`/web/proof/${challenge}`, { cache: 'no-store', credentials: 'omit', redirect: 'error', signal: AbortSignal.timeout(PATIENCE_MS) });
    told = await answer.json();
  } catch (error) {
    throw new Refused('gone', String(error.message));
  }
  const proof = hex(await mac(token, `shoal page ${location.port || 80} ${challenge}`));
  if (told.proof !== proof) throw new Refused('stranger', '');
  proven = true;
}

async function asked(method, path, { body, kind, headers = {} } = {}) {
  const all = { Authorization: `Bearer ${token}`, ...headers };
  if (body !== undefined) all['Content-Type'] = kind ?? 'application/json';
  if (!proven) await (proving ??= prove().finally(() => (proving = null)));
  let answer;
  try {
    answer = await fetch(path, { method, headers: all, body, cache: 'no-store', credentials: 'omit', redirect: 'error', referrerPolicy: 'no-referrer' });
  } catch (error) {
    proven = false;
    throw new Refused('gone', String(error.message));
  }
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({}));
  throw new Refused(told.code ?? 'internal', told.message ?? answer.statusText, answer.status);
}

async function json(method, path, value, headers) {
  const body = value === undefined ? undefined : JSON.stringify(value);
  const answer = await asked(method, path, { body, headers });
  try {
    return answer.status === 204 ? null : await answer.json();
  } catch (error) {
    throw new Refused('gone', String(error.message));
  }
}

const part = encodeURIComponent;

export const api = {
  status: () => json('GET', '/v1/status'),
  profiles: () => json('GET', '/v1/profiles'),
  contacts: () => json('GET', '/v1/contacts'),
  accept: (invitation, label) => json('POST', '/v1/contacts', { invitation, label }),
  change: (contact, change) => json('PATCH', `/v1/contacts/${part(contact)}`, change),
  remove: (contact) => json('DELETE', `/v1/contacts/${part(contact)}`),
  invitations: () => json('GET', '/v1/invitations'),
  invite: (invite) => json('POST', '/v1/invitations', invite),
  revoke: (id) => json('DELETE', `/v1/invitations/${part(id)}`),
  conversations: () => json('GET', '/v1/conversations'),
  lines: (contact, before) => json('GET', `/v1/conversations/${part(contact)}?limit=50${before === undefined ? '' : `&before=${before}`}`),
  read: (contact, upTo) => json('POST', `/v1/conversations/${part(contact)}/read`, { up_to: upTo }),
  forget: (contact) => json('DELETE', `/v1/conversations/${part(contact)}`),
  send: (to, text, life, key) => json('POST', '/v1/messages', { to, text, ...(life ? { life_ms: life } : {}) }, { 'Idempotency-Key': key }),
  files: () => json('GET', '/v1/files'),
  removeFile: (file) => json('DELETE', `/v1/files/${part(file)}`),
  qr: (text) => json('POST', '/v1/qr', { text }),
  async sendFile(to, name, content, key) {
    const path = `/v1/files?to=${part(to)}&name=${part(name)}`;
    return (await asked('POST', path, { body: content, kind: 'application/octet-stream', headers: { 'Idempotency-Key': key } })).json();
  },
  async content(file) {
    return (await asked('GET', `/v1/files/${part(file)}/content`)).blob();
  },
};

// Follows what happens, from now on and over every break: `heard` gets each event, `broken` is called when there is no
// connection, and `again` when there is one.
export async function follow({ heard, broken, again }) {
  let last = null;
  let wait = 250;
  for (;;) {
    try {
      const answer = await asked('GET', '/v1/events', { headers: last ? { 'Last-Event-ID': last } : {} });
      again(last === null);
      wait = 250;
      for await (const event of events(answer.body)) {
        last = event.id;
        heard(event);
      }
      proven = false;
      broken(new Refused('gone', ''));
    } catch (error) {
      proven &&= error instanceof Refused;
      broken(error);
      if (error.code === 'unauthorized' || error.code === 'forbidden') return;
    }
    await new Promise((done) => setTimeout(done, wait));
    wait = Math.min(wait * 2, 4000);
  }
}

// The events in a stream of server-sent ones, whose data are one line of JSON each.
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value;
    const lines = rest.split('\n');
    rest = lines.pop();
    for (const line of lines) {
      if (line.startsWith('data:')) yield JSON.parse(line.slice(5));
    }
  }
}
