// SPDX-License-Identifier: Apache-2.0
import { amd_files } from '../devices.mjs';

export default {
  ...amd_files,
  name: 'amd-sysfs',
  plugins: ['amd-sysfs'],
  absent: /not on this host: .*kfd/,
  lacks: ['run'],
};
