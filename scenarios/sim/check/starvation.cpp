// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/check/starvation.hpp"

#include "scheduler/limits.hpp"
#include "scheduler/units.hpp"

#include <algorithm>

namespace consort::sim {

namespace {

/// For a pass that was decided before the older one began to starve.
constexpr duration_us slack_us = core::limits::second_us;

} // namespace

void starvation_checker::begin(const request_meta& meta, time_us now) {
  // Who may run where, and waits for what, is the policy's, too.
  const lane where{meta.model.value,
                   meta.selector + (meta.policy ? '\n' + meta.policy->value : std::string())};
  lanes_[meta.id] = where;
  waiting_[where][meta.id]
      = {now,           std::uint64_t{meta.prompt_tokens} + meta.max_tokens,      meta.external_id,
         meta.priority, meta.deadline_us ? now + *meta.deadline_us : no_deadline, 0};
}

bool starvation_checker::is_news(const request_id& request) {
  if (!told_.insert(request).second)
    return false;
  told_order_.push_back(request);
  if (told_order_.size() > told_max) {
    told_.erase(told_order_.front());
    told_order_.pop_front();
  }
  return true;
}

void starvation_checker::forget(const request_id& request) {
  const auto found = lanes_.find(request);
  if (found == lanes_.end())
    return;
  waiting_[found->second].erase(request);
  lanes_.erase(found);
}

void starvation_checker::on_event(const core::event& happened, time_us now) {
  if (const auto* asked = std::get_if<core::request_submitted>(&happened)) {
    if (is_news(asked->meta.id))
      begin(asked->meta, now);
  } else if (const auto* told = std::get_if<core::request_restored>(&happened)) {
    if (told->attempts == 0 && lanes_.count(told->meta.id) == 0)
      begin(told->meta, now); // A new scheduler counts from here.
  }
}

void starvation_checker::served(const request_id& request, time_us now) {
  const auto found = lanes_.find(request);
  if (found == lanes_.end())
    return;
  auto& beside = waiting_[found->second];
  const auto one = beside.find(request);
  // Ids grow with time, so the oldest come first.
  for (auto& [other, older] : beside) {
    if (other == request || one == beside.end() || older.since >= one->second.since)
      break;
    if (now - older.since <= core::limits::starvation_us + slack_us
        || older.tokens > one->second.tokens
        || now - one->second.since >= core::limits::starvation_us)
      continue;
    const bool oldest = other == beside.begin()->first;
    const bool in_turn
        = older.priority != one->second.priority || one->second.deadline < older.deadline;
    if (!in_turn || (oldest && ++older.passed > passes_max))
      return violate("request " + older.external_id + ", waiting for "
                         + format_duration(now - older.since) + ", was passed by "
                         + one->second.external_id,
                     now);
  }
}

void starvation_checker::give_turn(const ticket& granted) {
  const auto& request = granted.attempt.request;
  const auto& model = granted.model.value;
  for (auto at = waiting_.lower_bound({model, {}}); at != waiting_.end(); ++at) {
    if (at->first.first != model)
      return;
    auto& beside = at->second;
    if (beside.empty() || !(request < beside.begin()->first))
      continue;
    auto& passed = beside.begin()->second.passed;
    passed -= std::min(passed, core::limits::aged_every - 1);
  }
}

void starvation_checker::on_command(const core::command& wanted, time_us now) {
  if (const auto* granted = std::get_if<core::grant_ticket>(&wanted)) {
    if (!granted->hedge)
      give_turn(granted->granted);
    served(granted->granted.attempt.request, now);
    forget(granted->granted.attempt.request);
  } else if (const auto* refused = std::get_if<core::reject_request>(&wanted)) {
    forget(refused->request);
  } else if (const auto* record = std::get_if<core::record_request>(&wanted)) {
    forget(record->request);
  }
}

} // namespace consort::sim
