// SPDX-License-Identifier: Apache-2.0
// Goal: the simulator's report is one page that draws itself in a browser without a network, light
// and dark, with every figure named. Needs Chromium: CI installs it; elsewhere its absence is said
// and the test skipped, unless CONSORT_BROWSER=required.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { find_browser } from './browser.mjs';
import { root, run_cli, temp_dir } from './support.mjs';

const options = { timeout: 600_000 };
const page_bytes_max = 3_000_000;

/// The page as the browser holds it after its scripts ran, and what they complained of.
function render(program, file, ...more) {
  const flags = ['--headless=new', '--no-sandbox', '--disable-gpu', '--enable-logging=stderr'];
  const profile = temp_dir('consort-browser');
  const done = spawnSync(
    program,
    [...flags, `--user-data-dir=${profile}`, '--host-resolver-rules=MAP * ~NOTFOUND', ...more,
      '--virtual-time-budget=4000', '--dump-dom', `file://${file}`],
    { encoding: 'utf8', timeout: 120_000, maxBuffer: 1 << 26 },
  );
  fs.rmSync(profile, { recursive: true, force: true });
  assert.equal(done.status, 0, done.stderr);
  const lines = done.stderr.split('\n');
  const complaints = lines.filter((line) => /CONSOLE.*(Error|Refused)/.test(line));
  return { dom: done.stdout.replace(/<script[\s\S]*?<\/script>/g, ''), complaints };
}

async function report(t, ...args) {
  const folder = temp_dir();
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  const done = await run_cli(['sim', ...args, '--out', folder], { timeout_ms: 120_000 });
  assert.equal(done.code, 0, done.stdout + done.stderr);
  return folder;
}

const count = (text, pattern) => (text.match(pattern) ?? []).length;

test('one run leaves a page, two tables of rows and a summary', options, async (t) => {
  const folder = await report(t, path.join(root, 'scenarios/kill.json'));
  const page = fs.readFileSync(path.join(folder, 'report.html'), 'utf8');
  assert.ok(page.length < page_bytes_max, `${page.length} bytes`);
  assert.doesNotMatch(page, /(src|href)="?(https?:)?\/\//, 'nothing from a network');
  assert.match(fs.readFileSync(path.join(folder, 'events.csv'), 'utf8'), /^time_us,kind,subject/);
  assert.match(fs.readFileSync(path.join(folder, 'events.csv'), 'utf8'), /,fault,edge-0,kill/);
  assert.ok(fs.readFileSync(path.join(folder, 'requests.csv'), 'utf8').split('\n').length > 100);
  assert.equal(JSON.parse(fs.readFileSync(path.join(folder, 'summary.json'))).passed, true);
});

test('the page draws itself in a browser', options, async (t) => {
  const program = find_browser();
  if (!program) {
    const needed = process.env.CONSORT_BROWSER === 'required';
    assert.ok(!needed, 'no Chromium: apt-get install chromium');
    console.error('SKIPPED: nobody looked at report.html, for there is no Chromium here');
    return t.skip('no Chromium');
  }
  const folder = await report(
    t, path.join(root, 'scenarios/kill.json'), '--policy', 'latency,throughput,energy');
  const file = path.join(folder, 'report.html');
  const { dom, complaints } = render(program, file);
  assert.deepEqual(complaints, []);
  assert.match(dom, /data-drawn="yes"/, 'the script ran to its end');
  assert.equal(count(dom, /<svg /g), 9, 'Pareto, three curves, three lines, heat, bars');
  assert.equal(count(dom, /<tr/g), 8, 'two tables: a heading and a row for each policy');
  for (const title of ['ITL p50', 'J/token', 'Wh', 'failovers', 'builds', 'loads'])
    assert.ok(dom.includes(`<th>${title}</th>`), title);
  assert.match(dom, /<b>[\d.]+ Wh<\/b><span>energy</, 'a tile');
  assert.ok(count(dom, /<rect /g) > 100, 'load and bars');
  // Every figure says where it comes from.
  const captions = dom.match(/<figcaption>[^<]*/g) ?? [];
  assert.equal(captions.length, 9);
  for (const caption of captions)
    for (const word of ['kill', 'seed 13', 'consort ', 'consort sim '])
      assert.ok(caption.includes(word), caption);
  assert.doesNotMatch(dom, /NaN|undefined|Infinity/);
});

/// Each request takes a tenth of a second, so that a report a second would see few of them.
test('load is what each slice saw of it, of the busiest devices', options, async (t) => {
  const place = temp_dir();
  t.after(() => fs.rmSync(place, { recursive: true, force: true }));
  const file = path.join(place, 'short.json');
  fs.writeFileSync(file, JSON.stringify({
    name: 'short', seed: 1, duration: '8s',
    nodes: [{ name: 'n-{n}', count: 70, devices: ['cpu-local'] }],
    models: { m: { weights: '1MiB', kv_bytes_per_token: 64, replicas_min: 70 } },
    workload: [{ poisson: '40/s', input: 20, output: 40, from: '2s' }],
  }));
  const folder = await report(t, file);
  const page = fs.readFileSync(path.join(folder, 'report.html'), 'utf8');
  const { course } = JSON.parse(/id="data">(.*)<\/script>/.exec(page)[1]).runs[0];
  assert.equal(course.devices_seen, 70);
  assert.equal(course.devices.length, 64);
  const inside_s = course.slice_s
    * course.devices.flatMap((one) => one.running).reduce((sum, one) => sum + one, 0);
  const [header, ...lines] = fs.readFileSync(path.join(folder, 'requests.csv'), 'utf8')
    .trim().split('\n').map((line) => line.split(','));
  const [from, to] = ['submitted_us', 'ended_us'].map((name) => header.indexOf(name));
  const lives_s = lines.reduce((sum, one) => sum + (one[to] - one[from]) / 1e6, 0);
  assert.ok(inside_s > 0.7 * lives_s && inside_s < 1.01 * lives_s, `${inside_s} of ${lives_s} s`);
  const program = find_browser();
  if (!program) return t.skip('no Chromium'); // Said above.
  const { dom } = render(program, path.join(folder, 'report.html'));
  assert.match(dom, /the 64 busiest of 70 devices/);
});

/// Ten policies have ten curves, told apart by dashes where colours are used up.
test('every policy has its curve', options, async (t) => {
  const program = find_browser();
  if (!program) return t.skip('no Chromium'); // Said above.
  const words = 'latency,throughput,energy,cost,hybrid,random,round-robin,least-loaded,'
    + 'prefix-only,power-of-two';
  const folder = await report(t, path.join(root, 'scenarios/kill.json'), '--policy', words);
  const { dom } = render(program, path.join(folder, 'report.html'));
  const curves = /id="curves">([\s\S]*?)id="curve-legend"/.exec(dom)[1];
  assert.equal(count(curves, /<path /g), 30, 'three charts');
  assert.equal(count(curves, /stroke-dasharray="7 4"/g), 6, 'of the ninth and tenth');
});

test('the page of a search says what was found and which runs missed', options, async (t) => {
  const program = find_browser();
  if (!program) return t.skip('no Chromium'); // Said above.
  const folder = await report(t, path.join(root, 'scenarios/prefix-heavy-agents.json'), '--sweep',
    'nodes.gpu=2,3', '--find', 'cheapest cluster with slo_attainment >= 0.99');
  const { dom, complaints } = render(program, path.join(folder, 'report.html'));
  assert.deepEqual(complaints, []);
  assert.match(dom, /class="chip">found nodes.gpu=3 latency</, 'in the heading');
  assert.match(dom, /nodes.gpu=3 latency<span class="chip small">found</, 'in its row');
  assert.match(dom, /<td class="bad">missed</, 'the cluster that was too small');
  assert.match(dom, /<th>goal<\/th>/, 'beside the verdict on what the file expects');
  assert.match(dom, /<td>kept</);
  assert.match(dom, /Alone: consort sim .* --sweep nodes.gpu=3/, 'how to play it again');
});

test('a promise that was nearly kept is not shown as kept', options, async (t) => {
  const program = find_browser();
  if (!program) return t.skip('no Chromium'); // Said above.
  const folder = await report(
    t, path.join(root, 'scenarios/mixed-fleet.json'), '--policy', 'latency,energy');
  const { dom } = render(program, path.join(folder, 'report.html'));
  const told = JSON.parse(fs.readFileSync(path.join(folder, 'latency', 'summary.json')));
  const share = told.figures.slo_attainment * 100;
  assert.ok(share < 100 && share > 99, `${share}`);
  const shown = (Math.floor(share * 100) / 100).toFixed(2); // Never rounded up.
  assert.ok(dom.includes(`>${shown}<`), `${shown} in its row`);
  assert.ok(dom.includes(`>${shown} %<`), `${shown} in its tile`);
});
