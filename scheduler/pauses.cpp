// SPDX-License-Identifier: Apache-2.0
// This process may stand still: SIGSTOP, a machine with too much to do. What others said meanwhile
// waits unread, so nobody may be judged by the time that passed.
#include "scheduler/modules.hpp"
#include "scheduler/units.hpp"

#include <algorithm>

namespace consort::core {

namespace {

/// The node is told, so that both sides go by the same lease.
void extend_leases(pass& p, duration_us span) {
  for (const auto& [name, at] : p.s.node_names) {
    auto& node = p.s.nodes[at];
    if (!node.alive)
      continue;
    node.lease_until += span;
    node.suspect_at = std::min(node.suspect_at + span, p.now);
    p.send(grant_lease{node.id, node.life, node.lease_epoch, node.lease_until});
  }
}

void extend_attempts(pass& p, duration_us span) {
  const auto later = [&](time_us& at) { at = std::min(at + span, p.now); };
  for (index slot = 0; slot < p.s.requests.end(); ++slot) {
    if (!p.s.requests.holds(slot))
      continue;
    auto& r = p.s.requests[slot];
    if (r.phase == request_phase::adopted)
      r.not_before += span;
    r.hedge_at += r.hedge_at != 0 ? span : 0;
    later(r.granted_at);
    later(r.heard_at);
    if (r.missing_at != 0)
      later(r.missing_at);
  }
}

void extend_others(pass& p, duration_us span) {
  for (auto& [id, entry] : p.s.allocations) {
    if (entry.grant.state != allocation_state::reserving)
      continue;
    entry.deadline += span;
    arm(p.s, entry.deadline, timer_kind::allocation, id.value);
  }
  for (const auto& [id, at] : p.s.gateway_ids) {
    auto& gateway = p.s.gateways[at];
    gateway.heard_at = std::min(gateway.heard_at + span, p.now);
    gateway.until += span; // Its timer fires early and is armed again.
  }
}

} // namespace

std::optional<time_us> earliest_due(const core_state& s) {
  const auto first = s.dues.first();
  if (s.timers.empty())
    return first ? std::optional(first->at) : std::nullopt;
  const auto timer = s.timers.first().at;
  return first ? std::min(timer, first->at) : timer;
}

void make_up_for_pause(pass& p) {
  const auto due = earliest_due(p.s);
  if (!due || p.now - *due <= limits::starved_us)
    return;
  const auto late = p.now - *due;
  extend_leases(p, late + limits::starved_grace_us);
  extend_attempts(p, late + limits::starved_grace_us);
  extend_others(p, late + limits::starved_grace_us);
  p.tell(note::severity::warning, p.s.config.cluster,
         "the scheduler stood still for " + format_duration(late)
             + ": leases and watchdogs are extended by as much");
}

void look_later(pass& p) {
  const auto& nodes = p.s.node_names;
  if (p.s.looking || std::none_of(nodes.begin(), nodes.end(), [&](const auto& one) {
        return p.s.nodes[one.second].alive;
      }))
    return;
  p.s.looking = true;
  arm(p.s, p.now + limits::look_us, timer_kind::look, 0);
}

} // namespace consort::core
