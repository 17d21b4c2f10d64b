// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import readline from 'node:readline';
import { setTimeout } from 'node:timers/promises';
import { eventually } from '../../system/support.mjs';
import { nvidia_smi } from '../devices.mjs';
import { fake_nvml } from '../places.mjs';
import { Stand } from '../stand.mjs';
import { ask, started_over } from '../suite.mjs';

const [board] = nvidia_smi.devices;
const scene = (stand, ...lines) =>
  fs.writeFileSync(path.join(stand.fakes, 'nvml'), `${lines.join('\n')}\n`);
const gpu = { 'X-Consort-Device': 'gpu' };
const other = { 'X-Consort-Device': 'pim' };

/// What `plugin check` says of a scene.
async function check(stand, ...lines) {
  scene(stand, ...lines);
  const folder = path.join(stand.plugins, 'nvidia');
  const done = await stand.cli(['plugin', 'check', '--no-run', folder]);
  scene(stand);
  return done;
}

/// The first reading of a new consort-nvml that fits, else its hundredth; it is killed then.
async function first_reading(stand, kept, lines, fits = () => true) {
  scene(stand, ...lines);
  const tool = path.join(stand.plugins, 'nvidia/consort-nvml');
  const child = spawn(tool, ['--watch', '0.1', '--keep', kept], {
    env: { ...process.env, ...stand.env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    let left = 100;
    for await (const line of readline.createInterface({ input: child.stdout })) {
      const [first] = JSON.parse(line).devices;
      if (--left === 0 || fits(first)) return first;
    }
    throw new Error('consort-nvml ended');
  } finally {
    child.kill('SIGKILL');
    scene(stand);
  }
}

const reading = async (stand) => (await stand.devices())[0].reading;

const slices = [1, 2].map((number) => `MIG-11111111-0000-0000-0000-00000000000${number}`);

const backend = {
  name: 'nvidia',
  plugins: ['nvidia', 'vllm'],
  type: 'gpu',
  absent: /not on this host: .*(nvidiactl|vllm)/,
  env: { CONSORT_NVML: fake_nvml },
  servers: { vllm: 'vllm.mjs' },
  fake: 'vllm',
  model: 'meta-llama/Llama-3.1-8B-Instruct',
  devices: [{ ...board, reading: { ...board.reading, energy_mj: 123456 } }],
  chosen: { CUDA_VISIBLE_DEVICES: /^0$/ },
  moves: ['vllm-500'],
  breaks: ['cut'],
  before: {
    'partitions are devices of their own, and their board runs nothing': async (stand) => {
      const done = await check(stand, 'mig=1');
      assert.equal(done.code, 0, done.stdout);
      assert.match(done.stdout, /MIG-11111111-0000-0000-0000-000000000001/);
      assert.match(done.stdout, /3 of 3 devices read/);
    },
    'a server on a partition is told of that one': async () => {
      const stand = new Stand(backend);
      try {
        scene(stand, 'mig=1');
        await stand.start();
        const parts = (await stand.devices()).filter(({ spec }) => spec.uuid.startsWith('MIG-'));
        assert.deepEqual(parts.map(({ spec }) => spec.uuid).sort(), slices);
        for (const { spec } of parts) {
          const answer = await ask(stand, { max_tokens: 2 }, { 'X-Consort-Device': spec.id });
          assert.equal(answer.status, 200, answer.text);
          assert.equal(answer.headers.get('x-consort-device'), spec.id);
          const [started] = stand.journal('start').slice(-1);
          assert.equal(started.env.CUDA_VISIBLE_DEVICES, spec.uuid);
        }
      } finally {
        await stand.destroy();
      }
    },
    'boards that NVLink joins, or their host alone, serve one model together': async () => {
      for (const [nvlink, group] of [
        [1, board.uuid],
        [0, 'host'],
      ]) {
        const two = (stand) => scene(stand, 'boards=2', `nvlink=${nvlink}`);
        const { env, words, devices } = await started_over(2, backend, two);
        assert.match(env.CUDA_VISIBLE_DEVICES, /^0,1$/);
        assert.match(words, /--tensor-parallel-size 2/);
        for (const { spec } of devices) assert.equal(spec.topology_group, group);
      }
    },
    'a board that fell is down for whoever listens anew, until it was reset': async (stand) => {
      const kept = path.join(stand.folder, 'kept');
      fs.mkdirSync(kept);
      const file = path.join(kept, 'xids.json');
      const falls = () =>
        first_reading(stand, kept, ['xid=79', 'na=recovery'], ({ health }) => health !== 'healthy');
      const now = (...lines) => first_reading(stand, kept, lines);
      assert.equal((await falls()).reason, 'XID 79');
      const again = await now('na=recovery');
      assert.equal(again.health, 'unhealthy');
      assert.equal(again.reason, `XID 79 (earlier: after a reset of the board remove ${file})`);
      assert.match((await now('recovery=1')).reason, /asks for a reset of the board, XID 79 /);
      assert.equal((await now('recovery=0')).health, 'healthy', 'its driver says so');
      assert.equal((await now('na=recovery')).health, 'healthy', 'which is kept as well');
      await falls();
      const { boot, boards } = JSON.parse(fs.readFileSync(file, 'utf8'));
      assert.deepEqual(boards, { [board.uuid]: [79] });
      fs.writeFileSync(file, JSON.stringify({ boot: `${boot}x`, boards }));
      assert.equal((await now('na=recovery')).health, 'healthy', 'the host was booted');
      fs.writeFileSync(file, '{"boot": "cut');
      assert.equal((await now('na=recovery')).health, 'healthy', 'a damaged file tells of nothing');
    },
    'a driver that cannot be asked is said': async (stand) => {
      const done = await check(stand, 'init=18');
      assert.notEqual(done.code, 0);
      assert.match(done.stdout, /version mismatch: the driver was replaced/);
    },
  },
  checks: {
    'what a driver does not support is unknown': async (stand) => {
      scene(stand, 'na=busy,energy,heat');
      await eventually('unknown', async () => {
        const { utilization_pm, temperature_mc, power_mw } = await reading(stand);
        return !utilization_pm && utilization_pm !== 0 && !temperature_mc && power_mw === 77090;
      });
      scene(stand);
    },
    'its errors become its health': async (stand) => {
      for (const [line, health] of [
        ['ecc=2', 'degraded'],
        ['remap_pending=1', 'degraded'],
        ['throttle=128', 'degraded'],
        ['remap_failed=1', 'unhealthy'],
        ['lost=1', 'unhealthy'],
        ['recovery=4', 'degraded'],
        ['recovery=2', 'unhealthy'],
        ['recovery=9', 'unhealthy'],
        ['x=1', 'healthy'],
      ]) {
        scene(stand, line);
        await eventually(line, async () => (await reading(stand)).health === health);
      }
    },
    'an engine that does not use it is found out, named and left': async (stand) => {
      scene(stand, 'power=75000');
      await ask(stand, { max_tokens: 2 }, other);
      await ask(stand, { max_tokens: 2 }, gpu);
      const found = /device_unused|its engine generates, and the device does nothing/;
      const stop = Date.now() + 30_000;
      // A long stream keeps its counter moving while nothing is drawn.
      const streams = (async () => {
        while (!found.test(stand.cluster.output) && Date.now() < stop)
          await ask(stand, { max_tokens: 400 }, {});
      })();
      await eventually('it is found out', () => found.test(stand.cluster.output), 30_000);
      await streams;
      assert.equal((await reading(stand)).health, 'degraded');
      const refused = await ask(stand, {}, { ...gpu, 'X-Consort-Wait': '2s' });
      assert.ok(refused.status >= 500, refused.text);
      const answer = await ask(stand, {}, {});
      assert.equal(answer.status, 200);
      assert.match(answer.headers.get('x-consort-device'), /pim/);
      process.kill(stand.cluster.pid, 'SIGHUP');
      await eventually('mended, it serves again', async () => (await ask(stand)).status === 200);
    },
    'one that opens it and computes elsewhere is found out, too': async (stand) => {
      const before = stand.cluster.output.length;
      const found = () => /the device does nothing/.test(stand.cluster.output.slice(before));
      await ask(stand, { max_tokens: 2 }, gpu);
      scene(stand, 'power=115000'); // As recorded: a context is open, and nothing runs.
      await setTimeout(12_000); // Four readings at least, two seconds apart.
      const stop = Date.now() + 50_000;
      const streams = [0, 1].map(async () => {
        while (!found() && Date.now() < stop) await ask(stand, { max_tokens: 400 }, gpu);
      });
      await eventually('it is found out', found, 50_000);
      await Promise.all(streams);
      assert.equal((await reading(stand)).health, 'degraded');
      process.kill(stand.cluster.pid, 'SIGHUP');
      await eventually('mended, it serves again', async () => (await ask(stand)).status === 200);
    },
    'an error of the driver takes it out, whatever follows it': async (stand) => {
      scene(stand, 'xid=79,43,48,63,154');
      await eventually('XID 48 and 79', async () => {
        const { health, health_reason } = await reading(stand);
        return health === 'unhealthy' && health_reason.endsWith(' unhealthy: XID 48, XID 79');
      });
      const { stdout } = await stand.cluster.cli(['events']);
      assert.match(stdout, /is unhealthy, no new work: .*XID 79/);
      const kept = fs.readFileSync(path.join(stand.cluster.data, 'state/nvidia/xids.json'), 'utf8');
      assert.deepEqual(Object.values(JSON.parse(kept).boards), [[48, 79]]);
    },
  },
  lacks: ['other'],
};

export default backend;
