// SPDX-License-Identifier: Apache-2.0
// Goal: one answer without a server, and the commands that need none.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { descendants, expect_gone, model_file, run_cli, temp_dir } from './support.mjs';

const options = { timeout: 600_000 };

/// A configuration that names the model and a port that no other server has.
function config_file(folder) {
  const file = path.join(folder, 'consort.json');
  fs.writeFileSync(file, JSON.stringify({ models: { teller: { source: model_file } } }));
  return file;
}

test('run answers with no server up and leaves nothing running', options, async (t) => {
  const data = temp_dir();
  t.after(() => fs.rmSync(data, { recursive: true, force: true }));
  const before = descendants(process.pid);
  const done = await run_cli(['--config', config_file(data), 'run', 'teller', 'Once upon a time'], {
    data,
  });
  assert.equal(done.code, 0, done.stderr);
  assert.ok(done.stdout.trim().length > 20, done.stdout);
  const left = descendants(process.pid).filter((one) => !before.some((old) => old.pid === one.pid));
  await expect_gone(left);
});

test('version and help are there on every command', options, async () => {
  const version = await run_cli(['--version']);
  assert.equal(version.code, 0);
  assert.match(version.stdout, /\d+\.\d+\.\d+/);
  for (const command of ['up', 'run', 'submit', 'status', 'devices', 'explain', 'sim', 'bench']) {
    const help = await run_cli([command, '--help']);
    assert.equal(help.code, 0, `${command}: ${help.stderr}`);
    assert.match(help.stdout, new RegExp(command));
  }
});

test('a wrong configuration is refused with file, line and field', options, async (t) => {
  const data = temp_dir();
  t.after(() => fs.rmSync(data, { recursive: true, force: true }));
  const file = path.join(data, 'wrong.json');
  fs.writeFileSync(file, '{\n  // a comment is fine\n  "schedular": {}\n}\n');
  const done = await run_cli(['config', 'check', file], { data });
  assert.notEqual(done.code, 0);
  assert.match(done.stderr, /wrong\.json:3/);
  assert.match(done.stderr, /schedular/);
  assert.match(done.stderr, /scheduler/, 'the nearest name is offered');
});
