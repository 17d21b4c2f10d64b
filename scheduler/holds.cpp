// SPDX-License-Identifier: Apache-2.0
// Drains and cordons: what operators stopped, until when, and what is kept of it for the next
// scheduler life.
#include "scheduler/holds.hpp"

#include "scheduler/handlers.hpp"
#include "scheduler/nearest_name.hpp"
#include "scheduler/units.hpp"

#include <algorithm>

namespace consort::core {

namespace {

/// A node or device by its id; `row` is null when there is no such thing.
struct hold_target {
  held_row* row = nullptr;
  index at = none;
  bool is_node = false;
};

hold_target target_of(core_state& s, const std::string& id) {
  if (const auto node = find(s.node_names, id); node != none)
    return {&s.nodes[node], node, true};
  if (const auto device = find(s.device_names, id); device != none)
    return {&s.devices[device], device, false};
  return {};
}

std::string suggest_target(const core_state& s, const std::string& wanted) {
  std::vector<std::string> known;
  for (const auto& [name, at] : s.node_names)
    known.push_back(name);
  for (const auto& [name, at] : s.device_names)
    known.push_back(name);
  return did_you_mean(wanted, known);
}

void set_deadline(pass& p, const hold_target& target, time_us until) {
  const auto kind = target.is_node ? timer_kind::drain_node : timer_kind::drain_device;
  p.s.timers.erase({target.row->move_at, kind, target.at});
  target.row->move_at = until;
  if (until != 0)
    arm(p.s, until, kind, target.at);
}

/// Whatever has a share of the device ends there: an instance lives and dies as one.
void move_away(pass& p, index device) {
  failover how;
  how.failure = {recovery::retry_elsewhere, drained_code,
                 p.s.devices[device].spec.id.value + " was drained"};
  how.fault = false;
  how.exclude = true; // Nowhere else to go is an end, not a wait for what is being emptied.
  how.revoke = true;
  const auto there = p.s.devices[device].instances;
  for (const auto instance : there) {
    fail_attempts(p, p.s.instances[instance].attempts, how);
    if (p.s.instances.holds(instance)) // A retired one goes with its last attempt.
      fail_attempts(p, p.s.instances[instance].staged, how);
  }
}

/// What of the instance's is drained, and why; empty when nothing is.
std::string drained_words(const core_state& s, const instance_row& one) {
  for (const auto at : one.devices) {
    const auto& device = s.devices[at];
    const auto& node = s.nodes[device.node];
    if (!device.draining && !node.draining)
      continue;
    const auto& why = device.draining ? device.hold_reason : node.hold_reason;
    return (device.draining ? device.spec.id.value : node.id.value) + " is drained"
           + (why.empty() ? std::string() : ": " + why);
  }
  return {};
}

/// What is idle leaves now, the rest with its last attempt.
void empty_device(pass& p, index device) {
  const auto there = p.s.devices[device].instances;
  for (const auto instance : there)
    if (p.s.instances.holds(instance))
      empty_drained(p, instance);
}

std::string words_of(const drain_changed& e, duration_us after) {
  const std::string what = e.kind == hold_kind::cordon ? "cordoned" : "draining";
  const std::string lifted = e.kind == hold_kind::any ? "takes work again" : "no longer " + what;
  return (e.draining ? what : lifted)
         + (after > 0 ? ", what still runs in " + format_duration(after) + " is moved" : "")
         + (e.reason.empty() ? std::string() : ": " + e.reason);
}

void view_hold(const held_row& row, const std::string& id, const std::string& identity, time_us now,
               hold_map& into) {
  if (row.stopped())
    into[id] = {row.draining, row.cordoned, row.hold_reason,
                row.move_at == 0 ? 0 : std::max<duration_us>(row.move_at - now, 1), identity};
}

/// What was kept of this hardware, under whatever id of its node it had then, else of this id where
/// nobody knew the hardware.
hold_map::iterator kept_of(hold_map& all, const std::string& id, const std::string& identity) {
  const auto kept = all.find(id);
  if (kept != all.end() && (kept->second.identity.empty() || kept->second.identity == identity))
    return kept;
  const auto prefix = id.substr(0, id.find('/') + 1);
  return identity.empty() || prefix.empty()
             ? all.end()
             : std::find_if(all.begin(), all.end(), [&](const auto& one) {
                 return one.second.identity == identity && one.first.starts_with(prefix);
               });
}

} // namespace

bool on_drained(const core_state& s, const instance_row& one) {
  return std::any_of(one.devices.begin(), one.devices.end(), [&](index at) {
    return s.devices[at].draining || s.nodes[s.devices[at].node].draining;
  });
}

bool empty_drained(pass& p, index instance) {
  const auto& one = p.s.instances[instance];
  if (one.state != instance_state::ready || one.retiring || !one.idle() || !on_drained(p.s, one))
    return false;
  retire(p, instance, drained_words(p.s, one));
  return true;
}

void claim_hold(pass& p, const std::string& id, const std::string& identity) {
  auto& all = p.s.holds_to_come;
  const auto kept = kept_of(all, id, identity);
  if (const auto other = all.find(id); other != all.end() && other != kept)
    p.tell(note::severity::warning, id,
           "is other hardware than what was held under this id, and is not held for it: " + identity
               + ", not " + other->second.identity);
  if (kept == all.end())
    return;
  const auto told = std::move(kept->second);
  if (kept->first != id || told.identity != identity)
    ++p.s.holds_version; // It is kept under another id from now on, or with its hardware.
  all.erase(kept);
  const auto target = target_of(p.s, id);
  target.row->draining = told.draining;
  target.row->cordoned = told.cordoned;
  target.row->hold_reason = told.reason;
  if (told.move_after_us > 0)
    set_deadline(p, target,
                 p.now + std::min<duration_us>(told.move_after_us, limits::drain_wait_max_us));
  p.tell(note::severity::info, id,
         std::string(told.draining ? "is still draining" : "is still cordoned")
             + (told.reason.empty() ? "" : ": " + told.reason));
}

hold_map holds_of(const core_state& s, time_us now) {
  auto all = s.holds_to_come;
  for (const auto& [name, at] : s.node_names)
    view_hold(s.nodes[at], name, {}, now, all);
  for (const auto& [name, at] : s.device_names)
    view_hold(s.devices[at], name, s.devices[at].spec.uuid, now, all);
  return all;
}

void rehold(pass& p, index at, const device_spec& now) {
  auto& device = p.s.devices[at];
  const auto before = device.spec.uuid;
  if (before == now.uuid)
    return;
  if (device.stopped()) {
    view_hold(device, now.id.value, before, p.now, p.s.holds_to_come);
    set_deadline(p, {&device, at, false}, 0);
    device.draining = device.cordoned = false;
    device.hold_reason.clear();
    ++p.s.holds_version;
  }
  claim_hold(p, now.id.value, now.uuid);
}

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

namespace {

/// Of a target that has not been seen yet. Returns: whether anything was kept of it.
bool lift_kept(core_state& s, const std::string& target, bool drains, bool cordons) {
  const auto kept = s.holds_to_come.find(target);
  if (kept == s.holds_to_come.end())
    return false;
  auto& hold = kept->second;
  if (drains) {
    hold.draining = false;
    hold.move_after_us = 0;
  }
  hold.cordoned = hold.cordoned && !cordons;
  if (!hold.draining && !hold.cordoned)
    s.holds_to_come.erase(kept);
  ++s.holds_version;
  return true;
}

void apply(pass& p, const drain_changed& e) {
  auto& s = p.s;
  const auto target = target_of(s, e.target);
  const bool drains = e.kind != hold_kind::cordon;
  const bool cordons = e.kind == hold_kind::cordon || (e.kind == hold_kind::any && !e.draining);
  if (target.row == nullptr) {
    // Its node may never come back: what was kept of it can be lifted all the same.
    if (e.draining || !lift_kept(s, e.target, drains, cordons))
      p.tell(note::severity::warning, e.target,
             "cannot drain: no such node or device" + suggest_target(s, e.target));
    return;
  }
  const auto after = drains && e.draining
                         ? std::clamp<duration_us>(e.move_after_us, 0, limits::drain_wait_max_us)
                         : 0;
  const auto until = after > 0 ? p.now + after : drains ? 0 : target.row->move_at;
  auto& row = *target.row;
  const bool was_draining = row.draining;
  const bool was_cordoned = row.cordoned;
  if (drains)
    row.draining = e.draining;
  if (cordons)
    row.cordoned = e.draining;
  if (row.draining == was_draining && row.cordoned == was_cordoned && row.move_at == until) {
    // What had this id before may be held: that hardware is not here, and can be let go as well.
    if (!e.draining && lift_kept(s, e.target, drains, cordons))
      p.tell(note::severity::info, e.target, words_of(e, 0));
    return;
  }
  set_deadline(p, target, until);
  row.hold_reason = row.stopped() ? e.reason : std::string();
  ++s.holds_version;
  p.tell(note::severity::info, e.target, words_of(e, after));
  if (target.is_node) {
    refresh_node(p, target.at);
  } else {
    refresh_device(s, target.at);
    changed(s);
  }
  for (const auto device : target.is_node ? s.nodes[target.at].devices : std::vector{target.at})
    empty_device(p, device);
}

/// Of a board: new firmware is new for them as well.
std::vector<std::string> parts_of(const core_state& s, const std::string& board) {
  std::vector<std::string> parts;
  const auto at = find(s.device_names, board);
  if (at == none)
    return parts;
  for (const auto device : s.nodes[s.devices[at].node].devices)
    if (s.devices[device].spec.parent.value == board)
      parts.push_back(s.devices[device].spec.id.value);
  return parts;
}

} // namespace

void on(pass& p, const drain_changed& e) {
  apply(p, e);
  for (auto& part : parts_of(p.s, e.target)) {
    auto its = e;
    its.target = std::move(part);
    apply(p, its);
  }
}

} // namespace consort::core
