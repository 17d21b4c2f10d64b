// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { amd_files, second_card } from '../devices.mjs';
import { shipped } from '../shipped.mjs';
import { started_over } from '../suite.mjs';

const [device] = amd_files.devices;
const fixtures = path.join(shipped, 'amd/fixtures');

/// Its tool lists a second chip, before the first.
function second_chip(stand) {
  second_card(stand);
  const recorded = fs.readFileSync(path.join(fixtures, 'probe-mi300x-new.json'), 'utf8');
  const [first] = JSON.parse(recorded).gpu_data;
  const asic = { ...first.asic, asic_serial: '0x2A2B3C4D5E6F7082' };
  const second = { ...first, gpu: 1, asic, bus: { bdf: '0000:01:00.0' } };
  const file = path.join(stand.fakes, 'chips.json');
  fs.writeFileSync(file, JSON.stringify({ gpu_data: [second, first] }));
  stand.faults(`amd-smi=${file}`);
}

const backend = {
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
      stand.faults(`amd-smi=${path.join(fixtures, 'probe-mi300x-and-apu.json')}`);
      const done = await stand.cli(['plugin', 'check', '--no-run', `${stand.plugins}/amd`]);
      assert.match(done.stdout, /0000:0e:00\.0/);
      assert.doesNotMatch(done.stdout, /0000:c5:00\.0/);
    },
    'two chips serve one model': async () => {
      const { env, words } = await started_over(2, backend, second_chip);
      const serials = ['GPU-1A2B3C4D5E6F7081', 'GPU-2A2B3C4D5E6F7082'];
      assert.deepEqual(env.ROCR_VISIBLE_DEVICES.split(',').sort(), serials);
      assert.equal(env.HIP_VISIBLE_DEVICES, '0,1');
      assert.match(words, /--tensor-parallel-size 2 /);
    },
  },
};

export default backend;
