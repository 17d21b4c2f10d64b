// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { nvidia_smi } from '../devices.mjs';
import { shipped } from '../shipped.mjs';

const fixture = (name) => path.join(shipped, 'nvidia-smi/fixtures', name);

export default {
  ...nvidia_smi,
  name: 'nvidia-smi',
  plugins: ['nvidia-smi'],
  lacks: ['run'],
  before: {
    'a figure that cannot be read is unknown, and other faults are said': async (stand) => {
      const folder = path.join(stand.plugins, 'nvidia-smi');
      const check = () => stand.cli(['plugin', 'check', '--no-run', folder]);
      // A hang is given up sooner than by default.
      const file = path.join(folder, 'plugin.json');
      const text = fs.readFileSync(file, 'utf8');
      fs.writeFileSync(file, text.replace('"probe": {', '"probe": { "timeout": "1s",'));
      const recorded = fs.readFileSync(fixture('probe-mig-570.csv'), 'utf8');
      const unread = path.join(stand.folder, 'unread.csv');
      fs.writeFileSync(unread, recorded.replace('Enabled', 'Disabled'));
      stand.faults(`nvidia-smi=${unread}`);
      const whole = await check();
      assert.equal(whole.code, 0, whole.stdout);
      assert.match(whole.stdout, /2 of 2 devices read/);
      stand.faults(`nvidia-smi=${fixture('probe-mig-570.csv')}`);
      const mig = await check();
      assert.equal(mig.code, 0, mig.stdout);
      assert.match(mig.stdout, /1 of 1 devices? read/);
      assert.doesNotMatch(mig.stdout, /GPU-11111111/);
      for (const [fault, pattern] of [
        ['exit', /exited with 9: cannot talk to the driver/],
        ['truncated', /lists no device/],
        ['hang', /ran out of time/],
      ]) {
        stand.faults(`nvidia-smi=${fault}`);
        const done = await check();
        assert.notEqual(done.code, 0, done.stdout);
        assert.match(done.stdout, pattern, fault);
      }
    },
  },
};
