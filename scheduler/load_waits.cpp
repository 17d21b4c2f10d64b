// SPDX-License-Identifier: Apache-2.0
// Why a load that somebody waits for is not begun: as many replicas as there may be, a try that
// failed, a device that others have.
#include "scheduler/alike.hpp"
#include "scheduler/replica_bounds.hpp"
#include "scheduler/units.hpp"
#include "scheduler/waiting.hpp"

#include <algorithm>

namespace consort::core {

namespace {

/// Of a model at its maximum, where those are that count towards it.
std::vector<std::string> serving_replicas(const core_state& s, const model_state& model) {
  std::vector<std::string> names;
  for (const auto at : model.instances)
    if (const auto& one = s.instances[at]; serves(s, model, one))
      names.push_back(s.devices[one.devices.front()].spec.id.value);
  return names;
}

bool leaves(const instance_row& one) {
  return one.retiring || one.state == instance_state::unloading;
}

/// Who has the device, of whom nobody leaves; behind its name, empty when that is not known.
std::string occupants(const core_state& s, index device) {
  alike those(limits::message_devices_max);
  for (const auto at : s.devices[device].instances) {
    const auto& one = s.instances[at];
    those.add(s.models[one.model].spec.name.value, one.state != instance_state::ready ? "is loaded"
                                                   : !one.idle()                      ? "is busy"
                                                   : !spare(s, one) ? "is kept there"
                                                                    : "is idle");
  }
  if (those.empty() && s.devices[device].foreign_bytes > 0)
    return ", of which others use " + format_size(s.devices[device].foreign_bytes);
  return those.empty() ? std::string() : " (" + those.told() + ")";
}

/// Which of them leave the device; empty when none does.
std::string leavers(const core_state& s, index device) {
  std::vector<std::string> names;
  for (const auto at : s.devices[device].instances)
    if (leaves(s.instances[at]))
      names.push_back(s.models[s.instances[at].model].spec.name.value);
  return names.empty() ? std::string()
                       : named_few(names) + (names.size() == 1 ? " leaves" : " leave");
}

/// The sooner it may be over, the lower.
enum class cause : std::uint8_t { leaving, retry, breaker, room, unknown };

cause cause_of(const core_state& s, index model, const prospect& one, time_us now) {
  const auto& by = s.models[model].options[one.option];
  if (by.artifact != none && s.artifacts[by.artifact].copies.empty())
    return cause::unknown;
  const auto& pairs = s.models[model].pairs;
  const auto known = pairs.find(by.device);
  if (known != pairs.end() && s.pairs[known->second].load_retry_at > now)
    return cause::retry;
  if (known != pairs.end() && !s.pairs[known->second].fuse.admits())
    return cause::breaker;
  if (one.free)
    return cause::unknown;
  const auto& there = s.devices[by.device].instances;
  return std::any_of(there.begin(), there.end(), [&](index at) { return leaves(s.instances[at]); })
             ? cause::leaving
             : cause::room;
}

} // namespace

std::string led_elsewhere(const core_state& s, index model, index selector) {
  alike those(limits::message_devices_max);
  for (const auto& by : s.models[model].options) {
    if (by.removed_by != filter_id::passed || s.selectors[selector].matches[by.device] == 0)
      continue;
    const auto at = instance_on(s, model, by.device);
    if (at == none || s.instances[at].devices.front() == by.device)
      continue;
    const auto& leader = s.devices[s.instances[at].devices.front()].spec.id.value;
    those.add(s.devices[by.device].spec.id.value,
              "works for an instance that is asked for by its leader, " + leader);
  }
  return those.told();
}

wait_words load_waits(const core_state& s, index model, const std::vector<prospect>& among,
                      time_us now) {
  const auto& row = s.models[model];
  const auto most = row.spec.replicas_max;
  if (most != 0 && count_of(s, row).serving >= most)
    return {"queued", row.spec.name.value + " has as many replicas as it may ("
                          + std::to_string(most) + "), on " + named_few(serving_replicas(s, row))
                          + ": none of these may serve it now"};
  auto why = cause::unknown;
  const prospect* first = nullptr;
  for (const auto& one : among)
    if (const auto seen = cause_of(s, model, one, now); seen < why) {
      why = seen;
      first = &one;
    }
  if (first == nullptr)
    return {"queued", "a load or compile has to be tried again, or waits for room"};
  const auto device = row.options[first->option].device;
  const auto& name = s.devices[device].spec.id.value;
  switch (why) {
  case cause::leaving:
    return {"queued", "room is made on " + name + ": " + leavers(s, device),
            now + setup_left(*first, now)};
  case cause::retry:
    return {"queued", "its load on " + name + " is tried again in "
                          + format_duration(s.pairs[row.pairs.at(device)].load_retry_at - now)};
  case cause::breaker: return {"queued", breaker_words(s, s.pairs[row.pairs.at(device)], now)};
  case cause::room:
  case cause::unknown: break;
  }
  return {"queued", "waits for room on " + name + occupants(s, device)};
}

} // namespace consort::core
