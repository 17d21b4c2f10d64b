// SPDX-License-Identifier: Apache-2.0
import { host_root, no_device } from '../places.mjs';

export default {
  name: 'upmem',
  plugins: ['upmem'],
  type: 'pim',
  env: host_root('upmem'),
  absent: no_device,
  model: 'any',
  devices: [
    { uuid: 'SN0001:0', model: 'upmem-rank', memory_bytes: 4 * 1024 ** 3 },
    { uuid: 'SN0001:1', model: 'upmem-rank', memory_bytes: 4 * 1024 ** 3 },
  ],
  lacks: ['run'],
};
