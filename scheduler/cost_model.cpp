// SPDX-License-Identifier: Apache-2.0
#include "scheduler/cost_model.hpp"

#include "scheduler/limits.hpp"

#include <algorithm>
#include <cstdlib>

namespace consort::core {

namespace {

constexpr std::int64_t ns_per_s = 1'000'000'000;
constexpr std::int64_t ns_per_us = 1'000;
constexpr std::int64_t token_ns_max = 1'000'000'000; ///< One token a second.
constexpr std::int64_t first_ns_max = 4'000'000'000;
constexpr std::int64_t prefill_guess_ns = 1'000'000;
constexpr std::int64_t decode_guess_ns = 50'000'000;
constexpr std::uint32_t gain_pm_max = 4'000;
constexpr std::int64_t stall_ppm_max = 1'000'000;
constexpr std::int64_t factor_pm_max = 50'000;
constexpr std::uint64_t energy_mj_max = 1'000'000'000'000; ///< More is not believed of an attempt.
constexpr std::int64_t energy_uj_min = 5'000; ///< Less cannot be told in whole millijoules.
/// Decisions follow once it is off by a quarter: a batch that changes while an attempt runs makes
/// its mean wrong by a tenth or two, more so of full engines.
constexpr std::int64_t power_steps = 4;
constexpr duration_us measured_us_max = 86'400 * limits::second_us; ///< Longer is not believed.
/// The spec sheet's line is believed at prompts of these lengths, and at these batches.
constexpr std::int64_t seed_tokens_low = 64, seed_tokens_high = 4'096;
constexpr std::int64_t seed_further_high = 16;
/// The line of gaps counts further sequences in parts, so that means of it are exact enough.
constexpr std::int64_t parts = 256;

std::uint32_t ns_of_rate(std::uint64_t per_s, std::int64_t guess) {
  if (per_s == 0)
    return static_cast<std::uint32_t>(guess);
  const auto capped = static_cast<std::int64_t>(std::min<std::uint64_t>(per_s, ns_per_s));
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(ns_per_s / capped, 1, token_ns_max));
}

bool credible(const attempt_measurement& measured) {
  return measured.first_token_us >= 0 && measured.total_us >= measured.first_token_us
         && measured.total_us <= measured_us_max && measured.engine_queue_us >= 0;
}

std::int64_t stalled(std::int64_t ns, std::int64_t stall_ppm, std::int64_t further16) {
  return ns + ns / 16 * further16 / 1'000'000 * stall_ppm
         + ns / 16 * further16 % 1'000'000 * stall_ppm / 1'000'000;
}

std::uint32_t capped(std::int64_t ns, std::int64_t most) {
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(ns, 1, most));
}

/// Follows the ratio of measured to predicted of one device.
void adapt(std::uint32_t& factor_pm, drift_watch& drift, std::int64_t ratio_pm) {
  const auto moved = drift.saw(ratio_pm);
  const auto clamped = moved != 1000 ? moved : std::clamp<std::int64_t>(ratio_pm, 700, 1'400);
  const auto step = moved != 1000 ? clamped - 1000 : (clamped - 1000) / 8;
  factor_pm = static_cast<std::uint32_t>(
      std::clamp<std::int64_t>(factor_pm + factor_pm * step / 1000, 20, factor_pm_max));
}

/// Prompt tokens that were really read: what the engine says was cached, else whichever of none and
/// all that we thought is nearer to the time that it took.
std::int64_t fresh_tokens(const speed_pool& pool, std::uint32_t factor_pm, const token_usage& usage,
                          const attempt_context& context, std::int64_t took_ns) {
  const auto prompt = std::min<std::int64_t>(usage.prompt_tokens, line_fit::x_max);
  if (usage.cached_tokens > 0 || context.saved == 0)
    return prompt - std::min<std::int64_t>(prompt, usage.cached_tokens);
  const auto rest = std::max<std::int64_t>(prompt - context.saved, 1);
  const auto off = [&](std::int64_t tokens) {
    return std::abs(pool.first.at(tokens) * factor_pm / 1000 - took_ns);
  };
  return off(rest) < off(prompt) ? rest : prompt;
}

bool learn_first(speed_pool& pool, device_pace& pace, const attempt_measurement& measured,
                 const attempt_context& context) {
  const auto queue_ns
      = measured.engine_queue_us > 0 ? measured.engine_queue_us * ns_per_us : context.queue_ns;
  const auto all_ns = measured.first_token_us * ns_per_us;
  // Mostly queue: what is left is the queue's error, not the prompt's time.
  if (all_ns - queue_ns <= all_ns / 4)
    return false;
  const auto further16 = std::int64_t{16} * (std::max(context.batch_begin, 1U) - 1);
  const auto stall = stalled(1'000'000, pool.stall_ppm, further16);
  const auto alone_ns = std::min((all_ns - queue_ns) / stall * 1'000'000
                                     + (all_ns - queue_ns) % stall * 1'000'000 / stall,
                                 line_fit::y_max);
  const auto fresh = fresh_tokens(pool, pace.prefill_pm, measured.usage, context, alone_ns);
  if (fresh <= 0 || fresh > line_fit::x_max || alone_ns <= 0)
    return false;
  const auto expected = std::max<std::int64_t>(pool.first.at(fresh) * pace.prefill_pm / 1000, 1);
  const auto ratio_pm = std::min<std::int64_t>(alone_ns * 1000 / expected, 100'000);
  // A batch above the usual that comes late says that batches stall more, one below that is early
  // says so too.
  const auto usual16 = pool.batch16 - 16;
  const auto apart = (further16 - usual16) * 64 / std::max<std::int64_t>(usual16 + further16, 16);
  pool.stall_ppm = std::clamp<std::int64_t>(
      pool.stall_ppm + std::clamp<std::int64_t>(ratio_pm - 1000, -300, 300) * apart / 64, 0,
      stall_ppm_max);
  pool.batch16 += (further16 + 16 - pool.batch16) / 16;
  // The device first: what is its own is not held against its kind.
  adapt(pace.prefill_pm, pace.prefill_drift, ratio_pm);
  pool.first.add(fresh,
                 std::clamp<std::int64_t>(alone_ns / pace.prefill_pm * 1000
                                              + alone_ns % pace.prefill_pm * 1000 / pace.prefill_pm,
                                          1, line_fit::y_max));
  return true;
}

bool learn_gap(speed_pool& pool, device_pace& pace, const attempt_measurement& measured,
               const attempt_context& context) {
  const auto gaps
      = std::int64_t{measured.usage.completion_tokens} / std::max(context.choices, 1U) - 1;
  const auto decode_us = measured.total_us - measured.first_token_us;
  if (gaps <= 0 || decode_us <= 0)
    return false;
  const auto batch16
      = context.batch16 != 0 ? context.batch16 : 16 * std::clamp(measured.batch, 1U, 65'536U);
  const auto further = (std::int64_t{std::max(batch16, 16U)} - 16) * (parts / 16);
  const auto gap_ns = std::clamp<std::int64_t>(decode_us * ns_per_us / gaps, 1, line_fit::y_max);
  const auto expected = std::max<std::int64_t>(pool.gap.at(further) * pace.decode_pm / 1000, 1);
  const auto ratio_pm = std::min<std::int64_t>(gap_ns * 1000 / expected, 100'000);
  adapt(pace.decode_pm, pace.decode_drift, ratio_pm);
  pool.gap.add(further,
               std::clamp<std::int64_t>(gap_ns * 1000 / pace.decode_pm, 1, line_fit::y_max));
  return true;
}

} // namespace

std::uint32_t speed_estimate::itl_ns(std::uint32_t batch) const {
  const auto further = std::int64_t{batch} - 1;
  const auto gap = std::int64_t{decode_ns} * (1000 + further * gain_pm) / 1000;
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(gap, 1, token_ns_max * 4));
}

std::uint32_t speed_estimate::prefill_ns_at(std::uint32_t batch) const {
  const auto further = std::int64_t{batch} - 1;
  return capped(prefill_ns + std::int64_t{prefill_ns} * stall_ppm / 1000 * further / 1000,
                token_ns_max);
}

std::uint32_t speed_estimate::first_ns_at(std::uint32_t batch) const {
  if (first_ns == 0)
    return 0;
  const auto further = std::int64_t{batch} - 1;
  return capped(first_ns + std::int64_t{first_ns} * stall_ppm / 1000 * further / 1000,
                first_ns_max);
}

duration_us load_timeout(const device_spec& device) {
  const auto usual = std::min(device.spec.load_us, limits::load_timeout_us_max / 4);
  // The node gives up by itself then; before that it reads and checks files, which is not counted.
  const auto limit = std::min(device.capability.load_limit_us, limits::load_timeout_us_max);
  return std::max(usual * 4, limit + limits::load_timeout_us);
}

speed_estimate seeded_speed(const speed_spec& spec) {
  speed_estimate seeded;
  seeded.prefill_ns = ns_of_rate(spec.prefill_tokens_per_s, prefill_guess_ns);
  seeded.decode_ns = ns_of_rate(spec.decode_tokens_per_s, decode_guess_ns);
  seeded.gain_pm = std::min(spec.decode_batch_gain_pm, gain_pm_max);
  seeded.load_us = spec.load_us > 0 ? std::min(spec.load_us, limits::load_timeout_us_max)
                                    : limits::load_guess_us;
  return seeded;
}

speed_pool seeded_pool(const speed_spec& spec) {
  speed_pool made;
  made.sheet = seeded_speed(spec);
  made.first.seed(0, made.sheet.prefill_ns, seed_tokens_low, seed_tokens_high);
  made.gap.seed(made.sheet.decode_ns,
                std::int64_t{made.sheet.decode_ns} * made.sheet.gain_pm / 1'000 / parts, 0,
                seed_further_high * parts);
  return made;
}

device_pace seeded_pace(const speed_pool& pool, const speed_spec& spec) {
  const auto own = seeded_speed(spec);
  const auto ratio = [](std::int64_t one, std::int64_t other) {
    return static_cast<std::uint32_t>(std::clamp<std::int64_t>(
        (one * 1000 + other / 2) / std::max<std::int64_t>(other, 1), 20, factor_pm_max));
  };
  device_pace made;
  made.prefill_pm = ratio(own.prefill_ns, pool.sheet.prefill_ns);
  made.decode_pm = ratio(own.decode_ns, pool.sheet.decode_ns);
  return made;
}

bool learn(speed_pool& pool, device_pace& pace, const attempt_measurement& measured,
           const attempt_context& context) {
  if (!credible(measured))
    return false;
  const bool first = learn_first(pool, pace, measured, context);
  const bool gap = learn_gap(pool, pace, measured, context);
  if (first || gap)
    pool.samples = std::min(pool.samples + 1, limits::samples_max);
  return first || gap;
}

void derive(const speed_pool& pool, const device_pace& pace, speed_estimate& into) {
  const auto by = [](std::int64_t ns, std::uint32_t factor_pm) {
    return ns / 1000 * factor_pm + ns % 1000 * factor_pm / 1000;
  };
  const auto first = by(pool.first.fixed(), pace.prefill_pm);
  into.first_ns = static_cast<std::uint32_t>(std::clamp<std::int64_t>(first, 0, first_ns_max));
  into.prefill_ns = capped(by(pool.first.slope_milli(), pace.prefill_pm) / 1000, token_ns_max);
  into.stall_ppm = static_cast<std::uint32_t>(pool.stall_ppm);
  // Where only large batches are seen, the line may meet zero at a batch of none.
  const auto growth_milli = pool.gap.slope_milli() * parts;
  const auto alone = std::max<std::int64_t>({pool.gap.fixed(), growth_milli / gain_pm_max, 1});
  into.decode_ns = capped(by(alone, pace.decode_pm), token_ns_max);
  into.gain_pm
      = static_cast<std::uint32_t>(std::clamp<std::int64_t>(growth_milli / alone, 0, gain_pm_max));
}

bool learn_power(power_estimate& power, const attempt_measurement& measured, std::uint64_t sheet_mw,
                 std::uint32_t sharers16) {
  if (!measured.energy_mj || !credible(measured))
    return false;
  const auto drawn_uj
      = static_cast<std::int64_t>(std::min(*measured.energy_mj, energy_mj_max)) * 1'000;
  const auto alone_us = measured.total_us * 16 / std::max(sharers16, 16U);
  const auto believed_mw = static_cast<std::int64_t>(std::min(sheet_mw, limits::power_mw_max));
  const auto sheet_uj = alone_us / 1'000 * believed_mw + alone_us % 1'000 * believed_mw / 1'000;
  if (sheet_uj < energy_uj_min)
    return false;
  const auto ratio_pm = std::clamp<std::int64_t>(drawn_uj * 1'000 / sheet_uj, limits::power_pm_min,
                                                 limits::power_pm_max);
  // The first ones count alike: a guess of a kind may be off by more than a robust mean believes.
  const auto known = std::int64_t{power.samples};
  const auto mean = power.samples < limits::explore_samples
                        ? (power.learned_pm * known + ratio_pm) / (known + 1)
                        : robust_mean(power.learned_pm, ratio_pm);
  power.learned_pm = static_cast<std::uint32_t>(
      std::clamp<std::int64_t>(mean, limits::power_pm_min, limits::power_pm_max));
  power.samples = std::min(power.samples + 1, limits::samples_max);
  if (const auto written = measured.usage.completion_tokens; written > 0)
    power.token_uj = robust_mean(power.token_uj, std::max<std::int64_t>(drawn_uj / written, 1));
  const auto apart = std::abs(std::int64_t{power.learned_pm} - power.used_pm);
  if (power.samples < limits::explore_samples || apart * power_steps < power.used_pm)
    return false;
  power.used_pm = power.learned_pm;
  return true;
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

void prediction_error::saw(std::int64_t predicted, std::int64_t measured) {
  const auto off = std::abs(predicted - measured);
  const auto error_pm = static_cast<std::uint32_t>(std::min<std::int64_t>(
      measured > 0 ? off / std::max<std::int64_t>(measured / 1000, 1) : 0, 100'000));
  if (count == 0)
    p50_pm = p90_pm = error_pm;
  count = std::min(count + 1, limits::samples_max);
  // A quantile rests where steps up and down cancel out: 1 to 1, and 9 to 1.
  const auto moved = [&](std::uint32_t at, std::uint32_t up, std::uint32_t down) {
    const auto unit = std::max(at / 100, 1U);
    return error_pm > at ? at + unit * up : at - std::min(unit * down, at);
  };
  p50_pm = moved(p50_pm, 2, 2);
  p90_pm = moved(p90_pm, 9, 1);
}

} // namespace consort::core
