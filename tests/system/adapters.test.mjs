// SPDX-License-Identifier: Apache-2.0
// Goal: LoRA adapters are served under names of their own: by a vendor's server that is told of
// them, and by the engine of every machine, where one made for the shipped model changes what it
// says and leaves the model itself as it was. Devices without them are refused with their reason.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { Hosts } from './hosts_support.mjs';
import { Hub } from './hub.mjs';
import { write_lora } from './lora.mjs';
import { Cluster, checker, eventually, model_file, root, run_cli } from './support.mjs';
import { temp_dir } from './support.mjs';

const vendor = path.join(root, 'tests/plugins/fakeserve');

/// Weights that are a word in the table of no tensors, and `more` bytes that are none.
function weights_of(word, more = 0) {
  const table = Buffer.from(JSON.stringify({ __metadata__: { word } }));
  const length = Buffer.alloc(8);
  length.writeUInt32LE(table.length);
  return Buffer.concat([length, table, Buffer.alloc(more, ' ')]);
}

/// A folder as trainers write it.
function write_adapter(folder, word, rank) {
  fs.mkdirSync(folder);
  const config = JSON.stringify({ peft_type: 'LORA', r: rank });
  fs.writeFileSync(path.join(folder, 'adapter_config.json'), config);
  fs.writeFileSync(path.join(folder, 'adapter_model.safetensors'), weights_of(word));
  return folder;
}

test('adapters are served under their own names', { timeout: 600_000 }, async (t) => {
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
    assert.equal(answer.json.model, args[0], 'as it was asked for');
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
    const base = await add('two', `base=${model_file}`);
    assert.notEqual(base.code, 0);
    assert.match(base.stderr, /adapter `base`.*not an adapter/);
    const remote = await add('two', 'far=server:x');
    assert.match(remote.stderr, /adapter `far`: server:x is of a model that a server has/);
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

test('an adapter of a hub is fetched first', { timeout: 600_000 }, async (t) => {
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

test('an adapter that is a folder of a hub', { timeout: 600_000 }, async (t) => {
  const folder = temp_dir('consort-hub');
  const hub = await Hub.start(folder, model_file, 'hf_systemtest');
  const tales = weights_of('tales', 3 << 20);
  hub.add_folder({
    'README.md': 'for people',
    'adapter_config.json': JSON.stringify({ peft_type: 'LORA', r: 48 }),
    'adapter_model.safetensors': tales,
    'optimizer.pt': Buffer.alloc(1000, 'x'),
  });
  const plugins = path.join(folder, 'plugins');
  fs.cpSync(vendor, path.join(plugins, 'fakeserve'), { recursive: true });
  const env_of = (name) => hub.env(path.join(folder, `cache-${name}`));
  const hosts = new Hosts({ nodes: [], gateways: [], env: env_of('scheduler') });
  t.after(async () => {
    await hosts.destroy();
    hub.stop();
    fs.rmSync(folder, { recursive: true, force: true });
  });
  await hosts.start();
  for (const name of ['a', 'b'])
    await hosts.add_node(name, { args: ['--plugins', plugins], env: env_of(name) });
  await hosts.expect_alive(['a', 'b']);
  const { scheduler } = hosts;
  const text = async (model, node) => {
    const headers = { 'X-Consort-Device': `node=${node},vendor=Fake Vendor` };
    const asked = { model, max_tokens: 4 };
    const answer = await scheduler.complete(asked, { ...headers, 'X-Consort-Wait': '60s' }, 90_000);
    assert.equal(answer.status, 200, answer.text);
    return answer.json.choices[0].text;
  };
  const size = fs.statSync(model_file).size;
  const weights = async () =>
    (await scheduler.list('artifacts')).find((one) => one.key.profile.name === 'weights');

  await t.test('is known without its weights', async () => {
    const adapter = 'tales=hf:org/lora';
    const added = await scheduler.cli(['model', 'add', 'told', model_file, '--adapter', adapter]);
    assert.equal(added.code, 0, added.stderr);
    assert.equal(hub.reads, 0);
    const told = (await scheduler.list('models')).find((one) => one.spec.name === 'told');
    const [one] = told.spec.variants[0].adapters;
    assert.match(one.source, /^hf:org\/lora@[0-9a-f]{40}\/adapter_config\.json$/);
    assert.equal(one.rank, 48);
  });
  await t.test('is fetched, through a cut, and given to the server as its folder', async () => {
    hub.fault = 'drop';
    const waiting = text('tales', 'a');
    await eventually('it was cut twice', () => hub.reads >= 2);
    hub.fault = '';
    assert.equal(await waiting, `tales on ${size} rank 64`);
    assert.equal(await text('told', 'a'), `alone on ${size} rank 64`);
    assert.equal((await weights()).state, 'ready');
    assert.ok(hub.bytes < 2 * tales.length, `${hub.bytes} bytes were read: not gone on with`);
  });
  await t.test('and the next node copies it from the first', async () => {
    const before = hub.reads;
    assert.equal(await text('tales', 'b'), `tales on ${size} rank 64`);
    assert.equal(hub.reads, before, 'the hub was read again');
    assert.deepEqual([...(await weights()).nodes].sort(), ['a', 'b']);
  });
  await t.test('what is none is said', async () => {
    hub.add_folder({ 'adapter_config.json': '{}', 'adapter_model.bin': Buffer.alloc(10) });
    const adapter = 'other=hf:org/lora';
    const done = await scheduler.cli(['model', 'add', 'two', model_file, '--adapter', adapter]);
    assert.notEqual(done.code, 0);
    assert.match(done.stderr, /adapter `other`.*adapter_model\.bin/s);
  });
});
