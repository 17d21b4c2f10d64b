// SPDX-License-Identifier: Apache-2.0
// `trtllm-build --checkpoint_dir C --output_dir E`: an engine is config.json and one rank*.engine
// per rank.
import fs from 'node:fs';
import path from 'node:path';
import { journal, parse_arguments } from './server.mjs';

const flags = parse_arguments(process.argv.slice(2));
const board = process.env.CUDA_VISIBLE_DEVICES;
journal({ what: 'build', name: 'trtllm-build', argv: process.argv.slice(2), board });
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
for (let rank = 0; rank < world_size; ++rank)
  fs.writeFileSync(path.join(flags['--output_dir'], `rank${rank}.engine`), 'FAKE ENGINE\n');
