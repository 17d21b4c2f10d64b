// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { ask, knows_its_context, text_of, prompt } from '../suite.mjs';
import { story } from '../fakes/story.mjs';

export default {
  name: 'tgi',
  plugins: ['tgi'],
  type: 'remote',
  absent: /not on this host: \$CONSORT_TGI_URL/,
  attach: { fake: 'tgi.mjs', args: ['--model-id', 'tale'], port_env: 'CONSORT_TGI_URL' },
  fake: 'tgi',
  crowds: true,
  model: 'tale',
  devices: [{ uuid: 'tgi', model: 'TGI server' }],
  refuses: { 'tgi-validation': [400, /tgi says no/] },
  overload: ['busy', 'busy-seconds'], // It says nothing of when; what stands before it may.
  moves: ['tgi-generation', 'tgi-incomplete', 'html'],
  breaks: ['cut', 'malformed', 'not-utf8', 'error-in-stream'],
  lacks: ['die'],
  checks: {
    ...knows_its_context,
    'the text that stops an answer is left out of it': async (stand) => {
      const words = story(prompt, 12).trim().split(' ');
      const stop = ` ${words[4]}`;
      const answer = await ask(stand, { stop: [stop] });
      assert.equal(answer.status, 200, answer.text);
      const whole = story(prompt, 12);
      assert.equal(text_of(answer), whole.slice(0, whole.indexOf(stop)));
      assert.equal(answer.json.choices[0].finish_reason, 'stop');
    },
    'what only it refuses is not asked of it': async (stand) => {
      const answer = await ask(stand, { temperature: 0, top_p: 1 });
      assert.equal(answer.status, 200, answer.text);
    },
  },
};
