// SPDX-License-Identifier: Apache-2.0
#pragma once
/// How runtimes are run, for whoever has an io_context and the consort binary. Pure composition.

#include "node/json_plugin.hpp"

namespace consort::node {

/// Runtimes behind the C ABI in processes of `executable`, and model servers; all on `io`, which
/// outlives them. `owner`: of containers (container_owner()); empty where nobody keeps them.
/// `prices`: as configured. `state_path`: of what plugins' tools keep; empty where they do not.
[[nodiscard]] plugin_environment make_plugin_environment(boost::asio::io_context& io,
                                                         const std::string& executable,
                                                         const std::string& owner = {},
                                                         const price_table& prices = {},
                                                         const std::string& state_path = {});

} // namespace consort::node
