// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The terms of a score, each a predicted span in nanoseconds for this request on this candidate
/// now. One function per term; profiles (policy/profile.hpp) decide what they weigh. Integers only;
/// every term is at most term_ns_max, so that a sum of all of them cannot overflow.

#include "scheduler/cost_model.hpp"

#include <algorithm>

namespace consort::core {

inline constexpr std::int64_t term_ns_max = std::int64_t{1} << 59U;

struct score_terms {
  std::int64_t queue_ns = 0;   ///< Until it could start there.
  std::int64_t setup_ns = 0;   ///< Until the model is loaded there, compile included.
  std::int64_t prefill_ns = 0; ///< Of the whole prompt.
  std::int64_t prefix_ns = 0;  ///< Prefill saved by a cached beginning; taken off.
  std::int64_t decode_ns = 0;  ///< Of the expected output, beside what runs there.
  std::int64_t exact_ns = 0;   ///< Resuming on another artifact or device model than before.
};

/// prompt tokens * prefill time per token.
inline std::int64_t prefill_term(work_size size, std::uint32_t prefill_ns) {
  return std::int64_t{size.prompt_tokens} * prefill_ns;
}

/// expected output tokens * gap between tokens at the batch that it would join.
inline std::int64_t decode_term(work_size size, std::uint32_t itl_ns) {
  return std::int64_t{size.output_tokens} * itl_ns;
}

/// prefill * (blocks held / blocks of the prompt). Requires: blocks > 0.
inline std::int64_t prefix_term(std::int64_t prefill_ns, std::uint32_t held, std::size_t blocks) {
  return prefill_ns / static_cast<std::int64_t>(blocks)
         * static_cast<std::int64_t>(std::min<std::size_t>(held, blocks));
}

/// Free places: the prefill still ahead of it in the engine. None: all outstanding work spread over
/// the sequences that do it.
inline std::int64_t queue_term(bool full, std::int64_t prefill_ahead_ns, std::int64_t work_ns,
                               std::uint32_t sequences) {
  const auto ahead = full ? work_ns / std::max<std::int64_t>(sequences, 1) : prefill_ahead_ns;
  return std::clamp<std::int64_t>(ahead, 0, term_ns_max);
}

/// A continuation that is the same text is worth waiting this long for.
inline constexpr std::int64_t inexact_penalty_ns = 1'000'000'000;
inline std::int64_t exact_term(bool exact) {
  return exact ? 0 : inexact_penalty_ns;
}

} // namespace consort::core
