// SPDX-License-Identifier: Apache-2.0
// One request by hand: its text as it comes, who served it, and the same for a terminal.
import { by_id, el, span } from './charts.js';

let asking = null; // AbortController while a request runs.

const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

function asked() {
  const body = {
    model: by_id('model').value,
    prompt: by_id('prompt').value,
    max_tokens: Number(by_id('tokens').value) || 80,
    stream: true,
  };
  const headers = { 'Content-Type': 'application/json' };
  if (by_id('device').value) headers['X-Consort-Device'] = by_id('device').value;
  return { body, headers };
}

export function show_command() {
  const { body, headers } = asked();
  const lines = Object.entries(headers).map(([name, value]) => `  -H ${quoted(`${name}: ${value}`)} \\\n`);
  by_id('curl').textContent = `curl -N ${location.origin}/v1/completions \\\n${lines.join('')}`
    + `  -d ${quoted(JSON.stringify(body))}`;
}

/// Each `data:` of the stream, parsed; ends with it.
async function* pieces(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split('\n');
    rest = lines.pop();
    for (const line of lines)
      if (line.startsWith('data: {')) yield JSON.parse(line.slice(6));
  }
}

function summary({ consort, completion_tokens: tokens }, first_ms, all_ms) {
  const rate = tokens > 1 ? ((tokens - 1) / (all_ms - first_ms)) * 1e3 : null;
  return [
    consort?.device ? `by ${consort.device}` : null,
    `${tokens} tokens`,
    `first after ${span(first_ms * 1e3)}`,
    rate ? `then ${Math.round(rate)}/s` : null,
    consort?.attempts > 1 ? `${consort.attempts} attempts` : null,
    consort?.joules !== undefined ? `${consort.joules} J` : null,
  ].filter(Boolean).join(' · ');
}

async function ask() {
  const { body, headers } = asked();
  const [text, told] = [by_id('answer'), by_id('told')];
  text.textContent = '';
  told.textContent = 'waiting for the first token ...';
  const began = performance.now();
  let first = null;
  let usage = null;
  const answer = await fetch('/v1/completions', {
    method: 'POST', headers, signal: asking.signal,
    body: JSON.stringify({ ...body, stream_options: { include_usage: true } }),
  });
  if (!answer.ok) throw new Error((await answer.json()).error?.message ?? `HTTP ${answer.status}`);
  for await (const piece of pieces(answer)) {
    if (piece.error) throw new Error(piece.error.message);
    const said = piece.choices?.[0]?.text ?? '';
    if (said && first === null) [first, told.textContent] = [performance.now() - began, ''];
    text.textContent += said;
    usage = piece.usage ?? usage;
  }
  if (usage) told.textContent = summary(usage, first ?? 0, performance.now() - began);
}

async function send(event) {
  event.preventDefault();
  if (asking) return asking.abort();
  asking = new AbortController();
  by_id('send').textContent = 'Stop';
  by_id('told').className = 'quiet';
  try {
    await ask();
  } catch (error) {
    by_id('told').className = error.name === 'AbortError' ? 'quiet' : 'down';
    by_id('told').textContent = error.name === 'AbortError' ? 'stopped' : error.message;
  } finally {
    asking = null;
    by_id('send').textContent = 'Send';
  }
}

/// Sets the entries of a list anew and keeps what was chosen.
function offer(id, entries) {
  const list = by_id(id);
  if (list.dataset.entries === JSON.stringify(entries)) return;
  const kept = list.value;
  list.replaceChildren(...entries.map(([value, words]) => el('option', { value }, words)));
  if (entries.some(([value]) => value === kept)) list.value = kept;
  list.dataset.entries = JSON.stringify(entries);
}

/// Called with what the cluster has now.
export function offer_choices(models, devices) {
  offer('model', models.map(({ spec }) => [spec.name, spec.name]));
  const types = [...new Set(devices.map(({ spec }) => spec.type))];
  offer('device', [['', 'any device'], ...types.map((one) => [one, `any ${one}`]),
    ...devices.slice(0, 200).map(({ spec }) => [spec.id, spec.id])]);
  show_command();
}

export function start_playground() {
  by_id('try').addEventListener('submit', send);
  by_id('try').addEventListener('input', show_command);
}
