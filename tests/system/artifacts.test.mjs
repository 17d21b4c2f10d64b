// SPDX-License-Identifier: Apache-2.0
// Goal: operators see what a build would come to, what an artifact is and why a build failed, carry
// artifacts between hosts, and remove what nobody uses; one application runs on every device.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { promisify } from 'node:util';
import {
  Cluster,
  binary,
  checker,
  eventually,
  model_file,
  root,
  run_cli,
  temp_dir,
} from './support.mjs';

const application = path.join(path.dirname(binary), '../examples/consort-migrate');

test('builds ahead, and the store of this host', { timeout: 600_000 }, async (t) => {
  const plugins = temp_dir('consort-plugins');
  const folder = path.join(plugins, 'fakevendor');
  fs.cpSync(path.join(root, 'tests/plugins/fakevendor'), folder, { recursive: true });
  const other = temp_dir('consort-other');
  const cluster = new Cluster({ args: ['--plugins', plugins] });
  t.after(async () => {
    await cluster.destroy();
    for (const one of [plugins, other]) fs.rmSync(one, { recursive: true, force: true });
  });
  await cluster.start();
  const check = checker(t, cluster);
  const model = await cluster.model();
  const store = (...args) => run_cli(['artifacts', ...args, '--data', cluster.data]);
  const good = async (...args) => {
    const done = await store(...args);
    assert.equal(done.code, 0, done.stderr);
    return done.stdout;
  };
  let digest = '';

  await check('--dry-run says what would be built and where', async () => {
    const plan = await cluster.cli(['compile', model, '--for', 'auto', '--dry-run']);
    assert.match(plan.stdout, /local\/cpu0 +as-is/);
    assert.match(plan.stdout, /local\/pim0 and local\/pim1 +build +fake-1 +fake-cc 3\.1\.4 +local/);
    assert.equal((await cluster.list('artifacts')).filter((one) => one.builds > 0).length, 0);
  });
  await check('what makes no sense is refused', async () => {
    const unknown = await cluster.cli(['compile', `${model}x`, '--for', 'npu']);
    assert.equal(unknown.code, 4);
    assert.match(unknown.stderr, new RegExp(`did you mean .*${model}`));
    const useless = await cluster.cli(['compile', model, '--for', 'cpu']);
    assert.match(useless.stderr, /nothing can be built/);
    const nobody = await cluster.cli(['compile', model, '--for', 'edge-*']);
    assert.match(nobody.stderr, /no device matches/);
  });
  await check('a build that fails keeps its log, and is tried again when asked for', async () => {
    fs.writeFileSync(path.join(folder, 'faults'), 'cc=exit\n');
    await cluster.cli(['compile', model, '--for', 'pim']);
    const failed = await eventually('it fails', async () =>
      (await cluster.list('artifacts')).find((one) => one.state === 'failed'),
    );
    assert.match(failed.last_error, /E1042/);
    const logs = path.join(cluster.data, 'logs');
    const text = fs.readdirSync(logs).map((one) => fs.readFileSync(path.join(logs, one), 'utf8'));
    assert.match(text.join(), /rope_v2/);
    fs.writeFileSync(path.join(folder, 'faults'), '');
    await cluster.cli(['compile', model, '--for', 'pim']);
    const ready = await eventually('it is built', async () =>
      (await cluster.list('artifacts')).find((one) => one.state === 'ready'),
    );
    digest = ready.content;
  });
  await check('show and --log', async () => {
    assert.match(await good('show', digest.slice(0, 8)), /compiler +fake-cc 3\.1\.4/);
    assert.match(await good('show', digest), /^build +\d+(\.\d+)?m?s/m);
    assert.match(await good('show', digest, '--log'), /^lowering 40%$/m);
    assert.match((await store('show', 'zz')).stderr, /at least the first 6 hex digits/);
  });
  await check('export and import, checked on the way', async () => {
    const file = path.join(other, 'engine');
    await good('export', digest, file);
    const take = (at = 'http://127.0.0.1:1') =>
      run_cli(['artifacts', 'import', file, '--data', other, '--server', at]);
    const whole = fs.readFileSync(file);
    fs.writeFileSync(file, Buffer.concat([whole, Buffer.from('x')]));
    assert.equal((await take()).code, 1, 'a changed payload');
    fs.writeFileSync(file, whole);
    const manifest = fs.readFileSync(`${file}.json`);
    fs.writeFileSync(`${file}.json`, '{');
    assert.match((await take()).stderr, /engine\.json: not a JSON object/);
    fs.writeFileSync(`${file}.json`, manifest);
    const alone = await take();
    assert.equal(alone.code, 0, alone.stderr);
    assert.match(alone.stdout, /no agent was told \(.*127\.0\.0\.1:1.*\): .* SIGHUP or `consort/);
    assert.match((await take(cluster.url)).stdout, /agents have looked at their stores again/);
    assert.equal((await run_cli(['artifacts', 'verify', '--data', other])).code, 0);
  });
  await check('what a vendor built is imported, and an earlier one served again', async () => {
    const prebuilt = path.join(plugins, 'prebuilt-engine');
    fs.mkdirSync(path.join(prebuilt, 'rank0'), { recursive: true });
    fs.writeFileSync(path.join(prebuilt, 'rank0/engine'), 'theirs');
    const here = path.relative(root, plugins); // Of the folder that commands run in.
    const take = (...more) =>
      run_cli(['artifacts', 'import', prebuilt, '--data', other, ...more, '--plugins', here]);
    assert.match((await take('--profile', 'none')).stderr, /fake-1 for fake-1/);
    const known = ['--profile', 'fake-1', '--model', model_file];
    const taken = await take(...known);
    assert.equal(taken.code, 0, taken.stderr);
    const theirs = /imported ([0-9a-f]{64})/.exec(taken.stdout)[1];
    const there = async (...args) =>
      JSON.parse((await run_cli(['-o', 'json', 'artifacts', ...args, '--data', other])).stdout);
    assert.equal((await there('show', theirs)).current, true);
    assert.equal((await there('show', digest)).current, false);
    assert.ok((await there('show', theirs)).hashed_at);
    const back = await run_cli(['artifacts', 'rollback', digest, '--data', other]);
    assert.equal(back.code, 0, back.stderr);
    assert.equal((await there('show', digest)).current, true);
  });
  await check('gc waits for the agent, and keeps what is pinned', async () => {
    const all = ['gc', '--max-size', '1'];
    assert.match((await store(...all)).stderr, /an agent uses this store/);
    assert.match(await good(...all, '--dry-run'), /1 would be removed/);
    await good('pin', digest);
    assert.match(await good(...all, '--dry-run'), /0 would be removed/);
    await good('unpin', digest);
  });
  await check('one application on three kinds of device', async () => {
    const args = [cluster.url, model, 'cpu', 'npu', 'pim'];
    const { stdout } = await promisify(execFile)(application, args);
    assert.match(stdout, /\[local\/cpu0: 24 tokens, length\]/);
    assert.match(stdout, /\[local\/npu\d: 24 tokens, length\]/);
    assert.match(stdout, /\[local\/pim\d: 24 tokens, length\]/);
  });
  await check('verify finds a flipped byte and changes nothing; gc works alone', async () => {
    await cluster.stop();
    assert.match(await good('verify'), /ready/);
    const payload = path.join(cluster.data, 'artifacts', digest, 'payload');
    fs.chmodSync(payload, 0o644);
    const bytes = fs.readFileSync(payload);
    bytes[bytes.length - 1] ^= 1;
    fs.writeFileSync(payload, bytes);
    const bad = await store('verify');
    assert.equal(bad.code, 1);
    assert.match(bad.stdout, /corrupt/);
    assert.ok(fs.existsSync(payload));
    assert.match(await good('gc', '--max-size', '1'), /2 removed/);
    assert.match((await store('gc')).stderr, /max-size/);
  });
});
