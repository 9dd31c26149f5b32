// Coming in by somebody else's invitation.

import { api } from './api.js';
import { odd, refusal } from './alarms.js';
import { tooLong } from './contact.js';
import { button, el, icon, say as announce } from './dom.js';
import { askConversations, askPeople } from './model.js';
import { say } from './words.js';

export function view(app) {
  const heading = el('h1', { tabindex: -1, id: 'heading' }, say('accept'));
  const wrong = el('p', { class: 'wrong', role: 'alert', id: 'accept-wrong', hidden: true });
  const link = el('textarea', { id: 'invitation', class: 'given', rows: 4, required: true, spellcheck: 'false', autocomplete: 'off', placeholder: 'shoal:…', 'aria-describedby': 'accept-wrong' });
  const label = el('input', { type: 'text', id: 'their-name', maxlength: 64, autocomplete: 'off', dir: 'auto', placeholder: say('whom_example') });
  const submit = el('button', { type: 'submit', class: 'main', id: 'accept' }, say('accept_do'));
  const form = el('form', { class: 'card', novalidate: true },
    el('p', {}, say('accept_how')),
    el('label', { for: 'invitation' }, say('link_given')), link,
    el('label', { for: 'their-name' }, say('their_name')), label,
    wrong, el('p', { class: 'row' }, submit), el('p', { class: 'small' }, say('accept_means')));
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const problem = [];
    if (!link.value.trim()) problem.push(say('link_missing'));
    if (tooLong(label.value)) problem.push(say('label_too_long'));
    try {
      if (problem.length === 0) {
        const contact = await api.accept(link.value.trim(), label.value.trim());
        await Promise.all([askPeople(), askConversations()]);
        announce(say('accepted'));
        app.go('conversation', contact.key);
        return;
      }
    } catch (error) {
      problem.push(...(error.code === 'invalid' && !odd(error) ? [say('link_wrong'), ' '] : []), ...refusal(error));
    }
    wrong.replaceChildren(...problem);
    wrong.hidden = false;
    link.focus();
  });
  const element = el('div', { class: 'page' },
    el('header', { class: 'top' }, button(icon('back'), () => app.back(), { class: 'icon back', 'aria-label': say('back') }), heading),
    el('div', { class: 'cards' }, form));
  return { element, focus: () => link.focus(), leave() {} };
}
