// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { asked_since, ec, encodes_first } from '../stages.mjs';
import { ask } from '../suite.mjs';

export default {
  name: 'vllm-disaggregated',
  plugins: ['vllm-disaggregated'],
  type: 'hybrid',
  absent: /not on this host: .*\$CONSORT_DECODE_URL/,
  attach: {
    ...{ fake: 'vllm.mjs', args: ['serve', 'x', '--served-model-name', 'tale'] },
    port_env: 'CONSORT_DECODE_URL',
    also: {
      ...{ fake: 'vllm.mjs', args: ec('ec_consumer'), port_env: 'CONSORT_PREFILL_URL' },
      also: { fake: 'vllm.mjs', args: ec('ec_producer'), port_env: 'CONSORT_ENCODE_URL' },
    },
  },
  fake: 'vllm',
  crowds: true,
  model: 'tale',
  devices: [{ uuid: 'vllm-disaggregated', model: 'vLLM prefill + decode' }],
  moves: ['vllm-500', 'html'],
  breaks: ['cut', 'malformed', 'not-utf8', 'error-in-stream'],
  lacks: ['die'],
  checks: {
    'a prompt is prefilled by the first and decoded by the second': async (stand) => {
      const began = Date.now();
      assert.equal((await ask(stand)).status, 200);
      const bodies = asked_since(stand, began);
      assert.equal(bodies.length, 2);
      assert.equal(bodies[0].kv_transfer_params.do_remote_decode, true);
      assert.equal(bodies[0].max_tokens, 1);
      assert.equal(bodies[1].kv_transfer_params.do_remote_prefill, true);
      assert.equal(bodies[1].kv_transfer_params.remote_port, 5600);
      assert.equal(bodies[1].max_tokens, 12);
    },
    ...encodes_first(3),
  },
};
