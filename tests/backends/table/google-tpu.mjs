// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { started_over } from '../suite.mjs';
import { host_root, model_folder, no_device } from '../places.mjs';
import { shipped } from '../shipped.mjs';

const memory_bytes = 16 * 1024 ** 3;
const chip = (uuid) => ({ uuid, model: 'v5e', memory_bytes, reading: { power_mw: null } });

/// What serve-tpu starts over two chips of a host with a chip of that PCI id.
function started_on(folder, device) {
  const chip = path.join(folder, 'sys/bus/pci/devices/0000:00:05.0');
  fs.mkdirSync(chip, { recursive: true });
  fs.writeFileSync(path.join(chip, 'vendor'), '0x1ae0\n');
  fs.writeFileSync(path.join(chip, 'device'), `${device}\n`);
  const told = '#!/bin/sh\necho "$TPU_VISIBLE_CHIPS $TPU_CHIPS_PER_PROCESS_BOUNDS $*"\n';
  fs.writeFileSync(path.join(folder, 'vllm'), told, { mode: 0o755 });
  const PATH = `${folder}:${process.env.PATH}`;
  const env = { PATH, CONSORT_HOST_ROOT: folder, TPU_VISIBLE_CHIPS: '1,0' };
  return spawnSync(path.join(shipped, 'google-tpu/serve-tpu'), ['m'], { env }).stdout.toString();
}

const backend = {
  name: 'google-tpu',
  plugins: ['google-tpu'],
  type: 'npu',
  servers: { vllm: 'vllm.mjs' },
  env: host_root('google-tpu'),
  absent: no_device,
  fake: 'vllm',
  crowds: true,
  model: 'tiny-llama',
  weights: model_folder('tiny-llama'),
  devices: [chip('0000:00:05.0'), chip('0000:00:06.0')],
  chosen: { TPU_VISIBLE_CHIPS: /^[01]$/, TPU_CHIPS_PER_PROCESS_BOUNDS: /^1,1,1$/ },
  arguments: ['serve', model_folder('tiny-llama'), '--tensor-parallel-size', '1'],
  refuses: { 'vllm-400': [400, /vllm says no/] },
  moves: ['vllm-500', 'html'],
  before: {
    'a chip that is two devices counts twice': (stand) => {
      const folder = fs.mkdtempSync(path.join(stand.folder, 'tpu-'));
      const words = (devices) => `0,1 1,2,1 serve m --tensor-parallel-size ${devices}\n`;
      assert.equal(started_on(folder, '0x0076'), words(4));
      assert.equal(started_on(folder, '0x006f'), words(2));
    },
    'two chips serve one model in the shape of two': async () => {
      const { env, words } = await started_over(2, backend);
      assert.equal(env.TPU_VISIBLE_CHIPS, '0,1');
      assert.equal(env.TPU_CHIPS_PER_PROCESS_BOUNDS, '1,2,1');
      assert.match(words, /--tensor-parallel-size 2/);
    },
  },
};

export default backend;
