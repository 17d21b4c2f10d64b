// SPDX-License-Identifier: Apache-2.0
// llama.cpp's llama-server: the port opens at once and /health is 503 "Loading model" until it is
// 200; errors nest a number as `code`; /metrics with --metrics alone.
import fs from 'node:fs';
import { FakeServer, parse_arguments } from './server.mjs';
import { speak_openai } from './openai.mjs';

const flags = parse_arguments(process.argv.slice(2), ['--metrics', '--version']);
if (flags['--version']) {
  console.error('version: 6123 (0123abc)');
  process.exit(0);
}
const server = new FakeServer({
  ...{ name: 'llama-server', model: flags['--alias'], port: flags['--port'] },
  ...{ device: process.env.CUDA_VISIBLE_DEVICES, slots: Number(flags['-np'] ?? 1) },
  env: ['CUDA_VISIBLE_DEVICES', 'GGML_VK_VISIBLE_DEVICES'],
});
if (!fs.existsSync(flags['-m'])) {
  console.error(`gguf_init_from_file: failed to open GGUF file '${flags['-m']}'`);
  process.exit(1);
}
const error = (code, message, type) => ({ error: { code, message, type } });
server.refusals = {
  'llama-400': [400, error(400, 'llama says no', 'invalid_request_error')],
  'llama-context': [
    400,
    { error: { ...error(400, 'the request exceeds the available context size', '').error,
        ...{ type: 'exceed_context_size_error', n_prompt_tokens: 9000, n_ctx: 4096 } } },
  ],
  'llama-500': [500, error(500, 'failed to decode', 'server_error')],
};
server.on('GET', '/health', (request, response) => {
  if (server.loaded) return server.json(response, 200, { status: 'ok' });
  server.json(response, 503, error(503, 'Loading model', 'unavailable_error'));
});
server.on('GET', '/metrics', (request, response) => {
  if (!flags['--metrics'])
    return server.json(response, 501, error(501, 'no metrics', 'not_supported_error'));
  response
    .writeHead(200, { 'content-type': 'text/plain' })
    .end(
      `llamacpp:requests_processing ${server.load.running}\n` +
        `llamacpp:requests_deferred ${server.load.waiting}\n`,
    );
});
speak_openai(server);
server.start({ opens_early: true });
