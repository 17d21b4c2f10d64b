// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { eventually } from '../../system/support.mjs';
import { shipped } from '../shipped.mjs';
import { rebuilds } from '../suite.mjs';
import { model_folder } from '../places.mjs';

const fixtures = (name) => path.join(shipped, 'rebellions/fixtures', name);

export default {
  name: 'rebellions',
  plugins: ['rebellions'],
  type: 'npu',
  tools: {
    'rbln-smi': [
      ['-g -j', 'rebellions/fixtures/probe-3.0.0-ca22-groups.json'],
      ['-j', 'rebellions/fixtures/probe-3.0.0-ca22.json'],
    ],
  },
  servers: { 'optimum-rbln-cli': 'optimum-rbln-cli.mjs', vllm: 'vllm-rbln.mjs' },
  fake: 'vllm',
  crowds: true,
  model: 'tiny-llama',
  weights: model_folder('tiny-llama'),
  devices: [
    {
      uuid: '3a5d0c51-0000-4000-8000-000000000001',
      model: 'RBLN-CA22',
      memory_bytes: 16877879296,
      reading: {
        ...{ memory_used_bytes: 75497472, utilization_pm: 0, power_mw: 18110 },
        ...{ temperature_mc: 29000, health: 'healthy' },
      },
    },
  ],
  chosen: { RBLN_DEVICES: /^0$/ },
  arguments: ['serve', '--max-num-seqs', '8', '--served-model-name', 'tiny-llama'],
  refuses: { 'vllm-400': [400, /vllm says no/] },
  moves: ['vllm-500', 'html'],
  checks: {
    'its RSD group is its topology': async (stand) => {
      const [{ spec }] = await stand.devices();
      assert.equal(spec.topology_group, '3');
    },
    'one that hangs is unhealthy though its status is normal': async (stand) => {
      const health = async () => (await stand.devices())[0].reading.health;
      const [bad, good] = ['telemetry-3.0.0-faults.json', 'probe-3.0.0-ca22.json'].map(fixtures);
      const devices = JSON.parse(fs.readFileSync(bad, 'utf8')).devices;
      const hung = { ...devices[2], uuid: devices[0].uuid };
      const file = path.join(stand.fakes, 'hung.json');
      fs.writeFileSync(file, JSON.stringify({ devices: [hung] }));
      stand.faults(`rbln-smi=${file}`);
      await eventually('it is unhealthy', async () => (await health()) === 'unhealthy');
      stand.faults(`rbln-smi=${good}`);
      await eventually('it is healthy', async () => (await health()) === 'healthy');
    },
    'a stale engine is dropped and built once more': (stand) =>
      rebuilds(stand, 'rbln-artifact=stale', () => stand.journal('compile').length),
    'dies of a card share its power, and their numbers repeat': async (stand) => {
      stand.faults(`rbln-smi=${fixtures('probe-1.3.73-atom-max.json')}`);
      const done = await stand.cli(['plugin', 'check', '--no-run', `${stand.plugins}/rebellions`]);
      assert.match(done.stdout, /telemetry +pass +8 of 8 devices read/);
    },
  },
};
