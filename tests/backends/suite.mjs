// SPDX-License-Identifier: Apache-2.0
// What every backend has to pass, whatever is behind it. Each check is one function over a stand;
// a backend that cannot do something says so in `lacks`, and its page says why.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { eventually, expect_error } from '../system/support.mjs';
import { busy_tools } from './busy_tools.mjs';
import { story, vector_of } from './fakes/story.mjs';
import { shipped } from './shipped.mjs';
import { load_ms, Stand } from './stand.mjs';

const prompt = 'Once upon a time';
const tokens = 12;
const cancel_ms_max = 100; // From the client's leaving to the fake's seeing its connection close.
const cancels_max = 5; // What else the machine does delays one or the other.
const starts_max = 5; // Of the program: the same.
const absent_ms_max = 5_000; // What a probe that hangs takes at least.
const busy_ms_min = 850; // Fakes are overloaded for 900 ms, and say a second.
const other = { 'X-Consort-Device': 'pim' };
const turns_max = 6; // Until the backend is the first choice of requests that may go anywhere.

/// Where the backend is asked, and with what: as a chat where it answers nothing else.
function asked_of(stand, { prompt: text, ...fields }) {
  const body = { model: stand.backend.model, ...fields };
  if (!lacks(stand, 'completions')) return ['/v1/completions', { ...body, prompt: text }];
  return ['/v1/chat/completions', { ...body, messages: [{ role: 'user', content: text }] }];
}

/// A request to the backend under test alone, or to any with `headers` empty.
function ask(stand, fields = {}, headers = type_of(stand)) {
  const body = { prompt, max_tokens: tokens, temperature: 0, ...fields };
  return stand.cluster.post(...asked_of(stand, body), headers, 30_000);
}

/// plugin.json of each of its plugins, without comments, which begin their lines.
const documents = (stand) =>
  stand.backend.plugins.map((name) => {
    const text = fs.readFileSync(path.join(stand.plugins, name, 'plugin.json'), 'utf8');
    return JSON.parse(text.replace(/^\s*\/\/.*$/gm, ''));
  });

const makes_embeddings = (stand) =>
  documents(stand).some(({ capability }) => capability.runtime?.embeddings);

const keeps_cache = (stand) => documents(stand).some(({ runtime }) => runtime?.cache);

/// Half of the cache of any fake that tells how large its cache is.
const kv_tokens_left = 16_384;

/// How many of them a request passes at most.
const servers_of = (attached) => (attached?.also ? 1 + servers_of(attached.also) : 1);

const is_its = (stand) => (one) => one.name === stand.backend.fake;

const embed = (stand, fields, headers = type_of(stand)) =>
  stand.cluster.post('/v1/embeddings', { model: stand.backend.model, ...fields }, headers, 30_000);

const text_in = (choice) => choice?.text ?? (choice?.message ?? choice?.delta)?.content;
const text_of = (answer) => text_in(answer.json.choices[0]);

/// With a request of ours in work and 1,000 of others nothing more is sent there.
async function it_is_full(stand) {
  const staying = new AbortController();
  const [target, fields] = asked_of(stand, { prompt: 'Staying', max_tokens: 4000, stream: true });
  const options = { method: 'POST', body: JSON.stringify(fields), headers: type_of(stand) };
  // Held: the connection of an answer that nobody holds is closed with it.
  const answer = fetch(stand.cluster.url + target, { ...options, signal: staying.signal });
  const held = answer.catch(() => {});
  const decodes = () => stand.journal('decode').some((one) => one.prompt === 'Staying');
  await eventually('it decodes', decodes, 10_000, 10);
  const hurried = { ...type_of(stand), 'X-Consort-Wait': '1s' };
  const full = async () => (await ask(stand, { max_tokens: 2 }, hurried)).status === 503;
  await eventually('it is full', full);
  staying.abort();
  await held;
}

// --- without a cluster ---------------------------------------------------------------------------

const before_start = {
  'its folder is sound and reads what was recorded of its tools': async (stand) => {
    for (const name of stand.backend.plugins) {
      const done = await stand.cli(['plugin', 'check', '--no-run', path.join(stand.plugins, name)]);
      assert.equal(done.code, 0, done.stdout + done.stderr);
      assert.match(done.stdout, /^plugin\.json +pass/m);
      const recorded = path.join(shipped, name, 'fixtures');
      for (const file of fs.existsSync(recorded) ? fs.readdirSync(recorded) : [])
        if (/^(probe|telemetry|failures)/.test(file)) assert.ok(done.stdout.includes(file), file);
    }
  },
  'where its tools are not, it says so and costs nothing': async (stand) => {
    const env = Object.fromEntries(Object.keys(stand.env).map((name) => [name, undefined]));
    const look = async () => {
      const began = Date.now();
      const args = ['plugins', '--plugins', stand.plugins, '-o', 'json'];
      const done = await stand.cli(args, { env: { ...env, PATH: process.env.PATH } });
      assert.equal(done.code, 0, done.stderr);
      for (const name of stand.backend.plugins) {
        const seen = JSON.parse(done.stdout).plugins.find((one) => one.name === name);
        assert.equal(seen.available, false, name);
        assert.match(seen.reason, stand.backend.absent ?? /not on this host: \S+/);
      }
      return Date.now() - began;
    };
    let fastest = await look();
    for (let again = 1; again < starts_max && fastest >= absent_ms_max; ++again)
      fastest = Math.min(fastest, await look());
    assert.ok(fastest < absent_ms_max, `${fastest} ms`);
  },
};

// --- on a running cluster ------------------------------------------------------------------------

/// Begins a long answer and leaves. Returns: the time until the fake saw its connection close.
async function leave(stand, prompt) {
  const leaving = new AbortController();
  const [target, fields] = asked_of(stand, { prompt, max_tokens: 4000, stream: true });
  const body = JSON.stringify(fields);
  const headers = type_of(stand);
  const url = stand.cluster.url + target;
  const mine = (what) => stand.journal(what).find((one) => one.prompt === prompt && one.count > 1);
  const answer = fetch(url, { method: 'POST', body, headers, signal: leaving.signal });
  answer.catch(() => {});
  await eventually('it decodes', () => mine('decode'), 10_000, 10);
  if (!lacks(stand, 'stream')) await (await answer).body.getReader().read();
  const left = Date.now();
  leaving.abort();
  const end = await eventually('the fake sees it', () => mine('end'), 5_000, 5);
  assert.equal(end.how, 'abort');
  return end.at - left;
}

/// A request that asks for what `refuses` of plugin.json calls so.
const asking_for = {
  choices: { n: 2 },
  forms: { response_format: { type: 'json_object' } },
  token_prompts: { prompt: [1, 2, 3] },
  logprobs: { logprobs: 1 },
  echo: { echo: true },
  penalties: { repetition_penalty: 1.3 },
  biases: { logit_bias: { 5: 1 } },
};

const running = {
  'what its folder says that it refuses is not asked of it': async (stand) => {
    const words = documents(stand).flatMap((one) => one.capability.runtime?.refuses ?? []);
    for (const word of words) {
      const before = stand.journal('request').length;
      const refused = await ask(stand, asking_for[word]);
      assert.equal(refused.status, 422, `${word}: ${refused.text}`);
      assert.match(refused.text, /does not answer/, word);
      const asked = stand.journal('request').slice(before);
      assert.ok(!asked.some((one) => one.method === 'POST'), `${word}: it was asked`);
    }
  },
  'probe and telemetry are what its tools print, in our units': async (stand) => {
    const wanted = stand.backend.devices;
    const compare = async () => {
      const seen = await stand.devices();
      assert.equal(seen.length, wanted.length);
      for (const expected of wanted) {
        const one = seen.find(({ spec }) => spec.uuid === expected.uuid);
        assert.ok(one, `no device ${expected.uuid} among ${seen.map(({ spec }) => spec.uuid)}`);
        assert.equal(one.spec.type, stand.backend.type);
        assert.equal(one.spec.model, expected.model);
        if (expected.memory_bytes) assert.equal(one.spec.memory_bytes, expected.memory_bytes);
        for (const [name, figure] of Object.entries(expected.reading ?? {}))
          assert.deepEqual(one.reading[name] ?? null, figure, name);
      }
      return true;
    };
    // A tool that goes on may take a moment to its first line.
    await eventually('its devices as they are read', compare, 15_000);
  },
  'it generates, with usage': async (stand) => {
    const answer = await ask(stand);
    assert.equal(answer.status, 200, answer.text);
    assert.equal(text_of(answer), story(prompt, tokens));
    assert.equal(answer.json.usage.completion_tokens, tokens);
    if (!lacks(stand, 'prompt-usage')) assert.equal(answer.json.usage.prompt_tokens, 4);
    assert.ok(answer.headers.get('x-consort-device').includes(`/${stand.backend.type}`));
  },
  'the device was chosen as its vendor wants it': async (stand) => {
    const started = stand.journal('start').find(is_its(stand));
    for (const [name, value] of Object.entries(stand.backend.chosen ?? {}))
      assert.match(String(started.env[name]), value, name);
    for (const word of stand.backend.arguments ?? [])
      assert.ok(started.argv.includes(word), `${word} in ${started.argv.join(' ')}`);
  },
  'chats are answered too': async (stand) => {
    if (lacks(stand, 'chat')) return;
    const messages = [{ role: 'user', content: prompt }];
    const headers = type_of(stand);
    const body = { model: stand.backend.model, messages, max_tokens: tokens };
    const answer = await stand.cluster.post('/v1/chat/completions', body, headers);
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.json.choices[0].message.content, story(prompt, tokens));
  },
  'it streams': async (stand) => {
    const headers = type_of(stand);
    const [target, fields] = asked_of(stand, { prompt, max_tokens: tokens });
    let text = '';
    let pieces = 0;
    let reason;
    for await (const event of stand.cluster.stream(fields, headers, undefined, target)) {
      const choice = event.choices?.[0];
      text += text_in(choice) ?? '';
      pieces += text_in(choice) ? 1 : 0;
      reason = choice?.finish_reason ?? reason;
    }
    assert.equal(text, story(prompt, tokens));
    assert.equal(reason, 'length');
    if (!lacks(stand, 'stream')) assert.ok(pieces > 3, `${pieces} pieces`);
  },
  'stop reasons are told apart': async (stand) => {
    assert.equal((await ask(stand)).json.choices[0].finish_reason, 'length');
    stand.faults(`${stand.backend.fake}=stop`);
    const stopped = await ask(stand);
    assert.equal(stopped.json.choices[0].finish_reason, 'stop');
    assert.equal(text_of(stopped), story(prompt, 6));
  },
  'a client that leaves closes the connection within 100 ms': async (stand) => {
    const took = [];
    while (took.length < cancels_max && !(took.at(-1) <= cancel_ms_max))
      took.push(await leave(stand, `Leaving ${took.length}`));
    assert.ok(took.at(-1) <= cancel_ms_max, `it took ${took.join(', ')} ms`);
    await eventually('nothing runs', async () => (await stand.cluster.running()) === 0, 5_000);
  },
  'while it is overloaded it is left alone for as long as it asks': async (stand) => {
    for (const form of stand.backend.overload ?? ['busy-seconds', 'busy-date']) {
      stand.faults();
      assert.equal((await ask(stand)).status, 200);
      stand.faults(`${stand.backend.fake}=${form}`);
      const began = Date.now();
      const answer = await ask(stand);
      const took = Date.now() - began;
      assert.equal(answer.status, 200, `${form}: ${answer.text}`);
      assert.equal(text_of(answer), story(prompt, tokens));
      assert.ok(took >= busy_ms_min, `${form}: only ${took} ms`);
      const asked = stand.journal('request').filter((one) => one.at >= began);
      const tries = asked.filter((one) => one.method === 'POST').length;
      assert.ok(tries <= 3 * servers_of(stand.backend.attach), `${form}: asked ${tries} times`);
    }
  },
  'what others run there counts: half of its cache is theirs, and it is full': async (stand) => {
    const metrics = documents(stand).find(({ runtime }) => runtime?.metrics)?.runtime.metrics;
    if (!stand.backend.crowds) return;
    assert.equal((await ask(stand)).status, 200);
    stand.faults(`${stand.backend.fake}=crowded`);
    if (metrics.kv_tokens || metrics.kv_blocks)
      await eventually('the cache that is left', async () => {
        const replicas = await stand.cluster.list('replicas');
        const left = replicas.map((one) => one.kv_tokens_max);
        return left.some((one) => Math.abs(one - kv_tokens_left) < kv_tokens_left / 8);
      });
    // One without work of ours takes any request: it may wait in the engine. Of several that is so
    // for each of them.
    if (stand.backend.devices.length === 1) {
      // Its engine generates for long: devices that show no work meanwhile are found out.
      stand.show(busy_tools(stand.backend.tools, stand.fakes));
      await it_is_full(stand);
      stand.show(stand.backend.tools);
    }
    stand.faults();
    await eventually('it has room', async () => (await ask(stand)).status === 200);
  },
  'a start that takes its time is waited for': async (stand) => {
    if (lacks(stand, 'die')) return;
    const starts = () => stand.journal('start').filter(is_its(stand)).length;
    const before = starts();
    stand.faults(`${stand.backend.fake}=slow-load`);
    await kill_fake(stand);
    const began = Date.now();
    assert.equal((await ask(stand)).status, 200);
    assert.ok(Date.now() - began > 10 * load_ms, 'it was there at once');
    const begun = starts() - before;
    assert.ok(begun >= 1 && begun <= stand.backend.devices.length, `started ${begun} times`);
  },
  'what its server compiles at its start is kept for the next': async (stand) => {
    if (!keeps_cache(stand)) return;
    assert.equal((await ask(stand)).status, 200);
    await eventually('it is an artifact', async () => {
      const all = await stand.cluster.list('artifacts');
      return all.some(({ key, state }) => key.kind === 'cache' && state === 'ready');
    });
    const before = stand.journal('compiled').length;
    await kill_fake(stand);
    assert.equal((await ask(stand)).status, 200);
    const after = stand.journal('compiled').slice(before);
    assert.ok(after.length > 0 && after.every(({ found }) => found), JSON.stringify(after));
  },
  'it makes embeddings': async (stand) => {
    if (!makes_embeddings(stand)) return;
    const input = ['ash', 'birch and cedar', 'elm'];
    const answer = await embed(stand, { input });
    assert.equal(answer.status, 200, answer.text);
    const { object, data, usage } = answer.json;
    assert.equal(object, 'list');
    assert.deepEqual(
      data,
      input.map((text, index) => ({ object: 'embedding', index, embedding: vector_of(text) })),
    );
    assert.equal(usage.prompt_tokens, 5);
    assert.equal(usage.total_tokens, 5);
    assert.ok(answer.headers.get('x-consort-device').includes(`/${stand.backend.type}`));
    const packed = await embed(stand, { input: 'ash', encoding_format: 'base64' });
    assert.equal(packed.status, 200, packed.text);
    const bytes = Buffer.from(packed.json.data[0].embedding, 'base64');
    const found = vector_of('ash').map((_, at) => bytes.readFloatLE(4 * at));
    assert.deepEqual(found, vector_of('ash'));
  },
  'a device that makes no embeddings says so': async (stand) => {
    const headers = makes_embeddings(stand) ? other : type_of(stand);
    const refused = await embed(stand, { input: 'ash' }, headers);
    expect_error(refused, 422, /embeddings \(its runtime makes no embeddings\)/);
  },
  'what it refuses reaches the client in its words': async (stand) => {
    for (const [fault, [status, pattern]] of Object.entries(stand.backend.refuses ?? {})) {
      stand.faults(`${stand.backend.fake}=${fault}`);
      expect_error(await ask(stand), status, pattern); // Another may serve while it rests.
    }
  },
};

// --- with a second vendor ------------------------------------------------------------------------

const serves = (stand, headers) =>
  eventually('it serves', async () => {
    const answer = await ask(stand, { max_tokens: 2 }, headers);
    return answer.status === 200;
  });

/// The backend and the other vendor. A real model's weights could run elsewhere on the host, too,
/// and say something else.
const both = (stand) =>
  stand.backend.weights ? { 'X-Consort-Device': `${type_of(stand)['X-Consort-Device']}|pim` } : {};

/// Requests that may go anywhere, of which the first go to the backend, which is the faster one: it
/// is shown to be until one of them met the fault.
async function moves(stand, fault) {
  const failed = () => stand.cluster.metric('consort_attempts_total', { reason: 'failed' });
  for (let turn = 0; turn < turns_max; ++turn) {
    stand.faults();
    await serves(stand, other);
    for (let shown = 0; shown <= turn; ++shown) await serves(stand);
    stand.faults(`${stand.backend.fake}=${fault}`);
    const before = await failed();
    const answers = await Promise.all([1, 2, 3, 4].map(() => ask(stand, {}, both(stand))));
    for (const answer of answers) {
      assert.equal(answer.status, 200, `${fault}: ${answer.text}`);
      assert.equal(text_of(answer), story(prompt, tokens), fault);
    }
    if ((await failed()) > before) return;
  }
  assert.fail(`${fault}: nothing failed, so nothing was shown`);
}

const with_other = {
  'what is the fault of the server moves to another vendor': async (stand) => {
    for (const fault of stand.backend.moves ?? ['html']) await moves(stand, fault);
  },
  'a stream that breaks goes on at another vendor': async (stand) => {
    const usual = ['cut', 'malformed', 'not-utf8', 'error-in-stream', 'die'];
    for (const fault of stand.backend.breaks ?? usual) await moves(stand, fault);
  },
  'one that dies while loading is named, and the other serves': async (stand) => {
    if (lacks(stand, 'die')) return;
    await serves(stand);
    stand.faults(`${stand.backend.fake}=die-loading`); // Whoever starts from now on.
    await kill_fake(stand);
    const refused = await ask(stand, {}, { ...type_of(stand), 'X-Consort-Wait': '2s' });
    assert.ok(refused.status >= 500, refused.text);
    // It may have been told to start again only after a pause.
    const named = () => /exited with 9/.test(stand.cluster.output + refused.text);
    await eventually('how it ended', named);
    assert.equal((await ask(stand, {}, {})).status, 200);
  },
};

/// For servers that say how many tokens a request may have, 4,096.
export const knows_its_context = {
  'what exceeds its context goes to another, and to it when there is no other': async (stand) => {
    const fields = { max_tokens: 5000 };
    const refused = await ask(stand, fields);
    assert.equal(refused.status, 400, refused.text);
    assert.match(refused.text, /4096/);
    const models = await stand.cluster.list('models');
    const shown = models.find(({ spec }) => spec.name === stand.backend.model);
    assert.equal(shown.context_tokens, 4096);
    stand.faults('other=stop'); // It ends long before.
    for (let turn = 0; turn < 3; ++turn) {
      const answer = await ask(stand, fields, {});
      assert.equal(answer.status, 200, answer.text);
      assert.ok(answer.headers.get('x-consort-device').includes('/pim'));
    }
  },
};

const type_of = ({ backend }) => ({ 'X-Consort-Device': backend.selector ?? backend.type });
const lacks = (stand, what) => (stand.backend.lacks ?? []).includes(what);

/// Runs every check that the backend's `lacks` does not name by its group.
export async function conformance(t, backend) {
  const stand = new Stand(backend);
  t.after(() => stand.destroy());
  const group = async (checks) => {
    for (const [name, check] of Object.entries(checks))
      await t.test(name, { timeout: 120_000 }, async () => {
        stand.faults();
        try {
          await check(stand);
        } catch (failure) {
          const tail = stand.cluster ? `\n${stand.cluster.tail()}` : '';
          // What fetch() throws shows no stack of ours.
          if (failure instanceof DOMException) throw new Error(`${failure.message}${tail}`);
          failure.stack += tail;
          throw failure;
        }
      });
  };
  await group(before_start);
  await group(backend.before ?? {});
  stand.faults(); // What a check asked for last is not what the cluster starts with.
  const runs = !lacks(stand, 'run');
  if (runs) stand.add_other_vendor();
  await stand.start();
  if (!runs) return group({ [Object.keys(running)[0]]: Object.values(running)[0] });
  await group(running);
  await group(backend.checks ?? {});
  if (!lacks(stand, 'other')) await group(with_other);
}

/// Ends every fake of the backend that runs now, so that the next request starts another.
export async function kill_fake(stand) {
  const running = stand
    .journal('start')
    .filter(is_its(stand))
    .filter(({ pid }) => fs.existsSync(`/proc/${pid}`));
  const died = () => (stand.cluster.output.match(/runtime_died|was killed by/g) ?? []).length;
  const before = died();
  for (const one of running) process.kill(one.pid, 'SIGKILL');
  if (running.length > 0) await eventually('it is noticed', () => died() > before);
}

/// Whoever starts from now on finds its engine unfit, by that fault: it is dropped, built once more
/// and served. `builds`: how often the fake compiler was called so far.
export async function rebuilds(stand, fault, builds) {
  const before = builds();
  stand.faults(fault);
  await kill_fake(stand);
  // Who keeps dying is started after ever longer pauses: somebody has to go on wanting it.
  const wanted = ask(stand, {}, { ...type_of(stand), 'X-Consort-Wait': '25s' });
  wanted.catch(() => {});
  await eventually('built again', () => builds() > before, 20_000, 20);
  stand.faults();
  await eventually('it serves', async () => (await ask(stand)).status === 200);
  await wanted;
  assert.equal(builds(), before + 1);
}

/// Serves the model over so many devices, on a cluster of its own. Returns: how the server was
/// started, the devices, and what was compiled for it.
export async function started_over(devices_per_instance, backend, prepare = () => {}) {
  const stand = new Stand({ ...backend, devices_per_instance });
  try {
    prepare(stand);
    await stand.start();
    const answer = await ask(stand, { max_tokens: 2 });
    assert.equal(answer.status, 200, answer.text);
    const { env, argv } = stand.journal('start').filter(is_its(stand)).at(-1);
    const built = stand.journal().filter(({ what }) => what === 'build' || what === 'compile');
    return { env, words: argv.join(' '), devices: await stand.devices(), built };
  } finally {
    await stand.destroy();
  }
}

export { ask, text_of, type_of, prompt, tokens, lacks };
