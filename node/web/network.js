// How it goes: what is wrong, the traffic, what it costs, and what all of it protects from.

import { alarm, doorDown } from './alarms.js';
import { button, el, foreign, icon } from './dom.js';
import { standing } from './list.js';
import { model, watch } from './model.js';
import { profiles } from './profiles.js';
import { inWords, PACKET_BYTES, picture } from './traffic.js';
import { choose, duration, language, LANGUAGES, number, say, size } from './words.js';

const ENOUGH_SECONDS = 8;
const STATES = ['queued', 'sent', 'stored', 'delivered', 'read', 'expired'];

export function view(app) {
  const heading = el('h1', { tabindex: -1, id: 'heading' }, say('network'));
  const state = el('div');
  const image = picture(model.traffic);
  const words = el('p', { class: 'small' });
  const compared = el('p', { class: 'compared' });
  const facts = el('dl', { class: 'facts' });
  let before = '';

  function draw() {
    const { status, traffic } = model;
    image.draw();
    words.textContent = inWords(traffic);
    const { busy, idle } = traffic;
    const rate = (kind) => `${number(kind.sent / kind.seconds, 1)} ± ${number(Math.sqrt(kind.sent) / kind.seconds, 1)}`;
    compared.textContent = busy.seconds > ENOUGH_SECONDS && idle.seconds > ENOUGH_SECONDS
      ? say('compared', { busy: rate(busy), idle: rate(idle) }) : say('compared_later');
    const [kind, standingWords] = standing();
    const as = JSON.stringify([kind, standingWords, status?.alarms, status?.online, status?.open, model.door]);
    if (as !== before) {
      before = as;
      state.replaceChildren(...inSentences(kind));
    }
    facts.replaceChildren(...(status ? cost(status, traffic) : []));
  }

  const tongue = el('select', {
    id: 'language',
    '@change': (event) => {
      choose(event.target.value);
      app.again();
    },
  }, Object.entries(LANGUAGES).map(([tag, it]) => el('option', { value: tag, lang: tag, selected: tag === language }, it.language_name)));

  const section = (id, title, ...content) => el('section', { class: 'card', 'aria-labelledby': id }, el('h2', { id }, title), content);
  const legend = el('p', { class: 'legend' }, el('span', { class: 'cover' }, say('legend_cover')), el('span', { class: 'real' }, say('legend_real')));
  const element = el('div', { class: 'page' },
    el('header', { class: 'top' }, button(icon('back'), () => app.back(), { class: 'icon back', 'aria-label': say('back') }), heading),
    el('div', { class: 'cards' },
      section('how', say('how_it_goes'), state),
      section('traffic', say('traffic'), el('p', {}, say('traffic_how')), el('div', { class: 'figure' }, el('span', { class: 'axis' }, say('goes_out')), image.canvas, el('span', { class: 'axis' }, say('comes_in'))),
        legend, words, compared),
      section('profile', say('profile'), el('p', {}, say('profile_how')), facts, profiles()),
      section('states', say('states'), el('dl', { class: 'states' }, STATES.flatMap((it) => [
        el('dt', {}, say(`state_${it}`, { name: say('them') })), el('dd', {}, say(`state_${it}_means`))]))),
      section('protects', say('protects'), el('ul', {}, [1, 2, 3].map((n) => el('li', {}, say(`protects_${n}`)))),
        el('h3', {}, say('not_protects')), el('ul', {}, [1, 2, 3, 4].map((n) => el('li', {}, say(`not_protects_${n}`))))),
      section('tongue', say('language'), el('label', { for: 'language' }, say('language')), tongue)));

  const unwatch = watch(['status', 'door'], draw);
  const resized = new ResizeObserver(() => image.draw());
  resized.observe(image.canvas);
  draw();
  return {
    element,
    focus: () => heading.focus(),
    leave() {
      unwatch();
      resized.disconnect();
    },
  };
}

function inSentences(kind) {
  const { status } = model;
  if (model.door === 'down') return [el('p', {}, doorDown())];
  if (model.door !== 'up' || !status) return [el('p', {}, say(model.door === 'opening' ? 'state_opening' : model.door === 'stranger' ? 'door_stranger' : 'door_old'))];
  const told = [];
  if (status.online && kind === 'good') told.push(el('p', { class: 'good' }, icon('stored'), say('all_well')));
  if (!status.online) told.push(el('p', {}, el('strong', {}, say('offline'))), el('p', {}, say('offline_means')), el('p', {}, say('offline_do')));
  if (status.online && !status.open) told.push(el('p', {}, say('not_open')));
  told.push(...status.alarms.map((text) => el('div', { class: 'alarm' }, alarm(text))));
  return told;
}

function cost(status, traffic) {
  const fact = (words, value) => [el('dt', {}, words), el('dd', {}, value)];
  const both = (traffic.mean.out + traffic.mean.in) * PACKET_BYTES;
  return [
    fact(say('profile_name'), foreign(status.profile)),
    status.expected_stored_ms ? fact(say('profile_delay'), say('about', { time: duration(status.expected_stored_ms) })) : [],
    both ? fact(say('profile_rate'), say('profile_rate_value', { out: size(Math.round(traffic.mean.out * PACKET_BYTES)), in: size(Math.round(traffic.mean.in * PACKET_BYTES)) })) : [],
    both ? fact(say('profile_day'), say('profile_day_value', { day: size(both * 86400), month: size(both * 86400 * 30) })) : [],
    fact(say('network_name'), foreign(status.network)),
    fact(say('uptime'), duration(status.uptime_secs * 1000)),
    fact(say('on_the_way'), number(status.on_the_way)),
  ].flat();
}
