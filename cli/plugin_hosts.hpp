// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Where an engine on trial would run models: a device of this host that one of the plugins it
/// names finds, as an agent with those folders would. Asks those plugins' tools, and no others'.
/// Blocking, up to node::limits::plugin_call_us_max for each of them; keeps nothing.

#include "node/json_plugin.hpp"

#include <optional>

namespace consort::cli {

struct host_search {
  /// With what the engine adds to it: the first that it builds for, else the first of all.
  std::optional<device_spec> device;
  std::string why; ///< Of none: what their tools said in words; empty = they are not here.
};

/// `folders` hold plugin folders, the first of a name counts. Requires: `engine` is one.
[[nodiscard]] host_search find_host(node::json_plugin& engine,
                                    const std::vector<std::string>& folders);

} // namespace consort::cli
