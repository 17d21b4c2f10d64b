// SPDX-License-Identifier: Apache-2.0
import { host_root, no_device } from '../places.mjs';

export default {
  name: 'intel-gpu',
  plugins: ['intel-gpu'],
  type: 'gpu',
  env: host_root('intel-gpu'),
  absent: no_device,
  devices: [
    {
      ...{ uuid: '0000:03:00.0', model: 'Intel Arc B580', memory_bytes: 12884901888 },
      reading: {
        // Its counter of idle time stands still there, so that it says nothing.
        ...{ energy_mj: 5000000, temperature_mc: 38000, utilization_pm: null },
        memory_used_bytes: null, // Linux tells it by process alone.
      },
    },
  ],
  lacks: ['run'],
};
