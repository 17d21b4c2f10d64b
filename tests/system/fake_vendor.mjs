// SPDX-License-Identifier: Apache-2.0
// The made-up vendor of tests/plugins/fakevendor, in a folder of plugins of its own, with a switch
// for what its tools and its server do wrong.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { eventually, root, temp_dir } from './support.mjs';

export const vendor = path.join(root, 'tests/plugins/fakevendor');
export const pim = { 'X-Consort-Device': 'pim' };

const gone_ms_max = 5_000;

export class FakeVendor {
  constructor() {
    this.plugins = temp_dir('consort-plugins');
    this.folder = path.join(this.plugins, 'fakevendor');
    fs.cpSync(vendor, this.folder, { recursive: true });
  }
  faults(...lines) {
    const file = path.join(this.folder, 'faults');
    fs.writeFileSync(`${file}.new`, `${lines.join('\n')}\n`);
    fs.renameSync(`${file}.new`, file); // A tool reads it at any moment.
  }
  /// Replaces words of its plugin.json, which must be there.
  change(from, to) {
    const file = path.join(this.folder, 'plugin.json');
    const text = fs.readFileSync(file, 'utf8');
    assert.ok(text.includes(from), from);
    fs.writeFileSync(file, text.replace(from, to));
  }
  /// What its tools and servers left behind: how many there were, and which of them run.
  leftovers() {
    const file = path.join(this.folder, 'leftovers');
    const text = fs.existsSync(file) ? fs.readFileSync(file, 'utf8').trim() : '';
    const pids = text.split('\n').filter(Boolean);
    const of_ours = (pid) => {
      try {
        return fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(this.folder);
      } catch {
        return false;
      }
    };
    return { count: pids.length, running: pids.filter(of_ours) };
  }
  async expect_no_leftovers() {
    assert.ok(this.leftovers().count >= 2, 'nothing was left behind: void');
    const none = () => this.leftovers().running.length === 0;
    await eventually('nothing that was left behind runs', none, gone_ms_max);
  }
  remove() {
    fs.rmSync(this.plugins, { recursive: true, force: true });
  }
}
