// SPDX-License-Identifier: Apache-2.0
// Goal: damaged models, broken plugins, misbehaving compilers and crashing engines cost what they
// must and nothing more, and each says what and where.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import {
  Cluster,
  checker,
  eventually,
  expect_error,
  model_file,
  run_cli,
  temp_dir,
  with_cluster,
} from './support.mjs';

const npu = { 'X-Consort-Device': 'npu' };
const cpu = { 'X-Consort-Device': 'cpu' };
const resident_bytes_max = 1_500_000_000; // With sanitizers; a flood must not pile up.

/// Longer than these builds take to fail; of slower ones is asked afterwards.
const waits = { ...npu, 'X-Consort-Wait': '4s' };

const fault = (name) => () => ({ env: { REFNPU_CC_FAULT: name } });

function resident_bytes(pid) {
  return Number(/VmRSS:\s+(\d+) kB/.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) * 1024;
}

/// Damaged copies of the model, by what is wrong with them.
function damaged_models() {
  const whole = fs.readFileSync(model_file);
  const hostile = Buffer.from(whole);
  hostile.writeBigUInt64LE(0xffff_ffff_ffffn, 8); // Tensor count.
  hostile.writeBigUInt64LE(0xffff_ffff_ffffn, 16); // Key-value count.
  const version = Buffer.from(whole);
  version.writeUInt32LE(4_000_000_000, 4);
  return {
    truncated: whole.subarray(0, whole.length / 2),
    header: whole.subarray(0, 20),
    hostile,
    version,
    text: Buffer.from('this is no model\n'),
    empty: Buffer.alloc(0),
  };
}

test('damaged models are refused at the start, by name', { timeout: 600_000 }, async (t) => {
  const folder = temp_dir();
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  for (const [name, bytes] of Object.entries(damaged_models()))
    await t.test(name, async () => {
      const file = path.join(folder, `${name}.gguf`);
      fs.writeFileSync(file, bytes);
      const args = ['up', '--listen', '127.0.0.1:0', '--model', file, '--data', folder];
      const done = await run_cli(args, { data: folder, timeout_ms: 30_000 });
      assert.equal(done.code, 1, done.stderr);
      assert.ok(done.stderr.includes(`${name}.gguf`), done.stderr);
      assert.doesNotMatch(done.stderr, /AddressSanitizer|runtime error:|terminate called/);
    });
});

test('a data folder that cannot be made is refused in words', { timeout: 600_000 }, async (t) => {
  const folder = temp_dir();
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  const file = path.join(folder, 'file');
  fs.writeFileSync(file, '');
  const where = ['--listen', '127.0.0.1:0', '--link-listen', '127.0.0.1:0'];
  const args = ['scheduler', '--token', 'given', '--data', path.join(file, 'data'), ...where];
  const done = await run_cli(args, { data: folder, timeout_ms: 30_000 });
  assert.equal(done.code, 1, done.stderr);
  assert.match(done.stderr, /cannot make the data folder .*file\/data: .*--data/);
  assert.doesNotMatch(done.stderr, /terminate called/);
});

test('a model damaged while the cluster is up', { timeout: 600_000 }, async (t) => {
  const folder = temp_dir();
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  const copy = path.join(folder, 'copy.gguf');
  fs.copyFileSync(model_file, copy);
  fs.chmodSync(copy, 0o644);
  const models = ['--model', `good=${model_file}`, '--model', `copy=${copy}`];
  const cluster = new Cluster({ args: models });
  t.after(() => cluster.destroy());
  await cluster.start();
  const check = checker(t, cluster);
  fs.truncateSync(copy, 5_000_000);
  await check('a request for it gets an error, and the log names the file', async () => {
    const headers = { ...cpu, 'X-Consort-Wait': '5s' };
    const answer = await cluster.complete({ model: 'copy' }, headers, 90_000);
    expect_error(answer, answer.status);
    assert.ok(answer.status >= 400, answer.text);
    assert.ok(cluster.output.includes('copy.gguf'), 'the log names the file');
  });
  await check('the other model is served', async () => {
    assert.equal((await cluster.complete({ model: 'good' }, cpu)).status, 200);
  });
  await check('stops', () => cluster.stop());
});

test(
  'a broken plugin.json is named with file, line and field; the others load',
  { timeout: 600_000 },
  async (t) => {
    const folder = temp_dir();
    t.after(() => fs.rmSync(folder, { recursive: true, force: true }));
    const plugin = (name, text) => {
      fs.mkdirSync(path.join(folder, name));
      fs.writeFileSync(path.join(folder, name, 'plugin.json'), text);
    };
    plugin(
      'wrong-type',
      '{\n  "schema": 1,\n  "name": "wrong-type",\n  "type": "npu",\n  "priority": "high"\n}\n',
    );
    plugin('no-json', '{\n  "schema": 1,\n  "name": \n');
    const cluster = new Cluster({ args: ['--plugins', folder] });
    t.after(() => cluster.destroy());
    await cluster.start();
    const check = checker(t, cluster);
    await check('file, line and field are in the log', () => {
      assert.match(cluster.output, /wrong-type\/plugin\.json:5.*priority/);
      assert.match(cluster.output, /no-json\/plugin\.json:\d/);
    });
    await check('each is logged once', () => {
      const lines = cluster.output
        .split('\n')
        .filter((line) => line.includes('wrong-type/plugin.json'));
      assert.equal(lines.length, 1, lines.join('\n'));
    });
    await check('the other plugins work', async () => {
      assert.equal((await cluster.list('devices')).length, 3);
      assert.equal((await cluster.complete({}, cpu)).status, 200);
    });
    await check('stops', () => cluster.stop());
  },
);

with_cluster('a compiler that fails', fault('fail'), async (check, cluster) => {
  await check('a request that needs it gets an error, not silence', async () => {
    const answer = await cluster.complete({}, waits, 90_000);
    expect_error(answer, answer.status);
    assert.ok([422, 502, 503].includes(answer.status), answer.text);
  });
  await check('the artifact shows the reason', async () => {
    const failed = await eventually('a failed artifact', async () =>
      (await cluster.list('artifacts')).find((one) => one.last_error !== ''),
    );
    assert.match(failed.last_error, /refnpu-cc|exit|compile/i);
  });
  await check('others are served by the CPU', async () => {
    const answer = await cluster.complete();
    assert.equal(answer.status, 200, answer.text);
    assert.match(answer.headers.get('x-consort-device'), /cpu/);
  });
  await check('it is not retried in a tight loop', async () => {
    assert.ok((await cluster.builds()) <= 6, `${await cluster.builds()} builds`);
  });
});

with_cluster('a compiler that hangs', fault('hang'), async (check, cluster) => {
  await check('the caller waits no longer than it said', async () => {
    const began = Date.now();
    const answer = await cluster.complete({}, { ...npu, 'X-Consort-Wait': '1s' }, 30_000);
    expect_error(answer, 503);
    assert.ok(Date.now() - began < 10_000, `${Date.now() - began} ms`);
  });
  await check('others are served by the CPU', async () => {
    assert.equal((await cluster.complete()).status, 200);
  });
});

with_cluster('a compiler that floods its output', fault('flood'), async (check, cluster) => {
  await check('memory stays bounded and the CPU serves', async () => {
    await cluster.complete({}, { ...npu, 'X-Consort-Wait': '5s' }, 60_000);
    assert.equal((await cluster.complete()).status, 200);
    assert.ok(
      resident_bytes(cluster.pid) < resident_bytes_max,
      `${resident_bytes(cluster.pid)} bytes`,
    );
  });
});

with_cluster('a compiler whose output is garbage', fault('garbage'), async (check, cluster) => {
  await check('its engine is never served', async () => {
    const answer = await cluster.complete({}, waits, 90_000);
    expect_error(answer, answer.status);
    assert.ok([422, 502, 503].includes(answer.status), answer.text);
    assert.equal((await cluster.complete()).status, 200);
    const refused = /compile failed|replica of storyteller failed/;
    await eventually('it was refused', () => refused.test(cluster.output), 60_000);
    const ready = (await cluster.list('replicas')).filter(({ state }) => state === 'ready');
    assert.ok(ready.every(({ devices }) => !devices.some((id) => id.includes('npu'))));
  });
});

for (const kind of ['crash', 'disk'])
  with_cluster(`a compiler with fault ${kind}`, fault(kind), async (check, cluster) => {
    await check('costs its own build only, and leaves no file behind', async () => {
      const answer = await cluster.complete({}, waits, 90_000);
      expect_error(answer, answer.status);
      assert.ok([422, 502, 503].includes(answer.status), answer.text);
      assert.equal((await cluster.complete()).status, 200);
      await eventually('a failed artifact', async () =>
        (await cluster.list('artifacts')).some((one) => one.last_error !== ''),
      );
    });
  });

with_cluster(
  'an accelerator runtime that crashes in mid-stream',
  { env: { REFNPU_FAULT: 'crash:20' } },
  async (check, cluster) => {
    // Each attempt brings 19 tokens: who is reloaded often enough before patience ends gets it all.
    await check('ends the pinned stream whole or with a clean error', async () => {
      let last;
      let whole = false;
      for await (const event of cluster.stream({ max_tokens: 200 }, npu)) {
        whole ||= event.choices?.[0]?.finish_reason === 'length';
        last = event;
      }
      assert.ok(last.error?.message || (whole && last.done), JSON.stringify(last));
    });
    await check('and costs nobody else anything', async () => {
      assert.equal((await cluster.complete({ max_tokens: 64 }, cpu)).status, 200);
    });
  },
);

with_cluster('an engine process killed in mid-stream', {}, async (check, cluster) => {
  await check(
    'the stream goes on elsewhere or ends with a clean error, never with silence',
    async () => {
      let end = 'silence';
      let seen = 0;
      for await (const event of cluster.stream({ max_tokens: 450, temperature: 1 }, cpu)) {
        if (event.choices?.[0]?.text && ++seen === 5)
          for (const one of cluster.hosts()) process.kill(one.pid, 'SIGKILL');
        if (event.done || event.error) end = event.error ? 'error' : 'done';
        if (event.error) assert.ok(event.error.message, JSON.stringify(event));
      }
      assert.ok(seen >= 5, `only ${seen} chunks`);
      assert.notEqual(end, 'silence');
    },
  );
  await check('a new engine process is started and serves', async () => {
    const answer = await eventually(
      'an answer from the cpu device',
      async () => {
        const one = await cluster.complete({}, cpu);
        return one.status === 200 && one;
      },
      60_000,
      250,
    );
    assert.equal(answer.headers.get('x-consort-device'), 'local/cpu0');
  });
  await check('nothing is lost: every submitted request ended once', async () => {
    const { counters } = await eventually('all ended', async () => {
      const view = await cluster.cluster_view();
      const { submitted, finished, failed, cancelled, rejected, expired } = view.counters;
      return submitted === finished + failed + cancelled + rejected + expired && view;
    });
    assert.ok(counters.finished >= 1);
  });
});
