// SPDX-License-Identifier: Apache-2.0
// `fxb build MODEL OUT -tp N`: one archive of programs for a shape, no weights in it; wants no NPU,
// but a cross compiler.
import fs from 'node:fs';
import { compile, fingerprint } from './compiler.mjs';
import { parse_arguments } from './server.mjs';

const flags = parse_arguments(process.argv.slice(2));
const [, model, output] = flags.alone;
await compile(
  'fxb',
  (percent) => `[fxb] lowering ${percent}%`,
  () => {
    const manifest = { fingerprint: fingerprint(model), tp: Number(flags['-tp']), ir: 7 };
    fs.writeFileSync(output, `FXB1${JSON.stringify(manifest)}`);
    console.log('Artifact Build Completed');
  },
);
