// SPDX-License-Identifier: Apache-2.0
#include "scheduler/replica_bounds.hpp"

#include "scheduler/modules.hpp"

#include <algorithm>
#include <tuple>

namespace consort::core {

namespace {

bool coming(const instance_row& one) {
  return one.state == instance_state::reserving || one.state == instance_state::loading;
}

/// Its breaker is open, or lets one through at a time to see.
bool troubled(const core_state& s, const model_state& model, const instance_row& one) {
  const auto pair = model.pairs.find(one.devices.front());
  return pair != model.pairs.end() && s.pairs[pair->second].fuse.state() != breaker_state::closed;
}

bool counts(const instance_row& one) {
  return active(one) && !one.superseded;
}

/// What is to be ready is to serve, whatever was there before it.
bool hopeful(const core_state& s, const model_state& model, const instance_row& one) {
  return coming(one) || !troubled(s, model, one);
}

bool enough(std::uint32_t kept, std::uint32_t min, bool counted) {
  return counted ? kept > min : kept >= min;
}

/// Whether others wait who ask for what leads it.
bool asked_for(const core_state& s, const model_state& model, const instance_row& one,
               index selector) {
  const auto& lanes = model.queue.lanes();
  return std::any_of(lanes.begin(), lanes.end(), [&](const auto& lane) {
    return lane.first.selector != selector
           && s.selectors[lane.first.selector].matches[one.devices.front()] != 0;
  });
}

} // namespace

bool held(const core_state& s, const instance_row& one) {
  return std::any_of(one.devices.begin(), one.devices.end(), [&](index at) {
    const auto& device = s.devices[at];
    return device.stopped() || s.nodes[device.node].stopped()
           || device.reading.health == device_health::unhealthy;
  });
}

bool serves(const core_state& s, const model_state& model, const instance_row& one) {
  return counts(one) && !held(s, one) && hopeful(s, model, one);
}

replica_counts count_of(const core_state& s, const model_state& model) {
  replica_counts seen;
  const bool bounded = model.spec.replicas_min != 0 || model.spec.replicas_max != 0;
  for (const auto at : model.instances) {
    const auto& one = s.instances[at];
    seen.under_way += coming(one) ? 1 : 0;
    if (!counts(one) || (bounded && held(s, one)))
      continue;
    ++seen.kept;
    seen.serving += model.spec.replicas_max == 0 || hopeful(s, model, one) ? 1 : 0;
  }
  return seen;
}

bool may_grow(const model_state& model, const replica_counts& seen) {
  return (model.spec.replicas_max == 0 || seen.serving < model.spec.replicas_max)
         && seen.under_way < limits::warmups_max;
}

bool spare(const core_state& s, const instance_row& one) {
  const auto& owner = s.models[one.model];
  // Not one after the other of a thousand that are counted each time.
  if (owner.spec.replicas_min == 0 && !one.superseded)
    return true;
  if (owner.instances.size() <= owner.spec.replicas_min)
    return false;
  return enough(count_of(s, owner).kept, owner.spec.replicas_min, !held(s, one));
}

bool spare_of_any_version(const core_state& s, const instance_row& one) {
  const auto& owner = s.models[one.model];
  const auto kept = std::count_if(owner.instances.begin(), owner.instances.end(), [&](index at) {
    return active(s.instances[at]) && !held(s, s.instances[at]);
  });
  return enough(static_cast<std::uint32_t>(kept), owner.spec.replicas_min, !held(s, one));
}

index spare_for(const core_state& s, const model_state& model, const replica_counts& seen,
                const wanting& those) {
  if (may_grow(model, seen) || seen.under_way >= limits::warmups_max)
    return none;
  index best = none;
  for (const auto at : model.instances) {
    const auto& one = s.instances[at];
    if (one.state != instance_state::ready || !active(one) || one.superseded || !one.idle()
        || held(s, one) || troubled(s, model, one) || may_help(s, model, one, those)
        || asked_for(s, model, one, those.selector))
      continue;
    if (best == none
        || std::tie(one.used_at, one.id)
               < std::tie(s.instances[best].used_at, s.instances[best].id))
      best = at;
  }
  return best;
}

index surplus_of(const core_state& s, const model_state& model) {
  const std::size_t max = model.spec.replicas_max;
  if (max == 0 || model.instances.size() <= max)
    return none;
  std::size_t ready = 0;
  index first = none;
  const auto order = [&](index at) {
    const auto& one = s.instances[at];
    return std::tuple(!held(s, one), !troubled(s, model, one), !one.idle(), one.used_at, one.id);
  };
  for (const auto at : model.instances) {
    const auto& one = s.instances[at];
    if (one.state != instance_state::ready || !active(one) || one.superseded)
      continue;
    ++ready;
    first = first == none || order(at) < order(first) ? at : first;
  }
  return ready > max ? first : none;
}

} // namespace consort::core
