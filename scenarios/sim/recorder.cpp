// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/recorder.hpp"

namespace consort::sim {

request_result& recorder::result_of(const request_id& request) {
  return summary_.requests.at(places_.at(request));
}

void recorder::on_submitted(const request_meta& meta, time_us now) {
  places_[meta.id] = summary_.requests.size();
  auto& made = summary_.requests.emplace_back();
  made.external_id = meta.external_id;
  made.model = meta.model.value;
  made.submitted_at = now;
  made.prompt_tokens = meta.prompt_tokens;
}

void recorder::on_command(const core::command& wanted, time_us) {
  auto& counts = summary_.counts;
  counts.builds += std::holds_alternative<core::start_compile>(wanted) ? 1U : 0U;
  counts.loads += std::holds_alternative<core::load_replica>(wanted) ? 1U : 0U;
  const auto* granted = std::get_if<core::grant_ticket>(&wanted);
  if (!granted || places_.count(granted->granted.attempt.request) == 0)
    return;
  const auto& attempt = granted->granted.attempt;
  auto& one = result_of(attempt.request);
  // The last ticket wins: that is where the request ended up.
  one.attempts = attempt.number;
  one.device = granted->granted.device.value;
  counts.failovers += attempt.number > 1 ? 1U : 0U;
  counts.resumes += granted->resumed ? 1U : 0U;
}

void recorder::on_tokens(const request_id& request, const device_id& device, std::uint32_t count,
                         time_us now) {
  auto& one = result_of(request);
  one.completion_tokens += count;
  summary_.device_tokens[device.value] += count;
  if (!one.first_token_at)
    one.first_token_at = now;
  else if (!gathered_)
    // A gap over a failover counts like any other: the client feels it.
    summary_.token_gaps.add(now - last_token_[request], count);
  if (!gathered_)
    last_token_[request] = now;
}

void recorder::on_gaps(duration_us gap, std::uint64_t count) {
  summary_.token_gaps.add(gap, count);
}

void recorder::on_answered(const client_answer& ended, time_us now) {
  auto& one = result_of(ended.request);
  one.ended_at = now;
  one.outcome = ended.outcome;
  one.code = ended.code;
  last_token_.erase(ended.request);
}

} // namespace consort::sim
