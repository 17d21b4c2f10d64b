// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/check/ended_once.hpp"

#include <utility>

namespace consort::sim {

void ended_once_checker::on_submitted(const request_meta& meta, time_us) {
  requests_[meta.id].external_id = meta.external_id;
}

void ended_once_checker::on_event(const core::event& happened, time_us) {
  const auto* asked = std::get_if<core::request_submitted>(&happened);
  const auto* restored = std::get_if<core::request_restored>(&happened);
  if (!asked && !restored)
    return;
  const auto& id = (asked ? asked->meta : restored->meta).id;
  if (!closed_.contains(id)) // A link may say it again.
    requests_[id].told = true;
}

void ended_once_checker::on_command(const core::command& wanted, time_us now) {
  const auto* record = std::get_if<core::record_request>(&wanted);
  if (!record)
    return;
  const bool again = closed_.contains(record->request);
  const auto found = requests_.find(record->request);
  if (record->code == "gateway_lost" || record->code == "gateway_forgot") {
    if (found != requests_.end())
      found->second.given_up = true;
    else if (!again)
      violate("a request that nobody submitted was recorded: " + record->external_id, now);
  } else if (again || (found != requests_.end() && ++found->second.records > 1)) {
    violate("request " + record->external_id + " was recorded twice", now);
  } else if (found == requests_.end()) {
    violate("a request that nobody submitted was recorded: " + record->external_id, now);
  } else {
    close(record->request);
  }
}

void ended_once_checker::close(const request_id& id) {
  const auto found = requests_.find(id);
  if (found == requests_.end() || found->second.answers != 1 || found->second.records != 1)
    return;
  requests_.erase(found);
  closed_.insert(id);
}

void ended_once_checker::on_answered(const client_answer& ended, time_us now) {
  const auto found = requests_.find(ended.request);
  if (found == requests_.end())
    return violate(closed_.contains(ended.request)
                       ? "request " + std::to_string(ended.request.sequence) + " was answered twice"
                       : "a client that never asked was answered",
                   now);
  const auto& who = found->second.external_id;
  if (++found->second.answers > 1)
    violate("request " + who + " was answered twice", now);
  // Simulated token ids are positions, so a gap, a repeat and a swap all show.
  for (std::size_t at = 0; at < ended.token_ids.size(); ++at)
    if (ended.token_ids[at] != static_cast<std::int32_t>(at))
      return violate("the stream of request " + who + " has token "
                         + std::to_string(ended.token_ids[at]) + " in place " + std::to_string(at),
                     now);
  if (ended.outcome == request_outcome::finished && ended.token_ids.size() != ended.tokens_due)
    violate("request " + who + " finished with " + std::to_string(ended.token_ids.size()) + " of "
                + std::to_string(ended.tokens_due) + " tokens",
            now);
  if (found->second.records == 0)
    found->second.records = std::exchange(found->second.unheard, 0);
  close(ended.request);
}

void ended_once_checker::on_scheduler_lost(time_us) {
  for (auto& [id, one] : requests_)
    if (one.answers == 0 && one.records > 0)
      one.unheard = std::exchange(one.records, 0);
}

void ended_once_checker::on_scheduler_replaced(time_us) {
  for (auto& [id, one] : requests_) {
    one.excused = one.excused || (one.answers > 0 && one.records == 0);
    one.unheard = 0; // Whoever is still open is told of anew.
  }
}

void ended_once_checker::on_end(const core::snapshot&, time_us now) {
  for (const auto& [id, one] : requests_) {
    if (one.answers == 0)
      violate("request " + one.external_id + " was never answered", now);
    if (one.records == 0 && one.told && !one.given_up && !one.excused)
      violate("request " + one.external_id + " was never recorded", now);
  }
}

} // namespace consort::sim
