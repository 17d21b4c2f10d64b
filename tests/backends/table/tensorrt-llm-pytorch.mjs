// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { nvidia_smi, second_board } from '../devices.mjs';
import { Stand } from '../stand.mjs';
import { ask, started_over } from '../suite.mjs';

const backend = {
  ...nvidia_smi,
  name: 'tensorrt-llm-pytorch',
  // The folder of engines is there too, and stands aside: this release has no trtllm-build.
  plugins: ['nvidia-smi', 'tensorrt-llm', 'tensorrt-llm-pytorch'],
  servers: { 'trtllm-serve': 'trtllm-serve.mjs' },
  fake: 'trtllm',
  crowds: true,
  model: 'meta-llama/Llama-3.1-8B-Instruct',
  absent: /not on this host: .*(nvidia-smi|trtllm)/,
  chosen: { CUDA_VISIBLE_DEVICES: /^0$/ },
  arguments: ['serve', 'meta-llama/Llama-3.1-8B-Instruct', '--backend', 'pytorch'],
  refuses: { 'trtllm-400': [400, /trtllm says no/] },
  moves: ['trtllm-500', 'html'],
  before: {
    'two boards serve one model': async () => {
      const { env, words } = await started_over(2, backend, second_board);
      assert.equal(env.CUDA_VISIBLE_DEVICES, '0,1');
      assert.match(words, /--tp_size 2 /);
    },
    'a model that its PyTorch backend has not is refused': async () => {
      const stand = new Stand(backend);
      try {
        stand.faults('trtllm=no-architecture');
        await stand.start();
        const answer = await ask(stand, { max_tokens: 2 });
        assert.equal(answer.status, 422, answer.text);
        assert.match(answer.text, /Unknown architecture/);
      } finally {
        await stand.destroy();
      }
    },
  },
};

export default backend;
