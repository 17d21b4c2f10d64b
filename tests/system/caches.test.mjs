// SPDX-License-Identifier: Apache-2.0
// Goal: what a server compiles at its start is compiled once in a cluster, and an engine that binds
// an architecture is built once for all models of it.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { with_hosts } from './hosts_support.mjs';
import {
  Cluster,
  checker,
  cluster_with,
  eventually,
  model_file,
  root,
  temp_dir,
} from './support.mjs';

const vendor = path.join(root, 'tests/plugins/fakeserve');

/// A copy of the vendor's folder that counts its own compiles.
class FakeServe {
  constructor(shape = false) {
    this.plugins = temp_dir('consort-plugins');
    this.folder = path.join(this.plugins, 'fakeserve');
    fs.cpSync(vendor, this.folder, { recursive: true });
    const other = path.join(vendor, 'shape.json');
    if (shape) fs.copyFileSync(other, path.join(this.folder, 'plugin.json'));
  }
  compiles() {
    const file = path.join(this.folder, 'compiles');
    return fs.existsSync(file) ? fs.readFileSync(file, 'utf8').trim().split('\n') : [];
  }
  remove() {
    fs.rmSync(this.plugins, { recursive: true, force: true });
  }
}

const kept_by = async (cluster, kind) =>
  (await cluster.list('artifacts')).filter((one) => one.key.kind === kind && one.state === 'ready');
const caches = (cluster) => kept_by(cluster, 'cache');
const ask_of = (cluster, device, model) => {
  const body = { max_tokens: 4, ...(model ? { model } : {}) };
  return cluster.complete(body, { 'X-Consort-Device': device }, 60_000);
};

with_hosts('caches of servers', { nodes: [], gateways: [] }, async (check, hosts, t) => {
  const fakes = { a: new FakeServe(), b: new FakeServe() };
  t.after(() => Object.values(fakes).forEach((one) => one.remove()));
  for (const name of ['a', 'b'])
    await hosts.add_node(name, { args: ['--plugins', fakes[name].plugins] });
  await hosts.expect_alive(['a', 'b']);
  const ask = (node) => ask_of(hosts.scheduler, `node=${node},vendor=Fake Vendor`);

  await check('the first start compiles, and what it compiled is an artifact', async () => {
    const answer = await ask('a');
    assert.equal(answer.status, 200, answer.text);
    assert.deepEqual(fakes.a.compiles(), ['start']);
    const [kept] = await eventually('it is kept', async () => {
      const all = await caches(hosts.scheduler);
      return all.length > 0 && all;
    });
    assert.equal(kept.key.profile.name, 'fakeserve-cache');
    assert.equal(kept.key.profile.compiler_version, '1.4');
    const shown = await hosts.scheduler.cli(['artifacts']);
    assert.match(shown.stdout, /fakeserve-cache/);
  });
  await check('the start on another node finds it', async () => {
    const answer = await ask('b');
    assert.equal(answer.status, 200, answer.text);
    assert.deepEqual(fakes.b.compiles(), [], 'nothing was compiled there');
    const [kept] = await caches(hosts.scheduler);
    assert.deepEqual(kept.nodes.slice().sort(), ['a', 'b']);
  });
});

test('a cache is kept between starts, and bounded', { timeout: 600_000 }, async (t) => {
  const fake = new FakeServe();
  const cluster = new Cluster({ args: ['--plugins', fake.plugins] });
  t.after(async () => {
    await cluster.destroy();
    fake.remove();
  });
  const check = checker(t, cluster);
  const ask = () => ask_of(cluster, 'vendor=Fake Vendor');
  await check('one that is larger than its plugin allows is not', async () => {
    fs.writeFileSync(path.join(fake.folder, 'huge'), '');
    await cluster.start();
    assert.equal((await ask()).status, 200);
    const said = async () => /more than its plugin's limit/.test(cluster.output);
    await eventually('it is said', said);
    assert.deepEqual(await caches(cluster), []);
    await cluster.stop();
    fs.rmSync(path.join(fake.folder, 'huge'));
  });
  await check('the next program finds what this one kept', async () => {
    await cluster.start();
    assert.equal((await ask()).status, 200);
    await eventually('it is kept', async () => (await caches(cluster)).length > 0);
    await cluster.stop();
    await cluster.start();
    assert.equal((await ask()).status, 200);
    assert.deepEqual(fake.compiles(), ['start', 'start'], 'the third start compiled nothing');
  });
  await check('it is collected like any other artifact', async () => {
    await cluster.stop();
    const done = await cluster.cli(['artifacts', 'gc', '--max-size', '1', '--data', cluster.data]);
    assert.equal(done.code, 0, done.stderr);
    await cluster.start();
    assert.deepEqual(await caches(cluster), []);
  });
});

test('one engine serves all models of its architecture', { timeout: 600_000 }, async (t) => {
  const fake = new FakeServe(true);
  const other = path.join(fake.plugins, 'other.gguf');
  // The same shape, and other bytes: what is behind the last tensor is no part of the model.
  fs.copyFileSync(model_file, other);
  fs.appendFileSync(other, Buffer.alloc(64, 1));
  const cluster = await cluster_with(t, fake.plugins);
  const check = checker(t, cluster);
  const text = async (model) => {
    const answer = await ask_of(cluster, 'vendor=Fake Vendor', model);
    assert.equal(answer.status, 200, answer.text);
    return answer.json.choices[0].text;
  };
  await check('the first model has it built', async () => {
    assert.equal(await text('storyteller'), `alone on ${fs.statSync(model_file).size}`);
    assert.deepEqual(fake.compiles(), ['build']);
  });
  await check('the second runs on it, with its own weights', async () => {
    const added = await cluster.cli(['model', 'add', 'second', other]);
    assert.equal(added.code, 0, added.stderr);
    assert.equal(await text('second'), `alone on ${fs.statSync(other).size}`);
    assert.deepEqual(fake.compiles(), ['build'], 'nothing more was built');
    const built = await kept_by(cluster, 'engine_architecture');
    assert.equal(built.length, 1);
    assert.match(built[0].key.binds, /^llama-l6-d256-i688-.*-f16$/i);
  });
});
