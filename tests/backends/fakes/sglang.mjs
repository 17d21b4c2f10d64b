// SPDX-License-Identifier: Apache-2.0
// SGLang: /health is 503 while it starts and then costs a generation of one token and a second,
// each time it is asked; errors are flat; metrics are there with --enable-metrics alone.
import { FakeServer, journal, parse_arguments } from './server.mjs';
import { speak_openai } from './openai.mjs';

const argv = process.argv.slice(2);
const flags = parse_arguments(argv, ['--enable-metrics', '-m']);
const server = new FakeServer({
  ...{ name: 'sglang', model: flags['--served-model-name'], port: flags['--port'] },
  ...{ device: process.env.CUDA_VISIBLE_DEVICES, env: ['CUDA_VISIBLE_DEVICES'] },
});
const flat = (message, code) => ({
  ...{ object: 'error', message, type: String(code), param: null, code },
});
server.refusals = {
  'sglang-400': [400, flat('sglang says no', 400)],
  'sglang-500': [500, flat('internal error', 500)],
  'sglang-503': [503, flat('the server is draining', 503)],
};
server.on('GET', '/health', (request, response) => {
  if (!server.loaded) return void response.writeHead(503).end();
  journal({ what: 'health-generation', name: 'sglang' });
  setTimeout(() => response.writeHead(200).end(), 300);
});
server.on('GET', '/get_model_info', (request, response) => {
  if (!server.loaded) return void response.writeHead(503).end();
  server.json(response, 200, { model_path: flags['--model-path'], is_generation: true });
});
server.on('GET', '/metrics', (request, response) => {
  if (!flags['--enable-metrics']) return void response.writeHead(404).end();
  const { running, waiting, kv } = server.load;
  const label = `{model_name="${server.model}"}`;
  response.writeHead(200, { 'content-type': 'text/plain' }).end(
    [
      `sglang:num_running_reqs${label} ${running}.0`,
      `sglang:num_queue_reqs${label} ${waiting}.0`,
      `sglang:token_usage${label} ${kv}`,
      `sglang:num_used_tokens${label} ${kv * 32768}`,
      `sglang:max_total_num_tokens${label} 32768.0`,
      '',
    ].join('\n'),
  );
});
speak_openai(server);
server.start({ opens_early: true, ready_line: 'The server is fired up and ready to roll!' });
