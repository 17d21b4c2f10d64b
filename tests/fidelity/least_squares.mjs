// SPDX-License-Identifier: Apache-2.0
// What the scripts that fit constants to published points share.

/** Fields of a line of CSV, quoted ones without their quotes. */
export const fields_of = (line) =>
  [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)]
    .map(([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain.trim());

/** Rows of a CSV text by the names of its header. */
export const rows_of = (text) => {
  const [names, ...rows] = text.trim().split('\n').map(fields_of);
  return rows.map((row) => Object.fromEntries(names.map((name, at) => [name, row[at]])));
};

/**
 * Non-negative least squares of relative errors, by coordinate descent. Each point has `x`, what
 * the constants are multiplied with, `known`, what is added to that, and the measured `y`.
 */
export const solve = (points) => {
  const count = points[0].x.length;
  const weights = Array(count).fill(1);
  const rows = points.map(({ x, known, y }) => [x.map((v) => v / y), 1 - known / y]);
  const sum = (f) => rows.reduce((total, row) => total + f(row), 0);
  const a = weights.map((_, i) => weights.map((__, j) => sum(([x]) => x[i] * x[j])));
  const b = weights.map((_, i) => sum(([x, y]) => x[i] * y));
  for (let round = 0; round < 3000; ++round)
    for (let i = 0; i < count; ++i) {
      const rest = weights.reduce((total, w, j) => (j === i ? total : total + a[i][j] * w), 0);
      weights[i] = a[i][i] > 0 ? Math.max(0, (b[i] - rest) / a[i][i]) : 0;
    }
  return weights;
};

export const predicted = (weights, { x, known }) =>
  x.reduce((total, v, i) => total + v * weights[i], known);

const errors_of = (weights, points) =>
  points.map((point) => 100 * Math.abs(predicted(weights, point) - point.y) / point.y);

/** Mean absolute error in per cent. */
export const mape = (weights, points) => {
  const errors = errors_of(weights, points);
  return errors.reduce((total, one) => total + one, 0) / errors.length;
};

export const worst = (weights, points) => Math.max(...errors_of(weights, points));
