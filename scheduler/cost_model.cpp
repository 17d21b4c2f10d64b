// SPDX-License-Identifier: Apache-2.0
#include "scheduler/cost_model.hpp"

#include "scheduler/limits.hpp"

#include <algorithm>

namespace consort::core {

namespace {

constexpr std::int64_t ns_per_s = 1'000'000'000;
constexpr std::int64_t ns_per_us = 1'000;
constexpr std::int64_t token_ns_max = 1'000'000'000; ///< One token a second.
constexpr std::int64_t prefill_guess_ns = 1'000'000;
constexpr std::int64_t decode_guess_ns = 50'000'000;
constexpr std::uint32_t gain_pm_max = 4'000;
constexpr duration_us measured_us_max = 86'400 * limits::second_us; ///< Longer is not believed.

std::uint32_t ns_of_rate(std::uint64_t per_s, std::int64_t guess) {
  if (per_s == 0)
    return static_cast<std::uint32_t>(guess);
  const auto capped = static_cast<std::int64_t>(std::min<std::uint64_t>(per_s, ns_per_s));
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(ns_per_s / capped, 1, token_ns_max));
}

std::uint32_t stepped(std::uint32_t mean, std::int64_t sample) {
  return static_cast<std::uint32_t>(
      std::clamp<std::int64_t>(robust_mean(mean, sample), 1, token_ns_max));
}

bool credible(const attempt_measurement& measured) {
  return measured.first_token_us >= 0 && measured.total_us >= measured.first_token_us
         && measured.total_us <= measured_us_max && measured.engine_queue_us >= 0;
}

/// The gap at `batch` splits into ITL(1) and growth: alone it teaches the first, together the
/// second, each with the other held fixed.
void learn_gap(speed_estimate& speed, std::int64_t gap_ns, std::uint32_t batch) {
  if (batch <= 1) {
    speed.decode_ns = stepped(speed.decode_ns, gap_ns);
    return;
  }
  const auto alone = std::int64_t{speed.decode_ns};
  const auto growth
      = std::clamp<std::int64_t>((gap_ns - alone) * 1000 / (alone * (batch - 1)), 0, gain_pm_max);
  speed.gain_pm = static_cast<std::uint32_t>((std::int64_t{speed.gain_pm} * 7 + growth) / 8);
  // A gap that even no growth cannot explain says that ITL(1) itself is off.
  if (gap_ns < alone)
    speed.decode_ns = stepped(speed.decode_ns, gap_ns);
}

} // namespace

std::uint32_t speed_estimate::itl_ns(std::uint32_t batch) const {
  const auto further = std::int64_t{batch} - 1;
  const auto gap = std::int64_t{decode_ns} * (1000 + further * gain_pm) / 1000;
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(gap, 1, token_ns_max * 4));
}

speed_estimate seeded_speed(const speed_spec& spec) {
  speed_estimate seeded;
  seeded.prefill_ns = ns_of_rate(spec.prefill_tokens_per_s, prefill_guess_ns);
  seeded.decode_ns = ns_of_rate(spec.decode_tokens_per_s, decode_guess_ns);
  seeded.gain_pm = std::min(spec.decode_batch_gain_pm, gain_pm_max);
  seeded.load_us
      = spec.load_us > 0 ? std::min(spec.load_us, limits::load_timeout_us) : limits::load_guess_us;
  return seeded;
}

bool learn(speed_estimate& speed, const attempt_measurement& measured, std::uint32_t choices) {
  if (!credible(measured))
    return false;
  const auto& usage = measured.usage;
  const auto fresh
      = std::int64_t{usage.prompt_tokens} - std::min(usage.prompt_tokens, usage.cached_tokens);
  const auto prefill_us = measured.first_token_us - measured.engine_queue_us;
  bool learned = false;
  if (fresh > 0 && prefill_us > 0) {
    speed.prefill_ns = stepped(speed.prefill_ns, prefill_us * ns_per_us / fresh);
    learned = true;
  }
  const auto gaps = std::int64_t{usage.completion_tokens} / std::max(choices, 1U) - 1;
  const auto decode_us = measured.total_us - measured.first_token_us;
  if (gaps > 0 && decode_us > 0) {
    learn_gap(speed, decode_us * ns_per_us / gaps, std::min(measured.batch, 65'536U));
    learned = true;
  }
  if (learned && speed.samples < limits::explore_samples * 1'000)
    ++speed.samples;
  return learned;
}

std::int64_t robust_mean(std::int64_t mean, std::int64_t sample) {
  if (mean <= 0)
    return sample;
  // Rounded away from the mean, so that it arrives instead of stopping seven short.
  const auto step = std::clamp(sample, mean / 4, mean * 4) - mean;
  return mean + (step + (step > 0 ? 7 : -7)) / 8;
}

std::uint64_t rate_of(std::uint32_t ns_per_token) {
  return ns_per_token == 0 ? 0 : static_cast<std::uint64_t>(ns_per_s) / ns_per_token;
}

} // namespace consort::core
