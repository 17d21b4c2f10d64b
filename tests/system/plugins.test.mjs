// SPDX-License-Identifier: Apache-2.0
// Goal: an accelerator that nobody has heard of is attached by a folder with scripts, serves, and
// whatever its tools and its server do wrong ends in a clear error, a state with its reason, and
// requests that move elsewhere.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import {
  Cluster,
  binary,
  checker,
  cluster_with,
  command_line,
  eventually,
  expect_error,
  expect_gone,
  descendants,
  model_file,
  root,
  run_cli,
  temp_dir,
} from './support.mjs';
import { FakeVendor, pim, vendor } from './fake_vendor.mjs';

// --- the monitor ---------------------------------------------------------------------------------

const monitor_faults = {
  exit: /exited with 9: cannot talk to the driver/,
  empty: /probe: printed nothing/,
  truncated: /JSON/,
  types: /serial|id|has no model/,
  flood: /printed more than/,
  hang: /ran out of time/,
  format: /boards/,
  twins: /FV-0001/,
};

test('what a monitor does wrong is said by plugin check', { timeout: 600_000 }, async (t) => {
  const fake = new FakeVendor();
  t.after(() => fake.remove());
  for (const [fault, pattern] of Object.entries(monitor_faults))
    await t.test(fault, async () => {
      fake.faults(`smi=${fault}`);
      const began = Date.now();
      const done = await run_cli(['plugin', 'check', fake.folder]);
      assert.notEqual(done.code, 0, done.stdout);
      assert.match(done.stdout + done.stderr, pattern);
      assert.ok(Date.now() - began < 15_000, 'within the limits of a probe');
    });
  for (const tool of ['fake-smi', 'fake-cc', 'fake-server'])
    await t.test(`${tool} without its mode is a fault`, async () => {
      fake.faults();
      fs.chmodSync(path.join(fake.folder, tool), 0o644);
      const done = await run_cli(['plugin', 'check', '--no-run', fake.folder]);
      assert.notEqual(done.code, 0, done.stdout);
      const said = new RegExp(`FAIL .*${tool} is there, but is no executable: chmod \\+x`);
      assert.match(done.stdout, said);
      fs.chmodSync(path.join(fake.folder, tool), 0o755);
    });
  await t.test('a tool that is not here leaves what was recorded to check', async () => {
    fs.renameSync(path.join(fake.folder, 'fake-smi'), path.join(fake.folder, 'elsewhere'));
    const done = await run_cli(['plugin', 'check', fake.folder]);
    assert.equal(done.code, 0, done.stdout);
    assert.match(done.stdout, /^fixture probe\S* +pass/m);
    assert.match(done.stdout, /^available +skip +not on this host: fake-smi/m);
    fs.renameSync(path.join(fake.folder, 'elsewhere'), path.join(fake.folder, 'fake-smi'));
  });
  await t.test('a model that only its compiler understands is built, not read', async () => {
    fake.faults();
    const model = path.join(fake.folder, 'kernel.cl');
    fs.writeFileSync(model, '__kernel');
    const done = await run_cli(['plugin', 'check', '--model', model, fake.folder]);
    assert.doesNotMatch(done.stdout + done.stderr, /not a GGUF file/);
  });
  await t.test('a compiler that does not say its version is named with its words', async () => {
    fake.faults('cc=version');
    const done = await run_cli(['plugin', 'check', '--no-run', fake.folder]);
    assert.notEqual(done.code, 0, done.stdout);
    assert.match(done.stdout, /^compiler +FAIL +.*version: \S+ exited with 5: no license/m);
  });
  await t.test('a monitor that names nobody is told from one that reads', async () => {
    fake.faults();
    const file = path.join(fake.folder, 'plugin.json');
    const text = fs.readFileSync(file, 'utf8');
    const at = text.indexOf('"telemetry"');
    const id = /"id":\s*"\/[^"]*"/;
    const wrong = text.slice(at).replace(id, '"id": "/power_mw"');
    fs.writeFileSync(file, text.slice(0, at) + wrong);
    const done = await run_cli(['plugin', 'check', '--no-run', fake.folder]);
    fs.writeFileSync(file, text);
    assert.notEqual(done.code, 0, done.stdout);
    const said = /^telemetry +FAIL +no row of it is of \S+, \S+; its rows are of 6500, 7500$/m;
    assert.match(done.stdout, said);
  });
  await t.test('an interrupt ends the tools and leaves nothing behind', async () => {
    fake.faults('smi=hang');
    const scratch = temp_dir('consort-scratch');
    const child = spawn(binary, ['plugin', 'check', fake.folder], {
      env: { ...process.env, TMPDIR: scratch },
    });
    let said = '';
    child.stdout.on('data', (piece) => (said += piece));
    await eventually('the first rows are out', () => /^plugin\.json +pass/m.test(said));
    await eventually('its tool runs', () => descendants(child.pid).length > 0);
    const family = descendants(child.pid);
    child.kill('SIGTERM');
    const [code] = await once(child, 'exit');
    assert.equal(code, 1);
    await expect_gone(family);
    assert.deepEqual(fs.readdirSync(scratch), []);
    fs.rmSync(scratch, { recursive: true });
  });
  await t.test('a cancel proves what the server shows', async () => {
    fake.faults();
    const cancelled = async () => {
      const done = await run_cli(['plugin', 'check', fake.folder], { timeout_ms: 90_000 });
      return { code: done.code, row: /^cancel .*$/m.exec(done.stdout)?.[0] ?? done.stdout };
    };
    assert.match((await cancelled()).row, /pass .*cancel sent; the server shows no gauge that/);
    const gauges = '"metrics": { "path": "/metrics", "every": "100ms", "running": "fake_running" }';
    fake.change('"ready": "/health"', `${gauges}, "ready": "/health"`);
    assert.match((await cancelled()).row, /pass .*requests in the server fell from 1 to 0 within/);
    fake.faults('server=deaf');
    const deaf = await cancelled();
    assert.notEqual(deaf.code, 0);
    assert.match(deaf.row, /FAIL .*although its client has left: its gauges still tell of 1/);
    fake.change(`${gauges}, `, '');
  });
  await t.test('na: an unreadable figure is unknown, and the device is good', async () => {
    fake.faults('smi=na');
    const done = await run_cli(['plugin', 'check', fake.folder]);
    assert.equal(done.code, 0, done.stderr);
    assert.match(done.stdout, /2 of 2 devices read/);
  });
});

test('a monitor that is broken costs its own devices only', { timeout: 600_000 }, async (t) => {
  const fake = new FakeVendor();
  fake.faults('smi=children');
  const cluster = await cluster_with(t, fake.plugins);
  const types = (await cluster.list('devices')).map((one) => one.spec.id).sort();
  assert.ok(types.includes('local/pim0') && types.includes('local/cpu0'), types.join());
  const health = async (id) =>
    (await cluster.list('devices')).find((one) => one.spec.id === id).reading.health;
  const ask = (device, wait = '20s') =>
    cluster.complete({ max_tokens: 4 }, { 'X-Consort-Device': device, 'X-Consort-Wait': wait });
  for (const board of ['local/pim0', 'local/pim1']) assert.equal((await ask(board)).status, 200);
  for (const fault of ['dead', 'gone']) {
    fake.faults(`smi=${fault}`);
    const boards = ['local/pim0', 'local/pim1'];
    const [bad, good] = fault === 'dead' ? boards : boards.reverse();
    await eventually(`${fault}: unhealthy`, async () => (await health(bad)) === 'unhealthy');
    const why = fault === 'dead' ? 'telemetry says dead' : 'has no row with id FV-';
    const said = new RegExp(`${bad}: is unhealthy, no new work: .*${why}`);
    await eventually(`${fault}: and why`, () => said.test(cluster.output));
    const moved = await ask('pim');
    assert.equal(moved.status, 200, moved.text);
    assert.equal(moved.headers.get('x-consort-device'), good);
    expect_error(await ask(bad, '2s'), 503, /no device that may serve it is up/);
  }
});

// --- the server ----------------------------------------------------------------------------------

test('a made-up accelerator with its own compiler and server', { timeout: 540_000 }, async (t) => {
  const fake = new FakeVendor();
  const cluster = await cluster_with(t, fake.plugins);
  const check = checker(t, cluster);
  const ask = (fields = {}, headers = pim) =>
    cluster.complete({ max_tokens: 24, temperature: 0, ...fields }, headers, 60_000);
  const on = (device) => ({ 'X-Consort-Device': device });
  const text_of = (answer) => answer.json.choices[0].text;
  let expected = '';

  await check('it is compiled for, loaded and serves', async () => {
    const answer = await ask();
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.json.usage.completion_tokens, 24);
    assert.match(answer.headers.get('x-consort-device'), /^local\/pim/);
    expected = text_of(answer);
    assert.match(expected, /^( (ash|birch|cedar|elm|fir|larch|oak|pine|rowan|yew)){24}$/);
  });
  await check('the other board too, with the same text and no second build', async () => {
    for (const device of ['local/pim0', 'local/pim1'])
      assert.equal(text_of(await ask({}, { 'X-Consort-Device': device })), expected);
    assert.equal(await cluster.builds(), 1);
  });
  await check('a client that leaves stops the server', async () => {
    const leaving = new AbortController();
    const url = `${cluster.url}/v1/completions`;
    const body = JSON.stringify({
      ...{ model: await cluster.model(), prompt: 'Once', max_tokens: 4000, stream: true },
    });
    const answer = await fetch(url, { method: 'POST', body, headers: pim, signal: leaving.signal });
    await answer.body.getReader().read();
    leaving.abort();
    await eventually('nothing runs', async () => (await cluster.running()) === 0, 5_000);
  });

  // One board misbehaves: four streams at once use both, and every one of them gets the whole text.
  const broken = ['die', 'stall', 'malformed', 'not-utf8', 'cut', 'error-in-stream', 'disk-full'];
  for (const fault of [...broken, 'mute', 'busy', 'html'])
    await check(`${fault}: the streams go on at the other board`, async () => {
      const failed = async () =>
        (await cluster.metric('consort_attempts_total', { reason: 'failed' })) ?? 0;
      // A board that had to wait for the machine a moment ago is believed slow, and spared.
      for (let rounds = 5; ; --rounds) {
        fake.faults();
        for (const device of ['local/pim0', 'local/pim1'])
          await eventually(
            `${device} serves`,
            async () => (await ask({ max_tokens: 2 }, on(device))).status === 200,
            60_000,
          );
        fake.faults(`server@0=${fault}`);
        const before = await failed();
        const answers = await Promise.all(Array.from({ length: 6 }, () => ask()));
        for (const answer of answers) {
          assert.equal(answer.status, 200, answer.text);
          assert.equal(text_of(answer), expected);
        }
        if (['stall', 'mute'].includes(fault) || (await failed()) > before) break;
        assert.ok(rounds > 1, 'nothing failed: void');
      }
    });

  // More refusals than a request has attempts.
  await check('busy everywhere: requests wait for room, who would not is told when', async () => {
    const failed = async () =>
      (await cluster.metric('consort_attempts_total', { reason: 'failed' })) ?? 0;
    const before = await failed();
    fake.faults('server=busy');
    const patient = ask();
    await eventually('it was turned away often', async () => (await failed()) > before + 5, 30_000);
    const hasty = await ask({}, { ...pim, 'X-Consort-Wait': '0s' });
    expect_error(hasty, 503, /nothing more.*: the model server answered 429: (queue is full|busy)/);
    assert.ok(Number(hasty.headers.get('retry-after')) >= 1, 'no Retry-After');
    fake.faults();
    const served = await patient;
    assert.equal(served.status, 200, served.text);
    assert.equal(text_of(served), expected);
  });

  for (const fault of ['openai-400', 'vllm-400', 'fastapi-422', 'tgi-422'])
    await check(`${fault}: the vendor's words reach the client`, async () => {
      fake.faults(`server=${fault}`);
      expect_error(await ask(), 400, new RegExp(`${fault.split('-')[0]} shape says no`));
    });

  await check('too-many: no more than was asked for', async () => {
    fake.faults('server=too-many');
    const answer = await ask();
    assert.equal(text_of(answer), expected);
    assert.equal(answer.json.choices[0].finish_reason, 'length');
  });
  await check('whole: a server that does not stream', async () => {
    fake.faults('server=whole');
    const answer = await ask();
    assert.equal(text_of(answer), expected);
    assert.equal(answer.json.usage.completion_tokens, 24);
  });

  await check('with the agent every server ends', async () => {
    const family = descendants(cluster.pid);
    await cluster.kill();
    await expect_gone(family);
  });
});

test('a folder dropped into a running cluster, and taken out', { timeout: 600_000 }, async (t) => {
  const plugins = temp_dir('consort-plugins');
  const cluster = await cluster_with(t, plugins);
  const check = checker(t, cluster);
  const ids = async () => (await cluster.list('devices')).map((one) => one.spec.id).sort();
  const folder = path.join(plugins, 'fakevendor');
  const npu = { 'X-Consort-Device': 'npu' };
  const running = cluster.stream({ max_tokens: 400, temperature: 0 }, npu);
  await running.next();
  await running.next();
  const before = await ids();

  await check('it comes with SIGHUP, and keeps everything else as it was', async () => {
    fs.cpSync(vendor, folder, { recursive: true });
    process.kill(cluster.pid, 'SIGHUP');
    await eventually('its devices are there', async () => (await ids()).includes('local/pim1'));
    assert.deepEqual(await ids(), [...before, 'local/pim0', 'local/pim1'].sort());
    const answer = await cluster.complete({ max_tokens: 4 }, pim, 60_000);
    assert.equal(answer.status, 200, answer.text);
  });
  await check('a broken new version leaves the old one in place', async () => {
    const file = path.join(folder, 'plugin.json');
    const good = fs.readFileSync(file);
    fs.writeFileSync(file, '{ "schema": 1, ');
    process.kill(cluster.pid, 'SIGHUP');
    const complaint = /fakevendor\/plugin\.json:\d/;
    await eventually('it is complained of', () => complaint.test(cluster.output));
    assert.equal((await cluster.complete({ max_tokens: 4 }, pim, 60_000)).status, 200);
    fs.writeFileSync(file, good);
  });
  await check('it goes with SIGHUP, with its server', async () => {
    fs.rmSync(folder, { recursive: true });
    process.kill(cluster.pid, 'SIGHUP');
    await eventually('its devices are gone', async () =>
      (await cluster.list('devices')).every((one) => one.spec.type !== 'pim'),
    );
    expect_error(await cluster.complete({ max_tokens: 4 }, pim), 422, /^(?!.*local\/pim)/);
    await eventually('its server has ended', () =>
      descendants(cluster.pid).every((one) => !/fake-server/.test(command_line(one.pid))),
    );
  });
  await check('a stream on another device never noticed', async () => {
    let text = '';
    for await (const event of running) text += event.choices?.[0]?.text ?? '';
    assert.ok(text.length > 100);
  });
});

test('a number is one chip, whatever comes and goes', { timeout: 600_000 }, async (t) => {
  const fake = new FakeVendor();
  const other = path.join(fake.plugins, 'zvendor');
  const away = path.join(temp_dir('consort-away'), 'fakevendor');
  fs.cpSync(fake.folder, other, { recursive: true });
  const rewrite = (file, from, to) => {
    const text = fs.readFileSync(file, 'utf8');
    assert.ok(from.test(text), `${file}: ${from}`);
    fs.writeFileSync(file, text.replace(from, to));
  };
  rewrite(path.join(other, 'plugin.json'), /"name": "fakevendor"/, '"name": "zvendor"');
  rewrite(path.join(other, 'fake-smi'), /FV-/g, 'ZV-');
  const cluster = await cluster_with(t, fake.plugins);
  t.after(() => fs.rmSync(path.dirname(away), { recursive: true, force: true }));
  const check = checker(t, cluster);
  const boards = async () =>
    (await cluster.list('devices'))
      .filter((one) => one.spec.type === 'pim')
      .map((one) => `${one.spec.id}=${one.spec.uuid.slice(0, 2)}${one.cordoned ? ' held' : ''}`)
      .sort();
  const first = ['local/pim0=FV', 'local/pim1=FV'];
  const second = ['local/pim2=ZV', 'local/pim3=ZV'];
  const held = ['local/pim0=FV held', 'local/pim1=FV', ...second];

  await check('a restart without its plugin leaves the others their numbers', async () => {
    assert.deepEqual(await boards(), [...first, ...second]);
    const order = { target: 'local/pim0', reason: 'Q7 firmware' };
    assert.ok((await cluster.post('/api/v1/cordon', order)).status < 300);
    await eventually('it is held', async () => (await boards())[0] === held[0]);
    await cluster.stop();
    fs.cpSync(fake.folder, away, { recursive: true });
    fs.rmSync(fake.folder, { recursive: true });
    await cluster.start();
    assert.deepEqual(await boards(), second);
    assert.doesNotMatch(cluster.output, /is still cordoned/);
  });
  await check('it comes back under its own number, and is held as before', async () => {
    fs.cpSync(away, fake.folder, { recursive: true });
    process.kill(cluster.pid, 'SIGHUP');
    await eventually('all four', async () => (await boards()).join() === held.join());
    assert.match(cluster.output, /local\/pim0.*is still cordoned: Q7 firmware/);
  });
  await check('without its memory it says so, and the hold stays with its chip', async () => {
    await cluster.stop();
    fs.rmSync(fake.folder, { recursive: true });
    fs.writeFileSync(path.join(cluster.data, 'devices.json'), 'not ours');
    await cluster.start();
    assert.match(cluster.output, /devices\.json: is not what an agent wrote there/);
    const anew = ['local/pim0=ZV', 'local/pim1=ZV'];
    assert.deepEqual(await boards(), anew);
    fs.cpSync(away, fake.folder, { recursive: true });
    process.kill(cluster.pid, 'SIGHUP');
    const moved = [...anew, 'local/pim2=FV held', 'local/pim3=FV'].join();
    await eventually('it is held where it is', async () => (await boards()).join() === moved);
  });
});

test('a plugin.json that is edited costs nothing that runs', { timeout: 600_000 }, async (t) => {
  const fake = new FakeVendor();
  const cluster = await cluster_with(t, fake.plugins);
  const check = checker(t, cluster);
  const file = path.join(fake.folder, 'plugin.json');
  const edit = async (from, to) => {
    const text = fs.readFileSync(file, 'utf8');
    assert.ok(text.includes(from), from);
    fs.writeFileSync(file, text.replace(from, to));
    const reads = () => cluster.output.split('read the plugins again').length;
    const before = reads();
    process.kill(cluster.pid, 'SIGHUP');
    await eventually('it was read again', () => reads() > before);
  };
  const servers = () =>
    descendants(cluster.pid)
      .filter((one) => /fake-server/.test(command_line(one.pid)))
      .map((one) => one.pid)
      .sort();
  const one_board = { 'X-Consort-Device': 'local/pim0' };
  const serve = async () =>
    assert.equal((await cluster.complete({ max_tokens: 4 }, one_board, 60_000)).status, 200);
  await serve();
  const before = servers();

  await check('telemetry under other ids leaves the readings unknown, and says so', async () => {
    const by_number = '"id": { "at": "/serial", "match": "^FV-(.*)$" },\n    "power_watts"';
    await edit('"id": "/serial",\n    "power_watts"', by_number);
    const reading = async () =>
      (await cluster.list('devices')).find((one) => one.spec.id === 'local/pim0').reading;
    await eventually('it is known', async () => (await reading()).health_reason !== '');
    const { health, health_reason, power_mw } = await reading();
    assert.equal(health, 'healthy');
    assert.equal(power_mw, null);
    assert.match(health_reason, /has no row with id FV-0*1; rows: 0*1, 0*2$/);
    await serve();
  });
  await check('no device went down for it, and the server is the same', async () => {
    assert.doesNotMatch(cluster.output, /device is down/);
    assert.deepEqual(servers(), before);
  });
  await check('a runtime that is another one begins anew, with the reason', async () => {
    await edit('"start_timeout": "20s"', '"start_timeout": "21s"');
    await eventually('it is said', () => /its plugin fakevendor changed/.test(cluster.output));
    assert.doesNotMatch(cluster.output, /no longer finds it/);
    await serve();
    assert.notDeepEqual(servers(), before);
  });
});

test('plugin init writes folders that check', { timeout: 600_000 }, async (t) => {
  const folder = temp_dir('consort-plugins');
  const made = (name) => path.join(folder, name);
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  const cli = (...args) => run_cli(['plugin', ...args], { data: folder, timeout_ms: 120_000 });
  /// What editors are pointed to is there, and is the schema.
  const points_to_schema = (name) => {
    const text = fs.readFileSync(path.join(made(name), 'plugin.json'), 'utf8');
    const address = /"\$schema": "([^"]+)"/.exec(text)[1];
    const schema = JSON.parse(fs.readFileSync(new URL(address), 'utf8'));
    assert.ok(schema.properties.runtime, address);
  };
  await t.test('a skeleton', async () => {
    const done = await cli('init', '--type', 'npu', '--dir', folder, 'my-npu');
    assert.equal(done.code, 0, done.stderr);
    points_to_schema('my-npu');
    const checked = await cli('check', '--no-run', made('my-npu'));
    assert.equal(checked.code, 0, checked.stdout + checked.stderr);
    assert.match(checked.stdout, /fixture probe\.json +pass/);
    assert.equal((await cli('init', '--dir', folder, 'my-npu')).code, 2, 'never overwritten');
  });
  await t.test('around a command', async () => {
    fs.writeFileSync(made('engine'), 'FAKE ENGINE 1\n');
    const server = path.join(vendor, 'fake-server');
    const command = `"${server}" --engine ${made('engine')} --name wrapped --port {port}`;
    const done = await cli('init', '--dir', folder, 'by-command', '--from-command', command);
    assert.equal(done.code, 0, done.stderr);
    assert.match(done.stdout, /consort model add wrapped server:wrapped/);
    assert.match(done.stdout, /a name that is served already .* is replaced/);
    points_to_schema('by-command');
    const checked = await cli('check', made('by-command'));
    assert.equal(checked.code, 0, checked.stdout + checked.stderr);
    for (const step of ['load', 'generate', 'cancel', 'kill'])
      assert.match(checked.stdout, new RegExp(`^${step} +pass`, 'm'));
  });
  await t.test('around a server that a shipped plugin knows', async () => {
    const fake = path.join(vendor, '../../backends/fakes/vllm.mjs');
    const words = ['env', `CONSORT_FAKES=${folder}`, process.execPath, fake, 'serve', 'known'];
    const command = `${words.map((word) => `"${word}"`).join(' ')} --port {port}`;
    const done = await cli('init', '--dir', folder, 'by-gauges', '--from-command', command);
    assert.equal(done.code, 0, done.stderr);
    assert.match(done.stdout, /its gauges are those of the plugin vllm-server/);
    const written = JSON.parse(fs.readFileSync(path.join(made('by-gauges'), 'plugin.json')));
    assert.equal(written.runtime.metrics.running, 'vllm:num_requests_running');
    assert.equal(written.capability.runtime.resume, 'text');
    const checked = await cli('check', made('by-gauges'));
    const said = checked.stdout + checked.stderr;
    assert.match(checked.stdout, /^cancel +pass .*requests in the server fell/m, said);
  });
  await t.test('around a server that runs', async () => {
    const cluster = await new Cluster({}).start();
    try {
      const base = `${cluster.url}/v1/`; // As clients are given it.
      const done = await cli('init', '--dir', folder, 'by-url', '--from-url', base);
      assert.equal(done.code, 0, done.stderr);
      const document = fs.readFileSync(path.join(made('by-url'), 'plugin.json'), 'utf8');
      assert.equal(JSON.parse(document).type, 'gpu', 'on this host');
      const checked = await cli('check', made('by-url'));
      assert.match(checked.stdout, /^generate +pass/m, checked.stdout + checked.stderr);
      assert.match(checked.stdout, /^kill +skip/m);
    } finally {
      await cluster.destroy();
    }
  });
  await t.test('what cannot be wrapped is said', async () => {
    for (const url of ['http://127.0.0.1:9', 'ftp://x']) {
      const done = await cli('init', '--dir', folder, 'nothing', '--from-url', url);
      assert.notEqual(done.code, 0);
      assert.ok(!fs.existsSync(made('nothing')));
    }
    const url = 'http://127.0.0.1:9';
    const silent = await cli('init', '--dir', folder, 'nothing', '--from-url', url);
    assert.match(silent.stderr, /nothing answers at http:\/\/127\.0\.0\.1:9/);
    const portless = await cli('init', '--dir', folder, 'nothing', '--from-command', 'sleep 1');
    assert.match(portless.stderr, /\{port\}/);
    const empty = await cli('init', '--dir', folder, 'nothing', '--from-command', '');
    assert.match(empty.stderr, /an empty command/);
    assert.ok(!fs.existsSync(made('nothing')), 'no skeleton in its place');
    const quote = await cli('init', '--dir', folder, 'nothing', '--from-command', '"open {port}');
    assert.match(quote.stderr, /quote/);
    const command = 'sh -c "exit 3" {port}';
    const dead = await cli('init', '--dir', folder, 'nothing', '--from-command', command);
    assert.match(dead.stderr, /exited with 3/);
    const slow = ['nothing', '--from-command', 'sleep 60 {port}', '--timeout', '9s'];
    const late = await cli('init', '--dir', folder, ...slow);
    assert.match(late.stderr, /given 9s[^]*still waiting, \ds of 9s: nothing answers[^]*within 9s/);
  });
});

const start_faults = {
  refuse: /no license found/,
  'die-loading': /exited with 9/,
  'load-forever': /was not ready/,
  disk: /exited with 1.*No space left on device/s,
};

test('a server that does not start is named, and others serve', { timeout: 540_000 }, async (t) => {
  for (const [fault, pattern] of Object.entries(start_faults))
    await t.test(fault, async () => {
      const fake = new FakeVendor();
      fake.change('"20s", "env"', '"2s", "env"');
      fake.faults(`server=${fault}`);
      const cluster = new Cluster({ args: ['--plugins', fake.plugins] });
      try {
        await cluster.start();
        const either = { 'X-Consort-Device': 'pim|cpu', 'X-Consort-Wait': '20s' };
        const answer = await cluster.complete({ max_tokens: 4 }, either, 60_000);
        assert.equal(answer.status, 200, answer.text);
        const only = { ...pim, 'X-Consort-Wait': '6s' };
        const refused = await cluster.complete({ max_tokens: 4 }, only, 60_000);
        assert.ok(refused.status >= 500, refused.text);
        await eventually('it is said', () => pattern.test(cluster.output + refused.text));
      } finally {
        await cluster.destroy();
        fake.remove();
      }
    });
});

test('a server of our own that calls the model otherwise', { timeout: 600_000 }, async (t) => {
  const fake = new FakeVendor();
  fake.faults('server=wrong-model');
  const cluster = new Cluster({ args: ['--plugins', fake.plugins] });
  t.after(async () => {
    await cluster.destroy();
    fake.remove();
  });
  await cluster.start();
  const answer = await cluster.complete({ max_tokens: 4 }, pim, 60_000);
  assert.equal(answer.status, 200, answer.text);
  assert.equal(answer.json.model, await cluster.model(), 'the client sees the name it asked for');
  assert.match(cluster.output, /is served by its own server as somebody-else/);
});

const compiler_faults = {
  disk: /No space left on device/,
  exit: /E1042: operator rope_v2 is not supported/,
  nothing: /wrote no output/,
  hang: /ran out of time|timeout/i,
};

test('what a compiler does wrong is told, and others serve', { timeout: 600_000 }, async (t) => {
  for (const [fault, pattern] of Object.entries(compiler_faults))
    await t.test(fault, async () => {
      const fake = new FakeVendor();
      fake.change('"20s", "disk"', '"1s", "disk"');
      fake.faults(`cc=${fault}`);
      const cluster = new Cluster({ args: ['--plugins', fake.plugins] });
      try {
        await cluster.start();
        const only = { ...pim, 'X-Consort-Wait': '5s' };
        const refused = await cluster.complete({ max_tokens: 4 }, only, 60_000);
        assert.ok(refused.status === 422 || refused.status === 503, refused.text);
        const built = (one) => one.key.profile.compiler === 'fake-cc';
        await eventually('its words are kept', async () =>
          pattern.test((await cluster.list('artifacts')).find(built).last_error),
        );
        const either = { 'X-Consort-Device': 'pim|cpu' };
        const answer = await cluster.complete({ max_tokens: 4 }, either, 60_000);
        assert.equal(answer.status, 200, answer.text);
        assert.match(answer.headers.get('x-consort-device'), /cpu/);
      } finally {
        await cluster.destroy();
        fake.remove();
      }
    });
});

test('a server that runs already is attached', { timeout: 600_000 }, async (t) => {
  const first = new Cluster({});
  const plugins = temp_dir('consort-plugins');
  t.after(async () => {
    await first.destroy();
    fs.rmSync(plugins, { recursive: true, force: true });
  });
  await first.start();
  const name = await first.model();
  fs.mkdirSync(path.join(plugins, 'next-door'));
  const document = {
    ...{ schema: 1, name: 'next-door', version: '1', vendor: 'another cluster', type: 'gpu' },
    probe: { command: ['echo', `{"id": "${first.url}"}`], id: '/id', model: { value: 'server' } },
    capability: { max_sequences: 8, formats: [`server/${name}`], runtime: { cancel: true } },
    runtime: { interface: 'server', url: first.url, ready: '/healthz' },
  };
  fs.writeFileSync(path.join(plugins, 'next-door', 'plugin.json'), JSON.stringify(document));
  // One is declared while it runs, the other at its start.
  const args = ['--plugins', plugins, '--model', `near=${model_file}`];
  const second = new Cluster({ args: [...args, '--model', `early=server:${name}`] });
  try {
    await second.start();
    const added = await second.post('/api/v1/models', { name: 'far', source: `server:${name}` });
    assert.ok(added.status < 300, added.text);
    const story = { prompt: 'Once', max_tokens: 12, temperature: 0 };
    const near = await first.complete(story);
    for (const model of ['far', 'early']) {
      const answer = await second.complete({ ...story, model });
      assert.equal(answer.status, 200, answer.text);
      assert.equal(answer.json.choices[0].text, near.json.choices[0].text);
    }
    await first.kill();
    const soon = { 'X-Consort-Wait': '3s' };
    const lost = await second.complete({ model: 'far', max_tokens: 4 }, soon, 60_000);
    assert.ok(lost.status >= 500, lost.text);
  } finally {
    await second.destroy();
  }
});

test('a runtime of the level step is served as any other', { timeout: 600_000 }, async (t) => {
  const plugins = temp_dir('consort-plugins');
  const folder = path.join(plugins, 'refnpu-step');
  fs.cpSync(path.join(path.dirname(binary), '../share/consort/plugins/reference'), folder, {
    recursive: true,
  });
  const file = path.join(folder, 'plugin.json');
  const text = fs.readFileSync(file, 'utf8');
  const stepwise = text
    .replace('"name": "refnpu"', '"name": "refnpu-step"')
    .replace('"priority": 50', '"priority": 60')
    .replace('"library": "librefnpu.so"', '"level": "step", "library": "librefnpu-step.so"');
  fs.writeFileSync(file, stepwise);
  const cluster = await cluster_with(t, plugins);
  const npu = (await cluster.list('devices')).filter((one) => one.spec.type === 'npu');
  assert.deepEqual(new Set(npu.map((one) => one.spec.plugin)), new Set(['refnpu-step']));
  const wanted = { 'X-Consort-Device': 'npu', 'X-Consort-Wait': '60s' };
  const ask = () => cluster.complete({ max_tokens: 16, temperature: 0 }, wanted);
  const answers = await Promise.all([ask(), ask(), ask()]);
  for (const answer of answers) assert.equal(answer.status, 200, answer.text);
  assert.equal(new Set(answers.map((one) => one.json.choices[0].text)).size, 1);
  const hosts = cluster.hosts().map((one) => command_line(one.pid));
  assert.ok(hosts.some((line) => line.includes('libconsort-step.so')), hosts.join('\n'));
  await cluster.stop();
});
