// The language: that of the browser, or the one chosen. All texts are in words-en.js and words-de.js.

import { de } from './words-de.js';
import { en } from './words-en.js';

const CHOICE = 'shoal.language';

export const LANGUAGES = { en, de };

const known = (tag) => Object.keys(LANGUAGES).find((language) => tag?.toLowerCase().split('-')[0] === language);

function chosen() {
  try {
    return known(localStorage.getItem(CHOICE));
  } catch {
    return undefined;
  }
}

export let language = chosen() ?? navigator.languages.map(known).find(Boolean) ?? 'en';

export function choose(tag) {
  language = known(tag) ?? language;
  try {
    localStorage.setItem(CHOICE, language);
  } catch {
    // It holds until the page is left.
  }
}

// A text of this language, with `{name}` replaced by what is given.
export function say(name, values = {}) {
  const text = LANGUAGES[language][name] ?? en[name] ?? name;
  return text.replace(/\{(\w+)\}/g, (all, key) => values[key] ?? all);
}

// The same for so many of something.
export function count(name, n, values = {}) {
  const form = new Intl.PluralRules(language).select(n) === 'one' ? 'one' : 'other';
  return say(`${name}_${form}`, { n: number(n), ...values });
}

export const number = (n, digits = 0) => new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(n);

// About how long, as it stands after "about", "in" or "after": whole units if it is any, else to the second below two minutes,
// then to the minute, the hour, the day.
export function duration(ms, days = 'days') {
  const seconds = Math.max(1, Math.round(ms / 1000));
  for (const [unit, name] of [[86400, days], [3600, 'hours'], [60, 'minutes']]) {
    if (seconds % unit === 0) return count(name, seconds / unit);
  }
  if (seconds < 120) return count('seconds', seconds);
  if (seconds < 7200) return count('minutes', Math.round(seconds / 60));
  if (seconds < 172800) return count('hours', Math.round(seconds / 3600));
  return count(days, Math.round(seconds / 86400));
}

// The same where it stands alone.
export const length = (ms) => duration(ms, 'days_alone');

export function size(bytes) {
  if (bytes < 1000) return say('bytes', { n: number(bytes) });
  if (bytes < 1e6) return say('kilobytes', { n: number(bytes / 1e3, bytes < 1e4 ? 1 : 0) });
  if (bytes < 1e9) return say('megabytes', { n: number(bytes / 1e6, 1) });
  return say('gigabytes', { n: number(bytes / 1e9, 1) });
}

const format = (options) => (micros) => new Intl.DateTimeFormat(language, options).format(new Date(micros / 1000));

export const clock = format({ hour: 'numeric', minute: '2-digit' });
export const day = format({ weekday: 'long', day: 'numeric', month: 'long' });
export const moment = format({ dateStyle: 'medium', timeStyle: 'short' });

// The hour of today, or the day.
export function lately(micros) {
  const today = new Date().toDateString() === new Date(micros / 1000).toDateString();
  return today ? clock(micros) : format({ day: 'numeric', month: 'short' })(micros);
}
