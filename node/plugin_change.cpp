// SPDX-License-Identifier: Apache-2.0
#include "node/plugin_change.hpp"

#include <nlohmann/json.hpp>

namespace consort::node {

namespace {

/// Sections that no running model was started with. What compilers make is judged by the scheduler,
/// as after any other look at them.
constexpr const char* descriptive[]
    = {"$schema", "vendor", "priority", "available", "probe", "telemetry", "build", "spec", "tags"};

nlohmann::json running_part(std::string_view text) {
  auto root = nlohmann::json::parse(text, nullptr, false, true);
  if (root.is_object())
    for (const auto* section : descriptive)
      root.erase(section);
  return root;
}

std::string index_of(const device_spec& device) {
  const auto found = device.attributes.find("index");
  return found == device.attributes.end() ? std::string() : found->second;
}

} // namespace

bool runs_alike(std::string_view before, std::string_view now) {
  const auto one = running_part(before);
  return one.is_object() && one == running_part(now);
}

bool same_hardware(const device_spec& before, const device_spec& now) {
  // A server was told its device by the index.
  return before.uuid == now.uuid && before.model == now.model
         && before.memory_bytes == now.memory_bytes && index_of(before) == index_of(now);
}

} // namespace consort::node
