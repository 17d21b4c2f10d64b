// SPDX-License-Identifier: Apache-2.0
export default {
  name: 'hailo',
  plugins: ['hailo'],
  type: 'npu',
  tools: { hailortcli: [['fw-control identify', 'hailo/fixtures/probe-5.1.1-hailo10h.txt']] },
  model: 'any',
  devices: [{ uuid: '0001:03:00.0', model: 'HAILO10H' }],
  lacks: ['run'],
};
