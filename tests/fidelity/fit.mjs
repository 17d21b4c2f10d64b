// SPDX-License-Identifier: Apache-2.0
// Fits the roofline's four constants to measured closed-loop points, by chip, engine and model: on
// the even rows of each group, scored on the odd ones: node tests/fidelity/fit.mjs POINTS.csv
// Columns used: source, device, n_dev, model, precision, engine, concurrency, isl, osl, tpot_ms, as
// in aiconfigurator's silicon samples (Apache-2.0). Then those of memory that computes (pim.mjs),
// of rows that CENT publishes: phase, e2e_ms and power_w beside.
import { readFileSync } from 'node:fs';
import { mape, rows_of, solve } from './least_squares.mjs';
import { print_pim } from './pim.mjs';

const path = process.argv[2];
if (!path) {
  console.error('usage: node tests/fidelity/fit.mjs POINTS.csv');
  process.exit(2);
}

// Layers, hidden, heads, KV heads, head, ffn, vocabulary, experts, of them active.
const shapes = {
  'meta-llama/Llama-3.1-8B-Instruct': [32, 4096, 32, 8, 128, 14336, 128256, 1, 1],
  'meta-llama/Llama-3.1-70B': [80, 8192, 64, 8, 128, 28672, 128256, 1, 1],
  'Qwen/Qwen3-32B': [64, 5120, 64, 8, 128, 25600, 151936, 1, 1],
  'openai/gpt-oss-120b': [36, 2880, 64, 8, 64, 2880, 201088, 128, 4],
};
// TFLOPS of 16 and of 8 bits, GB/s, GB/s of a link.
const chips = {
  h100_sxm: [989, 1979, 3350, 450],
  h200_sxm: [989, 1979, 4800, 450],
  b200_sxm: [2250, 4500, 8000, 900],
};

/** What each constant multiplies, in ms, the all-reduce apart, and the measured time. */
const features = (row) => {
  const shape = shapes[row.model];
  const chip = chips[row.device];
  const [tp, batch, isl, osl, tpot]
    = ['n_dev', 'concurrency', 'isl', 'osl', 'tpot_ms'].map((name) => Number(row[name]));
  if (!shape || !chip || !(tp && batch && isl && osl && tpot))
    return null;
  const [layers, hidden, heads, kvHeads, head, ffn, vocab, experts, active] = shape;
  const [f16, f8, bandwidth, link] = chip;
  const each = { fp8: 1, fp4: 0.5 }[row.precision] ?? 2;
  const attention = hidden * (2 * heads * head + 2 * kvHeads * head);
  const params = layers * (attention + active * 3 * hidden * ffn);
  const chosen = experts === 1 ? 1 : experts * (1 - (1 - active / experts) ** batch);
  const weights = (layers * (attention + chosen * 3 * hidden * ffn) + vocab * hidden) * each;
  const kv = 2 * layers * kvHeads * head * (each === 2 ? 2 : 1);
  const flops = each === 2 ? f16 : f8;
  const reduce = tp === 1
    ? 0
    : 2 * layers * (0.01 + 2 * (tp - 1) / tp * batch * hidden * 2 / (link * 1e6));
  return {
    x: [
      1,
      weights / (bandwidth * 1e6 * tp),
      batch * (isl + osl / 2) * kv / (bandwidth * 1e6 * tp),
      batch / osl * isl * 2 * params / (flops * 1e9 * tp),
    ],
    known: reduce,
    y: tpot,
  };
};

const rows = rows_of(readFileSync(path, 'utf8'));
const groups = new Map();
for (const row of rows) {
  const point = row.source === 'AIC silicon_sample' ? features(row) : null;
  const key = `${row.device} ${row.engine.split(' ')[0]} ${row.model} ${row.precision}`;
  if (point)
    groups.set(key, [...(groups.get(key) ?? []), point]);
}
console.log('points  fitted %  held out %   c0 ms  eta_w  eta_kv   mfu');
for (const [key, points] of [...groups].sort()) {
  if (points.length < 30)
    continue;
  const weights = solve(points.filter((_, at) => at % 2 === 0));
  const figures = [
    String(points.length).padStart(6),
    mape(weights, points.filter((_, at) => at % 2 === 0)).toFixed(1).padStart(9),
    mape(weights, points.filter((_, at) => at % 2 === 1)).toFixed(1).padStart(11),
    weights[0].toFixed(2).padStart(7),
    ...weights.slice(1).map((w) => (w > 0 ? (1 / w).toFixed(2) : '-').padStart(6)),
  ];
  console.log(`${figures.join(' ')}  ${key}`);
}
print_pim(rows);
