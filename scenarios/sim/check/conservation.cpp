// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/check/conservation.hpp"

namespace consort::sim {

void conservation_checker::heard(const request_id& request) {
  if (!closed_.contains(request))
    submitted_ += open_.insert(request).second ? 1U : 0U;
}

void conservation_checker::on_event(const core::event& happened, time_us) {
  if (const auto* asked = std::get_if<core::request_submitted>(&happened))
    heard(asked->meta.id);
  if (const auto* asked = std::get_if<core::request_restored>(&happened))
    heard(asked->meta.id);
}

void conservation_checker::on_scheduler_lost(time_us) {
  open_.clear();
  closed_.clear();
  submitted_ = recorded_ = 0;
}

void conservation_checker::on_command(const core::command& wanted, time_us now) {
  const auto* record = std::get_if<core::record_request>(&wanted);
  if (record == nullptr)
    return;
  open_.erase(record->request);
  // A gateway that the core gave up may come back, and its requests with it.
  if (record->code != "gateway_lost" && record->code != "gateway_forgot")
    closed_.insert(record->request);
  if (++recorded_ > submitted_)
    violate("more requests ended than were submitted", now);
}

void conservation_checker::on_end(const core::snapshot& seen, time_us now) {
  const auto& counted = seen.counters;
  const auto ended
      = counted.finished + counted.failed + counted.cancelled + counted.rejected + counted.expired;
  if (counted.submitted != submitted_ || ended != counted.submitted || recorded_ != submitted_)
    violate(std::to_string(submitted_) + " submitted, the core counts "
                + std::to_string(counted.submitted) + " submitted and " + std::to_string(ended)
                + " ended, " + std::to_string(recorded_) + " were recorded",
            now);
  for (const auto& replica : seen.replicas)
    if (replica.running != 0 || replica.kv_tokens_reserved != 0)
      violate("a reservation is left on " + replica.leader.value, now);
  if (!seen.requests.empty() || seen.queue_depth != 0)
    violate(std::to_string(seen.requests.size()) + " requests are still inside the core", now);
}

} // namespace consort::sim
