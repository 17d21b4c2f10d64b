// SPDX-License-Identifier: Apache-2.0
import { host_root, model_folder, no_device } from '../places.mjs';

const memory_bytes = 16 * 1024 ** 3;
const chip = (uuid) => ({ uuid, model: 'v5e', memory_bytes, reading: { power_mw: null } });

export default {
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
  chosen: { TPU_VISIBLE_CHIPS: /^[01]$/ },
  arguments: ['serve', model_folder('tiny-llama'), '--tensor-parallel-size', '1'],
  refuses: { 'vllm-400': [400, /vllm says no/] },
  moves: ['vllm-500', 'html'],
};
