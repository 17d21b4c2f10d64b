// SPDX-License-Identifier: Apache-2.0
// Goal: the dashboard in a real browser: what runs and what is wrong, one request by hand, why it
// went where it went; and what strangers write stays text. Needs Chromium, like report.test.mjs.
import assert from 'node:assert/strict';
import { find_browser, open_page } from './browser.mjs';
import { with_cluster } from './support.mjs';

const text_of = (id) => `document.getElementById('${id}').innerText`;
const hostile = '<img src=x onerror="document.title=1">';

with_cluster('the dashboard', {}, async (check, cluster, t) => {
  const program = find_browser();
  if (!program) {
    assert.ok(process.env.CONSORT_BROWSER !== 'required', 'no Chromium: apt-get install chromium');
    console.error('SKIPPED: nobody looked at the dashboard, for there is no Chromium here');
    return;
  }
  const page = await open_page(t, program, cluster.url);

  await check('shows the devices and the figures of the cluster', async () => {
    await page.shows(`document.getElementById('live').className === 'live'`);
    await page.shows(`document.querySelectorAll('#devices article').length === 3`);
    const devices = await page.ask(text_of('devices'));
    for (const words of ['local/cpu0', 'local/npu0', 'refnpu-1 (simulated)', 'ready'])
      assert.ok(devices.includes(words), devices);
    assert.match(await page.ask(text_of('figures')), /3 \/ 3/);
    assert.equal(await page.ask(`document.getElementById('attention').hidden`), true);
  });

  await check('draws only what is asked for', async () => {
    const filter = (words) => `{ const box = document.getElementById('filter');
      box.value = '${words}'; box.dispatchEvent(new Event('input'));
      document.querySelectorAll('#devices article').length }`;
    assert.equal(await page.ask(filter('npu ready')), 2);
    assert.equal(await page.ask(filter('tpu')), 0);
    assert.equal(await page.ask(filter('')), 3);
  });

  await check('asks for a text, shows it as it comes and who wrote it', async () => {
    await page.ask(`document.getElementById('device').value = 'cpu',
      document.getElementById('tokens').value = '24',
      document.getElementById('try').dispatchEvent(new Event('input')),
      document.getElementById('send').click()`);
    await page.shows(`/by local.cpu0 · 24 tokens/.test(${text_of('told')})`);
    assert.ok((await page.ask(text_of('answer'))).length > 20);
    assert.match(await page.ask(text_of('curl')), /X-Consort-Device: cpu/);
  });

  await check('says why a request went where it went', async () => {
    await page.shows(`document.querySelectorAll('#requests button').length > 0`);
    await page.ask(`document.querySelector('#requests button').click()`);
    await page.shows(`/goes to local.cpu0/.test(${text_of('why')})`);
    assert.match(await page.ask(text_of('why')), /npu0\s+-\s+selector: not asked for/);
  });

  await check('tells the error of a request that fails', async () => {
    await page.ask(`{ const list = document.getElementById('device');
      list.append(new Option('nobody', 'tag=nobody')); list.value = 'tag=nobody';
      document.getElementById('send').click() }`);
    await page.shows(`/no device/.test(${text_of('told')})`);
  });

  await check('keeps what strangers write as text', async () => {
    const asked = await cluster.complete({ max_tokens: 4 }, { 'X-Request-Id': hostile });
    assert.equal(asked.status, 200, asked.text);
    await page.shows(`${text_of('requests')}.includes('onerror')`);
    assert.equal(await page.ask(`document.querySelectorAll('#requests img').length`), 0);
    assert.notEqual(await page.ask('document.title'), '1');
  });

  await check('tells what takes no work, and when nobody answers', async () => {
    await cluster.cli(['cordon', 'local/npu1']);
    await page.shows(`/cordoned/.test(${text_of('devices')})`);
    const quiet = await page.ask(`document.getElementById('attention').hidden`);
    assert.equal(quiet, true, 'that was wanted');
    await cluster.kill();
    await page.shows(`/not heard/.test(${text_of('live')})`);
    const unforeseen = page.complaints.filter((one) => !/Failed to load|422|ERR_/.test(one));
    assert.deepEqual(unforeseen, []);
    await cluster.start();
  });
});
