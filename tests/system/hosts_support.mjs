// SPDX-License-Identifier: Apache-2.0
// A cluster of several processes on this machine: one scheduler, nodes and further gateways, each
// with its own data folder and log, over TLS or plain loopback, and with proxies between them that
// can cut or silence any link. Everything can be killed, stopped, continued and started again.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import test from 'node:test';
import { Authority } from './hosts_certs.mjs';
import {
  Cluster,
  checker,
  command_line,
  descendants,
  eventually,
  is_alive,
  temp_dir,
} from './support.mjs';

const up_ms_max = 60_000; // From exec to listening; sanitizers and a busy machine included.
const exit_ms_max = 6_000; // The contract's 5 s after SIGTERM, and one for the machine.
const join_ms_max = 30_000;

/// A port that nobody listens on just now.
export function free_port() {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

// --- a link that can be cut ----------------------------------------------------------------------

/// Passes bytes between whoever dials `address` and a target port.
export class Proxy {
  constructor() {
    this.pairs = new Set();
    this.state = 'open'; // or `cut`: resets and refuses; or `silent`: takes, and says nothing.
    this.bytes = 0;
    this.tap = null; // Called with what dialler and target say: (from_dialler, bytes).
  }

  /// `from`: the loopback address that the target sees; limits per address tell peers apart.
  static async start(target_port, from = '127.0.0.1') {
    const made = new Proxy();
    Object.assign(made, { target_port, from });
    made.server = net.createServer((near) => made.#join(near));
    await new Promise((resolve, reject) => {
      made.server.on('error', reject);
      made.server.listen(0, '127.0.0.1', resolve);
    });
    made.port = made.server.address().port;
    return made;
  }

  get address() {
    return `127.0.0.1:${this.port}`;
  }

  #join(near) {
    if (this.state === 'cut') return near.resetAndDestroy();
    const far = net.connect({
      host: '127.0.0.1',
      port: this.target_port,
      localAddress: this.from,
    });
    const pair = { near, far };
    this.pairs.add(pair);
    const pass = (from, to) => {
      from.on('data', (piece) => {
        this.bytes += piece.length;
        this.tap?.(from === near, piece);
        if (!to.write(piece)) {
          from.pause();
          to.once('drain', () => this.state === 'open' && from.resume());
        }
      });
      from.on('end', () => to.end());
      from.on('error', () => {});
      from.on('close', () => {
        to.destroy();
        this.pairs.delete(pair);
      });
      if (this.state === 'silent') from.pause();
      from.setNoDelay(true);
    };
    pass(near, far);
    pass(far, near);
  }

  /// Every connection is reset, and new ones are refused.
  cut() {
    this.state = 'cut';
    for (const { near, far } of this.pairs) {
      near.resetAndDestroy();
      far.resetAndDestroy();
    }
  }
  /// Nothing passes any more, and nobody is told.
  silence() {
    this.state = 'silent';
    for (const { near, far } of this.pairs) {
      near.pause();
      far.pause();
    }
  }
  heal() {
    this.state = 'open';
    for (const { near, far } of this.pairs) {
      near.resume();
      far.resume();
    }
  }
  close() {
    this.cut();
    this.server.close();
  }
}

// --- one process ---------------------------------------------------------------------------------

/// A scheduler, node or gateway. Its log survives a restart in `earlier`.
export class Server extends Cluster {
  constructor({ role, name, args, data, env = {} }) {
    super({ data, args, env });
    this.role = role;
    this.name = name;
    this.earlier = '';
  }

  get log() {
    return this.earlier + this.output;
  }

  /// Starts it. A scheduler or gateway listens when this returns; a node may not have joined yet.
  async start() {
    this.earlier = this.output ? this.log : this.earlier;
    this.launch([this.role, ...this.args]);
    await eventually(
      `${this.role} ${this.name} starts`,
      () => this.ended || /press Ctrl-C to stop/.test(this.output), // The greeting's last line.
      up_ms_max,
    ).catch((failure) => this.#complain(failure));
    if (this.ended)
      await this.#complain(new Error(`ended: ${JSON.stringify(this.ended)}\n${this.tail()}`));
    this.url = /^listening on (http:\/\/\S+)/m.exec(this.output)?.[1];
    return this;
  }

  async #complain(failure) {
    await this.destroy();
    throw new Error(`consort ${this.role} ${this.args.join(' ')}: ${failure.message}`);
  }

  get up() {
    return this.child !== undefined && this.ended === null;
  }
  signal(name) {
    this.child.kill(name);
  }
  pause() {
    this.signal('SIGSTOP');
  }
  resume() {
    this.signal('SIGCONT');
  }
  async restart() {
    if (this.up) await this.kill();
    return this.start();
  }

  /// Open descriptors and resident bytes, of this process alone.
  usage() {
    const status = fs.readFileSync(`/proc/${this.pid}/status`, 'utf8');
    return {
      descriptors: fs.readdirSync(`/proc/${this.pid}/fd`).length,
      resident_bytes: 1024 * Number(/VmRSS:\s+(\d+)/.exec(status)[1]),
    };
  }
  self() {
    const text = fs.readFileSync(`/proc/${this.pid}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return { pid: this.pid, started: fields[19] };
  }
}

// --- all of them ---------------------------------------------------------------------------------

export class Hosts {
  /// tls: certificates on every link; `product`: made by `consort cert`. proxied: every link to
  /// the scheduler, and every data port,
  /// runs through a Proxy. gateways_ready: wait until each could serve.
  constructor({
    tls = false,
    nodes = ['a', 'b'],
    gateways = ['g1'],
    proxied = false,
    env = {},
    node_args = [],
    scheduler_args = [],
    gateways_ready = true,
  } = {}) {
    Object.assign(this, { tls, proxied, env, node_args, scheduler_args, gateways_ready });
    this.wanted = { nodes, gateways };
    this.folder = temp_dir('consort-hosts');
    this.nodes = [];
    this.gateways = [];
  }

  async start() {
    try {
      if (this.tls)
        this.authority = await Authority.make(this.folder, { product: this.tls === 'product' });
      await this.start_scheduler();
      await Promise.all(this.wanted.nodes.map((name) => this.add_node(name)));
      await this.expect_alive(this.wanted.nodes);
      for (const name of this.wanted.gateways) await this.add_gateway(name);
    } catch (failure) {
      failure.stack += `\n${this.tail()}`;
      await this.destroy();
      throw failure;
    }
    return this;
  }

  data_of(name) {
    const folder = path.join(this.folder, `data-${name}`);
    fs.mkdirSync(folder, { recursive: true });
    return folder;
  }
  async cert_args(role, name) {
    return this.authority ? ['--cert', await this.authority.issue(role, name)] : [];
  }

  async start_scheduler() {
    this.link_port = await free_port();
    const http = await free_port();
    this.scheduler = new Server({
      role: 'scheduler',
      name: 'scheduler',
      data: this.data_of('scheduler'),
      env: this.env,
      args: [
        ...['--listen', `127.0.0.1:${http}`, '--link-listen', `127.0.0.1:${this.link_port}`],
        ...[
          '--data',
          this.data_of('scheduler'),
          ...(await this.cert_args('scheduler', 'scheduler')),
        ],
        ...this.scheduler_args,
      ],
    });
    await this.scheduler.start();
    this.token = /--token ([0-9a-f]{16,})/.exec(this.scheduler.output)?.[1];
    assert.ok(this.token, `no join command is printed:\n${this.scheduler.tail()}`);
  }

  /// Starts a node. `cert`, `token` and `env` replace what it would get.
  async add_node(name, { cert, token, env = {}, args = [] } = {}) {
    const data_port = await free_port();
    const link = this.proxied ? await Proxy.start(this.link_port, this.#next_address()) : null;
    const data = this.proxied ? await Proxy.start(data_port) : null;
    const node = new Server({
      role: 'node',
      name,
      data: this.data_of(name),
      env: { ...this.env, ...env },
      args: [
        ...['--join', link?.address ?? `127.0.0.1:${this.link_port}`, '--name', name],
        ...['--token', token ?? this.token, '--data', this.data_of(name)],
        ...['--data-listen', `127.0.0.1:${data_port}`],
        ...(data ? ['--advertise', data.address] : []),
        ...(cert ? ['--cert', cert] : await this.cert_args('node', name)),
        ...this.node_args,
        ...args,
      ],
    });
    Object.assign(node, { link_proxy: link, data_proxy: data, data_port });
    this.nodes.push(node);
    return node.start();
  }

  /// Starts a gateway and waits until it could serve.
  async add_gateway(name, { cert, token, args = [], ready = this.gateways_ready } = {}) {
    const http = await free_port();
    const link = this.proxied ? await Proxy.start(this.link_port, this.#next_address()) : null;
    const gateway = new Server({
      role: 'gateway',
      name,
      data: this.data_of(name),
      env: this.env,
      args: [
        ...['--join', link?.address ?? `127.0.0.1:${this.link_port}`, '--name', name],
        ...['--token', token ?? this.token, '--listen', `127.0.0.1:${http}`],
        ...['--data', this.data_of(name)],
        ...(cert ? ['--cert', cert] : await this.cert_args('gateway', name)),
        ...args,
      ],
    });
    gateway.link_proxy = link;
    this.gateways.push(gateway);
    await gateway.start();
    if (ready)
      await eventually(
        `200 on /readyz of gateway ${name}`,
        async () => (await gateway.get('/readyz')).status === 200,
        join_ms_max,
      );
    return gateway;
  }

  #next_address() {
    this.addresses = (this.addresses ?? 0) + 1;
    return `127.0.1.${this.addresses}`;
  }

  get gateway() {
    return this.gateways[0];
  }
  node(name) {
    return this.nodes.find((one) => one.name === name);
  }
  /// The node whose device answered: of `name/cpu0`.
  node_of(device) {
    return this.node(device.split('/')[0]);
  }
  get all() {
    return [...this.gateways, ...this.nodes, this.scheduler].filter(Boolean);
  }

  /// Every one of these devices answers once, so that its engine is loaded.
  async warm(devices) {
    const answers = await Promise.all(
      devices.map((device) =>
        this.gateway.complete({ max_tokens: 1 }, { 'X-Consort-Device': device }, 90_000),
      ),
    );
    for (const answer of answers) assert.equal(answer.status, 200, answer.text);
  }

  // --- what the scheduler believes ---

  async alive() {
    const nodes = await this.scheduler.list('nodes');
    return nodes.filter((one) => one.alive && !one.suspect).map((one) => one.node);
  }
  /// Waits until exactly these are alive, each with a device that is.
  async expect_alive(names, timeout_ms = join_ms_max) {
    const wanted = [...names].sort().join();
    await eventually(
      `nodes alive: ${wanted}`,
      async () => {
        const alive = (await this.alive()).sort();
        const devices = await this.scheduler.list('devices');
        const with_device = (name) =>
          devices.some((one) => one.alive && one.spec.id.startsWith(`${name}/`));
        return alive.join() === wanted && alive.every(with_device);
      },
      timeout_ms,
    );
  }
  /// Nothing waits, runs or is reserved, and each submitted request ended once.
  async expect_idle(timeout_ms = 20_000) {
    return eventually(
      'nothing waits, runs or is reserved',
      async () => {
        const view = await this.scheduler.cluster_view();
        const [devices, replicas] = [
          await this.scheduler.list('devices'),
          await this.scheduler.list('replicas'),
        ];
        const { submitted, finished, failed, cancelled, rejected, expired } = view.counters;
        const left = {
          open: submitted - finished - failed - cancelled - rejected - expired,
          waiting: view.queue_depth,
          running: devices.reduce((sum, one) => sum + one.running, 0),
          attempts: replicas.reduce((sum, one) => sum + one.running, 0),
          kv_tokens: replicas.reduce((sum, one) => sum + one.kv_tokens_reserved, 0),
        };
        if (Object.values(left).some((amount) => amount !== 0))
          throw new Error(JSON.stringify(left));
        return view;
      },
      timeout_ms,
    );
  }

  /// Undoes whatever a failed check may have left: everybody runs, is linked and takes work.
  async calm() {
    for (const node of this.nodes) {
      node.link_proxy?.heal();
      node.data_proxy?.heal();
      if (node.up) node.resume();
      else await node.start();
    }
    if (!this.scheduler.up) await this.scheduler.start();
    await this.expect_alive(this.nodes.map((one) => one.name));
    for (const one of await this.scheduler.list('devices'))
      if (one.draining) await this.scheduler.post('/api/v1/uncordon', { target: one.spec.id });
    for (const one of await this.scheduler.list('nodes'))
      if (one.draining) await this.scheduler.post('/api/v1/uncordon', { target: one.node });
  }

  // --- the end ---

  /// Every process of the cluster and everything below.
  processes() {
    return this.all.filter((one) => one.up).flatMap((one) => [one.self(), ...descendants(one.pid)]);
  }

  /// SIGTERM to gateways, nodes, scheduler: each exits with 0 in time and leaves no process behind.
  async stop() {
    const processes = this.processes();
    const running = this.all.filter((one) => one.up);
    for (const group of [this.gateways, this.nodes, [this.scheduler]]) {
      const ending = group.filter((one) => running.includes(one));
      for (const one of ending) one.signal('SIGTERM');
      await Promise.all(ending.map((one) => this.#expect_exit(one)));
    }
    await eventually(
      'no process of the cluster is left',
      () => {
        const left = processes.filter(is_alive).map((one) => `${one.pid} ${command_line(one.pid)}`);
        if (left.length > 0) throw new Error(left.join(', '));
        return true;
      },
      3_000,
    );
  }
  async #expect_exit(server) {
    const what = `${server.role} ${server.name} exits after SIGTERM`;
    await eventually(what, () => server.ended, exit_ms_max, 20);
    assert.deepEqual(server.ended, { code: 0, signal: null }, `${what}\n${server.tail()}`);
  }

  /// Kills one process and forgets its proxies.
  async discard(server) {
    await server.destroy();
    server.link_proxy?.close();
    server.data_proxy?.close();
  }

  /// Whatever happened, leaves nothing behind.
  async destroy() {
    const keep = process.env.CONSORT_LOGS; // A folder for whole logs, when a failure is hunted.
    for (const one of this.all) {
      await this.discard(one);
      if (keep) fs.writeFileSync(path.join(keep, `${one.role}-${one.name}.log`), one.log);
    }
    fs.rmSync(this.folder, { recursive: true, force: true });
  }

  /// The last lines of every process, for a failing test's message.
  tail(lines = 20) {
    return this.all.map((one) => `${one.role} ${one.name}:\n${one.tail(lines)}`).join('\n');
  }

  /// No sanitizer complained in any log.
  expect_sane() {
    for (const one of this.all)
      assert.doesNotMatch(
        one.log,
        /AddressSanitizer|LeakSanitizer|runtime error:|terminate called/,
        `${one.role} ${one.name}`,
      );
  }
}

/// One test per cluster, its checks as subtests; at the end a clean stop, which is a check too.
export function with_hosts(title, options, body) {
  test(title, { timeout: 600_000 }, async (t) => {
    const hosts = new Hosts(options);
    t.after(() => hosts.destroy());
    await hosts.start();
    const check = checker(t, hosts);
    await body(check, hosts, t);
    await check('stops cleanly: exit 0, no process left, no sanitizer report', async () => {
      await hosts.stop();
      hosts.expect_sane();
    });
  });
}

// --- streams -------------------------------------------------------------------------------------

/// Reads a stream to its end. Returns: {text, chunks, ends, errors, usage, device, attempts, gaps};
/// `ends` counts [DONE] and error events, so one is right and none is silence. `on_chunk(n, seen)`
/// is called with each piece of text. Never rejects for a broken connection: that is `broken`.
export async function read_stream(server, fields = {}, headers = {}, on_chunk = () => {}) {
  const seen = { text: '', chunks: 0, ends: 0, errors: [], at: [], broken: null, finish: null };
  const body = { temperature: 0, stream_options: { include_usage: true }, ...fields };
  try {
    for await (const event of server.stream(body, headers, AbortSignal.timeout(120_000))) {
      if (event.headers) {
        seen.first_device = event.headers.get('x-consort-device');
        seen.request = event.headers.get('x-request-id');
        await on_chunk(0, seen);
        continue;
      }
      if (event.error) seen.errors.push(event.error);
      if (event.done || event.error) seen.ends += 1;
      if (event.usage) seen.usage = event.usage;
      seen.finish = event.choices?.[0]?.finish_reason ?? seen.finish;
      const text = event.choices?.[0]?.text;
      if (!text) continue;
      seen.text += text;
      seen.chunks += 1;
      seen.at.push(performance.now());
      await on_chunk(seen.chunks, seen);
    }
  } catch (failure) {
    // A refusal before the stream is an end too: stream() expects 200 and says what came.
    if (typeof failure.actual === 'number') {
      const refusal = JSON.parse(failure.message.split('\n')[0]).error;
      seen.errors.push({ status: failure.actual, ...refusal });
      seen.ends += 1;
    } else {
      seen.broken = failure;
    }
  }
  seen.device = seen.usage?.consort?.device;
  seen.attempts = seen.usage?.consort?.attempts;
  return seen;
}

/// A stream that must be whole: one end, no error, and this text.
export function expect_whole(seen, text) {
  const told = `${seen.broken?.stack ?? ''} ${JSON.stringify({ ...seen, at: undefined })}`;
  assert.equal(seen.broken, null, told);
  assert.deepEqual(seen.errors, [], told);
  assert.equal(seen.ends, 1, told);
  if (text !== undefined) assert.equal(seen.text, text, told);
}
