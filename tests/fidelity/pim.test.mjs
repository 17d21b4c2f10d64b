// SPDX-License-Identifier: Apache-2.0
// Goal: the fit of memory that computes finds the constants that made its rows, leaves out what a
// scenario cannot say, and the constants that it scores are those that the simulator has.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { fields_of, predicted, rows_of } from './least_squares.mjs';
import { chip, errors_of_pim, fit_pim, point_of, shipped } from './pim.mjs';

const row = (model, pp, tp, phase) => ({ device: 'CENT CXL-PIM', n_dev: `${pp * tp}`, model,
  engine: `PP=${pp} TP=${tp}`, phase, isl: '512', osl: '3584', e2e_ms: '1', power_w: '1' });
const rows = ['Llama2-7B', 'Llama2-13B', 'Llama2-70B'].flatMap((model) =>
  [[1, 8], [4, 2], [8, 1]].flatMap(([pp, tp]) =>
    ['prefill', 'decoding', 'end2end'].map((phase) => row(model, pp, tp, phase))));

test('a fit finds the constants that made its rows', () => {
  const wanted = [1 / 0.4, 1 / 0.08, 1 / 0.02];
  const points = rows.map(point_of).map((point) => ({ ...point, y: predicted(wanted, point) }));
  for (const point of points) {
    const [compute, kv, link] = point.x.map((v, i) => v * wanted[i] / point.y);
    point.watts = chip.idle_w + 30 * (compute + 0.5 * kv / point.tp + 0.25 * link);
  }
  const fit = fit_pim(points);
  const near = { eta_w: 0.4, eta_kv: 0.08, eta_link: 0.02, tdp_w: chip.idle_w + 30, kv_draw: 0.5,
    link_draw: 0.25 };
  for (const [name, value] of Object.entries(near))
    assert.ok(Math.abs(fit.constants[name] / value - 1) < 0.01, `${name} ${fit.constants[name]}`);
  assert.ok(errors_of_pim(fit, points).worst < 1);
});

test('rows of other devices, and of more stages than devices, are left out', () => {
  assert.equal(point_of({ ...row('Llama2-7B', 8, 1, 'prefill'), device: 'A100-80GB' }), null);
  assert.equal(point_of({ ...row('Llama2-7B', 32, 1, 'prefill'), n_dev: '8' }), null);
  assert.equal(point_of({ ...row('Llama2-7B', 8, 1, 'prefill'), engine: 'vLLM' }), null);
});

test('what is scored is what ships', () => {
  const models = join(dirname(fileURLToPath(import.meta.url)), '../../scenarios/models');
  const roofline = readFileSync(join(models, 'roofline.cpp'), 'utf8');
  const pim = roofline.slice(roofline.indexOf('"pim"'), roofline.indexOf('"gpu"'));
  for (const name of ['eta_w', 'eta_kv', 'eta_link'])
    assert.match(pim, new RegExp(`made\\.${name} = ${shipped[name]};`));
  for (const name of ['kv_draw', 'link_draw'])
    assert.match(roofline, new RegExp(`${name} = ${shipped[name]};`));
  const specs = readFileSync(join(models, 'chip_spec.cpp'), 'utf8');
  assert.match(specs, new RegExp(`"cent-cxl-pim", "pim", "skhynix", 16, ${chip.gbps}, 16, 16, `
    + `${shipped.tdp_w}, ${chip.idle_w}, 0, ${chip.link_gbps},`));
});

test('a quoted field keeps its comma', () => {
  assert.deepEqual(fields_of('a,"b, c",,"say ""d"""'), ['a', 'b, c', '', 'say "d"']);
  assert.deepEqual(rows_of('x,y\n1,"2,3"\n'), [{ x: '1', y: '2,3' }]);
});
