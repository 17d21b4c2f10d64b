// SPDX-License-Identifier: Apache-2.0
// Goal: every backend brings everything: a row and a page with a start of three commands that our
// command line takes, a sound folder, what its tools print, a test of its own, its readings, its
// capacity and what its errors mean. What one cannot bring stands here, with its reason.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { root, run_cli } from '../system/support.mjs';
import { document_of, shipped, shipped_folders } from './shipped.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const pages = path.join(root, 'docs/backends');

/// Examples of our own, tested with the node and the C ABI.
const not_backends = ['reference', 'pocl'];
const without = {
  table: {},
  metrics: {
    'deepspeed-mii': 'its gateway has none',
    openai: "an API tells others' load by its headers alone",
    hailo: 'its server has none',
    xdna: "its server's are of the host, not of a queue",
  },
  failures: {
  },
  reading: {
    hailo: 'its tool opens the device for that',
    xdna: "the kernel's files say nothing",
    'google-tpu': 'only who holds the chip knows',
    qualcomm: 'only its health and memory',
    neuron: 'only its health: load is of a process that runs',
    upmem: 'only that it is there',
    'samsung-pim': 'only that it is there',
    aim: 'only that it is there',
  },
};

const folders = shipped_folders()
  .filter((one) => !not_backends.includes(one));
const readme = fs.readFileSync(path.join(pages, 'README.md'), 'utf8');
const rows = readme.split('\n').filter((line) => /^\| [A-Z]+ \|/.test(line));
const row_of = (folder) => rows.find((line) => line.includes(`\`${folder}\``));
const page_of = (folder) => /\]\(([a-z-]+\.md)/.exec(row_of(folder) ?? '')?.[1];
const grades = /^(real|recorded|documented|simulated|not verified|–|by engines|none public)/;

const figures = ['power_watts', 'energy_joules', 'utilization', 'temperature_celsius'];

function check_readings(folder, { telemetry }) {
  const asked = [telemetry, ...(telemetry.also ?? [])];
  const told = figures.some((name) => asked.some((one) => one[name]));
  assert.equal(told, !without.reading[folder], `readings of ${folder}`);
}

/// What a vendor's tool prints; files of the kernel are in roots/.
function check_fixtures(folder, { probe, telemetry }) {
  const also = (telemetry?.also ?? []).map((one, at) => [`also${at + 1}`, one]);
  const asked = [['probe', probe], ['telemetry', telemetry ?? {}], ...also];
  const tools = asked.filter(([, { command: [tool] = ['cat'] }]) => !/^(cat|echo)$/.test(tool));
  if (tools.length === 0) return;
  const found = fs.readdirSync(path.join(shipped, folder, 'fixtures'));
  for (const wanted of ['README.md', ...tools.map(([name]) => name)])
    assert.ok(found.some((one) => one.startsWith(wanted)), `${folder}/fixtures: ${wanted}`);
  const told = fs.readFileSync(path.join(shipped, folder, 'fixtures/README.md'), 'utf8');
  assert.match(told, /recorded|documented|not verified/);
}

/// How good a folder's recorded answers to a question are, by the README beside them.
function grades_of(folder, question) {
  const told = fs.readFileSync(path.join(shipped, folder, 'fixtures/README.md'), 'utf8');
  const lines = told.split('\n').filter((line) => line.startsWith('| `'));
  const cells = lines.map((line) => line.split('|').slice(1, -1));
  const answers = ([names]) =>
    [...names.matchAll(/`([^`]+)`/g)].some(([, name]) =>
      ['*', question].some((begin) => name.startsWith(begin)));
  return cells.filter(answers).map((cell) => cell.at(-1).trim());
}

/// No claim of the table goes beyond them.
function check_grade(folder) {
  const grade = row_of(folder).split('|')[5].trim();
  if (!grade.startsWith('recorded')) return;
  const of = (question) => grades_of(folder, question).filter((one) => /^recorded/.test(one));
  assert.ok(of('probe').length > 0, `${folder}: no probe was recorded`);
  const readings = of('telemetry');
  assert.equal(readings.length === 0, grade.includes('readings documented'), `${folder}: ${grade}`);
  if ([...of('probe'), ...readings].every((one) => one.includes('changed')))
    assert.match(grade, /partly changed/, folder);
}

/// A sample of `fixtures/failures.json`: `plugin check` judges them all by the rules themselves.
const sample = (one) => ({ line: '', exit: 1, ...(typeof one === 'string' ? { line: one } : one) });

/// Each rule is met by a sample, and each sample means what it says.
function check_samples(folder, section, rules = []) {
  if (rules.length === 0) return;
  const file = path.join(shipped, folder, 'fixtures/failures.json');
  assert.ok(fs.existsSync(file), `${folder}/fixtures/failures.json`);
  const told = JSON.parse(fs.readFileSync(file, 'utf8'))[section] ?? {};
  const fits = ({ match, exit }, { line, exit: code }) =>
    (exit === undefined || exit === code) &&
    (match === undefined || line.split('\n').some((one) => new RegExp(match).test(one)));
  for (const [at, rule] of rules.entries()) {
    const shown = (told[rule.class] ?? []).map(sample).some((one) => fits(rule, one));
    assert.ok(shown, `${folder}: a sample of ${section}.failures ${at}, ${JSON.stringify(rule)}`);
  }
  for (const [kind, samples] of Object.entries(told))
    for (const one of samples.map(sample))
      assert.equal(rules.find((rule) => fits(rule, one))?.class, kind, JSON.stringify(one));
}

function check_runtime(folder, { runtime, capability, build }) {
  if (runtime?.interface !== 'server') return;
  assert.ok(runtime.ready && runtime.start_timeout, `${folder} says when it serves`);
  assert.equal(Boolean(runtime.metrics), !without.metrics[folder], `metrics of ${folder}`);
  if (runtime.metrics) assert.ok(runtime.metrics.running, `what runs on ${folder}`);
  if (runtime.command)
    assert.equal(Boolean(runtime.failures), !without.failures[folder], `failures of ${folder}`);
  if (capability.requires_artifact) {
    assert.ok(runtime.failures.some((one) => one.class === 'rebuild'));
    for (const one of build) assert.ok(one.version_command && one.compatible_with, one.profile);
  }
}

/// Whatever metrics are read must be seen to be read: a name that no server knows says nothing.
async function check_load(folder, { runtime }) {
  if (!runtime?.metrics) return;
  const { default: backend } = await import(path.join(here, 'table', `${folder}.mjs`));
  assert.ok(backend.crowds, `table/${folder}.mjs: crowds`);
}

for (const folder of folders)
  test(`${folder} brings everything`, async () => {
    const document = document_of(folder);
    assert.ok(row_of(folder), 'a row in docs/backends/README.md');
    assert.ok(fs.existsSync(path.join(pages, page_of(folder))), 'a page');
    for (const grade of row_of(folder).split('|').slice(5, 7)) assert.match(grade.trim(), grades);
    if (!without.table[folder]) {
      const table = fs.readdirSync(path.join(here, 'table'));
      assert.ok(table.includes(`${folder}.mjs`), 'a file in table/');
    }
    if (document.type !== 'engine') {
      assert.ok(document.probe.id && document.probe.model);
      if (document.telemetry) check_readings(folder, document);
      check_fixtures(folder, document);
      check_grade(folder);
    } else assert.ok(Object.keys(document.runs_on).length > 0);
    check_runtime(folder, document);
    await check_load(folder, document);
    check_samples(folder, 'runtime', document.runtime?.failures);
    for (const one of document.build ?? []) {
      check_samples(folder, 'build', one.failures);
      const alike = document.build.filter(({ compiler }) => compiler === one.compiler);
      for (const other of alike)
        assert.deepEqual(other.failures, one.failures, `${folder}: failures of ${one.compiler}`);
    }
  });

/// The commands of ours in a page's blocks, as words.
const commands_in = (text) =>
  text
    .replace(/#.*$/gm, '')
    .split(/\n|&&|&/)
    .map((line) => line.trim())
    .filter((line) => /^consort /.test(line))
    .map((line) => line.split(/\s+/).slice(1));

test('every row has a page', () => {
  for (const row of rows) {
    const page = /\]\(([a-z-]+\.md)/.exec(row)?.[1];
    assert.ok(page && fs.existsSync(path.join(pages, page)), row);
  }
});

/// Where docs/OPERATIONS.md installs to.
const operations = fs.readFileSync(path.join(root, 'docs/OPERATIONS.md'), 'utf8');
const prefix = /cmake --install \S+ --prefix ([^\s`]+)/.exec(operations)[1];

for (const page of fs.readdirSync(pages).filter((one) => one !== 'README.md'))
  test(`${page} can be pasted: what it names is installed, what it starts is waited for`, () => {
    const text = fs.readFileSync(path.join(pages, page), 'utf8');
    for (const [, block] of text.matchAll(/^```sh\n([^`]*)```/gm)) {
      for (const [place, name] of block.matchAll(/\S*\/share\/consort\/\w+\/([a-z0-9-]+)/g)) {
        assert.ok(place.startsWith(`${prefix}/share/consort/`), place);
        assert.ok(fs.existsSync(path.join(shipped, name, 'plugin.json')), place);
      }
      const [, after] = /consort up\b[^&\n]*&(?!&)([^]*)/.exec(block) ?? [];
      if (/consort /.test(after ?? '')) assert.match(after, /^ consort status --wait /, block);
    }
  });

for (const page of fs.readdirSync(pages).filter((one) => one !== 'README.md'))
  test(`${page} begins with three commands that are ours to take`, async () => {
    const text = fs.readFileSync(path.join(pages, page), 'utf8');
    assert.match(text, /\*\*Evidence\.\*\*/);
    const [, start] = /^```sh\n([^`]*)```/m.exec(text);
    assert.equal(start.trim().split('\n').length, 3, start);
    const blocks = [...text.matchAll(/^```sh\n([^`]*)```/gm)].map((one) => one[1]);
    for (const words of commands_in(blocks.join('\n'))) {
      const ours = ['plugin', 'model'].includes(words[0]) ? 2 : 1;
      const help = await run_cli([...words.slice(0, ours), '--help']);
      assert.equal(help.code, 0, words.join(' '));
      const takes_a_word = (option = '') =>
        option.startsWith('-') && new RegExp(`${option} [A-Z]`).test(help.stdout);
      const operands = words
        .slice(ours)
        .filter((word, at, all) => !word.startsWith('-') && !takes_a_word(all[at - 1]));
      for (const option of words.filter((word) => word.startsWith('-')))
        assert.ok(help.stdout.includes(option), `${words.join(' ')}: no ${option}`);
      const usage = /^Usage: .*$/m.exec(help.stdout)[0];
      const taken = (usage.match(/\b[A-Z]{2,}\b/g) ?? []).filter((one) => one !== 'OPTIONS');
      assert.ok(operands.length <= taken.length, `${words.join(' ')}: ${usage}`);
    }
  });
