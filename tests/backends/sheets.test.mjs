// SPDX-License-Identifier: Apache-2.0
// Goal: before anything was measured, devices compare by what their vendors say of them. Every
// model that a folder can name has a spec sheet of its own, whose speeds follow from its memory and
// FLOPS by one rule (docs/decisions/0105): a model of 8 billion parameters in 16 bits.
import assert from 'node:assert/strict';
import test from 'node:test';
import { document_of, shipped_folders } from './shipped.mjs';

const weights_gb = 16;
const memory_share = 0.75; // Of the bandwidth, while decoding.
const compute_share = 0.6; // Of the peak, while reading a prompt: 2 FLOPs a parameter.
const tolerance = 0.2;

/// Names that the vendor's tool prints, where plugin.json has no table of them.
const printed = {
  nvidia: [
    ...['NVIDIA H100 80GB HBM3', 'NVIDIA H100 PCIe', 'NVIDIA H100 NVL', 'NVIDIA GH200 480GB'],
    ...['NVIDIA H200', 'NVIDIA H200 NVL', 'NVIDIA B200', 'NVIDIA A100-SXM4-80GB'],
    ...['NVIDIA A100-SXM4-40GB', 'NVIDIA A100-PCIE-40GB', 'NVIDIA A100 80GB PCIe'],
    ...['NVIDIA L40S', 'NVIDIA L40', 'NVIDIA L4', 'NVIDIA A10', 'NVIDIA A10G', 'NVIDIA A40'],
    ...['NVIDIA RTX A6000', 'Tesla T4', 'Tesla V100-SXM2-16GB', 'NVIDIA GeForce RTX 4090'],
    ...['NVIDIA H100 80GB HBM3 MIG 1g.10gb', 'NVIDIA A100-SXM4-40GB MIG 3g.20gb'],
  ],
  amd: ['AMD Instinct MI300X', 'AMD Instinct MI325X', 'AMD Instinct MI210'],
  gaudi: ['HL-325L', 'HL-225'],
  ascend: ['910B2', '310P3'],
  rebellions: ['RBLN-CA22', 'RBLN-CA25', 'RBLN-CR03', 'RBLN-CR13'],
};
/// Models that the folder's common sheet is for, though it has others.
const common = {
  ascend: ['910B2'],
  gaudi: ['HL-325L'],
  neuron: ['neuroncore-v2', 'neuroncore'],
};
/// Whose engines hold their weights in fewer bits.
const other_rule = { furiosa: 'FP8', qualcomm: 'MXFP6', hailo: 'INT4', xdna: 'INT4' };
/// Who finds the same boards, and so says the same of them.
const twins = [
  ['nvidia', 'nvidia-smi'],
  ['amd', 'amd-sysfs'],
];

const folders = shipped_folders()
  .filter((one) => !['reference', 'pocl'].includes(one))
  .filter((one) => ['gpu', 'npu', 'pim'].includes(document_of(one).type));

const names_of = (folder) => {
  const places = [document_of(folder).probe.model].flat();
  const told = places.flatMap(({ words, value }) => value ?? Object.values(words ?? {}));
  const twin = twins.find((pair) => pair.includes(folder))?.[0];
  return [...told, ...(printed[folder] ?? printed[twin] ?? [])];
};
const sheet_of = ({ models = [], ...own }, name) =>
  models.find(({ match }) => new RegExp(match).test(name)) ?? own;

const near = (value, wanted, what) =>
  assert.ok(Math.abs(value / wanted - 1) <= tolerance, `${what}: ${value}, not about ${wanted}`);

function check_rule(sheet, what) {
  const { memory_gb_per_s: memory, tflops: { bf16, fp16 = bf16 } = {} } = sheet;
  if (!memory || !fp16) return;
  near(sheet.decode_tokens_per_s, (memory_share * memory) / weights_gb, `${what} decodes`);
  near(sheet.prefill_tokens_per_s, (compute_share * fp16 * 1000) / weights_gb, `${what} reads`);
}

for (const folder of folders)
  test(`${folder} has a sheet for each model that it names`, () => {
    const { spec } = document_of(folder);
    const names = names_of(folder);
    assert.ok(names.length > 0 || !spec.models, 'nobody names its models');
    for (const name of names) {
      const sheet = sheet_of(spec, name);
      const known = sheet.prefill_tokens_per_s > 0 && sheet.decode_tokens_per_s > 0;
      assert.ok(known, `speeds of ${name}`);
      const own = !spec.models || common[folder]?.includes(name) || sheet.match;
      assert.ok(own, `sheet of ${name}`);
    }
    for (const sheet of [spec, ...(spec.models ?? [])]) {
      const what = `${folder} ${sheet.match ?? ''}`;
      if (sheet.tdp_watts && sheet.idle_watts) assert.ok(sheet.idle_watts < sheet.tdp_watts, what);
      if (!other_rule[folder]) check_rule(sheet, what);
    }
  });

test('a board of a notebook is not taken for the one of a desktop', () => {
  const { spec } = document_of('nvidia');
  for (const name of ['NVIDIA GeForce RTX 4090', 'NVIDIA GeForce RTX 5090']) {
    assert.ok(sheet_of(spec, name).tdp_watts, name);
    assert.equal(sheet_of(spec, `${name} Laptop GPU`).tdp_watts, undefined, name);
  }
});

test('folders that find the same boards say the same of them', () => {
  for (const [one, other] of twins)
    assert.deepEqual(document_of(one).spec, document_of(other).spec, `${one} and ${other}`);
});

test('a part of a board is not taken for the whole', () => {
  const { spec } = document_of('nvidia');
  const whole = sheet_of(spec, 'NVIDIA H100 80GB HBM3');
  const part = sheet_of(spec, 'NVIDIA H100 80GB HBM3 MIG 1g.10gb');
  assert.ok(part.decode_tokens_per_s < whole.decode_tokens_per_s / 7);
  assert.equal(part.idle_watts, undefined, "power is the board's");
});
