// SPDX-License-Identifier: Apache-2.0
#include "scheduler/learning.hpp"

#include "scheduler/caches.hpp"
#include "scheduler/handlers.hpp"

#include <algorithm>

namespace consort::core {

namespace {

/// Sequences that ran beside the attempt and itself, sixteenths, in the mean of its life.
std::uint32_t mean_batch16(const request_row& r, const endpoint& at, time_us now) {
  const auto span = now - r.granted_at;
  if (span <= 0)
    return 16;
  const auto mean = (at.load_until(now) - r.load_begin) * 16 / span;
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(mean, 16, 65'536 * 16));
}

/// Our own attempts there and itself, likewise: its node shares the meter among them, however many
/// sequences each is, and leaves what strangers draw with them.
std::uint32_t mean_sharers16(const request_row& r, const endpoint& at, time_us now) {
  const auto span = now - r.granted_at;
  if (span <= 0)
    return 16;
  const auto mean = (at.attempts_until(now) - r.attempts_begin) * 16 / span;
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(mean, 16, 65'536 * 16));
}

void learn_length(model_state& model, const request_row& r, std::uint32_t tokens) {
  const auto closer = [&](std::int64_t& usual) {
    usual = std::clamp<std::int64_t>(robust_mean(usual, tokens), 1, limits::prompt_tokens_max);
  };
  closer(model.output_tokens);
  if (r.meta.tenant.empty())
    return;
  const auto known = model.lengths.find(r.meta.tenant);
  if (known != model.lengths.end())
    closer(known->second);
  else if (model.lengths.size() < limits::length_tenants_max)
    model.lengths.emplace(r.meta.tenant, tokens);
}

/// An engine that tells nothing of its queue shows it by a late first token.
void judge_window(core_state& s, const request_row& r, const attempt_measurement& measured) {
  auto& at = endpoint_of(s, r);
  if (at.told)
    return;
  const auto& pace = s.models[r.model].endpoints.pace(r.place);
  const auto expected_us
      = (std::int64_t{r.size.prompt_tokens} * pace.prefill_ns + pace.itl_ns) / 1000;
  if (s.models[r.model].endpoints.room(r.place).samples >= limits::explore_samples
      && measured.first_token_us
             > limits::window_slow_factor * std::max<duration_us>(expected_us, 1))
    at.overloaded(s.now);
  else
    at.ended_well();
}

/// What the engine said of its cache, and what it has written since.
void learn_cache(core_state& s, const request_row& r, const token_usage& usage) {
  auto& cache = s.instances[r.instance].cache;
  cache.write(usage.completion_tokens);
  if (r.meta.prefix_blocks.empty() && r.session == 0)
    return;
  cache.tells = cache.tells || usage.cached_tokens > 0;
  // What only a session told of is not the cache's fault when it is not there.
  const auto believed = std::clamp(usage.cached_tokens, r.saved - r.beyond, r.saved);
  if (cache.tells && !r.meta.prefix_blocks.empty())
    cache.learn(r.saved_age, believed, usage.cached_tokens);
  if (r.session != 0)
    remember_turn(s, r, usage);
}

/// Returns: whether decisions are to follow. What a plan draws is two devices' business.
bool learn_power_of(core_state& s, const request_row& r, const attempt_measurement& measured) {
  const auto& at = endpoint_of(s, r);
  if (at.plan || !measured.energy_mj)
    return false;
  auto& pair = s.pairs[at.pair];
  const auto sheet_mw = sheet_power_mw(s, s.instances[at.instance]);
  if (!learn_power(pair.power, measured, sheet_mw, mean_sharers16(r, at, s.now)))
    return false;
  s.models[r.model].pools.at(pair.kind).power_pm = pair.power.used_pm;
  return true;
}

/// Whether it came as its class is promised, since it was submitted.
bool was_in_time(const core_state& s, const request_row& r, const attempt_measurement& measured) {
  const auto& target = s.config.slo[static_cast<std::size_t>(r.meta.priority)];
  const auto fresh = measured.usage.prompt_tokens
                     - std::min(measured.usage.prompt_tokens, measured.usage.cached_tokens);
  const auto first_us = r.granted_at - r.submitted_at + measured.first_token_us;
  const auto gaps
      = std::max(measured.usage.completion_tokens / std::max(r.meta.choices, 1U), 2U) - 1;
  return first_us <= target.ttft_us + target.ttft_per_1000_us * std::int64_t{fresh} / 1000
         && measured.total_us - measured.first_token_us <= target.itl_us * std::int64_t{gaps};
}

} // namespace

void learn_from(pass& p, const request_row& r, const attempt_measurement& measured) {
  auto& s = p.s;
  auto& pair = s.pairs[r.pair];
  const bool was_closed = pair.fuse.state() == breaker_state::closed;
  if (!was_closed)
    breaker_closed(p, r.pair, "an attempt ended well there");
  pair.fuse.succeeded();
  s.instances[r.instance].proven = true;
  judge_window(s, r, measured);
  learn_cache(s, r, measured.usage);
  if (r.tokens == 0) { // It ended before anything of it was reported.
    endpoint_of(s, r).showed_life(r.held.sequences);
    pair.room.took(r.granted_at);
  }
  auto& model = s.models[r.model];
  if (measured.first_token_us > 0 && r.first_predicted_ns > 0)
    pair.first_error.saw(r.first_predicted_ns / 1000, measured.first_token_us);
  if (measured.first_token_us > 0)
    model.promises[static_cast<std::size_t>(r.meta.priority)].ended(r.predicted,
                                                                    was_in_time(s, r, measured));
  auto& pool = model.pools.at(pair.kind);
  const auto queue_ns = r.queue_seen_ns >= 0 ? r.queue_seen_ns : r.queue_predicted_ns;
  const auto& writes = model.endpoints.at(model.endpoints.writes_at(r.place));
  const auto batch16 = mean_batch16(r, writes, p.now);
  const attempt_context context{r.meta.choices, queue_ns, r.saved, batch16, r.batch_begin};
  if (learn(pool, pair.pace, measured, context)) {
    derive(pool, pair.pace, pair.speed);
    pair.speed.samples = std::min(pair.speed.samples + 1, limits::samples_max);
  }
  const auto completion = measured.usage.completion_tokens / std::max(r.meta.choices, 1U);
  if (completion > 0)
    learn_length(model, r, completion);
  if (learn_power_of(s, r, measured) || !was_closed)
    refresh_device(s, pair.device);
}

} // namespace consort::core
