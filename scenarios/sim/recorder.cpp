// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/recorder.hpp"

#include <algorithm>
#include <utility>

namespace consort::sim {

request_result& recorder::result_of(live& one) {
  return one.place < limits::records_max ? summary_.requests[one.place] : one.apart;
}

void recorder::on_submitted(const request_meta& meta, time_us now) {
  auto& one = live_[meta.id];
  one.place = std::min(summary_.requests.size(), limits::records_max);
  if (one.place < limits::records_max)
    summary_.requests.emplace_back();
  else
    ++summary_.further.requests;
  auto& made = result_of(one);
  made.external_id = meta.external_id;
  made.model = meta.model.value;
  made.submitted_at = now;
  made.prompt_tokens = meta.prompt_tokens;
}

namespace {

/// `npu` of `node/npu0`.
std::string kind_of(const device_id& device) {
  auto kind = device.value.substr(device.value.find('/') + 1);
  kind.erase(kind.find_last_not_of("0123456789") + 1);
  return kind;
}

} // namespace

void recorder::end_build(compile_id which, time_us now) {
  const auto found = builds_.find(which);
  if (found == builds_.end())
    return;
  const auto took = now - found->second.began_at;
  summary_.counts.build_us += took;
  summary_.counts.build_us_most = std::max(summary_.counts.build_us_most, took);
  builds_.erase(found);
}

void recorder::on_event(const core::event& happened, time_us now) {
  if (const auto* finished = std::get_if<core::attempt_finished>(&happened)) {
    summary_.counts.prompt_tokens += finished->measured.usage.prompt_tokens;
    summary_.counts.cached_tokens += finished->measured.usage.cached_tokens;
  } else if (const auto* report = std::get_if<core::device_reported>(&happened)) {
    see_report(*report);
  } else if (const auto* device = std::get_if<core::device_advertised>(&happened)) {
    auto& known = reports_[device->spec.id.value];
    known.node = device->spec.node;
    known.remote = device->spec.type == resource_type::remote;
  } else if (const auto* built = std::get_if<core::compile_finished>(&happened)) {
    end_build(built->compile, now);
  } else if (const auto* failed = std::get_if<core::compile_failed>(&happened)) {
    end_build(failed->compile, now);
  } else if (const auto* lost = std::get_if<core::node_lost>(&happened)) {
    for (auto at = builds_.begin(); at != builds_.end();) {
      const auto which = at++;
      if (which->second.node == lost->node)
        end_build(which->first, now);
    }
    for (auto& [name, known] : reports_)
      if (known.node == lost->node)
        power_mw_ -= std::exchange(known.power_mw, 0);
  }
}

void recorder::see_report(const core::device_reported& report) {
  auto& known = reports_[report.device.value];
  if (known.life != report.life) {
    known.life = report.life;
    known.energy_mj = known.charged_mj = known.idle_mj = known.micros = 0;
  }
  // Not below 0: a report that comes twice may come late.
  const auto gained = [](std::uint64_t& seen, const std::optional<std::uint64_t>& told) {
    const auto before = std::exchange(seen, std::max(seen, told.value_or(0)));
    return static_cast<double>(seen - before);
  };
  auto& spent = summary_.spent;
  ++spent.reports;
  spent.energy_mj += gained(known.energy_mj, report.reading.energy_mj);
  spent.charged_mj += gained(known.charged_mj, report.reading.charged_mj);
  spent.idle_mj += gained(known.idle_mj, report.reading.idle_mj);
  const auto micros = gained(known.micros, report.reading.cost_micros);
  spent.micros += micros;
  spent.remote_micros += known.remote ? micros : 0;
  power_mw_ -= std::exchange(known.power_mw, report.reading.power_mw.value_or(0));
  power_mw_ += known.power_mw;
  spent.power_mw_max = std::max(spent.power_mw_max, power_mw_);
}

void recorder::on_command(const core::command& wanted, time_us now) {
  auto& counts = summary_.counts;
  if (const auto* started = std::get_if<core::start_compile>(&wanted)) {
    ++counts.builds;
    end_build(started->compile, now); // A scheduler that begins anew counts from 1 again.
    builds_[started->compile] = {started->node, now};
  } else if (const auto* cancelled = std::get_if<core::cancel_compile>(&wanted)) {
    end_build(cancelled->compile, now);
  }
  counts.loads += std::holds_alternative<core::load_replica>(wanted) ? 1U : 0U;
  const auto* granted = std::get_if<core::grant_ticket>(&wanted);
  if (!granted)
    return;
  const auto& attempt = granted->granted.attempt;
  const auto found = live_.find(attempt.request);
  if (found == live_.end())
    return;
  auto& one = result_of(found->second);
  // The last ticket wins: that is where the request ended up.
  one.attempts = attempt.number;
  one.device = granted->granted.device.value;
  counts.hedges += granted->hedge ? 1U : 0U;
  counts.failovers += attempt.number > 1 && !granted->hedge ? 1U : 0U;
  counts.resumes += granted->resumed ? 1U : 0U;
}

void recorder::on_tokens(const request_id& request, const device_id& device, std::uint32_t count,
                         time_us now) {
  auto& stream = live_.at(request);
  auto& one = result_of(stream);
  one.completion_tokens += count;
  if (!stream.counted || stream.served_by != device) {
    stream.served_by = device;
    stream.counted = &summary_.device_tokens[device.value];
    if (*stream.counted == 0)
      summary_.first_served.emplace(kind_of(device), now);
  }
  *stream.counted += count;
  if (!one.first_token_at) {
    one.first_token_at = now;
    one.device = device.value; // Of two attempts at once only this shows which went on.
  } else if (!gathered_) {
    // A gap over a failover counts like any other: the client feels it.
    summary_.token_gaps.add(now - stream.last_token_at, count);
  }
  stream.last_token_at = now;
}

void recorder::on_gaps(duration_us gap, std::uint64_t count) {
  summary_.token_gaps.add(gap, count);
}

void recorder::on_drawn(const attempt_id&, std::optional<std::uint64_t> energy_mj, time_us) {
  auto& spent = summary_.spent;
  ++(energy_mj ? spent.attempts_told : spent.attempts_unknown);
  spent.told_mj += static_cast<double>(energy_mj.value_or(0));
}

void recorder::on_answered(const client_answer& ended, time_us now) {
  const auto found = live_.find(ended.request);
  auto& one = result_of(found->second);
  one.ended_at = now;
  one.outcome = ended.outcome;
  one.code = ended.code;
  if (ended.outcome != request_outcome::finished && ended.outcome != request_outcome::cancelled)
    ++summary_.codes[ended.code];
  if (found->second.place == limits::records_max)
    count(one);
  live_.erase(found);
}

void recorder::on_end(const core::snapshot& seen, time_us now) {
  while (!builds_.empty())
    end_build(builds_.begin()->first, now);
  summary_.counts.preemptions = seen.counters.preemptions;
}

void recorder::count(const request_result& one) {
  auto& further = summary_.further;
  ++further.outcomes[static_cast<std::size_t>(*one.outcome)];
  further.tokens += one.completion_tokens;
  if (one.outcome != request_outcome::finished || !one.first_token_at)
    return;
  further.first_tokens.add(*one.first_token_at - one.submitted_at);
  further.lives.add(*one.ended_at - one.submitted_at);
}

} // namespace consort::sim
