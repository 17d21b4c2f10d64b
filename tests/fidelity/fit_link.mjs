// SPDX-License-Identifier: Apache-2.0
// Fits what joins the two cards of rtx-pro-6000x2-table.json, bandwidth and time of a hop, on one
// half of the requests and scores the other: node tests/fidelity/fit_link.mjs CONSORT
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compare, here, rows } from './compare.mjs';

const consort = process.argv[2];
if (!consort) {
  console.error('usage: node tests/fidelity/fit_link.mjs CONSORT');
  process.exit(2);
}
const out = mkdtempSync(join(tmpdir(), 'fit-link-'));
const device = 'nodes[0].devices[0]';
const done = spawnSync(consort, ['sim', join(here, 'rtx-pro-6000x2-table.json'), '--out', out,
  '--sweep', `${device}.link_gb_per_s=13,14,15,15.5,16,16.5,17,17.5,18`,
  '--sweep', `${device}.hop_us=20..70:5`], { encoding: 'utf8' });
if (done.status !== 0) {
  console.error(done.stderr);
  process.exit(1);
}
const measured = rows(join(here, 'data/rtx-pro-6000x2-qwen3-32b/measured.csv'));
const half = measured.length / 2;
const score = (simulated, keep) =>
  compare(simulated.filter((_, at) => keep(at)), measured.filter((_, at) => keep(at)));
const runs = readdirSync(out).filter((name) => name.includes('hop_us')).map((name) => ({
  link: Number(/link_gb_per_s=([\d.]+)/.exec(name)[1]),
  hop: Number(/hop_us=([\d.]+)/.exec(name)[1]),
  simulated: rows(join(out, name, 'requests.csv')),
}));
rmSync(out, { recursive: true });
const figures = ({ ttft, tpot, e2e }) =>
  [ttft, tpot, e2e].map((value) => value.toFixed(2).padStart(7)).join('');
console.log('fitted on  GB/s  hop us  fitted: TTFT   TPOT    E2E  held out: TTFT   TPOT    E2E');
for (const [name, mine] of [['first', (at) => at < half], ['second', (at) => at >= half]]) {
  const found = runs.map(({ link, hop, simulated }) => {
    const fitted = score(simulated, mine);
    const held = score(simulated, (at) => !mine(at));
    return { link, hop, fitted, held, sum: fitted.ttft + fitted.tpot + fitted.e2e };
  }).sort((a, b) => a.sum - b.sum);
  for (const { link, hop, fitted, held } of found.slice(0, 3))
    console.log(name.padEnd(9), String(link).padStart(5), String(hop).padStart(7),
      figures(fitted).padStart(27), figures(held).padStart(29));
}
