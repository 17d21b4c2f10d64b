// SPDX-License-Identifier: Apache-2.0
#pragma once
/// From the counters that a vendor's `stats` wrote (node/plugin_abi.h) to ours. Pure.

#include "node/runtime.hpp"

namespace consort::node {

/// Reads the counters. What is missing, negative, no number or no JSON at all is unknown; never an
/// error, since a runtime that serves well may count badly.
[[nodiscard]] session_stats parse_session_stats(const std::string& json);

} // namespace consort::node
