// SPDX-License-Identifier: Apache-2.0
#include "node/device_meter.hpp"

#include <algorithm>

namespace consort::node {

namespace {

constexpr std::uint64_t nanojoules_per_millijoule = 1'000'000; // mW times us is nJ.
constexpr std::uint64_t us_per_hour = 3'600'000'000;

void add(engine_counters& sum, const session_stats& one) {
  sum.tokens += one.tokens_generated_total;
  sum.steps += one.steps_total;
  sum.cancelled += one.cancelled_total;
  sum.stages_missed += one.stages_missed_total;
}

} // namespace

void device_meter::metered::add(std::uint64_t product, std::uint64_t per_unit) {
  rest += product;
  whole += rest / per_unit;
  rest %= per_unit;
}

void device_meter::count(std::map<instance_id, session_stats> engines) {
  for (const auto& [instance, last] : live_)
    if (!engines.contains(instance)) {
      add(ended_, last);
      ended_costs_ += last.cost_micros_total;
    }
  live_ = std::move(engines);
  counted_ = counted_ || !live_.empty();
}

void device_meter::pass(duration_us span, std::optional<std::uint64_t> power_mw) {
  const auto us = static_cast<std::uint64_t>(std::max<duration_us>(span, 0));
  cost_.add(rate_ * us, us_per_hour);
  if (!power_mw)
    return;
  powered_ = true;
  energy_.add(*power_mw * us, nanojoules_per_millijoule);
}

std::optional<engine_counters> device_meter::engines() const {
  if (!counted_)
    return std::nullopt;
  auto sum = ended_;
  for (const auto& [instance, one] : live_) {
    add(sum, one);
    sum.sequences_running += one.sequences_running;
  }
  return sum;
}

std::optional<std::uint64_t> device_meter::energy_mj() const {
  return powered_ ? std::optional(energy_.whole) : std::nullopt;
}

std::optional<std::uint64_t> device_meter::cost_micros() const {
  auto paid = ended_costs_;
  for (const auto& [instance, one] : live_)
    paid += one.cost_micros_total;
  return rate_ > 0 || paid > 0 ? std::optional(cost_.whole + paid) : std::nullopt;
}

} // namespace consort::node
