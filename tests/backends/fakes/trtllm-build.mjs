// SPDX-License-Identifier: Apache-2.0
// `trtllm-build --checkpoint_dir C --output_dir E`: an engine is config.json and one rank*.engine
// per rank. Faults: exit, oom, no-rank.
import fs from 'node:fs';
import path from 'node:path';
import { fault_of, journal, parse_arguments } from './server.mjs';

const flags = parse_arguments(process.argv.slice(2));
const fault = fault_of('trtllm-build');
journal({ what: 'build', name: 'trtllm-build', argv: process.argv.slice(2) });
if (fault === 'exit') {
  console.error('[TRT-LLM] [E] Unknown architecture in checkpoint');
  process.exit(1);
}
if (fault === 'oom') {
  console.error('[TRT-LLM] [E] CUDA error: out of memory');
  process.exit(1);
}
const checkpoint = JSON.parse(fs.readFileSync(path.join(flags['--checkpoint_dir'], 'config.json')));
const { world_size } = checkpoint.mapping;
fs.mkdirSync(flags['--output_dir'], { recursive: true });
fs.writeFileSync(
  path.join(flags['--output_dir'], 'config.json'),
  JSON.stringify({
    version: '1.0.0',
    pretrained_config: checkpoint,
    build_config: { max_batch_size: Number(flags['--max_batch_size']) },
  }),
);
for (let rank = 0; fault !== 'no-rank' && rank < world_size; ++rank)
  fs.writeFileSync(path.join(flags['--output_dir'], `rank${rank}.engine`), 'FAKE ENGINE\n');
