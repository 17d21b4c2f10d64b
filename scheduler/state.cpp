// SPDX-License-Identifier: Apache-2.0
#include "scheduler/state.hpp"

#include "scheduler/modules.hpp"
#include "scheduler/spending.hpp"

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

core_state::core_state(core_config fixed)
    : config(std::move(fixed)),
      profiles(builtin_profiles()),
      random(config.seed),
      explained(config.explained_max),
      holds_to_come(config.holds),
      next_number(config.numbers_from),
      next_epoch(config.numbers_from) {
  weighed.reserve(limits::explain_candidates_max);
  begin_spending(*this);
  for (const auto& one : config.profiles)
    if (auto made = profile_of(one);
        made && profiles.size() < profiles_max && profile_named(*this, one.name) == none)
      profiles.push_back(std::move(*made));
  const auto named = profile_named(*this, config.policy);
  cluster_profile = named == none ? 0 : named;
}

index profile_named(const core_state& s, const policy_name& name) {
  for (index at = 0; at < s.profiles.size(); ++at)
    if (s.profiles[at].name == name)
      return at;
  return none;
}

index kind_number(core_state& s, const device_spec& spec) {
  const auto next = static_cast<index>(s.kind_names.size());
  return s.kind_names.emplace(spec.vendor + '/' + spec.model, next).first->second;
}

std::uint64_t active_power_mw(const device_spec& spec) {
  constexpr std::uint64_t watt = 1'000;
  const auto& sheet = spec.spec;
  if (sheet.tdp_mw > sheet.idle_mw)
    return std::min(sheet.tdp_mw - sheet.idle_mw, limits::power_mw_max);
  switch (spec.type) {
  case resource_type::gpu: return 300 * watt;
  case resource_type::npu: return 60 * watt;
  case resource_type::pim: return 40 * watt;
  case resource_type::cpu: return 100 * watt;
  case resource_type::remote: return 300 * watt;
  case resource_type::hybrid: return 300 * watt;
  }
  return 300 * watt;
}

index pair_of(core_state& s, index model, index device) {
  auto& pairs = s.models[model].pairs;
  const auto found = pairs.find(device);
  if (found != pairs.end())
    return found->second;
  const auto at = s.pairs.add();
  s.pairs[at].device = device;
  s.pairs[at].model = model;
  seed_pair(s, at);
  pairs.emplace(device, at);
  return at;
}

void seed_pair(core_state& s, index at) {
  auto& pair = s.pairs[at];
  const auto& spec = s.devices[pair.device].spec;
  pair.kind = kind_number(s, spec);
  const auto sheet = sheet_of(s, pair.device);
  const auto& pool
      = s.models[pair.model].pools.try_emplace(pair.kind, seeded_pool(sheet)).first->second;
  pair.pace = seeded_pace(pool, sheet);
  pair.speed = seeded_speed(sheet);
  pair.power = {pool.power_pm, pool.power_pm, 0, 0};
  if (pool.samples > 0)
    derive(pool, pair.pace, pair.speed);
}

bool takes_work(const core_state& s, index device) {
  const auto& one = s.devices[device];
  const auto& node = s.nodes[one.node];
  return one.present && node.alive && s.now >= node.trusted_at && !node.suspect && !node.stopped()
         && !one.stopped() && one.reading.health != device_health::unhealthy;
}

duration_us pace_of(const core_state& s) {
  const auto devices = s.devices.live();
  if (devices < limits::paced_devices)
    return 0;
  return limits::pace_us * static_cast<duration_us>(std::max(devices, pace_devices))
         / static_cast<duration_us>(pace_devices);
}

} // namespace consort::core
