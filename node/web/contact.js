// A contact: what it is called, whether nobody stands between, and the end of it.

import { api } from './api.js';
import { refusal } from './alarms.js';
import { ask } from './dialog.js';
import { button, el, foreign, icon, say as announce, withForeign } from './dom.js';
import { askConversations, askLines, askPeople, model, nameOf, watch } from './model.js';
import { line } from './text.js';
import { moment, say } from './words.js';

// Bytes of what somebody is called, in UTF-8.
export const LABEL_BYTES = 64;

export const tooLong = (label) => new TextEncoder().encode(label).length > LABEL_BYTES;

export function view(app, key) {
  const heading = el('h1', { tabindex: -1, id: 'heading' });
  const wrong = el('p', { class: 'wrong', role: 'alert', hidden: true });
  const body = el('div', { class: 'cards' });
  const element = el('div', { class: 'page' },
    el('header', { class: 'top' }, button(icon('back'), () => app.go('conversation', key), { class: 'icon back always', 'aria-label': say('back') }), heading),
    wrong, body);
  let before = '';

  async function change(what, told) {
    wrong.hidden = true;
    try {
      await api.change(key, what);
      await askPeople();
      if (told) announce(told);
    } catch (error) {
      wrong.replaceChildren(...refusal(error));
      wrong.hidden = false;
    }
  }

  function draw() {
    const contact = model.contacts.get(key);
    heading.replaceChildren(foreign(nameOf(key)));
    if (!contact) {
      body.replaceChildren(el('p', { class: 'hint' }, say('contact_gone')));
      return;
    }
    const as = JSON.stringify(contact);
    if (as === before) return;
    before = as;
    const focused = document.activeElement?.id;
    body.replaceChildren(safety(contact, change), called(contact, change), settings(contact, change), ending(contact));
    if (focused && !document.activeElement?.id) document.getElementById(focused)?.focus();
  }

  function ending(contact) {
    const name = nameOf(key);
    const block = async () => {
      if (contact.blocked) return change({ blocked: false }, say('unblocked'));
      if (await ask(say('block_ask', { name: line(name) }), say('block_means'), say('block'), { danger: true })) await change({ blocked: true }, say('blocked'));
    };
    const forget = async () => {
      if (!await ask(say('forget_ask', { name: line(name) }), say('forget_means'), say('forget'), { danger: true })) return;
      wrong.hidden = true;
      try {
        await api.forget(key);
        model.said.delete(key);
        await Promise.all([askConversations(), askLines(key)]);
        announce(say('forgotten'));
      } catch (error) {
        wrong.replaceChildren(...refusal(error));
        wrong.hidden = false;
      }
    };
    const remove = async () => {
      if (!await ask(say('remove_ask', { name: line(name) }), say('remove_means'), say('remove'), { danger: true })) return;
      try {
        await api.remove(key);
        await Promise.all([askPeople(), askConversations()]);
        announce(say('removed'));
        app.go('welcome');
      } catch (error) {
        wrong.replaceChildren(...refusal(error));
        wrong.hidden = false;
      }
    };
    return el('section', { class: 'card', 'aria-labelledby': 'ending' }, el('h2', { id: 'ending' }, say('ending')),
      el('p', { class: 'row' },
        button(contact.blocked ? say('unblock') : say('block'), block, { id: 'block' }),
        button(say('forget'), forget, { id: 'forget' }),
        button(say('remove'), remove, { class: 'danger', id: 'remove' })),
      el('p', { class: 'small' }, say('ending_means')));
  }

  const unwatch = watch(['people'], draw);
  draw();
  return { element, focus: () => heading.focus(), leave: unwatch };
}

function safety(contact, change) {
  const groups = contact.safety_number.split(/\s+/);
  const set = async (verified) => {
    if (!verified && !await ask(say('unverify_ask'), say('unverify_means'), say('unverify'))) return;
    await change({ verified }, verified ? say('verified') : say('not_verified'));
  };
  return el('section', { class: 'card', 'aria-labelledby': 'safety' },
    el('h2', { id: 'safety' }, contact.verified ? [icon('shield'), say('verified')] : say('safety')),
    el('p', {}, withForeign(say(contact.verified ? 'safety_done' : 'safety_how'), 'name', contact.label || say('this_person'))),
    el('ol', { class: 'number', 'aria-label': say('safety') }, groups.map((group) => el('li', {}, group))),
    el('p', { class: 'row' }, contact.verified
      ? button(say('unverify'), () => set(false), { id: 'verify' })
      : button(say('they_are_the_same'), () => set(true), { class: 'main', id: 'verify' })),
    contact.verified ? null : el('p', { class: 'small' }, say('safety_else')));
}

function called(contact, change) {
  const input = el('input', { type: 'text', id: 'label', maxlength: LABEL_BYTES, '.value': contact.label, autocomplete: 'off', dir: 'auto' });
  const wrong = el('p', { class: 'wrong', role: 'alert', hidden: true }, say('label_too_long'));
  const submit = (event) => {
    event.preventDefault();
    wrong.hidden = !tooLong(input.value);
    if (wrong.hidden) change({ label: input.value.trim() }, say('saved'));
  };
  return el('section', { class: 'card', 'aria-labelledby': 'called' }, el('h2', { id: 'called' }, say('called')),
    el('form', { '@submit': submit }, el('label', { for: 'label' }, say('label_yours')),
      el('div', { class: 'row' }, input, el('button', { type: 'submit', id: 'save-label' }, say('save'))), wrong),
    el('p', { class: 'small' }, say('since', { when: moment(contact.since_us) }), el('br'), say('key'), ' ', el('code', {}, contact.key)));
}

function settings(contact, change) {
  const reads = el('input', { type: 'checkbox', id: 'reads', '.checked': contact.reads, '@change': () => change({ reads: reads.checked }, say('saved')) });
  return el('section', { class: 'card', 'aria-labelledby': 'receipts' }, el('h2', { id: 'receipts' }, say('receipts')),
    el('p', { class: 'check' }, reads, el('label', { for: 'reads' }, say('reads'))), el('p', { class: 'small' }, say('reads_means')));
}
