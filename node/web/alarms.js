// What is wrong, in words: what happened, what it means for the person, what to do. The daemon says it in English, in a
// text each; what is not known here is shown as it said it.

import { el, foreign } from './dom.js';
import { say } from './words.js';

const KNOWN = [
  [/no document of the network that is in force/, 'no_document'],
  [/enters by has left the network/, 'entry_missing'],
  [/mailboxes is not in the network now/, 'mailbox_missing'],
  [/enters by the provider that has its mailbox/, 'entry_is_mailbox'],
  [/packets that this client sent to itself were lost/, 'loops_lost'],
  [/deposits were not answered/, 'receipts_lost'],
  [/packets from a mailbox were lost/, 'stream_lost'],
  [/nothing has come from a mailbox/, 'stream_paused'],
  [/too few providers of different families/, 'one_copy'],
  [/state cannot be saved/, 'storage'],
  [/too many unread messages of one sender/, 'share_full'],
  [/too many unread messages/, 'inbox_full'],
  [/refuses drop ids/, 'drops_refused'],
  [/more contacts than drop ids/, 'drops_shared'],
  [/had seen a newer copy/, 'newer_copy'],
  [/taken the mailbox over/, 'superseded'],
];

const OF_MESSAGES = [
  [/not in the network now/, 'provider_missing'],
  [/mailbox refuses it/, 'refused'],
  [/no answer/, 'no_answer'],
];

const OF_FILES = [
  [/as much waits at the contact's mailbox/, 'silent'],
  [/too much waits to be sent/, 'no_room'],
  [/no contact yet/, 'newcomer'],
  [/there is no room/, 'full'],
];

const found = (table, text) => table.find(([pattern]) => pattern.test(text))?.[1];

// That the daemon is not there, with the command that has it at the address where this page looks for it.
export const doorDown = () => say('door_down', { command: `shoal daemon --dir DIR --api ${location.host}` });

// Whether it makes messages late, so that nobody is promised the usual time.
const SLOWING = new Set(['no_document', 'entry_missing', 'mailbox_missing', 'loops_lost', 'receipts_lost', 'stream_lost', 'stream_paused']);
export const slows = (text) => SLOWING.has(found(KNOWN, text));

export const kindOf = (text) => found(KNOWN, text);

// An alarm as three sentences.
export function alarm(text) {
  const kind = kindOf(text);
  const raw = el('p', { class: 'small' }, say('daemon_says'), ' ', foreign(text, { kind: 'quote' }));
  if (!kind) return [el('p', {}, el('strong', {}, say('alarm_unknown'))), raw];
  return [
    el('p', {}, el('strong', {}, say(`alarm_${kind}`))),
    el('p', {}, say(`alarm_${kind}_means`)),
    el('p', {}, say(`alarm_${kind}_do`)),
    raw,
  ];
}

const inWords = (table, prefix, text) => {
  const kind = found(table, text);
  return kind ? [say(`${prefix}${kind}`)] : [foreign(text)];
};

export const hindrance = (text) => inWords(OF_MESSAGES, 'hindered_', text);
export const fileReason = (text) => inWords(OF_FILES, 'file_reason_', text);

// That a name was not taken for what is in it.
export const odd = (error) => error.code === 'invalid' && /^a name has/.test(error.message);

// Why a request was not done, for people. Some of what can happen is said in the language of the page.
export function refusal(error) {
  if (error.gone) return [say('door_down')];
  if (error.code === 'stranger') return [say('door_stranger')];
  if (error.code === 'busy') return [say('refused_busy'), ' ', foreign(error.message, { kind: 'quote' })];
  if (error.code === 'superseded') return [say('alarm_superseded')];
  if (odd(error)) return [say('label_odd')];
  if (error.code === 'too_large') return [say('refused_too_large')];
  return [foreign(error.message || String(error), { kind: 'quote' })];
}
