// What was said with a contact, and the files that went between the two.

import { api } from './api.js';
import { fileReason, hindrance, refusal } from './alarms.js';
import { composer } from './composer.js';
import { ask } from './dialog.js';
import { button, el, foreign, icon, say as announce, withForeign } from './dom.js';
import { askConversations, askEarlier, askFiles, askLines, filesOf, model, nameOf, showLinesOf, watch } from './model.js';
import { fileName, line } from './text.js';
import { clock, count, day, duration, moment, say, size } from './words.js';

const FINAL = new Set(['stored', 'delivered', 'read', 'expired']);
const FRESH_US = 30e6;
const ICONS = { queued: 'clock', sent: 'sent', stored: 'stored', delivered: 'delivered', read: 'delivered', expired: 'failed' };

export function view(app, key) {
  showLinesOf(key);
  const heading = el('h1', { tabindex: -1, id: 'heading' });
  const sub = el('p', { class: 'small' });
  const earlier = button(say('earlier'), () => askEarlier(key), { class: 'quiet', hidden: true });
  const list = el('ol', { class: 'said' });
  const nothing = el('p', { class: 'hint', hidden: true });
  const scroll = el('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': say('messages') }, earlier, nothing, list);
  const notice = el('div', { class: 'notice', hidden: true });
  const foot = el('div', { class: 'foot' });
  const element = el('div', { class: 'conversation' },
    el('header', { class: 'top' },
      button(icon('back'), () => app.back(), { class: 'icon back', 'aria-label': say('back') }),
      el('div', { class: 'who' }, heading, sub),
      button([icon('person'), el('span', { class: 'wide' }, say('details'))], () => app.go('contact', key), { id: 'open-contact', 'aria-label': say('details') })),
    notice, scroll, foot);

  const shown = new Map();
  const states = new Map();
  const behind = new Map();
  let writing = null;
  let toEnd = true;
  let readUpTo = -1;
  let fetching = false;

  scroll.addEventListener('scroll', () => {
    toEnd = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 60;
    if (toEnd) markRead();
  });

  function people() {
    const contact = model.contacts.get(key);
    heading.replaceChildren(foreign(nameOf(key)));
    sub.replaceChildren(...(!contact ? [] : contact.verified ? [icon('shield'), say('verified')]
      : [say('not_verified'), ' ', button(say('verify_now'), () => app.go('contact', key), { class: 'link' })]));
    sub.classList.toggle('good', Boolean(contact?.verified));
    const words = !contact ? say('contact_gone') : contact.blocked ? say('contact_blocked') : contact.needs_invitation ? say('contact_needs_invitation')
      : !contact.known ? say('contact_newcomer') : '';
    notice.hidden = !words;
    notice.textContent = words;
    const may = Boolean(contact) && !contact.blocked && !contact.needs_invitation;
    if (may && !writing) {
      writing = composer(key, () => {
        toEnd = true;
      });
      foot.replaceChildren(writing.element);
    } else if (!may && writing) {
      writing.leave();
      writing = null;
      foot.replaceChildren();
    }
  }

  // Lines in their order, and each file behind those that were written up to when it was begun.
  function items() {
    const said = model.said.get(key);
    const now = Date.now() * 1000;
    const minute = (micros) => Math.floor(micros / 6e7);
    for (const [number, it] of said?.lines ?? []) if (it.expires_at_us <= now) said.lines.delete(number);
    const lines = [...(said?.lines.values() ?? [])].sort((one, other) => one.number - other.number);
    const found = lines.map((it) => ({ id: `line-${it.number}`, micros: it.at_us, line: it }));
    // Those of before the lines that are shown come with these.
    const first = said?.earlier && found.length ? minute(found[0].micros) : -Infinity;
    for (const file of [...filesOf(key)].sort((one, other) => one.begun_at_us - other.begun_at_us)) {
      const at = minute(file.begun_at_us);
      if (at < first) continue;
      // Of lines only the minute is known: what is begun in sight stays behind those that were there.
      if (!behind.has(file.file)) behind.set(file.file, said && now - file.begun_at_us < FRESH_US ? lines.at(-1)?.number ?? 0 : null);
      const number = behind.get(file.file);
      const after = found.findLastIndex((it) => number === null ? minute(it.micros) <= at : it.line ? it.line.number <= number : it.micros <= file.begun_at_us);
      found.splice(after + 1, 0, { id: `file-${file.file}`, micros: file.begun_at_us, file });
    }
    return found;
  }

  function draw() {
    const said = model.said.get(key);
    earlier.hidden = !said?.earlier;
    const wanted = items();
    nothing.hidden = wanted.length > 0 || !said;
    nothing.replaceChildren(...withForeign(say('nothing_said'), 'name', nameOf(key)));
    const elements = [];
    const kept = new Set();
    let last = '';
    for (const item of wanted) {
      const date = day(item.micros);
      if (date !== last) elements.push(keep(`day-${date}`, date, () => el('li', { class: 'day' }, el('span', {}, date))));
      last = date;
      elements.push(keep(item.id, JSON.stringify(item.line ?? item.file) + (item.line ? model.expected.get(item.line.message) ?? '' : ''),
        () => item.line ? bubble(item.line, key) : parcel(item.file)));
    }
    function keep(id, as, make) {
      kept.add(id);
      const known = shown.get(id);
      if (known?.as === as) return known.element;
      const element = make();
      const focus = known?.element.contains(document.activeElement) ? document.activeElement.dataset.does : undefined;
      shown.set(id, { as, element, refocus: focus });
      return element;
    }
    for (const id of shown.keys()) if (!kept.has(id)) shown.delete(id);
    const same = elements.length === list.children.length && elements.every((it, at) => list.children[at] === it);
    if (!same) {
      const height = scroll.scrollHeight;
      list.replaceChildren(...elements);
      if (!toEnd && height) scroll.scrollTop += scroll.scrollHeight - height > 0 && scroll.scrollTop < 40 ? scroll.scrollHeight - height : 0;
    }
    for (const it of shown.values()) {
      if (it.refocus) it.element.querySelector(`[data-does="${it.refocus}"]`)?.focus();
      it.refocus = undefined;
    }
    if (toEnd) scroll.scrollTop = scroll.scrollHeight;
    tellStates(said);
    markRead();
  }

  // What becomes of own messages is said once, when it becomes so.
  function tellStates(said) {
    for (const it of said?.lines.values() ?? []) {
      if (!it.own) continue;
      const before = states.get(it.number);
      states.set(it.number, it.state);
      if (before && before !== it.state && FINAL.has(it.state)) announce(`${say('your_message')}: ${stateWords(it, key)}`);
    }
  }

  // What is in sight of somebody is read: up to the end, once all that is unread is here.
  function markRead() {
    if (document.visibilityState !== 'visible' || !document.hasFocus() || !toEnd) return;
    const said = model.said.get(key);
    const lines = [...(said?.lines.values() ?? [])];
    const unread = lines.filter((it) => !it.own && it.state === 'unread').map((it) => it.number);
    if (unread.length === 0) return;
    const all = model.conversations.find((it) => it.contact === key)?.unread ?? 0;
    if (unread.length < all && said.earlier && !fetching) {
      fetching = true;
      askEarlier(key).catch(() => {}).finally(() => (fetching = false));
      return;
    }
    const upTo = Math.max(...unread);
    if (upTo <= readUpTo) return;
    readUpTo = upTo;
    api.read(key, upTo).then(() => Promise.all([askConversations(), askLines(key)]), () => {
      readUpTo = -1;
    });
  }

  const unwatch = [
    watch(['people', 'conversations'], people),
    watch(['lines', 'files'], draw),
    watch(['door'], () => {
      if (model.door !== 'up') return;
      // A daemon that keeps nothing numbers anew when it starts.
      readUpTo = -1;
      askLines(key);
    }),
  ];
  addEventListener('focus', markRead);
  document.addEventListener('visibilitychange', markRead);
  // What is over disappears here as it does on the disk.
  const ticking = setInterval(draw, 5000);
  people();
  draw();
  askLines(key);
  return {
    element,
    focus: () => (writing && matchMedia('(min-width: 48em)').matches ? writing : heading).focus(),
    leave() {
      showLinesOf(null);
      clearInterval(ticking);
      unwatch.forEach((stop) => stop());
      removeEventListener('focus', markRead);
      document.removeEventListener('visibilitychange', markRead);
      writing?.leave();
    },
  };
}

const stateWords = (it, key) => say(`state_${it.state}`, { name: line(nameOf(key)) });

function bubble(it, key) {
  const parts = [];
  if (it.gap_before) parts.push(el('p', { class: 'gap' }, count('gap', it.gap_before)));
  const body = [el('span', { class: 'unseen' }, it.own ? say('you_wrote') : say('they_wrote')), foreign(it.text, { name: 'p', oneLine: false, kind: 'text' })];
  const meta = [el('time', { datetime: new Date(it.at_us / 1000).toISOString(), title: moment(it.at_us) }, clock(it.at_us))];
  if (it.own) {
    const expected = !FINAL.has(it.state) && !it.hindrance && model.expected.get(it.message);
    meta.push(el('span', { class: `is ${it.state}`, title: say(`state_${it.state}_means`) }, icon(ICONS[it.state] ?? 'clock'), stateWords(it, key),
      expected ? ` · ${say('expected', { time: duration(expected) })}` : ''));
  }
  if (it.expires_at_us) meta.push(el('span', { class: 'vanish' }, icon('clock'), say('vanishes', { when: moment(it.expires_at_us) })));
  body.push(el('p', { class: 'meta' }, meta));
  if (it.bytes) body.push(el('p', { class: 'small' }, say('not_text')));
  if (it.hindrance && it.own && !FINAL.has(it.state)) body.push(el('p', { class: 'held' }, hindrance(it.hindrance)));
  parts.push(el('div', { class: 'bubble' }, body));
  return el('li', { class: it.own ? 'own' : 'theirs', 'data-state': it.state }, parts);
}

function parcel(file) {
  const moving = file.state === 'sending' || file.state === 'receiving';
  const state = say(`file_${file.state}`, { name: line(nameOf(file.contact)) });
  const wrong = el('p', { class: 'wrong', role: 'alert', hidden: true });
  const fail = (error) => {
    wrong.replaceChildren(...refusal(error));
    wrong.hidden = false;
  };
  const act = (words, does, action, attributes = {}) => button(words, action, { 'data-does': does, 'aria-label': `${words}: ${line(file.name)}`, ...attributes });
  const actions = [];
  if (file.state === 'complete') actions.push(act(say('file_save'), 'save', () => save(file).catch(fail), { class: 'main' }));
  actions.push(act(moving && !file.incoming ? say('file_stop') : say('file_remove'), 'remove', () => remove(file).catch(fail), { class: 'quiet' }));
  const progress = moving && el('progress', { max: file.pieces || 1, value: file.done, 'aria-label': say('file_progress', { name: line(file.name) }) });
  return el('li', { class: file.incoming ? 'theirs' : 'own', 'data-state': file.state }, el('div', { class: 'bubble parcel' },
    el('span', { class: 'unseen' }, file.incoming ? say('they_sent_file') : say('you_sent_file')),
    el('p', { class: 'file' }, icon('file'), el('span', {}, foreign(file.name || say('file_unnamed')), el('span', { class: 'small' }, size(file.size)))),
    progress,
    el('p', { class: 'meta' }, el('time', { datetime: new Date(file.begun_at_us / 1000).toISOString() }, clock(file.begun_at_us)), el('span', { class: 'is' }, state),
      file.pieces > 1 && moving ? el('span', {}, say('file_pieces', { done: file.done, pieces: file.pieces })) : null,
      file.expected_ms ? el('span', {}, say('expected', { time: duration(file.expected_ms) })) : null),
    file.reason ? el('p', { class: 'held' }, fileReason(file.reason)) : null,
    file.state === 'complete' ? el('p', { class: 'small' }, say('file_care')) : null,
    wrong, el('p', { class: 'row' }, actions)));
}

async function save(file) {
  const content = await api.content(file.file);
  const place = URL.createObjectURL(content);
  const link = el('a', { href: place, download: fileName(file.name) });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(place), 60_000);
  announce(say('file_saved'));
}

async function remove(file) {
  const moving = file.state === 'sending' || file.state === 'receiving';
  const words = moving && !file.incoming ? say('file_stop') : say('file_remove');
  if (!await ask(words, [el('p', {}, foreign(file.name)), el('p', {}, say(file.incoming ? 'file_remove_theirs' : 'file_remove_own'))], words, { danger: true })) return;
  await api.removeFile(file.file);
  await askFiles();
}
