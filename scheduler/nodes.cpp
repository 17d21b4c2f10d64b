// SPDX-License-Identifier: Apache-2.0
// Leases and incarnations: who is believed alive, and under which epoch.
#include "scheduler/handlers.hpp"
#include "scheduler/load_bars.hpp"
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
  claim_hold(p, id.value, {});
  return at;
}

/// A node that comes and goes is given work again only after a while that doubles; sooner where
/// nobody else is left, see call_back().
void put_on_probation(pass& p, index at) {
  auto& node = p.s.nodes[at];
  if (node.losses < 2 || p.now - node.lost_at > limits::flap_window_us)
    return;
  const auto pause = backoff(limits::flap_pause_min_us, limits::flap_pause_max_us, node.losses - 2);
  node.back_at = p.now;
  node.trusted_at = p.now + pause;
  p.s.rests_until = std::max(p.s.rests_until, node.trusted_at);
  arm(p.s, node.trusted_at, timer_kind::trust, at);
  if (pause > limits::flap_patience_us)
    arm(p.s, p.now + limits::flap_patience_us, timer_kind::trust, at);
  p.tell(note::severity::warning, node.id.value,
         "was lost " + std::to_string(node.losses) + " times lately: takes work in "
             + format_duration(pause));
}

} // namespace

namespace {

/// Its devices are to be named again: one whose plugin went while it was down never is.
void await_devices(pass& p, index node) {
  forgive_devices(p, node);
  for (const auto at : p.s.nodes[node].devices) {
    auto& device = p.s.devices[at];
    if (device.withdrawn)
      continue;
    device.withdraw_at = p.now + limits::rejoin_grace_us;
    arm(p.s, device.withdraw_at, timer_kind::withdraw, at);
  }
}

} // namespace

void refresh_node(pass& p, index at) {
  for (const auto device : p.s.nodes[at].devices)
    refresh_device(p.s, device);
  changed(p.s);
}

bool may_be_called_back(const core_state& s, index at) {
  const auto& node = s.nodes[at];
  return node.alive && !node.suspect && !node.stopped() && s.now < node.trusted_at
         && s.now >= node.back_at + limits::flap_patience_us;
}

void call_back(pass& p, index at, const std::string& model) {
  auto& node = p.s.nodes[at];
  node.trusted_at = p.now;
  p.tell(note::severity::warning, node.id.value,
         "takes work before its pause is over: nobody else serves " + model);
  refresh_node(p, at);
}

bool believed(const core_state& s, index node, incarnation life) {
  return node != none && s.nodes[node].alive && s.nodes[node].life == life;
}

namespace {

/// Of the plugins that fail or lack something: once when that begins, and once when it ends, be it
/// that the plugin was mended or that it was removed.
void tell_plugins(pass& p, const node_state& node, const std::map<std::string, std::string>& told) {
  for (const auto& [key, why] : node.attributes)
    if (key.starts_with(plugin_attribute) && !told.contains(key))
      p.tell(note::severity::warning, node.id.value, key + ": " + why);
  for (const auto& [key, why] : told)
    if (key.starts_with(plugin_attribute) && !node.attributes.contains(key))
      p.tell(note::severity::info, node.id.value, key + ": what was said of it holds no longer");
}

/// A compiler that was mended under its old version shows in this attribute only. The others hold
/// words for people, which may differ at each look.
std::string compilers_of(const std::map<std::string, std::string>& attributes) {
  const auto known = attributes.find(compilers_attribute);
  return known == attributes.end() ? std::string() : known->second;
}

} // namespace

void on(pass& p, const node_joined& e) {
  if (e.node.empty() || !e.life)
    return;
  const auto at = node_row(p, e.node);
  if (at == none)
    return fence(p, e.node, e.life, "the cluster is full: no more nodes are taken");
  auto& node = p.s.nodes[at];
  const auto told = node.attributes;
  const bool same_life = node.life == e.life;
  // What it still runs was given to others: it must drop that first.
  if (!node.alive && same_life)
    return fence(p, e.node, e.life, "its lease ended in this incarnation");
  if (node.alive && !same_life)
    lose_node(p, at, "a new incarnation said hello");
  const bool tools_changed = node.toolchains != e.toolchains
                             || compilers_of(node.attributes) != compilers_of(e.attributes);
  node.data_address = e.data_address;
  node.toolchains = e.toolchains;
  node.attributes = e.attributes;
  if (node.suspect && same_life)
    p.tell(note::severity::info, node.id.value, "linked again, takes work");
  node.suspect = false;
  node.leaving = false; // Said again by one that still does.
  if (p.s.settling_until == 0)
    p.s.settling_until = p.now + p.s.config.minima_settle_us;
  if (!node.alive) {
    node.alive = true;
    await_devices(p, at);
    node.lease_until = 0;
    node.life = e.life;
    node.lease_epoch = epoch{++p.s.next_epoch};
    p.tell(note::severity::info, node.id.value, "node is up");
    arm(p.s, p.now + p.s.config.lease_us, timer_kind::lease, at);
    look_later(p);
    put_on_probation(p, at);
    if (e.returning) {
      note_takeover(p.s, p.now);
      node.telling_until = p.now + p.s.config.lease_us;
      arm(p.s, node.telling_until, timer_kind::trust, at);
    }
  }
  send_lease(p, node);
  if (same_life)
    repeat_orders(p, at);
  if (tools_changed || !same_life)
    forgive_builds_of(p.s, at);
  if (tools_changed) { // Another build of a runtime may load what the former would not.
    for (const auto device : node.devices)
      forgive_loads_on(p.s, device);
    changed_statically(p.s);
  }
  tell_plugins(p, node, told);
  refresh_node(p, at);
}

namespace {

/// What was there is gone. `what` became of the node, behind its name.
void take_down(pass& p, index at, const std::string& what, bool expected) {
  auto& node = p.s.nodes[at];
  node.alive = false;
  node.suspect = false;
  node.leaving = false;
  p.tell(expected ? note::severity::info : note::severity::warning, node.id.value, "node " + what);
  const auto why = "node " + node.id.value + " " + what;
  for (const auto device : node.devices) {
    lose_device(p, device, why, expected);
    p.s.devices[device].withdraw_at = 0; // Whether it is gone is known when the node is back.
  }
  forget_artifacts_of(p, at, what);
  changed_statically(p.s);
}

/// Its agent stops in order. Until its goodbye it is as drained: what runs there may end there, and
/// what does not is failed over then. Going is no flap, so that it has no probation when it is
/// back.
void let_go(pass& p, index at, const node_lost& said) {
  auto& node = p.s.nodes[at];
  if (said.process_ended)
    return take_down(p, at, "left: " + (said.reason.empty() ? "stopped" : said.reason), true);
  if (node.leaving)
    return;
  node.leaving = true;
  p.tell(note::severity::info, node.id.value, "is about to leave, takes no new work");
  refresh_node(p, at);
}

} // namespace

void on(pass& p, const node_lost& e) {
  const auto at = find(p.s.node_names, e.node.value);
  if (e.for_good && at != none && p.s.nodes[at].life == e.life)
    for (const auto device : p.s.nodes[at].devices)
      withdraw_device(p.s, device);
  if (!believed(p.s, at, e.life))
    return;
  if (e.leaving)
    return let_go(p, at, e);
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
          if (!s.requests[slot].is_hedge)
            s.dues.set_at_most(slot, next_due(s, s.requests[slot]));
  refresh_node(p, at);
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
  refresh_node(p, at);
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
  const bool again = node.losses > 0 && p.now - node.lost_at <= limits::flap_window_us;
  node.losses = again ? std::min(node.losses + 1, limits::flaps_max) : 1;
  node.lost_at = p.now;
  take_down(p, at, "is down: " + why, false);
}

} // namespace consort::core
