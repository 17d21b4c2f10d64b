// SPDX-License-Identifier: Apache-2.0
// Goal: whatever reaches the link guard or a data port is refused at once or cut at its deadline,
// counted, and logged once per address and minute; peers in good order join within a second all the
// while, and the scheduler hardly notices. CONSORT_ATTACKERS=10000 makes it a siege (then raise
// `ulimit -n`); CONSORT_GUARD_CPU and CONSORT_JOIN_MS hold it to the figures that it aims at: what
// share of a core the scheduler uses, and how long a good peer takes to join.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import tls from 'node:tls';
import { Worker } from 'node:worker_threads';
import { Authority, tls_options } from './hosts_certs.mjs';
import { expect_whole, read_stream, with_hosts } from './hosts_support.mjs';
import { Peer, encode, envelope, frame, hello, kinds, split_frames } from './hosts_wire.mjs';
import { cpu_ms, eventually, metric_of, sleep, temp_dir, within } from './support.mjs';

const attackers = Number(process.env.CONSORT_ATTACKERS ?? 1_000);
const cpu_share_max = Number(process.env.CONSORT_GUARD_CPU ?? 0.5); // With sanitizers; aim: 0.05.
const join_ms_max = Number(process.env.CONSORT_JOIN_MS ?? 5_000); // Likewise; aim: 1,000.
const cut_ms_max = 30_000; // The deadlines are of 2 s; a busy machine sees the end later.
const deadline_ms = 2_000; // Of a handshake, and of a hello.
const answer_ms = 250; // An attacker waits no longer for its connection, since it may be muted.
const probe_every_ms = 200;
const calm_ms = 5_000; // Nobody attacks: what the joins and the cluster cost anyway.
const growth_bytes_max = 64 << 20;

/// The first bytes that a real client sends.
async function client_hello() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const taken = new Promise((resolve) =>
    server.once('connection', (socket) => socket.once('data', (bytes) => resolve(bytes))),
  );
  const client = tls.connect({ port: server.address().port, host: '127.0.0.1' });
  client.on('error', () => {});
  const bytes = await taken;
  client.destroy();
  server.close();
  return bytes;
}

/// Several loopback addresses, so that no limit per address hides the others.
const few = 8;
function address(block, i, of) {
  const n = i % of;
  return `127.0.${block + Math.floor(n / 250)}.${1 + (n % 250)}`;
}

/// Opens connections in batches, so that the kernel's accept queue is not what is tested.
async function open_many(count, port, block, first_bytes, of = few) {
  const peers = [];
  while (peers.length < count) {
    const batch = Array.from({ length: Math.min(250, count - peers.length) }, (_, i) => {
      const peer = new Peer(port, { from: address(block, peers.length + i, of) });
      if (first_bytes) peer.send(first_bytes);
      return peer;
    });
    await within(answer_ms, Promise.all(batch.map((one) => one.ready)));
    peers.push(...batch);
  }
  return peers;
}

/// Those whose connection stands; the others are given up.
function answered(peers) {
  const made = peers.filter((one) => !one.socket.connecting);
  for (const one of peers) if (one.socket.connecting) one.destroy();
  return made;
}

let strangers = 0; // Whose addresses have been used.

/// Joins again and again as a node in good order while `attack` runs, and watches what the
/// scheduler uses. With `strange` half of the joins are from addresses that never joined before.
/// Returns: {joins_ms, share, wall_ms}.
async function besieged(hosts, attack, strange) {
  const joins_ms = [];
  const failures = [];
  const probe = new Worker(new URL('./hosts_probe.mjs', import.meta.url), {
    workerData: {
      ...{ port: hosts.link_port, token: hosts.token, from: '127.0.250.1', name: 'probe' },
      ...{ cert: (hosts.probe_cert ??= await hosts.authority.issue('node', 'probe')) },
      every_ms: probe_every_ms,
      strange: strange && { first: strangers },
    },
  });
  probe.on('message', ({ joined_ms, failed }) =>
    failed === undefined ? joins_ms.push(joined_ms) : failures.push(failed),
  );
  probe.on('error', (failure) => failures.push(failure.message));
  await eventually('a first join', () => joins_ms.length > 0 || failures.length > 0);
  const began = { at: Date.now(), cpu: cpu_ms([hosts.scheduler]) };
  try {
    await attack();
  } finally {
    probe.postMessage('over');
  }
  // What an attack costs is spread over the time in which its connections would be cut anyway.
  const wall_ms = Math.max(Date.now() - began.at, deadline_ms);
  const share = (cpu_ms([hosts.scheduler]) - began.cpu) / wall_ms;
  await new Promise((resolve) => probe.once('exit', resolve));
  strangers += joins_ms.length;
  assert.deepEqual(failures, [], 'good peers that did not get in');
  return { joins_ms, share, wall_ms };
}

with_hosts(
  'hostile input at the link guard',
  // The sanitizer's own store of freed memory is no growth.
  { tls: true, nodes: ['a'], gateways: ['g1'], env: { ASAN_OPTIONS: 'quarantine_size_mb=8' } },
  async (check, hosts, t) => {
    const port = hosts.link_port;
    const first = await client_hello();
    const basp = Buffer.alloc(36); // A CAF 0.17 server handshake that claims a gigabyte.
    basp.writeUInt32BE(1 << 30, 4);
    basp.writeBigUInt64BE(4n, 8);
    const refused = async (reason) =>
      metric_of((await hosts.scheduler.get('/metrics')).text, 'consort_links_refused_total', {
        reason,
      });
    const lines_about = (from) =>
      hosts.scheduler.log.split('\n').filter((line) => line.includes(`${from}:`)).length;

    let calm = 0; // Share of a core.
    /// Runs an attack under siege conditions; it must not cost others anything.
    const siege = (name, attack, { strange = true } = {}) =>
      check(name, async () => {
        const before = hosts.scheduler.usage().resident_bytes;
        const seen = await besieged(hosts, attack, strange);
        const slowest = Math.max(...seen.joins_ms);
        t.diagnostic(
          `${name}: ${seen.joins_ms.length} joins, slowest ${slowest} ms, ` +
            `${(100 * seen.share).toFixed(1)} % of a core over ${seen.wall_ms} ms, ` +
            `${(100 * (seen.share - calm)).toFixed(1)} % more than without an attack`,
        );
        assert.ok(seen.joins_ms.length > 0 && slowest <= join_ms_max, `${slowest} ms to join`);
        assert.ok(seen.share < cpu_share_max, `${seen.share} of a core`);
        const grown = hosts.scheduler.usage().resident_bytes - before;
        assert.ok(grown < growth_bytes_max, `grew by ${grown} bytes`);
        assert.ok((await hosts.alive()).includes('a'), 'the real node is there');
      });
    /// All of them are cut in time. Returns: how long the longest lived.
    const all_cut = async (opened, what) => {
      const peers = answered(opened);
      const unheard = opened.length - peers.length;
      if (unheard > 0) t.diagnostic(`${what}: ${unheard} of ${opened.length} were not answered`);
      const lived = await within(cut_ms_max, Promise.all(peers.map((one) => one.closed)));
      const left = peers.filter((one) => !one.socket.destroyed).length;
      for (const one of peers) one.destroy();
      assert.ok(lived, `${what}: ${left} of ${peers.length} still open after ${cut_ms_max} ms`);
      return Math.max(...lived);
    };

    await siege('nobody at all', async () => {
      const began = cpu_ms([hosts.scheduler]);
      await sleep(calm_ms);
      calm = (cpu_ms([hosts.scheduler]) - began) / calm_ms;
    });
    await siege(`${attackers} connections that say nothing`, async () => {
      const longest = await all_cut(await open_many(attackers, port, 10), 'silent');
      assert.ok(longest >= 500, `even those in time were cut after ${longest} ms`);
    });
    await siege(`${attackers} with half a handshake`, async () => {
      const half = first.subarray(0, first.length / 2);
      await all_cut(await open_many(attackers, port, 11, half), 'half a handshake');
    });
    await siege(`${attackers / 10} that stop after the client's hello`, async () => {
      await all_cut(await open_many(attackers / 10, port, 12, first), 'client hello only');
    });
    // More new addresses than handshakes of strangers are granted: those may have to try again.
    await siege(
      `${attackers / 10} that stop there, each from an address of its own`,
      async () => {
        const count = attackers / 10;
        await all_cut(await open_many(count, port, 100, first, count), 'many addresses');
      },
      { strange: false },
    );
    await siege(`${attackers} that send garbage`, async () => {
      const peers = await open_many(attackers, port, 13, crypto.randomBytes(512));
      await all_cut(peers, 'garbage');
    });
    await siege(`${attackers / 10} that speak BASP without TLS`, async () => {
      await all_cut(await open_many(attackers / 10, port, 14, basp), 'BASP');
    });

    /// One peer with a certificate in order that says this once it may, and must be cut.
    const intruder = await hosts.authority.issue('node', 'intruder');
    const inside = async (last, bytes, { cert = intruder } = {}) => {
      const peer = new Peer(port, { cert, from: `127.0.20.${last}` });
      await within(cut_ms_max, peer.ready);
      peer.send(bytes);
      await all_cut([peer], 'a stranger with a certificate');
      return peer;
    };
    const join = hello({ token: hosts.token });
    await siege('frames that are none, behind a good handshake', async () => {
      const nothing = Buffer.alloc(0);
      await inside(1, basp);
      await inside(2, frame(kinds.hello, nothing, { bytes: 1 << 30 }));
      await inside(3, frame(kinds.hello, nothing, { bytes: 0xffff_ffff }));
      await inside(4, frame(999, nothing));
      await inside(5, frame(kinds.hello, nothing, { magic: 'BASP' }));
      await inside(6, frame(kinds.hello, crypto.randomBytes(4_096)));
      await inside(7, frame(kinds.heartbeat, nothing));
      await inside(8, join.subarray(0, join.length - 8)); // The rest never comes.
    });
    await siege('hellos that are not in order', async () => {
      const said = (about, from) => hello({ token: hosts.token, ...about }, from);
      const told = [
        [said({ token: 'f'.repeat(64) }), /refusal.*token/],
        [said({ cluster: 'elsewhere' }), /refusal.*cluster/],
        [said({}, { senderKind: '#gateway' }), /refusal.*(role|gateway)/],
        [said({}, { sender: 'a' }), /refusal.*name/],
        [said({ version: 99 }, { protocolVersion: 99 }), /refusal.*version/],
      ];
      for (const [i, [bytes, pattern]] of told.entries()) {
        const peer = await inside(20 + i, bytes);
        assert.match(peer.answer() ?? `nothing was said to ${pattern}`, pattern);
      }
    });
    await siege('certificates that are not in order', async () => {
      const foreign = await Authority.make(temp_dir('consort-foreign'));
      const late = await hosts.authority.issue('node', 'intruder', { days: -1 });
      const other = await hosts.authority.issue('node', 'intruder', { cluster: 'elsewhere' });
      for (const [i, cert] of [await foreign.issue('node', 'intruder'), late, other].entries()) {
        const peer = await inside(40 + i, join, { cert });
        assert.doesNotMatch(peer.answer() ?? 'refusal', /schedulerNow = [1-9]/, 'welcomed');
      }
    });
    await siege('a peer that drips its hello', async () => {
      const peer = new Peer(port, {
        cert: intruder,
        from: '127.0.20.60',
      });
      await peer.ready;
      let at = 0;
      const drip = setInterval(() => peer.send(join.subarray(at, ++at)), 100);
      await all_cut([peer], 'dripping').finally(() => clearInterval(drip));
    });
    await siege('a greeted peer that falls silent', async () => {
      const peer = new Peer(port, {
        cert: intruder,
        from: '127.0.20.61',
      });
      await peer.ready;
      peer.send(join);
      assert.ok((await all_cut([peer], 'silent')) < 5_000);
    });
    await siege('valid frames, too fast', async () => {
      const peer = new Peer(port, {
        cert: intruder,
        from: '127.0.20.62',
      });
      await peer.ready;
      const renewed = envelope(
        { event: { leaseRenewed: { node: 'intruder', life: 77 } } },
        { sequence: 2 },
      );
      const flood = Buffer.concat(Array(2_000).fill(frame(kinds.event, renewed)));
      peer.send(join);
      const pour = () => {
        while (peer.socket.writable && peer.socket.write(flood));
      };
      peer.socket.on('drain', pour);
      pour();
      await within(cut_ms_max + 7_000, peer.closed);
      assert.ok(peer.socket.destroyed, 'it is still connected');
    });

    await check('each reason was counted', async () => {
      const reasons = [
        ...['handshake_timeout', 'not_tls', 'bad_frame', 'frame_too_large', 'not_hello'],
        ...['wrong_token', 'wrong_cluster', 'wrong_role', 'wrong_name', 'frame_version'],
        ...['foreign_certificate', 'certificate_expired', 'hello_timeout'],
      ];
      for (const reason of reasons)
        assert.ok((await refused(reason)) > 0, `no ${reason} in /metrics`);
    });
    await check('each address has a line in the log, and no more than one a minute', () => {
      for (const from of ['127.0.10.1', '127.0.13.2', '127.0.20.2', '127.0.20.22'])
        assert.ok([1, 2].includes(lines_about(from)), `${lines_about(from)} lines about ${from}`);
    });
    await check('text is served as if nothing had happened', async () => {
      expect_whole(await read_stream(hosts.gateway, { max_tokens: 64 }));
      await hosts.expect_idle();
    });
    await check('no connection is left behind', async () => {
      await eventually(
        'few descriptors',
        () => hosts.scheduler.usage().descriptors < 100,
        cut_ms_max,
      );
    });
  },
);

// --- the data port -------------------------------------------------------------------------------

/// One request to a data port. Returns: {status, bytes}; status 0 when the connection was closed.
function call(port, { cert, method = 'POST', target = '/v1/attempts', body, headers = {} } = {}) {
  return new Promise((resolve) => {
    const chunks = [];
    const end = (status) => resolve({ status, bytes: Buffer.concat(chunks) });
    const options = { host: '127.0.0.1', port, method, path: target, headers, agent: false };
    const request = (cert ? https : http).request(
      { ...options, ...(cert ? tls_options(cert) : {}), timeout: 15_000 },
      (answer) => {
        answer.on('data', (piece) => chunks.push(piece));
        answer.on('error', () => end(answer.statusCode));
        answer.on('end', () => end(answer.statusCode));
      },
    );
    request.on('timeout', () => request.destroy());
    request.on('error', () => end(0));
    request.end(body);
  });
}

const ticket = (about = {}) => ({
  attempt: { request: { gateway: 1, sequence: 1 }, number: 1 },
  instance: 1,
  device: 'a/cpu0',
  node: 'a',
  nodeIncarnation: 1,
  leaseEpoch: 1,
  model: 'm',
  expiresAt: 1_000_000_000_000,
  mac: 'f'.repeat(64),
  ...about,
});
const opening = (permission) =>
  frame(
    kinds.attempt_open,
    encode('attempt.capnp', 'AttemptOpen', {
      ticket: permission,
      body: { kind: '#completion', json: '{"prompt":"x","max_tokens":4}' },
    }),
  );
/// Refused: by HTTP status, or by an `aborted` event that is the only one.
const expect_no_tokens = (answer, what) => {
  const events = answer.status === 200 ? split_frames(answer.bytes) : [];
  assert.ok(events.length <= 1, `${what}: ${events.length} events`);
  assert.ok(answer.status !== 200 || events.length === 1, `${what}: an empty answer`);
};

with_hosts(
  'hostile input at a data port',
  { tls: true, nodes: ['a'], gateways: ['g1'] },
  async (check, hosts) => {
    const port = hosts.node('a').data_port;
    const as = (role, name = 'intruder') => hosts.authority.issue(role, name);
    const serves = async () => expect_whole(await read_stream(hosts.gateway, { max_tokens: 32 }));
    const cut_at_deadline = async (count, bytes) => {
      const peers = answered(await open_many(count, port, 30, bytes));
      await serves();
      const closed = Promise.all(peers.map((one) => one.closed)).then(() => true);
      const cut = (await within(4 * cut_ms_max, closed)) ?? false;
      const left = peers.filter((one) => !one.socket.destroyed).length;
      for (const one of peers) one.destroy();
      assert.ok(cut, `${left} of ${count} still open`);
    };

    await check('silence, half a handshake and garbage are cut; streams go on', async () => {
      const first = await client_hello();
      await cut_at_deadline(attackers / 5);
      await cut_at_deadline(attackers / 5, first.subarray(0, 40));
      await cut_at_deadline(attackers / 5, crypto.randomBytes(256));
    });
    await check('forged tickets give nothing', async () => {
      const gateway = await as('gateway');
      for (const about of [{}, { mac: '' }, { mac: 'x' }, { node: 'b' }, { device: 'a/npu0' }])
        expect_no_tokens(
          await call(port, { cert: gateway, body: opening(ticket(about)) }),
          JSON.stringify(about),
        );
      await serves();
    });
    await check("a node's certificate opens no attempt", async () => {
      const answer = await call(port, { cert: await as('node'), body: opening(ticket()) });
      assert.equal(answer.status, 403, answer.bytes.toString());
    });
    await check("a gateway's certificate fetches no artifact, a node's does", async () => {
      const get = { method: 'GET', target: `/v1/artifacts/${'0'.repeat(64)}` };
      assert.equal((await call(port, { ...get, cert: await as('gateway') })).status, 403);
      assert.equal((await call(port, { ...get, cert: await as('node') })).status, 404);
    });
    await check('strangers and the expired do not get past the handshake', async () => {
      const foreign = await Authority.make(temp_dir('consort-foreign'));
      const late = await hosts.authority.issue('gateway', 'late', { days: -1 });
      const other = await hosts.authority.issue('gateway', 'x', { cluster: 'elsewhere' });
      for (const cert of [await foreign.issue('gateway', 'x'), late, other]) {
        const answer = await call(port, { cert, body: opening(ticket()) });
        assert.ok([0, 403].includes(answer.status), `${answer.status}`);
      }
    });
    await check('bodies that are none', async () => {
      const cert = await as('gateway');
      const bodies = [
        Buffer.alloc(0),
        crypto.randomBytes(1_000),
        frame(kinds.attempt_open, Buffer.alloc(0), { bytes: 1 << 30 }),
        frame(kinds.hello, Buffer.alloc(64)),
        frame(kinds.attempt_open, Buffer.alloc(64), { version: 99 }),
        opening(ticket()).subarray(0, 100),
      ];
      for (const [i, body] of bodies.entries()) {
        const answer = await call(port, { cert, body });
        assert.ok(answer.status === 0 || answer.status >= 400, `body ${i}: ${answer.status}`);
      }
      const claims = { 'content-length': `${2 ** 40}` };
      const huge = await call(port, { cert, headers: claims, body: 'x' });
      assert.ok([0, 400, 413].includes(huge.status), `${huge.status}`);
      const header = await call(port, { cert, headers: { 'x-long': 'a'.repeat(15_000) } });
      assert.ok(header.status !== 200, `${header.status}`);
    });
    await check('each address has a line in its log, and no more than one a minute', () => {
      const lines = hosts.node('a').log.split('\n');
      for (const from of ['127.0.30.1', '127.0.30.2', '127.0.0.1']) {
        const about = lines.filter((line) => line.includes(`data port refuses ${from}: `));
        assert.ok(about.length >= 1 && about.length <= 4, `${about.length} lines about ${from}`);
      }
    });
    await check('paths that lead elsewhere', async () => {
      const cert = await as('node');
      for (const target of ['/v1/artifacts/../../etc/passwd', '/', '/v1/artifacts/%2e%2e', '/x'])
        assert.ok((await call(port, { cert, method: 'GET', target })).status >= 400, target);
    });
    await check('text is served as if nothing had happened', serves);
  },
);

with_hosts(
  'a replayed ticket',
  { proxied: true, nodes: ['a'], gateways: ['g1'] },
  async (check, hosts) => {
    const node = hosts.node('a');
    let recorded = Buffer.alloc(0);
    node.data_proxy.tap = (from_gateway, bytes) => {
      if (from_gateway) recorded = Buffer.concat([recorded, bytes]);
    };
    await check('gives nothing a second time', async () => {
      expect_whole(await read_stream(hosts.gateway, { max_tokens: 8 }));
      const head = recorded.indexOf('\r\n\r\n');
      assert.ok(head > 0, 'no request was seen');
      const body = recorded.subarray(head + 4);
      assert.equal(body.subarray(0, 4).toString(), 'CSRT', 'the body is a frame');
      for (const _ of [1, 2])
        expect_no_tokens(await call(node.data_port, { body }), 'a ticket used again');
    });
    await check('nor under another number', async () => {
      const at = recorded.indexOf('CSRT');
      const altered = Buffer.from(recorded.subarray(at));
      altered[altered.indexOf('a/cpu0') + 5] ^= 1; // The device's last letter.
      expect_no_tokens(await call(node.data_port, { body: altered }), 'an altered ticket');
    });
  },
);
