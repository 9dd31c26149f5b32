// What this page knows of the daemon. It is asked for, never guessed: an event only says what to ask for again.

import { api, follow } from './api.js';
import { coalesced } from './dom.js';
import { Traffic } from './traffic.js';

const POLL_MS = 1000;

export const model = {
  // `opening`, `up`, `down` (nobody answers), `denied` (the token is another) or `old` (it can't do all that this page needs).
  door: 'opening',
  status: null,
  contacts: new Map(),
  conversations: [],
  invitations: [],
  files: [],
  // Lines by contact: `{ lines: Map of number to line, earlier }`.
  said: new Map(),
  // What a send was told: expected milliseconds by message.
  expected: new Map(),
  traffic: new Traffic(),
};

const changed = new EventTarget();
const watched = new Set();

// Calls back when one of these changed: `door`, `status`, `people`, `conversations`, `lines`, `files`, `invitations`.
export function watch(topics, heard) {
  topics.forEach((topic) => changed.addEventListener(topic, heard));
  return () => topics.forEach((topic) => changed.removeEventListener(topic, heard));
}

function tell(topic, detail) {
  changed.dispatchEvent(new CustomEvent(topic, { detail }));
}

function door(state) {
  if (model.door === state) return;
  model.door = state;
  tell('door');
}

// Nobody who asks for what is shown has to know whether the daemon is there: the door says so.
function failed(error) {
  if (error.gone) door('down');
  else if (error.code === 'unauthorized' || error.code === 'forbidden') door('denied');
  else throw error;
}

const asking = (work) => coalesced(() => work().catch(failed));

const askStatus = asking(async () => {
  const status = await api.status();
  const before = model.status;
  model.status = status;
  model.traffic.take(status, performance.now());
  tell('status', { before });
});

export const askPeople = asking(async () => {
  const { contacts } = await api.contacts();
  model.contacts = new Map(contacts.map((contact) => [contact.key, contact]));
  tell('people');
});

export const askInvitations = asking(async () => {
  model.invitations = (await api.invitations()).invitations;
  tell('invitations');
});

export const askFiles = asking(async () => {
  model.files = (await api.files()).files;
  tell('files');
});

export const askConversations = asking(async () => {
  model.conversations = (await api.conversations()).conversations;
  tell('conversations');
});

// Asks for the newest lines with a contact, and keeps the earlier ones that were asked for.
export async function askLines(contact) {
  const page = await api.lines(contact).catch(failed);
  if (!page) return;
  const known = model.said.get(contact);
  const numbers = page.lines.map((line) => line.number);
  const first = numbers.length ? Math.min(...numbers) : Infinity;
  const older = [...(known?.lines ?? [])].filter(([number]) => number < first);
  const joins = page.earlier && older.length > 0;
  model.said.set(contact, {
    lines: new Map([...(joins ? older : []), ...page.lines.map((line) => [line.number, line])]),
    earlier: joins ? known.earlier : page.earlier,
  });
  tell('lines', { contact });
}

export async function askEarlier(contact) {
  const known = model.said.get(contact);
  if (!known?.lines.size) return;
  const page = await api.lines(contact, Math.min(...known.lines.keys())).catch(failed);
  if (!page) return;
  known.lines = new Map([...page.lines.map((line) => [line.number, line]), ...known.lines]);
  known.earlier = page.earlier;
  tell('lines', { contact, earlier: true });
}

// Whose lines are shown, so that they are asked for again when something happened to one.
export function showLinesOf(contact) {
  watched.clear();
  if (contact) watched.add(contact);
}

const askShown = asking(async () => {
  await askConversations();
  await Promise.all([...watched].map(askLines));
});

const askAll = () => Promise.all([askStatus(), askPeople(), askInvitations(), askFiles(), askShown()]);

const OF_LINES = new Set(['accepted', 'sent', 'stored', 'delivered', 'hindered', 'expired', 'received', 'vanished']);

function heard(event) {
  if (OF_LINES.has(event.event)) askShown();
  else if (event.event === 'file') askFiles();
  else if (event.event === 'missed') askAll();
  else if (event.event === 'met' || event.event === 'leaked') Promise.all([askPeople(), askInvitations(), askShown()]);
  else askStatus();
  tell('event', event);
}

// Asks for all, and follows what happens from then on.
export async function open() {
  follow({
    heard,
    broken: ({ code }) => door(code === 'unauthorized' || code === 'forbidden' ? 'denied' : 'down'),
    again: async () => {
      try {
        await askAll();
        door('up');
      } catch (error) {
        door(error.status === 404 ? 'old' : 'down');
      }
    },
  });
  setInterval(() => {
    if (model.door === 'up') askStatus();
  }, POLL_MS);
}

export const nameOf = (key) => model.contacts.get(key)?.label || model.conversations.find((it) => it.contact === key)?.name || short(key);

const short = (key) => `${key.slice(0, 6)}…`;

export const filesOf = (contact) => model.files.filter((file) => file.contact === contact);
