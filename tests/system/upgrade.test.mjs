// SPDX-License-Identifier: Apache-2.0
// Goal: a newer compiler under a running cluster. Its engine is built while the former serves,
// takes its place without a failed request, and one command goes back.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import {
  Cluster,
  checker,
  cluster_with,
  command_line,
  descendants,
  eventually,
  model_file,
  root,
  temp_dir,
} from './support.mjs';

test('an engine of a newer compiler, and back', { timeout: 600_000 }, async (t) => {
  const plugins = temp_dir('consort-plugins');
  const folder = path.join(plugins, 'fakevendor');
  fs.cpSync(path.join(root, 'tests/plugins/fakevendor'), folder, { recursive: true });
  const cluster = await cluster_with(t, plugins);
  const check = checker(t, cluster);
  const ask = async () => {
    const answer = await cluster.complete({ max_tokens: 8 }, { 'X-Consort-Device': 'pim' });
    assert.equal(answer.status, 200, answer.text);
  };
  const by = async (version) =>
    (await cluster.list('artifacts')).find(
      (one) =>
        one.key.profile.compiler === 'fake-cc' && one.key.profile.compiler_version === version,
    );
  /// Digests of what runs, by the paths that the servers were given.
  const running = () =>
    descendants(cluster.pid)
      .map((one) => /fake-server .*artifacts\/([0-9a-f]{64})\//.exec(command_line(one.pid))?.[1])
      .filter(Boolean);
  const only = (digest) => {
    const seen = running();
    return seen.length > 0 && seen.every((one) => one === digest);
  };
  const cli = async (...args) => {
    const done = await cluster.cli(args);
    assert.equal(done.code, 0, done.stdout + done.stderr);
    return done.stdout;
  };
  const store = ['--data', cluster.data];
  await ask();
  const former = (await by('3.1.4')).content;
  assert.ok(only(former));

  await check('the former serves while the newer is built', async () => {
    const compiler = path.join(folder, 'fake-cc');
    const script = fs.readFileSync(compiler, 'utf8');
    fs.writeFileSync(
      compiler,
      script
        .replace('fake-cc 3.1.4', 'fake-cc 3.2.0')
        .replace("'FAKE ENGINE 1'", "'FAKE ENGINE 1 of 3.2'")
        .replace("echo 'lowering 40%'", "sleep 2; echo 'lowering 40%'"),
    );
    assert.match(await cli('plugins', 'reload'), /changed/);
    await eventually('it builds itself', async () => (await by('3.2.0'))?.state === 'building');
    await ask();
    assert.ok(only(former), 'nothing changed yet');
  });
  await check('and then gives way to it, with no request failed', async () => {
    const newer = await eventually('it is ready', async () => {
      await ask();
      return (await by('3.2.0')).state === 'ready' && (await by('3.2.0')).content;
    });
    await eventually('only the newer runs', async () => {
      await ask();
      return only(newer);
    });
    assert.match(await cli('artifacts', 'show', newer, ...store), /fake-cc 3\.2\.0/);
  });
  await check('one command goes back', async () => {
    const said = await cli('artifacts', 'rollback', former, ...store);
    assert.match(said, /looked at their stores again/);
    await eventually('only the former runs', async () => {
      await ask();
      return only(former);
    });
    assert.equal(await cluster.builds(), 2, 'nothing was built for it');
  });
  await check('what a vendor built is taken up at once', async () => {
    const theirs = path.join(plugins, 'theirs');
    fs.writeFileSync(theirs, 'FAKE ENGINE 1, by its vendor\n');
    const what = ['--profile', 'fake-1', '--model', model_file, '--plugins', plugins];
    const said = await cli('artifacts', 'import', theirs, ...what, ...store);
    assert.match(said, /looked at their stores again/);
    const digest = /imported ([0-9a-f]{64})/.exec(said)[1];
    await eventually('only theirs runs', async () => {
      await ask();
      return only(digest);
    });
    assert.equal(await cluster.builds(), 2, 'nothing was built for it');
  });
});

// Its plugin says that its runtime reads older engines: nobody waits for a compiler, not even for
// one that never ends.
test('the reference accelerator under a newer compiler', { timeout: 600_000 }, async (t) => {
  const cluster = new Cluster({ env: { REFNPU_DEVICES: '1' } });
  t.after(() => cluster.destroy());
  await cluster.start();
  const check = checker(t, cluster);
  const ask = async (wait = '60s') => {
    const headers = { 'X-Consort-Device': 'npu', 'X-Consort-Wait': wait };
    const answer = await cluster.complete({ max_tokens: 8, temperature: 0 }, headers, 90_000);
    assert.equal(answer.status, 200, answer.text);
    return answer.json.choices[0].text;
  };
  const by = async (version) =>
    (await cluster.list('artifacts')).find(
      (one) => one.key.profile.name === 'refnpu' && one.key.profile.compiler_version === version,
    );
  const runs = async () =>
    (await cluster.list('replicas'))
      .filter((one) => one.state === 'ready' && /npu/.test(one.leader))
      .map((one) => one.artifact)
      .join();
  const come_back = async (env) => {
    await cluster.stop();
    Object.assign(cluster.env, env);
    await cluster.start();
  };
  const text = await ask();
  const older = (await by('1.0')).content;
  assert.equal(await runs(), older);

  await check('what the older one built answers at once while the newer builds', async () => {
    await come_back({ REFNPU_STACK: '1.1.0', REFNPU_CC_FAULT: 'hang' });
    assert.equal((await by('1.0')).model, await cluster.model(), 'although nobody asked yet');
    assert.equal(await ask('10s'), text);
    assert.equal(await runs(), older);
    await eventually('the newer one is built', async () => (await by('1.1'))?.state === 'building');
    assert.equal(await ask('10s'), text);
  });
  await check('and gives way once that is built', async () => {
    await come_back({ REFNPU_CC_FAULT: '' });
    assert.equal(await ask('10s'), text);
    await eventually(
      'only the newer runs',
      async () => {
        assert.equal(await ask(), text);
        const newer = (await by('1.1'))?.content;
        return newer && newer !== older && (await runs()) === newer;
      },
      60_000,
    );
  });
  await check('but not across major versions', async () => {
    await come_back({ REFNPU_STACK: '2.0.0', REFNPU_CC_FAULT: 'fail' });
    const headers = { 'X-Consort-Device': 'npu', 'X-Consort-Wait': '60s' };
    const answer = await cluster.complete({ max_tokens: 8 }, headers, 90_000);
    assert.equal(answer.status, 422, answer.text);
    const newest = (await by('1.1')).content.slice(0, 12);
    const way_back = new RegExp(`artifacts rollback ${newest}. on local would go back`);
    assert.match(answer.json.error.message, way_back);
  });
});
