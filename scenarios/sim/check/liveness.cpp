// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/check/liveness.hpp"

#include "scheduler/units.hpp"

namespace consort::sim {

void liveness_checker::on_end(const core::snapshot& seen, time_us now) {
  if (seen.requests.empty())
    return;
  // The oldest is what the others wait behind, or suffers what they suffer.
  const auto& oldest = seen.requests.front();
  std::string why = std::to_string(seen.requests.size()) + " requests never ended; the oldest, "
                    + oldest.external_id + " for " + oldest.model.value + ", is `" + oldest.state
                    + "` after " + format_duration(oldest.age_us) + " and "
                    + std::to_string(oldest.attempts) + " attempts";
  if (const auto told = explain_(oldest.external_id); told && !told->decisions.empty()) {
    const auto& last = told->decisions.back();
    why += ": " + last.outcome + (last.reason.empty() ? "" : ", " + last.reason);
    for (const auto& one : last.candidates)
      if (!one.removed_by.empty())
        why += "; " + one.device.value + ": " + one.reason;
  }
  violate(why + "; what is only slow needs a longer `settle`", now);
}

} // namespace consort::sim
