// SPDX-License-Identifier: Apache-2.0
// What every fake says: words that follow from the prompt alone, so that an answer that goes on at
// another vendor's fake is the same answer.
import crypto from 'node:crypto';

const words = ['ash', 'birch', 'cedar', 'elm', 'fir', 'larch', 'oak', 'pine', 'rowan', 'yew'];

export const next_word = (text) =>
  ` ${words[crypto.createHash('sha256').update(text).digest()[0] % words.length]}`;

/// The first `count` words after `prompt`.
export function story(prompt, count) {
  let text = '';
  for (let i = 0; i < count; ++i) text += next_word(prompt + text);
  return text;
}

/// The embedding of a text: numbers that a float of either size holds exactly.
export const vector_of = (text) =>
  [...crypto.createHash('sha256').update(text).digest().subarray(0, 4)].map((byte) => byte / 256);

export const count_tokens = (text) => text.split(/\s+/).filter(Boolean).length;
