// SPDX-License-Identifier: Apache-2.0
// Goal: parts of a device are devices of their own, the whole and its parts are never used
// together, and the power of the board counts once.
// Method: RNGD cards whose plugin offers halves; the fake of their server says which cores it got.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { checker, eventually } from '../system/support.mjs';
import { story } from './fakes/story.mjs';
import { Stand } from './stand.mjs';
import furiosa from './table/furiosa.mjs';

const prompt = 'Once upon a time';

/// As an owner would: under another name, and before the plugin that ships.
function offer_halves(stand) {
  const file = path.join(stand.plugins, 'furiosa/plugin.json');
  const text = fs
    .readFileSync(file, 'utf8')
    .replace('"name": "furiosa"', '"name": "furiosa-halves"')
    .replace('"priority": 60', '"priority": 70')
    .replace('"offer": false', '"offer": true');
  fs.writeFileSync(file, text);
  stand.backend = { ...stand.backend, plugins: ['furiosa-halves'] };
}

/// Cores of each server that runs now, `npu:0` being all of a card.
function cores_in_use(stand) {
  const alive = ({ pid }) => fs.existsSync(`/proc/${pid}`);
  return stand
    .journal('start')
    .filter(alive)
    .map(({ device }) => {
      const [, card, first = 0, last = 7] = /^npu:(\d+)(?::(\d+)-(\d+))?$/.exec(device);
      return { card, first: Number(first), last: Number(last) };
    });
}

const overlaps = (one, other) =>
  one.card === other.card && one.first <= other.last && other.first <= one.last;

function expect_apart(stand) {
  const used = cores_in_use(stand);
  for (const [at, one] of used.entries())
    for (const other of used.slice(at + 1))
      assert.ok(!overlaps(one, other), `${JSON.stringify(one)} and ${JSON.stringify(other)}`);
}

test('halves of a card', { timeout: 600_000 }, async (t) => {
  const stand = new Stand(furiosa);
  offer_halves(stand);
  t.after(() => stand.destroy());
  await stand.start();
  const check = checker(t, stand.cluster);
  const by_uuid = async () =>
    Object.fromEntries((await stand.devices()).map((one) => [one.spec.uuid, one]));
  const [card, other_card] = furiosa.devices.map((one) => one.uuid);
  // Whoever asks for cores that others hold does not wait for ever.
  const ask = (device, wait = '50s') =>
    stand.cluster.complete(
      { model: furiosa.model, prompt, max_tokens: 8, temperature: 0 },
      { 'X-Consort-Device': device, 'X-Consort-Wait': wait },
      60_000,
    );

  await check('each card is a whole and two halves that name it', async () => {
    const all = await by_uuid();
    assert.equal(Object.keys(all).length, 6);
    const whole = all[card].spec;
    for (const [part, name] of [
      ['pe0-3', 'rngd-4pe'],
      ['pe4-7', 'rngd-4pe'],
    ]) {
      const { spec } = all[`${card}/${part}`];
      assert.equal(spec.parent, whole.id);
      assert.ok(spec.id.startsWith(`${whole.id}.`), spec.id);
      assert.equal(spec.model, name);
      assert.equal(spec.memory_bytes, whole.memory_bytes / 2);
      assert.deepEqual(spec.exclusive_siblings, []);
    }
  });
  await check("the board's power is the whole's alone", async () => {
    await eventually('read', async () => (await by_uuid())[card].reading.power_mw === 35000);
    const all = await by_uuid();
    assert.equal(all[`${card}/pe0-3`].reading.power_mw ?? null, null);
    const sum = Object.values(all).reduce((watts, one) => watts + (one.reading.power_mw ?? 0), 0);
    assert.equal(sum, 35_000 + 121_500);
  });
  await check('both halves serve at once, each on its cores', async () => {
    const all = await by_uuid();
    const halves = ['pe0-3', 'pe4-7'].map((part) => all[`${card}/${part}`].spec.id);
    const answers = await Promise.all(halves.map((device) => ask(device)));
    for (const answer of answers) {
      assert.equal(answer.status, 200, answer.text);
      assert.equal(answer.json.choices[0].text, story(prompt, 8));
    }
    const used = cores_in_use(stand).filter((one) => one.last - one.first === 3);
    assert.equal(used.length, 2);
    expect_apart(stand);
  });
  await check('the whole is not to be had meanwhile, the other card is', async () => {
    const all = await by_uuid();
    const whole = await ask(all[card].spec.id, '3s');
    expect_apart(stand);
    if (whole.status === 200)
      assert.equal(whole.headers.get('x-consort-device'), all[card].spec.id);
    const elsewhere = await ask(all[other_card].spec.id);
    assert.equal(elsewhere.status, 200, elsewhere.text);
    expect_apart(stand);
  });
  await check('whatever was asked for, no core was given twice', async () => {
    const all = await by_uuid();
    const ids = Object.values(all).map((one) => one.spec.id);
    const watching = setInterval(() => expect_apart(stand), 50);
    try {
      await Promise.all(ids.map((id) => ask(id, '3s').catch(() => {})));
    } finally {
      clearInterval(watching);
    }
    expect_apart(stand);
  });
});
