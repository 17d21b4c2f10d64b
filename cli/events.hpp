// SPDX-License-Identifier: Apache-2.0
#pragma once
/// `consort events`: the cluster's stream of events, a line for each.

#include "cli/context.hpp"

#include <chrono>

namespace consort::cli {

/// Prints the next event.
[[nodiscard]] exit_code show_next_event(context& env);

/// Prints events until it is interrupted or nobody reads any more. A server that was there and went
/// away is asked again every `pause`; one that never answered, or refuses, ends it.
[[nodiscard]] exit_code follow_events(context& env, std::chrono::milliseconds pause);

} // namespace consort::cli
