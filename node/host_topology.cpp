// SPDX-License-Identifier: Apache-2.0
#include "node/host_topology.hpp"

#include "node/file_digest.hpp"

#include <hwloc.h>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <memory>
#include <sstream>

namespace consort::node {

namespace {

constexpr std::size_t host_file_bytes_max = 64 * 1024;

std::optional<std::uint64_t> parse_number(std::string_view text) {
  std::uint64_t number = 0;
  const auto start = text.find_first_not_of(" \t");
  if (start == std::string_view::npos)
    return std::nullopt;
  const auto rest = text.substr(start);
  const auto [end, status] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
  return status == std::errc{} ? std::optional(number) : std::nullopt;
}

std::uint32_t count_of(hwloc_topology_t topology, hwloc_obj_type_t type) {
  return static_cast<std::uint32_t>(std::max(1, hwloc_get_nbobjs_by_type(topology, type)));
}

std::uint64_t cache_bytes(hwloc_topology_t topology, hwloc_obj_type_t type) {
  const auto* cache = hwloc_get_obj_by_type(topology, type, 0);
  return cache == nullptr ? 0 : cache->attr->cache.size;
}

/// The path of this process's own group in a hierarchy of /proc/self/cgroup, e.g. `0::/a` or
/// `4:memory:/a`; empty when it is in none.
std::string own_group(const std::string& root, std::string_view controller) {
  std::istringstream lines(read_host_file(root + "/proc/self/cgroup"));
  for (std::string line; std::getline(lines, line);) {
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos)
      continue;
    if (line.substr(first + 1, second - first - 1) == controller)
      return line.substr(second + 1);
  }
  return {};
}

/// Calls `look` for the group's folder and each above it, up to the mount.
template <class Look>
void each_group(const std::string& mount, std::string group, const Look& look) {
  while (!group.empty() && group != "/") {
    look(mount + group);
    group.erase(group.rfind('/'));
  }
  look(mount);
}

} // namespace

std::string read_host_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(host_file_bytes_max, '\0');
  if (!file)
    return {};
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(std::max<std::streamsize>(file.gcount(), 0)));
  return text;
}

std::string find_line(std::string_view text, std::string_view name) {
  while (!text.empty()) {
    const auto end = text.find('\n');
    const auto line = text.substr(0, end);
    const auto colon = line.find(':');
    if (colon != std::string_view::npos
        && line.substr(0, line.find_last_not_of(" \t", colon - 1) + 1) == name) {
      const auto start = line.find_first_not_of(" \t", colon + 1);
      return start == std::string_view::npos ? std::string{} : std::string(line.substr(start));
    }
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
  }
  return {};
}

host_topology read_topology(const std::string& root) {
  host_topology found;
  hwloc_topology_t topology = nullptr;
  if (hwloc_topology_init(&topology) == 0) {
    const std::unique_ptr<hwloc_topology, decltype(&hwloc_topology_destroy)> owner(
        topology, hwloc_topology_destroy);
    if (hwloc_topology_load(topology) == 0) {
      found.cores = count_of(topology, HWLOC_OBJ_CORE);
      found.processors = count_of(topology, HWLOC_OBJ_PU);
      found.packages = count_of(topology, HWLOC_OBJ_PACKAGE);
      found.numa_nodes = count_of(topology, HWLOC_OBJ_NUMANODE);
      found.l2_bytes = cache_bytes(topology, HWLOC_OBJ_L2CACHE);
      found.l3_bytes = cache_bytes(topology, HWLOC_OBJ_L3CACHE);
    }
  }
  const auto text = read_host_file(root + "/proc/cpuinfo");
  found.processor_name = find_line(text, "model name");
  const auto flags = " " + find_line(text, "flags") + find_line(text, "Features") + " ";
  for (const auto* name : {"sse4_2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512_vnni",
                           "avx512_bf16", "amx_int8", "asimd", "asimddp", "i8mm", "sve"})
    if (flags.find(" " + std::string(name) + " ") != std::string::npos)
      found.simd.emplace_back(name);
  return found;
}

std::uint64_t read_available_memory(const std::string& root) {
  std::uint64_t available
      = parse_number(find_line(read_host_file(root + "/proc/meminfo"), "MemAvailable")).value_or(0)
        * 1024;
  const auto tighten = [&](const std::string& limit_path, const std::string& used_path) {
    // `max` is no number: no limit.
    const auto limit = parse_number(read_host_file(limit_path));
    const auto used = parse_number(read_host_file(used_path)).value_or(0);
    if (limit)
      available = std::min(available, *limit > used ? *limit - used : 0);
  };
  const auto mount = root + "/sys/fs/cgroup";
  each_group(mount, own_group(root, ""), [&](const std::string& group) {
    tighten(group + "/memory.max", group + "/memory.current");
  });
  each_group(mount + "/memory", own_group(root, "memory"), [&](const std::string& group) {
    tighten(group + "/memory.limit_in_bytes", group + "/memory.usage_in_bytes");
  });
  return available;
}

std::optional<std::uint32_t> read_processor_quota(const std::string& root) {
  std::optional<std::uint32_t> quota;
  each_group(root + "/sys/fs/cgroup", own_group(root, ""), [&](const std::string& group) {
    const auto text = read_host_file(group + "/cpu.max"); // `200000 100000` or `max 100000`
    const auto space = text.find(' ');
    const auto time = parse_number(text);
    const auto period
        = space == std::string::npos ? std::nullopt : parse_number(text.substr(space));
    if (time && period && *period > 0)
      quota = std::min(quota.value_or(limits::threads_max),
                       static_cast<std::uint32_t>(
                           std::clamp<std::uint64_t>(*time / *period, 1, limits::threads_max)));
  });
  return quota;
}

std::string read_host_identity(const std::string& root) {
  for (const auto* name : {"/etc/machine-id", "/sys/class/dmi/id/product_uuid"}) {
    const auto text = read_host_file(root + name);
    if (text.find_first_not_of(" \n") != std::string::npos)
      return hash_text("consort cpu " + text).value.substr(0, 32);
  }
  std::array<char, 256> name{};
  ::gethostname(name.data(), name.size() - 1);
  return hash_text("consort cpu " + std::string(name.data())).value.substr(0, 32);
}

} // namespace consort::node
