// SPDX-License-Identifier: Apache-2.0
// Devices that several backends run on: the tools that list them, and what they are read as.
import { host_root } from './places.mjs';

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
