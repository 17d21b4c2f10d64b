// SPDX-License-Identifier: Apache-2.0
// Lemonade, AMD's server for Ryzen AI: OpenAI's routes under /api/v1, and GET /api/v1/health.
import { FakeServer, parse_arguments } from './server.mjs';
import { openai_error, speak_openai } from './openai.mjs';

const flags = parse_arguments(process.argv.slice(2));
const server = new FakeServer({
  ...{ name: 'lemonade', model: flags['--name'], port: flags['--port'] },
});
server.refusals = {
  'lemonade-400': [400, openai_error('lemonade says no', 'invalid_request_error')],
  'lemonade-500': [500, openai_error('backend crashed', 'backend_error')],
};
server.on('GET', '/api/v1/health', (request, response) =>
  server.json(response, 200, { status: 'ok', model_loaded: server.model }),
);
speak_openai(server, { prefix: '/api/v1' });
server.start({ opens_early: true });
