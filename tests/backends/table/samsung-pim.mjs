// SPDX-License-Identifier: Apache-2.0
import { host_root, no_device } from '../places.mjs';

export default {
  name: 'samsung-pim',
  plugins: ['samsung-pim'],
  type: 'pim',
  env: host_root('samsung-pim'),
  absent: no_device,
  model: 'any',
  devices: [
    { uuid: '0000:41:00.0', model: 'hbm-pim' }
  ],
  lacks: ['run'],
};
