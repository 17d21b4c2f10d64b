// SPDX-License-Identifier: Apache-2.0
import { model_folder } from '../places.mjs';
import { rebuilds } from '../suite.mjs';

const memory_bytes = 51002736640;

export default {
  name: 'furiosa',
  plugins: ['furiosa'],
  type: 'npu',
  tools: {
    'furiosa-smi': [
      ['info', 'furiosa/fixtures/probe-2025.1.json'],
      ['status', 'furiosa/fixtures/also1-2025.1.json'],
    ],
  },
  servers: { fxb: 'fxb.mjs', 'furiosa-llm': 'furiosa-llm.mjs' },
  fake: 'furiosa-llm',
  crowds: true,
  model: 'tiny-llama',
  weights: model_folder('tiny-llama'),
  devices: [
    {
      ...{ uuid: 'A76AAD68-6855-40B1-9E86-D080852D1C80', model: 'rngd', memory_bytes },
      reading: {
        ...{ memory_used_bytes: 0, utilization_pm: 0, power_mw: 35000 },
        ...{ temperature_mc: 29810, health: 'healthy' },
      },
    },
    {
      ...{ uuid: 'A76AAD68-6855-40B1-9E86-D080852D1C81', model: 'rngd', memory_bytes },
      reading: {
        ...{ memory_used_bytes: 17179869184, utilization_pm: 835, power_mw: 121500 },
        ...{ temperature_mc: 31020, health: 'healthy' },
      },
    },
  ],
  arguments: ['serve', model_folder('tiny-llama'), '--fxb'],
  refuses: { 'furiosa-400': [400, /furiosa says no/] },
  moves: ['furiosa-500', 'html'],
  checks: {
    'a stale bundle is dropped and built once more': (stand) =>
      rebuilds(stand, 'fxb-bundle=stale', () => stand.journal('compile').length),
  },
};
