// SPDX-License-Identifier: Apache-2.0
#include "cli/live/plan.hpp"

#include "cli/limits.hpp"
#include "cli/live/limits.hpp"
#include "scheduler/served_name.hpp"
#include "scheduler/units.hpp"

#include <algorithm>
#include <array>
#include <string_view>

namespace consort::live {

namespace {

using sim::fault_kind;

/// A real process has one clock, a real TCP loses nothing, a real gateway forgets nobody.
constexpr std::array virtual_only{fault_kind::forget,  fault_kind::loss, fault_kind::duplicate,
                                  fault_kind::reorder, fault_kind::skew, fault_kind::corrupt};

/// Where in the file, and why.
struct objection {
  const strict_json::value* where;
  std::string why;
};

/// The field of that name, or what it would stand in.
const strict_json::value& field(const strict_json::value& object, std::string_view name) {
  const auto* found = object.find(name);
  return found == nullptr ? object : *found;
}

std::optional<objection> fault_objection(const sim::scenario& plan,
                                         const strict_json::value& root) {
  for (std::size_t at = 0; at < plan.faults.size(); ++at) {
    const auto kind = plan.faults[at].kind;
    if (std::find(virtual_only.begin(), virtual_only.end(), kind) != virtual_only.end())
      return objection{&field(field(root, "faults").items[at], word_of(kind).word),
                       "no real process or link can be made to do that; play it in virtual time"};
  }
  return std::nullopt;
}

std::optional<objection> model_objection(const sim::scenario& plan,
                                         const strict_json::value& root) {
  for (const auto& model : plan.models) {
    const auto& entry = field(field(root, "models"), model.name);
    if (model.devices_per_instance > 1)
      return objection{&field(entry, "devices_per_instance"),
                       "an instance over several devices is not simulated in real time"};
    if (const auto wrong = objection_to_name(model.name))
      return objection{&entry, "a real cluster refuses the name of this model, which " + *wrong};
  }
  return std::nullopt;
}

std::optional<objection> find_objection(const sim::scenario& plan, const strict_json::value& root) {
  if (plan.engine_only)
    return objection{&field(root, "engine_only"),
                     "there are no processes to start without a scheduler"};
  if (plan.nodes.size() > limits::nodes_max)
    return objection{&field(root, "nodes"), std::to_string(plan.nodes.size())
                                                + " processes are more than "
                                                + std::to_string(limits::nodes_max)};
  if (auto wrong = model_objection(plan, root))
    return wrong;
  if (plan.network.latency_us > limits::latency_us_max
      || plan.network.jitter_us > limits::latency_us_max)
    return objection{&field(root, "network"),
                     "loopback is not slower than " + format_duration(limits::latency_us_max)};
  if (plan.lease_us < cli::limits::lease_us_min)
    return objection{&field(field(root, "scheduler"), "lease"),
                     "a real node needs " + format_duration(cli::limits::lease_us_min)
                         + " at least"};
  return fault_objection(plan, root);
}

} // namespace

std::optional<error> why_not_live(const sim::scenario& plan, const strict_json::value& root,
                                  const std::string& path) {
  if (const auto found = find_objection(plan, root))
    return strict_json::error_at(path, *found->where, found->why);
  return std::nullopt;
}

} // namespace consort::live
