// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { nvidia_smi, second_board } from '../devices.mjs';
import { started_over } from '../suite.mjs';

const backend = {
  ...nvidia_smi,
  name: 'sglang',
  plugins: ['nvidia-smi', 'sglang'],
  servers: { sglang: 'sglang.mjs' },
  fake: 'sglang',
  crowds: true,
  model: 'meta-llama/Llama-3.1-8B-Instruct',
  chosen: { CUDA_VISIBLE_DEVICES: /^0$/ },
  arguments: ['serve', '--enable-metrics'],
  refuses: { 'sglang-400': [400, /sglang says no/] },
  moves: ['sglang-500', 'sglang-503', 'html'],
  before: {
    'two boards serve one model': async () => {
      const { env, words } = await started_over(2, backend, second_board);
      assert.equal(env.CUDA_VISIBLE_DEVICES, '0,1');
      assert.match(words, /--tp-size 2 /);
    },
  },
  checks: {
    'its costly health is asked only until it serves': async (stand) => {
      const starts = stand.journal('start').filter(({ name }) => name === 'sglang').length;
      assert.equal(stand.journal('health-generation').length, starts);
    },
  },
};

export default backend;
