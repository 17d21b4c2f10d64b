// SPDX-License-Identifier: Apache-2.0
import { knows_its_context } from '../suite.mjs';

export default {
  name: 'vllm-server',
  plugins: ['vllm-server'],
  type: 'remote',
  absent: /not on this host: \$CONSORT_VLLM_URL/,
  attach: {
    ...{ fake: 'vllm.mjs', args: ['serve', 'x', '--served-model-name', 'tale'] },
    port_env: 'CONSORT_VLLM_URL',
  },
  fake: 'vllm',
  crowds: true,
  model: 'tale',
  devices: [{ uuid: 'vllm-server', model: 'vLLM server' }],
  refuses: { 'vllm-400': [400, /vllm says no/], 'vllm-flat-400': [400, /vllm says no/] },
  moves: ['vllm-404', 'vllm-500', 'vllm-503', 'html'],
  breaks: ['cut', 'malformed', 'not-utf8', 'error-in-stream'],
  lacks: ['die'],
  checks: knows_its_context,
};
