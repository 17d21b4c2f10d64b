// SPDX-License-Identifier: Apache-2.0
// Silence: how long an attempt may say nothing, by its own pace, by how reports come in just now,
// and by who could take over.
#include "scheduler/modules.hpp"

#include <algorithm>
#include <limits>

namespace consort::core {

namespace {

duration_us allowance(std::int64_t predicted_ns, std::int64_t factor, duration_us floor) {
  const auto span = std::min(predicted_ns / 1000, limits::stall_max_us) * factor;
  return std::clamp(span, floor, limits::stall_max_us);
}

/// What is prefilled before it, itself included, and a turn of the queue when the engine is full.
std::int64_t first_token_ns(const endpoint_table& endpoints, index place) {
  const auto queue_at = [&](index where) -> std::int64_t {
    const auto& at = endpoints.at(where);
    const bool full = at.seq_used + at.foreign() > at.seq_max;
    return full ? at.work_ns / std::max<std::int64_t>(at.seq_max, 1) : 0;
  };
  const auto reads = endpoints.reads_at(place);
  const auto writes = endpoints.writes_at(place);
  const auto ahead
      = std::max(endpoints.at(reads).prefill_ahead_ns, endpoints.at(place).prefill_ahead_ns);
  return ahead + std::max({queue_at(place), queue_at(reads), queue_at(writes)})
         + endpoints.pace(place).itl_ns;
}

/// The longest step that its engine may take now: while prompts are read there, as many of their
/// tokens as a step has room for stand before everybody's next one.
duration_us step_us(const core_state& s, const request_row& r) {
  const auto& endpoints = s.models[r.model].endpoints;
  const auto place = endpoints.writes_at(r.place);
  const auto& at = endpoints.at(place);
  const auto& pace = endpoints.pace(place);
  const std::int64_t tokens = at.step_tokens == 0 ? limits::step_tokens_guess : at.step_tokens;
  const auto whole = pace.first_ns + tokens * pace.prefill_ns;
  return std::clamp<duration_us>(std::min(at.prefill_ahead_ns, whole) / 1000, 0,
                                 limits::stall_max_us);
}

/// What its engine reads until its first token if no cache holds what was believed of it: one that
/// had forgotten it makes a prompt long, and the device no worse. Walks the instance's attempts, so
/// only for one that was silent for longer than was predicted.
duration_us reading_us(const core_state& s, const request_row& r) {
  const auto& pace = s.models[r.model].endpoints.pace(r.place);
  duration_us ahead = 0;
  for (const auto slot : s.instances[r.instance].attempts) {
    const auto& other = s.requests[slot];
    if (other.tokens > 0 || other.rank != r.rank || other.granted_at > r.granted_at)
      continue;
    const auto read_ns = pace.first_ns + std::int64_t{other.size.prompt_tokens} * pace.prefill_ns;
    ahead = std::min(ahead + std::max<std::int64_t>(read_ns / 1000, 0), limits::stall_max_us);
  }
  return ahead;
}

/// Silence that what is read there explains, however short the attempt's own gaps were before.
duration_us reading_allowance(const core_state& s, const request_row& r) {
  const auto& room = s.models[r.model].endpoints.room(r.place);
  const auto factor
      = room.samples >= limits::explore_samples ? limits::stall_steps : limits::stall_steps_unknown;
  return std::min((r.tokens == 0 ? reading_us(s, r) : step_us(s, r)) * factor,
                  limits::stall_max_us);
}

/// Since when nothing shows that its engine gets on: one that has just read a prompt that came
/// before had no time for this one yet, one that reads those that came later has passed it over.
time_us quiet_since(const core_state& s, const request_row& r) {
  if (r.tokens > 0)
    return r.heard_at;
  const auto& endpoints = s.models[r.model].endpoints;
  const auto& reader = endpoints.at(endpoints.reads_at(r.place));
  return reader.read_granted_at > r.granted_at ? r.heard_at : std::max(r.heard_at, reader.read_at);
}

/// Silence that is believed of an attempt at most, whatever else is known.
duration_us patience(const core_state& s, const request_row& r) {
  if (r.tokens == 0)
    return std::max(r.gap_us, limits::first_token_unknown_us);
  return std::max(r.gap_us, allowance(s.models[r.model].endpoints.pace(r.place).itl_ns,
                                      limits::stall_alone_tokens, limits::stall_alone_us));
}

/// Its gateway said nothing since either, although it has streams on other nodes: more likely the
/// gateway or its link stands still than every device at once.
bool gateway_stands_still(const core_state& s, const request_row& r) {
  const auto& gateway = s.gateways[r.gateway];
  if (gateway.heard_at - r.heard_at >= limits::report_period_us)
    return false;
  std::uint32_t here = 0;
  for (const auto device : s.nodes[node_of(s, s.instances[r.instance])].devices)
    for (const auto instance : s.devices[device].instances)
      if (s.instances[instance].devices.front() == device)
        for (const auto slot : s.instances[instance].attempts)
          here += s.requests[slot].gateway == r.gateway ? 1 : 0;
  return gateway.running > here;
}

/// How long the attempt may be silent.
duration_us silence_of(const core_state& s, const request_row& r) {
  const bool opened = r.phase == request_phase::running;
  const auto usual = opened ? r.gap_us : limits::ticket_us + limits::ticket_grace_us;
  if (!s.nodes[s.devices[r.last_device].node].suspect) // Where it runs, as instances know too.
    return usual;
  const auto pace = opened ? std::min(r.pace_us, limits::stall_max_us) : 0;
  return std::min(usual, std::max(limits::suspect_silence_us, limits::suspect_tokens * pace));
}

} // namespace

bool may_move(const core_state& s, const request_row& r) {
  const auto& model = s.models[r.model];
  const bool resumes = r.emitted > 0 || r.tokens > 0;
  if (resumes && !r.meta.resumable)
    return false;
  for (index place = 0; place < model.endpoints.size(); ++place) {
    const auto& room = model.endpoints.room(place);
    if (room.seq_free > 0 && room.device != r.last_device && may_serve(s, r, room.device)
        && (!resumes || may_resume(s, r, model.endpoints.at(place))))
      return true;
  }
  return false;
}

void expect_first_token(core_state& s, request_row& r) {
  const auto& model = s.models[r.model];
  const auto place = r.place;
  auto predicted = first_token_ns(model.endpoints, place);
  // Where nothing is streamed the first thing that is heard is the whole answer.
  if (!s.devices[model.endpoints.at(place).device].spec.capability.runtime.streaming)
    predicted += r.held.work_ns;
  const bool known = model.endpoints.room(place).samples >= limits::explore_samples;
  r.gap_us = allowance(predicted, limits::first_token_factor,
                       known ? limits::first_token_floor_us : limits::first_token_unknown_us);
  r.pace_us = std::min(predicted / 1000, limits::stall_max_us) * limits::suspect_prefill_pm / 1000
              / limits::suspect_tokens;
}

void learn_pace(core_state& s, request_row& r, std::uint32_t tokens, time_us now) {
  auto& at = endpoint_of(s, r);
  if (r.tokens > 0) {
    const auto gap = std::max<duration_us>(now - r.heard_at, 0);
    const auto each = gap / (tokens - r.tokens);
    at.saw_gap(gap, now);
    r.pace_us = r.paced ? (3 * r.pace_us + each) / 4 : each;
    r.paced = true;
  } else {
    const auto place = r.place;
    r.pace_us = s.models[r.model].endpoints.pace(place).itl_ns / 1000;
  }
  r.gap_us = std::clamp(std::max(limits::stall_tokens * std::min(r.pace_us, limits::stall_max_us),
                                 limits::stall_reports * at.worst_gap(now)),
                        limits::stall_floor_us, limits::stall_max_us);
}

bool crawls(core_state& s, request_row& r, time_us now) {
  const auto& endpoints = s.models[r.model].endpoints;
  const auto place = r.place;
  const bool known = endpoints.room(place).samples >= limits::explore_samples;
  // Beside prompts that are read, a token may take a step.
  const auto bar
      = limits::slow_factor * (endpoints.pace(place).itl_ns / 1000 + 1) + reading_allowance(s, r);
  if (!known || !r.paced || r.pace_us <= bar) {
    r.slow_since = 0;
    return false;
  }
  if (r.slow_since == 0) {
    r.slow_since = now;
    r.slow_tokens = r.tokens;
    return false;
  }
  // Its usual gap remembers a prompt that was read beside it long after that is over: what counts
  // is what came since.
  const auto each = (now - r.slow_since) / std::max<std::int64_t>(r.tokens - r.slow_tokens, 1);
  if (each <= bar) {
    r.slow_since = 0;
    return false;
  }
  return now - r.slow_since >= limits::slow_after_us && may_move(s, r);
}

time_us next_due(const core_state& s, const request_row& r) {
  time_us due = std::numeric_limits<time_us>::max();
  if (r.deadline_at != 0)
    due = r.deadline_at;
  switch (r.phase) {
  case request_phase::parked:
  case request_phase::adopted: return std::min(due, r.not_before);
  case request_phase::waiting:
    due = std::min(due, r.waiting_since + s.config.queue_timeout_us);
    if (!r.shunned.empty())
      due = std::min(due, r.shunned_until);
    if (r.excluded.size() > r.shunned.size())
      due = std::min(due, r.excluded_until);
    if (r.attempt == 0 && r.meta.wait_us)
      due = std::min(due, r.submitted_at + *r.meta.wait_us);
    else if (r.emitted == 0 && r.meta.wait_us) // Whoever would not wait is given a moment's grace.
      due = std::min(due, r.waiting_since + std::max(*r.meta.wait_us, limits::retry_wait_us_min));
    return due;
  case request_phase::ticketed:
    due = r.hedge_at == 0 ? due : std::min(due, r.hedge_at);
    return std::min(due, std::max(r.granted_at + silence_of(s, r), r.quiet_until));
  case request_phase::running: break;
  }
  if (r.hedge_at != 0)
    due = std::min(due, r.hedge_at);
  // Without its gateway nothing is heard of it, whatever it does.
  if (!unreachable(s, r))
    due = std::min(due, std::max(r.heard_at + silence_of(s, r), r.quiet_until));
  return r.missing_at == 0 ? due : std::min(due, r.missing_at + limits::orphan_grace_us);
}

failover silent(const char* code, const char* message, bool fault) {
  failover how;
  how.failure = {recovery::retry_elsewhere, code, message};
  how.fault = fault;
  how.exclude = fault;
  how.revoke = true;
  return how;
}

void judge_silence(pass& p, index slot) {
  auto& s = p.s;
  auto& r = s.requests[slot];
  const bool suspect = s.nodes[node_of(s, s.instances[r.instance])].suspect;
  const bool opened = r.phase == request_phase::running;
  const auto since = opened ? r.heard_at : r.granted_at;
  // What is read there now may be more than when it was last heard.
  auto explained = since;
  if (opened && !suspect)
    explained = quiet_since(s, r) + reading_allowance(s, r);
  else if (opened && r.tokens > 0)
    explained += limits::suspect_steps * step_us(s, r);
  if (explained > p.now) {
    r.quiet_until = explained;
    return s.dues.set(slot, next_due(s, r));
  }
  const auto most
      = opened ? patience(s, r) : duration_us{limits::ticket_us + limits::ticket_grace_us};
  if (since + most > p.now && (!may_move(s, r) || (!suspect && gateway_stands_still(s, r)))) {
    r.quiet_until
        = suspect ? std::min(p.now + limits::suspect_silence_us, since + most) : since + most;
    return s.dues.set(slot, next_due(s, r));
  }
  if (suspect && since + most > p.now) {
    auto how = silent("node_silent", "its node fell silent", false);
    how.exclude = how.spare_last = true;
    return fail_attempt(p, slot, how);
  }
  if (!opened) {
    r.paid_micros = 0; // It reached nobody.
    return fail_attempt(p, slot, silent("ticket_expired", "nobody opened its ticket", false));
  }
  // Should it have been alive after all, the endpoint is given more time from now on.
  endpoint_of(s, r).saw_gap(p.now - r.heard_at, p.now);
  auto how = silent("attempt_stalled",
                    r.tokens > 0 ? "its device fell silent"
                                 : "its device took the request and said nothing",
                    true);
  // Its node ends an engine that answers nothing, and another is loaded; one that does is sound.
  how.spare_last = true;
  how.pause_us = limits::silent_pause_us;
  fail_attempt(p, slot, how);
}

} // namespace consort::core
