// SPDX-License-Identifier: Apache-2.0
// What the fakes of compilers share: the journal, `faults` (lines NAME=FAULT), a pace, and the
// fingerprint of a model's shape. A vendor's own fake says what it is called with, prints and
// writes.
import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { journal } from './server.mjs';

const folder = process.env.CONSORT_FAKES ?? '/nonexistent';
const compile_ms = Number(process.env.CONSORT_FAKE_COMPILE_MS ?? 200);

export function compiler_fault(name) {
  try {
    const text = fs.readFileSync(path.join(folder, 'faults'), 'utf8');
    return new RegExp(`^${name}=(.*)$`, 'm').exec(text)?.[1] ?? '';
  } catch {
    return '';
  }
}

export const config_of = (model) =>
  JSON.parse(fs.readFileSync(path.join(model, 'config.json'), 'utf8'));

/// Of what a program is compiled for: the shape, not the weights.
export function fingerprint(model) {
  const config = config_of(model);
  const shape = ['hidden_size', 'intermediate_size', 'num_attention_heads', 'vocab_size'];
  return crypto.createHash('sha256').update(shape.map((one) => config[one]).join()).digest('hex');
}

export function fail(code, ...lines) {
  for (const line of lines) console.error(line);
  process.exit(code);
}

/// Says how far it is as `line(percent)` prints it, then writes. What failures of compilers mean is
/// tried with `fixtures/failures.json` of the plugins' folders.
export async function compile(name, line, write) {
  journal({ what: 'compile', name, argv: process.argv.slice(2) });
  for (const percent of [25, 50, 75]) {
    console.log(line(percent));
    await new Promise((resolve) => setTimeout(resolve, compile_ms / 4));
  }
  write();
  console.log(line(100));
}
