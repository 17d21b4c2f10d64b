// SPDX-License-Identifier: Apache-2.0
import { ec, encodes_first } from '../stages.mjs';

export default {
  name: 'vllm-encoder',
  plugins: ['vllm-encoder'],
  type: 'hybrid',
  absent: /not on this host: .*\$CONSORT_(ENCODE|PD)_URL/,
  attach: {
    ...{ fake: 'vllm.mjs', args: ec('ec_consumer'), port_env: 'CONSORT_PD_URL' },
    also: {
      ...{ fake: 'vllm.mjs', port_env: 'CONSORT_ENCODE_URL' },
      args: ec('ec_producer', '--mm-encoder-only', 'true'),
    },
  },
  fake: 'vllm',
  crowds: true,
  model: 'tale',
  devices: [{ uuid: 'vllm-encoder', model: 'vLLM encoder + decoder' }],
  refuses: { 'vllm-400': [400, /vllm says no/] },
  moves: ['vllm-500', 'html'],
  breaks: ['cut', 'malformed', 'not-utf8', 'error-in-stream'],
  lacks: ['die'],
  checks: encodes_first(2),
};
