// SPDX-License-Identifier: Apache-2.0
// The roofline's constants of memory that computes, fitted to what CENT (ASPLOS'25, MIT) publishes
// of its own devices: cycles simulated by it, nothing measured. Part of fit.mjs.
//
// Such memory multiplies one vector at a time: a prompt's tokens read all weights and their past
// like decoded ones, and nothing is shared by a batch. So every row, prefill or decode, is the time
// of one token in one sequence of as many as the pipeline has stages:
//   W / (tp BW eta_w) + context q / (BW eta_kv) + 2 L 2 (tp-1)/tp d b / (link eta_link)
// with q the cache once for each head that asks (not for each that is kept), all on one chip, and
// of a decoded token the host's part, which CENT's figures do not have.
import { mape, predicted, solve, worst } from './least_squares.mjs';

/** As models/chip_spec.cpp has the chip, and models/roofline.cpp what is not fitted. */
export const chip = { gbps: 16384, link_gbps: 64, idle_w: 5 };
const host_us = 50 + 5;

/** Layers, hidden, heads, KV heads, head, ffn, vocabulary. */
const shapes = {
  'Llama2-7B': [32, 4096, 32, 32, 128, 11008, 32000],
  'Llama2-13B': [40, 5120, 40, 40, 128, 13824, 32000],
  'Llama2-70B': [80, 8192, 64, 8, 128, 28672, 32000],
};

/** Null: no row of CENT's, or one of more stages than devices, which a scenario cannot say. */
export const point_of = (row) => {
  const [, pp, tp] = (/^PP=(\d+) TP=(\d+)$/.exec(row.engine) ?? []).map(Number);
  const shape = shapes[row.model];
  const devices = Number(row.n_dev);
  if (!row.device.startsWith('CENT') || !shape || !(pp * tp <= devices))
    return null;
  const [layers, hidden, heads, kv_heads, head, ffn, vocab] = shape;
  const [isl, osl, e2e_ms] = ['isl', 'osl', 'e2e_ms'].map((name) => Number(row[name]));
  const [prompt, made] = { prefill: [isl, 0], decoding: [0, osl], end2end: [isl, osl] }[row.phase];
  const tokens = prompt + made;
  const context = (prompt * isl / 2 + made * (isl + osl / 2)) / tokens;
  const weights
    = (layers * hidden * (2 * heads * head + 2 * kv_heads * head + 3 * ffn) + vocab * hidden) * 2;
  return {
    x: [
      weights / (chip.gbps * 1e3 * tp),
      context * 2 * layers * heads * head * 2 / (chip.gbps * 1e3),
      2 * layers * 2 * (tp - 1) / tp * hidden * 2 / (chip.link_gbps * 1e3),
    ],
    known: host_us * made / tokens,
    y: e2e_ms * 1e3 / tokens,
    model: row.model, phase: row.phase, pp, tp, tokens,
    watts: Number(row.power_w) / devices,
  };
};

/** Of a chip's power beyond idle: by the shares of a step that weights, cache and link take. */
const power_point = (weights, point) => {
  const [compute, kv, link] = point.x.map((v, i) => v * weights[i] / predicted(weights, point));
  return { x: [compute, kv / point.tp, link], known: chip.idle_w, y: point.watts };
};

/** Fitted on some points. Returns: constants as roofline.cpp has them, and both sets of weights. */
export const fit_pim = (points) => {
  const times = solve(points);
  const power = solve(points.map((point) => power_point(times, point)));
  const [eta_w, eta_kv, eta_link] = times.map((w) => 1 / w);
  const [full, kv, link] = power;
  return { times, power,
    constants: { eta_w, eta_kv, eta_link, tdp_w: chip.idle_w + full,
      kv_draw: kv / full, link_draw: link / full } };
};

export const errors_of_pim = ({ times, power }, points) => {
  const powers = points.map((point) => power_point(times, point));
  return { time: mape(times, points), worst: worst(times, points), power: mape(power, powers) };
};

/** As roofline.cpp and chip_spec.cpp have them: those of the first line below, rounded. */
export const shipped = { eta_w: 0.4, eta_kv: 0.079, eta_link: 0.019, tdp_w: 39, kv_draw: 0.18,
  link_draw: 0.22 };

const as_fit = ({ eta_w, eta_kv, eta_link, tdp_w, kv_draw, link_draw }) => {
  const full = tdp_w - chip.idle_w;
  return { times: [1 / eta_w, 1 / eta_kv, 1 / eta_link],
    power: [full, full * kv_draw, full * link_draw] };
};

const line = (name, fit, fitted, held) => {
  const of = (points) => {
    const { time, worst: most, power } = errors_of_pim(fit, points);
    return [time, most, power].map((value) => value.toFixed(1).padStart(6)).join(' ');
  };
  const constants = fit.constants
    ? Object.values(fit.constants).map((value) => value.toPrecision(3).padStart(7)).join(' ') : '';
  console.log(name.padEnd(24), fitted.length ? of(fitted) : ' '.repeat(20), of(held), constants);
};

/** Prints each model held out, then every row beside what the shipped constants say. */
export const print_pim = (rows) => {
  const points = rows.map(point_of).filter(Boolean);
  if (!points.length)
    return;
  console.log(`\nCENT, ${points.length} rows: per cent of the time of a token (mean, worst) and of`
    + ' power\nheld out                 fitted               held out             '
    + 'eta_w  eta_kv eta_link tdp_w kv_draw link_draw');
  for (const model of ['Llama2-13B', 'Llama2-7B', 'Llama2-70B']) {
    const fitted = points.filter((one) => one.model !== model);
    line(model, fit_pim(fitted), fitted, points.filter((one) => one.model === model));
  }
  const fit = as_fit(shipped);
  line('shipped, all rows', fit, [], points);
  console.log('\nmodel        PP TP  phase      ms a token: published, here   W a device');
  for (const point of points) {
    const here = predicted(fit.times, point);
    console.log(point.model.padEnd(12), `${point.pp}`.padStart(2), `${point.tp}`.padStart(2), '',
      point.phase.padEnd(9), (point.y / 1e3).toFixed(3).padStart(12),
      (here / 1e3).toFixed(3).padStart(8), `${(here / point.y).toFixed(2)}x`.padStart(7),
      point.watts.toFixed(1).padStart(8),
      predicted(fit.power, power_point(fit.times, point)).toFixed(1).padStart(6));
  }
};
