// SPDX-License-Identifier: Apache-2.0
// Goal: kernels measured one by one become the tables that a device of the simulator reads, each
// number where its kernel says, and what was not measured between its neighbours.
import assert from 'node:assert/strict';
import test from 'node:test';
import { make_table, on_line, parse_csv, surface } from './operators.mjs';

const shape = { hidden: 4, heads: 2, kv: 2, head: 1, ffn: 4, vocab: 8 };

/** A kernel's time in ms is a formula of its sizes, so that what comes out can be foreseen. */
const kernels = () => {
  const gemm = [];
  for (const gemm_dtype of ['bfloat16', 'fp8'])
    for (const m of [1, 4]) for (const n of [2, 8]) for (const k of [2, 4])
      gemm.push({ gemm_dtype, m, n, k, latency: m * n * k * (gemm_dtype === 'fp8' ? 0.5 : 1) });
  const of = { num_key_value_heads: 2, num_heads: 2, head_dim: 1, kv_cache_dtype: 'bfloat16' };
  const context_attention = [16, 2048].map((isl) => ({ ...of, batch_size: 1, isl, latency: isl }));
  const generation_attention = [1, 2].flatMap((batch_size) => [255, 1023].map((step) =>
    ({ ...of, batch_size, isl: 1, step, latency: batch_size * (step + 1) / 1e3 })));
  const rows = (list) => list.map((row) =>
    Object.fromEntries(Object.entries(row).map(([name, value]) => [name, String(value)])));
  return {
    gemm: rows(gemm), context_attention: rows(context_attention),
    generation_attention: rows(generation_attention),
    custom_allreduce: rows([{ num_gpus: 2, message_size: 8, latency: 1 }]),
  };
};

test('a line goes through its points and on', () => {
  assert.equal(on_line([[1, 10], [3, 30]], 2), 20);
  assert.equal(on_line([[1, 10], [3, 30]], 5), 50);
  assert.equal(on_line([[1, 10], [3, 30]], 0), 10);
});

test('a surface is flat between its corners, on every axis', () => {
  const plane = surface(kernels().gemm.filter((row) => row.gemm_dtype === 'fp8'), ['n', 'k', 'm']);
  assert.equal(plane(8, 4, 4), 64);
  assert.equal(plane(5, 4, 1), 10);
  assert.equal(plane(16, 4, 1), 32);
});

test('comments and the header are no rows', () => {
  assert.deepEqual(parse_csv('# from there\na,b\n1,2\n'), [{ a: '1', b: '2' }]);
});

test('each layer is the product of its own sizes, the head is not quantized', () => {
  const table = make_table(kernels(), shape, 1, 'bfloat16');
  const lines = table['dense.csv'].split('\n');
  assert.ok(lines.includes('qkv_proj,4,96000.000'), '4 tokens x (2 + 2 x 2) x 4 in us');
  assert.ok(lines.includes('o_proj,1,8000.000'), '1 x 4 x 2');
  assert.ok(lines.includes('gate_up_proj,1,32000.000'), '1 x 2 x 4 x 4');
  assert.ok(lines.includes('allreduce,4,0.000'), 'one card has none');
  assert.ok(table['per_sequence.csv'].includes('\nlm_head,1,32000.000\n'));
});

test('prompts and decodes of a step are added, a chunk costs what its past makes it cost', () => {
  const lines = make_table(kernels(), shape, 1, 'bfloat16')['attention.csv'].split('\n');
  assert.ok(lines.includes('16,0,0,0,16000.000'));
  assert.ok(lines.includes('16,1024,0,0,16000.000'), '1,040 less 1,024');
  assert.ok(lines.includes('0,0,2,1024,2048.000'));
  assert.ok(lines.includes('16,0,2,1024,18048.000'));
});

test('what has no kernels has no table', () => {
  assert.equal(make_table(kernels(), shape, 4, 'bfloat16'), null);
  assert.equal(make_table(kernels(), { ...shape, heads: 3 }, 1, 'bfloat16'), null);
  assert.equal(make_table(kernels(), shape, 1, 'fp8_block'), null);
});
