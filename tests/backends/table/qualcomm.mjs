// SPDX-License-Identifier: Apache-2.0
import { model_folder } from '../places.mjs';
import { rebuilds } from '../suite.mjs';

const memory_bytes = 32692 * 1024 * 1024;
const chip = (uuid, used_mib) => ({
  ...{ uuid, model: 'ai100', memory_bytes },
  reading: { health: 'healthy', memory_used_bytes: used_mib * 1024 * 1024 },
});

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
  crowds: true,
  model: 'tiny-onnx',
  weights: model_folder('tiny-onnx'),
  devices: [chip('0000:01:00.0', 0), chip('0000:81:00.0', 12288)],
  chosen: { QAIC_VISIBLE_DEVICES: /^[01]$/ },
  arguments: ['serve', model_folder('tiny-onnx'), '--quantization', 'mxfp6'],
  refuses: { 'vllm-400': [400, /vllm says no/] },
  moves: ['vllm-500', 'html'],
  checks: {
    'a program that it does not take is built once more': (stand) =>
      rebuilds(stand, 'qaic-program=gone', () => stand.journal('compile').length),
  },
};
