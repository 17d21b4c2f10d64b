// SPDX-License-Identifier: Apache-2.0
// Goal: the same core in virtual time, deterministic by seed.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { root, run_cli, temp_dir } from './support.mjs';

const scenario = path.join(root, 'scenarios/quickstart.json');
const options = { timeout: 600_000 };

async function simulate(...args) {
  const done = await run_cli(['sim', ...args], { timeout_ms: 120_000 });
  const digest = /digest:?\s*([0-9a-f]{16})/i.exec(done.stdout)?.[1];
  return { ...done, digest };
}

test('quickstart keeps its expectations and prints a table', options, async () => {
  const done = await simulate(scenario);
  assert.equal(done.code, 0, done.stderr + done.stdout);
  for (const word of [/ttft/i, /seed/i, /digest/i]) assert.match(done.stdout, word);
});

test('the same seed gives the same run, another seed another', options, async () => {
  const [first, again, other] = [
    await simulate(scenario, '--seed', '7'),
    await simulate(scenario, '--seed', '7'),
    await simulate(scenario, '--seed', '8'),
  ];
  assert.ok(first.digest, first.stdout + first.stderr);
  assert.equal(first.digest, again.digest);
  assert.notEqual(first.digest, other.digest);
});

test('a scenario whose expectation fails is exit code 1 and says which', options, async (t) => {
  const folder = temp_dir();
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  const text = fs.readFileSync(scenario, 'utf8').replace(/^\s*\/\/.*$/gm, '');
  const impossible = { ...JSON.parse(text), expect: { ttft_p99_ms: { max: 0 } } };
  const file = path.join(folder, 'impossible.json');
  fs.writeFileSync(file, JSON.stringify(impossible));
  const done = await simulate(file);
  assert.equal(done.code, 1, done.stdout + done.stderr);
  assert.match(done.stdout + done.stderr, /ttft_p99_ms/);
});

test('a broken scenario is refused with line and field', options, async (t) => {
  const folder = temp_dir();
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  const file = path.join(folder, 'broken.json');
  fs.writeFileSync(file, '{\n  "name": "broken",\n  "nodez": []\n}\n');
  const done = await simulate(file);
  assert.equal(done.code, 2, done.stdout + done.stderr);
  assert.match(done.stderr, /broken\.json:3/);
  assert.match(done.stderr, /nodez/);
});

test('requests that fit no context are told, ahead where it is known', options, async (t) => {
  const folder = temp_dir();
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  const file = path.join(folder, 'sizes.json');
  const write = (workload) => fs.writeFileSync(file, JSON.stringify({
    name: 'sizes', seed: 1, duration: '10s', nodes: [{ name: 'n', devices: ['cpu-local'] }],
    models: { m: { weights: '10MiB', kv_bytes_per_token: 3072, context: 512 } },
    workload: [workload], expect: { finished: { min: 1 } },
  }, null, 1));
  write({ poisson: '2/s', input: 600 });
  const ahead = await simulate(file);
  assert.equal(ahead.code, 2, ahead.stdout + ahead.stderr);
  assert.match(ahead.stderr,
    /sizes\.json:\d+: workload\[0\]\.input: half of its prompts have 600 tokens/);
  fs.writeFileSync(path.join(folder, 't.csv'),
    'time_s,prompt_tokens,output_tokens\n1,600,5\n2,700,5\n');
  write({ trace: 't.csv' });
  const seen = await simulate(file);
  assert.equal(seen.code, 1, seen.stdout + seen.stderr);
  assert.match(seen.stderr,
    /note: .*sizes\.json:\d+: models\.m\.context: 2 of 2 prompts .* the largest takes 700/);
});

test('a search for what nothing promised is refused', options, async () => {
  const done = await simulate(scenario, '--sweep', 'nodes.edge=1..2', '--find',
    'smallest cluster with slo_attainment >= 0.9');
  assert.equal(done.code, 2, done.stdout + done.stderr);
  assert.match(done.stderr, /--find: .*add `slo`/);
});

test('a flag that says nothing useful is refused by its name', options, async () => {
  const useless = [
    ['--sweep', 'nodes.edge=4..1', '4..1'],
    ['--sweep', 'nodes.edge', 'nodes.edge'],
    ['--find', 'the best', 'the best'],
  ];
  for (const [flag, value, named] of useless) {
    const done = await simulate(scenario, flag, value);
    assert.equal(done.code, 2, done.stdout + done.stderr);
    assert.ok(done.stderr.includes(`${flag}: \`${named}\` is not`), done.stderr);
  }
});
