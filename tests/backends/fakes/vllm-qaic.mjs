// SPDX-License-Identifier: Apache-2.0
// vLLM as built for Cloud AI 100: reads the compiled program from the folder that
// VLLM_QAIC_QPC_PATH names, and is vLLM from there on.
import fs from 'node:fs';
import path from 'node:path';
import { fail } from './compiler.mjs';

const program = path.join(process.env.VLLM_QAIC_QPC_PATH ?? '', 'programqpc.bin');
if (!fs.existsSync(program)) fail(1, `RuntimeError: ${program} not found`);
await import('./vllm.mjs');
