// SPDX-License-Identifier: Apache-2.0
import { amd_files } from '../devices.mjs';

const [device] = amd_files.devices;

export default {
  ...amd_files,
  name: 'amd',
  plugins: ['amd', 'vllm'],
  absent: /not on this host: .*(amd-smi|vllm)/,
  tools: {
    'amd-smi': [
      ['static', 'amd/fixtures/probe-mi300x-new.json'],
      ['metric', 'amd/fixtures/also1-mi300x-old.json'],
    ],
  },
  servers: { vllm: 'vllm.mjs' },
  fake: 'vllm',
  model: 'meta-llama/Llama-3.1-8B-Instruct',
  devices: [
    {
      ...device,
      memory_bytes: 196592 * 1024 * 1024,
      reading: { ...device.reading, energy_mj: 12345678 },
    },
  ],
  chosen: { HIP_VISIBLE_DEVICES: /^0$/ },
};
