// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What the host's processors are: topology from hwloc, name and instruction sets from /proc, the
/// memory that models may have, and an identity that survives restarts. Read once; pure but for the
/// files it reads, which lie under a root of choice. Internal to builtin_cpu.cpp.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace consort::node {

struct host_topology {
  std::uint32_t cores = 1;      ///< Physical, usable by this process.
  std::uint32_t processors = 1; ///< Hardware threads, usable by this process.
  std::uint32_t packages = 1;
  std::uint32_t numa_nodes = 1;
  std::uint64_t l2_bytes = 0; ///< Of one cache; 0 = unknown.
  std::uint64_t l3_bytes = 0;
  std::string processor_name;
  std::vector<std::string> simd; ///< Of those that the engine uses, e.g. `avx2`, in fixed order.
};

/// Asks hwloc and `root`/proc/cpuinfo.
[[nodiscard]] host_topology read_topology(const std::string& root);

/// Bytes that this process could still take: the tightest of MemAvailable and the control groups'
/// limits (v2 and v1). 0 = unknown.
[[nodiscard]] std::uint64_t read_available_memory(const std::string& root);

/// Processors that the control group's quota allows, rounded down to at least 1; nothing = no
/// quota.
[[nodiscard]] std::optional<std::uint32_t> read_processor_quota(const std::string& root);

/// From the machine id, else the product's UUID, else the host's name; hashed, so that the machine
/// id itself, which is confidential, is not shown.
[[nodiscard]] std::string read_host_identity(const std::string& root);

/// The value behind `name` in a file of `name: value` lines; empty when it is not there.
[[nodiscard]] std::string find_line(std::string_view text, std::string_view name);

/// The first 64 KiB of a file; empty when it cannot be read.
[[nodiscard]] std::string read_host_file(const std::string& path);

} // namespace consort::node
