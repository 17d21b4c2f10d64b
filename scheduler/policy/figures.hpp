// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What scorers read of one candidate, and the shape of what they answer. Integers only; every
/// figure is bounded, so that no sum of weighted scores can overflow 62 bits.

#include "scheduler/cost_model.hpp"

#include <algorithm>

namespace consort::core {

/// Bound of every span and of every fixed part of a score, about 18 years in nanoseconds.
inline constexpr std::int64_t term_ns_max = std::int64_t{1} << 59U;
/// Bound of a score per token.
inline constexpr std::int64_t per_token_max = std::int64_t{1} << 40U;
/// Tokens beyond are scored like so many.
inline constexpr std::int64_t scored_tokens_max = std::int64_t{1} << 20U;

/// One candidate as predicted for one more request, now. Derived by endpoint_table::refresh for
/// endpoints, and from the spec sheet or what was learned for devices without the model.
struct endpoint_figures {
  std::int64_t queue_ns = 0;    ///< Until it could start there; term_ns_max when closed.
  std::int64_t ready_ns = 0;    ///< When the prompts that are there will have been read, by the
                                ///< clock; the wait until then comes on top of queue_ns.
  std::int64_t behind_ns = 0;   ///< Least of that wait: the first of them is still being read,
                                ///< however late, and so long take the others.
  std::int64_t full_ns = 0;     ///< Until there is room for one that does not fit now.
  std::int64_t setup_ns = 0;    ///< Until the model is loaded there, compile included.
  std::int64_t again_ns = 0;    ///< Of reading what another has cached, for those who run there.
  std::int64_t exact_ns = 0;    ///< Penalty of resuming on another artifact or device model.
  std::uint32_t first_ns = 0;   ///< Of prefill, before any token.
  std::uint32_t prefill_ns = 0; ///< Per prompt token.
  std::uint32_t itl_ns = 0;     ///< Gap between tokens at the batch that one more would make.
  std::uint32_t step_ns = 0;    ///< Of this gap, what the one more adds.
  std::uint32_t read_ns = 0;    ///< Per prompt token, with nobody beside it.
  std::uint32_t shared_ns = 0;  ///< Of the engine's time for a token, its share if the model's load
                                ///< of late were all there, as far as there is room.
  std::uint32_t batch = 1;      ///< Sequences decoded together with it, itself included.
  std::uint32_t running = 0;    ///< Sequences there now, waiting and foreign ones included.
  std::uint32_t active_mw = 0;  ///< Power above idle while it works, milliwatts.
  std::uint32_t forgets_pm = 0; ///< Tokens read once more for each that is written to its cache.
  std::uint32_t price_micros = 0; ///< Money per hour, 1e-6 of the currency unit.
  std::uint32_t prompt_pico = 0;  ///< Money per prompt token, 1e-12 of the currency unit,
  std::uint32_t output_pico = 0;  ///< and per token written; both beside the price of the hour.
  bool staged = false;            ///< Prompts are read on another device than answers are written:
  std::uint32_t read_mw = 0;      ///< the power of that one,
  std::uint32_t read_price_micros = 0; ///< and its price.
  friend bool operator==(const endpoint_figures&, const endpoint_figures&) = default;
};

/// A score, or a part of one, as a function of the request's size. Lower is better.
struct linear_score {
  std::int64_t fixed = 0, per_prompt = 0, per_output = 0;
  std::int64_t ready_ns = 0;  ///< By the clock; the wait until then counts with the queue's weight.
  std::int64_t behind_ns = 0; ///< Least of that wait.

  /// Requires: every part within its bound.
  [[nodiscard]] std::int64_t of(std::int64_t prompt, std::int64_t output) const {
    return fixed + per_prompt * std::min(prompt, scored_tokens_max)
           + per_output * std::min(output, scored_tokens_max);
  }
  [[nodiscard]] std::int64_t of(work_size size) const {
    return of(size.prompt_tokens, size.output_tokens);
  }
  /// Becomes the floor under both: no score of either is lower.
  void join(const linear_score& other) {
    fixed = std::min(fixed, other.fixed);
    per_prompt = std::min(per_prompt, other.per_prompt);
    per_output = std::min(per_output, other.per_output);
    ready_ns = std::min(ready_ns, other.ready_ns);
    behind_ns = std::min(behind_ns, other.behind_ns);
  }
  friend bool operator==(const linear_score&, const linear_score&) = default;
};

/// Until the prompts there have been read. Requires: 0 <= behind_ns <= most.
inline std::int64_t wait_until(std::int64_t ready_ns, std::int64_t behind_ns, std::int64_t now_ns,
                               std::int64_t most) {
  return std::clamp<std::int64_t>(ready_ns - now_ns, behind_ns, most);
}

/// No free place: all outstanding work, spread over the sequences that do it.
inline std::int64_t queue_term(bool full, std::int64_t work_ns, std::uint32_t sequences) {
  return full ? std::clamp<std::int64_t>(work_ns / std::max<std::int64_t>(sequences, 1), 0,
                                         term_ns_max)
              : 0;
}

/// Prompt tokens that need no prefill: prompt * (blocks held / blocks of the prompt). Requires:
/// blocks > 0.
inline std::uint32_t saved_tokens(std::uint32_t prompt, std::uint32_t held, std::size_t blocks) {
  return static_cast<std::uint32_t>(std::uint64_t{prompt} * std::min<std::size_t>(held, blocks)
                                    / blocks);
}

/// A continuation that is the same text is worth waiting this long for.
inline constexpr std::int64_t inexact_penalty_ns = 1'000'000'000;

} // namespace consort::core
