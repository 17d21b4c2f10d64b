// SPDX-License-Identifier: Apache-2.0
// What the fakes of model servers share: a life (loading, serving, faults), a journal of what they
// saw, and an engine that decodes at a steady pace. A vendor's own fake says what its server looks
// like: flags, paths, shapes of errors, names of metrics.
//
// The folder CONSORT_FAKES holds `faults` (lines NAME=FAULT or NAME@DEVICE=FAULT, read for every
// request) and `journal` (one JSON object per line, written by all fakes).
//   while starting: refuse, load-forever, die-loading, slow-load
//   while answering, after the fourth token: die, stall, cut, malformed, not-utf8, error-in-stream
//   instead of an answer: any key of the vendor's `refusals`; 429 for a while: busy, busy-date ...
//   whole (answers in one piece), too-many (more tokens than asked for), stop (ends by itself)
//   in its metrics: crowded (others fill it, and half of its cache)
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { count_tokens, next_word } from './story.mjs';

const folder = process.env.CONSORT_FAKES ?? '/nonexistent';
const step_ms = Number(process.env.CONSORT_FAKE_STEP_MS ?? 5);
const load_ms = Number(process.env.CONSORT_FAKE_LOAD_MS ?? 150);
export const strike_after = 4;
const stop_after = 6;

/// `--name value`, `--name=value`, `-n value` and what stands alone.
export function parse_arguments(argv, switches = []) {
  const flags = { alone: [] };
  for (let i = 0; i < argv.length; ++i) {
    const [name, value] = argv[i].split(/=(.*)/s);
    if (!name.startsWith('-')) flags.alone.push(argv[i]);
    else if (switches.includes(name)) flags[name] = true;
    else flags[name] = value ?? argv[++i];
  }
  return flags;
}

export function journal(entry) {
  const line = JSON.stringify({ at: Date.now(), pid: process.pid, ...entry });
  fs.appendFileSync(path.join(folder, 'journal'), `${line}\n`);
}

/// A server that compiles at its start does so into `folder`, unless it finds there what it made.
export function compile_into(name, folder) {
  const made = path.join(folder, 'compiled.bin');
  journal({ what: 'compiled', name, folder, found: fs.existsSync(made) });
  fs.mkdirSync(folder, { recursive: true });
  fs.writeFileSync(made, 'kernels');
}

/// What `faults` says about a tool or a server, perhaps one of several; empty when nothing.
export function fault_of(name, device = '') {
  let text = '';
  try {
    text = fs.readFileSync(path.join(folder, 'faults'), 'utf8');
  } catch {
    return '';
  }
  const lines = text.split('\n').map((line) => line.split('='));
  return lines.find(([who]) => who === `${name}@${device}` || who === name)?.[1] ?? '';
}

/// Every way in which a server, or what stands in front of it, says that it takes nothing for a
/// second.
const later = {
  'busy-seconds': () => ({ 'retry-after': '1' }),
  'busy-date': () => ({ 'retry-after': new Date(Date.now() + 1_900).toUTCString() }),
  'busy-ms': () => ({ 'retry-after': '60', 'retry-after-ms': '1000' }),
  'busy-epoch': () => ({
    'x-ratelimit-remaining-requests': '0',
    'x-ratelimit-reset-requests': String(Math.ceil(Date.now() / 1000) + 1),
  }),
  'busy-duration': () => ({
    'x-ratelimit-remaining-tokens': '0',
    'x-ratelimit-reset-tokens': '1s',
  }),
  busy: () => ({}),
};
const busy_ms = 900; // Since it first said so.

export class FakeServer {
  /// `name` is the fake's own, as in `faults`; `device` tells instances apart.
  constructor({ name, device = '', model, port, host = '127.0.0.1', slots = 256, env = [] }) {
    Object.assign(this, { name, device, model, port, host, slots });
    this.running = 0;
    this.waiting = [];
    this.tokens = 0;
    this.prompted = 0;
    this.ended = {};
    this.routes = new Map();
    this.refusals = {};
    const said = { message: 'Rate limit reached', type: 'requests', param: null };
    this.overloaded = { error: { ...said, code: 'rate_limit_exceeded' } };
    const shown = Object.fromEntries(env.map((one) => [one, process.env[one]]));
    journal({ what: 'start', name, device, model, argv: process.argv.slice(2), env: shown });
  }

  /// What its metrics say: requests, and the share of its KV cache.
  get load() {
    const others = this.fault() === 'crowded' ? 1_000 : 0;
    const kv = others > 0 ? 0.5 : this.running / 64;
    return { running: this.running + others, waiting: this.waiting.length, kv };
  }

  /// What `faults` says about us now; empty when nothing.
  fault() {
    return fault_of(this.name, this.device);
  }

  on(method, target, handler) {
    this.routes.set(`${method} ${target}`, handler);
    return this;
  }

  /// Loads first (the port opens then, unless `opens_early`), or fails as `faults` says.
  start({ opens_early = false, ready_line = '' } = {}) {
    const fault = this.fault();
    if (fault === 'refuse') {
      console.error(`${this.name}: no license found`);
      process.exit(7);
    }
    if (fault === 'die-loading') setTimeout(() => process.exit(9), load_ms);
    this.loaded = false;
    const server = http.createServer((request, response) => this.#route(request, response));
    const listen = () => server.listen(Number(this.port), this.host);
    if (opens_early) listen();
    const loading = ['die-loading', 'load-forever'].includes(fault);
    if (!loading)
      setTimeout(
        () => {
          this.loaded = true;
          if (!opens_early) listen();
          if (ready_line) console.log(ready_line);
        },
        fault === 'slow-load' ? 20 * load_ms : load_ms,
      );
    else setInterval(() => {}, 1_000);
  }

  #route(request, response) {
    const target = request.url.split('?')[0];
    let body = '';
    request.on('data', (piece) => (body += piece));
    request.on('end', () => {
      const handler = this.routes.get(`${request.method} ${target}`);
      journal({
        ...{ what: 'request', name: this.name, method: request.method, target },
        fault: this.fault(),
        ...(request.method === 'POST' ? { body, key: request.headers.authorization } : {}),
      });
      if (!handler) return void this.json(response, 404, { detail: 'Not Found' });
      handler(request, response, body);
    });
  }

  json(response, status, body, headers = {}) {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    const type = text.startsWith('<') ? 'text/html' : 'application/json';
    response.writeHead(status, { 'content-type': type, ...headers }).end(text);
  }

  /// Whether it takes nothing now, and has said so.
  #busy(response, bad) {
    if (this.busy_with !== bad) this.busy_until = Date.now() + busy_ms;
    this.busy_with = bad;
    if (!later[bad] || Date.now() >= this.busy_until) return false;
    this.json(response, 429, this.overloaded, later[bad]());
    return true;
  }

  /// Answers with the refusal that `faults` asks for. Returns: whether it did.
  refused(response) {
    const bad = this.fault();
    if (this.#busy(response, bad)) return true;
    const wanted = this.refusals[bad] ?? common_refusals[bad];
    if (!wanted) return false;
    const [status, body, headers] = wanted;
    this.json(response, status, body, headers);
    return true;
  }

  /// Decodes `count` words after `prompt`, one per step, once a slot is free. Calls `piece(word,
  /// made, reason)` for each, the last with the finish reason. Stops when the client leaves.
  decode(response, prompt, count, piece, strikes = {}) {
    const bad = this.fault();
    const wanted = bad === 'too-many' ? count + 50 : count;
    const whose = { name: this.name, device: this.device, fault: bad };
    const began = { what: 'decode', ...whose, prompt, count };
    let made = 0;
    let text = prompt;
    let timer;
    const finish = (how) => {
      clearInterval(timer);
      if (!begun) this.waiting = this.waiting.filter((one) => one !== begin);
      else if (this.running > 0) --this.running;
      this.ended[how] = (this.ended[how] ?? 0) + 1;
      journal({ ...began, what: 'end', how, made });
      if (this.running < this.slots) this.waiting.shift()?.();
    };
    const step = () => {
      if (made === strike_after) {
        if (bad === 'die') return process.kill(process.pid, 'SIGKILL');
        if (bad === 'stall') return clearInterval(timer);
        if (bad === 'cut') return response.destroy();
        if (strikes[bad]) return strikes[bad]();
      }
      const word = next_word(text);
      text += word;
      ++made;
      ++this.tokens;
      const stops = bad === 'stop' && made === Math.min(stop_after, wanted);
      const reason = stops ? 'stop' : made >= wanted ? 'length' : null;
      if (reason) {
        over = true;
        finish(reason);
      }
      piece(word, made, reason);
    };
    let begun = false;
    let over = false;
    const begin = () => {
      begun = true;
      ++this.running;
      this.prompted += count_tokens(prompt);
      journal(began);
      timer = setInterval(step, step_ms);
    };
    response.on('close', () => {
      if (!over) finish('abort');
    });
    if (this.running < this.slots) begin();
    else this.waiting.push(begin);
  }
}

/// What stands in front of any server may say.
export const common_refusals = {
  html: [502, '<html><body><h1>502 Bad Gateway</h1></body></html>'],
  empty: [500, ''],
};
