// SPDX-License-Identifier: Apache-2.0
// Leases and incarnations: who is believed alive, and under which epoch.
#include "scheduler/handlers.hpp"
#include "scheduler/nearest_name.hpp"
#include "scheduler/units.hpp"

#include <algorithm>

namespace consort::core {

namespace {

void send_lease(pass& p, node_state& node) {
  // A lease that was extended is not cut.
  node.lease_until = std::max(node.lease_until, p.now + p.s.config.lease_us);
  p.send(grant_lease{node.id, node.life, node.lease_epoch, node.lease_until});
}

void fence(pass& p, const node_id& node, incarnation life, const std::string& why) {
  p.send(fence_node{node, life, why});
}

index node_row(pass& p, const node_id& id) {
  const auto known = find(p.s.node_names, id.value);
  if (known != none || p.s.nodes.live() >= limits::nodes_max)
    return known;
  const auto at = p.s.nodes.add();
  p.s.nodes[at].id = id;
  p.s.node_names.emplace(id.value, at);
  return at;
}

std::string suggest_target(const core_state& s, const std::string& wanted) {
  std::vector<std::string> known;
  for (const auto& [name, at] : s.node_names)
    known.push_back(name);
  for (const auto& [name, at] : s.device_names)
    known.push_back(name);
  return did_you_mean(wanted, known);
}

void refresh_node(pass& p, const node_state& node) {
  for (const auto device : node.devices)
    refresh_device(p.s, device);
  changed(p.s);
}

} // namespace

bool believed(const core_state& s, index node, incarnation life) {
  return node != none && s.nodes[node].alive && s.nodes[node].life == life;
}

void on(pass& p, const node_joined& e) {
  if (e.node.empty() || !e.life)
    return;
  const auto at = node_row(p, e.node);
  if (at == none)
    return fence(p, e.node, e.life, "the cluster is full: no more nodes are taken");
  auto& node = p.s.nodes[at];
  const bool same_life = node.life == e.life;
  // What it still runs was given to others: it must drop that first.
  if (!node.alive && same_life)
    return fence(p, e.node, e.life, "its lease ended in this incarnation");
  if (node.alive && !same_life)
    lose_node(p, at, "a new incarnation said hello");
  const bool tools_changed = node.toolchains != e.toolchains;
  node.data_address = e.data_address;
  node.toolchains = e.toolchains;
  node.attributes = e.attributes;
  if (node.suspect && same_life)
    p.tell(note::severity::info, node.id.value, "linked again, takes work");
  node.suspect = false;
  if (!node.alive) {
    node.alive = true;
    for (const auto device : node.devices)
      forgive_device(p.s, device);
    node.lease_until = 0;
    node.life = e.life;
    node.lease_epoch = epoch{++p.s.next_epoch};
    p.tell(note::severity::info, node.id.value, "node is up");
    arm(p.s, p.now + p.s.config.lease_us, timer_kind::lease, at);
    look_later(p);
    if (e.returning)
      note_takeover(p.s, p.now);
  }
  send_lease(p, node);
  if (same_life)
    repeat_orders(p, at);
  if (tools_changed || !same_life)
    forgive_builds_of(p.s, at);
  if (tools_changed)
    changed_statically(p.s);
  refresh_node(p, node);
}

void on(pass& p, const node_lost& e) {
  const auto at = find(p.s.node_names, e.node.value);
  if (!believed(p.s, at, e.life))
    return;
  if (e.process_ended)
    return lose_node(p, at, e.reason.empty() ? "its process ended" : e.reason);
  suspect_node(p, at, e.reason.empty() ? "its link dropped" : e.reason);
}

void suspect_node(pass& p, index at, const std::string& why) {
  auto& s = p.s;
  auto& node = s.nodes[at];
  if (!node.alive || node.suspect)
    return;
  node.suspect = true;
  node.suspect_at = p.now;
  p.tell(note::severity::warning, node.id.value, "suspect, no new work: " + why);
  for (const auto device : node.devices)
    for (const auto instance : s.devices[device].instances)
      if (s.instances[instance].devices.front() == device)
        for (const auto slot : s.instances[instance].attempts)
          s.dues.set_at_most(slot, next_due(s, s.requests[slot]));
  refresh_node(p, node);
}

void on(pass& p, const lease_renewed& e) {
  const auto at = find(p.s.node_names, e.node.value);
  if (!believed(p.s, at, e.life)) {
    fence(p, e.node, e.life, "no lease is held under this incarnation: say hello again");
    return;
  }
  auto& node = p.s.nodes[at];
  send_lease(p, node);
  if (!node.suspect)
    return;
  node.suspect = false;
  p.tell(note::severity::info, node.id.value, "heard again, takes work");
  refresh_node(p, node);
}

void check_lease(pass& p, index at) {
  auto& node = p.s.nodes[at];
  if (!node.alive)
    return;
  if (node.lease_until > p.now)
    return arm(p.s, node.lease_until, timer_kind::lease, at);
  const auto life = node.life;
  lose_node(p, at, "its lease expired");
  fence(p, node.id, life, "its lease expired");
  p.tell(note::severity::warning, node.id.value, "fenced: what it still runs no longer counts");
}

void lose_node(pass& p, index at, const std::string& why) {
  auto& node = p.s.nodes[at];
  if (!node.alive)
    return;
  node.alive = false;
  node.suspect = false;
  p.tell(note::severity::warning, node.id.value, "node is down: " + why);
  for (const auto device : node.devices)
    lose_device(p, device, "node " + node.id.value + " is down: " + why);
  forget_artifacts_of(p, at, why);
  changed_statically(p.s);
}

namespace {

/// Whatever has a share of the device ends there: an instance lives and dies as one.
void move_away(pass& p, index device) {
  failover how;
  how.failure
      = {recovery::retry_elsewhere, "drained", p.s.devices[device].spec.id.value + " was drained"};
  how.fault = false;
  how.exclude = true; // Nowhere else to go is an end, not a wait for what is being emptied.
  how.revoke = true;
  const auto there = p.s.devices[device].instances;
  for (const auto instance : there)
    fail_attempts(p, p.s.instances[instance].attempts, how);
}

} // namespace

void check_drained_node(pass& p, index at) {
  auto& node = p.s.nodes[at];
  if (node.move_at == 0 || node.move_at > p.now)
    return;
  node.move_at = 0;
  for (const auto device : node.devices)
    move_away(p, device);
}

void check_drained_device(pass& p, index at) {
  auto& device = p.s.devices[at];
  if (device.move_at == 0 || device.move_at > p.now)
    return;
  device.move_at = 0;
  move_away(p, at);
}

void on(pass& p, const drain_changed& e) {
  const auto node = find(p.s.node_names, e.target);
  const auto device = find(p.s.device_names, e.target);
  if (node == none && device == none)
    return p.tell(note::severity::warning, e.target,
                  "cannot drain: no such node or device" + suggest_target(p.s, e.target));
  auto& flag = node != none ? p.s.nodes[node].draining : p.s.devices[device].draining;
  auto& move_at = node != none ? p.s.nodes[node].move_at : p.s.devices[device].move_at;
  const auto after = std::clamp<duration_us>(e.move_after_us, 0, limits::drain_wait_max_us);
  const auto until = e.draining && after > 0 ? p.now + after : 0;
  if (flag == e.draining && move_at == until)
    return;
  const auto kind = node != none ? timer_kind::drain_node : timer_kind::drain_device;
  const auto row = node != none ? node : device;
  p.s.timers.erase({move_at, kind, row});
  flag = e.draining;
  move_at = until;
  if (until != 0)
    arm(p.s, until, kind, row);
  p.tell(note::severity::info, e.target,
         (e.draining ? "draining" : "takes work again")
             + (until != 0 ? ", what still runs in " + format_duration(after) + " is moved" : "")
             + (e.reason.empty() ? std::string() : ": " + e.reason));
  if (node != none)
    return refresh_node(p, p.s.nodes[node]);
  refresh_device(p.s, device);
  changed(p.s);
}

} // namespace consort::core
