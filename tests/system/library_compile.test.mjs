// SPDX-License-Identifier: Apache-2.0
// Goal: a compiler that is a shared object builds in a process of its own: what it makes is served,
// what it says is told, a crash fails one build, and a hang ends with its limit or its cancel.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { promisify } from 'node:util';
import { checker, cluster_with, eventually, expect_gone, descendants, root } from './support.mjs';
import { command_line, run_cli, temp_dir } from './support.mjs';

const server = path.join(root, 'tests/plugins/fakeserve');
const source = path.join(root, 'tests/plugins/fakelib/compiler.c');
const pim = { 'X-Consort-Device': 'vendor=Fake Vendor' };

async function make_plugin(folder, timeout = '3s', defined = []) {
  fs.cpSync(server, folder, { recursive: true });
  const object = path.join(folder, 'libfakecc.so');
  const flags = ['-shared', '-fPIC', '-fvisibility=hidden', '-I', root];
  await promisify(execFile)('cc', [...flags, ...defined, source, '-o', object]);
  const text = fs.readFileSync(path.join(server, 'shape.json'), 'utf8');
  const plugin = JSON.parse(text.replace(/^\/\/.*$/gm, ''));
  const { profile, target, formats } = plugin.build[0];
  plugin.build[0] = {
    ...{ profile, target, formats, compiler: 'fake-lib-cc', interface: 'c-abi' },
    ...{ library: 'libfakecc.so', library_config: { folder }, timeout, disk: '1MiB' },
  };
  plugin.runtime.command = plugin.runtime.command.map((one) =>
    one === '{weights}' ? root + '/models/storyteller-5m-f16.gguf' : one,
  );
  fs.writeFileSync(path.join(folder, 'plugin.json'), JSON.stringify(plugin));
}

test('a compiler behind the C ABI', { timeout: 600_000 }, async (t) => {
  const plugins = temp_dir('consort-plugins');
  const folder = path.join(plugins, 'fakelib');
  await make_plugin(folder);
  const fault = (word) => fs.writeFileSync(path.join(folder, 'fault'), word);
  const builds = () => {
    const file = path.join(folder, 'compiles');
    return fs.existsSync(file) ? fs.readFileSync(file, 'utf8').trim().split('\n') : [];
  };
  const cluster = await cluster_with(t, plugins);
  const check = checker(t, cluster);
  const ask = (wait = '30s') =>
    cluster.complete({ max_tokens: 4 }, { ...pim, 'X-Consort-Wait': wait }, 60_000);
  const artifact = async () =>
    (await cluster.list('artifacts')).find((one) => one.key.profile.compiler === 'fake-lib-cc');
  const failed = async (pattern) => {
    const said = async () => pattern.test((await artifact())?.last_error ?? '');
    await eventually(`it is said why: ${pattern}`, said);
  };
  const again = async () => {
    const done = await cluster.cli(['compile', 'storyteller', '--for', 'vendor=Fake Vendor']);
    assert.equal(done.code, 0, done.stderr);
  };

  await check('a crash fails the build, and nothing else', async () => {
    fault('crash');
    const answer = ask('3s');
    await failed(/fake-lib-cc .*signal/i);
    assert.ok((await answer).status >= 500);
    const [, pid] = builds()[0].split(' ');
    const agent = cluster.child?.pid ?? cluster.process?.pid;
    assert.notEqual(Number(pid), agent, 'it ran in a process of its own');
  });
  await check('what it says is told', async () => {
    fault('fail');
    await again();
    await failed(/the library says fail/);
    fault('busy');
    await again();
    await failed(/the library says busy/);
  });
  await check('success without an output is none', async () => {
    fault('lie');
    await again();
    await failed(/wrote no output/);
  });
  await check('one that hangs is ended at its limit, with its process', async () => {
    fault('hang');
    await again();
    const running = () =>
      descendants(process.pid).filter((one) => / --compile /.test(command_line(one.pid)));
    const seen = await eventually('it runs', async () => running().length > 0 && running());
    await failed(/ran out of time|timeout/i);
    await expect_gone(seen);
  });
  await check('what it makes is an artifact with its version and figures, and serves', async () => {
    fault('');
    await again();
    const answer = await ask();
    assert.equal(answer.status, 200, answer.text);
    const built = await artifact();
    assert.equal(built.key.profile.compiler_version, '2.3.1');
    assert.equal(built.quality.error_max, '0.01');
  });
});

const no_compilers = {
  '-Dconsort_compiler=other': /does not export consort_compiler/,
  '-DFAKE_ABI=99': /speaks ABI 99/,
  '-DFAKE_CRASH': /signal 6/,
  '-DFAKE_HANG': /ran out of time/,
};

test('a library that is no compiler is named', { timeout: 600_000 }, async (t) => {
  const plugins = temp_dir('consort-plugins');
  t.after(() => fs.rmSync(plugins, { recursive: true, force: true }));
  for (const [defined, pattern] of Object.entries(no_compilers))
    await t.test(defined, async () => {
      const folder = path.join(plugins, defined);
      await make_plugin(folder, '3s', [defined]);
      const done = await run_cli(['plugin', 'check', '--no-run', folder]);
      assert.notEqual(done.code, 0, done.stdout);
      assert.match(done.stdout, new RegExp(`^compiler +FAIL .*${pattern.source}`, 'm'));
    });
});

test('a build behind the C ABI that nobody wants any more', { timeout: 600_000 }, async (t) => {
  const plugins = temp_dir('consort-plugins');
  const folder = path.join(plugins, 'fakelib');
  await make_plugin(folder, '10m'); // Its own limit is far: what ends it is the cancel.
  fs.writeFileSync(path.join(folder, 'fault'), 'hang');
  const cluster = await cluster_with(t, plugins);
  const check = checker(t, cluster);
  // A folder for each agent, and in it one for each build.
  const staging = path.join(cluster.data, 'staging');
  const staged = () =>
    fs.readdirSync(staging).flatMap((agent) => fs.readdirSync(path.join(staging, agent)));
  const begin = async () => {
    const done = await cluster.cli(['compile', 'storyteller', '--for', 'vendor=Fake Vendor']);
    assert.equal(done.code, 0, done.stderr);
    return eventually('it runs', () => {
      const all = descendants(cluster.pid);
      const seen = all.filter((one) => / --compile /.test(command_line(one.pid)));
      return seen.length > 0 && seen;
    });
  };
  await check('ends with its plugin, and leaves nothing', async () => {
    const seen = await begin();
    fs.renameSync(folder, `${plugins}-gone`);
    const told = await cluster.cli(['plugins', 'reload']);
    assert.match(told.stdout, /-fakelib|changed/);
    await expect_gone(seen);
    await eventually('its folder went', () => staged().length === 0);
    fs.renameSync(`${plugins}-gone`, folder);
    await cluster.cli(['plugins', 'reload']);
  });
  await check('ends with its agent, and leaves nothing', async () => {
    const seen = await begin();
    assert.notDeepEqual(staged(), [], 'it has a folder to work in');
    await cluster.stop();
    await expect_gone(seen);
    assert.deepEqual(staged(), []);
    const store = await run_cli(['artifacts', 'verify', '--data', cluster.data]);
    assert.equal(store.code, 0, store.stderr);
  });
});
