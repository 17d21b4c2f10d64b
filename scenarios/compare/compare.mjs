// SPDX-License-Identifier: Apache-2.0
// Plays a scenario of this folder under several policies and sets them side by side:
//   node scenarios/compare/compare.mjs CONSORT SCENARIO.json POLICY...
// The figures of docs/SIMULATION.md are printed by it.
import { spawnSync } from 'node:child_process';

const [consort, scenario, ...policies] = process.argv.slice(2);
if (!policies.length) {
  console.error('usage: node scenarios/compare/compare.mjs CONSORT SCENARIO.json POLICY...');
  process.exit(2);
}

const seconds = (figures, name) => (figures[name] / 1e3).toFixed(3).padStart(9);
console.log(
  'policy              tokens/s  TTFT mean       p50       p90       p99   cached  wall s');
for (const policy of policies) {
  const start = Date.now();
  const run = spawnSync(consort, ['sim', scenario, '--policy', policy, '-o', 'json'],
    { encoding: 'utf8', maxBuffer: 1 << 28 });
  if (!run.stdout) {
    console.error(run.stderr);
    process.exit(1);
  }
  const { figures } = JSON.parse(run.stdout);
  console.log([
    policy.padEnd(18),
    figures.tokens_per_s.toFixed(0).padStart(9),
    seconds(figures, 'ttft_mean_ms'),
    seconds(figures, 'ttft_p50_ms'),
    seconds(figures, 'ttft_p90_ms'),
    seconds(figures, 'ttft_p99_ms'),
    (figures.cached_share ?? 0).toFixed(3).padStart(8),
    ((Date.now() - start) / 1e3).toFixed(1).padStart(7),
  ].join(' '));
}
