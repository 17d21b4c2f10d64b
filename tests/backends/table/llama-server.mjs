// SPDX-License-Identifier: Apache-2.0
import { model_file } from '../../system/support.mjs';
import { nvidia_smi } from '../devices.mjs';

export default {
  ...nvidia_smi,
  name: 'llama-server',
  plugins: ['nvidia-smi', 'llama-server'],
  servers: { 'llama-server': 'llama-server.mjs' },
  fake: 'llama-server',
  crowds: true,
  model: 'story',
  weights: model_file,
  chosen: { CUDA_VISIBLE_DEVICES: /^GPU-4c145059/ },
  arguments: ['-ngl', '999', '--metrics'],
  refuses: {
    'llama-400': [400, /llama says no/],
    'llama-context': [400, /exceeds the available context/],
  },
  moves: ['llama-500', 'html'],
};
