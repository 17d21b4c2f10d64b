// SPDX-License-Identifier: Apache-2.0
// `vllm serve FOLDER` with the vllm-rbln plugin: reads what optimum-rbln wrote, refuses what was
// made by another version of it or incompletely, and is vLLM from there on. CONSORT_FAKE_RBLN is
// the installed version.
import fs from 'node:fs';
import path from 'node:path';
import { compiler_fault, fail } from './compiler.mjs';

const folder = process.argv[3];
const config = JSON.parse(fs.readFileSync(path.join(folder, 'rbln_config.json'), 'utf8'));
const installed = process.env.CONSORT_FAKE_RBLN ?? '0.9.4';
const other = config.optimum_rbln_version !== installed;
if (other || compiler_fault('rbln-artifact') === 'stale')
  fail(
    1,
    "ValueError: Unexpected arguments: dict_keys(['kvcache_metas'])",
    'Maybe you are trying to load a model compiled with older version of optimum-rbln. ' +
      'It is recommended to use the same version to compile and load the model.',
    `Current version: ${installed}, Loaded version: ${config.optimum_rbln_version}`,
  );
for (const file of ['prefill', ...config.decoder_batch_sizes.map((one) => `decoder_batch_${one}`)])
  if (!fs.existsSync(path.join(folder, `${file}.rbln`)))
    fail(1, `FileNotFoundError: ${folder}/${file}.rbln`);
await import('./vllm.mjs');
