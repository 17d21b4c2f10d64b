// SPDX-License-Identifier: Apache-2.0
// Goal: every backend that ships works as its vendor documents it, and whatever its tools and its
// server do wrong ends in a clear error or in an answer from elsewhere. One file in table/ says
// what is particular to a backend; CONSORT_BACKEND=NAME runs one.
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { conformance } from './suite.mjs';

const table = path.join(path.dirname(fileURLToPath(import.meta.url)), 'table');
const only = process.env.CONSORT_BACKEND?.split(',');

for (const file of fs.readdirSync(table).filter((one) => one.endsWith('.mjs'))) {
  const { default: backend } = await import(path.join(table, file));
  if (!only || only.includes(backend.name))
    test(backend.name, { timeout: 600_000 }, (t) => conformance(t, backend));
}
