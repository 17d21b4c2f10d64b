// SPDX-License-Identifier: Apache-2.0
// Goal: whatever a client sends, the answer is a clear error in OpenAI's envelope, and the next
// request is served as if nothing had happened.
import assert from 'node:assert/strict';
import { cpu_ms, eventually, expect_error, sleep, with_cluster } from './support.mjs';

const completions = '/v1/completions';
const chat = '/v1/chat/completions';
const header_cut_ms_max = 20_000; // The gateway cuts a header that is not complete in 10 s.
const report_ms_max = 4_000; // Counters are read every second and reported every other.
const cancel_ms_max = 100; // The contract's: how long an engine works on for a client that left.
const cpu = { 'X-Consort-Device': 'cpu' };
const endless = { temperature: 1, ignore_eos: true }; // None ends before it is left.

/// What the engine counted, read when a later change must have been reported.
async function engine_counters(cluster) {
  await sleep(report_ms_max);
  const of = (name) => cluster.metric(`consort_engine_${name}`, { device: 'local/cpu0' });
  return {
    tokens: await of('tokens_total'),
    steps: await of('steps_total'),
    cancelled: await of('cancelled_total'),
    running: await of('sequences_running'),
  };
}

/// The most tokens that came within any `span_ms` of an uncut run of so many streams. A busy
/// machine runs in bursts, which an average would hide.
async function most_in(span_ms, cluster, streams) {
  const times = [];
  const read = async () => {
    for await (const event of cluster.stream({ max_tokens: 200, ...endless }, cpu))
      if (event.choices?.[0]?.text) times.push(performance.now());
  };
  await Promise.all(Array.from({ length: streams }, read));
  let most = 0;
  for (let from = 0, to = 0; to < times.length; ++to) {
    while (times[to] - times[from] > span_ms) ++from;
    most = Math.max(most, to - from + 1);
  }
  return most;
}

with_cluster('bad input', {}, async (check, cluster) => {
  const model = await cluster.model();
  const good = { model, prompt: 'Once', max_tokens: 4 };
  const still_works = async () => assert.equal((await cluster.post(completions, good)).status, 200);

  await check('malformed JSON', async () => {
    for (const body of ['{', '', '[]', '"text"', '{"model": }', '{"a":1} trailing', '\u0000'])
      expect_error(await cluster.post(completions, body), 400);
  });

  await check('JSON nested too deep', async () => {
    const deep = '['.repeat(100_000) + ']'.repeat(100_000);
    expect_error(
      await cluster.post(completions, `{"model":"${model}","prompt":"x","x":${deep}}`),
      400,
    );
  });

  await check('wrong types and ranges name the field', async () => {
    const wrong = { model: 7, prompt: { a: 1 }, max_tokens: 'many', n: 0, stream: 'yes' };
    for (const [field, value] of Object.entries(wrong)) {
      const inside = expect_error(
        await cluster.post(completions, { ...good, [field]: value }),
        400,
      );
      assert.equal(inside.param, field, `${field}: ${inside.message}`);
    }
    // These the engine reads; the gateway passes them on untouched.
    const engines = { temperature: 'hot', stop: 5, seed: 'x', top_p: 7, presence_penalty: -3 };
    for (const [field, value] of Object.entries(engines)) {
      const answer = await cluster.post(completions, { ...good, [field]: value }, cpu);
      assert.equal(expect_error(answer, 400, new RegExp(field)).param, field);
    }
    expect_error(await cluster.post(completions, { ...good, n: 100_000 }), 400);
    expect_error(await cluster.post(completions, { ...good, max_tokens: -1 }), 400);
  });

  await check('no model, no prompt, no messages', async () => {
    expect_error(await cluster.post(completions, { prompt: 'x' }), 400);
    expect_error(await cluster.post(completions, { model }), 400);
    for (const messages of [[], undefined, 'hi', [{}], [{ role: 7, content: 'x' }]])
      expect_error(await cluster.post(chat, { model, messages }), 400);
  });

  await check('an unknown model, with the nearest name', async () => {
    const inside = expect_error(
      await cluster.post(completions, { ...good, model: `${model}z` }),
      404,
    );
    assert.ok(inside.message.includes(model), inside.message);
    assert.equal(inside.code, 'model_not_found');
  });

  await check(
    'a device that does not exist is 422 and says so',
    async () => {
      const inside = expect_error(
        await cluster.post(completions, good, { 'X-Consort-Device': 'gpu' }),
        422,
      );
      assert.match(inside.message, /for 'gpu': no device matches it/);
    },
  );

  await check('headers that make no sense', async () => {
    for (const [name, value] of [
      ['X-Consort-Policy', 'poem'],
      ['X-Consort-Priority', 'urgent'],
      ['X-Consort-Deadline', 'soon'],
      ['X-Consort-Wait', '-1s'],
    ]) {
      const inside = expect_error(await cluster.post(completions, good, { [name]: value }), 400);
      assert.match(
        `${inside.param} ${inside.message}`.toLowerCase(),
        new RegExp(name.toLowerCase()),
      );
    }
  });

  await check('a prompt longer than the context', async () => {
    const prompt = 'the old king said '.repeat(400);
    const inside = expect_error(
      await cluster.post(completions, { ...good, prompt }),
      400,
      /context/i,
    );
    assert.match(inside.code, /context/);
    const streamed = await cluster.post(completions, { ...good, prompt, stream: true });
    assert.ok(streamed.status === 400 || /event: error/.test(streamed.text), streamed.text);
  });

  await check('invalid UTF-8', async () => {
    const body = Buffer.concat([
      Buffer.from(`{"model":"${model}","prompt":"`),
      Buffer.from([0xff, 0xfe, 0xc3]),
      Buffer.from('"}'),
    ]);
    expect_error(await cluster.post(completions, body), 400, /utf-?8/i);
  });

  await check('a body of 10 MB', async () => {
    const body = JSON.stringify({ ...good, prompt: 'x'.repeat(10 * 1024 * 1024) });
    expect_error(await cluster.post(completions, body), 413);
  });

  await check('unknown routes and wrong methods', async () => {
    expect_error(await cluster.get('/v1/no-such-route'), 404);
    expect_error(await cluster.get('/../../etc/passwd'), 404);
    const wrong = await cluster.get(completions);
    expect_error(wrong, 405);
    assert.match(wrong.headers.get('allow'), /POST/);
  });

  await check('bytes that are no HTTP', async () => {
    const one = cluster.raw();
    one.socket.write('\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 not http\r\n\r\n');
    await one.closed;
    await still_works();
  });

  await check('a header larger than the limit', async () => {
    const one = cluster.raw();
    one.socket.write(
      `GET /v1/models HTTP/1.1\r\nHost: x\r\nX-Long: ${'a'.repeat(64 * 1024)}\r\n\r\n`,
    );
    assert.match(await one.closed, /^HTTP\/1\.1 4(31|00)/);
  });

  await check('request smuggling: two framings of one body', async () => {
    const one = cluster.raw();
    one.socket.write(
      `POST ${completions} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n` +
        'Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n',
    );
    await eventually('an answer', () => one.received().length > 0);
    assert.match(one.received(), /^HTTP\/1\.1 400/);
    one.socket.destroy();
  });

  await check('a slowloris is cut, and others are served meanwhile', async () => {
    const slow = Array.from({ length: 20 }, () => cluster.raw());
    const began = Date.now();
    for (const one of slow) one.socket.write('POST /v1/completions HTTP/1.1\r\nHost: x\r\n');
    const drip = setInterval(
      () => slow.forEach((one) => one.socket.writable && one.socket.write('X: y\r\n')),
      500,
    );
    await still_works();
    await Promise.all(slow.map((one) => one.closed));
    clearInterval(drip);
    assert.ok(Date.now() - began < header_cut_ms_max, `cut only after ${Date.now() - began} ms`);
    await still_works();
  });

  /// Streams are left after their first token. Returns: the counters before and after, and the most
  /// tokens that they may have come to.
  const leave = async (count) => {
    const most = count + (await most_in(cancel_ms_max, cluster, count));
    const before = await engine_counters(cluster);
    await Promise.all(
      Array.from({ length: count }, async () => {
        const abort = new AbortController();
        const events = cluster.stream({ max_tokens: 450, ...endless }, cpu, abort.signal);
        await events.next(); // The headers.
        await events.next(); // The first token.
        abort.abort();
        await events.return().catch(() => {});
      }),
    );
    return { before, most, after: await engine_counters(cluster) };
  };

  await check('clients that leave: the engine stops in 100 ms, by its own counters', async () => {
    const count = 8;
    let after;
    // What else the machine does may hold up a client that leaves, or the reading of the bound.
    for (let left = 3; left > 0; --left) {
      const one = await leave(count);
      after = one.after;
      const made = after.tokens - one.before.tokens;
      assert.ok(made >= count, `only ${made} tokens, and each client saw one`);
      assert.equal(after.cancelled - one.before.cancelled, count);
      if (made <= one.most) break;
      assert.ok(left > 1, `${made} tokens, and 100 ms allow ${one.most} at most`);
    }
    assert.equal(after.running, 0);
    assert.equal(await cluster.running(), 0);
    assert.ok((await cluster.cluster_view()).counters.cancelled >= count);
    const hosts = cluster.hosts();
    assert.ok(hosts.length > 0, 'no engine process is running');
    const idle_from = cpu_ms(hosts);
    assert.deepEqual(await engine_counters(cluster), after, 'the engine went on');
    const used = cpu_ms(hosts) - idle_from;
    assert.ok(used < report_ms_max / 5, `the engine used ${used} ms of ${report_ms_max} ms`);
    await still_works();
  });

  await check('clients that leave before anything is answered', async () => {
    const gone = Array.from({ length: 50 }, () => {
      const one = cluster.raw();
      const body = JSON.stringify({ ...good, max_tokens: 400 });
      one.socket.write(
        `POST ${completions} HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      );
      setTimeout(() => one.socket.destroy(), Math.random() * 50);
      return one.closed;
    });
    await Promise.all(gone);
    await eventually('nothing running or waiting', async () => {
      const { counters, queue_depth } = await cluster.cluster_view();
      const ended =
        counters.finished +
        counters.failed +
        counters.cancelled +
        counters.rejected +
        counters.expired;
      return queue_depth === 0 && counters.submitted === ended;
    });
    await still_works();
  });

  await check('the server never crashed over any of it', () => {
    assert.equal(cluster.ended, null);
    assert.doesNotMatch(cluster.output, /AddressSanitizer|runtime error:|terminate called/);
  });
});
