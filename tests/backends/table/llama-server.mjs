// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { model_file } from '../../system/support.mjs';
import { nvidia_smi, second_board } from '../devices.mjs';
import { story } from '../fakes/story.mjs';
import { ask, started_over, text_of } from '../suite.mjs';

const backend = {
  ...nvidia_smi,
  name: 'llama-server',
  plugins: ['nvidia-smi', 'llama-server'],
  servers: { 'llama-server': 'llama-server.mjs' },
  fake: 'llama-server',
  crowds: true,
  model: 'story',
  weights: model_file,
  chosen: { CUDA_VISIBLE_DEVICES: /^GPU-4c145059/ },
  arguments: ['-ngl', '999', '--metrics'],
  refuses: {
    'llama-400': [400, /llama says no/],
    'llama-context': [400, /exceeds the available context/],
  },
  moves: ['llama-500', 'html'],
  checks: {
    'each of its slots has the whole context of the model': async (stand) => {
      const long = Array.from({ length: 100 }, (_, at) => `w${at % 10}`).join(' ');
      const answer = await ask(stand, { prompt: long, max_tokens: 200 });
      assert.equal(answer.status, 200, answer.text);
      assert.equal(text_of(answer), story(long, 200));
      const { argv } = stand.journal('start').find(({ name }) => name === 'llama-server');
      const slots = Number(argv[argv.indexOf('-np') + 1]);
      assert.equal(slots, 8);
      assert.equal(Number(argv[argv.indexOf('-c') + 1]), slots * 512); // As the model was trained.
    },
  },
  before: {
    'two boards serve one model': async () => {
      const { env, devices } = await started_over(2, backend, second_board);
      const uuids = devices.map(({ spec }) => spec.uuid);
      assert.deepEqual(env.CUDA_VISIBLE_DEVICES.split(',').sort(), uuids.sort());
    },
  },
};

export default backend;
