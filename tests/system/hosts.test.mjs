// SPDX-License-Identifier: Apache-2.0
// Goal: a cluster of several processes over TLS serves exact text through a separate gateway, and
// whatever happens to a node, a link or the scheduler, the client sees one unbroken stream.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { Authority } from './hosts_certs.mjs';
import { Server, expect_whole, read_stream, with_hosts } from './hosts_support.mjs';
import { Peer, hello } from './hosts_wire.mjs';
import {
  command_line,
  descendants,
  eventually,
  expect_error,
  is_alive,
  root,
  run_cli,
  sleep,
  temp_dir,
} from './support.mjs';

const golden = JSON.parse(fs.readFileSync(path.join(root, 'models/golden.json'), 'utf8'))[0];
const cpus = ['a/cpu0', 'b/cpu0', 'c/cpu0'];
const cpu = { 'X-Consort-Device': 'cpu' };
const npu = { 'X-Consort-Device': 'npu' };
const long = { prompt: golden.prompt, max_tokens: 160 };
const longer = { prompt: golden.prompt, max_tokens: 400 }; // Outlasts a restart of the scheduler.
const slow_engine = { REFNPU_FAULT: 'slow:8' }; // Per token: a stream on an npu lasts seconds.
const death_gap_ms_max = 3_000; // The aim is 100 ms and a prefill; sanitizers and two cores.
const silence_gap_ms_max = 8_000; // The aim is 1 s.
const refusal_ms_max = 20_000;

const widest_gap = (seen) =>
  seen.at.slice(1).reduce((most, at, i) => Math.max(most, at - seen.at[i]), 0);

/// Streams on `headers`' devices and does something to the node that serves, once `at` pieces have
/// come. Returns: {seen, victim}.
async function disturb(hosts, fault, { headers = cpu, fields = long, at = 5 } = {}) {
  if (headers === cpu) await hosts.warm(cpus); // So that there is somewhere to go.
  let victim;
  const seen = await read_stream(hosts.gateway, fields, headers, async (count, so_far) => {
    if (count !== at) return;
    victim = hosts.node_of(so_far.first_device);
    await fault(victim);
  });
  return { seen, victim };
}

const host_processes = (node) =>
  descendants(node.pid).filter((one) => / host /.test(command_line(one.pid)));

with_hosts(
  'many hosts over TLS',
  { tls: 'product', proxied: true, nodes: ['a', 'b', 'c'], env: slow_engine },
  async (check_plainly, hosts, t) => {
    const check = (name, body) =>
      check_plainly(name, async () => {
        try {
          await body();
        } catch (failure) {
          await hosts.calm().catch(() => {}); // The next check starts afresh.
          throw failure;
        }
      });
    const expected = {}; // The undisturbed text by kind of device.

    await check('every host has joined, and its devices are there', async () => {
      const nodes = await hosts.scheduler.list('nodes');
      assert.deepEqual(nodes.map((one) => one.node).sort(), ['a', 'b', 'c']);
      for (const one of nodes)
        assert.equal(one.data_address, hosts.node(one.node).data_proxy.address);
      const ids = (await hosts.scheduler.list('devices')).map((one) => one.spec.id);
      for (const name of ['a', 'b', 'c'])
        for (const device of ['cpu0', 'npu0', 'npu1']) assert.ok(ids.includes(`${name}/${device}`));
    });

    await check('text through the separate gateway is the golden text', async () => {
      const fields = { prompt: golden.prompt, max_tokens: golden.greedy_ids.length };
      for (const name of ['a', 'b', 'c']) {
        const seen = await read_stream(hosts.gateway, fields, {
          'X-Consort-Device': `${name}/cpu0`,
        });
        expect_whole(seen, golden.greedy_text.slice(golden.prompt.length));
        assert.equal(seen.device, `${name}/cpu0`);
        assert.equal(seen.attempts, 1);
      }
      const whole = await hosts.gateway.complete({ ...fields, temperature: 0 }, cpu);
      assert.equal(whole.json.choices[0].text, golden.greedy_text.slice(golden.prompt.length));
    });

    await check("engines' counters reach every gateway", async () => {
      for (const gateway of [hosts.scheduler, hosts.gateway])
        await eventually('counters of a device elsewhere', () =>
          gateway.metric('consort_engine_tokens_total', { device: 'a/cpu0' }),
        );
    });

    await check('the scheduler serves through its own gateway too', async () => {
      const seen = await read_stream(hosts.scheduler, long, cpu);
      expect_whole(seen);
      expected.cpu = seen.text;
      expected.tokens = seen.usage.completion_tokens;
    });

    await check('one build is enough: other hosts fetch the engine', async () => {
      for (const name of ['a', 'b', 'c']) {
        const seen = await read_stream(hosts.gateway, long, { 'X-Consort-Device': `${name}/npu0` });
        expect_whole(seen, expected.npu);
        expected.npu ??= seen.text;
      }
      assert.equal(await hosts.scheduler.builds(), 1);
      expected.longer = (await read_stream(hosts.gateway, longer, npu)).text;
      assert.ok(expected.longer.startsWith(expected.npu));
    });

    const back = async (node) => {
      await node.start();
      await hosts.expect_alive(['a', 'b', 'c']);
    };
    const unbroken = ({ seen }, text, gap_ms_max) => {
      expect_whole(seen, text);
      assert.equal(seen.usage.completion_tokens, expected.tokens, 'each token counts once');
      assert.ok(seen.attempts >= 2, `the fault missed: ${seen.attempts} attempts`);
      t.diagnostic(`widest gap ${Math.round(widest_gap(seen))} ms, ${seen.attempts} attempts`);
      assert.ok(widest_gap(seen) < gap_ms_max, `${widest_gap(seen)} ms without a token`);
    };

    await check('kill -9 of the node that serves: one unbroken stream, same text', async () => {
      const done = await disturb(hosts, (node) => node.kill());
      unbroken(done, expected.cpu, death_gap_ms_max);
      await back(done.victim);
    });

    await check('the same on accelerators: resumed on the same engine elsewhere', async () => {
      const done = await disturb(hosts, (node) => node.kill(), { headers: npu });
      unbroken(done, expected.npu, death_gap_ms_max);
      await back(done.victim);
    });

    await check('kill -9 before the first token: retried, nobody notices', async () => {
      await hosts.warm(cpus);
      for (const target of ['b', 'c']) await hosts.scheduler.post('/api/v1/cordon', { target });
      hosts.node('a').pause();
      const answer = read_stream(hosts.gateway, long, cpu);
      await eventually('it is sent to a', async () =>
        (await hosts.scheduler.list('requests')).some((one) => one.device === 'a/cpu0'),
      );
      for (const target of ['b', 'c']) await hosts.scheduler.post('/api/v1/uncordon', { target });
      await hosts.node('a').kill();
      const seen = await answer;
      expect_whole(seen, expected.cpu);
      assert.equal(seen.attempts, 2);
      await back(hosts.node('a'));
    });

    await check('a node that sleeps and wakes: no token lost or doubled', async () => {
      const done = await disturb(hosts, (node) => node.pause());
      unbroken(done, expected.cpu, silence_gap_ms_max);
      done.victim.resume();
      await hosts.expect_alive(['a', 'b', 'c']);
      const again = await read_stream(hosts.gateway, long, {
        'X-Consort-Device': `${done.victim.name}/cpu0`,
      });
      expect_whole(again, expected.cpu);
    });

    await check('a node that sleeps past its lease comes back with a new one', async () => {
      const node = hosts.node('b');
      const epoch_of = async () =>
        (await hosts.scheduler.list('nodes')).find((one) => one.node === 'b').lease_epoch;
      const before = await epoch_of();
      node.pause();
      await hosts.expect_alive(['a', 'c']);
      await eventually('the lease of b ends', async () =>
        (await hosts.scheduler.list('nodes')).some((one) => one.node === 'b' && !one.alive),
      );
      node.resume();
      await hosts.expect_alive(['a', 'b', 'c']);
      assert.ok((await epoch_of()) > before, 'the old epoch is over');
      const seen = await read_stream(hosts.gateway, long, { 'X-Consort-Device': 'b/cpu0' });
      expect_whole(seen, expected.cpu);
    });

    await check('a crashed host process costs its stream nothing', async () => {
      const done = await disturb(hosts, (node) => {
        for (const one of host_processes(node)) process.kill(one.pid, 'SIGKILL');
      });
      unbroken(done, expected.cpu, death_gap_ms_max);
      assert.ok(done.victim.up, 'the agent outlives it');
    });

    await check('a stalled engine is noticed by its silence, its host being well', async () => {
      let stopped = [];
      const done = await disturb(hosts, (node) => {
        stopped = host_processes(node);
        for (const one of stopped) process.kill(one.pid, 'SIGSTOP');
      });
      for (const one of stopped) if (is_alive(one)) process.kill(one.pid, 'SIGCONT');
      unbroken(done, expected.cpu, silence_gap_ms_max);
    });

    await check('a cut link: its stream goes on, and the node joins again', async () => {
      const done = await disturb(hosts, (node) => node.link_proxy.cut(), { headers: npu });
      expect_whole(done.seen, expected.npu);
      done.victim.link_proxy.heal();
      await hosts.expect_alive(['a', 'b', 'c']);
    });

    await check('a drain moves its stream at the deadline, and nobody notices', async () => {
      const done = await disturb(hosts, async (node) => {
        const order = { target: node.name, deadline: '0s' };
        assert.equal((await hosts.scheduler.post('/api/v1/drain', order)).status, 202);
      });
      await hosts.scheduler.post('/api/v1/uncordon', { target: done.victim.name });
      unbroken(done, expected.cpu, death_gap_ms_max);
    });

    await check('a cut data port: the stream goes on elsewhere', async () => {
      const done = await disturb(hosts, (node) => node.data_proxy.cut());
      unbroken(done, expected.cpu, death_gap_ms_max);
      done.victim.data_proxy.heal();
    });

    await check('a slow client slows only itself', async () => {
      const slow = hosts.gateway.raw();
      const body = JSON.stringify({
        ...{ ...long, model: await hosts.gateway.model() },
        ...{ n: 4, stream: true, temperature: 1 },
      });
      slow.socket.write(
        'POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n' +
          `Connection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      );
      await eventually('its first token', () => {
        if (!slow.received().includes('"text"')) throw new Error(slow.received());
        return true;
      });
      slow.socket.pause();
      const seen = await Promise.all([1, 2, 3].map(() => read_stream(hosts.gateway, long, cpu)));
      for (const one of seen) expect_whole(one);
      slow.socket.resume();
      const all = await slow.closed;
      assert.match(all, /\[DONE\]|event: error/);
    });

    await check('the scheduler dies: streams go on, who waits is answered after', async () => {
      const names = ['a', 'b', 'c'];
      const npus = names.map((name) => `${name}/npu0`); // One each: a batch may break ties anew.
      await hosts.warm(npus);
      const streams = npus.map((device) =>
        read_stream(hosts.gateway, longer, { 'X-Consort-Device': device }),
      );
      await eventually('three run', async () => (await hosts.scheduler.running()) >= 3);
      for (const name of names)
        await hosts.scheduler.post('/api/v1/cordon', { target: `${name}/cpu0` });
      const waiting = read_stream(hosts.gateway, long, cpu);
      await eventually(
        'one waits',
        async () => (await hosts.scheduler.list('requests')).length > 3,
      );
      await hosts.scheduler.kill();
      await sleep(300); // Long enough for everyone to have noticed.
      await hosts.scheduler.start();
      await hosts.expect_alive(names);
      for (const name of names)
        await hosts.scheduler.post('/api/v1/uncordon', { target: `${name}/cpu0` });
      for (const seen of await Promise.all(streams)) {
        expect_whole(seen, expected.longer);
        assert.equal(seen.attempts, 1, 'it did not even notice');
      }
      expect_whole(await waiting, expected.cpu);
    });

    await check('the scheduler dies: deadlines and waits pass all the same', async () => {
      const names = ['a', 'b', 'c'];
      for (const name of names)
        await hosts.scheduler.post('/api/v1/cordon', { target: `${name}/cpu0` });
      const timed = async (header) => {
        const began = performance.now();
        const answer = await hosts.gateway.complete({}, { ...cpu, ...header });
        return { answer, ms: performance.now() - began };
      };
      await hosts.scheduler.kill(); // It has run for long: that much longer they had once.
      const late = await timed({ 'X-Consort-Deadline': '500ms' });
      expect_error(late.answer, 408, /deadline passed/);
      assert.ok(late.ms < 5_000, `${late.ms} ms without a scheduler`);
      const waiting = timed({ 'X-Consort-Wait': '1s' });
      await hosts.scheduler.start();
      const vain = await waiting;
      expect_error(vain.answer, 503, /./);
      assert.ok(vain.ms < 12_000, `${vain.ms} ms; the gateway's own end of it is at 16 s`);
      await hosts.expect_alive(names);
      for (const name of names)
        await hosts.scheduler.post('/api/v1/uncordon', { target: `${name}/cpu0` });
    });

    await check('certificates are renewed under a stream, and old ones revoked', async () => {
      const stream = read_stream(hosts.gateway, longer, { 'X-Consort-Device': 'a/npu0' });
      await eventually('it runs', async () => (await hosts.scheduler.running()) >= 1);
      const old = [];
      for (const server of [hosts.scheduler, hosts.gateway, ...hosts.nodes]) {
        old.push(await hosts.authority.renew(server.name));
        server.signal('SIGHUP');
        await eventually(`${server.name} took it up`, () =>
          /read the certificates again/.test(server.log),
        );
      }
      for (const serial of old) await hosts.authority.revoke(serial);
      // Either end may be the first to hear of the other's.
      for (const { name } of hosts.nodes)
        await eventually(`the link of the old certificate of ${name} ends`, () =>
          new RegExp(`node ${name} is no longer linked: .* (is revoked|closed the link)`).test(
            hosts.scheduler.log,
          ),
        );
      await hosts.expect_alive(['a', 'b', 'c']);
      // The gateway's old one carried it, so that it was resumed: there ties may break anew.
      const seen = await stream;
      expect_whole(seen, seen.attempts === 1 ? expected.longer : undefined);
      expect_whole(await read_stream(hosts.gateway, long, cpu), expected.cpu);
    });

    await check('a revoked certificate is cut at once and stays out', async () => {
      await hosts.authority.revoke('c');
      await hosts.expect_alive(['a', 'b'], 5_000);
      await eventually('c says why', () => /revoked/.test(hosts.node('c').log));
    });

    await check('at the end nothing is open, running or reserved', async () => {
      await hosts.expect_idle();
    });
  },
);

with_hosts(
  'strangers are refused, and both sides say why',
  { tls: true, nodes: ['a'], gateways: [], proxied: true },
  async (check, hosts) => {
    /// Starts a node that must not get in; its own log and the scheduler's must name the reason.
    const refused_node = async (options, reason, said) => {
      const node = await hosts.add_node(`bad${reason}`.replaceAll('_', ''), options);
      try {
        await eventually(`${reason}: the node says so`, () => said.test(node.log), refusal_ms_max);
        assert.deepEqual(await hosts.alive(), ['a']);
      } finally {
        await hosts.discard(node);
        hosts.nodes.splice(hosts.nodes.indexOf(node), 1);
      }
      assert.match(hosts.scheduler.log, said);
    };
    const foreign = await Authority.make(temp_dir('consort-foreign'));

    await check('a wrong token', () =>
      refused_node({ token: 'f'.repeat(64) }, 'wrong_token', /token/),
    );
    await check("another cluster's certificate", async () =>
      refused_node(
        { cert: await foreign.issue('node', 'badforeign') },
        'foreign',
        /certificate|TLS/i,
      ),
    );
    /// A node that its own certificate stops at the start.
    const not_started = async (cert, name, said) => {
      const data = hosts.data_of(name);
      const args = ['node', '--join', `127.0.0.1:${hosts.link_port}`, '--name', name];
      const done = await run_cli([...args, '--token', hosts.token, '--cert', cert, '--data', data]);
      assert.ok(done.code !== 0 && done.code !== null, done.stderr);
      assert.match(done.stderr, said);
    };
    await check("a gateway's certificate", async () =>
      not_started(await hosts.authority.issue('gateway', 'x'), 'x', /gateway's.*consort cert node/),
    );
    await check("another node's certificate", async () =>
      not_started(await hosts.authority.issue('node', 'other'), 'x', /name.*other/),
    );
    await check('an expired certificate is refused where it lies', async () =>
      not_started(await hosts.authority.issue('node', 'late', { days: -1 }), 'late', /expired/),
    );
    await check('and by the scheduler', async () => {
      const cert = await hosts.authority.issue('node', 'late', { days: -1 });
      const peer = new Peer(hosts.link_port, { cert, from: '127.0.2.1' });
      peer.ready.then(() => peer.send(hello({ token: hosts.token }, { sender: 'late' })));
      await peer.closed;
      await eventually('the log says so', () => /127\.0\.2\.1.*expired/.test(hosts.scheduler.log));
    });
    await check('a version from the future', async () => {
      const cert = await hosts.authority.issue('node', 'future');
      const peer = new Peer(hosts.link_port, { cert, from: '127.0.2.2' });
      const said = hello(
        { token: hosts.token, version: 99 },
        { sender: 'future', protocolVersion: 99 },
      );
      peer.ready.then(() => peer.send(said));
      await peer.closed;
      assert.match(peer.answer() ?? '', /refusal.*version/, 'the peer can read why');
      await eventually('the log says so', () => /127\.0\.2\.2.*version/.test(hosts.scheduler.log));
    });
    await check('another cluster', async () => {
      const cert = await hosts.authority.issue('node', 'lost');
      const peer = new Peer(hosts.link_port, { cert, from: '127.0.2.3' });
      const said = hello({ token: hosts.token, cluster: 'elsewhere' }, { sender: 'lost' });
      peer.ready.then(() => peer.send(said));
      await peer.closed;
      assert.match(peer.answer() ?? '', /refusal.*cluster/);
    });
  },
);

with_hosts(
  'a node that is told to stop',
  { nodes: ['a', 'b'], env: { REFNPU_FAULT: 'slow:20' } },
  async (check, hosts) => {
    // 1 s, and nobody could go on with it; and 6 s, while a stop waits for 3.5 s.
    const short = { prompt: golden.prompt, max_tokens: 50, logprobs: 1 };
    const outlasting = { prompt: golden.prompt, max_tokens: 300 };
    const quick = { prompt: golden.prompt, max_tokens: 3 };
    const stopped = async (node, timeout_ms) => {
      await eventually(`${node.name} ends`, () => node.ended, timeout_ms, 20);
      assert.deepEqual(node.ended, { code: 0, signal: null }, node.tail());
    };
    const goodbyes = () => hosts.scheduler.log.match(/a: node left: stopped/g)?.length ?? 0;
    let whole;

    await check('its neighbour serves the same', async () => {
      await hosts.warm(['a/npu0', 'b/npu0']);
      const there = { 'X-Consort-Device': 'b/npu0' };
      whole = await read_stream(hosts.gateway, outlasting, there);
      expect_whole(whole);
    });

    await check('a stream ends there or goes on elsewhere; nothing new starts there', async () => {
      await hosts.scheduler.post('/api/v1/cordon', { target: 'b' });
      let flowing = 0;
      const first_token = (count) => (flowing += count === 1 ? 1 : 0);
      const streams = [short, outlasting].map((fields) =>
        read_stream(hosts.gateway, fields, npu, first_token),
      );
      await eventually('both have a token', () => flowing === 2, 20_000, 5);
      await hosts.scheduler.post('/api/v1/uncordon', { target: 'b' });
      hosts.node('a').signal('SIGTERM');
      await eventually(
        'the scheduler knows',
        () => /a: is about to leave, takes no new work/.test(hosts.scheduler.log),
        2_000,
        10,
      );
      const other = await read_stream(hosts.gateway, quick, npu);
      expect_whole(other);
      assert.match(other.device, /^b\//);
      const [ended, moved] = await Promise.all(streams);
      expect_whole(ended);
      assert.equal(ended.attempts, 1);
      assert.match(ended.device, /^a\//);
      expect_whole(moved, whole.text);
      assert.equal(moved.attempts, 2);
      assert.match(moved.device, /^b\//);
      await stopped(hosts.node('a'), 6_000);
      assert.equal(goodbyes(), 1, hosts.scheduler.tail());
      assert.doesNotMatch(hosts.scheduler.log, /a: suspect|lease expired/);
    });

    await check('with nothing to do it ends at once, and is gone at once', async () => {
      await hosts.node('a').start();
      await hosts.expect_alive(['a', 'b']);
      hosts.node('a').signal('SIGTERM');
      await stopped(hosts.node('a'), 3_000); // Less than a stop waits for streams.
      await eventually('its goodbye', () => goodbyes() === 2, 1_000, 10);
      await hosts.expect_alive(['b'], 1_000);
    });

    await check('a second signal moves its streams now', async () => {
      await hosts.node('a').start();
      await hosts.expect_alive(['a', 'b']);
      await hosts.warm(['a/npu0']);
      await hosts.scheduler.post('/api/v1/cordon', { target: 'b' });
      let gone;
      const seen = await read_stream(hosts.gateway, outlasting, npu, async (count) => {
        if (count !== 1) return;
        await hosts.scheduler.post('/api/v1/uncordon', { target: 'b' });
        hosts.node('a').signal('SIGTERM');
        await sleep(200);
        hosts.node('a').signal('SIGTERM');
        const ended = eventually('a ends', () => hosts.node('a').ended, 2_500, 10);
        gone = ended.then(
          () => null,
          (late) => late,
        );
      });
      assert.equal(await gone, null);
      expect_whole(seen, whole.text);
      assert.equal(seen.attempts, 2);
      assert.match(seen.device, /^b\//);
      await eventually('its goodbye', () => goodbyes() === 3, 1_000, 10);
    });
  },
);

with_hosts('plain links on one machine', { nodes: [], gateways: [] }, async (check, hosts) => {
  await check('the printed command joins a node, pasted as it is', async () => {
    const line = /consort (node --join .*)/.exec(hosts.scheduler.output)[1];
    const [role, ...args] = line.trim().split(/\s+/);
    const node = new Server({
      role,
      name: 'pasted',
      data: hosts.data_of('pasted'),
      args: [...args, '--name', 'pasted', '--data', hosts.data_of('pasted')],
    });
    hosts.nodes.push(node);
    await node.start();
    await hosts.expect_alive(['pasted']);
  });

  await check('that of a cluster with a name, too', async () => {
    const data = hosts.data_of('lab');
    const file = path.join(data, 'cluster.json');
    fs.writeFileSync(file, JSON.stringify({ cluster: 'lab' }));
    const listen = ['--listen', '127.0.0.1:0', '--link-listen', '127.0.0.1:0', '--data', data];
    const args = ['--config', file, ...listen];
    const scheduler = new Server({ role: 'scheduler', name: 'lab', data, args });
    let node;
    try {
      await scheduler.start();
      const line = /consort node (--join .*)/.exec(scheduler.output)[1];
      const own = ['--name', 'of-lab', '--data', hosts.data_of('of-lab')];
      node = new Server({
        role: 'node',
        name: 'of-lab',
        data: hosts.data_of('of-lab'),
        args: [...line.trim().split(/\s+/), ...own],
      });
      await node.start();
      await eventually('it has joined', async () =>
        (await scheduler.list('nodes')).some((one) => one.node === 'of-lab' && one.alive),
      );
    } finally {
      await node?.destroy();
      await scheduler.destroy();
    }
  });

  await check('and a gateway serves', async () => {
    const gateway = await hosts.add_gateway('g1');
    const fields = { prompt: golden.prompt, max_tokens: golden.greedy_ids.length };
    const seen = await read_stream(gateway, fields, cpu);
    expect_whole(seen, golden.greedy_text.slice(golden.prompt.length));
  });

  await check('beyond loopback without certificates: refused, with what to type', async () => {
    const data = hosts.data_of('exposed');
    const join = ['--join', '127.0.0.1:1', '--token', 'x', '--data', data];
    const exposed = [
      ['scheduler', '--link-listen', '0.0.0.0:0', '--listen', '127.0.0.1:0', '--data', data],
      ['node', '--join', '192.0.2.1:4280', '--token', 'x', '--data', data],
      ['node', ...join, '--data-listen', '0.0.0.0:0'],
      ['gateway', '--join', '192.0.2.1:4280', '--token', 'x', '--data', data],
    ];
    const ends = await Promise.all(exposed.map((args) => run_cli(args, { timeout_ms: 20_000 })));
    ends.forEach((done, i) => {
      assert.ok(done.code !== 0 && done.code !== null, `${exposed[i].join(' ')}: ${done.code}`);
      assert.match(done.stderr, /consort cert/, exposed[i].join(' '));
    });
  });

  await check('HTTP beyond loopback: refused at once, with what to type', async () => {
    const data = path.join(hosts.data_of('open'), 'state');
    const open = ['--listen', '0.0.0.0:0', '--data', data];
    const kinds = [
      ['up', ...open],
      ['scheduler', '--link-listen', '127.0.0.1:0', ...open],
      ['gateway', '--join', '127.0.0.1:1', '--token', 'x', ...open],
    ];
    const ends = await Promise.all(kinds.map((args) => run_cli(args, { timeout_ms: 20_000 })));
    for (const done of ends) {
      assert.equal(done.code, 2, done.stderr);
      assert.match(done.stderr, /--listen 0\.0\.0\.0:0 .*--insecure/);
    }
    assert.ok(!fs.existsSync(data), 'nothing was begun');
  });

  await check('no token: refused, with what to type', async () => {
    const args = ['node', '--join', '127.0.0.1:1', '--data', hosts.data_of('tokenless')];
    const done = await run_cli(args, { timeout_ms: 20_000 });
    assert.ok(done.code !== 0 && done.code !== null);
    assert.match(done.stderr, /consort token/);
  });
});
