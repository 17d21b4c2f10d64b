// SPDX-License-Identifier: Apache-2.0
// Allocations: shares of devices on one or more nodes, all or nothing, in two phases. Our ledger of
// promises decides what is asked for; each node has the last word on its own devices.
#include "scheduler/handlers.hpp"
#include "scheduler/overlap.hpp"

#include <algorithm>

namespace consort::core {

namespace {

void promise(core_state& s, const device_share& share) {
  auto& device = s.devices[find(s.device_names, share.device.value)];
  ++device.allocations;
  if (share.whole)
    ++device.whole;
  else
    device.promised_bytes += share.memory_bytes;
}

void take_back(core_state& s, const device_share& share) {
  auto& device = s.devices[find(s.device_names, share.device.value)];
  assert(device.allocations > 0);
  --device.allocations;
  if (share.whole)
    --device.whole;
  else
    device.promised_bytes -= share.memory_bytes;
}

/// The first phase failed: everything goes back, and the owner hears of it.
void abandon(pass& p, allocation_id id, const error& why) {
  const auto grant = p.s.allocations.at(id).grant;
  release(p, id);
  if (grant.owner_compile)
    return fail_compile(p, grant.owner_compile, why);
  const auto found = p.s.instance_ids.find(grant.owner_instance);
  if (found != p.s.instance_ids.end())
    fail_instance(p, found->second, {why, true});
}

allocation_member* member_of(core_state& s, allocation_entry& entry, const node_id& node,
                             incarnation life, epoch fence) {
  const auto at = find(s.node_names, node.value);
  if (entry.grant.fence != fence)
    return nullptr;
  for (auto& one : entry.members)
    if (one.node == at && one.life == life)
      return &one;
  return nullptr;
}

} // namespace

bool fits(const core_state& s, const device_share& share) {
  const auto at = find(s.device_names, share.device.value);
  if (at == none)
    return false;
  const auto& device = s.devices[at];
  if (device.whole > 0 || (share.whole && device.allocations > 0))
    return false;
  const auto memory = device.spec.memory_bytes;
  if (!share.whole && memory != 0
      && (share.memory_bytes > memory || device.promised_bytes > memory - share.memory_bytes))
    return false;
  const auto& neighbours = s.nodes[device.node].devices;
  return std::none_of(neighbours.begin(), neighbours.end(), [&](index other) {
    const auto& one = s.devices[other];
    return other != at && one.allocations > 0 && exclude_each_other(one.spec, device.spec);
  });
}

allocation_id reserve(pass& p, std::vector<device_share> shares, instance_id owner,
                      compile_id compile) {
  const allocation_id id{++p.s.next_number};
  auto& entry = p.s.allocations[id];
  entry.grant.id = id;
  entry.grant.fence = epoch{++p.s.next_epoch};
  entry.grant.shares = std::move(shares);
  entry.grant.owner_instance = owner;
  entry.grant.owner_compile = compile;
  entry.deadline = p.now + limits::reserve_timeout_us;
  for (const auto& share : entry.grant.shares) {
    promise(p.s, share);
    const auto node = p.s.devices[find(p.s.device_names, share.device.value)].node;
    const bool asked = std::any_of(entry.members.begin(), entry.members.end(),
                                   [&](const allocation_member& one) { return one.node == node; });
    if (!asked)
      entry.members.push_back({node, p.s.nodes[node].life, false});
  }
  for (const auto& member : entry.members)
    p.send(reserve_allocation{p.s.nodes[member.node].id, entry.grant});
  arm(p.s, entry.deadline, timer_kind::allocation, id.value);
  return id;
}

void adopt_allocation(pass& p, const allocation& grant) {
  auto& entry = p.s.allocations[grant.id];
  entry.grant = grant;
  entry.grant.state = allocation_state::granted;
  for (const auto& share : grant.shares) {
    promise(p.s, share);
    const auto node = p.s.devices[find(p.s.device_names, share.device.value)].node;
    if (std::none_of(entry.members.begin(), entry.members.end(),
                     [&](const allocation_member& one) { return one.node == node; }))
      entry.members.push_back({node, p.s.nodes[node].life, true});
  }
}

void release(pass& p, allocation_id id) {
  const auto found = p.s.allocations.find(id);
  if (found == p.s.allocations.end())
    return;
  const auto entry = std::move(found->second);
  p.s.allocations.erase(found);
  for (const auto& share : entry.grant.shares)
    take_back(p.s, share);
  // A node that is gone in that life holds nothing any more.
  for (const auto& member : entry.members)
    if (believed(p.s, member.node, member.life))
      p.send(release_allocation{p.s.nodes[member.node].id, id, entry.grant.fence});
  changed(p.s);
}

void check_allocation(pass& p, allocation_id id) {
  const auto found = p.s.allocations.find(id);
  if (found == p.s.allocations.end() || found->second.grant.state != allocation_state::reserving
      || found->second.deadline > p.now)
    return; // When the deadline moved, another timer was armed for it.
  abandon(p, id,
          {recovery::retry_elsewhere, "reserve_timeout", "a node did not answer for its devices"});
}

void on(pass& p, const allocation_reserved& e) {
  const auto found = p.s.allocations.find(e.allocation);
  if (found == p.s.allocations.end()) {
    // Given up meanwhile: what the node holds now is nobody's.
    const auto node = find(p.s.node_names, e.node.value);
    if (believed(p.s, node, e.life))
      p.send(release_allocation{e.node, e.allocation, e.fence});
    return;
  }
  auto& entry = found->second;
  auto* member = member_of(p.s, entry, e.node, e.life, e.fence);
  if (member == nullptr || entry.grant.state != allocation_state::reserving)
    return;
  member->reserved = true;
  if (member == &entry.members.front())
    entry.grant.master = e.rendezvous;
  if (!std::all_of(entry.members.begin(), entry.members.end(),
                   [](const allocation_member& one) { return one.reserved; }))
    return;
  entry.grant.state = allocation_state::granted;
  if (entry.grant.owner_compile)
    return begin_compile(p, entry.grant.owner_compile);
  begin_load(p, p.s.instance_ids.at(entry.grant.owner_instance));
}

void on(pass& p, const allocation_refused& e) {
  const auto found = p.s.allocations.find(e.allocation);
  if (found == p.s.allocations.end()
      || member_of(p.s, found->second, e.node, e.life, e.fence) == nullptr
      || found->second.grant.state != allocation_state::reserving)
    return;
  abandon(p, e.allocation, e.reason);
}

} // namespace consort::core
