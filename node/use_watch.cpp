// SPDX-License-Identifier: Apache-2.0
#include "node/use_watch.hpp"

#include "node/limits.hpp"

#include <algorithm>

namespace consort::node {

namespace {

constexpr std::uint64_t flat_percent = 110; ///< Of the least power ever: nothing is going on.

} // namespace

std::uint32_t use_watch::idle_pm_max() {
  return 10;
}

bool use_watch::works(const device_reading& read) const {
  if (*read.utilization_pm > idle_pm_max())
    return true;
  // Some tools round a few short kernels away; they cannot hide what these draw.
  return read.power_mw && power_least_mw_ && *read.power_mw * 100 > *power_least_mw_ * flat_percent;
}

bool use_watch::look(time_us now, const engine_counters& engines, const device_reading& read) {
  if (read.power_mw)
    power_least_mw_ = std::min(power_least_mw_.value_or(*read.power_mw), *read.power_mw);
  const bool busy = engines.tokens > tokens_ && engines.sequences_running > 0;
  tokens_ = engines.tokens;
  if (!read.utilization_pm || !busy || works(read)) {
    since_.reset();
    readings_ = 0;
    return false;
  }
  since_ = since_.value_or(now);
  if (++readings_ < limits::unused_readings || now - *since_ < limits::unused_us)
    return false;
  since_.reset();
  readings_ = 0;
  return true;
}

} // namespace consort::node
