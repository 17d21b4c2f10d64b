// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { nvidia_smi } from '../devices.mjs';
import { model_folder } from '../places.mjs';
import { rebuilds } from '../suite.mjs';

/// An engine that another release made is dropped and built once more.
const mismatch = (fault) => (stand) =>
  rebuilds(stand, `trtllm=${fault}`, () => stand.journal('build').length);

const is_ours = ({ name }) => name === 'trtllm';

export default {
  ...nvidia_smi,
  name: 'tensorrt-llm',
  plugins: ['nvidia-smi', 'tensorrt-llm'],
  tools: {
    ...nvidia_smi.tools,
    python3: [['tensorrt_llm', model_folder('../versions/1.0.0.txt')]],
  },
  servers: { 'trtllm-serve': 'trtllm-serve.mjs', 'trtllm-build': 'trtllm-build.mjs' },
  fake: 'trtllm',
  crowds: true,
  model: 'llama-trt',
  weights: `server:${model_folder('trtllm-checkpoint')}`,
  chosen: { CUDA_VISIBLE_DEVICES: /^0$/ },
  arguments: ['serve', '--backend', 'tensorrt'],
  refuses: { 'trtllm-400': [400, /trtllm says no/] },
  moves: ['trtllm-500', 'html'],
  checks: {
    'an engine is built for its compute capability and release': async (stand) => {
      const all = await stand.cluster.list('artifacts');
      const { target, compiler_version } = all.map(({ key }) => key.profile).find(is_ours);
      assert.equal(target, '9.0');
      assert.equal(compiler_version, '1.0.0');
    },
    'one of another TensorRT is rebuilt': mismatch('other-tensorrt'),
    'one of another compute capability is rebuilt': mismatch('other-sm'),
  },
};
