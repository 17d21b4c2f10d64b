// SPDX-License-Identifier: Apache-2.0
// A thousand agents of eight simulated devices each against one real scheduler: how long they take
// to join, what the scheduler uses when nothing and when much is reported, what a device costs in
// memory, and how long after a restart everything is back.
// Usage: CONSORT_BIN=... BENCH=build/release/tests/bench/agents_bench node tests/storm/agents.mjs
//        [--agents 1000] [--devices 8] [--rate 10000] [--seconds 10] [--plain]
import { spawn } from 'node:child_process';
import path from 'node:path';
import readline from 'node:readline';
import { Hosts } from '../system/hosts_support.mjs';
import { cpu_ms, eventually, root, sleep } from '../system/support.mjs';
import { options_from } from './storm_support.mjs';

const options = options_from({
  agents: 1_000,
  devices: 8,
  rate: 10_000,
  seconds: 10,
  plain: false,
});
const program = process.env.BENCH ?? path.join(root, 'build/release/tests/bench/agents_bench');
const all_back_ms_max = 120_000;
const settle_ms = 3_000; // A lease: after it nothing about joining is going on any more.

const hosts = new Hosts({ tls: !options.plain, nodes: [], gateways: [] });
const devices = options.agents * options.devices;
let bench;
let last = { welcomed: 0, reports: 0 };

function start_agents() {
  const args = [`127.0.0.1:${hosts.link_port}`, hosts.token, options.agents, options.devices];
  if (!options.plain) args.push(hosts.authority.folder);
  bench = spawn(program, args.map(String), { stdio: ['pipe', 'pipe', 'inherit'] });
  bench.on('error', (failure) => console.error(`${program}: ${failure.message}`));
  readline.createInterface({ input: bench.stdout }).on('line', (line) => (last = JSON.parse(line)));
}

const totals = async () => (await hosts.scheduler.cluster_view()).totals;
const everybody = (what) =>
  eventually(what, async () => (await totals()).devices_alive === devices, all_back_ms_max, 100);

/// Share of one core that the scheduler uses over a while.
async function share_used(ms) {
  const began = { at: performance.now(), cpu: cpu_ms([hosts.scheduler]) };
  await sleep(ms);
  return (cpu_ms([hosts.scheduler]) - began.cpu) / (performance.now() - began.at);
}
const percent = (share) => `${(100 * share).toFixed(1)} % of a core`;

try {
  await hosts.start();
  const empty = hosts.scheduler.usage().resident_bytes;
  console.log(
    `${options.agents} agents x ${options.devices} devices, ${options.plain ? 'plain' : 'TLS'}`,
  );

  start_agents();
  await eventually('the first agent', () => last.ms !== undefined, all_back_ms_max, 10);
  const began = performance.now();
  await everybody('every device is there');
  console.log(
    `join: ${((performance.now() - began) / 1_000).toFixed(2)} s until every device is there`,
  );

  await sleep(settle_ms);
  const full = hosts.scheduler.usage();
  console.log(
    `memory: ${((full.resident_bytes - empty) / devices / 1_024).toFixed(1)} KiB per device ` +
      `(${(empty / 2 ** 20).toFixed(0)} MiB empty, ${(full.resident_bytes / 2 ** 20).toFixed(0)} ` +
      `MiB full), ${full.descriptors} descriptors`,
  );
  console.log(`idle (leases only): ${percent(await share_used(options.seconds * 1_000))}`);

  bench.stdin.write(`rate ${options.rate}\n`);
  await sleep(settle_ms);
  const before = { at: performance.now(), reports: last.reports };
  const busy = await share_used(options.seconds * 1_000);
  const rate = ((last.reports - before.reports) * 1_000) / (performance.now() - before.at);
  console.log(`${rate.toFixed(0)} reports/s: ${percent(busy)}`);
  const lost = options.agents - last.welcomed;
  if (lost > 0) console.log(`FINDING ${lost} agents lost their link under load`);
  bench.stdin.write('rate 0\n');

  await hosts.scheduler.kill();
  const killed = performance.now();
  await hosts.scheduler.start();
  const up = performance.now();
  await everybody('every device is back');
  console.log(
    `restart: every device is back ${((performance.now() - killed) / 1_000).toFixed(2)} s after ` +
      `kill -9, ${((performance.now() - up) / 1_000).toFixed(2)} s after it listened again`,
  );
} catch (failure) {
  console.error(hosts.scheduler ? hosts.tail() : '');
  console.error(failure.stack);
  process.exitCode = 1;
} finally {
  bench?.kill('SIGKILL');
  await hosts.destroy();
}
process.exit();
