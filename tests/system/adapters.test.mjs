// SPDX-License-Identifier: Apache-2.0
// Goal: LoRA adapters are served under names of their own: by a vendor's server that is told of
// them, and by the engine of every machine, where one made for the shipped model changes what it
// says and leaves the model itself as it was. Devices without them are refused with their reason.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { Hub } from './hub.mjs';
import { write_lora } from './lora.mjs';
import { Cluster, checker, model_file, root, run_cli, temp_dir } from './support.mjs';

const vendor = path.join(root, 'tests/plugins/fakeserve');

/// A folder as trainers write it, whose weights are a word.
function write_adapter(folder, word, rank) {
  fs.mkdirSync(folder);
  const config = JSON.stringify({ peft_type: 'LORA', r: rank });
  fs.writeFileSync(path.join(folder, 'adapter_config.json'), config);
  fs.writeFileSync(path.join(folder, 'adapter_model.safetensors'), word);
  return folder;
}

test('adapters are served under their own names', { timeout: 300_000 }, async (t) => {
  const dir = temp_dir('consort-adapters');
  fs.cpSync(vendor, path.join(dir, 'plugins/fakeserve'), { recursive: true });
  const tales = write_adapter(path.join(dir, 'tales'), 'tales', 8);
  const rhymes = write_adapter(path.join(dir, 'rhymes'), 'rhymes', 48);
  const lora = path.join(dir, 'other-voice.gguf');
  write_lora(lora);
  const config = path.join(dir, 'consort.json');
  const model = { source: model_file, replicas: { max: 2 } };
  fs.writeFileSync(
    config,
    JSON.stringify({
      models: {
        served: { ...model, adapters: { tales: 'tales', rhymes } },
        storyteller: { ...model, adapters: { 'other-voice': lora } },
      },
    }),
  );
  const args = ['--config', config, '--plugins', path.join(dir, 'plugins')];
  const cluster = new Cluster({ args });
  t.after(async () => {
    await cluster.destroy();
    fs.rmSync(dir, { recursive: true, force: true });
  });
  await cluster.start();
  const check = checker(t, cluster);
  const npu = { 'X-Consort-Device': 'vendor=Fake Vendor' };
  const cpu = { 'X-Consort-Device': 'cpu' };
  const ask = (model, headers, fields = {}) =>
    cluster.complete({ model, max_tokens: 24, temperature: 0, ...fields }, headers, 60_000);
  const text = async (...args) => {
    const answer = await ask(...args);
    assert.equal(answer.status, 200, answer.text);
    return answer.json.choices[0].text;
  };
  const size = fs.statSync(model_file).size;

  await check('a server is told of them, with the largest rank', async () => {
    assert.equal(await text('tales', npu), `tales on ${size} rank 64`);
    assert.equal(await text('rhymes', npu), `rhymes on ${size} rank 64`);
    assert.equal(await text('served', npu), `alone on ${size} rank 64`);
  });
  await check('they are listed with what they are part of', async () => {
    const listed = (await cluster.get('/v1/models')).json.data;
    const one = listed.find((each) => each.id === 'tales');
    assert.equal(one.parent, 'served');
    assert.equal((await cluster.get('/v1/models/rhymes')).json.parent, 'served');
    const shown = await cluster.cli(['models', '-o', 'wide']);
    assert.match(shown.stdout, /rhymes,tales/);
  });
  await check('the engine of every machine loads a GGUF one', async () => {
    const before = await text('storyteller', cpu);
    const other = await text('other-voice', cpu);
    assert.notEqual(other, before);
    const both = await Promise.all([text('storyteller', cpu), text('other-voice', cpu)]);
    assert.deepEqual(both, [before, other], 'side by side they do not disturb each other');
  });
  await check('what does not fit its model is said', async () => {
    const add = (name, adapter) =>
      cluster.cli(['model', 'add', name, model_file, '--adapter', adapter]);
    const added = await add('odd', `oddity=${tales}`);
    assert.equal(added.code, 0, added.stderr);
    const answer = await ask('oddity', { ...cpu, 'X-Consort-Wait': '5s' });
    assert.ok(answer.status >= 400, answer.text);
    const missing = await add('two', 'gone=/nowhere');
    assert.notEqual(missing.code, 0);
    assert.match(missing.stderr, /adapter `gone`/);
  });
  await check('a device without them is refused with its reason', async () => {
    const other = { 'X-Consort-Device': 'vendor=Consort' };
    const answer = await ask('tales', other);
    assert.equal(answer.status, 422, answer.text);
    assert.match(answer.json.error.message, /adapters/);
  });
  await check('names are one space', async () => {
    const file = path.join(dir, 'twice.json');
    const models = { a: { source: model_file, adapters: { b: tales } }, b: { source: model_file } };
    fs.writeFileSync(file, JSON.stringify({ models }));
    const done = await run_cli(['config', 'check', file]);
    assert.notEqual(done.code, 0);
    assert.match(done.stderr + done.stdout, /`b` names two models/);
  });
});

test('an adapter of a hub is fetched first', { timeout: 240_000 }, async (t) => {
  const folder = temp_dir('consort-hub');
  const lora = path.join(folder, 'lora.gguf');
  write_lora(lora);
  const hub = await Hub.start(folder, lora, 'hf_systemtest'); // As org/story/story.gguf.
  const config = path.join(folder, 'consort.json');
  const adapters = { 'other-voice': 'hf:org/story' };
  fs.writeFileSync(
    config,
    JSON.stringify({ models: { storyteller: { source: model_file, adapters } } }),
  );
  const cluster = new Cluster({ args: ['--config', config], env: hub.env(`${folder}/cache`) });
  t.after(async () => {
    await cluster.destroy();
    hub.stop();
    fs.rmSync(folder, { recursive: true, force: true });
  });
  await cluster.start();
  const text = async (model) => {
    const asked = { model, max_tokens: 24, temperature: 0 };
    const answer = await cluster.complete(asked, { 'X-Consort-Device': 'cpu' }, 60_000);
    assert.equal(answer.status, 200, answer.text);
    return answer.json.choices[0].text;
  };
  const [other, alone] = [await text('other-voice'), await text('storyteller')];
  assert.notEqual(other, alone);
  const held = (await cluster.list('artifacts')).find((one) => one.content === hub.sha256);
  assert.equal(held.state, 'ready');
  assert.equal(hub.reads, 1);
  const add = (source) =>
    cluster.cli(['model', 'add', 'two', model_file, '--adapter', `second=${source}`]);
  assert.match((await add('hf:org/none')).stderr, /adapter `second`.*hf:org\/none/s);
  assert.match((await add(`${hub.endpoint}/x.gguf`)).stderr, /sha256=HEX/);
});
