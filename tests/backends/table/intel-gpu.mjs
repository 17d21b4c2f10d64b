// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { second_card } from '../devices.mjs';
import { host_root, no_device } from '../places.mjs';
import { started_over } from '../suite.mjs';

const backend = {
  name: 'intel-gpu',
  plugins: ['intel-gpu'],
  type: 'gpu',
  env: host_root('intel-gpu'),
  absent: no_device,
  devices: [
    {
      ...{ uuid: '0000:03:00.0', model: 'Intel Arc B580', memory_bytes: 12884901888 },
      reading: {
        // Its counter of idle time stands still there, so that it says nothing.
        ...{ energy_mj: 5000000, temperature_mc: 38000, utilization_pm: null },
        memory_used_bytes: null, // Linux tells it by process alone.
      },
    },
  ],
  before: {
    'two cards serve one model': async () => {
      const engine = { servers: { vllm: 'vllm.mjs' }, fake: 'vllm', model: 'org/m' };
      const served = { ...backend, ...engine, plugins: ['intel-gpu', 'vllm'] };
      const { env, words } = await started_over(2, served, second_card);
      assert.equal(env.ZE_AFFINITY_MASK, '0,1');
      assert.match(words, /--tensor-parallel-size 2 /);
    },
  },
  lacks: ['run'],
};

export default backend;
