// SPDX-License-Identifier: Apache-2.0
// Goal: ten hosts, each with another vendor's devices, serve one model; while their backends fail
// by the menu, no request is lost and every byte of every answer is accounted for.
// Method: one process per node, with the plugin folder that ships and fakes of the vendor's tools
// and server; requests under all policies, whole and streamed; a backend at random is given a fault
// at random, a few at once. CONSORT_TEN_VENDORS=10000 sets the number of requests (300 without it),
// CONSORT_TEN_SEED the faults. What a request must end with: its whole text, exactly, or one clean
// error; and when all is over, the scheduler's books and the fakes' journals agree with ours.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import test from 'node:test';
import { Hosts, read_stream } from '../system/hosts_support.mjs';
import { checker, eventually, sleep, temp_dir } from '../system/support.mjs';
import { busy_root, busy_tools } from './busy_tools.mjs';
import { story } from './fakes/story.mjs';
import { model_folder } from './places.mjs';
import { Stand } from './stand.mjs';

const requests = Number(process.env.CONSORT_TEN_VENDORS ?? 300);
const seed = Number(process.env.CONSORT_TEN_SEED ?? 1);
const at_once = 48;
const faulty_at_once = 4;
const policies = ['latency', 'throughput', 'energy', 'cost', 'hybrid'];
const model = 'tiny';
const vendors = [
  ...['rebellions', 'furiosa', 'ascend', 'gaudi', 'google-tpu', 'neuron', 'intel-npu', 'qualcomm'],
  ...['vllm', 'other'],
];
const table = new URL('./table/', import.meta.url);

/// A small generator of numbers, the same for the same seed.
function dice(state) {
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/// The backend of nobody's that Stand brings, alone.
const nobody = { plugins: [], fake: 'other', model, type: 'pim' };

async function stands(folder) {
  const made = [];
  for (const name of vendors) {
    const known = fs.existsSync(new URL(`${name}.mjs`, table));
    const entry = known ? (await import(`./table/${name}.mjs`)).default : nobody;
    const tools = busy_tools(entry.tools, folder);
    const stand = new Stand({ ...entry, name, model, tools, env: busy_root(entry.env, folder) });
    if (!known) stand.add_other_vendor();
    made.push(stand);
  }
  return made;
}

/// Gives backends at random a fault at random, and takes it away again, until told to stop.
class Trouble {
  constructor(all) {
    Object.assign(this, { all, roll: dice(seed), given: {}, bad: new Map(), stopped: false });
    this.running = this.#run();
  }
  #menu(stand) {
    const { moves, breaks } = stand.backend;
    const usual = ['cut', 'malformed', 'error-in-stream', 'die', 'not-utf8'];
    return [...(moves ?? ['html']), ...(breaks ?? usual)];
  }
  async #run() {
    while (!this.stopped) {
      for (const [stand, until] of this.bad)
        if (until < Date.now()) {
          stand.faults();
          this.bad.delete(stand);
        }
      const stand = this.all[this.roll(this.all.length)];
      if (this.bad.size < faulty_at_once && !this.bad.has(stand)) {
        const menu = this.#menu(stand);
        const fault = menu[this.roll(menu.length)];
        stand.faults(`${stand.backend.fake}=${fault}`);
        this.given[fault] = (this.given[fault] ?? 0) + 1;
        this.bad.set(stand, Date.now() + 200 + this.roll(600));
      }
      await sleep(100);
    }
    for (const one of this.all) one.faults();
  }
  async stop() {
    this.stopped = true;
    await this.running;
  }
}

/// One request, whole or streamed. Returns: {text, error, device}; error is the envelope's inside.
async function ask(hosts, number) {
  const prompt = `Request ${number} of many`;
  const max_tokens = 4 + (number % 13);
  const headers = { 'X-Consort-Policy': policies[number % policies.length] };
  const fields = { model, prompt, max_tokens, temperature: 0 };
  const expected = story(prompt, max_tokens);
  if (number % 2 === 0) {
    const seen = await read_stream(hosts.gateway, fields, headers);
    assert.equal(seen.broken, null, `request ${number}: ${seen.broken?.stack}`);
    assert.equal(seen.ends, 1, `request ${number} has ${seen.ends} ends`);
    const [error] = seen.errors;
    return { ...seen, error, expected, max_tokens, tokens: seen.usage?.completion_tokens };
  }
  const answer = await hosts.gateway.complete(fields, headers, 180_000);
  const { choices, usage, error } = answer.json ?? {};
  assert.equal(Boolean(choices), answer.status === 200, `request ${number}: ${answer.text}`);
  assert.ok(choices || (error?.message && error.type), `request ${number}: ${answer.text}`);
  const device = answer.headers.get('x-consort-device');
  const tokens = usage?.completion_tokens;
  return { text: choices?.[0].text, error, expected, max_tokens, device, tokens };
}

/// All of them, so many at once. Returns: what became of each, by number.
async function ask_all(hosts, count) {
  const ended = new Array(count);
  let next = 0;
  const worker = async () => {
    while (next < count) {
      const number = next++;
      ended[number] = await ask(hosts, number);
    }
  };
  await Promise.all(Array.from({ length: at_once }, worker));
  return ended;
}

const bytes = (texts) => texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);

/// Attempts that a fake began must have ended, unless its process was killed meanwhile.
function unended(stand) {
  const entries = stand.journal();
  const open = new Map();
  for (const { what, pid, prompt } of entries) {
    const key = `${pid} ${prompt}`;
    if (what === 'decode') open.set(key, (open.get(key) ?? 0) + 1);
    if (what === 'end') open.set(key, open.get(key) - 1);
  }
  const alive = (pid) => fs.existsSync(`/proc/${pid}`);
  return [...open].filter(([key, left]) => left > 0 && alive(key.split(' ')[0]));
}

test('ten vendors, one model', { timeout: 3_600_000 }, async (t) => {
  const folder = temp_dir('consort-ten');
  const all = await stands(folder);
  const hosts = new Hosts({ nodes: [], gateways_ready: false });
  t.after(async () => {
    await hosts.destroy();
    for (const one of all) await one.destroy();
    fs.rmSync(folder, { recursive: true, force: true });
  });
  await hosts.start();
  const check = checker(t, hosts);

  await check('each joins with the devices of its vendor alone', async () => {
    for (const stand of all)
      await hosts.add_node(stand.backend.name, {
        env: stand.env,
        args: ['--plugins', stand.plugins],
      });
    await hosts.expect_alive(vendors, 60_000);
    const sources = ['tiny-llama', 'tiny-onnx', 'tiny-openvino'].map(model_folder);
    const variants = [...sources, `server:${model}`].map((source) => ({
      ...{ source, equivalence: model },
    }));
    const added = await hosts.scheduler.post('/api/v1/models', { name: model, variants });
    assert.ok(added.status < 300, added.text);
  });

  const devices = async (name) => {
    const { plugins } = all.find((one) => one.backend.name === name).backend;
    const listed = await hosts.scheduler.list('devices');
    const mine = listed.filter((one) => one.spec.id.startsWith(`${name}/`));
    const ours = mine.filter((one) => [...plugins, 'other-vendor'].includes(one.spec.plugin));
    return ours.filter((one) => one.reading?.health !== 'unhealthy'); // One has an ECC error.
  };
  await check('each compiles what it must, loads and serves', async () => {
    const serve = async (name) => {
      const [device] = await eventually(`devices of ${name}`, async () => {
        const mine = await devices(name);
        return mine.length > 0 && mine;
      });
      await eventually(
        `${device.spec.id} serves`,
        async () => {
          const fields = { model, prompt: 'Warm', max_tokens: 3, temperature: 0 };
          const headers = { 'X-Consort-Device': device.spec.id };
          const answer = await hosts.gateway.complete(fields, headers, 60_000);
          if (answer.status !== 200) throw new Error(answer.text);
          return answer.json.choices[0].text === story('Warm', 3);
        },
        120_000,
        500,
      );
    };
    await Promise.all(vendors.map(serve));
  });

  await check(`${requests} requests while backends fail`, async (run = {}) => {
    const began = Date.now();
    const trouble = new Trouble(all);
    let ended;
    try {
      ended = await ask_all(hosts, requests);
    } finally {
      await trouble.stop();
    }
    const whole = ended.filter((one) => !one.error);
    const failed = ended.filter((one) => one.error);
    for (const one of whole) {
      assert.equal(one.text, one.expected);
      assert.equal(one.tokens, one.max_tokens);
    }
    const kinds = {};
    for (const one of failed) kinds[one.error.code] = (kinds[one.error.code] ?? 0) + 1;
    const per_node = {};
    for (const { device } of whole) {
      const node = device?.split('/')[0];
      per_node[node] = (per_node[node] ?? 0) + 1;
    }
    run.report = { whole: whole.length, failed: kinds, per_node, faults: trouble.given };
    const seconds = (Date.now() - began) / 1000;
    const sum = `${bytes(whole.map((one) => one.text))} bytes, ${seconds.toFixed(1)} s`;
    t.diagnostic(`${JSON.stringify(run.report)} ${sum}`);
    assert.equal(bytes(whole.map((one) => one.text)), bytes(whole.map((one) => one.expected)));
    assert.ok(failed.length <= requests / 100, `more than 1 % failed: ${JSON.stringify(kinds)}`);
    assert.ok(Object.keys(per_node).length >= 5, `few nodes served: ${JSON.stringify(per_node)}`);
  });

  await check('the books agree', async () => {
    const view = await hosts.expect_idle(60_000);
    assert.ok(view.counters.finished >= requests - requests / 100);
    for (const stand of all) assert.deepEqual(unended(stand), [], stand.backend.name);
    await eventually('every vendor serves again', async () => {
      for (const name of vendors) {
        const [device] = await devices(name);
        const headers = { 'X-Consort-Device': device.spec.id };
        const fields = { model, prompt: 'After', max_tokens: 3, temperature: 0 };
        const answer = await hosts.gateway.complete(fields, headers, 60_000);
        if (answer.status !== 200) throw new Error(`${device.spec.id}: ${answer.text}`);
      }
      return true;
    }, 180_000, 1_000);
  });

  await check('stops cleanly', async () => {
    await hosts.stop();
    hosts.expect_sane();
  });
});
