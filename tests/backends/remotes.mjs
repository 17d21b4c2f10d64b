// SPDX-License-Identifier: Apache-2.0
// What backends have to pass that are servers of somebody else's: keys and money.
import assert from 'node:assert/strict';
import { eventually } from '../system/support.mjs';
import { ask } from './suite.mjs';

const asked = (stand, since) =>
  stand.journal('request').filter((one) => one.method === 'POST' && one.at >= since);

export const keeps_its_key = (key) => ({
  'its key goes along and is never printed': async (stand) => {
    const began = Date.now();
    assert.equal((await ask(stand)).status, 200);
    assert.equal(asked(stand, began)[0].key, `Bearer ${key}`);
    assert.ok(!stand.cluster.output.includes(key), 'the key is in the log');
    for (const view of ['devices', 'models', 'nodes'])
      assert.ok(!(await stand.cluster.get(`/api/v1/${view}`)).text.includes(key), view);
  },
});

export const costs = (micros) => ({
  'what is paid per token is counted': async (stand) => {
    const cost = async () => (await stand.devices())[0].reading.cost_micros ?? 0;
    // What was asked before is billed first: nothing new for longer than a device is read after.
    let same = 0;
    let before = await cost();
    await eventually('the bill of what was before', async () => {
      const now = await cost();
      same = now === before ? same + 1 : 0;
      before = now;
      return same > 60; // Each takes 50 ms and more; devices are read every 2 s.
    });
    const answer = await ask(stand);
    assert.equal(answer.status, 200);
    assert.equal(answer.json.usage.consort.cost, micros / 1e6);
    await eventually('the bill', async () => (await cost()) - before >= micros, 8_000);
    assert.equal(((await cost()) - before) % micros, 0);
  },
});
