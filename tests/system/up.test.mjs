// SPDX-License-Identifier: Apache-2.0
// Goal: one command gives a running cluster, says what it found, and leaves nothing behind,
// however it ends.
import assert from 'node:assert/strict';
import net from 'node:net';
import test from 'node:test';
import fs from 'node:fs';
import {
  Cluster,
  descendants,
  eventually,
  expect_gone,
  run_cli,
  temp_dir,
  with_cluster,
} from './support.mjs';

const npu = { 'X-Consort-Device': 'npu' };

with_cluster('consort up', {}, async (check, cluster) => {
  await check('prints devices, the model, and a curl line to paste', async () => {
    for (const word of ['local/cpu0', 'local/npu0', 'local/npu1', await cluster.model()])
      assert.ok(cluster.output.includes(word), `${word} is not in the output`);
    assert.match(cluster.output, /curl .*\/v1\//);
  });

  await check('lists the devices, the accelerators marked as simulated hardware', async () => {
    const devices = await cluster.list('devices');
    assert.deepEqual(devices.map((one) => one.spec.id).sort(), [
      'local/cpu0',
      'local/npu0',
      'local/npu1',
    ]);
    const cpu = devices.find((one) => one.spec.type === 'cpu').spec;
    assert.equal(cpu.simulated, false);
    assert.ok(cpu.memory_bytes > 0);
    assert.ok(
      Object.keys(cpu.attributes).some((name) => /core/.test(name)),
      JSON.stringify(cpu.attributes),
    );
  });

  await check('is healthy and ready', async () => {
    assert.equal((await cluster.get('/healthz')).status, 200);
    assert.equal((await cluster.get('/readyz')).status, 200);
  });

  await check('a second one on the same port is refused with the port in the message', async () => {
    const second = await run_cli([
      'up',
      '--listen',
      `127.0.0.1:${cluster.port}`,
      '--data',
      temp_dir(),
    ]);
    assert.equal(second.code, 1, second.stderr);
    assert.match(second.stderr, new RegExp(`${cluster.port}`));
    assert.match(second.stderr, /in use|busy|taken/);
  });
});

test('a port held by another program is named', { timeout: 600_000 }, async (t) => {
  const server = net.createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.on('listening', resolve));
  t.after(() => server.close());
  const { port } = server.address();
  const data = temp_dir();
  t.after(() => fs.rmSync(data, { recursive: true, force: true }));
  const failed = await run_cli(['up', '--listen', `127.0.0.1:${port}`, '--data', data]);
  assert.equal(failed.code, 1, failed.stderr);
  assert.match(failed.stderr, new RegExp(`${port}`));
});

test('a second start finds the artifact and builds nothing', { timeout: 600_000 }, async (t) => {
  const data = temp_dir();
  t.after(() => fs.rmSync(data, { recursive: true, force: true }));
  const first = new Cluster({ data });
  t.after(() => first.destroy());
  await first.start();
  assert.equal((await first.complete({}, npu)).status, 200, first.tail());
  assert.equal(await first.builds(), 1);
  await first.stop();

  const second = new Cluster({ data });
  t.after(() => second.destroy());
  await second.start();
  const answer = await second.complete({}, npu);
  assert.equal(answer.status, 200, answer.text + second.tail());
  assert.match(answer.headers.get('x-consort-device'), /npu/);
  assert.equal(await second.builds(), 0);
  await second.stop();
});

test(
  'SIGTERM in the middle of a stream ends it, and everything, within 5 s',
  { timeout: 600_000 },
  async (t) => {
    const cluster = new Cluster();
    t.after(() => cluster.destroy());
    await cluster.start();
    const streams = Array.from({ length: 8 }, () => cluster.stream({ max_tokens: 400 }));
    const ends = streams.map(async (stream) => {
      for await (const event of stream) if (event.done || event.error) return 'ended';
      return 'silence';
    });
    await eventually('a running attempt', async () => (await cluster.running()) > 0, 20_000, 10);
    await cluster.stop();
    for (const end of await Promise.allSettled(ends))
      assert.equal(
        end.value,
        'ended',
        'a stream may finish or fail with an error event, never just stop',
      );
  },
);

test('after kill -9 no child process stays', { timeout: 600_000 }, async (t) => {
  const cluster = new Cluster();
  t.after(() => cluster.destroy());
  await cluster.start();
  assert.equal((await cluster.complete({}, { 'X-Consort-Device': 'cpu' })).status, 200);
  assert.ok(descendants(cluster.pid).length > 0, 'the engine runs in a process of its own');
  const children = await cluster.kill();
  await expect_gone(children);
});

test('kill -9 during a compile leaves no compiler', { timeout: 600_000 }, async (t) => {
  const cluster = new Cluster({ env: { REFNPU_CC_FAULT: 'hang' } });
  t.after(() => cluster.destroy());
  await cluster.start();
  const waiting = cluster.complete({}, npu, 30_000).catch(() => null);
  const compiler = await eventually('a compiler process', () =>
    descendants(cluster.pid).find((one) =>
      fs.readFileSync(`/proc/${one.pid}/cmdline`, 'utf8').includes('refnpu-cc'),
    ),
  );
  await cluster.kill();
  await expect_gone([compiler]);
  await waiting;
});
