// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { amd_files, second_card } from '../devices.mjs';
import { started_over } from '../suite.mjs';

const backend = {
  ...amd_files,
  name: 'amd-sysfs',
  plugins: ['amd-sysfs'],
  absent: /not on this host: .*kfd/,
  before: {
    'two cards serve one model': async () => {
      const engine = { servers: { vllm: 'vllm.mjs' }, fake: 'vllm', model: 'org/m' };
      const served = { ...backend, ...engine, plugins: ['amd-sysfs', 'vllm'] };
      const { env, words } = await started_over(2, served, second_card);
      assert.equal(env.HIP_VISIBLE_DEVICES, '0,1');
      assert.match(words, /--tensor-parallel-size 2 /);
    },
  },
  lacks: ['run'],
};

export default backend;
