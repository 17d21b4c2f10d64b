// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import path from 'node:path';
import { host_root, model_folder } from '../places.mjs';
import { shipped } from '../shipped.mjs';
import { started_over } from '../suite.mjs';

const memory_bytes = 34359738368;

const backend = {
  name: 'neuron',
  plugins: ['neuron'],
  type: 'npu',
  tools: {
    'neuron-ls': [['-j', 'neuron/fixtures/probe-2.x.json']],
    'neuronx-cc': [['--version', 'neuron/fixtures/version-2.21.txt']],
  },
  env: host_root('neuron'),
  servers: { 'neuron-monitor': 'neuron-monitor.mjs', vllm: 'vllm.mjs' },
  fake: 'vllm',
  crowds: true,
  model: 'tiny-llama',
  weights: model_folder('tiny-llama'),
  devices: [
    {
      ...{ uuid: '00:1f.0', model: 'inferentia2', memory_bytes },
      reading: { health: 'healthy', utilization_pm: null, power_mw: null },
    },
    {
      ...{ uuid: '00:1e.0', model: 'inferentia2', memory_bytes },
      reading: { health: 'unhealthy' }, // One uncorrected error of its memory.
    },
  ],
  chosen: { NEURON_RT_VISIBLE_CORES: /^0,1$/, VLLM_NEURON_FRAMEWORK: /^neuronx-distributed/ },
  arguments: ['serve', model_folder('tiny-llama'), '--tensor-parallel-size', '2'],
  refuses: { 'vllm-400': [400, /vllm says no/] },
  moves: ['vllm-500', 'html'],
  before: {
    'a chip that the driver does not name is told by its memory': async (stand) => {
      const recorded = path.join(shipped, 'neuron/fixtures/probe-2.x-trn2.json');
      stand.faults(`neuron-ls=${recorded}`);
      const folder = path.join(stand.plugins, 'neuron');
      const check = (env) => stand.cli(['plugin', 'check', '--no-run', folder], { env });
      const named = await check(stand.env);
      assert.match(named.stdout, /probe +pass +0000:e1:00\.0 \(inferentia2\)/);
      const silent = await check({ ...stand.env, CONSORT_HOST_ROOT: '/nonexistent' });
      assert.match(silent.stdout, /probe +pass +0000:e1:00\.0 \(neuroncore-v3\)/);
      stand.faults('neuron-ls=exit');
      const failed = await check(stand.env);
      assert.match(failed.stdout, /exited with 9: cannot talk to the driver/);
    },
    'two devices serve one model with all their cores': async () => {
      const healthy = (stand) => stand.faults('neuron-monitor=healthy');
      const { env, words } = await started_over(2, backend, healthy);
      assert.equal(env.NEURON_RT_VISIBLE_CORES, '0,1,2,3');
      assert.match(words, /--tensor-parallel-size 4$/);
    },
  },
};

export default backend;
