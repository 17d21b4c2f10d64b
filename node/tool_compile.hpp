// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Runs one compiler as a build rule says: arguments and config file made from the agent's own
/// values, limits applied, progress and quality read from what it prints. Internal to json_plugin.

#include "node/child_process.hpp"
#include "node/plugin_document.hpp"

namespace consort::node {

/// Starts it on `io`. `finished` is called once, at once when it could not be started, and never
/// after the returned object is gone. Never null.
[[nodiscard]] std::unique_ptr<running_compile>
start_tool_compile(boost::asio::io_context& io, const build_rule& rule, const tool_place& place,
                   const compile_request& wanted, std::function<void(std::uint32_t)> progress,
                   std::function<void(result<compile_outcome>)> finished);

/// The first word of `text` that looks like a version (`1.2.0`), else its first whole number.
[[nodiscard]] std::string find_version(const std::string& text);

/// `version` cut to what must match; empty for version_scope::none.
[[nodiscard]] std::string cut_version(const std::string& version, version_scope scope);

} // namespace consort::node
