// SPDX-License-Identifier: Apache-2.0
// What the long programs share: options, a seeded generator, figures, and a load of streams whose
// every end is accounted for.
import fs from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { read_stream } from '../system/hosts_support.mjs';
import { root } from '../system/support.mjs';

const golden = JSON.parse(fs.readFileSync(path.join(root, 'models/golden.json'), 'utf8'));
export const prompts = golden.map((one) => one.prompt);

/// Numbers from the command line: `--name VALUE` for each default. A default of false is a switch.
export function options_from(defaults) {
  const options = Object.fromEntries(
    Object.entries(defaults).map(([name, value]) => [
      name,
      { type: typeof value === 'boolean' ? 'boolean' : 'string' },
    ]),
  );
  const { values } = parseArgs({ options });
  const read = (name, value) => (typeof defaults[name] === 'number' ? Number(value) : value);
  const given = Object.entries(values).map(([name, value]) => [name, read(name, value)]);
  return { ...defaults, ...Object.fromEntries(given) };
}

/// Mulberry32: the same seed, the same storm.
export class Random {
  constructor(seed) {
    this.state = seed >>> 0;
  }
  next() {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let mixed = this.state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  }
  between(low, high) {
    return low + Math.floor(this.next() * (high - low + 1));
  }
  pick(list) {
    return list[this.between(0, list.length - 1)];
  }
  /// A key of {key: weight}.
  weighted(weights) {
    let left = this.next() * Object.values(weights).reduce((sum, one) => sum + one, 0);
    for (const [key, weight] of Object.entries(weights)) if ((left -= weight) < 0) return key;
    return Object.keys(weights)[0];
  }
}

export function percentile(values, share) {
  if (values.length === 0) return NaN;
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? sorted[0];
}
export const median = (values) => percentile(values, 0.5);

/// `p50 12.0  p90 20.1  p99 40.2  max 55.0 ms (n = 200)`
export function spread(values, unit = 'ms') {
  if (values.length === 0) return 'none';
  const at = (share) => percentile(values, share).toFixed(1);
  return (
    `p50 ${at(0.5)}  p90 ${at(0.9)}  p99 ${at(0.99)}  max ${at(1)} ${unit} ` +
    `(n = ${values.length})`
  );
}

export function count_by(list, key_of) {
  const counts = {};
  for (const one of list) counts[key_of(one)] = (counts[key_of(one)] ?? 0) + 1;
  return counts;
}

/// Kind of the device `node/cpu0`: two engines of one kind run the same artifact.
export const kind_of = (device) => /\/([a-z]+)\d+$/.exec(device ?? '')?.[1] ?? 'unknown';

/// The undisturbed greedy text of every prompt on every kind of device.
export async function undisturbed(server, kinds, max_tokens) {
  const texts = {};
  for (const kind of kinds)
    for (const prompt of prompts) {
      const seen = await read_stream(server, { prompt, max_tokens }, { 'X-Consort-Device': kind });
      if (seen.ends !== 1 || seen.errors.length > 0)
        throw new Error(`no text from ${kind}: ${JSON.stringify(seen.errors)} ${seen.broken}`);
      texts[`${kind} ${prompt}`] = seen.text;
    }
  return texts;
}

/// One request of the load and how it ended. `wanted` says what was asked, so that a judge can tell
/// what may be expected.
export async function one_request(server, wanted, max_tokens) {
  const { prompt, kind, choices } = wanted;
  const fields = { prompt, max_tokens, ...(choices > 1 ? { n: choices } : {}) };
  const headers = kind === 'any' ? {} : { 'X-Consort-Device': kind };
  const began = Date.now();
  const seen = await read_stream(server, fields, headers, (count, so_far) => {
    so_far.wall ??= [];
    if (count > 0) so_far.wall.push(Date.now());
  });
  return { ...seen, wanted, began, ended: Date.now(), max_tokens };
}

/// Keeps `width` requests under way until stop(); every record is kept.
export class Load {
  constructor(server, random, { width, max_tokens, mix }) {
    Object.assign(this, { server, random, width, max_tokens, mix });
    this.records = [];
    this.open = new Set();
    this.stopping = false;
  }
  start() {
    this.workers = Array.from({ length: this.width }, () => this.#work());
    return this;
  }
  async #work() {
    while (!this.stopping) {
      const wanted = {
        prompt: this.random.pick(prompts),
        kind: this.random.weighted(this.mix.kinds),
        choices: this.random.next() < this.mix.two_choices ? 2 : 1,
      };
      this.open.add(wanted);
      this.records.push(await one_request(this.server, wanted, this.max_tokens));
      this.open.delete(wanted);
    }
  }
  async stop() {
    this.stopping = true;
    await Promise.all(this.workers);
    return this.records;
  }
}

/// What to hold a record to. Returns: a word, or null when all is well.
///   silence     no end, or more than one
///   tokens      the count is not what the finish reason says
///   text        the text differs although the answer claims to be the same engine's all along
export function fault_of(record, texts) {
  if (record.broken) return `broken: ${record.broken.cause?.code ?? record.broken.message}`;
  if (record.ends !== 1) return record.ends === 0 ? 'silence' : 'two ends';
  const status = record.errors[0]?.status ?? 500;
  if (status < 500 && status !== 408 && status !== 429)
    return `refused: ${status} ${record.errors[0].code}`; // What is asked for exists.
  if (record.errors.length > 0) return null; // An honest error; counted elsewhere.
  if (record.wanted.choices > 1) return null;
  const counted = record.usage?.completion_tokens;
  if (record.finish === 'length' && counted !== record.max_tokens) return `tokens: ${counted}`;
  const kind = kind_of(record.device);
  if (record.usage?.consort?.resumed_exact === false) return null; // Marked.
  if (record.text === texts[`${kind} ${record.wanted.prompt}`]) return null;
  return 'text';
}

/// Every process that was started for this folder and still lives: its state folder is in the
/// environment that children inherit.
export function processes_of(folder) {
  const found = [];
  for (const name of fs.readdirSync('/proc')) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    try {
      const environment = fs.readFileSync(`/proc/${name}/environ`, 'utf8');
      if (environment.includes(`XDG_STATE_HOME=${folder}`)) found.push(Number(name));
    } catch {
      // Gone meanwhile, or not ours to read.
    }
  }
  return found;
}
