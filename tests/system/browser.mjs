// SPDX-License-Identifier: Apache-2.0
// A page in headless Chromium, asked over its debugging pipe: pages that listen to events never
// come to rest, so that dumping what they have become is no use.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { eventually, temp_dir, within } from './support.mjs';

const answer_ms_max = 30_000;

/// The program's name, or undefined where there is none.
export function find_browser() {
  const names = [process.env.CONSORT_CHROMIUM, 'chromium', 'chromium-browser', 'google-chrome'];
  return names.find((name) => name && spawnSync(name, ['--version']).status === 0);
}

const flags = ['--headless=new', '--no-sandbox', '--disable-gpu', '--remote-debugging-pipe'];

/// Messages end with a zero byte, in both directions.
function wire(child, heard) {
  let rest = '';
  child.stdio[4].setEncoding('utf8');
  child.stdio[4].on('data', (bytes) => {
    const said = (rest + bytes).split('\0');
    rest = said.pop();
    said.map((one) => JSON.parse(one)).forEach(heard);
  });
  return (message) => child.stdio[3].write(`${JSON.stringify(message)}\0`);
}

/// Returns: {call, complaints}; what the page's scripts and loads complain of comes by itself.
function caller(child) {
  const asked = new Map();
  const complaints = [];
  const send = wire(child, ({ id, method, params, ...said }) => {
    if (method === 'Runtime.exceptionThrown') complaints.push(params.exceptionDetails.text);
    if (method === 'Log.entryAdded' && params.entry.level === 'error')
      complaints.push(params.entry.text);
    asked.get(id)?.(said);
    asked.delete(id);
  });
  let last = 0;
  const call = async (method, params = {}, session = undefined) => {
    last += 1;
    send({ id: last, method, params, sessionId: session });
    const answer = new Promise((done) => { asked.set(last, done); });
    const said = await within(answer_ms_max, answer);
    assert.ok(said, `the browser does not answer ${method}`);
    if (said.error) throw new Error(`${method}: ${said.error.message}`);
    return said.result;
  };
  return { call, complaints };
}

/// Opens `url` and ends with the test. Returns {ask, shows, picture, complaints}: `ask(js)` is the
/// value of an expression, `shows(js)` waits until it is true, `picture(file)` writes a PNG.
export async function open_page(t, program, url, { width = 1400, height = 1600 } = {}) {
  const profile = temp_dir('consort-browser');
  const own = [`--window-size=${width},${height}`, `--user-data-dir=${profile}`];
  const child = spawn(program, [...flags, ...own], {
    stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
  });
  const gone = new Promise((done) => { child.on('exit', done); });
  t.after(async () => {
    child.kill('SIGKILL');
    await gone;
    fs.rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  });
  const { call, complaints } = caller(child);
  const { targetId } = await call('Target.createTarget', { url: 'about:blank' });
  const { sessionId } = await call('Target.attachToTarget', { targetId, flatten: true });
  const on_page = (method, params) => call(method, params, sessionId);
  await on_page('Runtime.enable');
  await on_page('Log.enable');
  await on_page('Page.navigate', { url });
  const ask = async (expression) => {
    const said = await on_page('Runtime.evaluate', {
      expression, returnByValue: true, awaitPromise: true,
    });
    const wrong = said.exceptionDetails?.exception?.description;
    assert.equal(wrong, undefined, `${expression}: ${wrong}`);
    return said.result.value;
  };
  const picture = async (file) => {
    const { data } = await on_page('Page.captureScreenshot', { format: 'png' });
    fs.writeFileSync(file, Buffer.from(data, 'base64'));
  };
  const shows = (expression) =>
    eventually(`the page shows ${expression}`, () => ask(expression), answer_ms_max);
  return { ask, shows, picture, complaints };
}
