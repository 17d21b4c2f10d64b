// SPDX-License-Identifier: Apache-2.0
// Goal: a model server in a container is started with what its plugin says and no more, and however
// it, its engine or the agent ends, no container is left. The engine is a fake with faults.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { Cluster, binary, checker, clean_env, eventually } from './support.mjs';
import { model_file, root, run_cli, temp_dir } from './support.mjs';

const fake = path.join(root, 'tests/plugins/fakecontainer/docker.mjs');
const fakes = path.join(root, 'tests/backends/fakes');
const pim = { 'X-Consort-Device': 'pim' };
const image = 'registry.example/boxed/serve:1.2';

/// A plugin whose server runs in a container, and the engine that it finds in PATH.
class Boxes {
  constructor() {
    this.folder = temp_dir('consort-boxes');
    this.data = temp_dir('consort-boxes-data');
    this.state = path.join(this.folder, 'state');
    this.bin = path.join(this.folder, 'bin');
    this.plugins = path.join(this.folder, 'plugins');
    const plugin = path.join(this.plugins, 'boxed');
    for (const one of [this.state, this.bin, plugin]) fs.mkdirSync(one, { recursive: true });
    this.install('docker');
    fs.symlinkSync('/bin/echo', path.join(this.bin, 'echo'));
    const device = { id: 'BOX-1', model: 'box-1' };
    const container = {
      ...{ engine: 'docker', image, pull_timeout: '2s' },
      arguments: ['--device', '/dev/box{index}', '--mount', `type=bind,source=${fakes}`],
    };
    const serve = [process.execPath, path.join(fakes, 'openai.mjs'), '--fake', 'boxed'];
    const command = [...serve, '--port', '{port}', '--model', '{model}', '--more', '{plugin}'];
    const settings = {
      ...{ schema: 1, name: 'boxed', version: '1', vendor: 'Boxed', type: 'pim' },
      probe: { command: ['echo', JSON.stringify(device)], id: '/id', model: '/model' },
      capability: { max_sequences: 4, formats: ['gguf'] },
      runtime: {
        ...{ interface: 'server', command: [...command, '--name', '{name}'], container },
        ...{ env: { BOX: '{uuid}', CONSORT_FAKES: this.state }, start_timeout: '20s' },
      },
    };
    fs.writeFileSync(path.join(plugin, 'plugin.json'), JSON.stringify(settings));
    this.cluster = new Cluster({
      data: this.data,
      args: ['--plugins', this.plugins],
      env: { PATH: this.bin, CONSORT_CONTAINERS: this.state }, // No engine of this host.
    });
  }

  install(name) {
    const text = `#!/bin/sh\nexec '${process.execPath}' '${fake}' "$@"\n`;
    fs.writeFileSync(path.join(this.bin, name), text, { mode: 0o755 });
  }
  faults(...words) {
    fs.writeFileSync(path.join(this.state, 'faults'), words.join('\n'));
  }
  calls(verb) {
    const file = path.join(this.state, 'calls');
    const text = fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : '';
    const all = text.split('\n').filter(Boolean).map(JSON.parse);
    return all.filter(([first]) => first === verb);
  }
  containers() {
    const at = path.join(this.state, 'containers');
    const names = fs.existsSync(at) ? fs.readdirSync(at) : [];
    return names.map((name) => JSON.parse(fs.readFileSync(path.join(at, name), 'utf8')));
  }
  processes() {
    return this.containers().filter((one) => fs.existsSync(`/proc/${one.pid}`));
  }
  ask(fields = {}) {
    const headers = { ...pim, 'X-Consort-Wait': '20s' };
    return this.cluster.complete({ max_tokens: 4, temperature: 0, ...fields }, headers, 60_000);
  }
  /// The next request finds nothing loaded.
  async unload() {
    await this.cluster.cli(['drain', 'local/pim0', '--deadline', '1s']);
    await this.gone();
    await this.cluster.cli(['uncordon', 'local/pim0']);
  }
  gone() {
    return eventually('no container is left', () => this.containers().length === 0, 20_000);
  }
  async destroy() {
    await this.cluster.destroy();
    for (const one of this.processes()) process.kill(-one.pid, 'SIGKILL');
    for (const one of [this.folder, this.data]) fs.rmSync(one, { recursive: true, force: true });
  }
}

test('model servers in containers', { timeout: 600_000 }, async (t) => {
  const boxes = new Boxes();
  t.after(() => boxes.destroy());
  await boxes.cluster.start();
  const check = checker(t, boxes.cluster);

  await check('its image is fetched, and it runs with what its plugin says', async () => {
    const answer = await boxes.ask();
    assert.equal(answer.status, 200, answer.text);
    assert.deepEqual(boxes.calls('pull'), [['pull', image]]);
    const [one] = boxes.containers();
    const words = one.options.join(' ');
    assert.match(one.name, /^consort-[0-9a-f]{16}-\d+-1$/);
    assert.equal(one.labels['consort.plugin'], 'boxed');
    assert.match(words, /--network host .*--env BOX --env CONSORT_FAKES /);
    assert.match(words, /--device \/dev\/box0 --mount \S+$/);
    assert.equal(path.basename(one.mounts[0]), path.basename(model_file));
    assert.deepEqual(one.mounts.slice(1), [path.join(boxes.plugins, 'boxed'), fakes]);
    assert.equal(one.env.BOX, 'BOX-1');
    assert.equal(one.image, image);
  });
  await check('one that ends by itself is replaced', async () => {
    process.kill(-boxes.containers()[0].pid, 'SIGKILL');
    await eventually('it serves again', async () => (await boxes.ask()).status === 200);
    assert.equal(boxes.containers().length, 1);
  });
  await check('one that heeds nothing is removed with its instance', async () => {
    await boxes.unload();
    boxes.faults('deaf', 'rm-fails');
    assert.equal((await boxes.ask()).status, 200);
    const [one] = boxes.containers();
    assert.equal(one.deaf, true);
    await boxes.cluster.cli(['model', 'rm', await boxes.cluster.model()]);
    await boxes.gone();
    assert.ok(fs.existsSync(path.join(boxes.state, 'rm-failed')), 'it was removed at once');
    boxes.faults();
    const added = await boxes.cluster.cli(['model', 'add', boxes.cluster.model_name, model_file]);
    assert.equal(added.code, 0, added.stderr);
  });

  const refused = async (fault, pattern, prepare = () => {}) => {
    await boxes.unload();
    boxes.faults(fault);
    prepare();
    const headers = { ...pim, 'X-Consort-Wait': '3s' };
    const answer = await boxes.cluster.complete({ max_tokens: 2 }, headers, 60_000);
    assert.ok(answer.status >= 500, answer.text);
    await eventually(`${fault} is told`, () => pattern.test(boxes.cluster.output + answer.text));
    assert.deepEqual(boxes.containers(), []);
    boxes.faults();
    await eventually('it serves again', async () => (await boxes.ask()).status === 200, 60_000);
  };
  const forget = () => fs.rmSync(path.join(boxes.state, 'images'));
  await check('an engine whose daemon is down is named', () =>
    refused('down', /docker image inspect \S+ exited with 1: .*Cannot connect to the Docker/));
  await check('an engine that hangs is given up', () =>
    refused('hang', /docker image inspect \S+ ran out of time \(10s\)/));
  await check('an engine that cannot start it is named', () =>
    refused('run-fails', /exited with 125: .*could not select driver/));
  await check('an image that is nowhere is named', () =>
    refused('pull-fails', /docker pull \S+ exited with 1: .*manifest for .* not found/, forget));
  await check('a fetch that takes too long is ended', () =>
    refused(
      'pull-slow',
      /docker pull \S+ ran out of time \(\S+ runtime.container.pull_timeout\): .*layer1: Pull/,
      forget
    ));
  await check('an engine that is not there is named', () =>
    refused('none', /no program docker in \S+ or in PATH/, () => {
      fs.rmSync(path.join(boxes.bin, 'docker'));
      setTimeout(() => boxes.install('docker'), 3_500);
    }));

  await check('those of an agent that was killed are removed by its next life alone', async () => {
    boxes.faults('deaf');
    await boxes.unload();
    assert.equal((await boxes.ask()).status, 200);
    const [left] = boxes.containers();
    const labels = { 'consort.owner': 'another' };
    const stranger = { ...left, name: 'another', id: 'c1', pid: 999_999_999, labels };
    const file = path.join(boxes.state, 'containers/another');
    fs.writeFileSync(file, JSON.stringify(stranger));
    await boxes.cluster.kill();
    assert.ok(fs.existsSync(`/proc/${left.pid}`), 'it outlives the agent, or nothing is shown');
    boxes.faults();
    await boxes.cluster.start();
    assert.match(boxes.cluster.output, /boxed: removed 1 containers of an earlier life/);
    assert.deepEqual(boxes.containers().map(({ name }) => name), ['another']);
    fs.rmSync(file);
    assert.equal((await boxes.ask()).status, 200);
  });
  await check('stops cleanly, and leaves no container', async () => {
    boxes.faults('deaf');
    await boxes.unload();
    assert.equal((await boxes.ask()).status, 200);
    await boxes.cluster.stop();
    assert.deepEqual(boxes.containers(), []);
  });
});

test('plugin check waits until its containers are gone', { timeout: 240_000 }, async (t) => {
  const boxes = new Boxes();
  t.after(() => boxes.destroy());
  fs.writeFileSync(path.join(boxes.state, 'images'), `${image}\n`);
  const env = { PATH: boxes.bin, CONSORT_CONTAINERS: boxes.state };
  const args = ['plugin', 'check', path.join(boxes.plugins, 'boxed')];

  await t.test('on a host that is slower at it than a node waits', async () => {
    boxes.faults('deaf', 'rm-slow');
    const checked = await run_cli(args, { env, data: boxes.data, timeout_ms: 120_000 });
    assert.deepEqual(boxes.containers(), [], checked.stdout);
    assert.match(checked.stdout, /^kill +pass/m);
    assert.match(checked.stdout, /^remove +pass +no container is left/m);
    assert.equal(checked.code, 0, checked.stdout + checked.stderr);
  });
  await t.test('also when it is interrupted', async () => {
    boxes.faults('deaf');
    const child = spawn(binary, args, { env: clean_env(env, boxes.data), cwd: root });
    const ended = new Promise((resolve) => child.on('exit', resolve));
    let said = '';
    child.stderr.on('data', (piece) => (said += piece));
    await eventually('its container is there', () => boxes.containers().length === 1);
    child.kill('SIGINT');
    assert.equal(await ended, 1, said);
    assert.deepEqual(boxes.containers(), [], said);
    assert.match(said, /interrupted; the rows above are what was seen/);
  });
});
