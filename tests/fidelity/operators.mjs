// SPDX-License-Identifier: Apache-2.0
// Makes a table device of kernels that were measured one by one, for dense models that no profile
// was made of, and scores it against servers that were measured whole:
//   node tests/fidelity/operators.mjs CONSORT OPERATORS_DIR POINTS.csv
// OPERATORS_DIR holds aiconfigurator's vLLM kernels (ai-dynamo/aiconfigurator, Apache-2.0) as
// CHIP__ENGINE__{gemm,context_attention,generation_attention,custom_allreduce}_perf.csv.xz, latency
// in ms; POINTS.csv its silicon samples, as for fit.mjs. Neither is shipped.
//
// What was not measured is not there: norms, rotary embedding, activation, sampling, and what the
// engine's own Python takes. So there are two scores: nothing fitted, and with one constant of a
// step (`step_overhead`) from the even rows of each group, scored on the odd ones.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** As the simulator names them; layers, hidden, heads, KV heads, head, ffn, vocabulary. */
export const shapes = {
  'meta-llama/Llama-3.1-8B-Instruct':
    ['llama-3.1-8b', { hidden: 4096, heads: 32, kv: 8, head: 128, ffn: 14336, vocab: 128256 }],
  'meta-llama/Llama-3.1-70B':
    ['llama-3.1-70b', { hidden: 8192, heads: 64, kv: 8, head: 128, ffn: 28672, vocab: 128256 }],
  'Qwen/Qwen3-32B':
    ['qwen3-32b', { hidden: 5120, heads: 64, kv: 8, head: 128, ffn: 25600, vocab: 151936 }],
};
const chips = { h100_sxm: 'h100-sxm', h200_sxm: 'h200-sxm', b200_sxm: 'b200-sxm' };

export const parse_csv = (text) => {
  const [header, ...lines] = text.split('\n').filter((line) => line && !line.startsWith('#'));
  const names = header.trim().split(',');
  return lines.map((line) =>
    Object.fromEntries(line.split(',').map((field, at) => [names[at], field.trim()])));
};

/** Points [size, value]: between two on a line, beyond the last in its direction. */
export const on_line = (points, wanted) => {
  if (points.length === 1 || wanted <= points[0][0]) return points[0][1];
  let at = points.findIndex(([size]) => size >= wanted);
  at = at < 0 ? points.length - 1 : at;
  const [[x0, y0], [x1, y1]] = [points[at - 1], points[at]];
  return y0 + (y1 - y0) * (wanted - x0) / (x1 - x0);
};

/** Rows as a function of several axes, each a line between its neighbours. */
export const surface = (rows, axes) => {
  if (!axes.length) return () => Number(rows[0].latency);
  const parts = new Map();
  for (const row of rows) {
    const size = Number(row[axes[0]]);
    parts.set(size, [...(parts.get(size) ?? []), row]);
  }
  const inner = [...parts].sort(([a], [b]) => a - b)
    .map(([size, own]) => [size, surface(own, axes.slice(1))]);
  return (wanted, ...rest) => {
    const above = inner.findIndex(([size]) => size >= wanted);
    const last = Math.max(1, above < 0 ? inner.length - 1 : above);
    const near = inner.slice(last - 1, last + 1).map(([size, value]) => [size, value(...rest)]);
    return on_line(near, wanted);
  };
};

const same = (rows, wanted) => rows.filter((row) =>
  Object.entries(wanted).every(([name, value]) => row[name] === String(value)));
const us = (ms) => Math.max(ms * 1e3, 0).toFixed(3);

/** The files of scenarios/models/operator_tables.hpp, of one rank. Null: kernels are missing. */
export const make_table = (kernels, shape, tp, dtype) => {
  const { hidden, head, ffn, vocab } = shape;
  const [heads, kv] = [shape.heads / tp, Math.max(shape.kv / tp, 1)];
  const gemm = (kind) => same(kernels.gemm, { gemm_dtype: kind });
  const attention = { num_heads: heads, num_key_value_heads: kv, head_dim: head,
    kv_cache_dtype: dtype === 'fp8' ? 'fp8' : 'bfloat16' };
  const prefill = same(kernels.context_attention, { ...attention, batch_size: 1 });
  const decode = same(kernels.generation_attention, attention);
  const reduce = same(kernels.custom_allreduce, { num_gpus: tp });
  if (!gemm(dtype).length || !prefill.length || !decode.length || (tp > 1 && !reduce.length))
    return null;
  const tokens = [...new Set(gemm(dtype).map((row) => Number(row.m)))].sort((a, b) => a - b);
  const product = surface(gemm(dtype), ['n', 'k', 'm']);
  const head_product = surface(gemm('bfloat16'), ['n', 'k', 'm']);
  const reduced = tp > 1 ? surface(reduce, ['message_size']) : () => 0;
  const layers = {
    qkv_proj: (m) => product((heads + 2 * kv) * head, hidden, m),
    o_proj: (m) => product(hidden, heads * head, m),
    gate_up_proj: (m) => product(2 * ffn / tp, hidden, m),
    down_proj: (m) => product(hidden, ffn / tp, m),
    allreduce: (m) => 2 * reduced(m * hidden * 2),
  };
  const dense = Object.entries(layers).flatMap(([name, time]) =>
    tokens.map((m) => `${name},${m},${us(time(m))}`));
  const output = tokens.map((m) => `lm_head,${m},${us(head_product(vocab / tp, hidden, m))}`);
  return {
    'dense.csv': ['layer,tokens,time_us', ...dense].join('\n') + '\n',
    'per_sequence.csv': ['layer,sequences,time_us', ...output].join('\n') + '\n',
    'attention.csv': attention_rows(prefill, decode).join('\n') + '\n',
  };
};

/**
 * Prompts and decodes of a step were measured apart, and are added. A chunk behind a past is what
 * the whole prompt takes more than its past alone, and no less than the chunk by itself.
 */
const attention_rows = (prefill, decode) => {
  const whole = surface(prefill, ['isl']);
  const contexts = decode.map((row) => ({ ...row, context: Number(row.isl) + Number(row.step) }));
  const reads = surface(contexts, ['batch_size', 'context']);
  const sizes = (rows, name) => [...new Set(rows.map((row) => Number(row[name])))]
    .sort((a, b) => a - b);
  const made = ['prefill_chunk,kv_prefill,n_decode,kv_decode,time_us'];
  for (const chunk of [0, ...sizes(prefill, 'isl').filter((size) => size >= 16)])
    for (const past of [0, 1024, 4096, 16384]) {
      const behind = whole(chunk + past) - (past && whole(past));
      const prompt = chunk && Math.max(behind, whole(chunk));
      for (const batch of [0, ...sizes(decode, 'batch_size').filter((size) => size <= 512)])
        for (const context of [0, ...sizes(contexts, 'context').filter((size) => size >= 256)])
          made.push([chunk, past, batch, context,
            us(prompt + (batch && reads(batch, context)))].join());
    }
  return made;
};

const read_kernels = (folder, chip) => {
  const found = readdirSync(folder).filter((name) => name.startsWith(`${chip}__`));
  return Object.fromEntries(
    ['gemm', 'context_attention', 'generation_attention', 'custom_allreduce'].map((kind) => {
      const name = found.find((one) => one.endsWith(`__${kind}_perf.csv.xz`));
      const text = name && spawnSync('xz', ['-dc', join(folder, name)],
        { encoding: 'utf8', maxBuffer: 1 << 28 }).stdout;
      return [kind, text ? parse_csv(text) : []];
    }));
};

/** TPOT in ms of a closed loop on that device alone, after the first wave. */
const simulate = (consort, folder, row, fields, overhead_us) => {
  const [clients, isl, osl, tp]
    = ['concurrency', 'isl', 'osl', 'n_dev'].map((name) => Number(row[name]));
  const file = join(folder, 'point.json');
  const waves = 3;
  const span_s = Math.ceil(waves * osl * Number(row.tpot_ms) / 1e3) + 10;
  writeFileSync(file, JSON.stringify({
    name: 'point', seed: 1, duration: `${span_s}s`, settle: '3h', engine_only: true,
    tokens: 'gathered',
    nodes: [{ name: 'server', devices: [{
      spec: chips[row.device], tp, table: 'table', hop_us: 0, link_gb_per_s: 1e6, max_sequences: 1024,
      step_tokens: 8192, reserves_output: false, prefix_cache: false,
      step_overhead: `${Math.round(overhead_us)}us`, sequence_overhead_us: 0,
    }] }],
    models: { model: { shape: shapes[row.model][0], context: isl + osl + 16, ...fields } },
    workload: [{ closed: { clients, think_s: 0 }, input: isl, output: osl }],
  }));
  const run = spawnSync(consort, ['sim', file, '-o', 'json'],
    { encoding: 'utf8', maxBuffer: 1 << 28 });
  if (!run.stdout) throw new Error(run.stderr);
  const { figures } = JSON.parse(run.stdout);
  return (figures.e2e_mean_ms - figures.ttft_mean_ms) / (osl - 1);
};

const mean = (list) => list.reduce((sum, one) => sum + one, 0) / list.length;
const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];

const main = (consort, folder, points) => {
  const rows = parse_csv(readFileSync(points, 'utf8')).filter((row) =>
    row.source.startsWith('AIC') && row.engine.startsWith('vllm') && shapes[row.model]
    && chips[row.device] && ['default', 'fp8'].includes(row.precision) && Number(row.tpot_ms));
  const groups = new Map();
  for (const row of rows) {
    const name = [row.device, row.model, row.precision, `${row.n_dev} cards`].join(' ');
    groups.set(name, [...(groups.get(name) ?? []), row]);
  }
  const place = mkdtempSync(join(tmpdir(), 'operators-'));
  mkdirSync(join(place, 'table'));
  const kernels = {};
  console.log('group'.padEnd(52), 'points  nothing fitted  constant us  held out');
  for (const [name, own] of groups) {
    if (own.length < 6) continue;
    const [{ device, model, n_dev, precision }] = own;
    kernels[device] ??= read_kernels(folder, device);
    const dtype = precision === 'fp8' ? 'fp8' : 'bfloat16';
    const table = make_table(kernels[device], shapes[model][1], Number(n_dev), dtype);
    if (!table) continue;
    for (const [file, text] of Object.entries(table))
      writeFileSync(join(place, 'table', file), text);
    const fields = dtype === 'fp8' ? { dtype: 'fp8', kv_dtype: 'fp8' } : {};
    const off = (row, overhead) =>
      simulate(consort, place, row, fields, overhead) - Number(row.tpot_ms);
    const errors = own.map((row) => off(row, 0));
    const share = (row, error) => 100 * Math.abs(error) / Number(row.tpot_ms);
    const constant = Math.max(0, -1e3 * median(errors.filter((_, at) => at % 2 === 0)));
    const held = own.filter((_, at) => at % 2).map((row) => share(row, off(row, constant)));
    console.log(name.padEnd(52), String(own.length).padStart(6),
      mean(own.map((row, at) => share(row, errors[at]))).toFixed(1).padStart(15),
      constant.toFixed(0).padStart(12), mean(held).toFixed(1).padStart(9));
  }
  rmSync(place, { recursive: true });
};

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [consort, folder, points] = process.argv.slice(2);
  if (!points) {
    console.error('usage: node tests/fidelity/operators.mjs CONSORT OPERATORS_DIR POINTS.csv');
    process.exit(2);
  }
  main(consort, folder, points);
}
