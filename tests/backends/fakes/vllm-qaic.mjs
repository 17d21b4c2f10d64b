// SPDX-License-Identifier: Apache-2.0
// vLLM as built for Cloud AI 100: reads the compiled program from the folder that
// VLLM_QAIC_QPC_PATH names, and is vLLM from there on.
import fs from 'node:fs';
import path from 'node:path';
import { compiler_fault, fail } from './compiler.mjs';

const folder = process.env.VLLM_QAIC_QPC_PATH ?? '';
const gone = compiler_fault('qaic-program') === 'gone';
if (gone || !fs.existsSync(path.join(folder, 'programqpc.bin')))
  fail(
    1,
    'ValueError: Environment variable VLLM_QAIC_QPC_PATH is set!',
    `QAIC qpc path ${folder} doesn't exist or didn't have compiled binary!`,
  );
await import('./vllm.mjs');
