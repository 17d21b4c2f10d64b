// SPDX-License-Identifier: Apache-2.0
// `qaic-compile`: told by flags of its own kind (-name=value) and a file of specialisations; writes
// programqpc.bin into a folder that must not be there yet.
import fs from 'node:fs';
import path from 'node:path';
import { compile, fail } from './compiler.mjs';
import { parse_arguments } from './server.mjs';

const switches = ['-aic-hw', '-convert-to-fp16', '-mxfp6-matmul', '-retained-state'];
const flags = parse_arguments(process.argv.slice(2), switches);
const output = flags['-aic-binary-dir'];
if (fs.existsSync(output)) fail(1, `Error message: ${output} exists`);
if (!fs.existsSync(flags['-m'])) fail(1, `Error message: ${flags['-m']} not found`);
const wanted = JSON.parse(fs.readFileSync(flags['-network-specialization-config'], 'utf8'));
await compile(
  'qaic-compile',
  (percent) => `compiling ${percent}%`,
  () => {
    fs.mkdirSync(output);
    const program = `QPC ${JSON.stringify(wanted.specializations)}`;
    fs.writeFileSync(path.join(output, 'programqpc.bin'), program);
  },
);
