// SPDX-License-Identifier: Apache-2.0
// `hailo-ollama`: Ollama's routes, and of OpenAI's the chats alone, in one piece, without usage. It
// refuses to stream them and more than one choice; an error is a text.
import { FakeServer, parse_arguments } from './server.mjs';

const flags = parse_arguments(process.argv.slice(2));
const server = new FakeServer({
  ...{ name: 'hailo-ollama', model: flags['--name'], port: flags['--port'] },
});
const no = (response, status, error) => server.json(response, status, { error });
const later = 'streaming not supported on this endpoint. Use /api/chat endpoint instead.';
server.refusals = {
  'hailo-400': [400, { error: '"tale" does not support tools' }],
  'hailo-500': [500, 'server=oatpp/1.4.0, code=500, description=Internal Server Error'],
};
server.on('GET', '/api/version', (request, response) =>
  server.json(response, 200, { version: '0.5.1' }),
);
server.on('GET', '/api/tags', (request, response) =>
  server.json(response, 200, { models: [{ name: server.model, model: server.model }] }),
);
server.on('POST', '/v1/chat/completions', (request, response, body) => {
  if (server.refused(response)) return;
  const { model, messages, stream, n, max_tokens } = JSON.parse(body);
  if (!messages) return no(response, 400, 'messages field is required');
  if ((n ?? 1) !== 1) return no(response, 400, 'only n == 1 is supported');
  if (stream) return no(response, 400, later);
  if (model !== server.model) return no(response, 404, `model '${model}' not found`);
  const prompt = messages.map(({ content }) => content).join('\n');
  const message = { role: 'assistant', content: '' };
  const head = { id: 'chatcmpl-1', object: 'chat.completion', created: 1, model };
  const piece = (word, made, reason) => {
    message.content += word;
    if (!reason) return;
    const choices = [{ index: 0, message, finish_reason: reason }];
    server.json(response, 200, { ...head, choices });
  };
  server.decode(response, prompt, max_tokens ?? 64, piece, {
    malformed: () => server.json(response, 200, '{"choices": ['),
    'not-utf8': () => response.end(Buffer.from('{"choices": [{"message": "\xff"}]}', 'latin1')),
  });
});
server.start({ opens_early: true });
