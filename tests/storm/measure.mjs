// SPDX-License-Identifier: Apache-2.0
// What three processes with TLS cost against `consort up`, and how a gateway moves chunks against
// HAProxy in front of the same engine: medians of several interleaved runs.
// Usage: CONSORT_BIN=... BENCH=build/release/tests/bench/relay_bench node tests/storm/measure.mjs
//        [--runs 5] [--requests 200] [--streams 32] [--seconds 5] [--step-us 2000]
//        [--skip-ttft] [--skip-chunks]
import { execFile, execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { Hosts, free_port } from '../system/hosts_support.mjs';
import { Cluster, cpu_ms, eventually, root, sleep, temp_dir } from '../system/support.mjs';
import { median, options_from, percentile } from './storm_support.mjs';

const options = options_from({
  runs: 5,
  requests: 200,
  streams: 32,
  seconds: 5,
  tokens: 400,
  'step-us': 2_000,
  'skip-ttft': false,
  'skip-chunks': false,
});
const program = process.env.BENCH ?? path.join(root, 'build/release/tests/bench/relay_bench');

// --- time to the first token ---------------------------------------------------------------------

const agent = new http.Agent({ keepAlive: true });

/// Milliseconds from writing the request to the first event of its stream; reads it to its end.
function first_token_ms(url, body) {
  return new Promise((resolve, reject) => {
    const sent = performance.now();
    let first = 0;
    const request = http.request(
      `${url}/v1/completions`,
      {
        method: 'POST',
        agent,
        headers: {
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(body),
          'x-consort-device': 'cpu',
        },
      },
      (answer) => {
        answer.on('data', () => (first ||= performance.now()));
        answer.on('end', () =>
          answer.statusCode === 200 ? resolve(first - sent) : reject(new Error(answer.statusCode)),
        );
      },
    );
    request.setNoDelay(true);
    request.on('error', reject);
    request.end(body);
  });
}

async function sample(server) {
  const body = JSON.stringify({
    ...{ model: await server.model(), prompt: 'Once upon a time', max_tokens: 2 },
    ...{ stream: true, temperature: 0 },
  });
  const spans = [];
  for (let i = 0; i < options.requests; ++i) spans.push(await first_token_ms(server.url, body));
  return { p50: median(spans), p99: percentile(spans, 0.99) };
}

async function time_to_first_token() {
  const hosts = new Hosts({ tls: true, nodes: ['a'] });
  const single = new Cluster();
  try {
    await hosts.start();
    await single.start();
    const runs = [];
    for (const server of [single, hosts.gateway]) await sample(server); // Warm both.
    for (let run = 0; run < options.runs; ++run)
      runs.push({ up: await sample(single), tls: await sample(hosts.gateway) });
    const of = (side, share) => median(runs.map((one) => one[side][share]));
    console.log(
      `time to first token, ${options.runs} x ${options.requests} requests, medians of runs`,
    );
    for (const share of ['p50', 'p99']) {
      const added = median(runs.map((one) => one.tls[share] - one.up[share]));
      console.log(
        `  ${share}: up ${of('up', share).toFixed(2)} ms, three processes with TLS ` +
          `${of('tls', share).toFixed(2)} ms, added ${added.toFixed(2)} ms`,
      );
    }
  } finally {
    await single.destroy();
    await hosts.destroy();
  }
}

// --- chunks per second ---------------------------------------------------------------------------

function find(name) {
  for (const folder of [...process.env.PATH.split(':'), '/usr/sbin'])
    if (fs.existsSync(path.join(folder, name))) return path.join(folder, name);
  return null;
}

const haproxy_config = (listen, engine) => `
global
  nbthread 1
  maxconn 4096
defaults
  mode http
  option http-keep-alive
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend in
  bind 127.0.0.1:${listen}
  default_backend engine
backend engine
  server one 127.0.0.1:${engine} maxconn 2048
`;

/// Both proxies run on this core, engine and client on the other ones.
function pin(pid, cores) {
  execFileSync('taskset', ['-a', '-c', '-p', `${cores}`, `${pid}`], { stdio: 'ignore' });
}

/// Lines of JSON from a relay_bench that loads this address. Returns: {chunks, seconds, requests}.
async function load(port, target) {
  const args = ['load', `127.0.0.1:${port}`, target, options.streams, options.seconds];
  // Not blocking: a server whose log nobody reads stands still.
  const { stdout } = await promisify(execFile)(
    'taskset',
    ['-c', '0', program, ...args.map(String)],
    { timeout: (options.seconds + 30) * 1_000 },
  );
  return JSON.parse(stdout);
}

/// One run against a proxy whose processes are `pids`: rate, and chunks per second of its CPU.
async function measure_proxy(pid, port, target) {
  const before = cpu_ms([{ pid }]);
  const seen = await load(port, target);
  const used_s = (cpu_ms([{ pid }]) - before) / 1_000;
  return { rate: seen.chunks / seen.seconds, per_cpu_s: seen.chunks / Math.max(used_s, 0.01) };
}

async function chunk_rates() {
  const haproxy = find('haproxy');
  if (!haproxy) return console.log('chunks/s: needs HAProxy: apt-get install -y haproxy');
  const children = [];
  const run = (command, args) => {
    const child = spawn(command, args.map(String), { stdio: ['ignore', 'pipe', 'inherit'] });
    child.text = '';
    child.stdout.on('data', (piece) => (child.text += piece));
    children.push(child);
    return child;
  };
  const hosts = new Hosts({ tls: true, nodes: [], gateways: ['g1'], gateways_ready: false });
  const folder = temp_dir('consort-relay');
  try {
    await hosts.start();
    const cert = await hosts.authority.issue('node', 'instant');
    const link = `127.0.0.1:${hosts.link_port}`;
    const engine = run('taskset', [
      ...[
        '-c',
        '0',
        program,
        'engine',
        link,
        hosts.token,
        options.tokens,
        options['step-us'],
        folder,
        cert,
      ],
    ]);
    const engine_port = await eventually(
      'the engine listens',
      () => /http (\d+)/.exec(engine.text)?.[1],
      20_000,
    );
    await eventually(
      'the gateway serves',
      async () => (await hosts.gateway.get('/readyz')).status === 200,
      20_000,
    );
    const listen = await free_port();
    fs.writeFileSync(path.join(folder, 'haproxy.cfg'), haproxy_config(listen, engine_port));
    const proxy = run(haproxy, ['-db', '-f', path.join(folder, 'haproxy.cfg')]);
    await sleep(500);
    pin(proxy.pid, 1);
    // Born there, so that it starts as many threads as it has cores.
    pin(process.pid, 1);
    await hosts.gateway.restart();
    pin(process.pid, `0-${os.cpus().length - 1}`);
    await eventually(
      'the gateway serves again',
      async () => (await hosts.gateway.get('/readyz')).status === 200,
      20_000,
    );
    const model = await hosts.scheduler.model();
    const gateway_port = new URL(hosts.gateway.url).port;
    const runs = [];
    for (let i = 0; i < options.runs; ++i)
      runs.push({
        direct: await load(engine_port, model),
        gateway: await measure_proxy(hosts.gateway.pid, gateway_port, model),
        haproxy: await measure_proxy(proxy.pid, listen, model),
      });
    report_chunks(runs);
  } finally {
    for (const child of children) child.kill('SIGKILL');
    await hosts.destroy();
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

function report_chunks(runs) {
  const of = (side, figure) => median(runs.map((one) => one[side][figure]));
  console.log(
    `chunks/s, ${options.runs} x ${options.seconds} s, ${options.streams} streams, medians`,
  );
  const alone = median(runs.map((one) => one.direct.chunks / one.direct.seconds));
  console.log(`  engine alone   ${alone.toFixed(0)}`);
  for (const side of ['gateway', 'haproxy'])
    console.log(
      `  ${side.padEnd(14)} ${of(side, 'rate').toFixed(0)}, ` +
        `${of(side, 'per_cpu_s').toFixed(0)} per second of its core`,
    );
  const ratio = (figure) => (of('gateway', figure) / of('haproxy', figure)).toFixed(2);
  console.log(`  gateway / HAProxy: ${ratio('rate')} by rate, ${ratio('per_cpu_s')} by CPU`);
}

try {
  if (!options['skip-ttft']) await time_to_first_token();
  if (!options['skip-chunks']) await chunk_rates();
} catch (failure) {
  console.error(failure.stack);
  process.exitCode = 1;
}
process.exit();
