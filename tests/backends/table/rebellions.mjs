// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { eventually } from '../../system/support.mjs';
import { shipped } from '../shipped.mjs';
import { rebuilds, started_over } from '../suite.mjs';
import { model_folder } from '../places.mjs';

const fixtures = (name) => path.join(shipped, 'rebellions/fixtures', name);

/// Its tool lists three: two of one RSD group, the higher number first, behind one of another.
function three_chips(stand) {
  const recorded = fs.readFileSync(fixtures('probe-3.0.0-ca22-groups.json'), 'utf8');
  const [one] = JSON.parse(recorded).devices;
  const chip = (number, group_id, last) => ({
    ...{ ...one, group_id, npu: 0, device: `rbln${number}`, sid: `${one.sid}${number}` },
    uuid: one.uuid.replace(/.$/, last),
  });
  const devices = [chip(0, '4', 6), chip(2, '3', 7), chip(1, '3', 8)];
  const file = path.join(stand.fakes, 'chips.json');
  fs.writeFileSync(file, JSON.stringify({ devices }));
  stand.faults(`rbln-smi=${file}`);
}

const backend = {
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
  before: {
    'two chips of one group serve what was compiled for two': async () => {
      const { env, built } = await started_over(2, backend, three_chips);
      assert.equal(env.RBLN_DEVICES, '1,2');
      assert.deepEqual(
        built.map(({ argv }) => argv[argv.indexOf('--num-devices') + 1]),
        ['2'],
      );
    },
  },
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

export default backend;
