// SPDX-License-Identifier: Apache-2.0
#include "scheduler/device_waits.hpp"

#include "scheduler/adoption.hpp"
#include "scheduler/alike.hpp"
#include "scheduler/modules.hpp"

#include <algorithm>

namespace consort::core {

namespace {

bool builds_for(const device_state& one, const build_profile& profile) {
  const auto& profiles = one.spec.capability.build_profiles;
  return one.present
         && std::any_of(profiles.begin(), profiles.end(),
                        [&](const runnable_build& by) { return by.profile == profile; });
}

bool may_build(const node_state& node, const build_profile& profile) {
  return node.alive && !node.suspect && !node.stopped()
         && std::find(node.toolchains.begin(), node.toolchains.end(), profile)
                != node.toolchains.end();
}

/// Whether a build may begin there as far as its holds and health go. Requires: its node may build.
bool lets_build(const core_state& s, const artifact_entry& entry, index device) {
  const auto& one = s.devices[device];
  const bool stopped_for_it = entry.ordered && one.stopped()
                              && one.reading.health != device_health::unhealthy
                              && s.now >= s.nodes[one.node].trusted_at;
  return takes_work(s, device) || stopped_for_it;
}

/// Why the build may not have it now.
std::string use_of(const core_state& s, index device) {
  const auto& one = s.devices[device];
  for (const auto each : one.instances)
    return "serves " + s.models[s.instances[each].model].spec.name.value;
  return one.allocations > 0 ? "is in use" : "takes no work";
}

} // namespace

index device_for(const core_state& s, const artifact_entry& entry, index node) {
  index best = none;
  for (const auto device : s.nodes[node].devices) {
    const auto& one = s.devices[device];
    if (builds_for(one, entry.key.profile) && lets_build(s, entry, device)
        && !may_be_told_of(s, device) && fits(s, {one.spec.id, true, 0})
        && (best == none || one.spec.id < s.devices[best].spec.id))
      best = device;
  }
  return best;
}

std::string device_wait_words(const core_state& s, const artifact_entry& entry) {
  const auto& profile = entry.key.profile;
  if (!profile.needs_device || entry.building || !entry.copies.empty() || entry.refused
      || entry.retry_at > s.now)
    return {};
  alike busy(limits::message_devices_max);
  for (const auto& [name, node] : s.node_names) {
    if (!may_build(s.nodes[node], profile))
      continue;
    if (device_for(s, entry, node) != none)
      return {};
    for (const auto device : s.nodes[node].devices)
      if (builds_for(s.devices[device], profile))
        busy.add(s.devices[device].spec.id.value, use_of(s, device));
  }
  if (busy.empty())
    return {};
  return "its build waits for a device that is free, which " + profile.compiler
         + " needs: " + busy.told() + "; "
         + (entry.ordered ? "it begins once one is drained (consort drain), then undrain it"
                          : "drain one (consort drain), ask for the build (consort compile), then "
                            "undrain it");
}

} // namespace consort::core
