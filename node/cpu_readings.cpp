// SPDX-License-Identifier: Apache-2.0
#include "node/cpu_readings.hpp"

#include "node/host_topology.hpp"

#include <charconv>
#include <sstream>

namespace consort::node {

std::optional<cpu_readings::busy_time> cpu_readings::read_times() const {
  std::istringstream line(read_host_file(root_ + "/proc/stat"));
  std::string word;
  if (!(line >> word) || word != "cpu")
    return std::nullopt;
  // user nice system idle iowait irq softirq steal; guest time is in user already.
  constexpr int columns = 8, idle = 3, iowait = 4;
  busy_time times;
  for (int column = 0; column < columns; ++column) {
    std::uint64_t ticks = 0;
    if (!(line >> ticks))
      return std::nullopt;
    times.total += ticks;
    times.busy += column == idle || column == iowait ? 0 : ticks;
  }
  return times;
}

std::optional<std::uint64_t> cpu_readings::read_energy_uj() const {
  std::optional<std::uint64_t> sum;
  constexpr int packages_max = 16;
  for (int package = 0; package < packages_max; ++package) {
    const auto text = read_host_file(
        root_ + "/sys/class/powercap/intel-rapl:" + std::to_string(package) + "/energy_uj");
    std::uint64_t energy = 0;
    if (text.empty()
        || std::from_chars(text.data(), text.data() + text.size(), energy).ec != std::errc{})
      break;
    sum = sum.value_or(0) + energy;
  }
  return sum;
}

std::optional<std::uint64_t> cpu_readings::read_used_memory() const {
  const auto text = read_host_file(root_ + "/proc/meminfo");
  const auto number = [&](const char* name) -> std::optional<std::uint64_t> {
    const auto line = find_line(text, name);
    std::uint64_t kib = 0;
    if (std::from_chars(line.data(), line.data() + line.size(), kib).ec != std::errc{})
      return std::nullopt;
    return kib * 1024;
  };
  const auto total = number("MemTotal"), available = number("MemAvailable");
  if (!total || !available || *available > *total)
    return std::nullopt;
  return *total - *available;
}

device_reading cpu_readings::read(time_us now) {
  device_reading reading;
  reading.memory_used_bytes = read_used_memory();
  const auto times = read_times();
  if (times && times_before_ && times->total > times_before_->total
      && times->busy >= times_before_->busy)
    reading.utilization_pm = static_cast<std::uint32_t>((times->busy - times_before_->busy) * 1000
                                                        / (times->total - times_before_->total));
  const auto energy_uj = read_energy_uj();
  // A counter that went back has wrapped: that one interval stays unknown.
  if (energy_uj && energy_uj_before_ && *energy_uj >= *energy_uj_before_ && now > read_before_) {
    const auto spent_uj = *energy_uj - *energy_uj_before_;
    energy_mj_total_ += spent_uj / 1000;
    reading.power_mw = spent_uj * 1000 / static_cast<std::uint64_t>(now - read_before_);
  }
  if (energy_uj)
    reading.energy_mj = energy_mj_total_;
  times_before_ = times;
  energy_uj_before_ = energy_uj;
  read_before_ = now;
  return reading;
}

} // namespace consort::node
