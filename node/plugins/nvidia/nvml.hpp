// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What consort-nvml uses of NVIDIA's management library, found at run time: the project links
/// nothing of it. Names, layouts and numbers are the library's own interface. A function that a
/// driver does not have is null, and what it would tell is unknown. Single-threaded.

#include <array>
#include <cstdint>
#include <string>

namespace consort::nvml {

using handle = struct device_of_nvml*;
using event_set = struct events_of_nvml*;

/// What functions return; anything but these is an error like any other.
enum code : int {
  ok = 0,
  not_supported = 3,
  gpu_is_lost = 15,
  reset_required = 16,
  version_mismatch = 18,
};

/// Bytes.
struct memory_info {
  unsigned long long total, free, used;
};
/// Percent of the time in which something ran.
struct utilization_rates {
  unsigned gpu, memory;
};
struct pci_info {
  char legacy[16];
  unsigned domain, bus, device, pci_device, pci_subsystem;
  char bus_id[32];
};
struct event_data {
  handle device;
  unsigned long long type, data;
  unsigned gpu_instance, compute_instance;
};

/// One of the many figures that are asked for by number; `value` is a union of 8 bytes.
struct field_value {
  unsigned field, scope;
  long long timestamp, latency_us;
  int type, status;
  unsigned value[2];
};
static_assert(sizeof(field_value) == 40);
/// What has to be done with a board before it is well again, since drivers of about 570; a number
/// of its own for each thing, and 0 where it is well. Its type is an unsigned int.
constexpr unsigned field_recovery_action = 230;
constexpr int type_unsigned_int = 1;
enum recovery_action : unsigned {
  recovery_none = 0,
  recovery_board_reset = 1,
  recovery_host_reboot = 2,
  recovery_drain_peers = 3,
  recovery_drain_and_reset = 4,
};

constexpr unsigned long long event_double_bit = 0x2, event_xid = 0x8;
/// What two boards are asked whether they have it in common, and the answer that they do.
constexpr int p2p_by_nvlink = 2, p2p_ok = 0;
/// Reasons for a lower clock that are no choice of anybody's.
constexpr unsigned long long hardware_slowdown = 0x8, thermal = 0x20 | 0x40, power_brake = 0x80;

/// The library's functions. Pointers stay good for as long as the process lives.
struct library {
  int (*init)() = nullptr;
  int (*shutdown)() = nullptr;
  const char* (*error_string)(int) = nullptr;
  int (*driver_version)(char*, unsigned) = nullptr;
  int (*cuda_version)(int*) = nullptr;
  int (*count)(unsigned*) = nullptr;
  int (*by_index)(unsigned, handle*) = nullptr;
  int (*name)(handle, char*, unsigned) = nullptr;
  int (*uuid)(handle, char*, unsigned) = nullptr;
  int (*pci)(handle, pci_info*) = nullptr;
  int (*compute_capability)(handle, int*, int*) = nullptr;
  int (*memory)(handle, memory_info*) = nullptr;
  int (*utilization)(handle, utilization_rates*) = nullptr;
  int (*power)(handle, unsigned*) = nullptr;
  int (*power_limit)(handle, unsigned*) = nullptr;
  int (*energy)(handle, unsigned long long*) = nullptr;
  int (*temperature)(handle, int, unsigned*) = nullptr;
  int (*throttle)(handle, unsigned long long*) = nullptr;
  int (*ecc_errors)(handle, int, int, unsigned long long*) = nullptr;
  int (*remapped_rows)(handle, unsigned*, unsigned*, unsigned*, unsigned*) = nullptr;
  int (*fields)(handle, int, field_value*) = nullptr;
  int (*p2p_status)(handle, handle, int, int*) = nullptr;
  int (*mig_mode)(handle, unsigned*, unsigned*) = nullptr;
  int (*mig_count_max)(handle, unsigned*) = nullptr;
  int (*mig_by_index)(handle, unsigned, handle*) = nullptr;
  int (*make_events)(event_set*) = nullptr;
  int (*watch_events)(handle, unsigned long long, event_set) = nullptr;
  int (*wait_event)(event_set, event_data*, unsigned) = nullptr;
};

/// Loads `path`, or where drivers put the library when it is empty. Returns: why not, or empty.
[[nodiscard]] std::string load(const std::string& path, library& into);

} // namespace consort::nvml
