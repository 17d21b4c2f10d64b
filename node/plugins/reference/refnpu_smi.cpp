// SPDX-License-Identifier: Apache-2.0
// refnpu-smi: lists the reference accelerator's devices. Power is a model (idle to busy by
// utilization), there is no temperature sensor, and every device says that it is simulated.
#include "node/plugins/reference/device.hpp"
#include "node/plugins/reference/limits.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <string_view>

namespace {

using namespace consort::reference;
using nlohmann::json;

json describe(std::uint32_t index, const std::vector<reading>& readings) {
  std::uint64_t used = 0;
  double utilization = 0;
  std::uint32_t processes = 0;
  for (const reading& each : readings) {
    if (each.device != index)
      continue;
    ++processes;
    used += each.memory_bytes;
    utilization = std::min(utilization + each.utilization, 1.0);
  }
  return {{"index", index},
          {"uuid", device_uuid(index)},
          {"name", target_name},
          {"memory", {{"total", limits::memory_bytes}, {"used", used}}},
          {"power", idle_watts + utilization * (busy_watts - idle_watts)},
          {"temperature", nullptr},
          {"utilization", utilization * 100},
          {"processes", processes},
          {"driver", stack_version()},
          {"simulated", true}};
}

void print_table(const json& devices) {
  std::printf("refnpu-smi %s - software reference accelerator, no hardware\n", stack_version());
  std::printf("%-3s %-26s %-10s %14s %8s %6s\n", "ID", "UUID", "NAME", "MEMORY MiB", "POWER W",
              "UTIL");
  for (const json& each : devices)
    std::printf("%-3u %-26s %-10s %6llu/%7llu %8.1f %5.0f%%\n", each["index"].get<unsigned>(),
                each["uuid"].get<std::string>().c_str(), each["name"].get<std::string>().c_str(),
                each["memory"]["used"].get<unsigned long long>() >> 20U,
                each["memory"]["total"].get<unsigned long long>() >> 20U,
                each["power"].get<double>(), each["utilization"].get<double>());
}

} // namespace

int main(int count, char** words) {
  const std::string_view option = count == 2 ? words[1] : "";
  if (count > 2 || (count == 2 && option != "-j" && option != "--version")) {
    std::fputs("usage: refnpu-smi [-j | --version]\n", stderr);
    return 2;
  }
  if (option == "--version") {
    std::printf("refnpu-smi %s\n", stack_version());
    return 0;
  }
  const auto readings = read_readings(unix_ms());
  json devices = json::array();
  for (std::uint32_t index = 0; index < device_count(); ++index)
    devices.push_back(describe(index, readings));
  if (option == "-j")
    std::printf("%s\n", json{{"version", stack_version()}, {"devices", devices}}.dump(2).c_str());
  else
    print_table(devices);
  return 0;
}
