// SPDX-License-Identifier: Apache-2.0
// Goal: requests are told what they drew, and that adds up with idle power to the meters. Devices
// are simulated and draw what their model says, in real time: few machines have meters to read.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { eventually, metric_of, temp_dir, with_cluster } from './support.mjs';

const cards = {
  name: 'cards',
  proves: 'joules of requests',
  duration: '1m',
  nodes: [{ name: 'local', devices: [{ spec: 'l4', load: '100ms', load_per_s: '400GiB' }] }],
  models: { llama: { shape: 'llama-3.1-8b', dtype: 'fp8', context: 8192, replicas_min: 1 } },
  workload: [{ poisson: '1/s', input: 100, output: 10, from: '1s' }],
};
const card = {
  simulated_model: 'llama-3.1-8b',
  weight_bytes: 8_000_000_000,
  kv_bytes_per_token: 131_072,
  context_tokens: 8192,
};

function options(t) {
  const folder = temp_dir('consort-energy');
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  const file = (name, text) => {
    fs.writeFileSync(path.join(folder, name), JSON.stringify(text));
    return path.join(folder, name);
  };
  const model = `llama=${file('llama.sim', card)}`;
  return { args: ['--simulate', file('cards.json', cards), '--model', model] };
}

const parts = ['energy', 'device_charged', 'device_idle', 'request_energy'];

with_cluster('joules of requests', options, async (check, cluster) => {
  const ask = (max_tokens, more = {}) =>
    cluster.post('/v1/chat/completions', {
      model: 'llama',
      max_tokens,
      messages: [{ role: 'user', content: 'Tell me a story.' }],
      ...more,
    });
  /// The four sums, once nothing that runs has yet to be read.
  const settled = async () => {
    const read = async () => {
      const { text } = await cluster.get('/metrics');
      return parts.map((name) => metric_of(text, `consort_${name}_joules_total`));
    };
    let before = await read();
    return eventually('a reading of idle devices alone', async () => {
      const now = await read();
      const rests = now[0] > before[0] && now[1] === before[1];
      before = now;
      return rests && now;
    }, 30_000, 2_500);
  };

  await check('the device idles at first, and that is known', async () => {
    const [energy, charged, idle] = await settled();
    assert.equal(charged, 0);
    assert.ok(Math.abs(idle - energy) < 0.01 + energy * 0.5, `${idle} J of ${energy} J`);
  });

  await check('answers have joules once the power at work was read', async () => {
    await ask(80);
    const alone = (await ask(80)).json.usage.consort.joules;
    assert.ok(alone > 10, `${alone} J for 80 tokens`);
    const four = await Promise.all([1, 2, 3, 4].map(() => ask(80)));
    for (const answer of four) {
      const { joules } = answer.json.usage.consort;
      assert.ok(joules > 0 && joules < alone * 0.7, `${joules} J in fours, ${alone} J alone`);
    }
    const stream = await ask(40, { stream: true, stream_options: { include_usage: true } });
    assert.match(stream.text, /"joules":\d+\.\d{3}/);
  });

  await check('what requests are told and what is idle are the meter', async () => {
    const before = await settled();
    await Promise.all([1, 2, 3, 4, 5, 6].map((one) => ask(30 * one)));
    const after = await settled();
    const [energy, charged, idle, told] = after.map((one, at) => one - before[at]);
    const near = (sum, off) =>
      assert.ok(Math.abs(sum - energy) <= off * energy, `${sum}: ${energy} J`);
    near(charged + idle, 0.03);
    near(told + idle, 0.1);
    assert.ok(told > 0.1 * energy);
  });

  await check('a client that left is charged at its device', async () => {
    const before = await settled();
    let pieces = 0;
    for await (const event of cluster.stream({ max_tokens: 2000 }))
      if (event.choices && ++pieces > 60) break;
    const after = await settled();
    assert.ok(after[1] - before[1] > 5, `${after[1] - before[1]} J`);
    assert.equal(after[3], before[3], 'its gateway did not hear how much');
  });

  await check('the scheduler has learned what a token costs', async () => {
    const { replicas } = (await cluster.get('/api/v1/replicas')).json;
    assert.ok(replicas[0].energy_uj_per_token > 10_000, JSON.stringify(replicas[0]));
  });
});
