// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { model_file } from '../../system/support.mjs';
import { engine_library, host_root, no_device } from '../places.mjs';

export default {
  name: 'upmem',
  plugins: ['upmem'],
  type: 'pim',
  env: host_root('upmem'),
  absent: no_device,
  model: 'any',
  devices: [
    { uuid: 'SN0001:0', model: 'upmem-rank', memory_bytes: 4 * 1024 ** 3 },
    { uuid: 'SN0001:1', model: 'upmem-rank', memory_bytes: 4 * 1024 ** 3 },
  ],
  before: {
    'without a library it is shown and runs nothing; with one it serves': async (stand) => {
      const folder = path.join(stand.plugins, 'upmem');
      const slot = path.join(folder, 'libupmem-llm.so');
      const empty = await stand.cli(['plugin', 'check', '--model', model_file, folder]);
      assert.equal(empty.code, 0, empty.stdout + empty.stderr);
      assert.match(empty.stdout, /^load +skip/m);
      fs.symlinkSync(engine_library, slot);
      const filled = await stand.cli(['plugin', 'check', '--model', model_file, folder]);
      fs.rmSync(slot);
      assert.equal(filled.code, 0, filled.stdout + filled.stderr);
      assert.match(filled.stdout, /^generate +pass +8 tokens/m);
      assert.match(filled.stdout, /^kill +pass/m);
    },
  },
  lacks: ['run'],
};
