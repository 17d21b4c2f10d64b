// SPDX-License-Identifier: Apache-2.0
// What every system test needs: a cluster of the real binary with its own data folder and a free
// port, the command line against it, HTTP and SSE, and proof that nothing is left running.
// CONSORT_BIN names the binary; without it the dev build's is used.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..', '..');
export const binary = process.env.CONSORT_BIN ?? path.join(root, 'build/dev/cli/consort');
export const model_file = path.join(root, 'models/storyteller-5m-f16.gguf');

const ready_ms_max = 60_000; // From exec to 200 on /readyz; sanitizers and a busy machine included.
const stop_ms_max = 5_000; // The contract's: SIGTERM drains, then stops, within 5 s.
const orphan_ms_max = 3_000; // Children notice that their parent is gone within this.
const log_lines_shown = 40;

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/// What `promise` comes to, or nothing after that long; no timer is left behind.
export async function within(ms, promise) {
  let timer;
  const late = new Promise((resolve) => (timer = setTimeout(resolve, ms)));
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/// Polls until `probe` returns something truthy; fails with `what` after `timeout_ms`.
export async function eventually(what, probe, timeout_ms = 20_000, every_ms = 50) {
  const end = Date.now() + timeout_ms;
  let last;
  do {
    try {
      const seen = await probe();
      if (seen) return seen;
      last = seen;
    } catch (failure) {
      last = failure;
    }
    await sleep(every_ms);
  } while (Date.now() < end);
  const text = last instanceof Error ? last.message : JSON.stringify(last);
  assert.fail(`not within ${timeout_ms} ms: ${what} (last: ${text})`);
}

export function temp_dir(name = 'consort') {
  return fs.mkdtempSync(path.join(os.tmpdir(), `${name}-test-`));
}

// --- processes ---------------------------------------------------------------------------------

/// pid, parent, state and start time of one process; null when it is gone.
function read_process(pid) {
  try {
    const text = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return { pid: Number(pid), state: fields[0], parent: Number(fields[1]), started: fields[19] };
  } catch {
    return null;
  }
}

/// Every living process below `pid`, itself not included.
export function descendants(pid) {
  const all = fs
    .readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(read_process);
  const living = all.filter((one) => one && one.state !== 'Z');
  const found = [];
  for (let parents = [pid]; parents.length > 0; ) {
    const children = living.filter((one) => parents.includes(one.parent));
    found.push(...children);
    parents = children.map((one) => one.pid);
  }
  return found;
}

/// CPU time that processes have used so far, in milliseconds (the kernel counts in tens).
export function cpu_ms(processes) {
  const ticks = (one) => {
    const text = fs.readFileSync(`/proc/${one.pid}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return Number(fields[11]) + Number(fields[12]);
  };
  return processes.reduce((sum, one) => sum + 10 * ticks(one), 0);
}

export function command_line(pid) {
  try {
    return fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').join(' ').trim();
  } catch {
    return '';
  }
}

/// Still the same process, not another of the same number, and not a zombie.
export function is_alive(one) {
  const now = read_process(one.pid);
  return now !== null && now.started === one.started && now.state !== 'Z';
}

export async function expect_gone(processes, timeout_ms = orphan_ms_max) {
  const left = () => processes.filter(is_alive);
  const end = Date.now() + timeout_ms;
  while (left().length > 0 && Date.now() < end) await sleep(25);
  const names = left().map((one) => `${one.pid} ${command_line(one.pid)}`);
  assert.deepEqual(names, [], 'processes left running');
}

/// The caller's environment without its own settings for Consort; state under `data`.
export const clean_env = (extra, data) => {
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith('CONSORT_')),
  );
  return { ...env, XDG_STATE_HOME: path.join(data, 'state'), NO_COLOR: '1', ...extra };
};

/// Runs the binary to its end. Never rejects: a timeout is exit code null.
export function run_cli(args, { env = {}, input = '', timeout_ms = 60_000, data } = {}) {
  const state = data ?? temp_dir();
  return new Promise((resolve) => {
    const child = spawn(binary, args, { env: clean_env(env, state), cwd: root });
    const out = { code: null, stdout: '', stderr: '' };
    const timer = setTimeout(() => child.kill('SIGKILL'), timeout_ms);
    child.stdout.on('data', (piece) => (out.stdout += piece));
    child.stderr.on('data', (piece) => (out.stderr += piece));
    child.stdin.on('error', () => {});
    child.stdin.end(input);
    child.on('error', (failure) => (out.stderr += failure.message));
    child.on('close', (code) => {
      clearTimeout(timer);
      if (!data) fs.rmSync(state, { recursive: true, force: true });
      resolve({ ...out, code });
    });
  });
}

// --- a cluster ---------------------------------------------------------------------------------

export class Cluster {
  constructor({ data, args = [], env = {} } = {}) {
    this.own_data = data === undefined;
    this.data = data ?? temp_dir();
    this.args = args;
    this.env = env;
    this.output = '';
    this.ended = null; // {code, signal}
  }

  /// Starts and waits until it is ready. Rejects with the end of the log if not.
  async start() {
    const args = ['up', '--listen', '127.0.0.1:0', '--data', this.data, ...this.args];
    this.launch(args);
    try {
      await eventually('the listening line', () => this.#find_url(), ready_ms_max);
      await eventually(
        '200 on /readyz',
        async () => (await this.get('/readyz')).status === 200,
        ready_ms_max,
      );
    } catch (failure) {
      await this.destroy();
      throw new Error(`${binary} ${args.join(' ')}: ${failure.message}\n${this.tail()}`);
    }
    return this;
  }

  /// Starts the binary with these arguments and keeps what it prints. Does not wait.
  launch(args) {
    this.output = '';
    this.ended = null;
    const child = spawn(binary, args, {
      env: clean_env(this.env, this.data),
      cwd: root,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const collect = (piece) => (this.output = (this.output + piece).slice(-1_000_000));
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    child.on('error', (failure) => (this.ended = { code: null, signal: failure.message }));
    child.on('exit', (code, signal) => {
      if (this.child === child) this.ended = { code, signal };
    });
    this.child = child;
    this.pid = child.pid;
  }

  #find_url() {
    if (this.ended) throw new Error(`it ended with ${JSON.stringify(this.ended)}`);
    this.url = /listening on (http:\/\/\S+)/.exec(this.output)?.[1];
    return this.url;
  }

  get port() {
    return Number(new URL(this.url).port);
  }

  /// The last lines that it printed, for a failing test's message.
  tail(lines = log_lines_shown) {
    return ['--- server output', ...this.output.trimEnd().split('\n').slice(-lines), '---'].join(
      '\n',
    );
  }

  /// SIGTERM: exit 0 within the contract's time, and no child left.
  async stop() {
    const children = descendants(this.pid);
    const began = Date.now();
    this.child.kill('SIGTERM');
    await eventually('exit after SIGTERM', () => this.ended, stop_ms_max + 1_000, 20);
    assert.deepEqual(this.ended, { code: 0, signal: null }, this.tail());
    assert.ok(Date.now() - began <= stop_ms_max, `stopping took ${Date.now() - began} ms`);
    await expect_gone(children, 500);
  }

  /// SIGKILL for the main process only. Returns: the children that it had.
  async kill() {
    const children = descendants(this.pid);
    this.child.kill('SIGKILL');
    await eventually('exit after SIGKILL', () => this.ended, 5_000, 10);
    return children;
  }

  /// The processes that run an engine for the agent.
  hosts() {
    return descendants(this.pid).filter((one) => / host /.test(command_line(one.pid)));
  }

  /// Whatever happened, leaves nothing behind: the process group and all that is below it.
  async destroy() {
    const left = this.child && !this.ended ? descendants(this.pid) : [];
    const targets = this.child ? [-this.pid, ...left.map((one) => one.pid)] : [];
    for (const target of targets)
      try {
        process.kill(target, 'SIGKILL');
      } catch {
        // Gone by itself meanwhile.
      }
    if (this.own_data) fs.rmSync(this.data, { recursive: true, force: true });
  }

  // --- talking to it ---

  /// {status, headers, text, json}; json is undefined when the body is none.
  async request(method, target, body, headers = {}, timeout_ms = 60_000) {
    const answer = await fetch(this.url + target, {
      method,
      headers: {
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      body:
        body === undefined || typeof body === 'string' || body instanceof Uint8Array
          ? body
          : JSON.stringify(body),
      signal: AbortSignal.timeout(timeout_ms),
    });
    const text = await answer.text();
    let json;
    try {
      json = JSON.parse(text);
    } catch {
      json = undefined;
    }
    return { status: answer.status, headers: answer.headers, text, json };
  }
  get(target, headers) {
    return this.request('GET', target, undefined, headers);
  }
  post(target, body, headers, timeout_ms) {
    return this.request('POST', target, body, headers, timeout_ms);
  }

  /// A completion request with the first served model and small defaults.
  async complete(fields = {}, headers = {}, timeout_ms = 60_000) {
    const body = {
      model: await this.model(),
      prompt: 'Once upon a time',
      max_tokens: 8,
      ...fields,
    };
    return this.post('/v1/completions', body, headers, timeout_ms);
  }

  /// Streams a completion; yields each event's parsed data, and {error} events as they are.
  async *stream(fields = {}, headers = {}, signal = undefined, target = '/v1/completions') {
    const body = { model: await this.model(), prompt: 'Once upon a time', stream: true, ...fields };
    const answer = await fetch(this.url + target, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
      signal,
    });
    assert.equal(answer.status, 200, answer.status === 200 ? '' : await answer.text());
    assert.match(answer.headers.get('content-type'), /^text\/event-stream/);
    yield { headers: answer.headers };
    yield* sse_events(answer.body);
  }

  async list(name) {
    const answer = await this.get(`/api/v1/${name}`);
    assert.equal(answer.status, 200, answer.text);
    return answer.json[name];
  }
  async cluster_view() {
    return (await this.get('/api/v1/cluster')).json;
  }
  async model() {
    this.model_name ??= (await this.get('/v1/models')).json.data[0].id;
    return this.model_name;
  }
  /// Attempts running on all devices, as the scheduler sees them.
  async running() {
    return (await this.list('devices')).reduce((sum, one) => sum + one.running, 0);
  }
  async builds() {
    return (await this.list('artifacts')).reduce((sum, one) => sum + one.builds, 0);
  }
  /// Sum of a metric's samples whose labels match; 0 when there is none.
  async metric(name, labels = {}) {
    return metric_of((await this.get('/metrics')).text, name, labels);
  }
  cli(args, options = {}) {
    return run_cli(['--server', this.url, ...args], { data: this.data, ...options });
  }
  /// A raw connection. Returns: {socket, received(), closed}; `closed` resolves with what came.
  raw() {
    const socket = net.connect(this.port, '127.0.0.1');
    let got = '';
    socket.on('data', (piece) => (got += piece.toString('latin1')));
    socket.on('error', () => {});
    const closed = new Promise((resolve) => socket.on('close', () => resolve(got)));
    return { socket, received: () => got, closed };
  }
}

/// A started cluster with a folder of plugins; both go when the test ends.
export async function cluster_with(t, plugins) {
  const cluster = new Cluster({ args: ['--plugins', plugins] });
  t.after(async () => {
    await cluster.destroy();
    fs.rmSync(plugins, { recursive: true, force: true });
  });
  await cluster.start();
  return cluster;
}

/// Splits an SSE body into events. `data: [DONE]` becomes {done: true}; `event: error` {error}.
export async function* sse_events(stream) {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let buffer = '';
  for await (const piece of stream) {
    buffer += decoder.decode(piece, { stream: true });
    for (let end = buffer.indexOf('\n\n'); end >= 0; end = buffer.indexOf('\n\n')) {
      const event = parse_event(buffer.slice(0, end));
      buffer = buffer.slice(end + 2);
      if (event) yield event;
    }
  }
  assert.equal(buffer.trim(), '', 'the stream ended inside an event');
}

function parse_event(block) {
  const lines = block.split('\n').filter((line) => !line.startsWith(':'));
  const name = lines
    .find((line) => line.startsWith('event:'))
    ?.slice(6)
    .trim();
  const data = lines
    .filter((line) => line.startsWith('data:'))
    .map((line) => line.slice(5).trim())
    .join('\n');
  if (data === '') return null;
  if (data === '[DONE]') return { done: true };
  const parsed = JSON.parse(data);
  return name === 'error' ? { error: parsed.error ?? parsed } : parsed;
}

export function metric_of(text, name, labels = {}) {
  let sum = 0;
  for (const line of text.split('\n')) {
    const match = /^([a-zA-Z_:][\w:]*)(\{(.*)\})?\s+(\S+)/.exec(line);
    if (!match || match[1] !== name) continue;
    const fits = Object.entries(labels).every(([key, value]) =>
      (match[3] ?? '').includes(`${key}="${value}"`),
    );
    if (fits) sum += Number(match[4]);
  }
  return sum;
}

/// One test per file: a cluster, its checks as subtests (each failure shows the server's last
/// lines), and at the end a clean stop, which is a check too.
export function with_cluster(title, options, body) {
  test(title, { timeout: 600_000 }, async (t) => {
    const cluster = new Cluster(typeof options === 'function' ? options(t) : options);
    t.after(() => cluster.destroy());
    await cluster.start();
    await body(checker(t, cluster), cluster, t);
    await checker(t, cluster)('stops cleanly: exit 0, no process left', () => cluster.stop());
  });
}

/// Runs subtests whose failure message ends with the server's output.
export function checker(t, cluster) {
  return (name, check) =>
    t.test(name, async () => {
      try {
        await check();
      } catch (failure) {
        failure.stack += `\n${cluster.tail()}`; // The runner prints the stack.
        throw failure;
      }
    });
}

/// The OpenAI error envelope, whole. Returns: its inside.
export function expect_error(answer, status, pattern) {
  assert.equal(answer.status, status, answer.text);
  const inside = answer.json?.error;
  assert.ok(inside, `no error envelope: ${answer.text}`);
  for (const field of ['message', 'type', 'param', 'code'])
    assert.ok(field in inside, `no ${field}`);
  assert.equal(typeof inside.message, 'string');
  if (pattern) assert.match(inside.message, pattern);
  return inside;
}

/// Tables for people: the first line holds the column heads.
export function table_rows(text) {
  const lines = text.trimEnd().split('\n');
  return { head: lines[0] ?? '', rows: lines.slice(1) };
}
