// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { started_over } from '../suite.mjs';
import { host_root, model_folder, no_device } from '../places.mjs';

const memory_bytes = 16 * 1024 ** 3;
const chip = (uuid) => ({ uuid, model: 'v5e', memory_bytes, reading: { power_mw: null } });

const backend = {
  name: 'google-tpu',
  plugins: ['google-tpu'],
  type: 'npu',
  servers: { vllm: 'vllm.mjs' },
  env: host_root('google-tpu'),
  absent: no_device,
  fake: 'vllm',
  crowds: true,
  model: 'tiny-llama',
  weights: model_folder('tiny-llama'),
  devices: [chip('0000:00:05.0'), chip('0000:00:06.0')],
  chosen: { TPU_VISIBLE_CHIPS: /^[01]$/, TPU_CHIPS_PER_PROCESS_BOUNDS: /^1,1,1$/ },
  arguments: ['serve', model_folder('tiny-llama'), '--tensor-parallel-size', '1'],
  refuses: { 'vllm-400': [400, /vllm says no/] },
  moves: ['vllm-500', 'html'],
  before: {
    'two chips serve one model in the shape of two': async () => {
      const { env, words } = await started_over(2, backend);
      assert.equal(env.TPU_VISIBLE_CHIPS, '0,1');
      assert.equal(env.TPU_CHIPS_PER_PROCESS_BOUNDS, '1,2,1');
      assert.match(words, /--tensor-parallel-size 2/);
    },
  },
};

export default backend;
