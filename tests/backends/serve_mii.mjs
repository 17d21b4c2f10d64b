// SPDX-License-Identifier: Apache-2.0
// The script that starts DeepSpeed-MII, run by a real interpreter beside a module that stands for
// MII.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import readline from 'node:readline';
import { fileURLToPath } from 'node:url';
import { free_port } from '../system/hosts_support.mjs';
import { eventually } from '../system/support.mjs';
import { shipped } from './shipped.mjs';

const module_folder = path.join(path.dirname(fileURLToPath(import.meta.url)), 'fakes/python');
const interpreted = spawnSync('python3', ['--version']).status === 0;

async function start(env, device = 3) {
  const port = await free_port();
  const told = { model: 'm', port, deployment: 'consort', device };
  const words = Object.entries(told).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const child = spawn(path.join(shipped, 'deepspeed-mii/serve-mii'), words, {
    env: { ...process.env, PYTHONPATH: module_folder, ...env },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = readline.createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const given = JSON.parse((await lines.next()).value);
  const tell = (word) => child.stdin.write(`${word}\n`);
  return { child, given, lines, port, tell, url: `http://127.0.0.1:${port}` };
}

const status_of = async (url) => (await fetch(`${url}/healthz`)).status;

/// Checks that need no cluster; none where there is no interpreter.
export const serve_mii = interpreted && {
  'it listens when the engine is there, and says when it is gone': async () => {
    const one = await start({ CUDA_VISIBLE_DEVICES: '7' });
    try {
      const { port_number, restful_api_port, torch_dist_port, zmq_port_number } = one.given;
      const ports = [port_number, port_number + 1, restful_api_port, torch_dist_port];
      assert.equal(new Set([...ports, zmq_port_number, one.port]).size, 6);
      assert.equal(one.given.device_map, 3);
      assert.equal(one.given.cuda, null, 'its launcher counts over all boards');
      await assert.rejects(fetch(one.url), 'the model is not loaded');
      one.tell('loaded');
      await eventually('it listens', async () => (await status_of(one.url)) === 200);
      const body = JSON.stringify({ prompts: ['x'] });
      const answer = await fetch(`${one.url}/mii/consort`, { method: 'POST', body });
      assert.deepEqual(await answer.json(), [{ generated_text: `/mii/consort ${body}` }]);
      one.tell('engine-dies');
      await eventually('it says so', async () => (await status_of(one.url)) === 503);
      one.child.kill('SIGTERM');
      assert.equal((await one.lines.next()).value, 'terminated');
      if (one.child.exitCode === null) await once(one.child, 'exit');
      assert.equal(one.child.exitCode, 0);
    } finally {
      one.child.kill('SIGKILL');
    }
  },
  'several boards are told by their numbers, or counted anew': async () => {
    for (const [env, numbers] of [
      [{}, [2, 5]],
      [{ ROCR_VISIBLE_DEVICES: 'GPU-a,GPU-b' }, [0, 1]],
    ]) {
      const one = await start(env, env.ROCR_VISIBLE_DEVICES ?? '2,5');
      one.child.kill('SIGKILL');
      assert.deepEqual(one.given.device_map, numbers);
      assert.equal(one.given.tensor_parallel, 2);
    }
  },
  'a partition has no number, and is refused': () => {
    const given = ['--model', 'm', '--port', '1', '--deployment', 'consort', '--device', 'MIG-1'];
    const done = spawnSync(path.join(shipped, 'deepspeed-mii/serve-mii'), given);
    assert.equal(done.status, 1);
    assert.match(done.stderr.toString(), /none of which is the partition MIG-1/);
  },
  'where ROCm shows a single board, it is the first': async () => {
    const one = await start({ HIP_VISIBLE_DEVICES: '3' });
    one.child.kill('SIGKILL');
    assert.equal(one.given.device_map, 0);
  },
};
