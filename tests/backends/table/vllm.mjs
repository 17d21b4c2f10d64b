// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { nvidia_smi, second_board } from '../devices.mjs';
import { ask, started_over } from '../suite.mjs';

const backend = {
  ...nvidia_smi,
  name: 'vllm',
  plugins: ['nvidia-smi', 'vllm'],
  servers: { vllm: 'vllm.mjs' },
  fake: 'vllm',
  crowds: true,
  model: 'meta-llama/Llama-3.1-8B-Instruct',
  chosen: { CUDA_VISIBLE_DEVICES: /^0$/ },
  arguments: ['serve', 'meta-llama/Llama-3.1-8B-Instruct', '--enable-prefix-caching', '0.900'],
  before: {
    'two boards serve one model': async () => {
      const { env, words } = await started_over(2, backend, second_board);
      assert.equal(env.CUDA_VISIBLE_DEVICES, '0,1');
      assert.match(words, /--tensor-parallel-size 2 /);
    },
  },
  checks: {
    'a second model takes the card from an idle one, and back': async (stand) => {
      const second = 'meta-llama/Llama-3.2-1B';
      const variants = [{ source: `server:${second}` }];
      const added = await stand.cluster.post('/api/v1/models', { name: 'second', variants });
      assert.ok(added.status < 300, added.text);
      for (const model of ['second', stand.backend.model]) {
        const answer = await ask(stand, { model, max_tokens: 2 });
        assert.equal(answer.status, 200, `${model}: ${answer.text}`);
      }
      assert.doesNotMatch(stand.cluster.output, /Free memory on device/);
    },
  },
  refuses: {
    'vllm-400': [400, /vllm says no/],
    'vllm-flat-400': [400, /vllm says no/],
  },
  moves: ['vllm-404', 'vllm-500', 'vllm-503', 'html', 'empty'],
};

export default backend;
