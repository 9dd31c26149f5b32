// The traffic of the last minute: what leaves and what comes each second, and how much of it is something of yours. The
// daemon counts it; all that is made here is the differences.

import { el } from './dom.js';
import { count, number, say } from './words.js';

const SECONDS = 60;
// Bytes of a packet on the link, of every kind.
export const PACKET_BYTES = 2397;

const REAL_OUT = ['sent_real'];
const OUT = [...REAL_OUT, 'sent_token', 'sent_dummy', 'sent_loop', 'sent_drop', 'sent_mailbox'];
const REAL_IN = ['stream_entries', 'receipts_stored'];
const IN = ['filler', 'loops_returned', 'receipts_stored', 'receipts_refused', 'answers_dummy', 'stream_items', 'late', 'corrupted'];

const sum = (counters, names) => names.reduce((all, name) => all + (counters[name] ?? 0), 0);

export class Traffic {
  // Seconds, the latest last: `{ out, realOut, in, realIn }` in packets a second.
  seconds = [];
  #last = null;
  // How much left in how many seconds, while something of the user's waited to leave and while not.
  busy = { seconds: 0, sent: 0 };
  idle = { seconds: 0, sent: 0 };
  // Packets a second since the daemon started.
  mean = { out: 0, in: 0 };

  take(status, now) {
    const { counters } = status;
    const totals = { out: sum(counters, OUT), realOut: sum(counters, REAL_OUT), in: sum(counters, IN), realIn: sum(counters, REAL_IN) };
    const last = this.#last;
    this.#last = { now, totals, uptime: status.uptime_secs, waited: status.on_the_way_packets > 0 };
    if (status.uptime_secs > 20) this.mean = { out: totals.out / status.uptime_secs, in: totals.in / status.uptime_secs };
    if (!last || status.uptime_secs < last.uptime || totals.out < last.totals.out) return;
    const span = (now - last.now) / 1000;
    // Two questions right after each other tell nothing of a second.
    if (span < 0.5) {
      this.#last = last;
      return;
    }
    const second = Object.fromEntries(Object.keys(totals).map((key) => [key, Math.max(0, totals[key] - last.totals[key]) / span]));
    for (let filled = 0; filled < Math.min(SECONDS, Math.max(1, Math.round(span))); filled += 1) this.seconds.push(second);
    this.seconds.splice(0, this.seconds.length - SECONDS);
    // By what was known before: a second in which something left is, for that alone, one in which more left than in others.
    const kind = last.waited ? this.busy : this.idle;
    kind.seconds += span;
    kind.sent += second.out * span;
  }

  of(key, seconds = SECONDS) {
    const part = this.seconds.slice(-seconds);
    return part.length ? part.reduce((all, second) => all + second[key], 0) / part.length : 0;
  }
}

// A picture of it that draws itself when told to.
export function picture(traffic, { small = false } = {}) {
  const canvas = el('canvas', { class: small ? 'traffic small' : 'traffic', role: 'img' });
  const draw = () => {
    const box = canvas.getBoundingClientRect();
    if (box.width === 0) return;
    const scale = window.devicePixelRatio || 1;
    canvas.width = Math.round(box.width * scale);
    canvas.height = Math.round(box.height * scale);
    const pen = canvas.getContext('2d');
    pen.scale(scale, scale);
    paint(pen, box, traffic, small);
    canvas.setAttribute('aria-label', inWords(traffic));
  };
  return { canvas, draw };
}

// One packet of sixty seconds is not nothing.
const little = (rate) => (rate > 0 && rate < 0.05 ? say('less_than', { n: number(0.1, 1) }) : number(rate, 1));

export const inWords = (traffic) => say('traffic_words', {
  seconds: count('seconds', traffic.seconds.length), out: number(traffic.of('out'), 1), real: little(traffic.of('realOut')), in: number(traffic.of('in'), 1), got: little(traffic.of('realIn')),
});

function paint(pen, { width, height }, traffic, small) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const [cover, real, lines, ink] = ['--cover', '--real', '--line', '--soft'].map(colour);
  const most = (key) => Math.max(4, ...traffic.seconds.map((second) => second[key]));
  const upper = small ? height : Math.round(height * 0.5);
  const step = width / SECONDS;
  const bar = Math.max(1, step - (small ? 0.6 : 1.5));
  const column = (x, from, sign, share, whole, part) => {
    const tall = share * whole;
    pen.fillStyle = cover;
    pen.fillRect(x, sign < 0 ? from - tall : from, bar, tall);
    const own = share * Math.min(part, whole);
    pen.fillStyle = real;
    pen.fillRect(x, sign < 0 ? from - own : from, bar, own);
  };
  const shift = SECONDS - traffic.seconds.length;
  traffic.seconds.forEach((second, at) => {
    const x = (shift + at) * step;
    column(x, upper - 1, -1, (upper - 4) / most('out'), second.out, second.realOut);
    if (!small) column(x, upper + 1, 1, (height - upper - 4) / most('in'), second.in, second.realIn);
  });
  // The mean of ten seconds: the level that what one writes does not raise.
  pen.strokeStyle = ink;
  pen.lineWidth = 1.5;
  for (const [key, sign, room] of small ? [] : [['out', -1, upper - 4], ['in', 1, height - upper - 4]]) {
    pen.beginPath();
    traffic.seconds.forEach((_, at) => {
      const part = traffic.seconds.slice(Math.max(0, at - 9), at + 1);
      const mean = part.reduce((all, second) => all + second[key], 0) / part.length;
      pen.lineTo((shift + at + 0.5) * step, upper + sign * (1 + mean * room / most(key)));
    });
    pen.stroke();
  }
  pen.fillStyle = lines;
  pen.fillRect(0, upper - 1, width, 1);
}
