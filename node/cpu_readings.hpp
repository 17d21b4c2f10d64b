// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Telemetry of the host's processors, from /proc and, where the kernel lets us, RAPL. Each reading
/// covers the time since the one before; the first knows no rates. Unknown is nullopt. Not
/// thread-safe. Internal to builtin_cpu.cpp.

#include "scheduler/resources.hpp"

namespace consort::node {

class cpu_readings {
public:
  explicit cpu_readings(std::string root) : root_(std::move(root)) {}

  /// `now` on any monotonic axis.
  [[nodiscard]] device_reading read(time_us now);

private:
  struct busy_time {
    std::uint64_t busy = 0; ///< Clock ticks over all processors.
    std::uint64_t total = 0;
  };
  [[nodiscard]] std::optional<busy_time> read_times() const;
  [[nodiscard]] std::optional<std::uint64_t> read_energy_uj() const;
  [[nodiscard]] std::optional<std::uint64_t> read_used_memory() const;

  std::string root_;
  std::optional<busy_time> times_before_;
  std::optional<std::uint64_t> energy_uj_before_;
  time_us read_before_ = 0;
  std::uint64_t energy_mj_total_ = 0; ///< Summed here: the hardware's counter wraps.
};

} // namespace consort::node
