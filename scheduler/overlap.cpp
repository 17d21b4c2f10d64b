// SPDX-License-Identifier: Apache-2.0
#include "scheduler/overlap.hpp"

#include "scheduler/alike.hpp"

#include <algorithm>

namespace consort::core {

namespace {

bool names_other(const device_spec& one, const device_spec& other) {
  const auto& siblings = one.exclusive_siblings;
  return one.parent == other.id
         || std::find(siblings.begin(), siblings.end(), other.id) != siblings.end();
}

/// What is on it, for people.
std::string held_words(const core_state& s, index device) {
  const auto& row = s.devices[device];
  std::string what;
  for (const auto at : row.instances) {
    const auto& one = s.instances[at];
    what += (what.empty() ? "" : ", ") + s.models[one.model].spec.name.value
            + (one.retiring || one.state == instance_state::unloading ? " leaves"
               : one.state != instance_state::ready                   ? " is loaded"
               : one.idle()                                           ? " is idle"
                                                                      : " is busy");
  }
  return row.spec.id.value + " (" + (what.empty() ? "a build" : what) + ")";
}

/// Why a device takes no work, for people.
const char* rest_words(const core_state& s, index device) {
  const auto& one = s.devices[device];
  const auto& node = s.nodes[one.node];
  if (!one.present || !node.alive)
    return "down";
  if (one.cordoned || node.cordoned)
    return "cordoned";
  if (one.draining || node.empties())
    return "draining";
  return one.reading.health == device_health::unhealthy ? "unhealthy" : "not back yet";
}

/// Where an instance needs more devices together than take work, which those are that do not.
std::string too_few_words(const core_state& s, index model, index leader) {
  const auto need = s.models[model].spec.devices_per_instance;
  if (need <= 1)
    return {};
  const auto& spec = s.devices[leader].spec;
  std::uint32_t willing = 1;
  alike resting(limits::message_devices_max);
  for (const auto& [name, device] : s.device_names) {
    const auto& other = s.devices[device];
    const bool near = other.node == s.devices[leader].node || spec.capability.nodes_max > 1;
    if (device == leader || other.withdrawn || !near || other.spec.model != spec.model
        || other.spec.vendor != spec.vendor || other.spec.topology_group != spec.topology_group)
      continue;
    if (!takes_work(s, device))
      resting.add(name, rest_words(s, device));
    else if (++willing >= need)
      return {};
  }
  const auto who = resting.told();
  return "; " + spec.id.value + " needs " + std::to_string(need)
         + " devices of its kind together, of which " + std::to_string(willing) + " may be used"
         + (who.empty() ? "" : " (" + who + ")");
}

} // namespace

bool exclude_each_other(const device_spec& one, const device_spec& other) {
  return names_other(one, other) || names_other(other, one);
}

bool overlaps(const core_state& s, index device) {
  const auto& neighbours = s.nodes[s.devices[device].node].devices;
  return std::any_of(neighbours.begin(), neighbours.end(), [&](index other) {
    return other != device && exclude_each_other(s.devices[other].spec, s.devices[device].spec);
  });
}

std::vector<index> holders_of_units(const core_state& s, index device) {
  std::vector<index> those;
  for (const auto other : s.nodes[s.devices[device].node].devices)
    if (other != device && s.devices[other].allocations > 0
        && exclude_each_other(s.devices[other].spec, s.devices[device].spec))
      those.push_back(other);
  std::sort(those.begin(), those.end(),
            [&](index one, index two) { return s.devices[one].spec.id < s.devices[two].spec.id; });
  return those;
}

std::string kept_out_words(const core_state& s, index model, const std::vector<prospect>& among) {
  for (const auto& one : among) {
    const auto device = s.models[model].options[one.option].device;
    if (auto few = one.free ? std::string() : too_few_words(s, model, device); !few.empty())
      return few;
    const auto holders = holders_of_units(s, device);
    if (one.free || holders.empty())
      continue;
    std::string words = "; " + s.devices[device].spec.id.value + " shares units with ";
    for (std::size_t at = 0; at < holders.size(); ++at) {
      if (at == limits::message_devices_max)
        return words + " and " + std::to_string(holders.size() - at) + " more";
      words += (at == 0 ? "" : ", ") + held_words(s, holders[at]);
    }
    return words;
  }
  return {};
}

} // namespace consort::core
