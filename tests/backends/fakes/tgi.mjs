// SPDX-License-Identifier: Apache-2.0
// Text Generation Inference: /generate_stream (no [DONE]; `data:` without a space behind it; the
// text that stopped an answer stays in it), /info, /health, and chats by its OpenAI route.
// Validation is its own: no temperature of 0, no top_p of 1, no more tokens than max_total_tokens.
import { FakeServer, parse_arguments } from './server.mjs';
import { speak_openai } from './openai.mjs';
import { count_tokens } from './story.mjs';

const flags = parse_arguments(process.argv.slice(2));
const server = new FakeServer({
  ...{ name: 'tgi', model: flags['--model-id'], port: flags['--port'] },
});
const refusal = (error, error_type) => ({ error, error_type });
server.refusals = {
  'tgi-validation': [422, refusal('Input validation error: tgi says no', 'validation')],
  'tgi-generation': [424, refusal('Request failed during generation: oom', 'generation')],
  'tgi-incomplete': [500, refusal('Incomplete generation', 'incomplete_generation')],
};
server.overloaded = refusal('Model is overloaded', 'overloaded');
server.on('GET', '/health', (request, response) => {
  if (server.loaded) return void response.writeHead(200).end();
  server.json(response, 503, refusal('unhealthy', 'healthcheck'));
});
server.on('GET', '/info', (request, response) =>
  server.json(response, 200, {
    ...{ model_id: server.model, model_sha: 'fake', max_concurrent_requests: 128 },
    ...{ max_input_tokens: 4095, max_total_tokens: 4096, max_client_batch_size: 4 },
    ...{ router: 'text-generation-router', version: '3.0.0' },
  }),
);
server.on('GET', '/metrics', (request, response) => {
  const { running, waiting } = server.load;
  response
    .writeHead(200, { 'content-type': 'text/plain' })
    .end(
      `# TYPE tgi_queue_size gauge\ntgi_queue_size ${waiting}\n` +
        `# TYPE tgi_batch_current_size gauge\ntgi_batch_current_size ${running}\n` +
        `tgi_batch_current_max_tokens ${64 * running}\n`,
    );
});

const max_total_tokens = 4096;
const invalid = (inputs, parameters) => {
  if (parameters.temperature !== undefined && !(parameters.temperature > 0))
    return '`temperature` must be strictly positive';
  if (parameters.top_p !== undefined && !(parameters.top_p > 0 && parameters.top_p < 1))
    return '`top_p` must be > 0.0 and < 1.0';
  if (count_tokens(inputs) + parameters.max_new_tokens > max_total_tokens)
    return `\`inputs\` tokens + \`max_new_tokens\` must be <= ${max_total_tokens}`;
  return '';
};

server.on('POST', '/generate_stream', (request, response, body) => {
  if (server.refused(response)) return;
  const { inputs, parameters } = JSON.parse(body);
  const wrong = invalid(inputs, parameters);
  if (wrong)
    return server.json(response, 422, refusal(`Input validation error: ${wrong}`, 'validation'));
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  let all = '';
  const send = (data) => response.write(`data:${JSON.stringify(data)}\n\n`);
  const token = (text, made, special = false) => ({ id: made, text, logprob: -0.5, special });
  server.decode(
    ...[response, inputs, parameters.max_new_tokens],
    (word, made, reason) => {
      all += word;
      const stopped = (parameters.stop ?? []).some((stop) => all.endsWith(stop));
      const why = stopped ? 'stop_sequence' : reason === 'stop' ? 'eos_token' : reason;
      const details = {
        ...{ finish_reason: why, generated_tokens: made, seed: null },
        input_length: count_tokens(inputs),
      };
      const last = Boolean(why);
      send({
        ...{ index: made, token: token(word, made), top_tokens: [] },
        ...{ generated_text: last ? all : null, details: last ? details : null },
      });
      if (last) response.end();
    },
    {
      malformed: () => response.write('data:{"index": 1, "token"\n\n'),
      'not-utf8': () =>
        response.write(Buffer.from('data:{"token": {"text": "\xff\xfe"}}\n\n', 'latin1')),
      'error-in-stream': () => send(refusal('Request failed during generation', 'generation')),
    },
  );
});
speak_openai(server, {});
server.start({ opens_early: true });
