// What this page knows of the daemon. It is asked for, never guessed: an event only says what to ask for again.

import { api, follow } from './api.js';
import { coalesced } from './dom.js';
import { Traffic } from './traffic.js';

const POLL_MS = 1000;
const LATER_MS = 2000;

export const model = {
  // `opening`, `up`, `down` (nobody answers), `stranger` (somebody else does), `denied` (the token is another) or `old` (it can't do all that this page needs).
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
  // How many files have come from whom while nobody looked.
  fresh: new Map(),
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
  else if (error.code === 'stranger') door('stranger');
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

// Most pages that are fetched at once to reach the lines that are here.
const MOST_PAGES = 40;

// Asks for the newest lines with a contact, back to those that are here.
export async function askLines(contact) {
  const pages = await fetched(contact).catch((error) => {
    // Who is no contact any more has no conversation.
    if (error.status === 404) return gone(contact);
    return failed(error);
  });
  if (!pages) return;
  const lines = pages.flatMap((page) => page.lines);
  const known = model.said.get(contact);
  const numbers = new Set(lines.map((line) => line.number));
  // A daemon that keeps nothing numbers anew when it starts.
  const anew = lines.some((line) => known?.lines.has(line.number) && known.lines.get(line.number).message !== line.message);
  const whole = !known || anew || !pages[0].earlier || pages[0].lines[0]?.number <= Math.max(...known.lines.keys());
  // What has been shown stays in sight until one goes elsewhere, also where the daemon keeps nothing that was read.
  const before = watched.has(contact) && whole && !anew ? [...(known?.lines ?? [])].filter(([number]) => !numbers.has(number)) : [];
  const older = before.some(([number]) => number < Math.min(...numbers));
  model.said.set(contact, {
    lines: new Map([...before, ...lines.map((line) => [line.number, line])]),
    earlier: older ? known.earlier : pages[0].earlier,
  });
  tell('lines', { contact });
}

async function fetched(contact) {
  const pages = [await api.lines(contact)];
  const known = model.said.get(contact);
  const newest = known?.lines.size ? Math.max(...known.lines.keys()) : null;
  while (newest !== null && pages[0].earlier && pages[0].lines[0]?.number > newest && pages.length < MOST_PAGES) {
    pages.unshift(await api.lines(contact, pages[0].lines[0].number));
  }
  return pages;
}

function gone(contact) {
  model.said.delete(contact);
  tell('lines', { contact });
  return askPeople();
}

export async function askEarlier(contact) {
  const known = model.said.get(contact);
  if (!known?.lines.size) return;
  const page = await api.lines(contact, Math.min(...known.lines.keys())).catch((error) => (error.status === 404 ? gone(contact) : failed(error)));
  if (!page) return;
  known.lines = new Map([...page.lines.map((line) => [line.number, line]), ...known.lines]);
  known.earlier = page.earlier;
  tell('lines', { contact, earlier: true });
}

// Whose lines are shown, so that they are asked for again when something happened to one.
export function showLinesOf(contact) {
  watched.forEach((before) => model.said.delete(before));
  watched.clear();
  if (!contact) return;
  watched.add(contact);
  if (model.fresh.delete(contact)) tell('conversations');
}

const askShown = asking(async () => {
  await askConversations();
  await Promise.all([...watched].map(askLines));
});

const askAll = () => Promise.all([askStatus(), askPeople(), askInvitations(), askFiles(), askShown()]);

const OF_LINES = new Set(['accepted', 'sent', 'stored', 'delivered', 'hindered', 'expired', 'received', 'vanished']);

// What is to be asked for again when this has happened.
function askAfter({ event }) {
  if (OF_LINES.has(event)) return askShown();
  if (event === 'file') return askFiles();
  if (event === 'missed') return askAll();
  if (event === 'met' || event === 'leaked') return Promise.all([askPeople(), askInvitations(), askShown()]);
  return askStatus();
}

// The daemon was there and could not tell: it is asked again, for all.
function askLater() {
  setTimeout(() => model.door === 'up' && askAll().catch(askLater), LATER_MS);
}

async function heard(event) {
  if (event.event === 'file' && event.incoming && event.state === 'complete' && !watched.has(event.contact)) {
    model.fresh.set(event.contact, (model.fresh.get(event.contact) ?? 0) + 1);
    tell('conversations');
  }
  tell('event', event);
  await askAfter(event);
}

// Asks for all, and follows what happens from then on.
export async function open() {
  // Pictures have the colours of the day or of the night.
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => tell('status'));
  let following = false;
  follow({
    heard: (event) => heard(event).catch(askLater),
    broken: ({ code }) => {
      following = false;
      door(code === 'unauthorized' || code === 'forbidden' ? 'denied' : code === 'stranger' ? 'stranger' : 'down');
    },
    again: async () => {
      following = true;
      try {
        await askAll();
        door('up');
      } catch (error) {
        door(error.status === 404 ? 'old' : 'down');
      }
    },
  });
  setInterval(async () => {
    if (!following || model.door === 'denied') return;
    const asked = model.status;
    await askStatus().catch(() => {});
    // One question may have failed while events came on.
    if (following && model.door === 'down' && model.status !== asked) door('up');
  }, POLL_MS);
}

export const nameOf = (key) => model.contacts.get(key)?.label || model.conversations.find((it) => it.contact === key)?.label || short(key);

const short = (key) => `${key.slice(0, 6)}…`;

export const filesOf = (contact) => model.files.filter((file) => file.contact === contact);
