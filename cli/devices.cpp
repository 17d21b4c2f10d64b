// SPDX-License-Identifier: Apache-2.0
#include "cli/commands.hpp"
#include "cli/list_command.hpp"

namespace consort::cli {

namespace {

std::string device_state(const json& device) {
  if (!true_at(device, "/alive"))
    return "lost";
  if (true_at(device, "/draining"))
    return "draining";
  if (true_at(device, "/cordoned"))
    return "cordoned";
  const auto breaker = text_at(device, "/breaker");
  if (breaker != "closed")
    return breaker;
  const auto health = text_at(device, "/reading/health");
  return health == "healthy" ? "ready" : health;
}

/// `used / total` of the device's memory, with what is known of it.
std::string memory(const json& device) {
  const auto used = size_at(device, "/reading/memory_used_bytes");
  const auto total = count_at(device, "/spec/memory_bytes") == "0"
                         ? std::string{}
                         : size_at(device, "/spec/memory_bytes");
  if (used.empty() && total.empty())
    return {};
  return (used.empty() ? "-" : used) + " / " + (total.empty() ? "-" : total);
}

} // namespace

void add_devices(CLI::App& root, context& env) {
  list_command command;
  command.name = "devices";
  command.help = "Devices, what runs on them and how they are";
  command.columns = {{"DEVICE"},
                     {"TYPE"},
                     {"MODEL"},
                     {"STATE", align::left, false, true},
                     {"LOADED"},
                     {"RUNNING", align::right},
                     {"MEMORY USED", align::right},
                     {"UTIL", align::right},
                     {"POWER", align::right},
                     {"HARDWARE"},
                     {"VENDOR", align::left, true},
                     {"PLUGIN", align::left, true},
                     {"BREAKER", align::left, true, true},
                     {"UUID", align::left, true},
                     {"WHY", align::left, true}};
  command.row = [](const json& device) -> std::vector<std::string> {
    return {text_at(device, "/spec/id"),
            text_at(device, "/spec/type"),
            text_at(device, "/spec/model"),
            device_state(device),
            list_at(device, "/loaded"),
            count_at(device, "/running"),
            memory(device),
            percent_at(device, "/reading/utilization_pm"),
            watts_at(device, "/reading/power_mw"),
            true_at(device, "/spec/simulated") ? "simulated" : "real",
            text_at(device, "/spec/vendor"),
            text_at(device, "/spec/plugin"),
            text_at(device, "/breaker"),
            text_at(device, "/spec/uuid"),
            text_at(device, "/reading/health_reason")};
  };
  add_list_command(root, env, std::move(command));
}

} // namespace consort::cli
