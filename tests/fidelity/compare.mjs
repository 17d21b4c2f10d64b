// SPDX-License-Identifier: Apache-2.0
// Runs every scenario of this folder and prints its mean absolute percentage error of each request
// against the measured run: node tests/fidelity/compare.mjs CONSORT
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const here = dirname(fileURLToPath(import.meta.url));

export const rows = (path) => {
  const [header, ...lines] = readFileSync(path, 'utf8').trim().split('\n');
  const names = header.split(',');
  return lines.map((line) =>
    Object.fromEntries(line.split(',').map((field, at) => [names[at], field])));
};

/** Mean error in per cent of [simulated, measured] pairs. */
const error = (pairs) => {
  const used = pairs.filter(([, real]) => real > 0);
  const sum = used.reduce((total, [sim, real]) => total + Math.abs(sim - real) / real, 0);
  return (100 * sum) / used.length;
};

export const compare = (simulated, measured) => {
  const spans = (one) => {
    const first = (one.first_token_us - one.submitted_us) / 1e3;
    const all = (one.ended_us - one.submitted_us) / 1e3;
    const tokens = Math.max(one.completion_tokens - 1, 1);
    return { ttft: first, tpot: (all - first) / tokens, e2e: all };
  };
  return Object.fromEntries(['ttft', 'tpot', 'e2e'].map((name) => [
    name,
    error(simulated.map((one, at) => [spans(one)[name], Number(measured[at][`real_${name}_ms`])])),
  ]));
};

// Of how many requests, from the first on, something was fitted.
const runs = [
  ['rtx4090-table', 'rtx4090-llama-3.1-8b', 0],
  ['rtx4090-roofline', 'rtx4090-llama-3.1-8b', 150],
  ['rtx-pro-6000x2-table', 'rtx-pro-6000x2-qwen3-32b', 150],
  ['rtx-pro-6000x2-roofline', 'rtx-pro-6000x2-qwen3-32b', 150],
];

const print = (consort) => {
  console.log('scenario                  requests   TTFT %   TPOT %    E2E %');
  for (const [scenario, data, fitted] of runs) {
    const out = mkdtempSync(join(tmpdir(), 'fidelity-'));
    execFileSync(consort, ['sim', join(here, `${scenario}.json`), '--out', out]);
    const simulated = rows(join(out, 'requests.csv'));
    const measured = rows(join(here, 'data', data, 'measured.csv'));
    rmSync(out, { recursive: true });
    const parts
      = { all: () => true, fitted: (_, at) => at < fitted, held: (_, at) => at >= fitted };
    for (const [part, keep] of Object.entries(parts)) {
      const kept = simulated.filter(keep);
      if (!kept.length)
        continue;
      const found = compare(kept, measured.filter(keep));
      const figures = Object.values(found).map((value) => value.toFixed(2).padStart(8)).join(' ');
      console.log(`${scenario.padEnd(25)} ${part.padEnd(8)} ${figures}`);
    }
  }
};

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (process.argv[2]) {
    print(process.argv[2]);
  } else {
    console.error('usage: node tests/fidelity/compare.mjs CONSORT');
    process.exit(2);
  }
}
