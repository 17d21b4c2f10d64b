// SPDX-License-Identifier: Apache-2.0
// Goal: one instance of the reference accelerator over two devices, of one node and of two, answers
// as one on a single device does; when one of its ranks dies, the whole instance has failed, its
// stream goes on elsewhere, and the devices of the other half are free again.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { expect_whole, read_stream, with_hosts } from './hosts_support.mjs';
import {
  command_line,
  descendants,
  eventually,
  model_file,
  root,
  run_cli,
  temp_dir,
  with_cluster,
} from './support.mjs';

const golden = JSON.parse(fs.readFileSync(path.join(root, 'models/golden.json'), 'utf8'))[0];
const npu = { 'X-Consort-Device': 'npu' };
const short = { prompt: golden.prompt, max_tokens: 48 };
const long = { prompt: golden.prompt, max_tokens: 120 };

/// A configuration with a model for one device and the same for two.
function config_file() {
  const file = path.join(temp_dir('consort-ranks'), 'consort.json');
  const narrow = { source: model_file };
  const wide = { ...narrow, devices_per_instance: 2 };
  const pools = { fast: 'npu', left: 'pool=fast,node=a' };
  fs.writeFileSync(file, JSON.stringify({ models: { narrow, wide }, pools }));
  return file;
}

const wide_replicas = async (server) =>
  (await server.list('replicas')).filter((one) => one.model === 'wide' && one.state === 'ready');

with_cluster(
  'two devices of one node',
  { args: ['--config', config_file()] },
  async (check, cluster) => {
    const text = {};
    await check('answer as one device does', async () => {
      for (const model of ['narrow', 'wide']) {
        const seen = await read_stream(cluster, { ...short, model }, npu);
        expect_whole(seen);
        text[model] = seen.text;
      }
      assert.equal(text.wide, text.narrow);
      const [wide] = await wide_replicas(cluster);
      assert.deepEqual(wide.devices, ['local/npu0', 'local/npu1']);
    });

    await check('several sequences at once stay apart', async () => {
      const fields = { ...short, model: 'wide' };
      const streams = [...Array(6)].map(() => read_stream(cluster, fields, npu));
      for (const seen of await Promise.all(streams)) expect_whole(seen, text.wide);
    });

    await check('a device that spans no pair is refused with the reason', async () => {
      const answer = await cluster.complete({ model: 'wide' }, { 'X-Consort-Device': 'cpu' });
      assert.equal(answer.status, 422, answer.text);
      assert.match(answer.text, /spans 1 of 2 devices/);
    });

    await check('pools stand for their selectors, everywhere', async () => {
      const answer = await cluster.complete(
        { model: 'narrow', max_tokens: 1 },
        { 'X-Consort-Device': 'pool=fast' },
      );
      assert.equal(answer.status, 200, answer.text);
      assert.match(answer.headers.get('x-consort-device'), /npu/);
      const misspelt = { 'X-Consort-Device': 'pool=fats' };
      const wrong = await cluster.complete({ model: 'narrow' }, misspelt);
      assert.equal(wrong.status, 400, wrong.text);
      assert.match(wrong.text, /did you mean fast/);
      const { stdout } = await run_cli(['pools', '--server', cluster.url]);
      assert.match(stdout, /fast\s+npu\s+local\/npu0 local\/npu1/);
    });
  },
);

with_hosts(
  'one engine over two nodes',
  {
    nodes: ['a', 'b', 'c', 'd'],
    env: { REFNPU_DEVICES: '1', REFNPU_FAULT: 'slow:10' },
    scheduler_args: ['--config', config_file()],
  },
  async (check, hosts) => {
    const ranks_of = (node) =>
      descendants(node.pid).filter((one) => / host /.test(command_line(one.pid)));
    let expected;

    await check('answers as one device does', async () => {
      const one = await read_stream(hosts.gateway, { ...long, model: 'narrow' }, npu);
      expect_whole(one);
      const seen = await read_stream(
        hosts.gateway,
        { ...long, model: 'wide' },
        { 'X-Consort-Device': 'a/npu0' },
      );
      expect_whole(seen, one.text);
      expected = one.text;
      const [wide] = await wide_replicas(hosts.scheduler);
      const nodes = new Set(wide.devices.map((id) => id.split('/')[0]));
      assert.equal(nodes.size, 2, wide.devices.join());
    });

    await check('kill -9 of a rank: one unbroken stream, and the other half is free', async () => {
      const [before] = await wide_replicas(hosts.scheduler);
      const further = hosts.node_of(before.devices[1]);
      const seen = await read_stream(hosts.gateway, { ...long, model: 'wide' }, npu, (count) => {
        if (count === 5) for (const one of ranks_of(further)) process.kill(one.pid, 'SIGKILL');
      });
      expect_whole(seen, expected);
      assert.ok(seen.attempts >= 2, `the fault missed: ${seen.attempts} attempts`);
      await hosts.expect_idle();
      await eventually('the failed instance is gone', async () =>
        (await wide_replicas(hosts.scheduler)).every((one) => one.instance !== before.instance),
      );
      const leader = hosts.node_of(before.devices[0]);
      await eventually('its leader has ended too, or serves anew', async () => {
        const held = (await hosts.scheduler.list('replicas')).filter((one) =>
          one.devices.some((id) => id.startsWith(`${leader.name}/npu`)),
        );
        return ranks_of(leader).length <= held.length;
      });
    });

    await check('kill -9 of a whole node of the pair: the same', async () => {
      const [before] = await wide_replicas(hosts.scheduler);
      const victim = hosts.node_of(before.devices[1]);
      const fields = { ...long, model: 'wide' };
      const seen = await read_stream(hosts.gateway, fields, npu, async (count) => {
        if (count === 5) await victim.kill();
      });
      expect_whole(seen, expected);
      assert.ok(seen.attempts >= 2, `the fault missed: ${seen.attempts} attempts`);
      await victim.start();
      await hosts.expect_alive(['a', 'b', 'c', 'd']);
    });

    await check('a scheduler that restarts takes both ranks over', async () => {
      const warm = await read_stream(hosts.gateway, { ...long, model: 'wide' }, npu);
      expect_whole(warm, expected);
      const before = (await wide_replicas(hosts.scheduler)).map((one) => one.instance).sort();
      await hosts.scheduler.restart();
      await hosts.expect_alive(['a', 'b', 'c', 'd']);
      await eventually('the instances are known again', async () => {
        const now = (await wide_replicas(hosts.scheduler)).map((one) => one.instance).sort();
        return before.every((one) => now.includes(one));
      });
      expect_whole(await read_stream(hosts.gateway, { ...long, model: 'wide' }, npu), expected);
    });
  },
);
