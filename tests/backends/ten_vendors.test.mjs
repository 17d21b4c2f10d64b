// SPDX-License-Identifier: Apache-2.0
// Goal: ten hosts with every kind of backend (GPU, NPU, PIM, TPU, remote, hybrid), each with
// another vendor's devices or engine, serve one model; while their backends fail by the menu, no
// request is lost and every byte of every answer is accounted for.
// Method: one process per node, with the plugin folder that ships and fakes of the vendor's tools
// and server, or of the servers that it attaches to; requests under all policies, whole and
// streamed; a backend at random is given a fault at random, a few at once. CONSORT_TEN_VENDORS=N
// sets the number of requests (300 without it; from 1,000 on seven more hosts join),
// CONSORT_TEN_SEED the faults. Every fifth request is for a device of one host alone, in turn; the
// others may go anywhere and all have to succeed. One of the former may end with a clean error if
// its backend was given a fault meanwhile, or just before, but three of four have to succeed even
// so. The simulated PIM has no fake: it runs a real model, whose text the host's CPU says first.
// When all is over, the scheduler's books and the fakes' journals agree with ours.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { Hosts, read_stream } from '../system/hosts_support.mjs';
import { checker, eventually, model_file, sleep, temp_dir } from '../system/support.mjs';
import { busy_tools } from './busy_tools.mjs';
import { story } from './fakes/story.mjs';
import { engine_library, model_folder } from './places.mjs';
import { Stand } from './stand.mjs';

const requests = Number(process.env.CONSORT_TEN_VENDORS ?? 300);
const seed = Number(process.env.CONSORT_TEN_SEED ?? 1);
const at_once = 48;
const pinned_every = 5;
const faulty_at_once = 4;
const policies = ['latency', 'throughput', 'energy', 'cost', 'hybrid'];
const model = 'gpt-tiny'; // The name of each variant, and of what the servers attached to list.
const hosts_at_once = 4; // That start or load.
const ends_at_once = 2; // Each has 5 s for it.
const pinned_wait = '10s'; // For a host whose backend fails.
const fault_echo_ms = 15_000; // So long after a fault its backend may still be avoided.
const attempts_max = 4; // Of a request, those that brought something not counted.
const many = 1_000; // Requests, from which on the machine has time for every vendor.
const vendors = [
  ...['vllm', 'tensorrt-llm', 'deepspeed-mii', 'rebellions', 'furiosa', 'pim-sim'],
  ...['openai', 'tgi', 'vllm-disaggregated', 'google-tpu'],
];
const more = ['amd', 'gaudi', 'neuron', 'ascend', 'intel-npu', 'qualcomm', 'other'];
if (requests >= many) vendors.push(...more);
const death_echo_ms = 2_000; // So long after a server was told to die it may do so.
/// Faults that are told to last longer than this test: who has no quota left is left alone.
const lasting = ['no-quota'];

/// A small generator of numbers, the same for the same seed.
function dice(state) {
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/// Backends without a file in the table: the one of nobody's that Stand brings, alone, and the
/// simulated PIM, which runs a real model.
const others = {
  other: { plugins: [], fake: 'other', type: 'pim' },
  'pim-sim': {
    ...{ plugins: ['pim-sim'], type: 'pim', env: { CONSORT_SIMULATED_PIM: '1' } },
    real: { model: 'tale', prompt: 'Once upon a time', max_tokens: 6 },
  },
};

/// The server that it attaches to, and those behind it, serving our model.
const attached = (one, theirs) =>
  one && {
    ...{ ...one, args: one.args.map((word) => (word === theirs ? model : word)) },
    also: attached(one.also, theirs),
  };

/// The library of a copied folder lies where the build put it.
function point_to_library(stand) {
  const file = path.join(stand.plugins, 'pim-sim/plugin.json');
  const text = fs.readFileSync(file, 'utf8');
  const library = JSON.stringify(engine_library);
  fs.writeFileSync(file, text.replace(/"[^"]*libconsort-llama\.so"/, library));
}

async function stands(folder) {
  const made = [];
  for (const name of vendors) {
    const entry = others[name] ?? (await import(`./table/${name}.mjs`)).default;
    const tools = busy_tools(entry.tools, folder);
    const stand = new Stand({ ...entry, name, model, tools });
    made.push(stand);
    if (name === 'other') stand.add_other_vendor();
    if (name === 'pim-sim') point_to_library(stand);
    if (entry.attach) await stand.attach(attached(entry.attach, entry.model));
  }
  return made;
}

/// Gives backends at random a fault at random, and takes it away again, until told to stop.
class Trouble {
  constructor(all) {
    const able = all.filter(({ backend }) => backend.fake);
    Object.assign(this, { all: able, roll: dice(seed), given: {}, bad: new Map(), past: [] });
    this.stopped = false;
    this.running = this.#run();
  }
  #menu(stand) {
    const { moves, breaks } = stand.backend;
    const usual = ['cut', 'malformed', 'error-in-stream', 'die', 'not-utf8'];
    const menu = [...(moves ?? ['html']), ...(breaks ?? usual)];
    return menu.filter((one) => !lasting.includes(one));
  }
  async #run() {
    while (!this.stopped) {
      for (const [stand, until] of this.bad)
        if (until < Date.now()) this.#heal(stand);
      const stand = this.all[this.roll(this.all.length)];
      if (this.bad.size < faulty_at_once && !this.bad.has(stand)) {
        const menu = this.#menu(stand);
        const fault = menu[this.roll(menu.length)];
        stand.faults(`${stand.backend.fake}=${fault}`);
        this.past.push({ host: stand.backend.name, fault, from: Date.now(), until: Infinity });
        this.given[fault] = (this.given[fault] ?? 0) + 1;
        this.bad.set(stand, Date.now() + 200 + this.roll(600));
      }
      await sleep(100);
    }
    for (const one of this.bad.keys()) this.#heal(one);
  }
  #heal(stand) {
    stand.faults();
    this.bad.delete(stand);
    const mine = this.past.findLast(({ host }) => host === stand.backend.name);
    mine.until = Date.now();
  }
  /// Whether that host was told to fail, in a way that `able` takes, while a request ran, or so
  /// shortly before that it still did.
  #near(name, { began, over }, echo_ms, able = () => true) {
    return this.past.some(
      ({ host, fault, from, until }) =>
        host === name && able(fault) && from < over && until + echo_ms > began,
    );
  }
  #dies(name, when) {
    return this.#near(name, when, death_echo_ms, (fault) => fault === 'die');
  }
  /// Whether a request for one host failed of that host's faults: one that struck it, by the fake's
  /// own journal, or the death of its server; who had no attempt, of one while it waited, or so
  /// shortly before that the host was still avoided.
  excuses(one) {
    const { only, error, fields } = one;
    if (error.code !== 'device_failed') return this.#near(only, one, fault_echo_ms);
    if (this.#dies(only, one)) return true;
    const stand = this.all.find(({ backend }) => backend.name === only);
    const mine = ({ fault, body, prompt }) => fault && (body ?? prompt)?.includes(fields.prompt);
    return stand?.journal().some(mine) ?? false;
  }
  /// Whether a request that may go anywhere met such a fault in each attempt that it may have.
  unlucky(one) {
    if (one.error.code !== 'attempts_exhausted') return false;
    const tries = this.all.flatMap((stand) =>
      stand
        .journal('request')
        .filter(({ body }) => body?.includes(one.fields.prompt))
        .map(({ fault }) => Boolean(fault) || this.#dies(stand.backend.name, one)),
    );
    return tries.length >= attempts_max && tries.every(Boolean);
  }
  async stop() {
    this.stopped = true;
    await this.running;
  }
}

/// What the request of that number asks, and what it has to be answered. `stand`: the host that it
/// is for, with the device; nothing: any.
function request_of(number, stand) {
  const headers = { 'X-Consort-Policy': policies[number % policies.length] };
  const pinned = { 'X-Consort-Device': stand?.device, 'X-Consort-Wait': pinned_wait };
  if (stand) Object.assign(headers, pinned);
  if (stand?.real) return { fields: stand.backend.real, headers, ...stand.real };
  const prompt = `Request ${number} of many`;
  const max_tokens = 4 + (number % 13);
  const expected = story(prompt, max_tokens);
  return { fields: { model, prompt, max_tokens }, headers, expected, expected_tokens: max_tokens };
}

/// One request, whole or streamed. Returns: {text, error, device}; error is the envelope's inside.
async function answer_of(hosts, number, { fields, headers }) {
  const asked = { ...fields, temperature: 0 };
  if (number % 2 === 0) {
    const seen = await read_stream(hosts.gateway, asked, headers);
    assert.equal(seen.broken, null, `request ${number}: ${seen.broken?.stack}`);
    assert.equal(seen.ends, 1, `request ${number} has ${seen.ends} ends`);
    const [error] = seen.errors;
    return { ...seen, error, tokens: seen.usage?.completion_tokens };
  }
  const answer = await hosts.gateway.complete(asked, headers, 180_000);
  const { choices, usage, error } = answer.json ?? {};
  assert.equal(Boolean(choices), answer.status === 200, `request ${number}: ${answer.text}`);
  assert.ok(choices || (error?.message && error.type), `request ${number}: ${answer.text}`);
  const device = answer.headers.get('x-consort-device');
  return { text: choices?.[0].text, error, device, tokens: usage?.completion_tokens };
}

/// All of them, so many at once. Returns: what became of each, by number.
async function ask_all(hosts, all, count) {
  const ended = new Array(count);
  let next = 0;
  const worker = async () => {
    while (next < count) {
      const number = next++;
      const turn = number / pinned_every;
      const stand = Number.isInteger(turn) ? all[turn % all.length] : undefined;
      const asked = request_of(number, stand);
      const began = Date.now();
      const answer = await answer_of(hosts, number, asked);
      const when = { only: stand?.backend.name, began, over: Date.now() };
      ended[number] = { ...asked, ...answer, ...when };
    }
  };
  await Promise.all(Array.from({ length: at_once }, worker));
  return ended;
}

/// `act` for each of `list`, a few at once.
async function for_some(list, act, width = hosts_at_once) {
  const left = [...list];
  const worker = async () => {
    while (left.length > 0) await act(left.shift());
  };
  await Promise.all(Array.from({ length: width }, worker));
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

test('ten vendors or more, one model', { timeout: 3_600_000 }, async (t) => {
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
  const add = async (name, sources) => {
    const variants = sources.map((source) => ({ source, equivalence: name }));
    const added = await hosts.scheduler.post('/api/v1/models', { name, variants });
    assert.ok(added.status < 300, added.text);
  };

  await check('each joins with the devices of its vendor alone', async () => {
    await for_some(all, ({ backend, env, plugins }) =>
      hosts.add_node(backend.name, { env, args: ['--plugins', plugins] }),
    );
    await hosts.expect_alive(vendors, 60_000);
    const sources = ['tiny-llama', 'tiny-onnx', 'tiny-openvino'].map(model_folder);
    const checkpoint = `server:${model_folder('trtllm-checkpoint')}`;
    // Who attaches takes the first that it may.
    await add(model, [...sources, `server:${model}`, checkpoint]);
    await add(others['pim-sim'].real.model, [model_file]);
  });

  const devices = async ({ backend }) => {
    const listed = await hosts.scheduler.list('devices');
    const mine = listed.filter((one) => one.spec.id.startsWith(`${backend.name}/`));
    const plugins = [...backend.plugins, 'other-vendor'];
    const ours = mine.filter((one) => plugins.includes(one.spec.plugin));
    return ours.filter((one) => one.reading?.health !== 'unhealthy'); // One has an ECC error.
  };
  const answered = async (fields, device) => {
    const asked = { ...fields, temperature: 0 };
    const headers = { 'X-Consort-Device': device };
    const answer = await hosts.gateway.complete(asked, headers, 60_000);
    if (answer.status !== 200) throw new Error(`${device}: ${answer.text}`);
    const { choices, usage } = answer.json;
    return { expected: choices[0].text, expected_tokens: usage.completion_tokens };
  };
  const serves = async (stand, prompt) => {
    const { real } = stand.backend;
    const seen = await eventually(
      `${stand.device} serves`,
      () => answered(real ?? { model, prompt, max_tokens: 3 }, stand.device),
      120_000,
      500,
    );
    assert.equal(seen.expected, real ? stand.real.expected : story(prompt, 3));
  };
  await check('each compiles what it must, loads and serves', async () => {
    await for_some(all, async (stand) => {
      const { name, real } = stand.backend;
      const [device] = await eventually(`devices of ${name}`, async () => {
        const mine = await devices(stand);
        return mine.length > 0 && mine;
      });
      stand.device = device.spec.id;
      if (real)
        stand.real = await eventually('its CPU', () => answered(real, `${name}/cpu0`), 60_000, 500);
      await serves(stand, 'Warm');
    });
  });

  let served = 0;
  await check(`${requests} requests while backends fail`, async (run = {}) => {
    const began = Date.now();
    const trouble = new Trouble(all);
    let ended;
    try {
      ended = await ask_all(hosts, all, requests);
    } finally {
      await trouble.stop();
    }
    const whole = ended.filter((one) => !one.error);
    const failed = ended.filter((one) => one.error);
    served = whole.length;
    for (const one of whole) {
      assert.equal(one.text, one.expected);
      assert.equal(one.tokens, one.expected_tokens, `${one.device}: tokens of ${one.text}`);
    }
    const kinds = {};
    for (const { error, only } of failed) {
      const kind = `${error.code}${only ? ` (${only} alone)` : ''}`;
      kinds[kind] = (kinds[kind] ?? 0) + 1;
    }
    const per_node = {};
    for (const { device } of whole) {
      const node = device?.split('/')[0];
      per_node[node] = (per_node[node] ?? 0) + 1;
    }
    run.report = { whole: whole.length, failed: kinds, per_node, faults: trouble.given };
    const seconds = (Date.now() - began) / 1000;
    const sum = `${bytes(whole.map((one) => one.text))} bytes, ${seconds.toFixed(1)} s`;
    t.diagnostic(`${JSON.stringify(run.report)} ${sum}`);
    const lost = failed.filter((one) => !(one.only ? trouble.excuses(one) : trouble.unlucky(one)));
    assert.deepEqual(
      lost.map(({ error, only }) => `${only ?? 'any'}: ${error.message}`),
      [],
      'healthy devices could have served them',
    );
    assert.deepEqual(Object.keys(per_node).sort(), [...vendors].sort(), 'every host served');
  });

  await check('the books agree', async () => {
    const view = await hosts.expect_idle(60_000);
    assert.ok(view.counters.finished >= served);
    for (const stand of all) assert.deepEqual(unended(stand), [], stand.backend.name);
    await for_some(all, (stand) => serves(stand, 'After'));
  });

  await check('stops cleanly', async () => {
    const end = async (node) => {
      node.signal('SIGTERM');
      await eventually(`${node.name} ends`, () => node.ended, 10_000, 20);
      assert.deepEqual(node.ended, { code: 0, signal: null }, `${node.name}\n${node.tail()}`);
    };
    await for_some(hosts.nodes, end, ends_at_once);
    await hosts.stop();
    hosts.expect_sane();
  });
});
