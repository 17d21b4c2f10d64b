// SPDX-License-Identifier: Apache-2.0
#include "actors/caf_compat.hpp"
#include "actors/limits.hpp"
#include "actors/node_actors.hpp"

#include <spdlog/spdlog.h>

namespace consort::actors {

telemetry_state::telemetry_state(caf::event_based_actor* self, node::agent* agent,
                                 std::map<device_id, caf::actor> devices)
    : self_(self), agent_(agent), devices_(std::move(devices)) {}

caf::behavior telemetry_state::make_behavior() {
  post(self_, caf::actor_cast<caf::actor>(self_), sample_tick{});
  return {
      [this](sample_tick) {
        sample();
        post_self_after(self_, std::chrono::microseconds(limits::telemetry_every_us),
                        sample_tick{});
      },
  };
}

void telemetry_state::sample() {
  for (const auto& plugin : agent_->plugins().plugins()) {
    if (plugin.devices.empty())
      continue;
    const auto readings = agent_->plugins().read(plugin.metadata.name);
    if (!readings) {
      if (complained_.insert(plugin.metadata.name).second)
        spdlog::warn("node: no readings from {}: {}", plugin.metadata.name,
                     readings.failure().message);
      // An unread device is still reported: what runs on it is known without its telemetry.
      for (const auto& device : plugin.devices)
        post(self_, devices_.at(device), device_sample{});
      continue;
    }
    complained_.erase(plugin.metadata.name);
    for (const auto& device : plugin.devices) {
      const auto found = readings->find(device);
      post(self_, devices_.at(device),
           device_sample{found == readings->end() ? device_reading{} : found->second});
    }
  }
}

} // namespace consort::actors
