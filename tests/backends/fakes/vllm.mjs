// SPDX-License-Identifier: Apache-2.0
// `vllm serve MODEL`: the port opens once the model is loaded; /metrics in Prometheus text with the
// names of the V1 engine. Errors: nested as of 0.11, flat before it (`vllm-flat-400`). With
// --ec-transfer-config a producer leaves what it was shown under a name made of its content, and a
// consumer looks there. With --gpu-memory-utilization a second one on its card finds no room there.
import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { FakeServer, compile_into, journal, parse_arguments } from './server.mjs';
import { openai_error, speak_openai } from './openai.mjs';
import { count_tokens } from './story.mjs';

const switches = ['--enable-prefix-caching', '--no-enable-prefix-caching'];
const flags = parse_arguments(process.argv.slice(2), switches);
const devices = ['CUDA_VISIBLE_DEVICES', 'HIP_VISIBLE_DEVICES', 'ROCR_VISIBLE_DEVICES'];
const more = ['RBLN_DEVICES', 'ASCEND_RT_VISIBLE_DEVICES', 'HABANA_VISIBLE_MODULES'];
const others = ['TPU_VISIBLE_CHIPS', 'HABANA_VISIBLE_DEVICES', 'QAIC_VISIBLE_DEVICES'];
const neuron = ['NEURON_RT_VISIBLE_CORES', 'VLLM_NEURON_FRAMEWORK'];
const env = [...devices, ...more, ...others, ...neuron, 'ZE_AFFINITY_MASK'];
env.push('TPU_CHIPS_PER_PROCESS_BOUNDS');
if (flags.alone[0] === '--version' || flags['--version'] !== undefined) {
  console.log('0.11.0');
  process.exit(0);
}
const share = Number(flags['--gpu-memory-utilization'] ?? 0);
const { ec_role } = JSON.parse(flags['--ec-transfer-config'] ?? '{}');
const device = ec_role ?? env.map((one) => process.env[one]).find(Boolean) ?? '';
const runs = (pid) => {
  try {
    return fs.readFileSync(`/proc/${pid}/cmdline`).length > 0; // Empty: it has ended.
  } catch {
    return false;
  }
};
// Two do not fit on one card when each takes more than half of it.
for (const one of share > 0.5 ? device.split(',').filter(Boolean) : []) {
  const file = path.join(process.env.CONSORT_FAKES, `held-${one.replaceAll('/', '-')}`);
  if (fs.existsSync(file) && runs(fs.readFileSync(file, 'utf8'))) {
    console.error(
      'ValueError: Free memory on device (7.95/79.65 GiB) on startup is less than desired GPU ' +
        `memory utilization (${share}, ${(79.65 * share).toFixed(2)} GiB).`,
    );
    process.exit(1);
  }
  fs.writeFileSync(file, String(process.pid));
}
const server = new FakeServer({
  ...{ name: 'vllm', device, env },
  ...{ model: flags['--served-model-name'] ?? flags.alone[1], port: flags['--port'] },
  ...{ slots: Number(flags['--max-num-seqs'] ?? 256) },
});
const flat = (message, type, code) => ({ object: 'error', message, type, param: null, code });
server.refusals = {
  'vllm-400': [400, openai_error('vllm says no', 'BadRequestError', 400)],
  'vllm-flat-400': [400, flat('vllm says no', 'BadRequestError', 400)],
  'vllm-404': [404, openai_error('The model `x` does not exist.', 'NotFoundError', 404)],
  'vllm-500': [500, openai_error('EngineCore died', 'InternalServerError', 500)],
  'vllm-503': [503, openai_error('overloaded', 'ServiceUnavailableError', 503)],
};
const label = `{model_name="${server.model}",engine="0"}`;
const blocks = { block_size: 16, num_gpu_blocks: 2048 };
server.on('GET', '/health', (request, response) => response.writeHead(200).end());
server.on('GET', '/version', (request, response) =>
  server.json(response, 200, { version: '0.11.0' }),
);
server.on('GET', '/metrics', (request, response) => {
  const { running, waiting, kv } = server.load;
  const info = Object.entries(blocks).map(([name, value]) => `${name}="${value}"`);
  response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4' }).end(
    [
      '# HELP vllm:num_requests_running Number of requests in model execution batches.',
      '# TYPE vllm:num_requests_running gauge',
      `vllm:num_requests_running${label} ${running}.0`,
      `vllm:num_requests_waiting${label} ${waiting}.0`,
      `vllm:kv_cache_usage_perc${label} ${kv}`,
      `vllm:cache_config_info{engine="0",${info.join(',')}} 1.0`,
      `vllm:prompt_tokens_total${label} ${server.prompted}.0`,
      `vllm:generation_tokens_total${label} ${server.tokens}.0`,
      '',
    ].join('\n'),
  );
});
// The encoder's cache: one file for each thing that was seen or heard.
const media = ['image_url', 'audio_url', 'input_audio', 'video_url'];
const cached = (item) => {
  const digest = crypto.createHash('sha256').update(JSON.stringify(item)).digest('hex');
  return path.join(process.env.CONSORT_FAKES, `ec-${digest}`);
};
server.reads = ({ messages = [], kv_transfer_params }) => {
  const parts = messages.flatMap(({ content }) => (Array.isArray(content) ? content : []));
  for (const item of parts.filter(({ type }) => media.includes(type)))
    if (ec_role === 'ec_producer') fs.writeFileSync(cached(item), 'embedding');
    else if (ec_role && !kv_transfer_params?.do_remote_prefill)
      journal({ what: 'embedding', found: fs.existsSync(cached(item)) });
};
// What the NIXL connector answers a prefill with.
server.whole = (asked) =>
  asked.kv_transfer_params?.do_remote_decode && {
    kv_transfer_params: {
      ...{ do_remote_prefill: true, do_remote_decode: false, remote_block_ids: [1, 2, 3] },
      ...{ remote_engine_id: 'fake-engine', remote_host: '127.0.0.1', remote_port: 5600 },
    },
  };
// What does not fit into its context with the whole answer that it asks for is refused.
const max_model_len = Number(flags['--max-model-len'] ?? 4096);
server.room = (prompt, response, wanted) => {
  if (count_tokens(prompt) + wanted <= max_model_len) return Infinity;
  const message =
    `This model's maximum context length is ${max_model_len} tokens. However, you requested ` +
    `${wanted} tokens in the completion.`;
  server.json(response, 400, openai_error(message, 'BadRequestError', 400));
  return 0;
};
speak_openai(server, { model: { object: 'model', owned_by: 'vllm', max_model_len } });
// Where it compiles to, as its build for each device has it; of several the most particular.
const { VLLM_XLA_CACHE_PATH, PT_HPU_RECIPE_CACHE_CONFIG, NEURON_COMPILE_CACHE_URL } = process.env;
const recipes = PT_HPU_RECIPE_CACHE_CONFIG?.split(',')[0];
const own = VLLM_XLA_CACHE_PATH ?? recipes ?? NEURON_COMPILE_CACHE_URL;
const cache = own ?? process.env.VLLM_CACHE_ROOT;
if (cache) compile_into('vllm', cache);
server.start();
