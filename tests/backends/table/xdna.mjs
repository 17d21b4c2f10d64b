// SPDX-License-Identifier: Apache-2.0
import { host_root, no_device } from '../places.mjs';

export default {
  name: 'xdna',
  plugins: ['xdna'],
  type: 'npu',
  env: host_root('xdna'),
  absent: no_device,
  attach: {
    ...{ fake: 'lemonade.mjs', args: ['--name', 'tale'], port_env: 'CONSORT_LEMONADE_URL' },
    path: '/api',
  },
  fake: 'lemonade',
  model: 'tale',
  devices: [{ uuid: '0000:c5:00.1', model: 'npu4' }],
  refuses: { 'lemonade-400': [400, /lemonade says no/] },
  moves: ['lemonade-500', 'html'],
  breaks: ['cut', 'malformed', 'not-utf8', 'error-in-stream'],
  lacks: ['die'],
};
