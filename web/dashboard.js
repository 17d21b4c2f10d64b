// SPDX-License-Identifier: Apache-2.0
// The front page: asks the gateway for the cluster's state while somebody looks, and draws it.
import { follow_events, show_requests } from './activity.js';
import { by_id, bytes, el, fill, line_of, number, span } from './charts.js';
import { show_devices, state_of } from './devices.js';
import { offer_choices, start_playground } from './playground.js';

const span_ms = 300_000; // The lines of the figures show so much at most, and at first less.
const span_ms_least = 30_000;
const pause_ms = 1_000;
const figures = new Map(); // Name -> [{at, value}], oldest first; null = unknown.
let seen = null; // The last answers, by list.
let before = null; // The counters of the round before, for rates.

const get = async (path) => {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path}: HTTP ${answer.status}`);
  return path === '/metrics' ? answer.text() : answer.json();
};

/// Lines of the exposition that begin with `name`: [labels as written, value].
function samples(text, name) {
  return text.split('\n').filter((line) => line.startsWith(name)).map((line) => {
    const space = line.lastIndexOf(' ');
    return [line.slice(name.length, space), Number(line.slice(space + 1))];
  });
}

const total = (list) => list.reduce((all, [, value]) => all + value, 0);

function counters_of(text) {
  const written = samples(text, 'consort_tokens_total').filter(([labels]) => labels.includes('completion'));
  const first = new Map();
  for (const [labels, value] of samples(text, 'consort_time_to_first_token_seconds_bucket')) {
    const bound = Number(labels.match(/le="([^"]*)"/)[1].replace('+Inf', 'Infinity'));
    first.set(bound, (first.get(bound) ?? 0) + value);
  }
  return { at: performance.now(), tokens: total(written), first };
}

/// The bucket's upper bound below which `part` of what came since `older` lies, in us; null without any.
function quantile(part, newer, older) {
  const rows = [...newer.first].map(([bound, value]) => [bound, value - (older.first.get(bound) ?? 0)]);
  rows.sort(([a], [b]) => a - b);
  const all = rows.at(-1)?.[1] ?? 0;
  if (all <= 0) return null;
  return rows.find(([, count]) => count >= all * part)[0] * 1e6;
}

function remember(name, value) {
  const points = figures.get(name) ?? [];
  points.push({ at: performance.now(), value });
  figures.set(name, points.filter((one) => one.at > performance.now() - span_ms));
}

function figure(name, words, under) {
  const [points, now] = [figures.get(name) ?? [], performance.now()];
  const watched = now - (points[0]?.at ?? now);
  const chart = line_of(points, now, Math.min(Math.max(watched, span_ms_least), span_ms));
  return el('div', { class: 'figure' }, el('span', { class: 'quiet' }, name), el('b', {}, words),
    el('span', { class: 'quiet' }, under), chart);
}

function power_of(devices) {
  const known = devices.filter(({ reading }) => reading.power_mw !== null);
  const watts = known.reduce((all, { reading }) => all + reading.power_mw, 0) / 1e3;
  return { value: known.length ? watts : null, told: known.length };
}

function show_figures({ cluster, devices }, newer) {
  const { totals, counters } = cluster;
  const seconds = before ? (newer.at - before.at) / 1e3 : 0;
  const rate = seconds > 0 ? Math.max(newer.tokens - before.tokens, 0) / seconds : null;
  const half = before ? quantile(0.5, newer, before) : null;
  const power = power_of(devices);
  remember('devices ready', devices.filter((one) => state_of(one)[1] === 'up').length);
  remember('running', totals.requests_running);
  remember('waiting', cluster.queue_depth);
  remember('tokens per second', rate);
  remember('first token', half);
  remember('power', power.value);
  const last = (name) => figures.get(name).findLast((one) => one.value !== null)?.value ?? null;
  const ready = last('devices ready');
  fill('figures', [
    figure('devices ready', `${ready} / ${totals.devices}`, `on ${totals.nodes_alive} of ${totals.nodes} nodes`),
    figure('running', number(totals.requests_running), `${number(counters.finished)} finished`),
    figure('waiting', number(cluster.queue_depth), `${number(counters.failed + counters.rejected + counters.expired)} in vain`),
    figure('tokens per second', rate === null ? '-' : number(rate), `${number(newer.tokens)} so far`),
    figure('first token', last('first token') === null ? '-' : `≤ ${span(last('first token'))}`, 'in the middle, last known'),
    figure('power', power.value === null ? 'unknown' : `${number(power.value)} W`, `told by ${power.told} of ${totals.devices}`),
  ]);
  before = newer;
}

function show_attention({ nodes, devices, artifacts }) {
  const wrong = [
    ...nodes.filter((one) => !one.alive).map((one) => [one.node, 'lost']),
    ...nodes.filter((one) => one.alive && one.held_off_us > 0)
      .map((one) => [one.node, `held off for ${span(one.held_off_us)}: it was lost too often`]),
    ...devices.map((one) => [one.spec.id, state_of(one)]).filter(([, [, kind]]) => kind === 'down')
      .map(([id, [word, , reason]]) => [id, [word, reason].filter(Boolean).join(': ')]),
    ...artifacts.filter((one) => one.state === 'failed')
      .map((one) => [`${one.model || 'engine'} for ${one.key.profile.name}`, one.last_error]),
  ];
  const shown = wrong.slice(0, 8).map(([who, why]) => el('li', {}, el('b', {}, who), ` ${why}`));
  if (wrong.length > 8) shown.push(el('li', {}, `and ${wrong.length - 8} more`));
  fill('attention', shown);
  by_id('attention').hidden = wrong.length === 0;
}

function show_models({ models, replicas }) {
  const on = (name) => replicas.filter((one) => one.model === name && one.state === 'ready')
    .map((one) => one.leader).join(', ');
  fill('models', models.map(({ spec, ...one }) => el('tr', {},
    el('td', {}, [spec.name, ...spec.aliases].join(', ')), el('td', {}, one.replicas_ready),
    el('td', {}, one.replicas_loading), el('td', {}, one.waiting), el('td', {}, on(spec.name) || '-'))));
}

function build_state(one) {
  if (one.state !== 'building') return [one.state];
  const left = one.eta_us === null ? '' : `, ${span(one.eta_us)} left`;
  return [one.done_pm ? `building, ${one.done_pm / 10} %${left}` : `building${left}`];
}

function show_artifacts({ artifacts }) {
  const kind = (state) => ({ failed: 'down', building: 'busy' })[state] ?? null;
  fill('artifacts', artifacts.slice(0, 100).map((one) => el('tr', {},
    el('td', {}, one.model || '-'), el('td', {}, one.key.profile.name),
    el('td', { class: kind(one.state), title: one.last_error }, ...build_state(one)),
    el('td', {}, one.size_bytes ? bytes(one.size_bytes) : '-'), el('td', {}, one.nodes.join(', ') || '-'))));
}

function show(newer) {
  const { cluster } = seen;
  by_id('cluster').textContent = `${cluster.cluster} · policy ${cluster.policy} · version ${cluster.version}`;
  show_attention(seen);
  show_figures(seen, newer);
  show_devices(seen.devices, seen.replicas);
  show_models(seen);
  show_artifacts(seen);
  show_requests(seen.requests, seen.requests_total);
  offer_choices(seen.models, seen.devices);
}

const lists = ['nodes', 'devices', 'models', 'replicas', 'artifacts', 'requests'];

async function round() {
  const live = by_id('live');
  try {
    const [cluster, metrics, ...rest] = await Promise.all(
      [get('/api/v1/cluster'), get('/metrics'), ...lists.map((one) => get(`/api/v1/${one}`))]);
    seen = { cluster };
    lists.forEach((name, index) => { seen[name] = rest[index][name]; });
    seen.requests_total = rest[lists.indexOf('requests')].total;
    show(counters_of(metrics));
    [live.textContent, live.className] = ['live', 'live'];
  } catch (error) {
    [live.textContent, live.className] = [`not heard: ${error.message}`, 'down'];
  }
}

/// A large cluster is asked less often: a tenth of the time at most goes into drawing it.
async function watch() {
  for (;;) {
    const began = performance.now();
    if (!document.hidden || !seen) await round();
    const took = performance.now() - began;
    await new Promise((done) => { setTimeout(done, Math.max(pause_ms, 9 * took)); });
  }
}

by_id('filter').addEventListener('input', () => seen && show_devices(seen.devices, seen.replicas));
start_playground();
follow_events();
watch();
