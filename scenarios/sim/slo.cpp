// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/slo.hpp"

#include <algorithm>
#include <utility>

namespace consort::sim {

void slo_watcher::on_submitted(const request_meta& meta, time_us now) {
  auto& one = live_[meta.id];
  one.submitted_at = now;
  one.first_us_max = bounds_.ttft_us + bounds_.ttft_per_1k_us * meta.prompt_tokens / 1'000;
  one.model = &starts_[meta.model.value];
  one.counted = !one.model->ready;
  one.early = one.counted || one.model->waiting > 0;
  one.model->waiting += one.counted ? 1U : 0U;
  ++arrivals_;
}

void slo_watcher::on_command(const core::command& wanted, time_us) {
  if (const auto* load = std::get_if<core::load_replica>(&wanted))
    loading_[load->instance] = load->model.value;
}

void slo_watcher::on_event(const core::event& happened, time_us) {
  if (const auto* failed = std::get_if<core::replica_failed>(&happened)) {
    loading_.erase(failed->instance);
  } else if (const auto* loaded = std::get_if<core::replica_loaded>(&happened)) {
    if (const auto found = loading_.find(loaded->instance); found != loading_.end()) {
      starts_[found->second].ready = true;
      loading_.erase(found);
    }
  }
}

void slo_watcher::wait_no_more(course& one) {
  one.model->waiting -= std::exchange(one.counted, false) ? 1U : 0U;
}

void slo_watcher::on_tokens(const request_id& request, const device_id&, std::uint32_t count,
                            time_us now) {
  const auto found = live_.find(request);
  if (found == live_.end())
    return;
  auto& one = found->second;
  if (one.tokens == 0) {
    one.first_at = now;
    wait_no_more(one);
  } else {
    one.gap_us = std::max(one.gap_us, now - one.last_at);
  }
  one.tokens += count;
  one.last_at = now;
}

bool slo_watcher::kept(const course& one) const {
  if (one.tokens == 0)
    return false;
  const auto within
      = [](duration_us value, duration_us bound) { return bound == 0 || value <= bound; };
  const auto gaps = std::max<duration_us>(one.tokens - 1, 1);
  return within(one.first_at - one.submitted_at, one.first_us_max)
         && within((one.last_at - one.first_at) / gaps, bounds_.itl_us)
         && within(one.gap_us, bounds_.gap_us);
}

void slo_watcher::on_answered(const client_answer& ended, time_us) {
  const auto found = live_.find(ended.request);
  if (found == live_.end())
    return;
  auto& one = found->second;
  wait_no_more(one);
  if (ended.outcome == request_outcome::cancelled)
    --arrivals_;
  else if (ended.outcome == request_outcome::finished && kept(one))
    ++kept_;
  else
    early_misses_ += one.early ? 1U : 0U;
  live_.erase(found);
}

std::optional<double> slo_watcher::attainment() const {
  if (arrivals_ == 0)
    return std::nullopt;
  return static_cast<double>(kept_) / static_cast<double>(arrivals_);
}

} // namespace consort::sim
