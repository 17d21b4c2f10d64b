// SPDX-License-Identifier: Apache-2.0
// Goal: an agent that comes back with another version of its compiler. Where the plugin says that
// the runtime runs older engines, what is in the store answers at once, and the newer engine takes
// its place by itself, unless it cannot be built, is older, or an operator holds what serves.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { with_hosts } from './hosts_support.mjs';
import { command_line, descendants, eventually, root, temp_dir } from './support.mjs';

const pim = { 'X-Consort-Device': 'pim' };
const build_s = 14; // Within the plugin's 20 s.
const at_once = '10s'; // No build: a start of agent and server, and 2 s of rest after losses.
const version_of = (text) => /fake-cc (\d+\.\d+\.\d+)/.exec(text)[1];

/// A plugin folder of the fake vendor whose compiler's version can be changed.
function fake_vendor(plugins) {
  const folder = path.join(plugins, 'fakevendor');
  fs.cpSync(path.join(root, 'tests/plugins/fakevendor'), folder, { recursive: true });
  const described = path.join(folder, 'plugin.json');
  const text = fs.readFileSync(described, 'utf8');
  const said = text.replace('"version_command"', '"runs_older": "major", "version_command"');
  assert.notEqual(said, text);
  fs.writeFileSync(described, said);
  const compiler = path.join(folder, 'fake-cc');
  const script = fs.readFileSync(compiler, 'utf8');
  const engine = "'FAKE ENGINE 1'";
  const lowering = "echo 'lowering 40%'";
  return {
    /// From now on it is that version; each of its builds takes so long.
    becomes(version, seconds = 0) {
      fs.writeFileSync(
        compiler,
        script
          .replace(version_of(script), version)
          .replace(engine, `'FAKE ENGINE 1 of ${version}'`)
          .replace(lowering, `sleep ${seconds}; ${lowering}`),
      );
    },
    fails(how) {
      fs.writeFileSync(path.join(folder, 'faults'), how ? `cc=${how}\n` : '');
    },
  };
}

with_hosts('compilers that change', { nodes: [], gateways: [] }, async (check, hosts, t) => {
  const plugins = temp_dir('consort-plugins');
  t.after(() => fs.rmSync(plugins, { recursive: true, force: true }));
  const vendor = fake_vendor(plugins);
  await hosts.add_node('a', { args: ['--plugins', plugins] });
  await hosts.add_gateway('g1');
  const node = hosts.node('a');
  const ask = async (wait = '60s') => {
    const headers = { ...pim, 'X-Consort-Wait': wait };
    const answer = await hosts.gateway.complete({ max_tokens: 8 }, headers, 90_000);
    assert.equal(answer.status, 200, answer.text);
  };
  const by = async (version) =>
    (await hosts.scheduler.list('artifacts')).find(
      (one) =>
        one.key.profile.compiler === 'fake-cc' && one.key.profile.compiler_version === version,
    );
  /// The only engine that runs, by the path that its server was given.
  const running = () => [
    ...new Set(
      descendants(node.pid)
        .map((one) => /fake-server .*artifacts\/([0-9a-f]{64})\//.exec(command_line(one.pid))?.[1])
        .filter(Boolean),
    ),
  ];
  const runs = (digest) => running().join() === digest;
  const store = async (...args) => {
    const done = await hosts.gateway.cli(['artifacts', ...args, '--data', hosts.data_of('a')]);
    assert.equal(done.code, 0, done.stdout + done.stderr);
    return done.stdout;
  };
  /// The agent begins anew, its compiler that version, and its device is there.
  const come_back = async (version, seconds) => {
    if (version) vendor.becomes(version, seconds);
    await node.restart();
    await hosts.expect_alive(['a']);
    await eventually('its devices', async () =>
      (await hosts.scheduler.list('devices')).some(
        (one) => one.alive && one.spec.id.startsWith('a/pim'),
      ),
    );
  };
  const still = async (digest, builds) => {
    for (let i = 0; i < 20; ++i) await ask();
    assert.ok(runs(digest), `runs ${running()}`);
    assert.equal(await hosts.scheduler.builds(), builds);
  };
  await ask();
  const first = (await by('3.1.4')).content;
  assert.ok(runs(first));
  let second;

  await check('a newer compiler: the older engine answers at once', async () => {
    await come_back('3.2.0', build_s);
    await ask(at_once);
    assert.ok(runs(first), `runs ${running()}`);
    const under_way = async () => (await by('3.2.0'))?.state === 'building';
    await eventually('the newer one is built', under_way);
  });
  await check('kill -9 of the agent during that build: it answers at once again', async () => {
    assert.equal((await by('3.2.0')).state, 'building');
    await come_back();
    await ask(at_once);
    assert.ok(runs(first), `runs ${running()}`);
  });
  await check('the newer one takes its place without a lost request', async () => {
    await eventually(
      'only the newer runs',
      async () => {
        await ask();
        second = (await by('3.2.0'))?.content;
        return second && runs(second);
      },
      60_000,
    );
    assert.notEqual(second, first);
  });
  await check('one that cannot build changes nothing, and says why', async () => {
    vendor.fails('exit');
    await come_back('3.3.0');
    await ask(at_once);
    assert.ok(runs(second), `runs ${running()}`);
    const failed = await eventually('it failed', async () => {
      const seen = await by('3.3.0');
      return seen?.state === 'failed' && seen;
    });
    assert.match(failed.last_error, /operator rope_v2 is not supported/);
    for (let i = 0; i < 20; ++i) await ask();
    assert.ok(runs(second), `runs ${running()}`);
    vendor.fails('');
  });
  await check('mended under the same version, it builds after a reload', async () => {
    vendor.becomes('3.3.0'); // The same script, written anew.
    const done = await hosts.gateway.cli(['plugins', 'reload']);
    assert.equal(done.code, 0, done.stdout + done.stderr);
    await eventually('only the one of 3.3.0 runs', async () => {
      await ask();
      const built = (await by('3.3.0'))?.content;
      return built && runs(built);
    });
  });
  await check('an older one gets its own engine back', async () => {
    await come_back('3.1.4');
    await ask(at_once);
    assert.ok(runs(first), `runs ${running()}`);
  });
  await check('what is newer than its compiler is not loaded', async () => {
    const builds = await hosts.scheduler.builds();
    await come_back('3.0.0');
    await ask();
    const made = (await by('3.0.0')).content;
    assert.ok(runs(made), `runs ${running()}`);
    assert.equal(await hosts.scheduler.builds(), builds + 1);
  });

  // What an operator went back to, and pinned.
  await check('a rollback holds when the agent comes back', async () => {
    await come_back('3.2.0');
    await ask(at_once);
    assert.ok(runs(second), `runs ${running()}`);
    assert.match(await store('rollback', first), /looked at their stores again/);
    await eventually('only the former runs', async () => {
      await ask();
      return runs(first);
    });
    const builds = await hosts.scheduler.builds();
    await come_back();
    await ask(at_once);
    await still(first, builds);
  });
  await check('and with another scheduler', async () => {
    await hosts.scheduler.restart();
    await hosts.expect_alive(['a']);
    await eventually('it is served again', async () => {
      await ask();
      return true;
    });
    await still(first, 0);
  });
  await check('and under a yet newer compiler, pinned or not', async () => {
    await store('pin', first);
    await come_back('3.4.0');
    await ask(at_once);
    await still(first, 0);
  });
  await check('until somebody asks for the newer one', async () => {
    const asked = await hosts.gateway.cli(['compile', await hosts.gateway.model(), '--for', 'pim']);
    assert.equal(asked.code, 0, asked.stderr);
    await eventually('only the newest runs', async () => {
      await ask();
      const newest = (await by('3.4.0'))?.content;
      return newest && runs(newest);
    });
  });
  await check('what is pinned while it serves stays until it is unpinned', async () => {
    const newest = (await by('3.4.0')).content;
    await store('pin', newest);
    const builds = await hosts.scheduler.builds();
    await come_back('3.5.0');
    await ask(at_once);
    await still(newest, builds);
    assert.match(await store('unpin', newest), /looked at their stores again/);
    await eventually('only the one of 3.5.0 runs', async () => {
      await ask();
      const built = (await by('3.5.0'))?.content;
      return built && runs(built);
    });
  });
});
