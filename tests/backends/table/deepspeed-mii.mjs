// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import path from 'node:path';
import { nvidia_smi, second_board } from '../devices.mjs';
import { serve_mii } from '../serve_mii.mjs';
import { ask, started_over } from '../suite.mjs';

const backend = {
  ...nvidia_smi,
  name: 'deepspeed-mii',
  plugins: ['nvidia-smi', 'deepspeed-mii'],
  // serve-mii runs `python3 .../serve_mii.py`: the fake takes the interpreter's place.
  servers: { deepspeed: 'mii.mjs', python3: 'mii.mjs' },
  fake: 'mii',
  model: 'meta-llama/Llama-3.1-8B-Instruct',
  chosen: { CUDA_DEVICE_ORDER: /^PCI_BUS_ID$/, CUDA_VISIBLE_DEVICES: /^undefined$/ },
  arguments: ['--deployment', 'consort', '--device', '0'],
  before: {
    ...serve_mii,
    'two boards serve one model': async () => {
      const { env, words } = await started_over(2, backend, second_board);
      assert.match(words, /--device 0,1$/);
      assert.equal(env.CUDA_VISIBLE_DEVICES, undefined);
    },
  },
  moves: ['mii-500', 'html'],
  breaks: ['cut', 'malformed', 'not-utf8', 'die'],
  lacks: ['stream', 'chat'],
  checks: {
    'plugin check takes it through its life, although it does not stream': async (stand) => {
      const folder = path.join(stand.plugins, 'deepspeed-mii');
      const done = await stand.cli(['plugin', 'check', folder]);
      assert.equal(done.code, 0, done.stdout + done.stderr);
      assert.match(done.stdout, /^cancel +pass +.*its connection was closed/m);
      assert.match(done.stdout, /^kill +pass/m);
      const ends = stand.journal('end').map(({ how }) => how);
      assert.ok(ends.includes('abort'), `its answers ended by ${ends}`);
    },
    'what its gateway cannot do is said': async (stand) => {
      const messages = [{ role: 'user', content: 'Hello' }];
      const body = { model: stand.backend.model, messages, max_tokens: 4 };
      const headers = { 'X-Consort-Device': 'gpu', 'X-Consort-Wait': '2s' };
      const answer = await stand.cluster.post('/v1/chat/completions', body, headers);
      assert.equal(answer.status, 422, answer.text);
      assert.match(answer.text, /does not answer chats/);
      assert.equal((await ask(stand)).status, 200);
    },
  },
};

export default backend;
