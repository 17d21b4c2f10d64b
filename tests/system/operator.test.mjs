// SPDX-License-Identifier: Apache-2.0
// Goal: an operator sees nodes, devices, models, artifacts and reasons, as tables and as JSON, and
// the exit codes are those of the contract.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import {
  expect_error,
  metric_of,
  model_file,
  run_cli,
  sse_events,
  table_rows,
  with_cluster,
} from './support.mjs';

const exit = { done: 0, failed: 1, usage: 2, unreachable: 3, refused: 4 };

/// Runs a command that must succeed. Returns: its stdout.
async function ok(cluster, args, options) {
  const done = await cluster.cli(args, options);
  assert.equal(done.code, exit.done, `${args.join(' ')}: ${done.stderr}`);
  return done.stdout;
}

with_cluster('the operator view', {}, async (check, cluster) => {
  const model = await cluster.model();
  const asked = await cluster.complete(
    { max_tokens: 16 },
    { 'X-Request-Id': 'why-this-one', 'X-Consort-Device': 'cpu' },
  );
  assert.equal(asked.status, 200, asked.text);

  await check('tables name what exists', async () => {
    const expected = {
      status: [/default/],
      nodes: [/local/],
      devices: [/local\/cpu0/, /local\/npu0/, /local\/npu1/],
      models: [new RegExp(model)],
    };
    for (const [command, patterns] of Object.entries(expected)) {
      const text = await ok(cluster, [command]);
      for (const pattern of patterns) assert.match(text, pattern, command);
      assert.ok(table_rows(text).head.length > 0);
    }
    await ok(cluster, ['artifacts']);
  });

  await check('-o json parses and agrees with the API', async () => {
    const devices = JSON.parse(await ok(cluster, ['devices', '-o', 'json']));
    const list = devices.devices ?? devices;
    assert.deepEqual(list.map((one) => one.spec.id).sort(), [
      'local/cpu0',
      'local/npu0',
      'local/npu1',
    ]);
    for (const command of ['status', 'nodes', 'models', 'artifacts'])
      assert.equal(typeof JSON.parse(await ok(cluster, [command, '-o', 'json'])), 'object');
  });

  await check('-o wide shows at least as much', async () => {
    const [table, wide] = [
      await ok(cluster, ['devices']),
      await ok(cluster, ['devices', '-o', 'wide']),
    ];
    assert.ok(wide.length >= table.length);
  });

  await check('explain says which device, which others, and why', async () => {
    const text = await ok(cluster, ['explain', 'why-this-one']);
    assert.match(text, /local\/cpu0/);
    assert.match(text, /local\/npu0/, 'candidates that a filter removed are shown');
    const { decisions, outcome } = JSON.parse(
      await ok(cluster, ['explain', 'why-this-one', '-o', 'json']),
    );
    assert.equal(outcome, 'finished');
    const last = decisions.at(-1);
    assert.equal(last.winner, 'local/cpu0');
    assert.ok(last.candidates.some((one) => one.removed_by !== '' && one.reason !== ''));
    assert.ok(last.candidates.some((one) => one.removed_by === '' && one.terms.length > 0));
  });

  await check('explain of an unknown request fails in one line', async () => {
    const done = await cluster.cli(['explain', 'never-asked']);
    assert.notEqual(done.code, exit.done);
    assert.match(done.stderr, /never-asked/);
    assert.equal(done.stderr.trimEnd().split('\n').length, 1, done.stderr);
  });

  await check('submit streams an answer, from an argument and from stdin', async () => {
    assert.ok((await ok(cluster, ['submit', model, 'Once upon a time'])).trim().length > 20);
    assert.ok(
      (await ok(cluster, ['submit', model, '-'], { input: 'The sea was' })).trim().length > 20,
    );
  });

  await check(
    'submit of an unknown model is refused with exit code 4 and the nearest name',
    async () => {
      const done = await cluster.cli(['submit', `${model}x`, 'Hello']);
      assert.equal(done.code, exit.refused, done.stderr);
      assert.ok(done.stderr.includes(model), done.stderr);
    },
  );

  await check('run uses the server that is up', async () => {
    assert.ok((await ok(cluster, ['run', model, 'Once upon a time'])).trim().length > 20);
  });

  await check('wrong flags and commands are usage errors', async () => {
    for (const args of [
      ['devices', '--no-such-flag'],
      ['no-such-command'],
      ['devices', '-o', 'poem'],
    ])
      assert.equal((await cluster.cli(args)).code, exit.usage, args.join(' '));
  });

  await check('no server is exit code 3 and says what to do', async () => {
    const done = await run_cli(['--server', 'http://127.0.0.1:9', 'status']);
    assert.equal(done.code, exit.unreachable, done.stderr);
    assert.match(done.stderr, /127\.0\.0\.1:9/);
  });

  await check('a drained device takes nothing, an undrained one does', async () => {
    await ok(cluster, ['drain', 'local/cpu0']);
    const left = await cluster.list('replicas');
    assert.ok(!left.some((one) => one.devices.includes('local/cpu0')), JSON.stringify(left));
    const waiting = await cluster.complete(
      {},
      { 'X-Consort-Device': 'local/cpu0', 'X-Consort-Wait': '0s' },
    );
    assert.ok(waiting.status === 503 || waiting.status === 422, waiting.text);
    await ok(cluster, ['uncordon', 'local/cpu0']);
    assert.equal((await cluster.complete({}, { 'X-Consort-Device': 'local/cpu0' })).status, 200);
  });

  await check('a model added at run time serves text, a damaged one is refused', async () => {
    const half = path.join(cluster.data, 'half.gguf');
    fs.writeFileSync(half, fs.readFileSync(model_file).subarray(0, 2_000_000));
    await ok(cluster, ['model', 'add', 'second', model_file, '--alias', 'another']);
    const answer = await cluster.complete(
      { model: 'another', temperature: 0 },
      { 'X-Consort-Device': 'cpu' },
    );
    assert.equal(answer.status, 200, answer.text);
    assert.ok(answer.json.choices[0].text.length > 0);
    const [added] = (await cluster.list('models')).filter((one) => one.spec.name === 'second');
    assert.equal(added.spec.variants[0].quantization, 'f16');
    assert.match(added.spec.variants[0].content, /^[0-9a-f]{64}$/);

    const damaged = await cluster.post('/api/v1/models', { name: 'bad', source: half });
    assert.ok(expect_error(damaged, 422).message.includes(half));
    const refused = await cluster.cli(['model', 'add', 'bad', half]);
    assert.equal(refused.code, exit.refused, refused.stderr);
    assert.ok(refused.stderr.includes(half), refused.stderr);
    const none = await cluster.post('/api/v1/models', { name: 'bad', source: '/no/such.gguf' });
    assert.match(expect_error(none, 400).message, /\/no\/such\.gguf/);
    assert.ok((await cluster.list('models')).every((one) => one.spec.name !== 'bad'));

    await ok(cluster, ['model', 'rm', 'second']);
    assert.equal((await cluster.complete({ model: 'second' })).status, 404);
  });

  await check('plugins are listed with what they found, and one can be checked', async () => {
    const { plugins } = JSON.parse(await ok(cluster, ['plugins', '-o', 'json']));
    const npu = plugins.find((one) => one.name === 'refnpu');
    assert.deepEqual(npu.devices, ['local/npu0', 'local/npu1']);
    const here = JSON.parse(await ok(cluster, ['plugins', '--local', '-o', 'json']));
    assert.deepEqual(here.broken, []);
    assert.deepEqual(
      here.plugins.find((one) => one.name === 'refnpu').devices,
      npu.devices,
    );
    assert.match(await ok(cluster, ['plugins']), /cpu +.*local\/cpu0/);
    const good = await ok(cluster, ['plugin', 'check', npu.origin]);
    assert.match(good, /plugin\.json +pass/);
    assert.match(good, /2 of 2 devices read/);
    const folder = path.join(cluster.data, 'odd-plugin');
    fs.mkdirSync(folder);
    fs.writeFileSync(path.join(folder, 'plugin.json'), '{\n  "schema": 1,\n  "nmae": "x"\n}\n');
    const above = await cluster.cli(['plugin', 'check', cluster.data]);
    assert.ok(above.stderr.includes(`did you mean ${folder}`), above.stderr);
    const bad = await cluster.cli(['plugin', 'check', folder]);
    assert.equal(bad.code, exit.failed, bad.stderr);
    assert.match(bad.stderr, /odd-plugin\/plugin\.json:3.*nmae/);
  });

  await check('metrics carry the core figures', async () => {
    const { text, headers } = await cluster.get('/metrics');
    assert.match(headers.get('content-type'), /^text\/plain/);
    for (const name of [
      'time_to_first_token_seconds_count',
      'inter_token_latency_seconds_count',
      'e2e_request_latency_seconds_count',
      'queue_wait_seconds_count',
      'requests_total',
      'requests_running',
      'requests_waiting',
      'tokens_total',
      'attempts_total',
      'decision_seconds_count',
      'artifact_builds_total',
      'artifact_build_seconds_count',
      'engine_tokens_total',
      'engine_steps_total',
      'engine_cancelled_total',
      'engine_stages_missed_total',
      'engine_sequences_running',
    ])
      assert.match(text, new RegExp(`^consort_${name}[ {]`, 'm'), name);
    assert.ok(metric_of(text, 'consort_requests_total', { outcome: 'finished' }) >= 3);
    assert.ok(metric_of(text, 'consort_tokens_total') > 0);
  });

  await check('the admin API answers each list, and an unknown one with 404', async () => {
    for (const name of ['nodes', 'devices', 'models', 'replicas', 'artifacts', 'requests'])
      assert.ok(Array.isArray(await cluster.list(name)), name);
    const view = await cluster.cluster_view();
    assert.equal(view.totals.devices, 3);
    assert.ok(view.counters.finished >= 3);
    expect_error(await cluster.get('/api/v1/poems'), 404);
  });

  await check('events stream what happens', async () => {
    const abort = new AbortController();
    const answer = await fetch(`${cluster.url}/api/v1/events`, { signal: abort.signal });
    assert.match(answer.headers.get('content-type'), /^text\/event-stream/);
    const first = (async () => {
      for await (const event of sse_events(answer.body)) return event;
      return undefined;
    })();
    await cluster.complete();
    assert.ok(await first, 'a finished request is an event');
    abort.abort();
  });
});
