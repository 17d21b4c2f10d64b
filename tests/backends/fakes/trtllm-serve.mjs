// SPDX-License-Identifier: Apache-2.0
// `trtllm-serve ENGINE-OR-MODEL`: reads an engine folder's config.json and refuses one of another
// TensorRT or another compute capability with TensorRT's own words, and a model that its PyTorch
// backend has not with that one's; /metrics is a JSON array of iterations that reading empties.
import fs from 'node:fs';
import path from 'node:path';
import { FakeServer, parse_arguments } from './server.mjs';
import { openai_error, speak_openai } from './openai.mjs';

const argv = process.argv.slice(2).filter((one) => one !== 'serve');
const flags = parse_arguments(argv, ['--version']);
if (flags['--version']) {
  console.log('TensorRT-LLM version: 1.0.0');
  process.exit(0);
}
const engine = flags.alone[0];
const server = new FakeServer({
  ...{ name: 'trtllm', model: path.basename(engine), port: flags['--port'] },
  ...{ device: process.env.CUDA_VISIBLE_DEVICES, env: ['CUDA_VISIBLE_DEVICES'] },
});
const mismatch = {
  'other-tensorrt':
    'IRuntime::deserializeCudaEngine: Error Code 1: Serialization (Serialization assertion ' +
    'stdVersionRead == kSERIALIZATION_VERSION failed.Version tag does not match. Note: Current ' +
    'Version: 228, Serialized Engine Version: 237)',
  'other-sm':
    'The engine plan file is generated on an incompatible device, expecting compute 8.0 got ' +
    'compute 8.9, please rebuild.',
}[server.fault()];
if (mismatch) {
  console.error(`[TensorRT-LLM][ERROR] ${mismatch}`);
  process.exit(1);
}
if (server.fault() === 'no-architecture') {
  console.error('ValueError: Unknown architecture for AutoModelForCausalLM: MyOwnForCausalLM');
  process.exit(1);
}
const config = path.join(engine, 'config.json');
if (fs.existsSync(config)) {
  const ranks = JSON.parse(fs.readFileSync(config)).pretrained_config.mapping.world_size;
  for (let rank = 0; rank < ranks; ++rank)
    if (!fs.existsSync(path.join(engine, `rank${rank}.engine`))) {
      console.error(`[TensorRT-LLM][ERROR] Error opening engine file: rank${rank}.engine`);
      process.exit(1);
    }
}
server.refusals = {
  'trtllm-400': [400, openai_error('trtllm says no', 'BadRequestError', 400)],
  'trtllm-500': [500, openai_error('Internal server error', 'InternalServerError', 500)],
};
const blocks = 1024;
let iteration = 0;
let unread = [];
const ticking = setInterval(() => {
  const { running, waiting, kv } = server.load;
  if (running === 0) return;
  const used = Math.round(blocks * kv);
  unread.push({
    ...{ iter: ++iteration, iterLatencyMS: 5, numActiveRequests: running },
    numQueuedRequests: waiting,
    kvCacheStats: {
      ...{ maxNumBlocks: blocks, freeNumBlocks: blocks - used, tokensPerBlock: 32 },
      ...{ usedNumBlocks: used, cacheHitRate: 0 },
    },
  });
  unread = unread.slice(-1000);
}, 20);
ticking.unref();
server.on('GET', '/health', (request, response) => response.writeHead(200).end());
server.on('GET', '/metrics', (request, response) => {
  server.json(response, 200, JSON.stringify(unread));
  unread = [];
});
speak_openai(server);
server.start();
