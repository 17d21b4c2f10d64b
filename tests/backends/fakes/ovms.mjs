// SPDX-License-Identifier: Apache-2.0
// OpenVINO Model Server: the language model under /v3, health under /v2; the port opens at once,
// and /v2/health/ready is 503 until the graph is loaded.
import fs from 'node:fs';
import path from 'node:path';
import { speak_openai } from './openai.mjs';
import { FakeServer, compile_into, parse_arguments } from './server.mjs';

const flags = parse_arguments(process.argv.slice(2), ['--metrics_enable']);
const server = new FakeServer({
  ...{ name: 'ovms', model: flags['--model_name'], port: flags['--rest_port'] },
  ...{ device: flags['--target_device'], slots: Number(flags['--max_num_seqs']) },
});
if (!fs.existsSync(path.join(flags['--model_path'], 'openvino_model.xml'))) {
  console.error(`[serving][error] no model in ${flags['--model_path']}`);
  process.exit(1);
}
server.refusals = {
  'ovms-400': [400, { error: 'Mediapipe graph error: ovms says no' }],
  'ovms-500': [500, { error: 'Mediapipe execution failed' }],
};
server.on('GET', '/v2/health/ready', (request, response) =>
  response.writeHead(server.loaded ? 200 : 503).end(),
);
server.on('GET', '/metrics', (request, response) => {
  if (!flags['--metrics_enable']) return void response.writeHead(404).end();
  const line = `ovms_current_graphs{name="${server.model}"} ${server.load.running}`;
  response.writeHead(200, { 'content-type': 'text/plain' }).end(`${line}\n`);
});
if (flags['--cache_dir']) compile_into('ovms', flags['--cache_dir']);
const counts = process.env.CONSORT_FAKE_COUNTS;
const tick_ms = 50;
const count = () => {
  if (server.running === 0) return;
  const busy_us = Number(fs.readFileSync(counts, 'utf8')) + 1000 * tick_ms;
  fs.writeFileSync(`${counts}.new`, `${busy_us}\n`);
  fs.renameSync(`${counts}.new`, counts);
};
if (counts) setInterval(count, tick_ms).unref();
speak_openai(server, { prefix: '/v3' });
server.start({ opens_early: true });
