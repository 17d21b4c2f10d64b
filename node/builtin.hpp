// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The plugins that are compiled in, listed by hand: no registration macros, no globals.

#include "node/builtin_cpu.hpp"

#include <vector>

namespace consort::node {

/// What built-in plugins need from the agent.
struct builtin_config {
  cpu_plugin_config cpu;
};

[[nodiscard]] std::vector<std::unique_ptr<plugin>> builtin_plugins(builtin_config config);

} // namespace consort::node
