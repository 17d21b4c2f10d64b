// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import path from 'node:path';
import { model_file } from '../../system/support.mjs';
import { built_plugins } from '../places.mjs';

export default {
  name: 'pim-sim',
  plugins: ['pim-sim'],
  type: 'pim',
  env: { CONSORT_SIMULATED_PIM: '1' },
  absent: /not on this host: \$CONSORT_SIMULATED_PIM/,
  model: 'any',
  devices: [
    {
      ...{ uuid: 'pim-sim-0', model: 'PIM-AI-DIMM (simulated)', memory_bytes: 16 * 1024 ** 3 },
      reading: { power_mw: 10_000, utilization_pm: null },
    },
  ],
  before: {
    'it makes real text, at the pace of the host': async (stand) => {
      // Where the build lays it out: its library is the engine beside it.
      const folder = path.join(built_plugins, 'pim-sim');
      const done = await stand.cli(['plugin', 'check', '--model', model_file, folder]);
      assert.equal(done.code, 0, done.stdout + done.stderr);
      assert.match(done.stdout, /^generate +pass +8 tokens/m);
      assert.match(done.stdout, /^kill +pass/m);
    },
  },
  lacks: ['run'],
};
