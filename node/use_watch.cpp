// SPDX-License-Identifier: Apache-2.0
#include "node/use_watch.hpp"

#include "node/limits.hpp"

#include <algorithm>
#include <utility>

namespace consort::node {

namespace {

constexpr std::uint64_t flat_percent = 110; ///< Of the least power: nothing is going on.
constexpr std::uint64_t held_percent = 103; ///< The same where engines have opened the device.
constexpr std::uint64_t rest_times_max = 2; ///< Of the spec sheet's idle power: it may rest.

bool at_most(std::uint64_t power_mw, std::uint64_t least_mw, std::uint64_t percent = flat_percent) {
  return power_mw * 100 <= least_mw * percent;
}

} // namespace

std::uint32_t use_watch::idle_pm_max() {
  return 10;
}

/// What it drew, by its own word or since the last reading. No board draws nothing: one that says
/// so could not be read.
std::optional<std::uint64_t> use_watch::power_of(time_us now, const device_reading& read) {
  std::optional<std::uint64_t> power;
  if (read.energy_mj) {
    const auto before = std::exchange(energy_, std::pair(now, *read.energy_mj));
    if (before && now > before->first && *read.energy_mj > before->second)
      power = static_cast<std::uint64_t>(static_cast<double>(*read.energy_mj - before->second)
                                         * static_cast<double>(limits::second_us)
                                         / static_cast<double>(now - before->first));
  }
  return read.power_mw.value_or(0) > 0 ? read.power_mw : power;
}

/// Requires: no engine had anything to do. `unused`: utilization was read, and is zero.
void use_watch::rests(std::uint64_t power_mw, bool unused) {
  if (unused && !open_.empty()) {
    held_mw_.push_back(power_mw);
    if (held_mw_.size() > limits::rest_readings)
      held_mw_.pop_front();
  }
  rest_least_mw_ = rest_readings_ == 0 ? power_mw : std::min(rest_least_mw_, power_mw);
  rest_most_mw_ = std::max(rest_most_mw_, power_mw);
  if (rest_readings_ < limits::rest_readings)
    ++rest_readings_;
}

/// Whether power alone shows that nothing is going on.
bool use_watch::flat(std::uint64_t power_mw, std::uint64_t idle_mw) const {
  return rest_readings_ >= limits::rest_readings && rest_most_mw_ > rest_least_mw_
         && rest_least_mw_ <= idle_mw * rest_times_max && at_most(power_mw, rest_least_mw_);
}

use_watch::proof use_watch::weigh(const device_reading& read, std::optional<std::uint64_t> power,
                                  std::uint64_t idle_mw) const {
  if (!read.utilization_pm)
    return power && flat(*power, idle_mw) ? proof::weak : proof::none;
  // Some tools round a few short kernels away; they cannot hide what these draw.
  if (*read.utilization_pm <= idle_pm_max() && (!power || at_most(*power, *power_least_mw_)))
    return proof::full;
  const bool held
      = *read.utilization_pm == 0 && power && held_mw_.size() == limits::rest_readings
        && at_most(*power, *std::min_element(held_mw_.begin(), held_mw_.end()), held_percent);
  return held ? proof::weak : proof::none;
}

void use_watch::begin_anew() {
  since_.reset();
  readings_ = 0;
  weak_ = false;
}

bool use_watch::look(time_us now, const engine_counters& engines, const device_reading& read,
                     std::uint64_t idle_mw, const std::set<instance_id>& open) {
  if (open != open_) { // Others draw other power.
    open_ = open;
    held_mw_.clear();
  }
  const auto power = power_of(now, read);
  if (power)
    power_least_mw_ = std::min(power_least_mw_.value_or(*power), *power);
  const bool made = engines.tokens > std::exchange(tokens_, engines.tokens);
  if (power && !made && engines.sequences_running == 0)
    rests(*power, read.utilization_pm == 0U);
  const auto unused = weigh(read, power, idle_mw);
  if (!made || engines.sequences_running == 0 || unused == proof::none) {
    begin_anew();
    return false;
  }
  since_ = since_.value_or(now);
  weak_ = weak_ || unused == proof::weak;
  if (++readings_ < (weak_ ? limits::unused_blind_readings : limits::unused_readings)
      || now - *since_ < (weak_ ? limits::unused_blind_us : limits::unused_us))
    return false;
  begin_anew();
  return true;
}

} // namespace consort::node
