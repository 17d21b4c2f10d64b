// SPDX-License-Identifier: Apache-2.0
// Goal: a compiler that is not ours builds a kernel for a target of its own naming, and what it
// made is executed; a byte flipped in it, which PoCL itself takes without a word, is noticed.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { binary, eventually, root, temp_dir, with_cluster } from './support.mjs';

const further = path.join(path.dirname(binary), '../share/consort/further');
const source = path.join(root, 'node/plugins/pocl/induction.cl');
const pocl = { 'X-Consort-Wait': '60s', 'X-Consort-Device': 'vendor=PoCL' };
const soon = { ...pocl, 'X-Consort-Wait': '10s' };
const cache = temp_dir('consort-pocl');

with_cluster(
  'PoCL compiles and executes a kernel',
  { args: ['--plugins', further], env: { POCL_CACHE_DIR: cache } },
  async (check, cluster, t) => {
    t.after(() => fs.rmSync(cache, { recursive: true, force: true }));
    const ask = (prompt, fields = {}) =>
      cluster.complete({ model: 'induction', prompt, max_tokens: 12, ...fields }, pocl);
    const engines = async () =>
      (await cluster.list('artifacts')).filter((one) => one.key.profile.name === 'pocl');
    let artifact;

    await check('its target is the compatibility key', async () => {
      const device = (await cluster.list('devices')).find((one) => one.spec.plugin === 'pocl');
      assert.match(device.spec.model, /^pthread-/);
      const added = await cluster.cli(['model', 'add', 'induction', source]);
      assert.equal(added.code, 0, added.stderr);
      const answer = await ask('one two three one two');
      assert.equal(answer.status, 200, answer.text);
      assert.equal(answer.json.choices[0].text, ' three one t');
      assert.equal(answer.json.usage.completion_tokens, 12);
      [artifact] = (await engines()).filter((one) => one.state === 'ready');
      assert.equal(artifact.key.profile.target, device.spec.model);
      assert.match(artifact.key.profile.compiler_version, /^\d+\.\d+$/);
    });
    await check('answers stream, end by themselves, and keep whole characters', async () => {
      const seen = [];
      const fields = { model: 'induction', prompt: 'näh näh n', max_tokens: 3 };
      for await (const event of cluster.stream(fields, pocl))
        if (event.choices?.[0]?.text) seen.push(event.choices[0].text);
      assert.equal(seen.join(''), 'äh');
      const none = await ask('');
      assert.equal(none.json.choices[0].finish_reason, 'stop');
    });
    await check('a program without the kernel is refused in words', async () => {
      const odd = path.join(cluster.data, 'odd.cl');
      fs.writeFileSync(odd, '__kernel void other(__global int *x) { x[0] = 1; }\n');
      await cluster.cli(['model', 'add', 'odd', odd]);
      const answer = await cluster.complete({ model: 'odd' }, soon);
      assert.ok(answer.status >= 400, answer.text);
      assert.match(cluster.output + answer.text, /without a kernel `next_byte`/);
      const bad = path.join(cluster.data, 'bad.cl');
      fs.writeFileSync(bad, '__kernel void next_byte(\n');
      await cluster.cli(['model', 'add', 'bad', bad]);
      const refused = await cluster.complete({ model: 'bad' }, soon);
      assert.ok(refused.status >= 400, refused.text);
      const failed = (await cluster.list('artifacts')).find((one) => /poclcc/.test(one.last_error));
      assert.ok(failed, 'the compiler refused nothing');
    });
    await check('a flipped byte is noticed and built again', async () => {
      const payload = path.join(cluster.data, 'artifacts', artifact.content, 'payload');
      fs.chmodSync(payload, 0o644);
      const bytes = fs.readFileSync(payload);
      bytes[40_000] ^= 1;
      fs.writeFileSync(payload, bytes);
      await cluster.cli(['drain', 'local', '--deadline', '1s']).catch(() => {});
      await cluster.cli(['model', 'rm', 'induction']);
      await cluster.cli(['uncordon', 'local']);
      await cluster.cli(['model', 'add', 'induction', source]);
      const answer = await ask('one two three one two');
      assert.equal(answer.status, 200, answer.text);
      assert.equal(answer.json.choices[0].text, ' three one t');
      assert.match(cluster.output, /was corrupt/);
      await eventually('it is built again', async () =>
        (await engines()).some((one) => one.builds > 1),
      );
    });
  },
);
