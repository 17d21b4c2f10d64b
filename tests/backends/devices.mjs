// SPDX-License-Identifier: Apache-2.0
// Devices that several backends run on: the tools that list them, and what they are read as.
import fs from 'node:fs';
import path from 'node:path';
import { host_root } from './places.mjs';
import { shipped } from './shipped.mjs';

const query = '--query-gpu=index,uuid,name';

/// One idle H100, as it was recorded.
export const nvidia_smi = {
  type: 'gpu',
  tools: { 'nvidia-smi': [[query, 'nvidia-smi/fixtures/probe-h100-580.csv']] },
  devices: [
    {
      uuid: 'GPU-4c145059-33c2-6073-34e0-87493bcb5ba3',
      model: 'NVIDIA H100 80GB HBM3',
      memory_bytes: 81559 * 1024 * 1024,
      reading: {
        ...{ memory_used_bytes: 0, utilization_pm: 0, power_mw: 77090, temperature_mc: 37000 },
        health: 'healthy',
      },
    },
  ],
};

/// From now on its tool lists a second one first, whose UUID is the lesser.
export function second_board(stand) {
  const first = fs.readFileSync(path.join(shipped, nvidia_smi.tools['nvidia-smi'][0][1]), 'utf8');
  const file = path.join(stand.fakes, 'boards.csv');
  fs.writeFileSync(file, first.replace(/^0, GPU-4/, '1, GPU-3').replace(':06.0', ':07.0') + first);
  stand.faults(`nvidia-smi=${file}`);
}

/// Lets the files of the host show a second card like the first, on a lower bus.
export function second_card(stand) {
  const root = path.join(stand.folder, 'root');
  fs.cpSync(stand.env.CONSORT_HOST_ROOT, root, { recursive: true });
  stand.env.CONSORT_HOST_ROOT = root;
  const cards = path.join(root, 'sys/class/drm');
  const second = path.join(cards, 'card7');
  fs.cpSync(path.join(cards, fs.readdirSync(cards)[0]), second, { recursive: true });
  const file = path.join(second, 'device/uevent');
  const uevent = fs.readFileSync(file, 'utf8');
  fs.writeFileSync(file, uevent.replace(/(SLOT_NAME=0000:)../, '$101'));
}

/// One MI300X as the kernel's files show it.
export const amd_files = {
  type: 'gpu',
  env: host_root('amd'),
  devices: [
    {
      uuid: '0000:0e:00.0',
      model: 'AMD Instinct MI300X',
      reading: {
        ...{ memory_used_bytes: 297795584, utilization_pm: 470, power_mw: 132000 },
        ...{ temperature_mc: 34000, health: 'healthy' },
      },
    },
  ],
};
