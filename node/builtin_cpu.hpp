// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The host's processors as one device, `cpu0`: topology from hwloc, memory from the tightest of
/// host and control group, telemetry from /proc and, where readable, RAPL. It runs GGUF models with
/// the `llama` runtime and needs no compiler. Not thread-safe, as node/plugin.hpp says.

#include "node/c_abi_spec.hpp"
#include "node/plugin.hpp"

namespace consort::node {

struct cpu_plugin_config {
  std::string llama_library; ///< Absolute path of the llama plugin's shared object.
  c_abi_factory make_c_abi;
  std::uint32_t threads = 0;   ///< 0 = one per free core.
  std::uint32_t sequences = 0; ///< 0 = by cores, up to limits::cpu_sequences_max.
  std::string root;            ///< Prefix of /proc, /sys and /etc, for tests; empty = the host's.
};

/// Never null. available() says so when the library is missing.
[[nodiscard]] std::unique_ptr<plugin> make_cpu_plugin(cpu_plugin_config config);

} // namespace consort::node
