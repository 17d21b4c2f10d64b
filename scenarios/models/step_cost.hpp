// SPDX-License-Identifier: Apache-2.0
#pragma once
/// How long one step of a continuous-batching engine takes: the one question that device models of
/// every fidelity answer. Standard library only. Implementations are immutable after construction
/// and may be shared between engines and threads. Times in microseconds, as doubles: a step is
/// often a fraction of one.

#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

namespace consort::sim {

/// A piece of a prompt prefilled in one step.
struct prefill_chunk {
  std::uint32_t tokens = 0;
  std::uint32_t past = 0; ///< Tokens of the sequence that are in the KV cache already.
};

/// What one step works on.
struct step_load {
  std::uint32_t decoding = 0;        ///< Sequences that get one token each.
  std::uint64_t decode_kv = 0;       ///< Tokens in their KV caches together.
  std::vector<prefill_chunk> chunks; ///< Of prompts, beside them.
  std::uint32_t rows = 0;            ///< Sequences whose next token is sampled.

  [[nodiscard]] std::uint32_t prefill_tokens() const {
    std::uint32_t sum = 0;
    for (const auto& one : chunks)
      sum += one.tokens;
    return sum;
  }
};

/// Time of a decode-only step as a line over the KV tokens read: base + slope * decode_kv, good for
/// `decode_kv` below `until`. What macro-steps integrate in closed form.
struct decode_line {
  double base_us = 0;
  double slope_us = 0;
  double until = std::numeric_limits<double>::infinity();
};

class step_cost {
public:
  virtual ~step_cost() = default;
  /// Of any step that works on something. Above 0.
  [[nodiscard]] virtual double step_us(const step_load& load) const = 0;
  /// Of a step without prefill. Requires: decoding >= 1. The line passes through `decode_kv`.
  [[nodiscard]] virtual decode_line line_of(std::uint32_t decoding, double decode_kv) const = 0;
  /// Share of the board's power range that such a step draws, 0 to 1.
  [[nodiscard]] virtual double intensity(const step_load& load) const = 0;
};

using step_cost_ptr = std::shared_ptr<const step_cost>;

} // namespace consort::sim
