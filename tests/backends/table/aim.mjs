// SPDX-License-Identifier: Apache-2.0
import { host_root, no_device } from '../places.mjs';

export default {
  name: 'aim',
  plugins: ['aim'],
  type: 'pim',
  env: host_root('aim'),
  absent: no_device,
  model: 'any',
  devices: [
    { uuid: '0000:41:00.0', model: 'aimx' }
  ],
  lacks: ['run'],
};
