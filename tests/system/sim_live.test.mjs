// SPDX-License-Identifier: Apache-2.0
// Goal: a scenario played by real processes: every request ends once although a node is killed, the
// report sets both runs side by side, and no process is left, whatever ends the rehearsal.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import {
  binary, clean_env, command_line, descendants, eventually, expect_gone, root, run_cli, temp_dir,
} from './support.mjs';

const options = { timeout: 600_000 };

// An accelerator that needs an engine built, and a device that does not; both slow enough for any
// machine to keep up with.
const scenario = {
  name: 'rehearsal',
  seed: 5,
  duration: '9s',
  settle: '60s',
  nodes: [{
    name: 'edge-{n}', count: 2,
    devices: ['cpu-local', { spec: 'refnpu-1', compile: '1s', load: '200ms' }],
  }],
  models: {
    storyteller: {
      weights: '10MiB', kv_bytes_per_token: 3072, context: 512, replicas_min: 4,
    },
  },
  workload: [{ poisson: '3/s', input: 'uniform(10,40)', output: 'uniform(10,30)', from: '2s' }],
  faults: [{ at: '5s', kill: 'edge-0', for: '1s' }],
  expect: { lost_requests: 0, builds: { min: 1 } },
};

function write_scenario(t, fields = {}) {
  const folder = temp_dir('consort-live');
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  const file = path.join(folder, 'rehearsal.json');
  fs.writeFileSync(file, JSON.stringify({ ...scenario, ...fields }));
  return { folder, file };
}

/// Every process that serves this scenario file or keeps its data below the folder.
const processes_of = (folder) =>
  fs.readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && command_line(pid).includes(folder));

test('a node is killed, every request ends once, both runs are told', options, async (t) => {
  const { folder, file } = write_scenario(t);
  const out = path.join(folder, 'out');
  const done = await run_cli(['sim', file, '--live', '--out', out], { timeout_ms: 150_000 });
  assert.equal(done.code, 0, done.stderr + done.stdout);
  assert.match(done.stdout, /VIRTUAL +LIVE +LIVE\/VIRTUAL/);
  const told = JSON.parse(fs.readFileSync(path.join(out, 'comparison.json'), 'utf8'));
  const figure = (name) => told.figures.find((one) => one.figure === name);
  for (const name of ['ttft_p50_ms', 'itl_p50_ms', 'e2e_p50_ms', 'tokens_per_s']) {
    assert.ok(figure(name).virtual > 0, name);
    assert.ok(figure(name).live > 0, name);
  }
  assert.equal(figure('requests').virtual, figure('requests').live);
  assert.equal(figure('finished').live, figure('requests').live);
  const rows = fs.readFileSync(path.join(out, 'live', 'requests.csv'), 'utf8').trim().split('\n');
  const ids = rows.slice(1).map((row) => row.split(',')[0]);
  assert.equal(new Set(ids).size, figure('requests').live, 'each is told of once');
  const of_both = (run) =>
    fs.readFileSync(path.join(out, run, 'requests.csv'), 'utf8').trim().split('\n').slice(1)
      .map((row) => row.split(',')).map((row) => [row[0], row[9], row[10]].join());
  assert.deepEqual(of_both('live'), of_both('virtual'), 'the same requests, the same tokens');
  const log = fs.readFileSync(path.join(out, 'processes', 'logs', 'edge-1.log'), 'utf8');
  assert.match(log, /edge-1\/npu0 +\S+ .*simulated: software, no hardware/);
  assert.deepEqual(processes_of(folder), []);
});

// A scheduler refuses a policy that it does not know, and a gateway a request that names one.
test('profiles of the scenario are the scheduler\'s, whoever names them', options, async (t) => {
  const mine = { weights: { queue: 1, decode: 1, energy: 3 }, pick: 'slo' };
  const models = {
    'org/tale': { weights: '10MiB', kv_bytes_per_token: 3072, context: 512, policy: 'other' },
    tale: { weights: '10MiB', kv_bytes_per_token: 3072, context: 512 },
  };
  const work = { poisson: '2/s', input: 'uniform(10,40)', output: 'uniform(5,10)', from: '2s' };
  const { folder, file } = write_scenario(t, {
    duration: '6s',
    nodes: [{ name: 'edge-{n}', count: 2, devices: ['cpu-local'] }],
    models,
    faults: [],
    scheduler: { profiles: { mine, other: { pick: 'turn' } }, slo: { ttft: '2s' } },
    workload: [
      { ...work, model: 'org/tale' },
      { ...work, model: 'tale', policy: 'other', hedge: true },
    ],
    expect: { lost_requests: 0, rejected: 0 },
  });
  const out = path.join(folder, 'out');
  const args = ['sim', file, '--live', '--policy', 'mine', '--out', out];
  const done = await run_cli(args, { timeout_ms: 150_000 });
  assert.equal(done.code, 0, done.stderr + done.stdout);
  const told = JSON.parse(fs.readFileSync(path.join(out, 'comparison.json'), 'utf8'));
  assert.equal(told.policy, 'mine');
  const figure = (name) => told.figures.find((one) => one.figure === name);
  assert.ok(figure('requests').live > 0);
  assert.equal(figure('finished').live, figure('requests').live);
  const read = fs.readFileSync(path.join(out, 'processes', 'cluster.json'), 'utf8');
  const { scheduler } = JSON.parse(read);
  assert.equal(scheduler.policy, 'mine');
  assert.deepEqual(scheduler.profiles.mine, { ...mine, filters: [], waits: true });
});

test('every fault that processes can have is played, and nothing is lost', options, async (t) => {
  const span = { for: '2s' };
  const faults = [
    { at: '100ms', compile_fail: 'edge-*', transient: true, ...span },
    { at: '1500ms', oom: 'edge-0/*', for: '1s' },
    { at: '2s', crash: 'edge-1/*' },
    { at: '2500ms', compile_hang: 'edge-*', ...span },
    { at: '3s', partition: 'edge-0', direction: 'in', ...span },
    { at: '3s', throttle: 'edge-1/*', factor: 3, ...span },
    { at: '5s', cut: 'edge-1', ...span },
    { at: '5s', storm: 'edge-0/cpu0', status: 503, share: 0.5, ...span },
    { at: '7s', slow: 'edge-1/*', factor: 2, ...span },
    { at: '9s', cut: 'gateway', for: '1s' },
    { at: '11s', pause: 'edge-0', ...span },
    { at: '13s', scheduler: 'restart', for: '1s' },
    { at: '17s', upgrade: 'edge-*', for: '1s' },
  ];
  const devices = ['cpu-local', { spec: 'refnpu-1', compile: '2s', load: '200ms' }];
  const nodes = [{ name: 'edge-{n}', count: 2, devices }];
  const { folder, file } = write_scenario(t, { duration: '30s', nodes, faults });
  const out = path.join(folder, 'out');
  const done = await run_cli(['sim', file, '--live', '--out', out], { timeout_ms: 150_000 });
  assert.equal(done.code, 0, done.stderr + done.stdout);
  const told = fs.readFileSync(path.join(out, 'processes', 'logs', 'scheduler.log'), 'utf8');
  for (const sign of [
    /compile failed on edge-\d/,
    /edge-0 is no longer linked(.|\n)*node edge-0 is linked/,
    /edge-1 is no longer linked(.|\n)*node edge-1 is linked/,
    /replica of storyteller failed: the device's memory is taken/,
    /replica of storyteller failed: the runtime died/,
    /gateway gateway is no longer linked(.|\n)*gateway gateway is linked/,
    /replica of storyteller is taken over as it is/,
    /edge-0: draining(.|\n)*edge-1: draining/,
  ])
    assert.match(told, sign);
  assert.deepEqual(processes_of(folder), []);
});

// A partition is one of every connection, where a namespace for each node can be had. They have no
// names: that of a process is all that can be looked for, and that no device is left on the host.
const without_namespaces = () => {
  if (process.getuid() !== 0) return 'not root';
  for (const tool of ['ip', 'tc', 'nsenter'])
    if (spawnSync(tool, ['--version']).error) return `no ${tool}`;
  const made = spawnSync('unshare', ['--net', 'true']);
  return made.status === 0 ? false : 'no network namespaces here';
};
const network_of = (pid) => fs.readlinkSync(`/proc/${pid}/ns/net`);
const devices_here = () => fs.readdirSync('/sys/class/net').sort();

test('a partition is made by network namespaces, which leave nothing behind',
  { ...options, skip: without_namespaces() }, async (t) => {
    const faults = [
      { at: '4s', partition: 'edge-0', for: '2s' },
      { at: '7s', partition: 'edge-1', direction: 'out', for: '2s' },
    ];
    const { folder, file } = write_scenario(t, { duration: '13s', faults });
    const out = path.join(folder, 'out');
    const before = devices_here();
    const done = await run_cli(['sim', file, '--live', '--out', out], { timeout_ms: 150_000 });
    assert.equal(done.code, 0, done.stderr + done.stdout);
    assert.match(done.stdout, /^partitions by network namespaces$/m);
    const told = JSON.parse(fs.readFileSync(path.join(out, 'comparison.json'), 'utf8'));
    assert.equal(told.partitions_by, 'network namespaces');
    const log = fs.readFileSync(path.join(out, 'processes', 'logs', 'scheduler.log'), 'utf8');
    for (const node of ['edge-0', 'edge-1'])
      assert.match(log, new RegExp(`${node} is no longer linked(.|\\n)*node ${node} is linked`));
    assert.deepEqual(processes_of(folder), []);
    assert.deepEqual(devices_here(), before);
  });

test('without the tools a partition is held by relays, and the answer says so', options,
  async (t) => {
    const faults = [{ at: '4s', partition: 'edge-0', for: '1s' }];
    const { file, folder } = write_scenario(t, { faults });
    const env = { PATH: folder };
    const done = await run_cli(['sim', file, '--live'], { timeout_ms: 150_000, env });
    assert.equal(done.code, 0, done.stderr + done.stdout);
    assert.match(done.stdout, /^partitions by relays of control links \(/m);
  });

test('SIGKILL in the middle leaves no namespace', { ...options, skip: without_namespaces() },
  async (t) => {
    const faults = [{ at: '50s', partition: 'edge-0' }];
    const { folder, file } = write_scenario(t, { duration: '60s', faults });
    const before = devices_here();
    const child = spawn(binary, ['sim', file, '--live'], {
      env: clean_env({}, folder), cwd: root, stdio: 'ignore',
    });
    const ended = new Promise((resolve) => child.on('exit', resolve));
    const is_node = (one) => / node /.test(command_line(one.pid));
    const nodes = () => descendants(child.pid).filter(is_node);
    await eventually('two nodes', () => nodes().length === 2, 60_000);
    const all = descendants(child.pid);
    const networks = new Set(nodes().map((one) => network_of(one.pid)));
    assert.equal(networks.size, 2, 'each node has its own');
    assert.ok(!networks.has(network_of(process.pid)));
    child.kill('SIGKILL');
    await ended;
    await expect_gone(all, 10_000);
    assert.deepEqual(devices_here(), before);
  });

test('what no process can do is refused by its field', options, async (t) => {
  const { file } = write_scenario(t, { faults: [{ at: '1s', loss: 'edge-0', share: 0.1 }] });
  const done = await run_cli(['sim', file, '--live']);
  assert.equal(done.code, 2, done.stderr);
  assert.match(done.stderr, /faults\[0\]\.loss/);
  assert.equal((await run_cli(['sim', file, '--live', '--check'])).code, 2);
});

for (const signal of ['SIGINT', 'SIGKILL'])
  test(`${signal} in the middle leaves no process`, options, async (t) => {
    const { folder, file } = write_scenario(t, { duration: '60s' });
    const child = spawn(binary, ['sim', file, '--live'], {
      env: clean_env({ TMPDIR: folder }, folder), cwd: root, stdio: 'ignore',
    });
    const ended = new Promise((resolve) => child.on('exit', (code) => resolve(code)));
    const is_node = (one) => / node /.test(command_line(one.pid));
    const nodes = () => descendants(child.pid).filter(is_node);
    await eventually('two nodes', () => nodes().length === 2, 60_000);
    const all = descendants(child.pid);
    assert.ok(all.length >= 4, 'scheduler, gateway, nodes');
    child.kill(signal);
    const code = await ended;
    if (signal === 'SIGINT') {
      assert.equal(code, 1);
      const left = fs.readdirSync(folder).filter((name) => name.startsWith('consort-live-'));
      assert.deepEqual(left, [], 'who interrupts it needs no logs');
    }
    await expect_gone(all, 10_000);
  });
