// Elements, made one by one: nothing here or elsewhere makes any of a text.

import { pieces } from './text.js';

const SVG = 'http://www.w3.org/2000/svg';

// An element of this name: properties begin with `.`, listeners with `@`, all else is an attribute.
export function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith('@')) element.addEventListener(key.slice(1), value);
    else if (key.startsWith('.')) element[key.slice(1)] = value;
    else element.setAttribute(key, value === true ? '' : String(value));
  }
  element.append(...children.flat().filter((child) => child !== undefined && child !== null && child !== false));
  return element;
}

// What somebody else wrote, apart from the direction of what is beside it.
export function foreign(text, { name = 'bdi', oneLine = true, kind } = {}) {
  const found = pieces(text, oneLine);
  const parts = found.map((piece) => piece.text ?? el('span', { class: 'escape' }, piece.escape));
  return el(name, { dir: 'auto', class: kind }, parts);
}

// A text of ours with a foreign one in it, where `{name}` stands.
export function withForeign(words, name, text) {
  const [before, ...after] = words.split(`{${name}}`);
  return after.length === 0 ? [words] : [before, foreign(text), after.join(`{${name}}`)];
}

export const button = (words, action, attributes = {}) =>
  el('button', { type: 'button', '@click': action, ...attributes }, words);

// One at a time, and once more if it was asked for meanwhile.
export function coalesced(work) {
  let running = null;
  let again = null;
  const run = async () => {
    try {
      return await work();
    } finally {
      running = null;
    }
  };
  return () => {
    if (!running) return (running = run());
    again ??= running.catch(() => {}).then(() => {
      again = null;
      return (running = run());
    });
    return again;
  };
}

// What a screen reader says when it has said what it is at. The same words twice are said twice.
export function say(words, urgent = false) {
  const place = document.getElementById(urgent ? 'alert' : 'said');
  place.textContent = '';
  setTimeout(() => (place.textContent = words), 60);
}

const ICONS = {
  back: 'M15 5l-7 7 7 7',
  person: 'M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4.500 20c1-4 4-5.500 7.500-5.500s6.500 1.500 7.500 5.500',
  add: 'M12 5v14M5 12h14',
  link: 'M10 14a4 4 0 0 0 6 0l3-3a4 4 0 0 0-6-6l-1 1M14 10a4 4 0 0 0-6 0l-3 3a4 4 0 0 0 6 6l1-1',
  file: 'M13 3H7a1 1 0 0 0-1 1v16a1 1 0 0 0 1 1h10a1 1 0 0 0 1-1V8zM13 3v5h5',
  clip: 'M19 11l-7.500 7.500a4.500 4.500 0 0 1-6.400-6.400L13 4.200a3 3 0 0 1 4.300 4.300L9.500 16.300a1.500 1.500 0 0 1-2.100-2.100L14.500 7',
  send: 'M4 12l16-8-6 16-3-7z',
  shield: 'M12 3l7 3v5c0 5-3 8-7 10-4-2-7-5-7-10V6zM9 12l2 2 4-4',
  clock: 'M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16zM12 8v4l3 2',
  sent: 'M5 12h13M13 7l5 5-5 5',
  stored: 'M5 12l4 4 10-10',
  delivered: 'M2.500 12.500l4 4 8-9M10 15l1.500 1.500 9.500-10',
  failed: 'M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16zM12 8v5M12 16v.2',
  wave: 'M2 12c2.500-5 5-5 7 0s4.500 5 6.500 0 4-5 6.500-1',
};

export const icon = (name) =>
  svg('svg', { viewBox: '0 0 24 24', class: 'icon', 'aria-hidden': 'true', focusable: 'false' }, svg('path', { d: ICONS[name] }));
