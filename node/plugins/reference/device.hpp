// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What the reference accelerator's tools agree on: its name and version, which devices a host has,
/// and where a running runtime leaves its readings for refnpu-smi.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace consort::reference {

inline constexpr const char* target_name = "refnpu-1"; ///< What engines are built for.
inline constexpr double idle_watts = 4.0;              ///< Of the power model; nothing is measured.
inline constexpr double busy_watts = 25.0;

/// Of compiler, runtime and smi together. REFNPU_STACK says another one, for tests of whoever lives
/// through an upgrade: what is built then is marked with it, and what runs then reads accordingly.
[[nodiscard]] const char* stack_version();

/// Devices of this host. REFNPU_DEVICES says how many (default limits::devices_default).
[[nodiscard]] std::uint32_t device_count();
/// Stable for the host and the index: derived from the machine id.
[[nodiscard]] std::string device_uuid(std::uint32_t index);
/// The device that a runtime's configuration names, by index or uuid; empty = 0; nullopt = none.
[[nodiscard]] std::optional<std::uint32_t> find_device(const std::string& name);

/// What one runtime process last said about one device.
struct reading {
  std::uint32_t device = 0;
  std::int64_t pid = 0;
  std::uint64_t memory_bytes = 0;
  double utilization = 0;      ///< Share of the last interval that it computed, 0 to 1.
  std::int64_t updated_ms = 0; ///< Unix time.
};

/// Folder of the readings: $REFNPU_STATE, else refnpu under $XDG_RUNTIME_DIR, else under /tmp by
/// user. Made private to the user on first write.
[[nodiscard]] std::string state_folder();
/// Replaces this process's reading of a device; best effort, since telemetry must not stop work.
/// `session` tells sessions of one process apart.
void write_reading(const reading& now, std::uint64_t session);
void remove_reading(std::uint32_t device, std::uint64_t session);
/// Readings that are fresh and whose process lives.
[[nodiscard]] std::vector<reading> read_readings(std::int64_t now_ms);
[[nodiscard]] std::int64_t unix_ms();

} // namespace consort::reference
