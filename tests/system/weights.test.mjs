// SPDX-License-Identifier: Apache-2.0
// Goal: a model of a hub is served by its name there; its weights are fetched once for the whole
// cluster, whatever happens on the way, and a hub that is away stops nobody.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { Hub } from './hub.mjs';
import { Hosts } from './hosts_support.mjs';
import { Cluster, checker, eventually, model_file, temp_dir } from './support.mjs';

const token = 'hf_systemtest';
const prompt = 'Once upon a time there was a king who';

test('a model of a hub on one host', { timeout: 600_000 }, async (t) => {
  const folder = temp_dir('consort-hub');
  const hub = await Hub.start(folder, model_file, token);
  const cluster = new Cluster({ env: hub.env(path.join(folder, 'cache')) });
  t.after(async () => {
    await cluster.destroy();
    hub.stop();
    fs.rmSync(folder, { recursive: true, force: true });
  });
  await cluster.start();
  const check = checker(t, cluster);
  const ask = (model, device) =>
    cluster.complete(
      { model, prompt, max_tokens: 12, temperature: 0 },
      { 'X-Consort-Device': device, 'X-Consort-Wait': '60s' },
    );
  let expected = '';

  await check('is run by its name there', async () => {
    expected = (await ask(await cluster.model(), 'cpu')).json.choices[0].text;
    const done = await cluster.cli([
      ...['run', 'hf:org/story', prompt, '--device', 'cpu'],
      ...['--max-tokens', '12', '--temperature', '0'],
    ]);
    assert.equal(done.code, 0, done.stderr);
    assert.ok(done.stdout.includes(expected.trim()), done.stdout);
    assert.equal(hub.leaked, 0, 'the token went to the host of the files');
    assert.ok(!cluster.output.includes(token), 'the token is in the log');
  });
  await check('its weights are an artifact, and lie in the cache of the hub too', async () => {
    const [weights] = (await cluster.list('artifacts')).filter(
      (one) => one.key.profile.name === 'weights',
    );
    assert.equal(weights.content, hub.sha256);
    assert.equal(weights.state, 'ready');
    assert.match((await cluster.cli(['artifacts'])).stdout, /weights/);
    const root = path.join(folder, 'cache/hub/models--org--story');
    const [commit] = fs.readdirSync(path.join(root, 'snapshots'));
    assert.equal(fs.readFileSync(path.join(root, 'refs/main'), 'utf8'), commit);
    const blob = fs.readFileSync(path.join(root, 'snapshots', commit, 'story.gguf'));
    assert.ok(blob.equals(hub.content));
  });
  await check('engines are built from them', async () => {
    const answer = await ask('hf:org/story', 'npu');
    assert.equal(answer.status, 200, answer.text);
  });
  await check('what is not there, or not to be read, is said in words', async () => {
    const missing = await cluster.cli(['model', 'add', 'none', 'hf:org/none']);
    assert.equal(missing.code, 4);
    assert.match(missing.stderr, /has no hf:org\/none/);
    hub.token = 'another';
    const denied = await cluster.cli(['model', 'add', 'gated', 'hf:org/story@v2']);
    hub.token = token;
    assert.match(denied.stderr, /HF_TOKEN/);
    const bare = await cluster.cli(['model', 'add', 'bare', `${hub.endpoint}/x.gguf`]);
    assert.match(bare.stderr, /sha256=HEX/);
  });
  await check('and served again while the hub is away', async () => {
    await cluster.stop();
    hub.stop();
    cluster.args = ['--model', 'story=hf:org/story'];
    await cluster.start();
    const answer = await ask('story', 'cpu');
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.json.choices[0].text, expected);
  });
});

test('one fetch for all nodes', { timeout: 600_000 }, async (t) => {
  const folder = temp_dir('consort-hub');
  const hub = await Hub.start(folder, model_file, token);
  const env_of = (name) => hub.env(path.join(folder, `cache-${name}`));
  const hosts = new Hosts({ nodes: [], gateways: [], env: env_of('scheduler') });
  t.after(async () => {
    await hosts.destroy();
    hub.stop();
    fs.rmSync(folder, { recursive: true, force: true });
  });
  await hosts.start();
  for (const name of ['a', 'b', 'c']) await hosts.add_node(name, { env: env_of(name) });
  await hosts.expect_alive(['a', 'b', 'c']);
  const { scheduler } = hosts;
  const partial = (name) => {
    const found = path.join(hosts.data_of(name), 'partial');
    return fs.existsSync(found)
      ? fs.readdirSync(found).map((one) => fs.statSync(path.join(found, one)).size)
      : [];
  };
  const on = (name, model) =>
    scheduler.complete(
      { model, prompt, max_tokens: 8, temperature: 0 },
      { 'X-Consort-Device': `${name}/cpu0`, 'X-Consort-Wait': '90s' },
      120_000,
    );

  await t.test('a node killed in the middle goes on where it was', async () => {
    const added = await scheduler.post('/api/v1/models', { name: 'story', source: 'hf:org/story' });
    assert.ok(added.status < 300, added.text);
    const head = hub.bytes;
    hub.pace_ms = 100;
    const waiting = on('a', 'story');
    const fetching = await eventually('somebody fetches', () =>
      ['a', 'b', 'c'].find((name) => partial(name).some((bytes) => bytes > 2_000_000)),
    );
    await hosts.node(fetching).kill();
    hub.pace_ms = 0;
    await hosts.node(fetching).start();
    const answer = await waiting;
    assert.equal(answer.status, 200, answer.text);
    // Another may have begun meanwhile, from the beginning: nobody fetched more than once.
    assert.ok(hub.bytes - head < 2.2 * hub.content.length, `${hub.bytes} bytes were read`);
  });
  await t.test('the others copy from whoever has them', async () => {
    const before = hub.bytes;
    const answers = await Promise.all(['a', 'b', 'c'].map((name) => on(name, 'story')));
    assert.deepEqual(
      answers.map((one) => one.status),
      [200, 200, 200],
    );
    assert.equal(new Set(answers.map((one) => one.json.choices[0].text)).size, 1);
    assert.equal(hub.bytes, before, 'the hub was read again');
    const [weights] = (await scheduler.list('artifacts')).filter(
      (one) => one.key.profile.name === 'weights',
    );
    assert.deepEqual([...weights.nodes].sort(), ['a', 'b', 'c']);
  });
});

/// Takes what is left of the disk. Returns: the file to remove for it.
function fill(folder) {
  const file = path.join(folder, 'ballast');
  const out = fs.openSync(file, 'w');
  for (const bytes of [1 << 20, 4096])
    try {
      for (;;) fs.writeSync(out, Buffer.alloc(bytes));
    } catch (failure) {
      assert.equal(failure.code, 'ENOSPC');
    }
  fs.closeSync(out);
  return file;
}

test('a disk that fills while weights come', { timeout: 600_000 }, async (t) => {
  const folder = temp_dir('consort-hub');
  const hub = await Hub.start(folder, model_file, token);
  const env_of = (name) => hub.env(path.join(folder, `cache-${name}`));
  const hosts = new Hosts({ nodes: [], gateways: [], env: env_of('scheduler') });
  let disk;
  t.after(async () => {
    hub.stop();
    for (const one of hosts.nodes) if (one.up) await one.kill();
    // Lazily: what a killed node had started may have a file open for a moment longer.
    if (disk) spawnSync('umount', ['--lazy', disk]);
    await hosts.destroy();
    fs.rmSync(folder, { recursive: true, force: true });
  });
  await hosts.start();
  const small = hosts.data_of('a');
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=96m', 'tmpfs', small]);
  if (mounted.status !== 0) return t.skip('mounts a small disk, which root may');
  disk = small;
  await hosts.add_node('a', { env: env_of('a') });
  await hosts.expect_alive(['a']);
  const { scheduler } = hosts;
  const ask = (device) =>
    scheduler.complete(
      { model: 'story', prompt, max_tokens: 8, temperature: 0 },
      { 'X-Consort-Device': device, 'X-Consort-Wait': '90s' },
      120_000,
    );
  const partial = () => fs.readdirSync(path.join(disk, 'partial'));
  const bytes_of = (name) => fs.statSync(path.join(disk, 'partial', name)).size;
  let ballast;
  let waiting;

  await t.test('says so, and keeps no half of them', async () => {
    const added = await scheduler.post('/api/v1/models', { name: 'story', source: 'hf:org/story' });
    assert.ok(added.status < 300, added.text);
    hub.pace_ms = 150;
    waiting = ask('cpu');
    await eventually('it fetches', () => partial().some((one) => bytes_of(one) > 1_000_000));
    ballast = fill(disk);
    const weights = async () =>
      (await scheduler.list('artifacts')).find((one) => one.key.profile.name === 'weights');
    const said = async () => /No space left on device/.test((await weights()).last_error);
    await eventually('it is told', said);
    assert.deepEqual(partial(), []);
    assert.ok(hosts.node('a').up);
  });
  await t.test('another node fetches them, and serves who waited', async () => {
    hub.pace_ms = 0;
    await hosts.add_node('b', { env: env_of('b') });
    const answer = await waiting;
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.headers.get('x-consort-device'), 'b/cpu0');
  });
  await t.test('with room again it has a copy', async () => {
    fs.rmSync(ballast);
    assert.equal((await ask('a/cpu0')).status, 200);
  });
});

test('SIGHUP reads the models of the configuration again', { timeout: 600_000 }, async (t) => {
  const folder = temp_dir('consort-config');
  const file = path.join(folder, 'consort.json');
  const configure = (models) => fs.writeFileSync(file, JSON.stringify({ models }));
  configure({ one: { source: model_file }, two: { source: model_file, aliases: ['second'] } });
  const cluster = new Cluster({ env: { CONSORT_CONFIG: file } });
  t.after(async () => {
    await cluster.destroy();
    fs.rmSync(folder, { recursive: true, force: true });
  });
  await cluster.start();
  const check = checker(t, cluster);
  const served = async () => {
    const models = await cluster.list('models');
    return models.map((one) => [one.spec.name, ...one.spec.aliases].join('=')).sort();
  };
  await check('new, changed and missing ones', async () => {
    const added = await cluster.cli(['model', 'add', 'by-hand', model_file]);
    assert.equal(added.code, 0, added.stderr);
    configure({ two: { source: model_file, aliases: ['zweites'] }, three: { source: model_file } });
    process.kill(cluster.pid, 'SIGHUP');
    const wanted = 'by-hand,three,two=zweites';
    await eventually('they are taken up', async () => (await served()).join() === wanted);
  });
  await check('what was taken out by hand comes back', async () => {
    const removed = await cluster.cli(['model', 'rm', 'three']);
    assert.equal(removed.code, 0, removed.stderr);
    await eventually('it is gone', async () => (await served()).join() === 'by-hand,two=zweites');
    process.kill(cluster.pid, 'SIGHUP');
    const wanted = 'by-hand,three,two=zweites';
    await eventually('it is declared again', async () => (await served()).join() === wanted);
  });
  await check('what is broken changes nothing', async () => {
    configure({ two: { source: '/no/such.gguf' }, three: { source: model_file } });
    process.kill(cluster.pid, 'SIGHUP');
    await eventually('it is told', () => /kept model two as it was/.test(cluster.output));
    assert.deepEqual(await served(), ['by-hand', 'three', 'two=zweites']);
    fs.writeFileSync(file, '{ "modles": {} }');
    process.kill(cluster.pid, 'SIGHUP');
    await eventually('it is told', () => /kept the old configuration/.test(cluster.output));
    assert.deepEqual(await served(), ['by-hand', 'three', 'two=zweites']);
  });
});
