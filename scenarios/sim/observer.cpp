// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/observer.hpp"

#include "scheduler/units.hpp"

namespace consort::sim {

void checker::violate(const std::string& what, time_us now) {
  if (!violation_)
    violation_ = what + " (at " + format_duration(now) + ")";
}

} // namespace consort::sim
