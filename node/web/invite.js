// Letting somebody in: an invitation with its link and its QR code, and those that there are.

import { api } from './api.js';
import { refusal } from './alarms.js';
import { tooLong } from './contact.js';
import { ask } from './dialog.js';
import { button, el, foreign, icon, say as announce, svg, withForeign } from './dom.js';
import { askInvitations, model, nameOf, watch } from './model.js';
import { line } from './text.js';
import { length, moment, say } from './words.js';

const HOUR = 3_600_000;
const LIVES = [HOUR, 24 * HOUR, 7 * 24 * HOUR, 30 * 24 * HOUR];
// Light modules around the code, which readers need.
const MARGIN = 4;

export function view(app) {
  const heading = el('h1', { tabindex: -1, id: 'heading' }, say('invite'));
  const made = el('div');
  const list = el('div');
  const wrong = el('p', { class: 'wrong', role: 'alert', hidden: true });
  const label = el('input', { type: 'text', id: 'whom', maxlength: 64, autocomplete: 'off', dir: 'auto', placeholder: say('whom_example') });
  const life = el('select', { id: 'invite-life' }, LIVES.map((ms) => el('option', { value: ms, selected: ms === LIVES[2] }, length(ms))));
  const many = el('input', { type: 'checkbox', id: 'many' });
  const make = el('button', { type: 'submit', class: 'main', id: 'make-invitation' }, say('invite_make'));
  const form = el('form', { class: 'card' },
    el('p', {}, say('invite_how')),
    el('label', { for: 'whom' }, say('whom')), label,
    el('label', { for: 'invite-life' }, say('invite_life')), life,
    el('p', { class: 'check' }, many, el('label', { for: 'many' }, say('invite_many'))),
    wrong, el('p', { class: 'row' }, make));
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    if (make.disabled) return;
    make.disabled = true;
    const problem = tooLong(label.value) ? [say('label_too_long')] : [];
    try {
      if (problem.length === 0) {
        const invitation = await api.invite({ label: label.value.trim(), life_ms: Number(life.value), once: !many.checked });
        made.replaceChildren(await given(invitation));
        label.value = '';
        askInvitations();
        made.querySelector('h2').focus();
      }
    } catch (error) {
      problem.push(...refusal(error));
    }
    make.disabled = false;
    wrong.replaceChildren(...problem);
    wrong.hidden = problem.length === 0;
  });

  const opened = new Set();
  let before = '';
  function draw() {
    const as = JSON.stringify([model.invitations, [...opened]]);
    if (as === before) return;
    before = as;
    const rows = [...model.invitations].reverse();
    list.replaceChildren(rows.length === 0 ? el('p', { class: 'hint' }, say('no_invitations')) : el('ul', { class: 'rows' }, rows.map(row)));
  }

  function row(invitation) {
    const name = invitation.label || say(invitation.once ? 'somebody' : 'many');
    const until = say(invitation.guest ? 'invitation_kept' : 'invitation_until', { when: moment(invitation.expires_at_us) });
    const state = invitation.leaked ? say('invitation_leaked') : invitation.guest ? say('invitation_used') : say(invitation.once ? 'invitation_once' : 'invitation_many');
    const revoke = async () => {
      if (!await ask(say('revoke_ask', { name: line(name) }), say('revoke_means'), say('revoke'), { danger: true })) return;
      await api.revoke(invitation.id).catch((error) => {
        wrong.replaceChildren(...refusal(error));
        wrong.hidden = false;
      });
      await askInvitations();
      heading.focus();
    };
    const again = async () => {
      made.replaceChildren(await given(invitation));
      made.querySelector('h2').focus();
    };
    return el('li', { class: invitation.leaked ? 'alarming' : null },
      el('div', {}, el('strong', {}, foreign(name)), el('p', { class: 'small' }, state, ' ', until),
        invitation.guest ? el('p', { class: 'small' }, withForeign(say('invitation_guest'), 'name', nameOf(invitation.guest))) : null),
      el('p', { class: 'row' }, invitation.guest ? null : button(say('show'), again, { 'aria-label': `${say('show')}: ${line(name)}` }),
        button(say('revoke'), revoke, { class: 'quiet', 'aria-label': `${say('revoke')}: ${line(name)}` })));
  }

  const element = el('div', { class: 'page' },
    el('header', { class: 'top' }, button(icon('back'), () => app.back(), { class: 'icon back', 'aria-label': say('back') }), heading),
    el('div', { class: 'cards' }, form, made,
      el('section', { class: 'card', 'aria-labelledby': 'own-invitations' }, el('h2', { id: 'own-invitations' }, say('invitations')), list)));
  const unwatch = watch(['invitations', 'people'], draw);
  draw();
  return { element, focus: () => heading.focus(), leave: unwatch };
}

// An invitation as it is handed out.
async function given(invitation) {
  const link = el('textarea', { id: 'link', class: 'given', readonly: true, rows: 4, '.value': invitation.invitation, '@focus': () => link.select(), spellcheck: 'false' });
  const copy = button(say('copy'), async () => {
    link.select();
    try {
      await navigator.clipboard.writeText(invitation.invitation);
    } catch {
      return announce(say('copy_by_hand'));
    }
    announce(say('copied'));
    copy.textContent = say('copied');
  }, { class: 'main', id: 'copy' });
  // In capitals it takes fewer modules: they and digits have a denser form.
  const { rows } = await api.qr(invitation.invitation.toUpperCase());
  return el('section', { class: 'card', 'aria-labelledby': 'given' },
    el('h2', { id: 'given', tabindex: -1 }, withForeign(say(invitation.once ? 'given_one' : 'given_many'), 'name', invitation.label || say('somebody'))),
    el('p', {}, say(invitation.once ? 'given_how' : 'given_how_many')),
    el('div', { class: 'handed' }, code(rows), el('div', {},
      el('label', { for: 'link' }, say('link')), link, el('p', { class: 'row' }, copy),
      el('p', { class: 'small' }, say('invitation_until', { when: moment(invitation.expires_at_us) })))));
}

function code(rows) {
  const wide = rows.length + 2 * MARGIN;
  const path = rows.flatMap((row, y) => [...row.matchAll(/1+/g)].map((run) => `M${run.index + MARGIN} ${y + MARGIN}h${run[0].length}v1h-${run[0].length}z`));
  return svg('svg', { viewBox: `0 0 ${wide} ${wide}`, class: 'qr', role: 'img', 'aria-label': say('qr'), 'shape-rendering': 'crispEdges' },
    svg('rect', { width: wide, height: wide, fill: '#fff' }), svg('path', { d: path.join(''), fill: '#000' }));
}
