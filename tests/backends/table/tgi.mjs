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
    'what its protocol has no words for is refused by name': async (stand) => {
      const there = { 'X-Consort-Device': 'remote' };
      for (const [fields, words] of [
        [{ n: 2 }, /several choices/],
        [{ response_format: { type: 'json_object' } }, /a given form/],
        [{ echo: true }, /`echo`/],
        [{ logit_bias: { 5: 1 } }, /`logit_bias`/],
      ]) {
        const refused = await ask(stand, fields, there);
        assert.equal(refused.status, 422, refused.text);
        assert.match(refused.text, words);
      }
      const known = { frequency_penalty: 1.5, repetition_penalty: 1.3, logprobs: 0 };
      const answer = await ask(stand, known, there);
      assert.equal(answer.status, 200, answer.text);
      const { logprobs, text } = answer.json.choices[0];
      assert.equal(logprobs.tokens.join(''), text);
      assert.equal(logprobs.token_logprobs[0], -0.5);
    },
    'what only it refuses is not asked of it': async (stand) => {
      const answer = await ask(stand, { temperature: 0, top_p: 1 });
      assert.equal(answer.status, 200, answer.text);
    },
  },
};
