// SPDX-License-Identifier: Apache-2.0
#include "cli/live/plan.hpp"

#include "cli/limits.hpp"
#include "cli/live/limits.hpp"
#include "scheduler/units.hpp"

#include <algorithm>
#include <array>

namespace consort::live {

namespace {

using sim::fault_kind;

/// A real process has one clock, a real TCP loses nothing, a real gateway forgets nobody.
constexpr std::array virtual_only{fault_kind::forget,  fault_kind::loss, fault_kind::duplicate,
                                  fault_kind::reorder, fault_kind::skew, fault_kind::corrupt};

std::string nth(const char* list, std::size_t at) {
  return std::string(list) + "[" + std::to_string(at) + "]";
}

std::optional<std::string> fault_objection(const sim::scenario& plan) {
  for (std::size_t at = 0; at < plan.faults.size(); ++at) {
    const auto kind = plan.faults[at].kind;
    if (std::find(virtual_only.begin(), virtual_only.end(), kind) != virtual_only.end())
      return nth("faults", at) + "." + std::string(word_of(kind).word)
             + ": no real process or link can be made to do that; play it in virtual time";
  }
  return std::nullopt;
}

std::optional<std::string> objection(const sim::scenario& plan) {
  if (plan.engine_only)
    return "engine_only: there are no processes to start without a scheduler";
  if (plan.nodes.size() > limits::nodes_max)
    return "nodes: " + std::to_string(plan.nodes.size()) + " processes are more than "
           + std::to_string(limits::nodes_max);
  for (const auto& model : plan.models)
    if (model.devices_per_instance > 1)
      return "models." + model.name
             + ".devices_per_instance: an instance over several devices is not simulated in real "
               "time";
  if (plan.network.latency_us > limits::latency_us_max
      || plan.network.jitter_us > limits::latency_us_max)
    return "network: loopback is not slower than " + format_duration(limits::latency_us_max);
  if (plan.lease_us < cli::limits::lease_us_min)
    return "scheduler.lease: a real node needs " + format_duration(cli::limits::lease_us_min)
           + " at least";
  return fault_objection(plan);
}

} // namespace

std::optional<error> why_not_live(const sim::scenario& plan, const std::string& path) {
  if (const auto why = objection(plan))
    return error{recovery::refuse, "usage", path + ": " + *why};
  return std::nullopt;
}

} // namespace consort::live
