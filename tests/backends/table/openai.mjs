// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { eventually } from '../../system/support.mjs';
import { costs, keeps_its_key } from '../remotes.mjs';
import { ask } from '../suite.mjs';

const key = 'sk-not-a-secret-1234';

export default {
  name: 'openai',
  plugins: ['openai'],
  type: 'remote',
  absent: /not on this host: \$OPENAI_API_KEY/,
  attach: {
    ...{ fake: 'openai.mjs', args: ['--name', 'gpt-4o', '--key', key] },
    ...{ port_env: 'OPENAI_BASE_URL', path: '/v1' },
  },
  env: { OPENAI_API_KEY: key },
  fake: 'openai',
  model: 'gpt-4o',
  devices: [{ uuid: 'openai', model: 'OpenAI API' }],
  refuses: {
    'openai-400': [400, /openai says no/],
    'openai-chats-only': [400, /is a chat model .* Did you mean to use v1\/chat\/completions/],
  },
  overload: ['busy-seconds', 'busy-ms', 'busy-date', 'busy-epoch', 'busy-duration', 'busy'],
  moves: ['openai-500', 'openai-503', 'no-quota', 'html'],
  breaks: ['cut', 'malformed', 'not-utf8', 'error-in-stream'],
  checks: {
    ...keeps_its_key(key),
    // 4 of the prompt at 2.5, 12 of the answer at 10 per million.
    ...costs(130),
    'which models it takes is what the provider lists': async (stand) => {
      const added = await stand.cluster.cli(['model', 'add', 'other', 'server:llama-3.3-70b']);
      assert.equal(added.code, 0, added.stderr);
      const headers = { 'X-Consort-Device': 'remote', 'X-Consort-Wait': '3s' };
      const answer = await ask(stand, { model: 'other' }, headers);
      assert.ok(answer.status >= 500, answer.text);
      const said = async () =>
        /serves gpt-4o, not llama-3\.3-70b/.test(answer.text + stand.cluster.output);
      await eventually('it is said what the provider lists', said);
    },
    'one that refuses to tell usage in streams is asked without': async (stand) => {
      stand.faults('openai=no-options');
      const answer = await ask(stand);
      assert.equal(answer.status, 200, answer.text);
    },
    'without money it is not asked again and again': async (stand) => {
      stand.faults('openai=no-quota');
      const headers = { 'X-Consort-Device': 'remote', 'X-Consort-Wait': '2s' };
      const answer = await ask(stand, {}, headers);
      assert.ok(answer.status >= 400, answer.text);
      assert.match(answer.text, /quota/);
    },
  },
  lacks: ['die'],
};
