// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Learned speed of one model on one device, in integer nanoseconds per token. Pure values.
///
/// Assumptions: a prompt is prefilled at a constant rate; the gap between tokens grows by a
/// constant share per further sequence, ITL(b) = ITL(1) * (1 + (b-1) * gain). Algorithm: seeded by
/// the spec sheet, or by what other devices of the same SKU measured (the pool); then a weighted
/// mean with weight 1/8 over samples clamped to a factor of 4 around the current value, so that one
/// outlier moves it by at most three eighths. Time in the engine's own queue and cached prompt
/// tokens are taken out of a sample first.

#include "scheduler/requests.hpp"

namespace consort::core {

/// What one request needs of an engine.
struct work_size {
  std::uint32_t prompt_tokens = 0;
  std::uint32_t output_tokens = 0; ///< Expected, per sequence.
};

struct speed_estimate {
  std::uint32_t prefill_ns = 0; ///< Per prompt token.
  std::uint32_t decode_ns = 0;  ///< Per token, one sequence alone.
  std::uint32_t gain_pm = 0;    ///< Growth of the gap per further sequence, per mille.
  duration_us load_us = 0;
  std::uint32_t samples = 0; ///< Attempts learned from.

  /// Gap between tokens with `batch` sequences together. Requires: batch >= 1.
  [[nodiscard]] std::uint32_t itl_ns(std::uint32_t batch) const;
  /// Service time alone on the device, without queue or load.
  [[nodiscard]] std::int64_t service_ns(work_size size) const {
    return std::int64_t{prefill_ns} * size.prompt_tokens
           + std::int64_t{decode_ns} * size.output_tokens;
  }
  friend bool operator==(const speed_estimate&, const speed_estimate&) = default;
};

/// From the spec sheet; unknown figures get guesses slower than any real accelerator.
[[nodiscard]] speed_estimate seeded_speed(const speed_spec& spec);

/// Learns from one finished attempt of `choices` sequences. Returns: whether it said anything.
bool learn(speed_estimate& speed, const attempt_measurement& measured, std::uint32_t choices);

/// One robust step of an integer mean: the sample is clamped to [mean/4, mean*4], weight 1/8.
[[nodiscard]] std::int64_t robust_mean(std::int64_t mean, std::int64_t sample);

/// Tokens per second of a per-token time; 0 when unknown.
[[nodiscard]] std::uint64_t rate_of(std::uint32_t ns_per_token);

} // namespace consort::core
