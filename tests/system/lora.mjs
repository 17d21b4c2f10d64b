// SPDX-License-Identifier: Apache-2.0
// A LoRA adapter for the shipped model, as a GGUF file: rank 1, on the query projection of each
// layer, of figures that follow from their place.
import fs from 'node:fs';

const layers = 6;
const width = 256;
const alignment = 32;

const u32 = (value) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
const u64 = (value) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};
const f32 = (value) => {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
};
const text = (value) => Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);
const text_pair = (name, value) => Buffer.concat([text(name), u32(8), text(value)]);
const float_pair = (name, value) => Buffer.concat([text(name), u32(6), f32(value)]);
const padded = (bytes) => {
  const rest = (alignment - (bytes.length % alignment)) % alignment;
  return Buffer.concat([bytes, Buffer.alloc(rest)]);
};

export function write_lora(file, scale = 1.5) {
  const tensors = [];
  for (let layer = 0; layer < layers; ++layer)
    for (const [part, shape] of [
      ['lora_a', [width, 1]],
      ['lora_b', [1, width]],
    ])
      tensors.push({ name: `blk.${layer}.attn_q.weight.${part}`, shape });
  const pairs = [
    text_pair('general.type', 'adapter'),
    text_pair('general.architecture', 'llama'),
    text_pair('adapter.type', 'lora'),
    float_pair('adapter.lora.alpha', 1),
  ];
  const heads = [];
  const data = [];
  let offset = 0;
  for (const [number, one] of tensors.entries()) {
    heads.push(text(one.name), u32(2), ...one.shape.map(u64), u32(0), u64(offset));
    const figure = (_, at) => f32(scale * Math.sin(1 + at * 7 + number));
    const figures = Array.from({ length: width }, figure);
    data.push(padded(Buffer.concat(figures)));
    offset += data.at(-1).length;
  }
  const counts = [u64(tensors.length), u64(pairs.length)];
  const start = Buffer.concat([Buffer.from('GGUF'), u32(3), ...counts, ...pairs, ...heads]);
  fs.writeFileSync(file, Buffer.concat([padded(start), ...data]));
}
