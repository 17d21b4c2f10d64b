// SPDX-License-Identifier: Apache-2.0
// `furiosa-llm serve MODEL --fxb F --devices npu:0:0-3`: takes the weights of the model and the
// programs of the bundle, if shape, revision and cores are right. No /health; the port opens once
// it has loaded; one choice per request; nobody looks at the request's model; it never says 429.
import fs from 'node:fs';
import { compiler_fault, fail, fingerprint } from './compiler.mjs';
import { openai_error, speak_openai } from './openai.mjs';
import { FakeServer, parse_arguments } from './server.mjs';

const flags = parse_arguments(process.argv.slice(2), ['--version']);
if (flags['--version']) {
  console.log('furiosa-llm 2026.1.0');
  process.exit(0);
}
const [, model] = flags.alone;
const wanted = /^npu:(\d+)(?::(\d+-\d+))?$/.exec(flags['--devices']) ?? fail(2, 'bad device');
const [, , cores] = wanted;
const server = new FakeServer({
  ...{ name: 'furiosa-llm', device: flags['--devices'], model, port: flags['--port'] },
});
const bundle = fs.readFileSync(flags['--fxb'], 'utf8');
const manifest = bundle.startsWith('FXB1') ? JSON.parse(bundle.slice(4)) : fail(1, 'not an FXB');
if (manifest.ir !== 7 || compiler_fault('fxb-bundle') === 'stale')
  fail(1, 'error: FuriosaIR revision of the bundle is stale (6, wanted 7)');
if (manifest.fingerprint !== fingerprint(model))
  fail(1, 'error: the architecture fingerprint of the bundle is another');
const [first, last] = (cores ?? '0-7').split('-').map(Number);
const there = last - first + 1;
if (manifest.tp > there)
  fail(1, `Not enough devices to run the model. Required PEs: ${manifest.tp}, Actual: ${there}`);
server.refusals = {
  'furiosa-400': [400, openai_error('furiosa says no', 'BadRequestError', 400)],
  'furiosa-500': [500, openai_error('Internal server error', 'InternalServerError', 500)],
};
server.on('GET', '/metrics', (request, response) => {
  const { running, waiting, kv } = server.load;
  response
    .writeHead(200, { 'content-type': 'text/plain' })
    .end(
      `furiosa_llm_num_requests_running ${running}\n` +
        `furiosa_llm_num_requests_waiting ${waiting}\n` +
        `furiosa_llm_kv_cache_usage_percent ${kv}\n`,
    );
});
const shown = { artifact_id: 'fake', max_prompt_len: 4095, max_context_len: 4096 };
speak_openai(server, { model: shown });
server.start();
