// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import path from 'node:path';
import { amd_files } from '../devices.mjs';
import { shipped } from '../shipped.mjs';

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
  crowds: true,
  model: 'meta-llama/Llama-3.1-8B-Instruct',
  devices: [
    {
      ...device,
      memory_bytes: 196592 * 1024 * 1024,
      reading: { ...device.reading, energy_mj: 12345678 },
    },
  ],
  chosen: { ROCR_VISIBLE_DEVICES: /^GPU-1A2B3C4D5E6F7081$/, HIP_VISIBLE_DEVICES: /^0$/ },
  before: {
    'a chip without a serial is left to the files of the kernel': async (stand) => {
      stand.faults(`amd-smi=${path.join(shipped, 'amd/fixtures/probe-mi300x-and-apu.json')}`);
      const done = await stand.cli(['plugin', 'check', '--no-run', `${stand.plugins}/amd`]);
      assert.match(done.stdout, /0000:0e:00\.0/);
      assert.doesNotMatch(done.stdout, /0000:c5:00\.0/);
    },
  },
};
