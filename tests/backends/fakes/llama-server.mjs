// SPDX-License-Identifier: Apache-2.0
// llama.cpp's llama-server: the port opens at once and /health is 503 "Loading model" until it is
// 200; errors nest a number as `code`; /metrics with --metrics alone. The context of -c, or the
// model's own, is divided among the slots of -np, unless the cache is --kv-unified.
import fs from 'node:fs';
import { FakeServer, parse_arguments } from './server.mjs';
import { speak_openai } from './openai.mjs';
import { count_tokens } from './story.mjs';

const switches = ['--metrics', '--version', '--kv-unified', '-kvu'];
const flags = parse_arguments(process.argv.slice(2), switches);
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
/// Of a GGUF file: behind the key's name stand a type and the number.
function trained_context(file) {
  const head = fs.readFileSync(file).subarray(0, 1 << 20);
  const key = '.context_length';
  const at = head.indexOf(key);
  return at < 0 ? 4096 : head.readUInt32LE(at + key.length + 4);
}
const trained = trained_context(flags['-m']);
const cache_tokens = Number(flags['-c'] ?? 0) || trained;
const unified = flags['--kv-unified'] || flags['-kvu'];
const slot_tokens = unified ? cache_tokens : Math.floor(cache_tokens / server.slots);
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
server.on('GET', '/props', (request, response) =>
  server.json(response, 200, {
    default_generation_settings: { n_ctx: slot_tokens, params: {} },
    ...{ total_slots: server.slots, model_path: flags['-m'] },
  }),
);
// A prompt that its slot cannot hold is refused; an answer ends with its slot. Of a slot with the
// model's whole context that end is not looked at: some checks stay for as long as they like.
server.room = (prompt, response) => {
  const asked = count_tokens(prompt);
  if (asked < slot_tokens) return slot_tokens < trained ? slot_tokens - asked : Infinity;
  const message =
    `request (${asked} tokens) exceeds the available context size (${slot_tokens} tokens), ` +
    'try increasing it';
  const type = 'exceed_context_size_error';
  const why = { ...error(400, message, type).error, n_prompt_tokens: asked, n_ctx: slot_tokens };
  server.json(response, 400, { error: why });
  return 0;
};
speak_openai(server);
server.start({ opens_early: true });
