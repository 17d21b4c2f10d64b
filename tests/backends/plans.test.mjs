// SPDX-License-Identifier: Apache-2.0
// Goal: prefill on one device and decode on another is one candidate beside both: what it does
// counts on both, a held member takes it away, and a member that dies mid-stream loses nothing.
// Method: two fakes of vLLM servers, each a device by itself (the folder `vllm-server` under two
// names and types), and `vllm-disaggregated` as it ships over both, its members named by variables.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { read_stream } from '../system/hosts_support.mjs';
import { checker, eventually } from '../system/support.mjs';
import { story } from './fakes/story.mjs';
import { shipped } from './shipped.mjs';
import { Stand } from './stand.mjs';

const tokens = 60;
const prompt = 'Once upon a time';
const hybrid = { 'X-Consort-Device': 'hybrid' };
const serve = ['serve', 'x', '--served-model-name', 'tale'];

/// A server that is a device of that type by itself, and so fast.
function add_member(stand, name, type, url_env, spec) {
  const text = fs.readFileSync(path.join(shipped, 'vllm-server/plugin.json'), 'utf8');
  const made = JSON.parse(text.replace(/^\s*\/\/.*$/gm, ''));
  const available = { env: url_env };
  const runtime = { ...made.runtime, url_env };
  const probe = { ...made.probe, command: ['echo', JSON.stringify({ id: name, model: name })] };
  fs.mkdirSync(path.join(stand.plugins, name));
  fs.writeFileSync(
    path.join(stand.plugins, name, 'plugin.json'),
    JSON.stringify({
      ...{ ...made, $schema: undefined, name, type, tags: [] },
      ...{ available, probe, runtime, spec: { ...made.spec, ...spec } },
    }),
  );
}

async function start(t) {
  const stand = new Stand({
    ...{ name: 'plans', plugins: ['vllm-disaggregated'], fake: 'vllm', type: 'hybrid' },
    attach: {
      ...{ fake: 'vllm.mjs', args: serve, port_env: 'CONSORT_DECODE_URL' },
      also: { fake: 'vllm.mjs', args: serve, port_env: 'CONSORT_PREFILL_URL' },
    },
    env: {
      ...{ CONSORT_PREFILL_DEVICE: 'gpu0', CONSORT_DECODE_DEVICE: 'pim0' },
      CONSORT_FAKE_STEP_MS: '20',
    },
  });
  t.after(() => stand.destroy());
  const reads = { prefill_tokens_per_s: 12_000, decode_tokens_per_s: 5 };
  const writes = { prefill_tokens_per_s: 500, decode_tokens_per_s: 100 };
  add_member(stand, 'prefills', 'gpu', 'CONSORT_PREFILL_URL', reads);
  add_member(stand, 'decodes', 'pim', 'CONSORT_DECODE_URL', writes);
  const cluster = await stand.start();
  const model = { name: 'tale', variants: [{ source: 'server:tale' }], replicas_min: 3 };
  const added = await cluster.post('/api/v1/models', model);
  assert.ok(added.status < 300, added.text);
  await eventually('all three serve', async () => {
    const ready = (await cluster.list('replicas')).filter(({ state }) => state === 'ready');
    return ready.length === 3;
  });
  return stand;
}

/// What a request of the plan's would be told now.
async function candidate(stand) {
  const body = { model: 'tale', prompt, max_tokens: tokens };
  const told = await stand.cluster.post('/api/v1/explain', body);
  assert.equal(told.status, 200, told.text);
  const [{ candidates }] = told.json.decisions;
  return candidates.find(({ device }) => device.endsWith('/hybrid0'));
}

/// Of the plan and its members; the host has other devices as well.
const running = async (stand) =>
  Object.fromEntries(
    (await stand.cluster.list('devices'))
      .map(({ spec, running: count }) => [spec.id.split('/')[1], count])
      .filter(([name]) => ['gpu0', 'pim0', 'hybrid0'].includes(name)),
  );

const fields = { model: 'tale', prompt, max_tokens: tokens };

test('a plan over two vLLM servers', { timeout: 600_000 }, async (t) => {
  const stand = await start(t);
  const check = checker(t, stand.cluster);

  await check('it is one candidate, with its members and terms', async () => {
    const plan = await candidate(stand);
    assert.match(plan.reason, /^prefill on \S+\/gpu0, decode on \S+\/pim0$/);
    assert.ok(plan.terms.some(({ name }) => name === 'transfer'));
    const devices = await stand.cluster.list('devices');
    const { spec } = devices.find((one) => one.spec.type === 'hybrid');
    assert.match(spec.stages.prefill, /\/gpu0$/);
    assert.match(spec.stages.decode, /\/pim0$/);
  });

  await check('what it does counts for both, and for none afterwards', async () => {
    const during = [];
    const seen = await read_stream(stand.cluster, fields, hybrid, async (chunk) => {
      if (chunk === 30) during.push(await running(stand));
    });
    assert.equal(seen.text, story(prompt, tokens));
    const passed = stand.journal('request').filter(({ method }) => method === 'POST');
    const bodies = passed.map(({ body }) => JSON.parse(body));
    assert.equal(bodies.at(-2).kv_transfer_params.do_remote_decode, true);
    assert.equal(bodies.at(-1).kv_transfer_params.do_remote_prefill, true);
    assert.deepEqual(during, [{ gpu0: 0, pim0: 1, hybrid0: 1 }], 'its prompt has been read');
    await eventually('nothing is held', async () => {
      const replicas = await stand.cluster.list('replicas');
      return replicas.every((one) => one.running === 0 && one.kv_tokens_reserved === 0);
    });
  });

  await check('a cordoned member takes it away', async () => {
    const devices = await stand.cluster.list('devices');
    const target = devices.find(({ spec }) => spec.type === 'gpu').spec.id;
    assert.ok((await stand.cluster.post('/api/v1/cordon', { target })).status < 300);
    await eventually('the plan is gone', async () => (await candidate(stand)).removed_by);
    const plan = await candidate(stand);
    assert.equal(plan.removed_by, 'stages');
    assert.match(plan.reason, /^prefill stage \S+\/gpu0 is cordoned$/);
    assert.ok((await stand.cluster.post('/api/v1/uncordon', { target })).status < 300);
    await eventually('it is back', async () => !(await candidate(stand)).removed_by);
  });

  await check('a member that dies mid-stream loses nothing', async () => {
    const either = { 'X-Consort-Device': 'hybrid|gpu' };
    let began = '';
    // The one that decodes was started first.
    const seen = await read_stream(stand.cluster, fields, either, (chunk, so_far) => {
      began = so_far.first_device;
      if (chunk === 10) stand.attached[0].kill('SIGKILL');
    });
    assert.match(began, /\/hybrid0$/);
    assert.equal(seen.broken, null, String(seen.broken));
    assert.deepEqual(seen.errors, []);
    assert.equal(seen.text, story(prompt, tokens));
    await eventually('the plan is gone with it', async () => {
      const plan = await candidate(stand);
      return plan.removed_by === 'stages' || plan.removed_by === 'breaker';
    });
    await eventually('nothing is held', async () =>
      (await stand.cluster.list('replicas')).every(({ kv_tokens_reserved: kv }) => kv === 0),
    );
  });
});
