// SPDX-License-Identifier: Apache-2.0
// `optimum-rbln-cli`: checks what the SDK checks before it starts, needs no NPU with
// --create-runtimes False and --npu, and writes a folder.
import fs from 'node:fs';
import path from 'node:path';
import { compile, config_of, fail } from './compiler.mjs';
import { parse_arguments } from './server.mjs';

const name = 'optimum-rbln-cli';
const version = process.env.CONSORT_FAKE_RBLN ?? '0.9.4';
const flags = parse_arguments(process.argv.slice(2), ['--version']);
if (flags['--version']) {
  console.log(`optimum-rbln-cli ${version}`);
  process.exit(0);
}
const number = (flag) => Number(flags[flag]);
if (number('--prefill-chunk-size') % 64 !== 0)
  fail(1, 'ValueError: prefill_chunk_size must be a multiple of 64');
if (flags['--attn-impl'] === 'eager' && number('--max-seq-len') > 32768)
  fail(1, 'ValueError: eager attention takes up to 32768 tokens');
if (flags['--create-runtimes'] !== 'False') fail(1, 'RuntimeError: No RBLN device found');
const output = flags['--output-dir'];
const batch = number('--batch-size');
await compile(
  name,
  (percent) => `Compiling: ${String(percent).padStart(3)}%|${'#'.repeat(percent / 10)}`,
  () => {
    fs.mkdirSync(output);
    const config = {
      ...{ cls_name: 'RBLNLlamaForCausalLM', optimum_rbln_version: version, npu: flags['--npu'] },
      ...{ tensor_parallel_size: 1, batch_size: batch },
      ...{ max_seq_len: number('--max-seq-len'), decoder_batch_sizes: [batch] },
      _compile_cfgs: [{ compiled_model_name: 'prefill' }],
    };
    const write = (file, text) => fs.writeFileSync(path.join(output, file), text);
    write('rbln_config.json', JSON.stringify(config));
    write('config.json', JSON.stringify(config_of(flags['--model-id'])));
    write('prefill.rbln', 'RBLN prefill');
    write(`decoder_batch_${batch}.rbln`, 'RBLN decoder');
  },
);
