// SPDX-License-Identifier: Apache-2.0
#include "actors/caf_compat.hpp"
#include "actors/limits.hpp"
#include "actors/node_actors.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>

namespace consort::actors {

telemetry_state::telemetry_state(caf::event_based_actor* self, node::agent* agent,
                                 std::map<device_id, caf::actor> devices, caf::actor door)
    : self_(self),
      agent_(agent),
      devices_(std::move(devices)),
      door_(std::move(door)),
      plugins_(agent->plugins().plugins()) {}

caf::behavior telemetry_state::make_behavior() {
  for (std::size_t at = 0; at < plugins_.size(); ++at)
    if (!plugins_[at].devices.empty())
      post(self_, caf::actor_cast<caf::actor>(self_), sample_tick{at});
  return {
      [this](sample_tick due) { sample(due.plugin); },
      [this](reload_wanted) { reload(); },
  };
}

void telemetry_state::reload() {
  auto change = std::make_shared<const node::inventory_change>(agent_->reload_plugins());
  post(self_, door_, plugins_changed{std::move(change)});
}

void telemetry_state::sample(std::size_t at) {
  const auto& plugin = plugins_[at];
  auto& last = asked_[at];
  const auto now = agent_->options().steady();
  const bool due = now >= last.next_at.value_or(now);
  if (due) {
    last.next_at = now + plugin.metadata.telemetry_every_us;
    ask(plugin, last);
  }
  // An unread device is still reported: what runs on it is known without its telemetry.
  // One that a reload found after our door spawned its devices is the next telemetry's.
  for (const auto& device : plugin.devices)
    if (const auto known = devices_.find(device); known != devices_.end())
      post(self_, known->second, sample_of(plugin, last, device, due));
  const auto span = std::clamp(plugin.metadata.telemetry_every_us, limits::telemetry_every_us_min,
                               limits::telemetry_every_us);
  post_self_after(self_, std::chrono::microseconds(span), sample_tick{at});
}

device_sample telemetry_state::sample_of(const node::plugin_status& plugin, const asked& last,
                                         const device_id& device, bool due) {
  const auto read = last.readings.find(device);
  if (read != last.readings.end())
    return {read->second, due, true};
  // A device of a plugin that reads none is well until something says otherwise.
  return {{}, due, !plugin.metadata.telemetry};
}

void telemetry_state::ask(const node::plugin_status& plugin, asked& last) {
  auto readings = agent_->plugins().read(plugin.metadata.name);
  last.readings.clear();
  if (readings) {
    last.readings = std::move(*readings);
    last.failed = 0;
    return;
  }
  if (++last.failed == 1)
    spdlog::warn("node: no readings from {}: {}", plugin.metadata.name, readings.failure().message);
  if (last.failed == limits::readings_failed_max)
    spdlog::warn("node: {} readings of {} failed in a row, its devices count as degraded: {}",
                 last.failed, plugin.metadata.name, readings.failure().message);
  // What cannot be seen may do well, so that it goes on; whoever wants sound devices leaves it.
  if (last.failed >= limits::readings_failed_max)
    for (const auto& device : plugin.devices) {
      last.readings[device].health = device_health::degraded;
      last.readings[device].health_reason = "no readings, " + std::to_string(last.failed)
                                            + " times in a row: " + readings.failure().message;
    }
}

} // namespace consort::actors
