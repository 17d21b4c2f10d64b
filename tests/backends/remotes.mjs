// SPDX-License-Identifier: Apache-2.0
// What backends have to pass that are servers of somebody else's: keys and money.
import assert from 'node:assert/strict';
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
    const before = await cost();
    assert.equal((await ask(stand)).status, 200);
    const { eventually } = await import('../system/support.mjs');
    await eventually('the bill', async () => (await cost()) - before >= micros, 8_000);
    assert.equal(((await cost()) - before) % micros, 0);
  },
});
