// SPDX-License-Identifier: Apache-2.0
// Requests that run and that ended, why one went where it went, and the notes of the scheduler.
import { by_id, el, fill, span } from './charts.js';

const ended_max = 12;
const running_max = 40;
const notes_max = 200;
const ended = []; // Newest first.
let explained = null; // The id that `why` tells of.

function request_row(one) {
  const failed = !['running', 'waiting', 'queued', 'finished'].includes(one.state);
  const ask = el('button', { onclick: () => explain(one.name) }, one.name);
  const state = el('td', failed ? { class: 'down' } : {}, one.state);
  return el('tr', one.name === explained ? { class: 'open' } : {}, el('td', {}, ask),
    el('td', {}, one.model), state, el('td', {}, one.device || '-'), el('td', {}, span(one.us)),
    el('td', {}, one.tokens ?? ''));
}

/// The oldest of those that live, how many more there are, then the last that ended.
export function show_requests(live, total) {
  const running = live.slice(0, running_max).map((one) => ({
    name: one.external_id, model: one.model, state: one.state, device: one.device, us: one.age_us,
  }));
  const quiet = (words) => el('tr', {}, el('td', { colspan: 6, class: 'quiet' }, words));
  const left = (total ?? live.length) - running.length;
  const more = left > 0 ? [quiet(`and ${left} more, which \`consort requests\` lists`)] : [];
  const rows = [...running.map(request_row), ...more, ...ended.map(request_row)];
  fill('requests', rows.length ? rows : [quiet('none yet')]);
}

/// Neither removed by a filter nor compared: it has no score.
const is_weighed = (one) => !one.removed_by && !one.reason.startsWith('not weighed');

/// Predicted times of a candidate, as a multiple of the chosen one's.
function candidate_row(one, chosen) {
  const terms = one.terms.map(({ name, value }) => `${name} ${span(value)}`).join(' + ');
  const said = one.removed_by ? `${one.removed_by}: ${one.reason}` : [terms, one.reason].filter(Boolean).join('; ');
  const score = !is_weighed(one) ? '-' : `${(one.score / Math.max(chosen.score, 1)).toFixed(2)} x`;
  return el('tr', {}, el('td', {}, el(one === chosen ? 'b' : 'span', {}, one.device)),
    el('td', {}, score), el('td', { class: 'quiet' }, said));
}

function decision(one) {
  const able = one.candidates.filter(is_weighed).sort((a, b) => a.score - b.score);
  const chosen = able.find((c) => c.device === one.winner) ?? able[0] ?? { score: 1 };
  const said = one.winner ? `goes to ${one.winner}` : one.reason || one.outcome;
  return el('div', {}, el('p', {}, el('b', {}, `${one.policy}: ${said}`)),
    el('table', {}, el('tbody', {}, ...one.candidates.map((c) => candidate_row(c, chosen)))));
}

async function explain(name) {
  explained = name;
  const answer = await fetch(`/api/v1/explain/${encodeURIComponent(name)}`);
  const told = await answer.json();
  if (!answer.ok) return fill('why', [el('p', { class: 'down' }, told.error?.message ?? answer.status)]);
  const last = told.decisions.slice(-3).reverse();
  return fill('why', [el('h2', {}, `Why: ${name}`), ...last.map(decision)]);
}

const clock = (ms) => new Date(ms).toLocaleTimeString('en-GB');

function note(ms, kind, words) {
  const list = by_id('events');
  list.prepend(el('li', { class: kind }, el('time', {}, clock(ms)), words));
  while (list.children.length > notes_max) list.lastChild.remove();
}

function request_ended(one) {
  const tokens = one.usage?.completion_tokens;
  ended.unshift({ name: one.external_id, model: one.model, state: one.outcome, device: one.device,
    us: one.total_us, tokens });
  ended.length = Math.min(ended.length, ended_max);
  if (one.outcome === 'finished' || one.outcome === 'cancelled') return;
  note(one.unix_ms, 'down', `request ${one.external_id} ${one.outcome}: ${one.code}`);
}

/// Follows the events; the browser dials again by itself and says where it was.
export function follow_events() {
  const source = new EventSource('/api/v1/events?last=100&follow=true');
  source.addEventListener('request', (event) => request_ended(JSON.parse(event.data)));
  source.addEventListener('note', (event) => {
    const one = JSON.parse(event.data);
    note(one.unix_ms, one.level === 'info' ? '' : 'busy', [one.subject, one.text].filter(Boolean).join(': '));
  });
}
