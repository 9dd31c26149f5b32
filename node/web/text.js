// What somebody else wrote, made fit to be shown: it can't move anything, reverse the direction of what is beside it, or
// hide a part of itself. Only the characters of it are changed; that it is shown as text is dom.js's business.

const TAB = 9;
const LINE = 10;

// Control characters, those that turn the direction of text, those that end a line somewhere, and those that take no room.
const hidden = (code) =>
  code < 32 || (code >= 127 && code < 160) || code === 0xad || code === 0x34f || code === 0x61c || code === 0x115f || code === 0x1160 || code === 0x17b4 || code === 0x17b5
  || (code >= 0x180b && code <= 0x180f) || code === 0x3164 || code === 0xffa0 || (code >= 0x200b && code <= 0x200f && code !== 0x200d)
  || (code >= 0x2028 && code <= 0x202e) || (code >= 0x2060 && code <= 0x206f) || code === 0xfeff || (code >= 0xfff9 && code <= 0xfffb)
  || (code >= 0xe0000 && code <= 0xe007f) || (code >= 0xd800 && code <= 0xdfff);

const escape = (code) => code === TAB ? '\\t' : code === LINE ? '\\n' : `\\u{${code.toString(16)}}`;

// The text in pieces, in their order: `{ text }` as it is, and `{ escape }` for what can't be seen.
export function pieces(text, oneLine) {
  const found = [];
  let plain = '';
  for (const character of text) {
    const code = character.codePointAt(0);
    const stays = !oneLine && (code === TAB || code === LINE);
    if (stays || !hidden(code)) {
      plain += character;
      continue;
    }
    if (plain) found.push({ text: plain });
    plain = '';
    found.push({ escape: escape(code) });
  }
  if (plain) found.push({ text: plain });
  return found;
}

// The same as one text, for where there is nothing but text: a title, an announcement.
export const line = (text) => pieces(text, true).map((piece) => piece.text ?? piece.escape).join('');

// A name that a file may be saved under, whatever the daemon has let through.
export function fileName(name) {
  const safe = [...name].map((c) => hidden(c.codePointAt(0)) || '/\\:*?"<>|'.includes(c) ? '_' : c).join('');
  return safe.replace(/^[.\s]+/, '_').slice(0, 200) || 'file';
}

// What has several rows, where there is one: what divides them is a blank.
export const inARow = (text) => text.replace(/[\r\n\t ]+/g, ' ');
