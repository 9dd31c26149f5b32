// The side: who one is, whom one talks with, and how it goes.

import { button, el, foreign, icon } from './dom.js';
import { askConversations, model, nameOf, watch } from './model.js';
import { inARow, line } from './text.js';
import { picture } from './traffic.js';
import { count, lately, say } from './words.js';

export function side(app) {
  const list = el('ul', { class: 'talks' });
  const empty = el('p', { class: 'hint' }, say('no_talks'));
  const strip = picture(model.traffic, { small: true });
  const state = el('span', { class: 'state' });
  const network = button([strip.canvas, el('span', { class: 'under' }, state, el('span', { class: 'more' }, say('network_open')))],
    () => app.go('network'), { class: 'network', id: 'open-network' });
  const items = new Map();

  function talks() {
    const wanted = model.conversations;
    empty.hidden = wanted.length > 0;
    const keys = new Set(wanted.map((talk) => talk.contact));
    for (const [key, item] of items) {
      if (keys.has(key)) continue;
      item.element.remove();
      items.delete(key);
    }
    wanted.forEach((talk, at) => {
      if (!items.has(talk.contact)) items.set(talk.contact, entry(app, talk.contact));
      const item = items.get(talk.contact);
      item.update(talk, app.shown.view === 'conversation' && app.shown.contact === talk.contact);
      // What stands where it stood stays, so that nothing that has the focus loses it.
      if (list.children[at] !== item.element) list.insertBefore(item.element, list.children[at] ?? null);
    });
    const unread = wanted.reduce((all, talk) => all + talk.unread, 0);
    document.title = unread ? `(${unread}) Shoal` : 'Shoal';
  }

  function how() {
    const [kind, words] = standing();
    state.className = `state ${kind}`;
    if (state.textContent !== words) state.textContent = words;
    strip.draw();
    // A last line whose time is over.
    const now = Date.now() * 1000;
    if (model.conversations.some(({ last }) => last?.expires_at_us < now)) askConversations().catch(() => {});
  }

  const element = el('nav', { class: 'side', 'aria-label': say('side') },
    el('p', { class: 'brand' }, el('img', { src: '/web/icon.svg', alt: '', width: 28, height: 28 }), el('span', {}, 'Shoal')),
    el('p', { class: 'row two' },
      button([icon('add'), say('invite_short')], () => app.go('invite'), { class: 'main', id: 'open-invite', 'aria-label': say('invite') }),
      button([icon('link'), say('accept_short')], () => app.go('accept'), { id: 'open-accept', 'aria-label': say('accept') })),
    el('h2', { class: 'small' }, say('talks')),
    empty, list, network);
  watch(['conversations', 'people', 'shown'], talks);
  watch(['status', 'door'], how);
  return { element, update: talks, how };
}

// How it stands, in a word or two.
export function standing() {
  if (model.door === 'opening') return ['wait', say('state_opening')];
  if (model.door !== 'up') return ['bad', say('state_down')];
  const { status } = model;
  if (!status) return ['wait', say('state_opening')];
  if (!status.online) return ['wait', say('state_offline')];
  return status.alarms.length ? ['warn', count('state_alarms', status.alarms.length)] : ['good', say('state_online')];
}

function entry(app, key) {
  const name = el('span', { class: 'name' });
  const last = el('span', { class: 'last' });
  const when = el('span', { class: 'when' });
  const unread = el('span', { class: 'badge' });
  const open = el('button', { type: 'button', class: 'talk', '@click': () => app.go('conversation', key) },
    el('span', { class: 'face', 'aria-hidden': 'true' }), el('span', { class: 'lines' }, name, last), el('span', { class: 'marks' }, when, unread));
  const element = el('li', {}, open);
  let before = '';
  const update = (talk, shown) => {
    const contact = model.contacts.get(key);
    const files = model.fresh.get(key) ?? 0;
    const known = JSON.stringify([talk, shown, files, contact?.label, contact?.verified, contact?.blocked, new Date().getDate()]);
    if (known === before) return;
    before = known;
    const label = nameOf(key);
    name.replaceChildren(foreign(label), ...(contact?.verified ? [icon('shield')] : []));
    element.querySelector('.face').replaceChildren(line([...label][0] ?? '?'));
    const text = talk.last ? [talk.last.own ? `${say('you')}: ` : '', foreign(inARow(talk.last.text.slice(0, 120)))] : [say('nothing_yet')];
    last.replaceChildren(...(contact?.blocked ? [say('blocked')] : text));
    when.textContent = talk.last ? lately(talk.last.at_us) : '';
    unread.hidden = talk.unread + files === 0;
    const words = [talk.unread && count('unread', talk.unread), files && count('files_new', files)].filter(Boolean).join(', ');
    unread.replaceChildren(el('span', { 'aria-hidden': 'true' }, String(talk.unread + files)), el('span', { class: 'unseen' }, words));
    open.toggleAttribute('aria-current', shown);
    if (shown) open.setAttribute('aria-current', 'page');
  };
  return { element, update };
}
