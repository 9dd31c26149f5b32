// A question before what can't be taken back, and short notes.

import { button, el } from './dom.js';
import { say } from './words.js';

// Asks; resolves to whether it was agreed to. `body` are nodes or texts.
export function ask(title, body, agree, { danger = false } = {}) {
  return new Promise((answered) => {
    const heading = el('h2', { id: 'asked' }, title);
    let answer = false;
    const end = (given) => {
      answer = given;
      dialog.close();
    };
    const dialog = el('dialog', {
      'aria-labelledby': 'asked',
      '@close': () => {
        dialog.remove();
        answered(answer);
      },
    }, heading, el('div', { class: 'body' }, body), el('p', { class: 'row end' },
      button(say('cancel'), () => end(false), { class: 'quiet', autofocus: true }),
      button(agree, () => end(true), { class: danger ? 'danger' : 'main' })));
    document.body.append(dialog);
    dialog.showModal();
  });
}
