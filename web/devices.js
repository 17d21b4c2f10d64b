// SPDX-License-Identifier: Apache-2.0
// The devices by node: what each is, how full, and why it is not serving when it is not.
import { by_id, bytes, el, fill, meter, number } from './charts.js';

const cards_max = 120; // A browser draws so many twice a second without being noticed.

/// Returns: [word, class, reason]; the classes are of the style sheet.
export function state_of(device) {
  const { reading, breaker } = device;
  if (!device.alive) return ['lost', 'down', 'its node is not heard'];
  if (reading.health !== 'healthy') return [reading.health, 'down', reading.health_reason];
  if (breaker !== 'closed') return [`breaker ${breaker}`, 'down', reading.health_reason];
  if (device.draining) return ['draining', 'busy', 'takes no new work; what runs ends'];
  if (device.cordoned) return ['cordoned', 'busy', 'takes no new work'];
  return ['ready', 'up', ''];
}

const model_of = ({ model, simulated }) =>
  simulated && !model.includes('simulated') ? `${model} (simulated)` : model;

function loaded_on(id, replicas) {
  const here = replicas.filter((one) => one.devices.includes(id));
  const words = (one) => (one.state === 'ready' ? one.model : `${one.model}: ${one.state}`);
  return here.map((one) => el('span', { class: 'chip' }, words(one)));
}

function meters(device, replicas) {
  const { spec, reading } = device;
  const led = replicas.filter((one) => one.leader === spec.id && one.state === 'ready');
  const sum = (name) => led.reduce((all, one) => all + one[name], 0);
  const sequences = sum('sequences_max') || spec.capability.max_sequences;
  const kv = sum('kv_tokens_max');
  const used = reading.memory_used_bytes;
  const memory = used === null || !spec.memory_bytes ? null : used / spec.memory_bytes;
  const busy = reading.utilization_pm;
  return [
    meter('running', sequences ? device.running / sequences : null, `${device.running} / ${sequences}`),
    meter('KV', kv ? sum('kv_tokens_reserved') / kv : null, `${Math.round((sum('kv_tokens_reserved') / kv) * 100)} %`),
    meter('memory', memory, bytes(used ?? 0)),
    meter('busy', busy === null ? null : busy / 1000, `${Math.round(busy / 10)} %`),
  ];
}

function physical(reading) {
  const told = [];
  if (reading.power_mw !== null) told.push(`${number(reading.power_mw / 1e3)} W`);
  if (reading.temperature_mc !== null) told.push(`${Math.round(reading.temperature_mc / 1e3)} °C`);
  return told.length ? el('span', { class: 'quiet' }, told.join(' · ')) : null;
}

function card(device, replicas) {
  const [word, kind, reason] = state_of(device);
  return el('article', { class: `card ${kind}`, title: device.spec.uuid },
    el('div', { class: 'head' }, el('b', {}, device.spec.id), el('span', { class: kind }, word)),
    el('div', { class: 'head quiet' }, model_of(device.spec), el('span', { class: 'chip' }, device.spec.type)),
    reason ? el('div', { class: kind }, reason) : null,
    ...meters(device, replicas),
    el('div', {}, ...loaded_on(device.spec.id, replicas), ' ', physical(device.reading)));
}

function wanted(device, words) {
  const { id, type, vendor, model, tags } = device.spec;
  const all = [id, type, vendor, model, ...tags, state_of(device)[0]].join(' ').toLowerCase();
  return words.every((word) => all.includes(word));
}

/// Draws them by node, as many as fit, those that need attention first.
export function show_devices(devices, replicas) {
  const words = by_id('filter').value.toLowerCase().split(/\s+/).filter(Boolean);
  const found = devices.filter((one) => wanted(one, words));
  const worst_first = [...found].sort((a, b) =>
    Number(state_of(b)[1] === 'down') - Number(state_of(a)[1] === 'down'));
  const nodes = new Map();
  for (const one of worst_first.slice(0, cards_max))
    nodes.set(one.spec.node, [...(nodes.get(one.spec.node) ?? []), one]);
  fill('devices', [...nodes].map(([node, here]) => el('div', {},
    el('div', { class: 'node' }, node),
    el('div', { class: 'cards' }, ...here.map((one) => card(one, replicas))))));
  const hidden = found.length - Math.min(found.length, cards_max);
  by_id('devices-more').textContent = hidden > 0 ? `${hidden} more: say above which` : '';
}
