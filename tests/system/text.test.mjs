// SPDX-License-Identifier: Apache-2.0
// Goal: the OpenAI API as its official client uses it, with real text. The CPU device reproduces
// the greedy tokens that the model's golden file records.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import OpenAI from 'openai';
import { expect_error, root, with_cluster } from './support.mjs';

const golden = JSON.parse(fs.readFileSync(path.join(root, 'models/golden.json'), 'utf8'));
const cpu = { headers: { 'X-Consort-Device': 'cpu' } };

async function collect(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

with_cluster('the OpenAI API', {}, async (check, cluster) => {
  const client = new OpenAI({
    baseURL: `${cluster.url}/v1`,
    apiKey: 'none',
    maxRetries: 0,
    timeout: 60_000,
  });
  const model = await cluster.model();

  await check('lists and retrieves models', async () => {
    const { data } = await client.models.list();
    assert.ok(data.length >= 1);
    for (const one of data) assert.equal(one.object, 'model');
    assert.equal((await client.models.retrieve(model)).id, model);
    await assert.rejects(client.models.retrieve('no-such-model'), { status: 404 });
  });

  for (const { prompt, greedy_text, greedy_ids } of golden) {
    const expected = greedy_text.slice(prompt.length);
    const body = { model, prompt, temperature: 0, max_tokens: greedy_ids.length };

    await check(`48 greedy tokens, exactly: ${prompt}`, async () => {
      const { data, response } = await client.completions.create(body, cpu).withResponse();
      assert.equal(data.choices[0].text, expected);
      assert.equal(data.usage.completion_tokens, greedy_ids.length);
      assert.equal(data.choices[0].finish_reason, 'length');
      assert.equal(response.headers.get('x-consort-device'), 'local/cpu0');
    });

    await check(`the same, streamed: ${prompt}`, async () => {
      const chunks = await collect(await client.completions.create({ ...body, stream: true }, cpu));
      assert.equal(chunks.map((one) => one.choices[0]?.text ?? '').join(''), expected);
      assert.ok(chunks.length > 10, `${chunks.length} chunks are not a stream`);
    });
  }

  await check('chat, whole', async () => {
    const answer = await client.chat.completions.create({
      model,
      max_tokens: 16,
      messages: [{ role: 'user', content: 'Tell me a story.' }],
    });
    assert.equal(answer.object, 'chat.completion');
    const [choice] = answer.choices;
    assert.equal(choice.message.role, 'assistant');
    assert.ok(choice.message.content.length > 0);
    assert.ok(['stop', 'length'].includes(choice.finish_reason));
    const { usage } = answer;
    assert.ok(
      usage.prompt_tokens > 0 && usage.completion_tokens > 0 && usage.completion_tokens <= 16,
    );
    assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
  });

  await check('chat, streamed, with usage at the end when asked', async () => {
    const chunks = await collect(
      await client.chat.completions.create({
        model,
        max_tokens: 16,
        stream: true,
        stream_options: { include_usage: true },
        messages: [
          { role: 'system', content: 'You tell stories.' },
          { role: 'user', content: 'Begin.' },
        ],
      }),
    );
    assert.equal(chunks[0].object, 'chat.completion.chunk');
    assert.equal(chunks[0].choices[0].delta.role, 'assistant');
    assert.equal(new Set(chunks.map((one) => one.id)).size, 1);
    const text = chunks.map((one) => one.choices[0]?.delta?.content ?? '').join('');
    assert.ok(text.length > 0);
    const ends = chunks.filter((one) => one.choices[0]?.finish_reason);
    assert.equal(ends.length, 1);
    const last = chunks.at(-1);
    assert.deepEqual(last.choices, []);
    assert.equal(last.usage.total_tokens, last.usage.prompt_tokens + last.usage.completion_tokens);
  });

  await check('a stream without include_usage carries none and ends with [DONE]', async () => {
    const events = [];
    for await (const event of cluster.stream({ max_tokens: 4 })) events.push(event);
    assert.ok(events[0].headers.get('x-request-id'));
    assert.deepEqual(events.at(-1), { done: true });
    assert.ok(events.every((one) => !one.usage));
  });

  await check('n choices, each complete, all counted', async () => {
    const answer = await client.completions.create({
      model,
      prompt: 'It was',
      n: 3,
      max_tokens: 5,
      temperature: 1,
      seed: 7,
    });
    assert.deepEqual(answer.choices.map((one) => one.index).sort(), [0, 1, 2]);
    assert.ok(answer.choices.every((one) => one.finish_reason));
    assert.ok(answer.usage.completion_tokens > 5 && answer.usage.completion_tokens <= 15);
  });

  await check('n streams interleave by index', async () => {
    const chunks = await collect(
      await client.completions.create({
        model,
        prompt: 'It was',
        n: 2,
        max_tokens: 5,
        temperature: 1,
        stream: true,
      }),
    );
    const texts = ['', ''];
    for (const { choices } of chunks) for (const one of choices) texts[one.index] += one.text;
    assert.ok(
      texts.every((text) => text.length > 0),
      JSON.stringify(texts),
    );
  });

  await check('a seed repeats, another does not', async () => {
    const say = async (seed) =>
      (
        await client.completions.create(
          { model, prompt: 'The sea', max_tokens: 24, temperature: 1, seed },
          cpu,
        )
      ).choices[0].text;
    const [first, again, other] = [await say(11), await say(11), await say(12)];
    assert.equal(first, again);
    assert.notEqual(first, other);
  });

  await check('stop strings end the text and are not part of it', async () => {
    const { prompt, greedy_text } = golden[0];
    const body = { model, prompt, temperature: 0, max_tokens: 48, stop: [' said'] };
    const expected = greedy_text.slice(prompt.length).split(' said')[0];
    const whole = await client.completions.create(body, cpu);
    assert.equal(whole.choices[0].text, expected);
    assert.equal(whole.choices[0].finish_reason, 'stop');
    const chunks = await collect(await client.completions.create({ ...body, stream: true }, cpu));
    assert.equal(chunks.map((one) => one.choices[0]?.text ?? '').join(''), expected);
  });

  await check('responses, whole and streamed, are the chat in items', async () => {
    const body = { model, input: 'Tell me a story.', max_output_tokens: 16, temperature: 0 };
    const whole = await client.responses.create(body, cpu);
    assert.equal(whole.object, 'response');
    assert.equal(whole.status, 'incomplete');
    assert.equal(whole.incomplete_details.reason, 'max_output_tokens');
    assert.equal(whole.usage.output_tokens, 16);
    const chat = await client.chat.completions.create(
      { model, messages: [{ role: 'user', content: body.input }], max_tokens: 16, temperature: 0 },
      cpu,
    );
    assert.equal(whole.output_text, chat.choices[0].message.content);
    const events = await collect(await client.responses.create({ ...body, stream: true }, cpu));
    const deltas = events.filter((one) => one.type === 'response.output_text.delta');
    assert.ok(deltas.length > 4, `${deltas.length} pieces are not a stream`);
    assert.equal(deltas.map((one) => one.delta).join(''), whole.output_text);
    assert.equal(events.at(-1).type, 'response.incomplete');
    const asked = client.responses.create({ ...body, previous_response_id: 'resp_1' });
    await assert.rejects(asked, { status: 400, param: 'previous_response_id' });
  });

  await check('embeddings come from the engine of every machine', async () => {
    const plain = { model, encoding_format: 'float' };
    const one = await client.embeddings.create({ ...plain, input: 'The sea' });
    const [sea] = one.data;
    const norm = Math.hypot(...sea.embedding);
    assert.ok(Math.abs(norm - 1) < 1e-5, `its length is ${norm}`);
    assert.ok(one.usage.prompt_tokens > 1);
    assert.equal(one.usage.total_tokens, one.usage.prompt_tokens);
    // Without a format the client asks for base64, and reads it.
    const two = await client.embeddings.create({ model, input: ['A king', 'The sea'] });
    assert.deepEqual(two.data.map((each) => each.index), [0, 1]);
    assert.deepEqual([...two.data[1].embedding].map(Math.fround), sea.embedding.map(Math.fround));
    assert.ok(two.usage.prompt_tokens > one.usage.prompt_tokens);
    const raw = await cluster.post('/v1/embeddings', { model, input: 'The sea' });
    assert.equal(raw.headers.get('x-consort-device'), 'local/cpu0');
    const width = sea.embedding.length;
    const fits = await client.embeddings.create({ ...plain, input: 'x', dimensions: width });
    assert.equal(fits.data[0].embedding.length, width);
    const shorter = await cluster.post('/v1/embeddings', { model, input: 'x', dimensions: 10 });
    expect_error(shorter, 400, new RegExp(`'dimensions' can only be ${width}`));
    const input = ['short', 'the old king said '.repeat(400)];
    expect_error(await cluster.post('/v1/embeddings', { model, input }), 400, /input\[1\]/);
  });

  await check('and are refused with the reason where no device makes any', async () => {
    const headers = { 'X-Consort-Device': 'npu' };
    const refused = await cluster.post('/v1/embeddings', { model, input: 'The sea' }, headers);
    expect_error(refused, 422, /its runtime makes no embeddings/);
    const unknown = client.embeddings.create({ model: 'no-such-model', input: 'The sea' });
    await assert.rejects(unknown, { status: 404 });
    const tokens = client.embeddings.create({ model, input: [1, 2] });
    await assert.rejects(tokens, { status: 400 });
  });

  await check('max_tokens 1 gives one token', async () => {
    const answer = await client.completions.create({ model, prompt: 'The', max_tokens: 1 });
    assert.equal(answer.usage.completion_tokens, 1);
    assert.equal(answer.choices[0].finish_reason, 'length');
  });

  await check('fields that we do not know are no error', async () => {
    const answer = await cluster.complete({ some_vendor_field: { a: [1] }, user: 'x' });
    assert.equal(answer.status, 200, answer.text);
  });

  await check('request ids are echoed, or made and unique', async () => {
    const echoed = await cluster.complete({}, { 'X-Request-Id': 'mine-1' });
    assert.equal(echoed.headers.get('x-request-id'), 'mine-1');
    const made = [await cluster.complete(), await cluster.complete()].map((one) =>
      one.headers.get('x-request-id'),
    );
    assert.ok(made[0] && made[1] && made[0] !== made[1], JSON.stringify(made));
  });

  await check('answers say where they ran, usage beside the standard fields', async () => {
    const answer = await cluster.complete({}, { 'X-Consort-Device': 'local/cpu0' });
    assert.equal(answer.headers.get('x-consort-device'), 'local/cpu0');
    assert.equal(answer.headers.get('x-consort-attempts'), '1');
    assert.match(answer.headers.get('x-consort-queue-ms'), /^\d+/);
    assert.equal(answer.json.usage.consort.device, 'local/cpu0');
  });

  await check('32 streams at once all finish', async () => {
    const answers = await Promise.all(
      Array.from({ length: 32 }, (_, i) =>
        client.completions.create({
          model,
          prompt: `Story number ${i} begins`,
          max_tokens: 16,
          temperature: 0.8,
          seed: i,
        }),
      ),
    );
    for (const one of answers) assert.ok(one.choices[0].finish_reason);
  });
});
