// SPDX-License-Identifier: Apache-2.0
// Taking over what nodes have loaded for an earlier scheduler life. The leader of an instance tells
// of it, each further node of its rank; they come in any order, so what cannot be judged yet is
// kept until the nodes have had their time to dial.
#include "scheduler/adoption.hpp"

#include "scheduler/contexts.hpp"
#include "scheduler/handlers.hpp"

#include <algorithm>
#include <utility>

namespace consort::core {

namespace {

/// What is found makes a load of the same model there needless that is only under way.
void prefer_found(pass& p, index model, index device) {
  const auto there = p.s.devices[device].instances;
  for (const auto at : there) {
    const auto& one = p.s.instances[at];
    if (one.model == model
        && (one.state == instance_state::reserving || one.state == instance_state::loading))
      fail_instance(p, at, {{recovery::retry_later, "replica_found", "its node has one"}, false});
  }
}

/// The devices of the grant; empty when not all of them are here, or not free.
std::vector<index> devices_of(const core_state& s, const allocation& grant) {
  std::vector<index> devices;
  for (const auto& share : grant.shares) {
    const auto at = find(s.device_names, share.device.value);
    if (at == none || !s.devices[at].present || !fits(s, share)
        || std::find(devices.begin(), devices.end(), at) != devices.end())
      return {};
    devices.push_back(at);
  }
  return devices;
}

index artifact_with(const core_state& s, const digest& content, index node) {
  for (const auto& [key, at] : s.artifact_keys)
    for (const auto& copy : s.artifacts[at].copies)
      if (copy.node == node && copy.record.content == content)
        return at;
  return none;
}

/// Nobody here wants it: the node that tells gives everything back.
void dismiss(pass& p, const replica_found& e, index node) {
  const auto* const why = "not wanted any more";
  p.tell(note::severity::info, e.grant.shares.front().device.value,
         "unloads replica of " + e.model.value + ", of an earlier scheduler: " + why);
  p.send(unload_replica{p.s.nodes[node].id, e.instance, why});
  p.send(release_allocation{p.s.nodes[node].id, e.grant.id, e.grant.fence});
}

index adopt_instance(pass& p, const replica_found& e, index model, index variant,
                     std::vector<index> devices) {
  auto& s = p.s;
  const auto at = s.instances.add();
  auto& one = s.instances[at];
  one.id = e.instance;
  one.model = model;
  one.variant = variant;
  one.weights = e.weights;
  one.adapters = e.adapters;
  one.content = e.artifact.empty() ? e.weights : e.artifact;
  one.devices = std::move(devices);
  if (!e.artifact.empty())
    one.artifact = artifact_with(s, e.artifact, node_of(s, one));
  one.context_tokens = s.models[model].spec.variants[variant].context_tokens;
  one.started_at = one.ready_at = one.used_at = p.now;
  one.state = instance_state::ready;
  one.runtime = e.runtime;
  note_context(s.models[model], e.runtime);
  one.grant = e.grant.id;
  adopt_allocation(p, e.grant);
  s.allocations.at(one.grant).grant.owner_instance = one.id;
  s.allocations.at(one.grant).grant.owner_compile = {};
  s.instance_ids.emplace(one.id, at);
  auto& listed = s.models[model].instances;
  listed.insert(
      std::upper_bound(listed.begin(), listed.end(), one.id,
                       [&](instance_id id, index other) { return id < s.instances[other].id; }),
      at);
  for (const auto device : one.devices)
    s.devices[device].instances.push_back(at);
  // Numbers of our own must not meet those of an earlier life.
  s.next_number = std::max({s.next_number, e.instance.value, e.grant.id.value});
  s.next_epoch = std::max(s.next_epoch, e.grant.fence.value);
  return at;
}

/// Attempts of an earlier scheduler life that waited for their instance.
void attach_sought(pass& p, instance_id id) {
  std::vector<index> slots;
  const auto [first, last] = p.s.sought.equal_range(id);
  for (auto at = first; at != last; ++at)
    slots.push_back(at->second);
  for (const auto slot : slots)
    attach(p, slot);
}

/// The node that tells; none when it is not believed in that life or has no share of it.
index teller_of(const core_state& s, const replica_found& e) {
  for (const auto& share : e.grant.shares) {
    const auto at = find(s.device_names, share.device.value);
    if (at == none || !believed(s, s.devices[at].node, e.life))
      continue;
    const auto node = s.devices[at].node;
    if (e.node.empty() ? &share == &e.grant.shares.front() : s.nodes[node].id == e.node)
      return node;
  }
  return none;
}

bool leads(const core_state& s, const replica_found& e, index teller) {
  const auto leader = find(s.device_names, e.grant.shares.front().device.value);
  return leader != none && s.devices[leader].node == teller;
}

void mark_awaited(core_state& s, const replica_found& e, bool awaited) {
  for (const auto& share : e.grant.shares)
    if (const auto at = find(s.device_names, share.device.value); at != none)
      s.devices[at].awaited = awaited;
}

/// Nodes still dial that may tell of the rest of it.
void keep_for_later(pass& p, const replica_found& e) {
  auto& kept = p.s.found_early;
  if (kept.size() >= limits::found_early_max)
    return;
  if (kept.empty())
    arm(p.s, p.s.returning_until, timer_kind::found, 0);
  kept.push_back(e);
  mark_awaited(p.s, e, true);
}

void take_over(pass& p, const replica_found& e, index node) {
  auto& s = p.s;
  const auto model = find(s.model_names, e.model.value);
  if (model == none || s.models[model].removed || s.allocations.contains(e.grant.id))
    return dismiss(p, e, node);
  const auto leader = find(s.device_names, e.grant.shares.front().device.value);
  prefer_found(p, model, leader);
  const auto& spec = s.models[model].spec;
  const auto variant
      = std::find_if(spec.variants.begin(), spec.variants.end(), [&](const auto& one) {
          return one.content == e.weights && one.adapters == e.adapters;
        });
  if (variant == spec.variants.end() || e.grant.shares.size() != spec.devices_per_instance)
    return dismiss(p, e, node);
  auto devices = devices_of(s, e.grant);
  if (devices.empty())
    return p.now < s.returning_until ? keep_for_later(p, e) : dismiss(p, e, node);
  const auto at
      = adopt_instance(p, e, model, static_cast<index>(variant - spec.variants.begin()), devices);
  open_endpoints(s, at, e.endpoints);
  p.tell(note::severity::info, s.devices[leader].spec.id.value,
         "replica of " + spec.name.value + " is taken over as it is");
  if (spec.idle_ttl_us > 0)
    arm(s, p.now + spec.idle_ttl_us, timer_kind::instance, at);
  if (on_drained(s, s.instances[at])) // Not before those who stream from it have told of that.
    arm(s, p.now + limits::return_grace_us, timer_kind::instance, at);
  ++s.models[model].releases;
  changed(s);
  attach_sought(p, e.instance);
}

} // namespace

void on(pass& p, const replica_found& e) {
  auto& s = p.s;
  // Numbers of our own go on behind these: one near the end of all would make them begin anew.
  constexpr auto number_max = std::uint64_t{1} << 62U;
  if (e.grant.shares.empty() || !e.instance || !e.grant.id || e.instance.value > number_max
      || e.grant.id.value > number_max || e.grant.fence.value > number_max)
    return;
  const auto node = teller_of(s, e);
  if (node == none)
    return;
  const bool leader = leads(s, e, node);
  if (s.instance_ids.contains(e.instance)) {
    if (leader) // The news of its load may have been lost.
      on(p, replica_loaded{e.instance, e.life, e.endpoints, e.runtime, 0});
    return;
  }
  if (leader)
    return take_over(p, e, node);
  p.now < s.returning_until ? keep_for_later(p, e) : dismiss(p, e, node);
}

void judge_found(pass& p) {
  const auto early = std::exchange(p.s.found_early, {});
  for (const auto& one : early)
    mark_awaited(p.s, one, false);
  for (const auto& one : early)
    on(p, one);
  if (!early.empty()) // What its devices were kept for may be known now.
    changed(p.s);
}

bool may_be_told_of(const core_state& s, index device) {
  const auto& one = s.devices[device];
  return one.awaited || s.now < s.nodes[one.node].telling_until;
}

} // namespace consort::core
