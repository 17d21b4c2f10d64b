// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { model_folder } from '../places.mjs';
import { started_over } from '../suite.mjs';

const backend = {
  name: 'ascend',
  plugins: ['ascend'],
  type: 'npu',
  tools: { 'npu-smi': [['info', 'ascend/fixtures/probe-24.1.0-910b.txt']] },
  servers: { vllm: 'vllm.mjs' },
  fake: 'vllm',
  crowds: true,
  model: 'tiny-llama',
  weights: model_folder('tiny-llama'),
  devices: [
    {
      ...{ uuid: '0000:C1:00.0', model: '910B2', memory_bytes: 65536 * 1024 * 1024 },
      reading: {
        ...{ memory_used_bytes: 3372 * 1024 * 1024, utilization_pm: 0, power_mw: 101100 },
        ...{ temperature_mc: 41000, health: 'healthy' },
      },
    },
    {
      ...{ uuid: '0000:81:00.0', model: '910B2', memory_bytes: 65536 * 1024 * 1024 },
      reading: {
        ...{ memory_used_bytes: 51233 * 1024 * 1024, utilization_pm: 870, power_mw: 256400 },
        ...{ temperature_mc: 66000, health: 'degraded' },
      },
    },
  ],
  chosen: { ASCEND_RT_VISIBLE_DEVICES: /^[01]$/ },
  arguments: ['serve', model_folder('tiny-llama'), '--served-model-name', 'tiny-llama'],
  refuses: { 'vllm-400': [400, /vllm says no/], 'vllm-flat-400': [400, /vllm says no/] },
  moves: ['vllm-500', 'vllm-503', 'html'],
  before: {
    'two of them serve one model': async () => {
      const { env, words } = await started_over(2, backend);
      assert.match(env.ASCEND_RT_VISIBLE_DEVICES, /^0,1$/);
      assert.match(words, /--tensor-parallel-size 2/);
    },
    "the dies of an A3's NPU are two": async () => {
      const tools = { 'npu-smi': [['info', 'ascend/fixtures/probe-24.1.rc3.7-a3.txt']] };
      const { env, devices } = await started_over(2, { ...backend, tools });
      const numbers = devices.map(({ spec }) => Number(spec.attributes.index));
      assert.deepEqual(numbers.sort((a, b) => a - b), [0, 1, 12, 13, 14, 15]);
      assert.match(env.ASCEND_RT_VISIBLE_DEVICES, /^(0,1|12,13|14,15)$/);
    },
    'both chips of an Atlas 300I Duo are two, though they share an address': async () => {
      const tools = { 'npu-smi': [['info', 'ascend/fixtures/probe-25.3.rc1-310p3-duo.txt']] };
      const { env, devices } = await started_over(2, { ...backend, tools });
      const numbers = devices.map(({ spec }) => [spec.uuid, Number(spec.attributes.index)]);
      assert.deepEqual(
        numbers.sort(([, a], [, b]) => a - b),
        ['01', '03', '81', '84'].flatMap((bus, at) => [
          [`0000:${bus}:00.0`, 2 * at],
          [`chip1@0000:${bus}:00.0`, 2 * at + 1],
        ]),
      );
      assert.match(env.ASCEND_RT_VISIBLE_DEVICES, /^[0-7],[0-7]$/);
      const used = devices.map(({ reading }) => reading.memory_used_bytes / 1024 / 1024);
      assert.deepEqual(
        used.sort((a, b) => a - b),
        [1242, 1246, 1265, 1658, 1696, 1705, 35270, 35552],
      );
    },
  },
};

export default backend;
