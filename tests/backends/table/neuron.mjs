// SPDX-License-Identifier: Apache-2.0
import { model_folder } from '../places.mjs';

const memory_bytes = 34359738368;

export default {
  name: 'neuron',
  plugins: ['neuron'],
  type: 'npu',
  tools: { 'neuron-ls': [['-j', 'neuron/fixtures/probe-2.x.json']] },
  servers: { 'neuron-monitor': 'neuron-monitor.mjs', vllm: 'vllm.mjs' },
  fake: 'vllm',
  crowds: true,
  model: 'tiny-llama',
  weights: model_folder('tiny-llama'),
  devices: [
    {
      ...{ uuid: '00:1f.0', model: 'neuroncore-v2', memory_bytes },
      reading: { health: 'healthy', utilization_pm: null, power_mw: null },
    },
    {
      ...{ uuid: '00:1e.0', model: 'neuroncore-v2', memory_bytes },
      reading: { health: 'unhealthy' }, // One uncorrected error of its memory.
    },
  ],
  chosen: { NEURON_RT_VISIBLE_CORES: /^0,1$/, VLLM_NEURON_FRAMEWORK: /^neuronx-distributed/ },
  arguments: ['serve', model_folder('tiny-llama'), '--tensor-parallel-size', '2'],
  refuses: { 'vllm-400': [400, /vllm says no/] },
  moves: ['vllm-500', 'html'],
};
