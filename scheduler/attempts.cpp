// SPDX-License-Identifier: Apache-2.0
// Attempts: from ticket to end, and what follows a failure. Every path gives the reservation back
// exactly once, through let_go.
#include "scheduler/anew.hpp"
#include "scheduler/caches.hpp"
#include "scheduler/handlers.hpp"
#include "scheduler/learning.hpp"
#include "scheduler/preemption.hpp"
#include "scheduler/spending.hpp"
#include "scheduler/units.hpp"
#include "scheduler/waiting.hpp"

#include <algorithm>
#include <array>
#include <limits>

namespace consort::core {

namespace {

bool out(const request_row& r) {
  return r.phase == request_phase::ticketed || r.phase == request_phase::running;
}

/// The row of the attempt if it is the request's current one, or its hedge.
index current(const core_state& s, const attempt_id& attempt) {
  const auto found = s.request_ids.find(attempt.request);
  if (found == s.request_ids.end())
    return none;
  const auto& r = s.requests[found->second];
  fetch_soon(r);
  if (r.twin != none && s.requests[r.twin].attempt == attempt.number)
    return r.twin;
  return out(r) && r.attempt == attempt.number ? found->second : none;
}

/// The row of an attempt of an earlier scheduler life whose instance is not known yet.
index adopted_row(const core_state& s, const attempt_id& attempt) {
  const auto found = s.request_ids.find(attempt.request);
  if (found == s.request_ids.end())
    return none;
  const auto& r = s.requests[found->second];
  return r.phase == request_phase::adopted && r.attempt == attempt.number ? found->second : none;
}

void begin_running(core_state& s, index slot, time_us now) {
  auto& r = s.requests[slot];
  if (r.phase == request_phase::running)
    return;
  r.phase = request_phase::running;
  r.heard_at = now;
  expect_first_token(s, r);
  if (!r.is_hedge)
    s.dues.set_at_most(slot, next_due(s, r));
}

/// Whether another attempt may follow. Returns: how the request ends when not.
std::optional<ending> no_more(pass& p, index slot, const failover& how) {
  const auto& r = p.s.requests[slot];
  const auto& last = how.failure;
  if (last.action == recovery::refuse)
    return ending{request_outcome::failed, 400, last, {}, {}, {}, {}};
  // A stream that moves on is no request that kills whatever serves it.
  if (r.issued >= limits::attempts_total_max && only_full(r))
    return turned_away(p.s, slot, p.now);
  if (r.fruitless >= p.s.config.attempts_max || r.issued >= limits::attempts_total_max)
    return gateway_502("attempts_exhausted",
                       "attempt " + std::to_string(r.attempt) + " was the last allowed", last);
  if (r.emitted > 0 && !r.meta.resumable)
    return gateway_502("not_resumable", "text was already sent and cannot be continued elsewhere",
                       last);
  if (!possible_for(p.s, r) && p.now >= p.s.returning_until)
    return impossible_ending(p.s, r);
  if (!how.costs_credit)
    return std::nullopt;
  if (p.s.retry_credit_pm < limits::retry_cost_pm)
    return gateway_502("retry_budget", "too many retries in the cluster", last);
  p.s.retry_credit_pm -= limits::retry_cost_pm;
  return std::nullopt;
}

/// How long who was only full is left alone.
duration_us pause_of(const request_row& r) {
  return std::min(limits::retry_later_us << std::min(r.attempt, 10U), limits::full_pause_max_us);
}

/// Who was only full is not asked again before the others were, or a while has passed: they may
/// have no room for it.
void shun(request_row& r, time_us now) {
  r.shunned.push_back(r.last_device);
  r.shunned_until = now + pause_of(r);
  if (std::find(r.excluded.begin(), r.excluded.end(), r.last_device) == r.excluded.end())
    r.excluded.push_back(r.last_device);
}

bool shun_is_over(const request_row& r, time_us now) {
  return !r.shunned.empty() && r.shunned_until <= now;
}

void shun_nobody(request_row& r) {
  for (const auto device : r.shunned)
    std::erase(r.excluded, device);
  r.shunned.clear();
}

/// Waits again: at once at its old place in the queue when another could take it; behind a pause
/// when nothing is wrong but time. `rest_us`: before whoever is left is asked again; 0 = it need
/// not rest. `got_on`: it brought text.
void wait_again(pass& p, index slot, const failover& how, duration_us rest_us, bool got_on) {
  auto& r = p.s.requests[slot];
  const bool later = how.failure.action == recovery::retry_later;
  // Being turned away is a part of the wait, but not what it brought before, nor the rest after it.
  const bool waits_anew = !later || how.counts || got_on;
  if (waits_anew)
    r.waiting_since = p.now;
  r.told = nullptr;
  if (later && may_move(p.s, r)) {
    shun(r, p.now);
    enqueue(p.s, slot);
  } else if (how.full) { // Nothing is sent there before it may have room.
    shun_nobody(r);
    enqueue(p.s, slot);
  } else if (later || rest_us > 0) {
    shun_nobody(r);
    r.phase = request_phase::parked;
    r.not_before = p.now + (rest_us > 0 ? rest_us : pause_of(r));
    if (waits_anew)
      r.waiting_since = r.not_before;
    count_waiting(p.s, r, true);
  } else {
    enqueue(p.s, slot);
  }
  p.s.dues.set(slot, next_due(p.s, r));
}

/// Counts an attempt at its endpoint.
void occupy(core_state& s, index slot, index place, std::uint32_t saved) {
  auto& r = s.requests[slot];
  auto& model = s.models[r.model];
  auto& at = model.endpoints.at(place);
  const auto& hot = model.endpoints.pace(place);
  r.load_begin = model.endpoints.at(model.endpoints.writes_at(place)).load_until(s.now);
  r.attempts_begin = model.endpoints.at(place).attempts_until(s.now);
  r.batch_begin = model.endpoints.pace(model.endpoints.reads_at(place)).batch;
  r.saved = std::min(saved, r.size.prompt_tokens);
  r.held = reservation_for(s, r, hot.itl_ns);
  r.held.prefill_ns = hot.first_ns + std::int64_t{r.size.prompt_tokens - r.saved} * hot.prefill_ns;
  r.queue_predicted_ns = std::min(queue_left(hot, s.now * 1000), term_ns_max / 2);
  r.first_predicted_ns = r.queue_predicted_ns + r.held.prefill_ns;
  r.queue_seen_ns = -1;
  r.held.work_ns += r.held.prefill_ns;
  if (at.kv_max != 0)
    r.held.kv_tokens = std::min(r.held.kv_tokens, at.kv_max);
  model.endpoints.reserve(place, r.held, s.now);
  model.running += r.held.sequences;
  if (r.meta.priority == priority_class::batch) {
    at.batch_used += r.held.sequences;
    ++model.batch_running;
  }
  auto& instance = s.instances[at.instance];
  r.instance = at.instance;
  r.rank = at.rank;
  r.place = place;
  r.pair = at.pair;
  r.listed = static_cast<std::uint32_t>(instance.attempts.size());
  instance.attempts.push_back(slot);
  ++s.gateways[r.gateway].running;
  r.missing_at = 0;
  r.tokens = 0;
  r.paced = false;
  r.slow_since = 0;
  r.quiet_until = 0;
  r.last_device = at.device;
  if (at.plan)
    hold_stages(s, slot);
}

/// How long it waited for others to be read, now that its first token is there. Two that come
/// together were read in one step, whose time is neither's alone.
void see_first_token(core_state& s, index slot, endpoint& at) {
  auto& r = s.requests[slot];
  const bool together = at.read_at != 0 && s.now - at.read_at <= limits::same_step_us;
  if (!together)
    r.queue_seen_ns = std::max<duration_us>(at.read_at - r.granted_at, 0) * 1000;
  else if (at.read_by != none && s.requests.holds(at.read_by)
           && s.requests[at.read_by].granted_at == at.read_granted_at)
    s.requests[at.read_by].queue_seen_ns = -1;
  at.read_at = s.now;
  at.read_granted_at = r.granted_at;
  at.read_by = slot;
}

/// The story of a failover, for who reads the events.
void tell_again(const pass& p, const request_row& r, const device_id& device) {
  const auto how = r.emitted > 0
                       ? "goes on here after " + std::string(r.counted ? "" : "at least ")
                             + std::to_string(r.emitted) + (r.emitted == 1 ? " token" : " tokens")
                       : std::string("is tried again here");
  p.tell(note::severity::info, device.value,
         "request " + r.meta.external_id + " " + how + ", attempt " + std::to_string(r.attempt)
             + (r.failure.message.empty() ? "" : ": " + r.failure.message));
}

} // namespace

void judge(pass& p, const request_row& r, bool fault, const std::string& why) {
  const auto at = r.pair;
  auto& pair = p.s.pairs[at];
  const bool was_closed = pair.fuse.state() == breaker_state::closed;
  fault = fault && !p.s.models[pair.model].removed;
  if (fault)
    pair.fault_error = cut_text(why, limits::fault_error_bytes_max);
  if (!fault) {
    pair.fuse.ended_undecided();
  } else if (pair.fuse.failed(p.now)) {
    breaker_opened(p, at, why);
    ++p.s.version;
    mark_dirty(p.s, pair.model);
  }
  if (!was_closed || pair.fuse.state() != breaker_state::closed)
    refresh_device(p.s, pair.device);
}

void revoke(pass& p, const request_row& r, const std::string& why) {
  const auto& instance = p.s.instances[r.instance];
  const auto& device = p.s.devices[instance.devices.front()];
  if (p.s.nodes[device.node].alive)
    p.send(revoke_attempt{
        p.s.nodes[device.node].id, device.spec.id, instance.id, {r.meta.id, r.attempt}, why});
}

namespace {

/// Whether nobody else could ever serve it, those that are only full not left out.
bool the_last(const core_state& s, request_row& r) {
  if (r.shunned.empty())
    return !possible_for(s, r);
  auto excluded = r.excluded;
  for (const auto device : r.shunned)
    std::erase(r.excluded, device);
  const bool last = !possible_for(s, r);
  r.excluded = std::move(excluded);
  return last;
}

} // namespace

bool exclude(const core_state& s, request_row& r, time_us now, bool spare_last) {
  r.excluded_until = now + (limits::exclusion_us << std::min(r.attempt, 10U));
  if (std::find(r.excluded.begin(), r.excluded.end(), r.last_device) != r.excluded.end())
    return false;
  r.excluded.push_back(r.last_device);
  if (!spare_last || !the_last(s, r))
    return false;
  r.excluded.pop_back();
  if (possible_for(s, r))
    return true;
  r.excluded.push_back(r.last_device); // Nor can that one go on with it.
  return false;
}

void write_ticket(const core_state& s, const request_row& r, ticket& made) {
  const auto& instance = s.instances[r.instance];
  const auto& device = s.devices[instance.devices.front()];
  const auto& node = s.nodes[device.node];
  made.attempt = {r.meta.id, r.attempt};
  made.instance = instance.id;
  made.endpoint_rank = r.rank;
  made.device = device.spec.id;
  made.node = node.id;
  made.node_incarnation = node.life;
  made.lease_epoch = node.lease_epoch;
  made.data_address = node.data_address;
  made.model = s.models[r.model].spec.name;
  made.variant = instance.weights;
  made.expires_at = s.now + limits::ticket_us;
}

void open_attempt(pass& p, index slot, index place, std::uint32_t saved) {
  auto& s = p.s;
  auto& r = s.requests[slot];
  auto& model = s.models[r.model];
  auto& at = model.endpoints.at(place);
  auto& pair = s.pairs[at.pair];
  occupy(s, slot, place, saved);
  if (r.session != 0)
    note_claim(s, r, place);
  if (!r.meta.prefix_blocks.empty())
    remember_prefix(s, r, at);
  age_next_cache(s, model);
  pair.fuse.started();
  if (pair.fuse.state() == breaker_state::closed)
    model.endpoints.refresh(place, pair.speed);
  else
    refresh_device(s, at.device);
  r.attempt = ++r.issued;
  ++s.counters.attempts;
  r.phase = request_phase::ticketed;
  r.granted_at = p.now;
}

void grant(pass& p, index slot, index place, bool exact, std::uint32_t saved) {
  auto& s = p.s;
  auto& r = s.requests[slot];
  open_attempt(p, slot, place, saved);
  charge_expected(s, slot);
  s.counters.retries += r.attempt > 1 && r.failure.code != preempted_word ? 1 : 0;
  s.counters.resumes += r.emitted > 0 ? 1 : 0;
  if (r.attempt == 1)
    r.queued_us = p.now - r.submitted_at;
  else
    tell_again(p, r, s.devices[r.last_device].spec.id);
  r.rival = 0;
  r.hedge_at = hedge_due(s, r);
  s.dues.set_at_most(slot, next_due(s, r));
  auto& told = p.sent<grant_ticket>();
  write_ticket(s, r, told.granted);
  told.resumed = r.emitted > 0;
  told.queued_us = r.queued_us;
  told.exact = exact;
}

void let_go(pass& p, index slot) {
  auto& s = p.s;
  auto& r = s.requests[slot];
  if (r.instance == none)
    return;
  const auto instance = r.instance;
  auto& one = s.instances[instance];
  auto& model = s.models[r.model];
  const auto place = r.place;
  settle_remote(s, slot);
  model.endpoints.release(place, r.held, p.now);
  model.running -= r.held.sequences;
  if (r.meta.priority == priority_class::batch) {
    model.endpoints.at(place).batch_used -= r.held.sequences;
    --model.batch_running;
  }
  model.endpoints.refresh(place, s.pairs[model.endpoints.at(place).pair].speed);
  r.held = {};
  r.instance = none;
  r.hedge_at = 0;
  --s.gateways[r.gateway].running;
  const auto moved = one.attempts.back();
  one.attempts[r.listed] = moved;
  s.requests[moved].listed = r.listed;
  one.attempts.pop_back();
  leave_stages(p, slot);
  ++model.releases;
  if (!model.queue.empty())
    mark_dirty(s, r.model);
  became_idle(p, instance);
}

void fail_attempt(pass& p, index slot, const failover& how) {
  auto& s = p.s;
  auto& r = s.requests[slot];
  if (!out(r))
    return;
  if (r.is_hedge)
    return end_hedge(p, r.twin, how);
  if (r.twin != none && how.emitted == 0 && how.failure.action != recovery::refuse)
    return give_way(p, slot, how);
  if (r.twin != none) // The gateway had chosen.
    end_hedge(p, slot, outrun());
  judge(p, r, how.fault, how.failure.message);
  if (how.revoke)
    revoke(p, r, how.failure.message);
  r.content = s.instances[r.instance].content;
  r.weights = s.instances[r.instance].weights;
  const auto emitted = std::max({r.emitted, how.emitted, r.tokens});
  // What breaks its engine time and again is no stream that gets on.
  const bool broke = (how.fault || how.died) && how.failure.code != data_link_lost;
  const bool more = emitted > r.emitted;
  r.emitted = emitted;
  r.counted = how.emitted == emitted;
  const bool anew = begins_anew(s, r, how) && forget_unshown(r);
  const bool got_on = more && !anew;
  if (how.counts)
    r.fruitless = got_on && !broke ? 0 : r.fruitless + 1;
  r.failure = how.failure;
  const bool spared = how.exclude && exclude(s, r, p.now, how.spare_last);
  let_go(p, slot);
  if (anew) // Now that they are charged.
    r.tokens = 0;
  duration_us rest_us = spared ? how.pause_us : 0;
  // Nothing is lost while somebody was only full.
  if (!r.shunned.empty() && !possible_for(s, r)) {
    shun_nobody(r);
    rest_us = std::max(rest_us, pause_of(r));
  }
  r.phase = request_phase::parked;
  count_waiting(s, r, true);
  if (const auto end = no_more(p, slot, how))
    return end_request(p, slot, *end);
  count_waiting(s, r, false);
  if (how.drop)
    p.send(drop_attempt{{r.meta.id, r.attempt}, how.failure.message});
  wait_again(p, slot, how, rest_us, got_on);
}

void fail_attempts(pass& p, std::vector<index> slots, const failover& how) {
  std::sort(slots.begin(), slots.end(),
            [&](index a, index b) { return p.s.requests[a].sequence < p.s.requests[b].sequence; });
  for (const auto slot : slots)
    fail_attempt(p, slot, how);
}

namespace {

ending deadline_ending() {
  ending how{request_outcome::expired, 408, {}, {}, {}, {}, {}};
  how.reason = {recovery::refuse, "deadline_passed", "the request's deadline passed"};
  return how;
}

bool exclusion_is_over(const request_row& r, time_us now) {
  return r.excluded.size() > r.shunned.size() && r.excluded_until <= now;
}

/// Who was only full may be asked again, and in time who failed it: what runs there now may be
/// sound, and those that could have taken over did not.
void forgive(pass& p, index slot) {
  auto& r = p.s.requests[slot];
  if (exclusion_is_over(r, p.now))
    r.excluded = r.shunned;
  if (shun_is_over(r, p.now))
    shun_nobody(r);
  ++p.s.models[r.model].releases;
  mark_dirty(p.s, r.model);
  p.s.dues.set(slot, next_due(p.s, r));
}

void give_up_waiting(pass& p, index slot) {
  const auto& r = p.s.requests[slot];
  if (has_failed(r))
    return end_request(p, slot, nobody_in_time(p.s, slot, p.now));
  end_request(p, slot, unavailable_ending(p.s, slot, p.now));
}

} // namespace

void check_request(pass& p, index slot) {
  auto& s = p.s;
  auto& r = s.requests[slot];
  if (next_due(s, r) > p.now)
    return s.dues.set(slot, next_due(s, r));
  if (r.deadline_at != 0 && r.deadline_at <= p.now)
    return end_request(p, slot, deadline_ending());
  switch (r.phase) {
  case request_phase::waiting:
    return shun_is_over(r, p.now) || exclusion_is_over(r, p.now) ? forgive(p, slot)
                                                                 : give_up_waiting(p, slot);
  case request_phase::parked: // What kept it away was a part of its wait.
    count_waiting(s, r, false);
    if (r.attempt == 0) // However long it was cut off, it is tried before it is given up.
      r.waiting_since = std::max(r.waiting_since, p.now + 1 - s.config.queue_timeout_us);
    enqueue(s, slot);
    return s.dues.set(slot, next_due(s, r));
  case request_phase::adopted:
    return lose_adopted(
        p, slot, {recovery::retry_elsewhere, "attempt_orphaned", "nobody knows its instance"},
        true);
  case request_phase::ticketed:
  case request_phase::running: break;
  }
  if (r.hedge_at != 0 && r.hedge_at <= p.now)
    return check_hedge(p, slot);
  if (r.missing_at != 0 && r.missing_at + limits::orphan_grace_us <= p.now)
    return fail_attempt(p, slot, silent("attempt_orphaned", "its device does not run it", false));
  judge_silence(p, slot);
}

bool attach(pass& p, index slot) {
  auto& s = p.s;
  auto& r = s.requests[slot];
  const auto found = s.instance_ids.find(r.sought);
  if (found == s.instance_ids.end())
    return false;
  const auto& one = s.instances[found->second];
  if (one.model != r.model || one.state != instance_state::ready || r.rank >= one.places.size())
    return false;
  forget_sought(s, slot);
  const auto place = one.places[r.rank];
  auto& endpoints = s.models[r.model].endpoints;
  occupy(s, slot, place, 0);
  r.first_predicted_ns = 0; // It began under another scheduler.
  endpoints.refresh(place, s.pairs[endpoints.at(place).pair].speed);
  // Whether it is still at its prompt is not known: the next report tells.
  begin_running(s, slot, p.now);
  return true;
}

void forget_sought(core_state& s, index slot) {
  auto& r = s.requests[slot];
  const auto [first, last] = s.sought.equal_range(r.sought);
  for (auto at = first; at != last; ++at)
    if (at->second == slot) {
      s.sought.erase(at);
      break;
    }
  r.sought = {};
}

void lose_adopted(pass& p, index slot, const error& failure, bool tell_gateway) {
  auto& s = p.s;
  auto& r = s.requests[slot];
  forget_sought(s, slot);
  failover how;
  how.failure = r.failure = failure;
  note_text(s, r, r.emitted);
  ++r.fruitless;
  r.phase = request_phase::parked;
  count_waiting(s, r, true);
  if (const auto end = no_more(p, slot, how))
    return end_request(p, slot, *end);
  count_waiting(s, r, false);
  if (tell_gateway)
    p.send(drop_attempt{{r.meta.id, r.attempt}, failure.message});
  wait_again(p, slot, how, 0, false);
}

void on(pass& p, const attempt_started& e) {
  heard_gateway(p.s, e.attempt.request.gateway, p.now);
  const auto slot = current(p.s, e.attempt);
  if (slot != none)
    begin_running(p.s, slot, p.now);
}

void on(pass& p, const attempt_progressed& e) {
  heard_gateway(p.s, e.attempt.request.gateway, p.now);
  const auto slot = current(p.s, e.attempt);
  if (slot != none)
    return confirm_attempt(p, e.completion_tokens > 0 ? win(p, slot) : slot, e.completion_tokens);
  if (prefers_rival(p, e.attempt, e.completion_tokens))
    return;
  if (const auto adopted = adopted_row(p.s, e.attempt); adopted != none)
    p.s.requests[adopted].emitted = std::max(p.s.requests[adopted].emitted, e.completion_tokens);
}

void confirm_attempt(pass& p, index slot, std::uint32_t tokens) {
  auto& s = p.s;
  auto& r = s.requests[slot];
  begin_running(s, slot, p.now);
  if (tokens <= r.tokens)
    return;
  auto& model = s.models[r.model];
  const auto place = r.place;
  if (r.tokens == 0) {
    see_first_token(s, slot, model.endpoints.at(model.endpoints.reads_at(place)));
    const bool held_back
        = model.endpoints.at(place).ramp != 0 || model.endpoints.room(place).reads_enough;
    model.endpoints.first_token(place, r.held, p.now);
    s.pairs[model.endpoints.at(place).pair].room.took(r.granted_at);
    prefill_is_over(p, slot);
    if (held_back && !model.queue.empty()) {
      ++model.releases;
      mark_dirty(s, r.model);
    }
    model.endpoints.refresh(place, s.pairs[model.endpoints.at(place).pair].speed);
    r.hedge_at = 0;
  }
  learn_pace(s, r, tokens, p.now);
  r.tokens = tokens;
  r.heard_at = p.now;
  r.missing_at = 0;
  r.quiet_until = 0;
  if (crawls(s, r, p.now))
    return fail_attempt(p, slot,
                        silent("device_slow", "its device is ten times slower than it was", true));
  s.dues.set_at_most(slot, next_due(s, r));
}

namespace {

/// Whether `retry later` says that the model is full on the device, which holds for everybody. The
/// bounds of one gateway do not, nor does a server that is asked again without a field.
bool speaks_of_device(const error& failure) {
  constexpr std::array others{"too_many_nodes", "data_port_busy", "server_options"};
  return std::find(others.begin(), others.end(), failure.code) == others.end();
}

/// Whether the attempt ended because its engine is gone, of which its node tells on another way: as
/// often as not later. Of a plan's stages nobody knows which one it was.
bool engine_is_gone(core_state& s, const request_row& r, const error& failure) {
  constexpr std::array codes{"runtime_died", "session_closed", "instance_unknown"};
  return failure.action == recovery::retry_elsewhere && !endpoint_of(s, r).plan
         && std::find(codes.begin(), codes.end(), failure.code) != codes.end();
}

/// The row of an attempt that ended well although it is none of ours any more: of an earlier life,
/// given up here when its gateway had gone on with it and so with none that runs, or told to make
/// room when its client already had all of it. Nobody waits for what was granted since.
index ended_row(pass& p, const attempt_id& attempt) {
  const auto found = p.s.request_ids.find(attempt.request);
  if (found == p.s.request_ids.end() || attempt.number == 0)
    return none;
  const auto& r = p.s.requests[found->second];
  // Of two that race both numbers are current, and the request's own is the lower one.
  const bool earlier = attempt.number <= r.attempt;
  if (r.rival != attempt.number && !earlier)
    return adopted_row(p.s, attempt);
  if (out(r)) {
    judge(p, r, false);
    revoke(p, r, "another attempt ended well");
  }
  return found->second;
}

/// Rows that are written when an attempt ends. Where it runs was decided long ago, so that none of
/// them need be in a cache.
void fetch_for_end(const core_state& s, const request_row& r) {
  fetch_soon(s.models[r.model].endpoints.at(r.place));
  fetch_soon(s.pairs[r.pair]);
  fetch_soon(s.instances[r.instance]);
  s.explained.fetch(r.explained);
}

/// What its node told that the attempt cost, if it did.
void note_paid(request_row& r, const std::optional<std::uint64_t>& cost_micros) {
  if (cost_micros)
    r.paid_micros = static_cast<std::int64_t>(std::min(*cost_micros, limits::money_micros_max));
}

} // namespace

void on(pass& p, const attempt_finished& e) {
  heard_gateway(p.s, e.attempt.request.gateway, p.now);
  auto slot = current(p.s, e.attempt);
  if (slot != none) {
    fetch_for_end(p.s, p.s.requests[slot]);
    slot = win(p, slot);
    learn_from(p, p.s.requests[slot], e.measured);
    auto& done = p.s.requests[slot];
    note_paid(done, e.measured.cost_micros);
    done.tokens = std::max(done.tokens, e.measured.usage.completion_tokens);
  } else {
    slot = ended_row(p, e.attempt);
  }
  if (slot == none)
    return;
  ending how;
  how.outcome = request_outcome::finished;
  how.usage = e.measured.usage;
  end_request(p, slot, how);
}

void on(pass& p, const attempt_failed& e) {
  heard_gateway(p.s, e.attempt.request.gateway, p.now);
  auto slot = current(p.s, e.attempt);
  // What the gateway has shown of it, or refused for good, ends the race.
  if (slot != none && (e.emitted_tokens > 0 || e.failure.action == recovery::refuse))
    slot = win(p, slot);
  if (slot == none) {
    if (const auto adopted = adopted_row(p.s, e.attempt); adopted != none) {
      p.s.requests[adopted].emitted = std::max(p.s.requests[adopted].emitted, e.emitted_tokens);
      lose_adopted(p, adopted, e.failure, false);
    }
    return;
  }
  note_paid(p.s.requests[slot], e.cost_micros);
  const bool link_lost = e.failure.code == data_link_lost;
  const auto instance = p.s.requests[slot].instance;
  const auto id = p.s.instances[instance].id;
  const auto node = node_of(p.s, p.s.instances[instance]);
  const bool later = e.failure.action == recovery::retry_later;
  failover how;
  how.failure = e.failure;
  how.emitted = e.emitted_tokens;
  how.died = engine_is_gone(p.s, p.s.requests[slot], e.failure);
  // An engine's end is one fault, however many it served; its successor may serve them all.
  how.fault = e.device_fault && e.failure.action != recovery::refuse && !later && !how.died;
  how.exclude = !later && !how.died;
  how.full = later && speaks_of_device(e.failure);
  how.counts = !later;
  // A process that ends takes all its streams with it: that is no storm of retries.
  how.costs_credit = !link_lost && !later && !how.died;
  how.spare_last = link_lost;
  how.drop = false;
  if (how.full)
    note_full(p, p.s.requests[slot], e.failure.message, e.retry_after_us);
  // Before another ticket is granted there.
  if (link_lost)
    suspect_node(p, node, "a gateway's link to its data port broke");
  fail_attempt(p, slot, how);
  const auto gone = p.s.instance_ids.find(id);
  if (how.died && gone != p.s.instance_ids.end()
      && p.s.instances[gone->second].state == instance_state::ready)
    fail_instance(p, gone->second, {e.failure});
}

} // namespace consort::core
