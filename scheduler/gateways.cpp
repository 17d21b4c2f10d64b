// SPDX-License-Identifier: Apache-2.0
// Gateways: a link that drops is a hint, for a grace. What a gateway still has it tells anew on a
// fresh link, to us or to the scheduler that takes our place.
#include "scheduler/anew.hpp"
#include "scheduler/handlers.hpp"

#include <algorithm>

namespace consort::core {

namespace {

/// Its live requests, in order of submission.
std::vector<index> requests_of(const core_state& s, index gateway) {
  std::vector<std::pair<std::uint64_t, index>> found;
  for (index slot = 0; slot < s.requests.end(); ++slot)
    if (s.requests.holds(slot) && s.requests[slot].gateway == gateway && !s.requests[slot].is_hedge)
      found.emplace_back(s.requests[slot].sequence, slot);
  std::sort(found.begin(), found.end());
  std::vector<index> slots;
  for (const auto& [sequence, slot] : found)
    slots.push_back(slot);
  return slots;
}

void end_as_cancelled(pass& p, const std::vector<index>& slots, const error& why) {
  ending how;
  how.outcome = request_outcome::cancelled;
  how.reason = why;
  for (const auto slot : slots)
    end_request(p, slot, how);
}

bool same_attempt(const request_row& r, const request_restored& e) {
  return e.running && e.running->attempt.number == r.attempt;
}

/// News of the attempt were lost with the link, in one direction or the other.
void try_again(pass& p, index slot, const request_restored& e) {
  failover how;
  how.failure = {recovery::retry_elsewhere, "link_lost", "its gateway's link dropped meanwhile"};
  how.emitted = e.emitted_tokens;
  how.fault = false;
  how.drop = false;
  how.revoke = true;
  fail_attempt(p, slot, how);
}

/// Of two attempts the gateway keeps the one that it names.
void end_race(pass& p, index slot, const request_restored& e) {
  const auto& r = p.s.requests[slot];
  if (r.twin == none)
    return;
  auto how = outrun();
  how.drop = true; // Both may run there.
  if (e.running && e.running->attempt.number == p.s.requests[r.twin].attempt)
    give_way(p, slot, how);
  else
    end_hedge(p, slot, how);
}

/// What the gateway has and what we have are brought together.
void bring_together(pass& p, index slot, const request_restored& e) {
  auto& r = p.s.requests[slot];
  r.round = p.s.gateways[r.gateway].round;
  end_race(p, slot, e);
  const bool same = same_attempt(r, e);
  if (r.phase == request_phase::running || r.phase == request_phase::ticketed) {
    if (!same)
      return try_again(p, slot, e);
    // Tokens of earlier attempts say nothing about this one.
    confirm_attempt(p, slot, e.emitted_tokens > r.emitted ? e.emitted_tokens : 0);
    if (r.phase == request_phase::running) // And not given up for its pace.
      r.heard_at = p.now;                  // It could not be heard before.
    return;
  }
  r.told = nullptr;
  if (r.phase == request_phase::adopted) {
    r.emitted = std::max(r.emitted, e.emitted_tokens);
    if (!same)
      lose_adopted(p, slot, {recovery::retry_elsewhere, "link_lost", "its attempt ended"}, false);
    return;
  }
  note_text(p.s, r, e.emitted_tokens);
  if (e.running)
    p.send(drop_attempt{e.running->attempt, "another attempt follows"});
}

/// A request of an earlier scheduler life, or one that we gave up.
void take_over(pass& p, const request_restored& e) {
  auto& s = p.s;
  const auto slot = admit(p, e.meta);
  if (slot == none)
    return;
  if (e.attempts > 0)
    note_takeover(s, p.now);
  auto& r = s.requests[slot];
  r.attempt = r.issued = std::min(e.attempts, limits::attempts_total_max);
  r.emitted = e.emitted_tokens;
  if (e.running && e.running->attempt.request == e.meta.id && e.running->attempt.number > 0
      && e.running->attempt.number <= r.issued) {
    r.attempt = e.running->attempt.number;
    if (r.attempt != r.issued) { // Its hedge was another scheduler's.
      r.rival = r.issued;
      p.send(drop_attempt{{e.meta.id, r.rival}, "the scheduler was replaced"});
    }
    r.phase = request_phase::adopted;
    r.not_before = p.now + limits::adopt_grace_us;
    r.sought = e.running->instance;
    r.rank = e.running->endpoint_rank;
    s.sought.emplace(r.sought, slot);
    if (attach(p, slot))
      return;
  } else {
    note_text(s, r, r.emitted);
    enqueue(s, slot);
    s.waiting_max = std::max(s.waiting_max, s.waiting);
  }
  s.dues.set(slot, next_due(s, r));
}

} // namespace

index gateway_of(core_state& s, gateway_id id) {
  const auto known = s.gateway_ids.find(id);
  if (known != s.gateway_ids.end())
    return known->second;
  const auto at = s.gateways.add();
  s.gateways[at].id = id;
  s.gateways[at].heard_at = s.now;
  s.gateway_ids.emplace(id, at);
  return at;
}

void leave_gateway(core_state& s, index gateway) {
  auto& row = s.gateways[gateway];
  if (--row.requests > 0)
    return;
  s.gateway_ids.erase(row.id);
  s.gateways.free(gateway);
}

void heard_gateway(core_state& s, gateway_id id, time_us now) {
  const auto known = s.gateway_ids.find(id);
  if (known != s.gateway_ids.end())
    s.gateways[known->second].heard_at = now;
}

void check_gateway(pass& p, index gateway) {
  if (!p.s.gateways.holds(gateway) || !p.s.gateways[gateway].away)
    return;
  if (p.s.gateways[gateway].until > p.now)
    return arm(p.s, p.s.gateways[gateway].until, timer_kind::gateway, gateway);
  end_as_cancelled(p, requests_of(p.s, gateway),
                   {recovery::refuse, "gateway_lost", "its gateway is gone"});
}

void on(pass& p, const gateway_lost& e) {
  auto& s = p.s;
  const auto known = s.gateway_ids.find(e.gateway);
  if (known == s.gateway_ids.end() || s.gateways[known->second].away)
    return;
  const auto gateway = known->second;
  auto& row = s.gateways[gateway];
  row.away = true;
  row.until = p.now + limits::gateway_grace_us;
  ++row.round;
  arm(s, row.until, timer_kind::gateway, gateway);
  for (const auto slot : requests_of(s, gateway)) {
    auto& r = s.requests[slot];
    if (r.phase == request_phase::waiting) {
      dequeue(s, slot);
      enqueue(s, slot);
    }
    s.dues.set(slot, next_due(s, r));
  }
}

void on(pass& p, const request_restored& e) {
  heard_gateway(p.s, e.meta.id.gateway, p.now);
  const auto known = p.s.request_ids.find(e.meta.id);
  const auto* before = p.s.ended.find(e.meta.id);
  if (known == p.s.request_ids.end() && before && before->said)
    p.send(*before->said); // The refusal was lost with the link; its record was made.
  else if (known == p.s.request_ids.end())
    take_over(p, e);
  else
    bring_together(p, known->second, e);
}

void on(pass& p, const gateway_restored& e) {
  auto& s = p.s;
  const auto known = s.gateway_ids.find(e.gateway);
  if (known == s.gateway_ids.end())
    return;
  const auto gateway = known->second;
  s.gateways[gateway].away = false;
  s.gateways[gateway].heard_at = p.now;
  std::vector<index> over;
  for (const auto slot : requests_of(s, gateway)) {
    auto& r = s.requests[slot];
    if (r.round != s.gateways[gateway].round)
      over.push_back(slot);
    if (r.phase == request_phase::parked)
      r.not_before = std::min(r.not_before, p.now);
    s.dues.set(slot, next_due(s, r));
  }
  end_as_cancelled(
      p, over, {recovery::refuse, "gateway_forgot", "its gateway has no such request any more"});
}

} // namespace consort::core
