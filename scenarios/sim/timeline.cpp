// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/timeline.hpp"

#include "scenarios/limits.hpp"

#include <algorithm>
#include <array>

namespace consort::sim {

namespace {

constexpr std::array<const char*, 6> type_words{"gpu", "npu", "pim", "cpu", "remote", "hybrid"};
constexpr std::array<const char*, 5> end_words{"finished", "failed", "cancelled", "rejected",
                                               "expired"};

std::string load_key(instance_id instance) {
  return "load " + std::to_string(instance.value);
}
std::string serve_key(instance_id instance) {
  return "serve " + std::to_string(instance.value);
}
std::string compile_key(compile_id compile) {
  return "compile " + std::to_string(compile.value);
}

} // namespace

timeline_recorder::timeline_recorder(timeline& course, duration_us length_us)
    : course_(course), meter_(course) {
  // As many whole seconds as it takes.
  const auto part_us = limits::report_every_us * limits::timeline_slices_max;
  const auto reports = std::max<duration_us>((length_us + part_us - 1) / part_us, 1);
  course_.slice_us = reports * limits::report_every_us;
  const auto slices = static_cast<std::size_t>(
      std::max<duration_us>((length_us + course_.slice_us - 1) / course_.slice_us, 1));
  course_.arrivals.resize(slices);
  course_.waiting.resize(slices);
  course_.tokens.resize(slices);
  course_.power_w.resize(slices);
}

std::optional<std::size_t> timeline_recorder::slice(time_us now) const {
  const auto found = static_cast<std::size_t>(now / course_.slice_us);
  return found < course_.arrivals.size() ? std::optional(found) : std::nullopt;
}

void timeline_recorder::note(time_us now, std::string kind, std::string subject, std::string text) {
  if (course_.events.size() >= limits::timeline_events_max)
    ++course_.left_off;
  else
    course_.events.push_back({now, std::move(kind), std::move(subject), std::move(text)});
}

void timeline_recorder::begin(const std::string& key, course_span made) {
  if (course_.spans.size() >= limits::timeline_spans_max) {
    ++course_.left_off;
    return;
  }
  open_[key] = course_.spans.size();
  course_.spans.push_back(std::move(made));
}

void timeline_recorder::end(const std::string& key, time_us now, bool failed) {
  const auto found = open_.find(key);
  if (found == open_.end())
    return;
  auto& span = course_.spans[found->second];
  span.to = now;
  span.failed = failed;
  open_.erase(found);
}

/// What ran there ended with its process.
void timeline_recorder::lose_node(const node_id& node, time_us now) {
  meter_.lose(node, now);
  for (auto at = open_.begin(); at != open_.end();) {
    auto& span = course_.spans[at->second];
    const bool here = span.lane == node.value || span.lane.starts_with(node.value + "/");
    if (!here || span.kind == "fault") {
      ++at;
      continue;
    }
    span.to = now;
    span.failed = true;
    at = open_.erase(at);
  }
}

void timeline_recorder::on_submitted(const request_meta& meta, time_us now) {
  waiting_[meta.id] = true;
  ++waiting_count_;
  const auto at = slice(now);
  if (!at)
    return;
  ++course_.arrivals[*at];
  course_.waiting[*at] = std::max(course_.waiting[*at], waiting_count_);
}

void timeline_recorder::on_tokens(const request_id&, const device_id&, std::uint32_t count,
                                  time_us now) {
  if (const auto at = slice(now))
    course_.tokens[*at] += count;
}

void timeline_recorder::on_answered(const client_answer& ended, time_us now) {
  const auto found = waiting_.find(ended.request);
  if (found == waiting_.end())
    return;
  waiting_count_ -= found->second ? 1 : 0;
  waiting_.erase(found);
  if (ended.outcome != request_outcome::finished)
    note(now, end_words[static_cast<std::size_t>(ended.outcome)],
         "request " + std::to_string(ended.request.sequence), ended.code);
}

void timeline_recorder::on_ticket_honoured(const ticket& permission, const ticket_reception&,
                                           time_us now) {
  meter_.begin(permission.attempt, permission.device, now);
}

void timeline_recorder::on_drawn(const attempt_id& attempt, std::optional<std::uint64_t>,
                                 time_us now) {
  meter_.end(attempt, now);
}

void timeline_recorder::on_event(const core::event& happened, time_us now) {
  if (const auto* report = std::get_if<core::device_reported>(&happened)) {
    meter_.see(*report, now);
  } else if (const auto* device = std::get_if<core::device_advertised>(&happened)) {
    meter_.advertise(device->spec.id, type_words[static_cast<std::size_t>(device->spec.type)]);
  } else if (const auto* loaded = std::get_if<core::replica_loaded>(&happened)) {
    end(load_key(loaded->instance), now, false);
    if (const auto found = serving_.find(loaded->instance); found != serving_.end()) {
      found->second.from = now;
      begin(serve_key(loaded->instance), found->second);
      serving_.erase(found);
    }
  } else if (const auto* died = std::get_if<core::replica_failed>(&happened)) {
    note(now, "replica_failed", "instance " + std::to_string(died->instance.value),
         died->failure.code);
    end(load_key(died->instance), now, true);
    end(serve_key(died->instance), now, true);
  } else if (const auto* unloaded = std::get_if<core::replica_unloaded>(&happened)) {
    end(serve_key(unloaded->instance), now, false);
  } else if (const auto* built = std::get_if<core::compile_finished>(&happened)) {
    end(compile_key(built->compile), now, false);
  } else if (const auto* unbuilt = std::get_if<core::compile_failed>(&happened)) {
    note(now, "compile_failed", "compile " + std::to_string(unbuilt->compile.value),
         unbuilt->failure.code);
    end(compile_key(unbuilt->compile), now, true);
  } else if (const auto* lost = std::get_if<core::node_lost>(&happened)) {
    note(now, "node_lost", lost->node.value, lost->reason);
  } else if (const auto* joined = std::get_if<core::node_joined>(&happened)) {
    note(now, joined->returning ? "node_returned" : "node_joined", joined->node.value, "");
    if (!joined->returning)
      lose_node(joined->node, now);
  }
}

void timeline_recorder::on_command(const core::command& wanted, time_us now) {
  if (const auto* granted = std::get_if<core::grant_ticket>(&wanted)) {
    const auto& attempt = granted->granted.attempt;
    if (const auto found = waiting_.find(attempt.request);
        found != waiting_.end() && found->second) {
      found->second = false;
      --waiting_count_;
    }
    if (attempt.number > 1)
      note(now,
           granted->hedge     ? "hedge"
           : granted->resumed ? "resume"
                              : "failover",
           granted->granted.device.value, "request " + std::to_string(attempt.request.sequence));
  } else if (const auto* load = std::get_if<core::load_replica>(&wanted)) {
    const auto& lane = load->grant.shares.front().device.value;
    note(now, "load", lane, load->model.value);
    begin(load_key(load->instance), {lane, "load", load->model.value, now, {}, false});
    serving_[load->instance] = {lane, "serve", load->model.value, now, {}, false};
  } else if (const auto* build = std::get_if<core::start_compile>(&wanted)) {
    const auto& lane = build->node.value;
    note(now, "compile", lane, build->model.value);
    begin(compile_key(build->compile), {lane, "compile", build->model.value, now, {}, false});
  } else if (const auto* said = std::get_if<core::note>(&wanted)) {
    note(now, "note", said->subject, said->text);
  }
}

void timeline_recorder::on_fault(std::string_view word, const std::string& target, bool begins,
                                 time_us now) {
  const auto lane = target.empty() ? std::string("scheduler") : target;
  const auto key = "fault " + std::string(word) + " " + lane;
  if (begins) {
    note(now, "fault", lane, std::string(word));
    begin(key, {lane, "fault", std::string(word), now, {}, false});
    // What a dead process ran ends at once, not when its successor says hello.
    if (word == "kill" || word == "restart")
      lose_node(node_id(lane), now);
  } else if (open_.count(key) != 0) {
    note(now, "healed", lane, std::string(word));
    end(key, now, false);
  }
}

void timeline_recorder::on_end(const core::snapshot&, time_us now) {
  for (const auto& [key, place] : open_)
    course_.spans[place].to = now;
  open_.clear();
  meter_.finish(now);
}

} // namespace consort::sim
