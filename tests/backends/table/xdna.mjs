// SPDX-License-Identifier: Apache-2.0
import { host_root, no_device } from '../places.mjs';

export default {
  name: 'xdna',
  plugins: ['xdna'],
  type: 'npu',
  env: host_root('xdna'),
  absent: no_device,
  model: 'any',
  devices: [
    { uuid: '0000:c5:00.1', model: 'npu4' }
  ],
  lacks: ['run'],
};
