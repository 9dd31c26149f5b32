// The profiles: what each costs, how long a message takes, how well it hides; and bits against seconds, drawn.

import { api } from './api.js';
import { el, foreign, svg } from './dom.js';
import { duration, number, say, size } from './words.js';

const WIDTH = 560;
const HEIGHT = 240;
const EDGE = { left: 46, right: 14, top: 30, bottom: 40 };

// Filled once the daemon has answered; without an answer nothing is there.
export function profiles() {
  const place = el('div', { class: 'profiles' });
  api.profiles().then((told) => place.replaceChildren(...drawn(told))).catch(() => {});
  return place;
}

function drawn(told) {
  const users = [...new Set(told.profiles.flatMap((it) => it.anonymity.map((at) => at.users)))].sort((a, b) => a - b);
  if (users.length === 0) return [table(told, null)];
  const shown = el('div', { class: 'across', tabindex: 0, role: 'group', 'aria-label': say('profiles') });
  const choice = el('select', { id: 'users', '@change': () => shown.replaceChildren(table(told, Number(choice.value))) },
    users.map((it) => el('option', { value: it, selected: it === 100 }, number(it))));
  shown.append(table(told, Number(choice.value)));
  return [
    el('div', { class: 'asked' }, el('label', { for: 'users' }, say('profiles_users')), choice), shown,
    el('p', { class: 'small' }, say('profiles_bits')), el('p', { class: 'small' }, say('profiles_change')),
    ...curve(told),
  ];
}

function table(told, users) {
  const times = (delay) => (delay.p50_ms && delay.p99_ms ? say('profiles_times', { half: duration(delay.p50_ms), most: duration(delay.p99_ms) }) : '–');
  const row = (it) => {
    const at = it.anonymity.find((one) => one.users === users);
    const bits = typeof at?.bits === 'number' && typeof at.worst_twentieth_bits === 'number' ? say('profiles_hides', { people: number(2 ** at.bits), bits: number(at.bits, 1), few: number(2 ** at.worst_twentieth_bits), mixes: number(at.mixes_per_layer) }) : '–';
    const name = it.name === told.in_use ? [foreign(it.name), ` (${say('profiles_yours')})`] : [foreign(it.name)];
    return el('tr', {}, el('th', { scope: 'row' }, name), el('td', {}, size(it.bytes_per_day)), el('td', {}, times(it.stored)), el('td', {}, times(it.received)), el('td', {}, bits));
  };
  const head = ['profile_name', 'profiles_day', 'profiles_stored', 'profiles_received', 'profiles_hiding'];
  return el('table', {}, el('caption', {}, say('profiles')),
    el('thead', {}, el('tr', {}, head.map((it) => el('th', { scope: 'col' }, say(it))))), el('tbody', {}, told.profiles.map(row)));
}

function curve(told) {
  const lines = told.profiles.map((it) => ({ name: it.name, points: it.curve.filter((at) => typeof at.bits === 'number') })).filter((it) => it.points.length > 1);
  if (lines.length === 0) return [];
  const all = lines.flatMap((it) => it.points);
  const seconds = Math.max(...all.map((at) => at.p50_ms)) / 1000;
  const bits = Math.ceil(Math.max(...all.map((at) => at.bits)));
  const x = (ms) => EDGE.left + (ms / 1000 / seconds) * (WIDTH - EDGE.left - EDGE.right);
  const y = (value) => HEIGHT - EDGE.bottom - (value / bits) * (HEIGHT - EDGE.top - EDGE.bottom);
  const step = (most) => [1, 2, 5, 10, 20, 50, 100].find((it) => most / it <= 6) ?? 200;
  const ticks = (most) => Array.from({ length: Math.floor(most / step(most)) + 1 }, (_, at) => at * step(most));
  const text = (at, words, attributes) => svg('text', { x: at[0], y: at[1], ...attributes }, words);
  const marks = lines.map((it, which) => svg('g', { class: `line-${which}` },
    svg('polyline', { points: it.points.map((at) => `${x(at.p50_ms)},${y(at.bits)}`).join(' ') }),
    it.points.filter((at) => at.present).map((at) => svg('circle', { cx: x(at.p50_ms), cy: y(at.bits), r: 5 })),
    text([x(it.points.at(-1).p50_ms) - 4, y(it.points.at(-1).bits) - 8], it.name, { 'text-anchor': 'end' })));
  const words = lines.map((it) => {
    const here = it.points.find((at) => at.present) ?? it.points[0];
    return say('profiles_curve_point', { name: it.name, bits: number(here.bits, 1), time: duration(here.p50_ms) });
  });
  return [
    el('h3', {}, say('profiles_curve')),
    el('div', { class: 'figure' }, svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: 'curve', role: 'img', 'aria-label': [say('profiles_curve'), ...words].join(' ') },
      ticks(seconds).map((at) => [svg('line', { x1: x(at * 1000), x2: x(at * 1000), y1: EDGE.top, y2: HEIGHT - EDGE.bottom }), text([x(at * 1000), HEIGHT - EDGE.bottom + 16], number(at), { 'text-anchor': 'middle' })]).flat(),
      ticks(bits).map((at) => [svg('line', { x1: EDGE.left, x2: WIDTH - EDGE.right, y1: y(at), y2: y(at) }), text([EDGE.left - 8, y(at) + 4], number(at), { 'text-anchor': 'end' })]).flat(),
      text([WIDTH / 2, HEIGHT - 6], say('profiles_seconds'), { 'text-anchor': 'middle' }),
      text([14, HEIGHT / 2], say('profiles_bits_axis'), { 'text-anchor': 'middle', transform: `rotate(-90 14 ${HEIGHT / 2})` }), marks)),
    el('p', { class: 'small' }, say('profiles_curve_means')),
  ];
}
