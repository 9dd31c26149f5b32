// What one writes and sends: a text, or a file.

import { api } from './api.js';
import { fileReason, refusal, slows } from './alarms.js';
import { ask } from './dialog.js';
import { button, el, foreign, icon, say as announce, withForeign } from './dom.js';
import { askFiles, model, nameOf, watch } from './model.js';
import { fileName, line } from './text.js';
import { duration, say, size } from './words.js';

const LIVES = [0, 60_000, 3_600_000, 86_400_000, 604_800_000];
const MOST_FILE_BYTES = 16 * 1024 * 1024;
// docs/files.md: a file and a head of so many bytes go in pieces, six an hour to a contact, each in packets with so many
// bytes of text, in two copies, two of them a second by the default profile.
const HEAD_BYTES = 288;
const PIECE_BYTES = 74_792;
const PIECE_SECONDS = 64;
const PIECES_AN_HOUR = 6;
const TEXT_BYTES = 1169;
const COPIES = 2;
const REAL_A_SECOND = 2;

// Texts that were not sent yet, for as long as the page is open, and the names under which they are sent once; how long what
// is written to each contact is to last; and the line in which one writes, if there is one.
const drafts = new Map();
const lives = new Map();
const sendings = new Map();
// What is being handed over to each contact: one after the other, in the order in which it was written.
const queues = new Map();
let live = null;

export function composer(contact, sent) {
  const name = () => line(nameOf(contact));
  const note = el('p', { class: 'note', id: 'compose-note' });
  const wrong = el('p', { class: 'wrong', role: 'alert', id: 'compose-wrong', hidden: true });
  const text = el('textarea', {
    id: 'compose', rows: 1, 'aria-label': say('write_to', { name: name() }), placeholder: say('write_to', { name: name() }),
    'aria-describedby': 'compose-note', '.value': drafts.get(contact)?.text ?? '', autocomplete: 'off',
  });
  const life = el('select', { id: 'life', 'aria-label': say('life') },
    LIVES.map((ms) => el('option', { value: ms, selected: ms === (lives.get(contact) ?? 0) }, ms ? say('life_of', { time: duration(ms) }) : say('life_none'))));
  const picker = el('input', { type: 'file', id: 'file', class: 'unseen', tabindex: -1, 'aria-label': say('file_choose') });
  const attach = button(icon('clip'), () => picker.click(), { class: 'icon', 'aria-label': say('file_send'), title: say('file_send'), id: 'attach' });
  const send = el('button', { type: 'submit', class: 'main icon', 'aria-label': say('send'), title: say('send') }, icon('send'));
  const form = el('form', { class: 'composer', 'aria-label': say('composer') },
    wrong, el('div', { class: 'row field' }, attach, picker, text, send), el('div', { class: 'row under' }, note, el('label', { class: 'life' }, icon('clock'), life)));

  let failedGone = false;
  const fail = (parts, gone = false) => {
    wrong.replaceChildren(...parts);
    wrong.hidden = parts.length === 0;
    failedGone = gone;
  };

  function estimate() {
    const { status } = model;
    if (failedGone && model.door === 'up') fail([]);
    const expected = status?.expected_stored_ms;
    note.textContent = !status || model.door !== 'up' ? say('note_down')
      : !status.online ? say('note_offline')
      : status.alarms.some(slows) ? say('note_trouble')
      : expected ? say('note_expected', { time: duration(expected), name: name() }) : say('note_soon');
  }

  // What is written anew, or is to last as long as another, is another message: it has a name of its own.
  const anew = () => drafts.set(contact, { text: text.value, key: crypto.randomUUID() });
  text.addEventListener('input', () => {
    anew();
    fail([]);
  });
  life.addEventListener('change', () => {
    lives.set(contact, Number(life.value));
    if (drafts.has(contact)) anew();
  });
  text.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing || matchMedia('(pointer: coarse)').matches) return;
    event.preventDefault();
    form.requestSubmit();
  });
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    text.focus();
    const draft = drafts.get(contact);
    if (!draft?.text.trim()) return;
    // It leaves the line at once: what is typed meanwhile is the next one.
    drafts.delete(contact);
    text.value = '';
    fail([]);
    try {
      const lasting = Number(life.value);
      const sending = (queues.get(contact) ?? Promise.resolve()).then(() => api.send(contact, draft.text, lasting, draft.key));
      queues.set(contact, sending.catch(() => {}));
      const accepted = await sending;
      model.expected.set(accepted.message, accepted.expected_stored_ms);
      announce(say('queued_expected', { time: duration(accepted.expected_stored_ms) }));
      sent();
    } catch (error) {
      // It is in the line again, before what was typed meanwhile, after what failed before it; alone, it is the same message still.
      const next = drafts.get(contact);
      const both = next?.failed ? [next, draft] : [draft, next];
      drafts.set(contact, next ? { text: both.map((it) => it.text).join('\n'), key: crypto.randomUUID(), failed: true } : { ...draft, failed: true });
      if (live?.contact === contact) live.again(refusal(error), error.gone || error.code === 'stranger');
    }
  });
  picker.addEventListener('change', async () => {
    const [file] = picker.files;
    if (file) await give(contact, file, fail);
    picker.value = '';
    attach.focus();
  });
  const unwatch = watch(['status', 'door'], estimate);
  estimate();
  live = {
    contact,
    again(parts, gone) {
      text.value = drafts.get(contact)?.text ?? '';
      fail(parts, gone);
    },
  };
  const own = live;
  const leave = () => {
    unwatch();
    if (live === own) live = null;
  };
  return { element: form, focus: () => text.focus(), leave };
}

async function give(contact, file, fail) {
  fail([]);
  if (file.size > MOST_FILE_BYTES) return fail([say('refused_too_large')]);
  const all = file.size + HEAD_BYTES;
  const pieces = Math.ceil(all / PIECE_BYTES);
  // Pieces go one after the other, the last of them in as many packets as it takes.
  const last = Math.ceil((all - (pieces - 1) * PIECE_BYTES) / TEXT_BYTES) * COPIES / REAL_A_SECOND;
  const waits = Math.floor((pieces - 1) / PIECES_AN_HOUR) * 3600;
  const least = (waits || (pieces - 1) * PIECE_SECONDS) * 1000 + last * 1000;
  const words = say('file_ask', { size: size(file.size), time: duration(least) });
  const body = [el('p', {}, foreign(file.name)), el('p', {}, words), el('p', { class: 'small' }, say('file_ask_more'))];
  if (!await ask(say('file_ask_title', { name: line(nameOf(contact)) }), body, say('send'))) return;
  // Tried again after no answer came, it is the same sending.
  const sending = JSON.stringify([contact, file.name, file.size, file.lastModified]);
  if (!sendings.has(sending)) sendings.set(sending, crypto.randomUUID());
  try {
    await api.sendFile(contact, fileName(file.name), await file.arrayBuffer(), sendings.get(sending));
    sendings.delete(sending);
    await askFiles();
    announce(say('file_taken'));
  } catch (error) {
    fail(error.code === 'invalid' ? withForeign(say('file_not_taken'), 'why', error.message) : error.gone ? refusal(error) : fileReason(error.message));
  }
}
