// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import path from 'node:path';

const hailo = { 'X-Consort-Device': 'npu', 'X-Consort-Wait': '2s' };

export default {
  name: 'hailo',
  plugins: ['hailo'],
  type: 'npu',
  tools: { hailortcli: [['fw-control identify', 'hailo/fixtures/probe-5.1.1-hailo10h.txt']] },
  attach: { fake: 'hailo-ollama.mjs', args: ['--name', 'tale'], port_env: 'CONSORT_HAILO_URL' },
  fake: 'hailo-ollama',
  model: 'tale',
  devices: [{ uuid: '0001:03:00.0', model: 'HAILO10H' }],
  refuses: { 'hailo-400': [400, /does not support tools/] },
  moves: ['hailo-500', 'html'],
  breaks: ['cut', 'malformed', 'not-utf8'],
  checks: {
    'plugin check asks it for chats': async (stand) => {
      const folder = path.join(stand.plugins, 'hailo');
      const done = await stand.cli(['plugin', 'check', '--model', 'server:tale', folder]);
      assert.equal(done.code, 0, done.stdout + done.stderr);
      assert.match(done.stdout, /^generate +pass/m);
      assert.match(done.stdout, /^cancel +pass +.*its connection was closed/m);
    },
    'completions, which it does not answer, are not asked of it': async (stand) => {
      const before = stand.journal('request').length;
      const refused = await stand.cluster.complete({ model: 'tale', prompt: 'x' }, hailo);
      assert.equal(refused.status, 422, refused.text);
      assert.match(refused.text, /its runtime does not answer completions/);
      const asked = stand.journal('request').slice(before);
      assert.ok(!asked.some((one) => one.method === 'POST'), 'it was asked');
    },
  },
  lacks: ['completions', 'stream', 'prompt-usage', 'die'],
};
