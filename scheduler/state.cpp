// SPDX-License-Identifier: Apache-2.0
#include "scheduler/state.hpp"

#include "scheduler/modules.hpp"

namespace consort::core {

void mark_dirty(core_state& s, index model) {
  auto& row = s.models[model];
  if (row.dirty)
    return;
  row.dirty = true;
  s.dirty_models.push_back(model);
}

void changed(core_state& s) {
  ++s.version;
  for (index model = 0; model < s.models.end(); ++model)
    mark_dirty(s, model);
}

void changed_statically(core_state& s) {
  ++s.static_version;
  changed(s);
}

void arm(core_state& s, time_us at, timer_kind kind, std::uint64_t who) {
  s.timers.insert({at, kind, who});
}

namespace {

/// Devices of the same SKU run the model alike: start from the best measured of them.
speed_estimate first_speed(const core_state& s, const model_state& model, const device_spec& spec) {
  auto speed = seeded_speed(spec.spec);
  std::uint32_t samples = 0;
  for (const auto& [device, pair] : model.pairs) {
    const auto& other = s.pairs[pair].speed;
    const auto& sku = s.devices[device].spec;
    if (other.samples <= samples || sku.model != spec.model || sku.vendor != spec.vendor)
      continue;
    samples = other.samples;
    speed = other;
  }
  speed.samples = 0;
  return speed;
}

} // namespace

index pair_of(core_state& s, index model, index device) {
  auto& pairs = s.models[model].pairs;
  const auto found = pairs.find(device);
  if (found != pairs.end())
    return found->second;
  const auto at = s.pairs.add();
  auto& pair = s.pairs[at];
  pair.device = device;
  pair.model = model;
  pair.speed = first_speed(s, s.models[model], s.devices[device].spec);
  pairs.emplace(device, at);
  return at;
}

bool takes_work(const core_state& s, index device) {
  const auto& one = s.devices[device];
  const auto& node = s.nodes[one.node];
  return one.present && node.alive && !node.suspect && !node.draining && !one.draining
         && one.reading.health != device_health::unhealthy;
}

} // namespace consort::core
