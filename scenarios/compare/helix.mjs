// SPDX-License-Identifier: Apache-2.0
// Helix (ASPLOS'25): its clusters of 24 and 42 machines served as separate pipelines, all machines
// of a kind in a row, from its measured times of a layer:
//   node scenarios/compare/helix.mjs CONSORT POINTS.csv AZURE.csv
// POINTS.csv has the columns source, device, model, phase, concurrency, isl, ttft_ms, tpot_ms, with
// Helix's tables (Thesys-lab/Helix-ASPLOS25, Apache-2.0); AZURE.csv is Azure's conversation trace
// of 2023.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const [consort, points, azure] = process.argv.slice(2);
if (!azure) {
  console.error('usage: node scenarios/compare/helix.mjs CONSORT POINTS.csv AZURE.csv');
  process.exit(2);
}

const rows = (path) => {
  const [header, ...lines] = readFileSync(path, 'utf8').trim().split('\n');
  const names = header.trim().split(',');
  return lines.map((line) =>
    Object.fromEntries(line.split(',').map((field, at) => [names[at], field.trim()])));
};
const tables = rows(points).filter((row) => row.source === 'Helix');

// GB of memory, and the chip that stands for a machine of this kind.
const machines = {
  'A100-40GB': [40, 'a100-40g'], V100: [16, 'v100-16g'], L4: [24, 'l4'], T4: [16, 't4'],
  L4X2: [48, 'l4'], T4X2: [32, 't4'], T4X4: [64, 't4'],
};
const clusters = {
  24: { 'A100-40GB': 4, L4: 8, T4: 12 },
  42: { 'A100-40GB': 4, V100: 6, L4: 8, T4: 10, L4X2: 4, T4X2: 6, T4X4: 4 },
};
// Layers, GB of weights, bytes of KV cache of a token.
const models = {
  llama1_30b: [60, 65, 60 * 2 * 6656 * 2],
  llama2_70b: [80, 138, 80 * 2 * 1024 * 2],
};
// Decode tokens per second of separate pipelines as published: its simulator, its prototype.
const published = {
  '24 llama1_30b offline': [309.0, 295.1], '24 llama1_30b online': [189.8, 173.1],
  '24 llama2_70b offline': [124.3, 110.0], '24 llama2_70b online': [84.0, 80.1],
  '42 llama2_70b offline': [219.3], '42 llama2_70b online': [140.2],
};
const hopMs = 1; // From one machine of a pipeline to the next, a token's activations included.
const usable = 0.9; // Of memory, for weights and KV cache.
const windowS = [120, 600]; // Tokens are counted in it.

/** Time of a layer in ms: between points on a line, beyond the last in its direction. */
const layerMs = (machine, model, phase) => {
  const [size, ms] = phase === 'decode' ? ['concurrency', 'tpot_ms'] : ['isl', 'ttft_ms'];
  const found = tables
    .filter((row) => row.device === machine && row.model === model
      && row.phase === `${phase}_per_layer`)
    .map((row) => [Number(row[size]), Number(row[ms])]).sort((a, b) => a[0] - b[0]);
  return (wanted) => {
    if (wanted <= found[0][0])
      return found[0][1];
    let at = found.findIndex(([one]) => one >= wanted);
    at = at < 0 ? found.length - 1 : at;
    const [[x0, y0], [x1, y1]] = [found[at - 1], found[at]];
    return y0 + (y1 - y0) * (wanted - x0) / (x1 - x0);
  };
};

/** A pipeline's times: `stages` batches are under way, one a stage. */
const profile = (machine, model, stages) => {
  const [layers] = models[model];
  const decode = layerMs(machine, model, 'decode');
  const prefill = layerMs(machine, model, 'prefill');
  const lines = ['kind,size,us'];
  for (const batch of [1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256])
    lines.push(`decode,${batch},${
      1e3 * (layers * decode(Math.max(batch / stages, 1)) + stages * hopMs)}`);
  // What a prompt keeps one stage busy for, and with it the others' next tokens.
  for (const tokens of [64, 128, 256, 512, 1024, 2048])
    lines.push(`prefill,${tokens},${1e3 * (layers / stages * prefill(tokens) + hopMs)}`);
  return `${lines.join('\n')}\n`;
};

/** One of each kind of machine whose memory holds the model together. */
const pipelines = (cluster, model) => Object.entries(clusters[cluster])
  .map(([kind, stages]) => {
    const [, weights, kvBytes] = models[model];
    const room = stages * machines[kind][0] * usable - weights;
    return { kind, stages, blocks: Math.floor(room * 1e9 / kvBytes / 16) };
  }).filter(({ blocks }) => blocks * 16 > 4096);

const scenario = (folder, cluster, model, rate) => {
  const nodes = pipelines(cluster, model).map(({ kind, stages, blocks }) => {
    writeFileSync(join(folder, `${kind}.csv`), profile(kind, model, stages));
    return {
      name: kind.toLowerCase(), devices: [{
        spec: machines[kind][1], name: `${kind} x ${stages}`, profile: `${kind}.csv`,
        memory: `${Math.ceil(stages * machines[kind][0] * usable)}GB`, kv_blocks: blocks,
        max_sequences: 256, step_tokens: 2048, reserves_output: false, prefix_cache: false,
        load: '1s', load_per_s: '1000GiB',
      }],
    };
  });
  return {
    name: `helix-${cluster}`, seed: 1, duration: `${windowS[1]}s`, settle: '3h', tokens: 'gathered',
    check_every: 1000000, nodes,
    models: { llama: {
      weights: `${models[model][1]}GB`, kv_bytes_per_token: models[model][2], context: 4096,
      replicas_min: nodes.length,
    } },
    workload: [{ trace: 'trace.csv', from: '10s', speed: rate / traceRate }],
    scheduler: { queue_max: 100000, queue_timeout: '3h' },
    network: { encoded: false },
  };
};

// As Helix prunes it: 762.8 tokens in and 232.4 out on average, which are the figures it gives.
const requests = rows(azure)
  .filter((row) => Number(row.ContextTokens) <= 2048 && Number(row.GeneratedTokens) <= 1024);
const traceRate = requests.length / 3502;

/** Tokens a second within the window by device, each request's spread over its stream. */
const throughput = (path) => {
  const found = new Map();
  for (const row of rows(path)) {
    const [from, to] = [Number(row.first_token_us) / 1e6, Number(row.ended_us) / 1e6];
    const within = Math.min(to, windowS[1]) - Math.max(from, windowS[0]);
    if (row.first_token_us && within > 0)
      found.set(row.device, (found.get(row.device) ?? 0)
        + Number(row.completion_tokens) * (to > from ? within / (to - from) : 1)
          / (windowS[1] - windowS[0]));
  }
  return found;
};
const total = (found) => [...found.values()].reduce((sum, one) => sum + one, 0);

const play = (cluster, model, rate, policy) => {
  const folder = mkdtempSync(join(tmpdir(), 'helix-'));
  writeFileSync(join(folder, 'trace.csv'), ['TIMESTAMP,ContextTokens,GeneratedTokens',
    ...requests.map((row) => `${row.TIMESTAMP},${row.ContextTokens},${row.GeneratedTokens}`),
    ''].join('\n'));
  writeFileSync(join(folder, 's.json'), JSON.stringify(scenario(folder, cluster, model, rate)));
  const done = spawnSync(consort, ['sim', join(folder, 's.json'), '--policy', policy, '--out',
    join(folder, 'out')], { encoding: 'utf8' });
  if (done.status !== 0) {
    console.error(done.stderr || done.stdout);
    process.exit(1);
  }
  const found = throughput(join(folder, 'out/requests.csv'));
  rmSync(folder, { recursive: true });
  return found;
};

const policies = ['random', 'least-loaded', 'latency', 'throughput'];
const offlineRate = 12; // Requests a second: more than any of the clusters serves.
console.log(`machines model      mode     published ${
  policies.map((one) => one.padStart(13)).join('')}`);
for (const [key, told] of Object.entries(published)) {
  const [cluster, model, mode] = key.split(' ');
  const offline = play(cluster, model, offlineRate, 'random');
  // Online as Helix has it: three quarters of what is reached offline; 232.4 tokens a request.
  const rate = mode === 'online' ? 0.75 * total(offline) / 232.4 : offlineRate;
  const found = policies.map((policy) => total(play(cluster, model, rate, policy)));
  console.log(cluster.padEnd(8), model.padEnd(10), mode.padEnd(8), told.join('/').padEnd(10),
    found.map((one) => one.toFixed(1).padStart(13)).join(''));
  if (mode === 'offline')
    console.log(`  by kind: ${[...offline].map(([device, one]) =>
      `${device.split('/')[0]} ${one.toFixed(1)}`).join(', ')}`);
}
