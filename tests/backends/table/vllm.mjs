// SPDX-License-Identifier: Apache-2.0
import { nvidia_smi } from '../devices.mjs';

export default {
  ...nvidia_smi,
  name: 'vllm',
  plugins: ['nvidia-smi', 'vllm'],
  servers: { vllm: 'vllm.mjs' },
  fake: 'vllm',
  crowds: true,
  model: 'meta-llama/Llama-3.1-8B-Instruct',
  chosen: { CUDA_VISIBLE_DEVICES: /^0$/ },
  arguments: ['serve', 'meta-llama/Llama-3.1-8B-Instruct', '--enable-prefix-caching'],
  refuses: {
    'vllm-400': [400, /vllm says no/],
    'vllm-flat-400': [400, /vllm says no/],
  },
  moves: ['vllm-404', 'vllm-500', 'vllm-503', 'html', 'empty'],
};
