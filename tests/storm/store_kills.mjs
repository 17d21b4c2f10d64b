// SPDX-License-Identifier: Apache-2.0
// Kills the agent at random moments of a build and of putting it away; each time the store must
// verify clean, no process may be left, and the next start must serve.
// Usage: CONSORT_BIN=... node tests/storm/store_kills.mjs [--rounds 100] [--seed 1]
import fs from 'node:fs';
import path from 'node:path';
import { Cluster, descendants, expect_gone, run_cli, sleep, temp_dir } from '../system/support.mjs';
import { options_from } from './storm_support.mjs';

const options = options_from({ rounds: 100, seed: 1 });
const latest_ms = 3_500; // Past the end of a build.

/// The next number of a sequence that its seed decides, in [0, 1).
let state = options.seed >>> 0;
function random() {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return state / 2 ** 32;
}

const data = temp_dir('consort-kills');
let built = 0;
let bad = 0;
for (let round = 0; round < options.rounds; ++round) {
  const store = path.join(data, 'artifacts');
  if (fs.existsSync(store) && fs.readdirSync(store).length > 0) {
    fs.rmSync(store, { recursive: true });
    ++built;
  }
  const cluster = new Cluster({ data });
  await cluster.start();
  await cluster.post('/api/v1/compile', { model: await cluster.model(), for: 'npu' });
  await sleep(random() * latest_ms);
  const family = descendants(cluster.pid);
  await cluster.kill();
  await expect_gone(family);
  const verified = await run_cli(['artifacts', 'verify', '--data', data]);
  if (verified.code !== 0) {
    ++bad;
    console.error(`round ${round}: ${verified.stderr}`);
  }
}
console.log(
  `${options.rounds} kills, seed ${options.seed}: ${built} after the build was put away, ` +
    `${bad} stores that do not verify`,
);
fs.rmSync(data, { recursive: true, force: true });
process.exit(bad === 0 ? 0 : 1);
