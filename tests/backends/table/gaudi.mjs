// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { model_folder } from '../places.mjs';
import { started_over } from '../suite.mjs';

const memory_bytes = 131072 * 1024 * 1024;

const backend = {
  name: 'gaudi',
  plugins: ['gaudi'],
  type: 'gpu',
  tools: {
    'hl-smi': [
      ['-Q index,module_id,uuid,name', 'gaudi/fixtures/probe-1.22.1.csv'],
      ['-Q uuid,ecc.errors.uncorrected.volatile.total ', 'gaudi/fixtures/also1-1.22.1.csv'],
      ['-v', 'gaudi/fixtures/version-1.11.0.txt'],
    ],
  },
  servers: { vllm: 'vllm.mjs' },
  fake: 'vllm',
  crowds: true,
  model: 'tiny-llama',
  weights: model_folder('tiny-llama'),
  devices: [
    {
      ...{ uuid: '01P4-HL3090A0-18-U4V193-22-07-00', model: 'HL-325L', memory_bytes },
      reading: {
        ...{ memory_used_bytes: 672 * 1024 * 1024, utilization_pm: 0, power_mw: 226000 },
        ...{ temperature_mc: 36000, health: 'healthy' },
      },
    },
    {
      ...{ uuid: '01P4-HL3090A0-18-U4V193-22-08-00', model: 'HL-325L', memory_bytes },
      reading: {
        ...{ utilization_pm: 880, power_mw: null, temperature_mc: 61000 },
        health: 'degraded', // Two errors of its memory.
      },
    },
  ],
  chosen: { HABANA_VISIBLE_MODULES: /^[03]$/, HABANA_VISIBLE_DEVICES: /^undefined$/ },
  arguments: ['serve', model_folder('tiny-llama'), '--block-size', '128'],
  refuses: { 'vllm-400': [400, /vllm says no/] },
  moves: ['vllm-500', 'html'],
  before: {
    'two of them serve one model': async () => {
      const { env, words } = await started_over(2, backend);
      assert.match(env.HABANA_VISIBLE_MODULES, /^0,3$/);
      assert.match(words, /--tensor-parallel-size 2/);
    },
  },
};

export default backend;
