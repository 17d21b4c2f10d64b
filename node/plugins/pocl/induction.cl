// SPDX-License-Identifier: Apache-2.0
// A model without weights: what followed earlier on the longest run of bytes that the text ends with, follows now.
// One work item for each byte that may come next. It stands for any kernel of this shape; see README.md.

#define RUN_MAX 10u

__kernel void next_byte(__global const uchar *text, uint length, __global float *scores) {
  const uint byte = (uint)get_global_id(0);
  float score = 0.0f;
  for (uint at = 0; at < length; ++at) {
    if (text[at] != byte)
      continue;
    uint run = 0;
    while (run < RUN_MAX && run < at && text[at - 1 - run] == text[length - 1 - run])
      ++run;
    score += (float)(1u << (2u * run)); // A byte more in common counts four times as much.
  }
  scores[byte] = score;
}
