// SPDX-License-Identifier: Apache-2.0
import { model_folder, no_device } from '../places.mjs';

export default {
  name: 'intel-npu',
  plugins: ['intel-npu'],
  type: 'npu',
  selector: 'vendor=Intel', // Its host has another NPU, which is not its own.
  servers: { ovms: 'ovms.mjs' },
  // A load that lasts must move its counter: a device that does nothing is left alone.
  host: { root: 'intel-npu', counts: 'sys/class/accel/accel0/device/npu_busy_time_us' },
  absent: no_device,
  fake: 'ovms',
  crowds: true,
  model: 'tiny-ov',
  weights: model_folder('tiny-openvino'),
  devices: [
    {
      ...{ uuid: '0000:00:0b.0', model: 'npu-4000' },
      reading: { memory_used_bytes: 1073741824, power_mw: null, health: 'healthy' },
    },
  ],
  arguments: [
    ...['--target_device', 'NPU', '--model_path', model_folder('tiny-openvino')],
    ...['--max_prompt_len', '4096', '--cache_dir'],
  ],
  refuses: { 'ovms-400': [400, /ovms says no/] },
  moves: ['ovms-500', 'html'],
};
