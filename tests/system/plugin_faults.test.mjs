// SPDX-License-Identifier: Apache-2.0
// Goal: whatever a vendor's tools and servers do wrong on a cluster that runs is said in the log of
// its node with the vendor's words, shows in the health of the devices, ends when they mend
// themselves, and leaves no process behind.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { FakeVendor, pim } from './fake_vendor.mjs';
import { Cluster, checker, cluster_with, eventually, expect_error } from './support.mjs';
import { model_file } from './support.mjs';

const boards = ['local/pim0', 'local/pim1'];
const short_ms = 2_000;

const device = async (cluster, id) =>
  (await cluster.list('devices')).find((one) => one.spec.id === id);
const readings = async (cluster) =>
  Promise.all(boards.map(async (id) => (await device(cluster, id)).reading));
const all_are = async (cluster, health) =>
  (await readings(cluster)).every((one) => one.health === health);
const ask = (cluster, selector, wait = '20s') => {
  const headers = { 'X-Consort-Device': selector, 'X-Consort-Wait': wait };
  return cluster.complete({ max_tokens: 4, temperature: 0 }, headers, 60_000);
};

/// By fault what its words in the log are.
const monitor_faults = {
  exit: /fake-smi exited with 9: cannot talk to the driver \(-9\)/,
  empty: /: printed nothing/,
  truncated: /not JSON at byte 30, near `"FV-00`: `\{"boards": \[\{"serial": "FV-00/,
  flood: /fake-smi (printed more than \d+ bytes|ran out of time)/, // The slower of the two.
  hang: /fake-smi ran out of time/,
  format: /nothing at \/boards/,
  twins: /two devices have the id FV-0001/,
  missing: /no program fake-smi in/,
  'no executable': /fake-smi is there, but is no executable: chmod \+x/,
};

/// Breaks the monitor in that way. Returns: what mends it.
function break_monitor(fake, fault) {
  const tool = path.join(fake.folder, 'fake-smi');
  if (fault === 'missing') {
    fs.renameSync(tool, `${tool}.away`);
    return () => fs.renameSync(`${tool}.away`, tool);
  }
  if (fault === 'no executable') {
    fs.chmodSync(tool, 0o644);
    return () => fs.chmodSync(tool, 0o755);
  }
  fake.faults(`smi=${fault}`);
  return () => fake.faults();
}

test('a monitor that fails while the cluster runs', { timeout: 540_000 }, async (t) => {
  const fake = new FakeVendor();
  const every = '"every": "500ms"';
  fake.change(every, `${every}, "timeout": "${short_ms / 1000}s"`);
  fake.faults('smi=truncated');
  const cluster = await cluster_with(t, fake.plugins);
  const check = checker(t, cluster);

  await check('one that fails at the start costs its own devices only', async () => {
    assert.match(cluster.output, /fakevendor: probe: .*not JSON/);
    assert.equal(await device(cluster, 'local/pim0'), undefined);
    assert.equal((await ask(cluster, 'cpu')).status, 200);
  });
  await check('and they come once it answers', async () => {
    fake.faults();
    const read = async () => (await device(cluster, 'local/pim1'))?.reading.power_mw > 0;
    await eventually('both', read);
  });
  await check('a board that is gone before it was ever used is passed by', async () => {
    fake.faults('smi=gone');
    const gone = async () => (await device(cluster, 'local/pim1')).reading.health === 'unhealthy';
    await eventually('it is missed', gone);
    const served = await ask(cluster, 'pim');
    assert.equal(served.status, 200, served.text);
    assert.equal(served.headers.get('x-consort-device'), 'local/pim0');
    expect_error(await ask(cluster, 'local/pim1', '1s'), 503, /no device that may serve it is up/);
    fake.faults();
    await eventually('both are well', () => all_are(cluster, 'healthy'));
    assert.equal((await ask(cluster, 'local/pim1')).status, 200);
  });

  for (const [fault, pattern] of Object.entries(monitor_faults))
    await check(`${fault}: said in its words, seen in the devices, and over with it`, async () => {
      const from = cluster.output.length;
      const mend = break_monitor(fake, fault);
      await eventually('both are degraded', () => all_are(cluster, 'degraded'), 30_000);
      const said = cluster.output.slice(from);
      assert.match(said, /no readings from fakevendor: /);
      assert.match(said, /readings of fakevendor failed in a row, its devices count as degraded: /);
      assert.match(said, pattern);
      for (const one of await readings(cluster))
        assert.ok(one.power_mw == null && one.utilization_pm == null, 'unknown, and not zero');
      // What cannot be seen may do well: it serves whoever wants it, and nobody waits.
      for (const selector of [...boards, 'cpu', 'pim|cpu']) {
        const answer = await ask(cluster, selector);
        assert.equal(answer.status, 200, `${selector}: ${answer.text}`);
      }
      mend();
      await eventually('both are well', () => all_are(cluster, 'healthy'));
      assert.ok((await readings(cluster)).every((one) => one.power_mw > 0));
    });

  await check('na: what cannot be read is unknown, and the device is well', async () => {
    fake.faults('smi=na');
    const unknown = async () => (await device(cluster, 'local/pim0')).reading.power_mw == null;
    await eventually('its power is unknown', unknown);
    const [first, second] = await readings(cluster);
    assert.equal(first.utilization_pm ?? null, null);
    assert.equal(first.health, 'healthy');
    assert.equal(second.power_mw, 6_500);
    assert.equal((await ask(cluster, 'local/pim0')).status, 200);
    fake.faults();
  });
  await check('types: rows without an id are left out, and said of who is missing', async () => {
    fake.faults('smi=types');
    await eventually('both are degraded', () => all_are(cluster, 'degraded'), 30_000);
    for (const one of await readings(cluster))
      assert.match(one.health_reason, /device 1 has no id/);
    assert.equal((await ask(cluster, 'pim')).status, 200);
    fake.faults();
    await eventually('both are well', () => all_are(cluster, 'healthy'));
  });
  await check('children: it is read, and nothing of it stays', async () => {
    fake.faults('smi=children');
    await eventually('it left some behind', () => fake.leftovers().count >= 4);
    assert.ok(await all_are(cluster, 'healthy'));
    fake.faults();
    await fake.expect_no_leftovers();
  });
  await check('the cluster stops cleanly', () => cluster.stop());
});

test('a compiler that leaves processes behind', { timeout: 600_000 }, async (t) => {
  const fake = new FakeVendor();
  fake.faults('cc=children');
  const cluster = await cluster_with(t, fake.plugins);
  const answer = await ask(cluster, 'pim');
  assert.equal(answer.status, 200, answer.text);
  await fake.expect_no_leftovers();
});

test('a compiler that came to nothing leaves nothing', { timeout: 600_000 }, async (t) => {
  const fake = new FakeVendor();
  fake.faults('cc=children-hang');
  fake.change('"20s", "disk"', '"1s", "disk"');
  const cluster = await cluster_with(t, fake.plugins);
  const refused = await ask(cluster, 'pim', '4s');
  assert.ok(refused.status === 422 || refused.status === 503, refused.text);
  await fake.expect_no_leftovers();
  assert.equal((await ask(cluster, 'pim|cpu')).status, 200);
});

test('a server that leaves processes behind', { timeout: 600_000 }, async (t) => {
  const fake = new FakeVendor();
  fake.faults('server=children');
  const cluster = new Cluster({ args: ['--plugins', fake.plugins] });
  t.after(async () => {
    await cluster.destroy();
    fake.remove();
  });
  await cluster.start();
  const check = checker(t, cluster);
  const remove = async () => {
    const removed = await cluster.cli(['model', 'rm', await cluster.model()]);
    assert.equal(removed.code, 0, removed.stderr);
  };
  /// A server that started with the fault has left two.
  const serve = async () => {
    fake.faults('server=children');
    await remove();
    const added = await cluster.cli(['model', 'add', cluster.model_name, model_file]);
    assert.equal(added.code, 0, added.stderr);
    const served = async () => (await ask(cluster, 'local/pim0', '5s')).status === 200;
    await eventually('it serves', served, 60_000);
    await eventually('they run', () => fake.leftovers().running.length === 2);
  };
  await check('none is left when its instance is unloaded', async () => {
    await serve();
    await remove();
    await fake.expect_no_leftovers();
  });
  await check('nor when it dies in mid-stream', async () => {
    const added = await cluster.cli(['model', 'add', cluster.model_name, model_file]);
    assert.equal(added.code, 0, added.stderr);
    await serve();
    fake.faults('server=die');
    await ask(cluster, 'local/pim0', '3s'); // Whatever comes of it.
    await fake.expect_no_leftovers();
    assert.equal((await ask(cluster, 'cpu')).status, 200);
  });
  await check('nor when its agent is killed', async () => {
    await serve();
    await cluster.kill();
    await fake.expect_no_leftovers();
  });
});
