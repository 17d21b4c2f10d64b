// SPDX-License-Identifier: Apache-2.0
// The OpenAI protocol as a part of any fake: /v1/models, /v1/completions and
// /v1/chat/completions, streamed with usage, and /v1/embeddings. Run by itself it is an API
// provider that asks for a key and counts requests and tokens.
import { pathToFileURL } from 'node:url';
import { FakeServer, parse_arguments } from './server.mjs';
import { count_tokens, vector_of } from './story.mjs';

const text_of = (content) =>
  typeof content === 'string' ? content : content.map((part) => part.text ?? '').join('');

const chat_prompt = ({ messages }) => messages.map((one) => text_of(one.content)).join('\n');

/// Adds the routes under `prefix`. `guard(request, response)` may answer first: it returns whether
/// it did. A server's own `reads(asked)` sees each request that is answered, its `whole(asked)`
/// says what else stands in an answer that is not streamed, and its `room(prompt, response,
/// wanted)` how many tokens an answer has: 0 = none, and it has said so.
export function speak_openai(server, { prefix = '/v1', guard = () => false, model = {} } = {}) {
  server.on('GET', `${prefix}/models`, (request, response) =>
    server.json(response, 200, {
      object: 'list',
      data: [{ id: server.fault() === 'wrong-model' ? 'somebody-else' : server.model, ...model }],
    }),
  );
  for (const chat of [false, true]) {
    const target = `${prefix}/${chat ? 'chat/completions' : 'completions'}`;
    server.on('POST', target, (request, response, body) => {
      if (guard(request, response) || server.refused(response)) return;
      answer(server, response, JSON.parse(body), chat);
    });
  }
  server.on('POST', `${prefix}/embeddings`, (request, response, body) => {
    if (guard(request, response) || server.refused(response)) return;
    embed(server, response, JSON.parse(body));
  });
}

/// The last input's vector comes first: the index alone says whose it is.
function embed(server, response, { input, model, encoding_format }) {
  const texts = [input].flat();
  const shown = (vector) =>
    encoding_format === 'base64'
      ? Buffer.from(new Float32Array(vector).buffer).toString('base64')
      : vector;
  const data = texts.map((text, index) => ({
    ...{ object: 'embedding', index, embedding: shown(vector_of(text)) },
  }));
  const tokens = texts.reduce((sum, text) => sum + count_tokens(text), 0);
  const usage = { prompt_tokens: tokens, total_tokens: tokens };
  server.json(response, 200, { object: 'list', data: data.reverse(), model, usage });
}

/// What a validator says that knows no such field.
const unknown_field = (...loc) => ({
  ...{ object: 'error', type: 'invalid_request_error', param: null, code: null },
  message: { detail: [{ type: 'extra_forbidden', loc, msg: 'Extra inputs are not permitted' }] },
});

function answer(server, response, asked, chat) {
  if (server.fault() === 'no-options' && asked.stream_options)
    return server.json(response, 422, unknown_field('body', 'stream_options', 'include_usage'));
  server.reads?.(asked);
  const prompt = chat ? chat_prompt(asked) : asked.prompt;
  const wanted = asked.max_completion_tokens ?? asked.max_tokens ?? 16;
  const room = server.room?.(prompt, response, wanted) ?? Infinity;
  if (room === 0) return;
  const count = Math.min(wanted, room);
  const head = { id: 'fake-1', created: 1, model: asked.model };
  const usage = (made) => ({
    prompt_tokens: count_tokens(prompt),
    completion_tokens: made,
    total_tokens: count_tokens(prompt) + made,
    prompt_tokens_details: null,
  });
  const whole = server.fault() === 'whole' || !asked.stream;
  let all = '';
  const send = (data) => response.write(`data: ${JSON.stringify(data)}\n\n`);
  const chunk = (piece, reason) => ({
    ...{ ...head, object: chat ? 'chat.completion.chunk' : 'text_completion' },
    choices: [
      {
        ...{ index: 0, logprobs: null, finish_reason: reason },
        ...(chat ? { delta: reason ? {} : { content: piece } } : { text: piece }),
      },
    ],
  });
  if (!whole) response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
  const piece = (word, made, reason) => {
    all += word;
    if (whole && reason) {
      const message = chat ? { message: { role: 'assistant', content: all } } : { text: all };
      const choice = { index: 0, ...message, finish_reason: reason };
      const more = server.whole?.(asked) ?? {};
      server.json(response, 200, { ...head, choices: [choice], usage: usage(made), ...more });
    }
    if (whole) return;
    send(chunk(word, null));
    if (!reason) return;
    send(chunk('', reason));
    if (asked.stream_options?.include_usage) send({ ...head, choices: [], usage: usage(made) });
    response.end('data: [DONE]\n\n');
  };
  const broken = 'data: {"choices": [{"index": 0, "text": "\xff\xfe"}]}\n\n';
  server.decode(response, prompt, count, piece, {
    malformed: () => response.write('data: {"choices": [{"index": 0, "text"\n\n'),
    'not-utf8': () => response.write(Buffer.from(broken, 'latin1')),
    'error-in-stream': () => send({ error: { message: 'the engine is on fire', code: 500 } }),
  });
}

export const openai_error = (message, type, code = null) => ({
  error: { message, type, param: null, code },
});

/// The guard of a provider: keys and money.
export function provider(server, key) {
  return (request, response) => {
    if (key && request.headers.authorization !== `Bearer ${key}`) {
      const error = openai_error('Incorrect API key provided', 'invalid_request_error');
      server.json(response, 401, error);
      return true;
    }
    if (server.fault() !== 'no-quota') return false;
    const what = 'insufficient_quota';
    server.json(response, 429, openai_error('You exceeded your quota', what, what));
    return true;
  };
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const flags = parse_arguments(process.argv.slice(2));
  const server = new FakeServer({
    ...{ name: flags['--fake'] ?? 'openai', model: flags['--name'], port: flags['--port'] },
    device: flags['--device'] ?? '',
  });
  server.refusals = {
    'openai-400': [400, openai_error('openai says no', 'invalid_request_error')],
    'openai-chats-only': [
      404,
      openai_error(
        'This is a chat model and not supported in the v1/completions endpoint. ' +
          'Did you mean to use v1/chat/completions?',
        'invalid_request_error',
      ),
    ],
    'openai-404': [404, openai_error('The model does not exist', 'invalid_request_error')],
    'openai-500': [500, openai_error('The server had an error', 'server_error')],
    'openai-503': [503, openai_error('overloaded', 'server_error')],
  };
  server.on('GET', '/health', (request, response) =>
    response.writeHead(server.loaded ? 200 : 503).end(),
  );
  speak_openai(server, { guard: provider(server, flags['--key']) });
  server.start({ opens_early: true });
}
