// SPDX-License-Identifier: Apache-2.0
// Goal: a missing artifact is a state, not an error. One build whoever asks, served elsewhere
// meanwhile, found again by the next start, and built anew when the copy on disk is damaged.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { Cluster, checker, eventually, expect_error, temp_dir, with_cluster } from './support.mjs';

const npu = { 'X-Consort-Device': 'npu' };

/// Every regular file below `folder`.
function files_below(folder) {
  return fs.readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const full = path.join(folder, entry.name);
    return entry.isDirectory() ? files_below(full) : entry.isFile() ? [full] : [];
  });
}

/// Flips bytes in the middle of the largest file that is no copy of the model: the engine.
function damage_artifact(data, size_bytes) {
  const payload = files_below(data).find((file) => fs.statSync(file).size === size_bytes);
  assert.ok(payload, `no file of ${size_bytes} bytes below ${data}`);
  fs.chmodSync(payload, 0o644);
  const handle = fs.openSync(payload, 'r+');
  fs.writeSync(handle, Buffer.alloc(4096, 0x5a), 0, 4096, Math.floor(size_bytes / 2));
  fs.closeSync(handle);
}

with_cluster('compile on miss', {}, async (check, cluster) => {
  await check('a caller that will not wait learns the state and when to come back', async () => {
    const answer = await cluster.complete({}, { ...npu, 'X-Consort-Wait': '0s' });
    expect_error(answer, 503);
    const seen = answer.json.consort ?? answer.json.error.consort;
    assert.match(seen.state, /compiling|loading/);
    assert.ok('eta_ms' in seen, answer.text);
    assert.match(answer.headers.get('retry-after'), /^\d+$/);
  });

  await check(
    '50 at once for any device, 4 of them pinned to npu: all answered, one build',
    async () => {
      const pinned = (i) => (i % 13 === 0 ? npu : {});
      const answers = await Promise.all(
        Array.from({ length: 50 }, (_, i) =>
          cluster.complete({ prompt: `Chapter ${i}`, max_tokens: 12 }, pinned(i), 120_000),
        ),
      );
      for (const [i, answer] of answers.entries()) {
        assert.equal(answer.status, 200, answer.text);
        if (i % 13 === 0) assert.match(answer.headers.get('x-consort-device'), /npu/);
      }
      assert.equal(await cluster.builds(), 1);
      const label = { outcome: 'finished' };
      assert.equal(await cluster.metric('consort_artifact_builds_total', label), 1);
      const [artifact] = (await cluster.list('artifacts')).filter((one) => one.state === 'ready');
      assert.ok(artifact, JSON.stringify(await cluster.list('artifacts')));
      assert.ok(artifact.size_bytes > 0);
      assert.ok(Object.keys(artifact.quality).length > 0, 'calibration is recorded');
    },
  );

  await check('requests for any device reach the accelerators too', async () => {
    const used = new Set();
    await eventually(
      'an auto request on an npu',
      async () => {
        const answers = await Promise.all(
          Array.from({ length: 8 }, () => cluster.complete({ max_tokens: 32 })),
        );
        for (const one of answers) used.add(one.headers.get('x-consort-device'));
        return [...used].some((device) => /npu/.test(device));
      },
      60_000,
    );
  });

  await check('both accelerators run the one artifact', async () => {
    for (const device of ['local/npu0', 'local/npu1']) {
      const answer = await cluster.complete({}, { 'X-Consort-Device': device }, 60_000);
      assert.equal(answer.status, 200, answer.text);
      assert.equal(answer.headers.get('x-consort-device'), device);
    }
    assert.equal(await cluster.builds(), 1);
  });
});

test('50 concurrent requests on an empty store', { timeout: 600_000 }, async (t) => {
  const cluster = new Cluster();
  t.after(() => cluster.destroy());
  await cluster.start();
  const check = checker(t, cluster);
  await check('all answered, the pinned ones by an npu, and exactly one build', async () => {
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, i) =>
        cluster.complete({ max_tokens: 8 }, i % 2 ? npu : {}, 120_000),
      ),
    );
    for (const answer of answers) assert.equal(answer.status, 200, answer.text);
    assert.equal(await cluster.builds(), 1);
    assert.equal((await cluster.cluster_view()).counters.builds_started, 1);
  });
  await check('stops', () => cluster.stop());
});

test('a damaged artifact is discarded and rebuilt once', { timeout: 600_000 }, async (t) => {
  const data = temp_dir();
  t.after(() => fs.rmSync(data, { recursive: true, force: true }));
  const first = new Cluster({ data });
  t.after(() => first.destroy());
  await first.start();
  assert.equal((await first.complete({}, npu)).status, 200, first.tail());
  const [artifact] = (await first.list('artifacts')).filter((one) => one.state === 'ready');
  await first.stop();
  damage_artifact(data, artifact.size_bytes);

  const second = new Cluster({ data });
  t.after(() => second.destroy());
  await second.start();
  const check = checker(t, second);
  await check('the request is served from a new build', async () => {
    const answer = await second.complete({}, npu, 120_000);
    assert.equal(answer.status, 200, answer.text);
    assert.match(answer.headers.get('x-consort-device'), /npu/);
    assert.equal(await second.builds(), 1);
  });
  await check('the damage is reported', () =>
    assert.match(second.output, /corrupt|damaged|digest|sha-?256|hash/i),
  );
  await check('stops', () => second.stop());

  const third = new Cluster({ data });
  t.after(() => third.destroy());
  await third.start();
  await checker(t, third)('the rebuilt one is good', async () => {
    assert.equal((await third.complete({}, npu)).status, 200);
    assert.equal(await third.builds(), 0);
    await third.stop();
  });
});
