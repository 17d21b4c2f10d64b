// SPDX-License-Identifier: Apache-2.0
// Kills agents while they fetch an artifact from another node: after a random number of its bytes,
// or a moment after the last. Each time the store must verify clean and no process may be left.
// Usage: CONSORT_BIN=... node tests/storm/transfer_kills.mjs [--rounds 100] [--seed 1]
import assert from 'node:assert/strict';
import { Hosts } from '../system/hosts_support.mjs';
import { descendants, eventually, expect_gone, run_cli, sleep } from '../system/support.mjs';
import { options_from } from './storm_support.mjs';

const options = options_from({ rounds: 100, seed: 1 });
const story = { prompt: 'Once upon a time', max_tokens: 4, temperature: 0 };
const put_away_ms_max = 30; // After the last byte: hashing, syncing, renaming, loading.

let state = options.seed >>> 0;
/// The next number of a sequence that its seed decides, in [0, 1).
function random() {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return state / 2 ** 32;
}

/// Resolves once `node` was killed: with `from` having sent `bytes` of an answer, and `ms` later.
function kill_after(node, from, bytes, ms) {
  let sent = 0;
  return new Promise((killed) => {
    from.data_proxy.tap = (asked, piece) => {
      sent += asked ? 0 : piece.length;
      if (sent < bytes) return;
      from.data_proxy.tap = null;
      if (ms === 0) node.signal('SIGKILL');
      setTimeout(() => killed(node.signal('SIGKILL')), ms);
    };
  });
}

const hosts = new Hosts({ nodes: ['source'], proxied: true });
const asked = [];
let bad = 0;
let kept = 0;
try {
  await hosts.start();
  const on = (name) =>
    hosts.gateway.complete(story, {
      'X-Consort-Device': `${name}/npu0`,
      'X-Consort-Wait': '30s',
    });
  assert.equal((await on('source')).status, 200);
  const [artifact] = await hosts.gateway.list('artifacts');
  for (let round = 0; round < options.rounds; ++round) {
    const node = await hosts.add_node(`r${round}`);
    await hosts.expect_alive(['source', node.name]);
    const whole = random() < 0.3;
    const bytes = whole ? artifact.size_bytes : 1 + random() * artifact.size_bytes;
    const ms = whole ? random() * put_away_ms_max : 0;
    const dead = kill_after(node, hosts.node('source'), bytes, ms);
    const answer = on(node.name).catch(() => null);
    const family = descendants(node.pid);
    await Promise.race([dead, sleep(30_000)]);
    await eventually(`${node.name} is dead`, () => !node.up);
    await expect_gone(family);
    const args = ['artifacts', 'verify', '--data', hosts.data_of(node.name)];
    const verified = await run_cli(args);
    if (verified.code !== 0) ++bad;
    if (verified.code !== 0) console.error(`round ${round}: ${verified.stderr}`);
    if (verified.stdout.includes(artifact.content.slice(0, 8))) ++kept;
    await node.destroy();
    node.link_proxy.close();
    node.data_proxy.close();
    asked.push(answer);
  }
  await Promise.all(asked); // Of any kind; that each of them ends is what counts.
} finally {
  await hosts.destroy();
}
console.log(
  `${options.rounds} kills of a fetching agent, seed ${options.seed}: ${kept} after the artifact ` +
    `was put away, ${bad} stores that do not verify`,
);
process.exit(bad === 0 ? 0 : 1);
