// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { eventually } from '../../system/support.mjs';
import { model_folder } from '../places.mjs';
import { ask, kill_fake } from '../suite.mjs';

const memory_bytes = 32692 * 1024 * 1024;
const chip = (uuid) => ({ uuid, model: 'ai100', memory_bytes, reading: { health: 'healthy' } });

export default {
  name: 'qualcomm',
  plugins: ['qualcomm'],
  type: 'npu',
  tools: {
    'qaic-util': [['-q', 'qualcomm/fixtures/probe-1.5.6.txt']],
    'qaic-version-util': [['', 'qualcomm/fixtures/version-1.20.txt']],
  },
  servers: { 'qaic-compile': 'qaic-compile.mjs', vllm: 'vllm-qaic.mjs' },
  fake: 'vllm',
  model: 'tiny-onnx',
  weights: model_folder('tiny-onnx'),
  devices: [chip('0000:01:00.0'), chip('0000:81:00.0')],
  chosen: { QAIC_VISIBLE_DEVICES: /^[01]$/ },
  arguments: ['serve', model_folder('tiny-onnx'), '--quantization', 'mxfp6'],
  refuses: { 'vllm-400': [400, /vllm says no/] },
  moves: ['vllm-500', 'html'],
  checks: {
    'a program that it does not take is built once more': async (stand) => {
      const builds = () => stand.journal('compile').length;
      const before = builds();
      stand.faults('qaic-program=gone');
      await kill_fake(stand);
      await ask(stand, {}, { 'X-Consort-Device': 'npu', 'X-Consort-Wait': '2s' });
      await eventually('built again', () => builds() > before, 20_000, 20);
      stand.faults();
      await eventually('it serves', async () => (await ask(stand)).status === 200);
      assert.equal(builds(), before + 1);
    },
  },
};
