// SPDX-License-Identifier: Apache-2.0
// Devices: what they are, how they do, and what they say is running.
#include "scheduler/handlers.hpp"
#include "scheduler/load_bars.hpp"
#include "scheduler/units.hpp"
#include "scheduler/waiting.hpp"

#include <algorithm>
#include <tuple>

namespace consort::core {

namespace {

index device_row(pass& p, const device_spec& spec, index node) {
  const auto known = find(p.s.device_names, spec.id.value);
  if (known != none)
    return p.s.devices[known].node == node ? known : none;
  if (p.s.devices.live() >= limits::devices_max)
    return none;
  const auto at = p.s.devices.add();
  p.s.devices[at].node = node;
  p.s.device_names.emplace(spec.id.value, at);
  p.s.nodes[node].devices.push_back(at);
  p.s.devices[at].spec.uuid = spec.uuid;
  claim_hold(p, spec.id.value, spec.uuid);
  return at;
}

void match_selectors(core_state& s, index device) {
  for (index at = 0; at < s.selectors.end(); ++at) {
    if (!s.selectors.holds(at))
      continue;
    auto& row = s.selectors[at];
    row.matches.resize(s.devices.end(), 0);
    row.matches[device] = admits_device(s, row, device) ? 1 : 0;
  }
}

/// Unmeasured speeds follow a new spec sheet; measured ones stand, unless it is another device
/// model now.
void reseed(core_state& s, index device) {
  const auto kind = kind_number(s, s.devices[device].spec);
  for (index model = 0; model < s.models.end(); ++model) {
    const auto known = s.models[model].pairs.find(device);
    if (known != s.models[model].pairs.end()
        && (s.pairs[known->second].speed.samples == 0 || s.pairs[known->second].kind != kind))
      seed_pair(s, known->second);
  }
}

/// Its sheet names another active power than before: what was learned in watts stands.
void rescale_power(core_state& s, index device, std::uint64_t before_mw) {
  const auto now_mw = active_power_mw(s.devices[device].spec);
  const auto rescaled = [&](std::uint32_t pm) {
    const auto mw = std::min(before_mw, limits::power_mw_max) * pm;
    return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(
        mw / std::max<std::uint64_t>(now_mw, 1), limits::power_pm_min, limits::power_pm_max));
  };
  for (index model = 0; now_mw != before_mw && model < s.models.end(); ++model) {
    const auto known = s.models[model].pairs.find(device);
    if (known == s.models[model].pairs.end() || s.pairs[known->second].power.samples == 0)
      continue;
    auto& pair = s.pairs[known->second];
    pair.power.learned_pm = rescaled(pair.power.learned_pm);
    pair.power.used_pm = rescaled(pair.power.used_pm);
    s.models[model].pools.at(pair.kind).power_pm = pair.power.used_pm;
  }
}

/// What answers for it now is another than what failed there or was full.
void forgive_pairs(pass& p, index device) {
  auto& s = p.s;
  for (index model = 0; model < s.models.end(); ++model) {
    const auto known = s.models[model].pairs.find(device);
    if (known == s.models[model].pairs.end())
      continue;
    auto& pair = s.pairs[known->second];
    if (pair.fuse.state() != breaker_state::closed && !s.models[model].removed)
      breaker_closed(p, known->second, "another process answers for it now");
    pair.fuse = {};
    pair.room = {};
    forgive_loads(pair);
  }
}

/// The same for those who were sent there: they may be again.
template <class Forgiven>
void forgive_requests(core_state& s, const Forgiven& forgiven) {
  for (index slot = 0; slot < s.requests.end(); ++slot)
    if (s.requests.holds(slot) && !s.requests[slot].excluded.empty()) {
      std::erase_if(s.requests[slot].excluded, forgiven);
      std::erase_if(s.requests[slot].shunned, forgiven);
    }
}

/// Those who ask for what this runtime is the first not to answer wait in lanes of their own from
/// now on: else they would be taken for served where it is ready.
void note_refusals(core_state& s, const runtime_capabilities& there) {
  const auto before = std::exchange(s.refused, s.refused | asks::refused_by(there));
  for (index slot = 0; s.refused != before && slot < s.requests.end(); ++slot) {
    if (!s.requests.holds(slot) || s.requests[slot].is_hedge
        || s.requests[slot].phase != request_phase::waiting
        || s.requests[slot].apart == asks_apart(s, s.requests[slot]))
      continue;
    dequeue(s, slot);
    enqueue(s, slot);
  }
}

/// Whether another attempt of the request took the place of that one.
bool outlived(const core_state& s, index slot, std::uint32_t number) {
  const auto& r = s.requests[slot];
  const bool runs_beside = r.twin != none && s.requests[r.twin].attempt == number;
  return number < r.attempt || (number == r.rival && !runs_beside);
}

/// An attempt that its device does not run is lost after a grace, which covers news on the way.
void reconcile(pass& p, index device, std::vector<attempt_id> running) {
  std::sort(running.begin(), running.end());
  for (const auto instance : p.s.devices[device].instances) {
    const auto& one = p.s.instances[instance];
    if (one.devices.front() != device)
      continue;
    for (const auto slot : one.attempts) {
      auto& r = p.s.requests[slot];
      if (r.phase != request_phase::running || r.is_hedge)
        continue; // Of a hedge the attempt beside it is judged.
      if (std::binary_search(running.begin(), running.end(), attempt_id{r.meta.id, r.attempt})) {
        r.missing_at = 0;
      } else if (r.missing_at == 0) {
        r.missing_at = p.now;
        p.s.dues.set_at_most(slot, p.now + limits::orphan_grace_us);
      }
    }
  }
  for (const auto& attempt : running) {
    const auto found = p.s.request_ids.find(attempt.request);
    // A request that we do not know may be of an earlier scheduler life: its gateway still reads.
    if (found == p.s.request_ids.end() || !outlived(p.s, found->second, attempt.number))
      continue;
    const auto& one = p.s.devices[device];
    p.send(revoke_attempt{p.s.nodes[one.node].id, one.spec.id, instance_id{}, attempt,
                          "a later attempt took its place"});
  }
}

/// What is used beyond our promises is others'. A load or unload shows late in a reading, so that
/// only what two in a row say is believed. Returns: whether it matters.
bool learn_foreign(device_state& device) {
  const auto memory = device.spec.memory_bytes;
  const auto used = device.reading.memory_used_bytes.value_or(0);
  const auto now = std::min(used - std::min(used, device.promised_bytes), memory);
  const auto believed_now = std::min(now, device.foreign_seen);
  device.foreign_seen = now;
  const auto step = memory / limits::foreign_steps + 1;
  if (believed_now + step > device.foreign_bytes && device.foreign_bytes + step > believed_now)
    return false;
  device.foreign_bytes = believed_now;
  return true;
}

std::uint64_t figure(const capacity_figure& read, std::uint64_t known) {
  return read.value.value_or(known);
}

/// Returns: whether anything is different from what was known. What it says of its fullness is for
/// judge_room().
bool update_capacity(core_state& s, index instance, std::uint32_t rank,
                     const capacity_vector& read) {
  const auto& one = s.instances[instance];
  if (rank >= one.places.size())
    return false;
  auto& at = s.models[one.model].endpoints.at(one.places[rank]);
  const auto before = std::tuple(at.seq_max, at.kv_max, at.seq_foreign, at.shut);
  at.told = at.told || read.sequences.value.has_value();
  const auto sequences = figure(read.sequences, at.seq_max);
  at.seq_max = static_cast<std::uint32_t>(
      std::clamp<std::uint64_t>(sequences, 1, limits::endpoint_sequences_max));
  at.kv_max = figure(read.kv_tokens, at.kv_max);
  at.step_tokens = step_tokens_of(read.step_tokens, at.step_tokens);
  note_kv(s.models[one.model], at.kv_max);
  at.seq_foreign = static_cast<std::uint32_t>(
      std::min<std::uint64_t>(figure(read.foreign_sequences, 0), limits::endpoint_sequences_max));
  // Above any endpoint's places: it takes nothing now, whatever runs there.
  at.shut = figure(read.foreign_sequences, 0) > limits::endpoint_sequences_max;
  return before != std::tuple(at.seq_max, at.kv_max, at.seq_foreign, at.shut);
}

} // namespace

void on(pass& p, const device_advertised& e) {
  const auto node = find(p.s.node_names, e.spec.node.value);
  if (e.spec.id.empty() || !believed(p.s, node, e.life))
    return;
  const bool fresh = find(p.s.device_names, e.spec.id.value) == none;
  const auto at = device_row(p, e.spec, node);
  if (at == none)
    return p.tell(note::severity::warning, e.spec.id.value,
                  "device not taken: its id belongs to another node, or there are too many");
  auto& device = p.s.devices[at];
  if (device.present && device.spec == e.spec)
    return;
  // What it is was said anew, not how it does: that stands until the next reading of it.
  const bool stays = device.present && device.spec.uuid == e.spec.uuid;
  const auto read = device.reading;
  if (!device.present)
    p.tell(note::severity::info, e.spec.id.value, "device is up");
  rehold(p, at, e.spec);
  const bool respecified = device.spec != e.spec;
  const bool other_plugin = !fresh && device.spec.plugin != e.spec.plugin;
  const auto active_mw = active_power_mw(device.spec);
  device.spec = e.spec;
  note_refusals(p.s, e.spec.capability.runtime);
  device.present = true;
  device.withdrawn = false;
  device.withdraw_at = 0;
  device.gone_why.clear();
  device.reading = {};
  if (stays) {
    device.reading.health = read.health;
    device.reading.health_reason = read.health_reason;
  }
  device.foreign_bytes = device.foreign_seen = 0;
  if (respecified && !fresh) {
    rescale_power(p.s, at, active_mw);
    reseed(p.s, at);
  }
  if (!fresh) // What runs there may be another now.
    forgive_loads_on(p.s, at);
  if (other_plugin) {
    forgive_pairs(p, at);
    forgive_requests(p.s, [&](index each) { return each == at; });
  }
  note_plan(p.s, at);
  match_selectors(p.s, at);
  for (const auto plan : p.s.plans)
    if (is_stage_of(p.s, at, plan))
      match_selectors(p.s, plan);
  refresh_device(p.s, at);
  changed_statically(p.s);
  judge_found(p);
}

namespace {

/// Says why, where whoever read the device knows.
void tell_health(pass& p, const device_state& device, bool health_changed) {
  const auto& id = device.spec.id.value;
  const auto& why = device.reading.health_reason;
  const auto because = ": " + (why.empty() ? "its node gave no reason" : why);
  switch (device.reading.health) {
  case device_health::healthy:
    if (!why.empty()) // It serves, and nothing is known of it.
      return p.tell(note::severity::warning, id, why);
    return health_changed ? p.tell(note::severity::info, id, "is healthy again") : void();
  case device_health::degraded: return p.tell(note::severity::warning, id, "is degraded" + because);
  case device_health::unhealthy:
    return p.tell(note::severity::warning, id, "is unhealthy, no new work" + because);
  }
}

} // namespace

void on(pass& p, const device_reported& e) {
  const auto at = find(p.s.device_names, e.device.value);
  if (at == none || !p.s.devices[at].present || !believed(p.s, p.s.devices[at].node, e.life))
    return;
  auto& device = p.s.devices[at];
  const bool health_changed = device.reading.health != e.reading.health;
  // Words may carry figures that are others each time: only that there are any is news.
  const bool words_changed
      = device.reading.health_reason.empty() != e.reading.health_reason.empty();
  device.reading = e.reading;
  if (learn_foreign(device) && p.s.waiting > 0)
    changed(p.s);
  std::map<instance_id, std::uint32_t> ranks;
  std::vector<index> pairs;
  for (const auto& [id, read] : e.endpoints) {
    const auto found = p.s.instance_ids.find(id);
    if (found == p.s.instance_ids.end() || p.s.instances[found->second].devices.front() != at)
      continue;
    const auto pair = pair_of(p.s, p.s.instances[found->second].model, at);
    if (std::find(pairs.begin(), pairs.end(), pair) == pairs.end())
      pairs.push_back(pair);
    if (!update_capacity(p.s, found->second, ranks[id]++, read))
      continue;
    refresh_instance(p.s, found->second);
    ++p.s.models[p.s.instances[found->second].model].releases;
    mark_dirty(p.s, p.s.instances[found->second].model);
  }
  for (const auto pair : pairs)
    judge_room(p.s, pair);
  reconcile(p, at, e.running);
  if (health_changed || words_changed)
    tell_health(p, device, health_changed);
  if (!health_changed)
    return;
  refresh_device(p.s, at);
  changed(p.s);
}

void on(pass& p, const device_lost& e) {
  const auto at = find(p.s.device_names, e.device.value);
  if (at == none || !believed(p.s, p.s.devices[at].node, e.life))
    return;
  lose_device(p, at, e.reason.empty() ? "its node lost it" : e.reason);
  auto& device = p.s.devices[at];
  device.gone_why = cut_text(e.reason, limits::load_error_bytes_max);
  device.withdraw_at = p.now + limits::withdraw_grace_us;
  arm(p.s, device.withdraw_at, timer_kind::withdraw, at);
  changed(p.s);
}

void check_withdrawn(pass& p, index at) {
  auto& device = p.s.devices[at];
  if (device.withdraw_at == 0 || device.withdraw_at > p.now)
    return;
  withdraw_device(p.s, at);
}

void withdraw_device(core_state& s, index at) {
  s.devices[at].withdraw_at = 0;
  s.devices[at].withdrawn = true;
  match_selectors(s, at);
  changed_statically(s);
}

void lose_device(pass& p, index at, const std::string& why, bool expected) {
  auto& device = p.s.devices[at];
  if (!device.present)
    return;
  device.present = false;
  p.tell(expected ? note::severity::info : note::severity::warning, device.spec.id.value,
         "device is down: " + why);
  const auto instances = device.instances;
  for (const auto instance : instances)
    fail_instance(p, instance,
                  {{recovery::retry_elsewhere, "device_lost", why}, false, none, expected});
}

void forgive_devices(pass& p, index node) {
  auto& s = p.s;
  for (const auto device : s.nodes[node].devices)
    forgive_pairs(p, device);
  // Once for all of them: nodes may come back by the thousand while a million requests wait.
  forgive_requests(s, [&](index device) { return s.devices[device].node == node; });
}

void refresh_device(core_state& s, index device) {
  for (const auto instance : s.devices[device].instances)
    refresh_instance(s, instance);
}

void breaker_opened(pass& p, index at, const std::string& why) {
  const auto& pair = p.s.pairs[at];
  arm(p.s, pair.fuse.retry_at(), timer_kind::pair, at);
  p.tell(note::severity::warning, p.s.devices[pair.device].spec.id.value,
         "circuit breaker opened for " + p.s.models[pair.model].spec.name.value
             + (why.empty() ? "" : ": " + why));
}

void breaker_closed(const pass& p, index at, const char* why) {
  const auto& pair = p.s.pairs[at];
  p.tell(note::severity::info, p.s.devices[pair.device].spec.id.value,
         "circuit breaker closed for " + p.s.models[pair.model].spec.name.value + ": " + why);
}

void check_pair(pass& p, index at) {
  auto& pair = p.s.pairs[at];
  if (end_bars(pair, p.now))
    changed_statically(p.s);
  pair.fuse.wake(p.now);
  pair.room.wake(p.now);
  refresh_device(p.s, pair.device);
  ++p.s.version;
  mark_dirty(p.s, pair.model);
}

} // namespace consort::core
