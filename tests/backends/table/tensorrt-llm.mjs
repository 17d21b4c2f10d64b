// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { nvidia_smi, second_board } from '../devices.mjs';
import { model_folder } from '../places.mjs';
import { shipped } from '../shipped.mjs';
import { rebuilds, started_over } from '../suite.mjs';

/// An engine that another release made is dropped and built once more.
const mismatch = (fault) => (stand) =>
  rebuilds(stand, `trtllm=${fault}`, () => stand.journal('build').length);

/// Calls the compiler as the plugin does. Returns: its end, and the engines that it made.
function build_engine(stand, checkpoint, devices) {
  const output = fs.mkdtempSync(path.join(stand.folder, 'engine-'));
  const words = [model_folder(checkpoint), output, 'float16', String(devices), '0'];
  const done = spawnSync(path.join(shipped, 'tensorrt-llm/build-engine'), words, {
    env: { ...process.env, ...stand.env },
  });
  const engines = fs.readdirSync(output).filter((one) => one.endsWith('.engine'));
  return { code: done.status, said: done.stderr.toString(), engines };
}

const is_ours = ({ name }) => name === 'trtllm';

const backend = {
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
  before: {
    'a checkpoint is built for as many GPUs as it was made for': (stand) => {
      const two = build_engine(stand, 'trtllm-checkpoint-x2', 2);
      assert.equal(two.code, 0, two.said);
      assert.deepEqual(two.engines.sort(), ['rank0.engine', 'rank1.engine']);
      for (const [checkpoint, made_for, asked] of [
        ['trtllm-checkpoint', 1, 2],
        ['trtllm-checkpoint-x2', 2, 1],
        ['trtllm-checkpoint-x2', 2, 4],
      ]) {
        const other = build_engine(stand, checkpoint, asked);
        assert.equal(other.code, 3, other.said);
        assert.match(other.said, new RegExp(`declare the model with .*instance ${made_for}$`, 'm'));
        assert.deepEqual(other.engines, []);
      }
    },
    'an engine of two ranks is built and served by two boards': async () => {
      const weights = `server:${model_folder('trtllm-checkpoint-x2')}`;
      const { env, built } = await started_over(2, { ...backend, weights }, second_board);
      assert.equal(env.CUDA_VISIBLE_DEVICES, '0,1');
      assert.equal(built.length, 1);
      assert.match(String(built[0].board), /^[01]$/);
    },
  },
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

export default backend;
