// SPDX-License-Identifier: Apache-2.0
// Hedges: a request that asked for it and waits too long for its first token gets a second attempt
// beside the first, on another device. The gateway goes on with whichever brings a token first and
// closes the other; what it reports decides here. Bounded by a budget of the cluster's and one per
// request; nobody who waits for a ticket is passed over for it.
#include "scheduler/anew.hpp"
#include "scheduler/modules.hpp"
#include "scheduler/picks.hpp"

#include <algorithm>

namespace consort::core {

namespace {

/// Of what the cluster runs itself, since a hedge is to cost no money, and not on these devices.
pick best_beside(core_state& s, request_row& r, const std::vector<index>& taken) {
  const auto kept = r.excluded;
  r.excluded.insert(r.excluded.end(), taken.begin(), taken.end());
  r.stays = true;
  const barriers nothing;
  const auto asked = question_of(s, r, nothing);
  const auto found = choose(s, s.models[r.model], asked).start;
  r.stays = false;
  r.excluded = kept;
  return found;
}

/// It begins there at once, and may meet the deadline.
bool worth_it_at(const core_state& s, const request_row& r, const pick& found) {
  if (found.place == none)
    return false;
  const auto& endpoints = s.models[r.model].endpoints;
  if (!endpoints.runs_now(found.place, r.meta.choices))
    return false;
  const auto& pace = endpoints.pace(found.place);
  const auto first_ns = std::min(queue_left(pace, s.now * 1000), term_ns_max / 2) + pace.first_ns
                        + std::int64_t{r.size.prompt_tokens} * pace.prefill_ns;
  return r.deadline_at == 0 || s.now + first_ns / 1000 < r.deadline_at;
}

/// Of a plan its members work, and whatever plan one of them works for waits for it, too.
void add_stages(const core_state& s, std::vector<index>& devices) {
  const auto known = [&](index device) {
    return std::find(devices.begin(), devices.end(), device) != devices.end();
  };
  for (const auto plan : s.plans)
    for (const auto member : stages_of(s, plan))
      if (member != none && known(plan))
        devices.push_back(member);
  for (const auto plan : s.plans) {
    const auto members = stages_of(s, plan);
    if (!known(plan) && std::any_of(members.begin(), members.end(), known))
      devices.push_back(plan);
  }
}

/// On another node if that has room, else on other devices.
pick place_beside(core_state& s, request_row& r) {
  auto mine = s.instances[r.instance].devices;
  add_stages(s, mine);
  std::vector<index> near;
  for (const auto device : mine)
    near.insert(near.end(), s.nodes[s.devices[device].node].devices.begin(),
                s.nodes[s.devices[device].node].devices.end());
  add_stages(s, near);
  if (const auto far = best_beside(s, r, near); worth_it_at(s, r, far))
    return far;
  const auto close = best_beside(s, r, mine);
  return worth_it_at(s, r, close) ? close : pick{};
}

void grant_hedge(pass& p, index slot, const pick& found) {
  auto& s = p.s;
  auto& r = s.requests[slot];
  const auto device = s.models[r.model].endpoints.at(found.place).device;
  const auto why = "hedge: no token from " + s.devices[r.last_device].spec.id.value + " for "
                   + std::to_string((p.now - r.granted_at) / 1000) + " ms, predicted "
                   + std::to_string(r.first_predicted_ns / 1'000'000);
  record_grant(p, slot, found.place, false, why);
  s.hedge_credit_pm -= limits::hedge_cost_pm;
  ++s.counters.hedges;
  ++s.hedges;
  r.hedge_at = 0;
  r.hedged = true;
  const auto at = s.requests.add();
  auto& hedge = s.requests[at];
  hedge = r;
  static_cast<attempt_row&>(hedge) = {};
  hedge.is_hedge = true;
  hedge.twin = slot;
  open_attempt(p, at, found.place, found.saved);
  r.issued = hedge.issued;
  r.twin = at;
  p.tell(note::severity::info, s.devices[device].spec.id.value,
         "request " + r.meta.external_id + " runs here too, attempt "
             + std::to_string(hedge.attempt) + ": " + why);
  auto& told = p.sent<grant_ticket>();
  write_ticket(s, hedge, told.granted);
  told.queued_us = r.queued_us;
  told.hedge = true;
}

void forget_hedge(core_state& s, index slot) {
  auto& r = s.requests[slot];
  s.requests.free(r.twin);
  r.twin = none;
  --s.hedges;
}

/// Later by far than its device's own model says is the device's fault, as with a stream: nothing
/// else would be learned of a device that every other outruns.
failover lost_race(const core_state& s, const request_row& r) {
  auto how = outrun();
  how.fault = s.now - r.granted_at > limits::slow_factor * (r.first_predicted_ns / 1000 + 1);
  return how;
}

/// Requires: the request's own attempt has been let go.
void take_its_place(core_state& s, index slot) {
  auto& r = s.requests[slot];
  const auto lost = r.attempt;
  static_cast<attempt_row&>(r) = s.requests[r.twin];
  s.instances[r.instance].attempts[r.listed] = slot;
  move_holds(s, r.twin, slot);
  r.rival = lost;
  forget_hedge(s, slot);
  ++s.counters.hedges_won;
  s.dues.set(slot, next_due(s, r));
}

} // namespace

time_us hedge_due(const core_state& s, const request_row& r) {
  if (!r.meta.hedge || r.hedged || r.emitted > 0)
    return 0;
  auto wait
      = std::min(r.first_predicted_ns / 1000, limits::stall_max_us) * limits::hedge_wait_factor;
  if (r.deadline_at != 0) // Half of what is left is for the hedge.
    wait = std::min(wait, (r.deadline_at - s.now) / 2);
  return s.now + std::max(wait, limits::hedge_wait_min_us);
}

void check_hedge(pass& p, index slot) {
  auto& s = p.s;
  auto& r = s.requests[slot];
  // Should there be no room now, it looks again when it has waited twice as long.
  r.hedge_at = p.now + std::max(p.now - r.granted_at, limits::hedge_wait_min_us);
  const bool may = s.hedge_credit_pm >= limits::hedge_cost_pm && s.models[r.model].queue.empty()
                   && !unreachable(s, r) && r.issued < limits::attempts_total_max;
  if (may)
    if (const auto found = place_beside(s, r); found.place != none)
      grant_hedge(p, slot, found);
  s.dues.set(slot, next_due(s, r));
}

void end_hedge(pass& p, index slot, const failover& how) {
  auto& s = p.s;
  auto& r = s.requests[slot];
  const auto at = r.twin;
  auto& hedge = s.requests[at];
  judge(p, hedge, how.fault, how.failure.message);
  if (how.revoke)
    revoke(p, hedge, how.failure.message);
  let_go(p, at);
  r.rival = hedge.attempt;
  if (how.drop)
    p.send(drop_attempt{{r.meta.id, r.rival}, how.failure.message});
  forget_hedge(s, slot);
}

void give_way(pass& p, index slot, const failover& how) {
  auto& s = p.s;
  auto& r = s.requests[slot];
  judge(p, r, how.fault, how.failure.message);
  if (how.revoke)
    revoke(p, r, how.failure.message);
  r.failure = how.failure;
  if (how.exclude)
    exclude(s, r, p.now, how.spare_last);
  let_go(p, slot);
  if (how.drop)
    p.send(drop_attempt{{r.meta.id, r.attempt}, how.failure.message});
  take_its_place(s, slot);
}

failover outrun() {
  failover how;
  how.failure = {recovery::refuse, "outrun", "another attempt brought a token first"};
  how.fault = false;
  how.drop = false;
  how.revoke = true;
  return how;
}

index win(pass& p, index slot) {
  const auto& row = p.s.requests[slot];
  if (row.is_hedge) {
    const auto request = row.twin;
    give_way(p, request, lost_race(p.s, p.s.requests[request]));
    return request;
  }
  if (row.twin != none)
    end_hedge(p, slot, lost_race(p.s, p.s.requests[row.twin]));
  return slot;
}

bool prefers_rival(pass& p, const attempt_id& attempt, std::uint32_t tokens) {
  auto& s = p.s;
  const auto found = s.request_ids.find(attempt.request);
  if (found == s.request_ids.end() || tokens == 0)
    return false;
  const auto slot = found->second;
  auto& r = s.requests[slot];
  if (r.rival == 0 || r.rival != attempt.number || r.tokens > 0)
    return false;
  r.rival = 0;
  auto how = outrun();
  how.failure = {recovery::retry_elsewhere, "attempt_dropped", "its gateway had chosen another"};
  how.emitted = tokens;
  if (r.phase == request_phase::ticketed || r.phase == request_phase::running) {
    fail_attempt(p, slot, how);
    return true;
  }
  if (r.phase != request_phase::adopted) {
    note_text(s, r, tokens);
    return true;
  }
  r.emitted = std::max(r.emitted, tokens);
  lose_adopted(p, slot, how.failure, false);
  return true;
}

} // namespace consort::core
