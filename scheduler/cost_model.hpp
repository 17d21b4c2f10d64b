// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Learned speed of one model on one device, in integers. Pure values.
///
/// What devices of one kind (vendor, device model) have in common for a model is one *pool*: the
/// time to a first token as a line over prompt tokens, the gap between tokens as a line over the
/// batch, and by how much a batch slows prefill. A device differs from its pool by two *factors*,
/// of prefill and of decode, which follow it quickly: throttled, shared with strangers, mended.
/// Seeded by the spec sheet; learned from every finished attempt.
///
///   first token = queue + factor * (fixed + per_token * fresh tokens) * (1 + (batch-1) * stall)
///   gap         = factor * (alone + growth * (batch-1))
///
/// Taken out of a sample first: the engine's queue if it tells, else the time until the prompt
/// before it had its first token, else the prefill that was ahead of it in our ledger; prompt
/// tokens served from the cache, also where the engine does not tell and the time says so; others
/// that ran beside it. Outliers count for at most twice what is believed; several in a row the same
/// way are no outliers.

#include "scheduler/line_fit.hpp"
#include "scheduler/requests.hpp"

namespace consort::core {

/// What one request needs of an engine.
struct work_size {
  std::uint32_t prompt_tokens = 0;
  std::uint32_t output_tokens = 0; ///< Expected, per sequence.
};

/// What is believed of a device now: what decisions compute with.
struct speed_estimate {
  std::uint32_t first_ns = 0;   ///< Before any prompt token.
  std::uint32_t prefill_ns = 0; ///< Per prompt token, alone.
  std::uint32_t stall_ppm = 0;  ///< Slower prefill per further sequence, millionths.
  std::uint32_t decode_ns = 0;  ///< Per token, one sequence alone.
  std::uint32_t gain_pm = 0;    ///< Growth of the gap per further sequence, per mille.
  duration_us load_us = 0;
  std::uint32_t samples = 0; ///< Attempts learned from.

  /// Gap between tokens with `batch` sequences together. Requires: batch >= 1.
  [[nodiscard]] std::uint32_t itl_ns(std::uint32_t batch) const;
  /// Prefill time per token, and before any, beside others. Requires: batch >= 1.
  [[nodiscard]] std::uint32_t prefill_ns_at(std::uint32_t batch) const;
  [[nodiscard]] std::uint32_t first_ns_at(std::uint32_t batch) const;
  /// Service time alone on the device, without queue or load.
  [[nodiscard]] std::int64_t service_ns(work_size size) const {
    return first_ns + std::int64_t{prefill_ns} * size.prompt_tokens
           + std::int64_t{decode_ns} * size.output_tokens;
  }
  friend bool operator==(const speed_estimate&, const speed_estimate&) = default;
};

/// How long a load may take: four times what the spec sheet says it usually does, or
/// limits::load_timeout_us longer than its runtimes wait, whichever is more; each figure counts for
/// at most limits::load_timeout_us_max.
[[nodiscard]] duration_us load_timeout(const device_spec& device);

/// From the spec sheet; unknown figures get guesses slower than any real accelerator.
[[nodiscard]] speed_estimate seeded_speed(const speed_spec& spec);

/// What devices of one kind have in common for one model.
struct speed_pool {
  speed_estimate sheet; ///< Seed of the first of them.
  line_fit first;       ///< Nanoseconds over fresh prompt tokens, alone.
  line_fit gap;         ///< Nanoseconds over further sequences, in parts.
  std::int64_t stall_ppm = 0;
  std::int64_t batch16 = 16; ///< Usual batch, sixteenths.
  std::uint32_t samples = 0;
  std::uint32_t power_pm = 1'000; ///< As learned last by one of them, for those that come.
};
[[nodiscard]] speed_pool seeded_pool(const speed_spec& spec);

/// How one device differs from its pool, per mille of its times.
struct device_pace {
  std::uint32_t prefill_pm = 1000, decode_pm = 1000;
  drift_watch prefill_drift, decode_drift;
  friend bool operator==(const device_pace&, const device_pace&) = default;
};
/// As its own spec sheet says.
[[nodiscard]] device_pace seeded_pace(const speed_pool& pool, const speed_spec& spec);

/// What the core knew of an attempt that the measurement does not say.
struct attempt_context {
  std::uint32_t choices = 1;
  std::int64_t queue_ns = 0; ///< How long others were read before it, as seen or predicted.
  std::uint32_t saved = 0;   ///< Prompt tokens that were thought to be cached there.
  std::uint32_t batch16 = 0; ///< Sequences beside it and itself over its life, sixteenths; 0 = as
                             ///< the measurement says.
  std::uint32_t batch_begin = 1; ///< When its ticket was issued, itself included.
};

/// Learns from one finished attempt. Returns: whether it said anything.
bool learn(speed_pool& pool, device_pace& pace, const attempt_measurement& measured,
           const attempt_context& context);
/// What pool and pace make together; load time and samples as they were.
void derive(const speed_pool& pool, const device_pace& pace, speed_estimate& into);

/// What one device draws above idle power for a model while it works, per mille of what its spec
/// sheet says (or of a guess of its kind, where that is silent). Learned of what attempts were
/// charged: energy is power for the attempt's time, shared by those who ran beside it.
struct power_estimate {
  std::uint32_t learned_pm = 1'000;
  std::uint32_t used_pm = 1'000; ///< What decisions compute with; follows by steps, so that scores
                                 ///< rest.
  std::uint32_t samples = 0;
  std::int64_t token_uj = 0; ///< Usual energy for a token written; 0 = unknown.
  friend bool operator==(const power_estimate&, const power_estimate&) = default;
};
/// Learns from one finished attempt that shared its device's meter among so many attempts, itself
/// included, sixteenths. Returns: whether `used_pm` changed. An attempt whose energy is unknown, or
/// too little to tell from nothing, says nothing.
bool learn_power(power_estimate& power, const attempt_measurement& measured, std::uint64_t sheet_mw,
                 std::uint32_t sharers16);
[[nodiscard]] inline std::uint64_t used_power_mw(const power_estimate& power,
                                                 std::uint64_t sheet_mw) {
  return sheet_mw * power.used_pm / 1'000;
}

/// One robust step of an integer mean: the sample is clamped to [mean/4, mean*4], weight 1/8.
[[nodiscard]] std::int64_t robust_mean(std::int64_t mean, std::int64_t sample);

/// Tokens per second of a per-token time; 0 when unknown.
[[nodiscard]] std::uint64_t rate_of(std::uint32_t ns_per_token);

/// Relative error of predictions, per mille of what was measured: how many there were, and its
/// median and 90th percentile, each followed by small steps that are larger while it is far off.
struct prediction_error {
  std::uint32_t count = 0;
  std::uint32_t p50_pm = 0, p90_pm = 0;
  /// Requires: measured > 0.
  void saw(std::int64_t predicted, std::int64_t measured);
  friend bool operator==(const prediction_error&, const prediction_error&) = default;
};

} // namespace consort::core
