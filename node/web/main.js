// The page: a client of the daemon's local API, and of nothing else. What is shown where is decided here; what is in it
// is each view's own.

import { view as accept } from './accept.js';
import { doorDown, kindOf } from './alarms.js';
import { forgetToken, takeToken } from './api.js';
import { view as contact } from './contact.js';
import { view as conversation } from './conversation.js';
import { button, el, say as announce, withForeign } from './dom.js';
import { view as invite } from './invite.js';
import { side } from './list.js';
import { model, nameOf, open, watch } from './model.js';
import { view as network } from './network.js';
import { inARow, line } from './text.js';
import { count, language, say } from './words.js';

const VIEWS = { accept, contact, conversation, invite, network, welcome };

const root = document.getElementById('app');
const main = document.getElementById('main');

const app = {
  shown: { view: 'welcome' },
  current: null,
  // Shows a view. The history of the browser has no names of people in it: only how far one has gone.
  go(view, key) {
    history.pushState({ view, contact: key }, '', '/');
    app.show({ view, contact: key });
  },
  back: () => app.go('welcome'),
  show(wanted, focus = true) {
    app.current?.leave?.();
    app.shown = VIEWS[wanted?.view] ? wanted : { view: 'welcome' };
    app.current = VIEWS[app.shown.view](app, app.shown.contact);
    main.replaceChildren(app.current.element);
    root.dataset.pane = app.shown.view === 'welcome' ? 'list' : 'main';
    app.side.update();
    if (focus) app.current.focus?.();
  },
  // All of it anew, in another language.
  again() {
    document.documentElement.lang = language;
    const before = app.side?.element ?? document.querySelector('.side');
    app.side = side(app);
    before.replaceWith(app.side.element);
    banner();
    app.side.how();
    app.show(app.shown);
  },
};

function welcome() {
  const card = (title, words, action, id) => el('button', { type: 'button', class: 'card choice', '@click': action, id }, el('strong', {}, title), el('span', {}, words));
  const heading = el('h1', { tabindex: -1, id: 'heading' }, say('welcome'));
  const element = el('div', { class: 'page welcome' }, heading, el('p', { class: 'lead' }, say('welcome_lead')),
    el('div', { class: 'choices' },
      card(say('invite'), say('welcome_invite'), () => app.go('invite'), 'welcome-invite'),
      card(say('accept'), say('welcome_accept'), () => app.go('accept'), 'welcome-accept'),
      card(say('network'), say('welcome_network'), () => app.go('network'), 'welcome-network')),
    el('p', { class: 'small' }, say('welcome_stay')));
  return { element, focus: () => (matchMedia('(min-width: 48em)').matches ? heading : document.querySelector('.side button')).focus() };
}

// Whoever has no token, or another one than this daemon's, is told how to come by it.
function gate(words) {
  document.documentElement.lang = language;
  document.title = 'Shoal';
  root.replaceChildren(el('main', { class: 'gate', id: 'main', tabindex: -1 },
    el('p', { class: 'brand' }, el('img', { src: '/web/icon.svg', alt: '', width: 28, height: 28 }), el('span', {}, 'Shoal')),
    el('h1', {}, say('gate')), el('p', {}, words), el('pre', { tabindex: 0, 'aria-label': say('gate_command') }, el('code', {}, 'shoal web --dir DIR')),
    el('p', { class: 'small' }, say('gate_why'))));
}

// What has to be known wherever one is.
const strip = el('section', { class: 'banner', hidden: true });
let bannered = '';

function banner() {
  const { door, status } = model;
  const superseded = status?.alarms.some((text) => kindOf(text) === 'superseded');
  const words = door === 'down' ? doorDown() : door === 'stranger' ? say('door_stranger') : door === 'old' ? say('door_old') : superseded ? say('alarm_superseded')
    : door === 'up' && status && !status.online ? say('offline_short') : '';
  if (words === bannered) return;
  bannered = words;
  strip.hidden = !words;
  strip.setAttribute('aria-label', say('notice'));
  strip.replaceChildren(...(words ? [el('span', {}, words), button(say('more'), () => app.go('network'), { class: 'link' })] : []));
  // Coming online for the first time is no alarm.
  if (words && door !== 'up') announce(words, true);
}

function news({ detail: event }) {
  if (event.event === 'received') {
    const name = line(event.name || nameOf(event.from));
    announce(say('message_from', { name, text: line(inARow(event.text.slice(0, 500))) }));
  } else if (event.event === 'file' && event.incoming && event.state === 'complete') {
    announce(say('file_came', { name: line(nameOf(event.contact)) }));
  } else if (event.event === 'met') {
    announce(say('met', { name: line(nameOf(event.contact)) }));
  } else if (event.event === 'leaked') {
    announce(say('leaked'), true);
  } else if (event.event === 'alarm') {
    const kind = kindOf(event.text);
    announce(kind ? say(`alarm_${kind}`) : line(event.text), true);
  }
}

async function start() {
  document.documentElement.lang = language;
  const wrong = await takeToken();
  if (wrong) return gate(say(wrong === 'used' ? 'gate_used' : 'gate_no_token'));
  root.before(strip);
  app.again();
  watch(['door', 'status'], banner);
  watch(['event'], news);
  watch(['door'], () => {
    if (model.door !== 'denied') return;
    forgetToken();
    app.current?.leave?.();
    strip.remove();
    gate(say('gate_denied'));
  });
  addEventListener('popstate', ({ state }) => app.show(state ?? { view: 'welcome' }));
  history.replaceState({ view: 'welcome' }, '', '/');
  open();
}

start();
