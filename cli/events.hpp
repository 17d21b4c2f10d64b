// SPDX-License-Identifier: Apache-2.0
#pragma once
/// `consort events`: what happened in the cluster, a line for each event.

#include "cli/context.hpp"

#include <chrono>

namespace consort::cli {

/// Prints the last events, at most so many.
[[nodiscard]] exit_code show_events(context& env, std::size_t last);

/// Prints the last events and then each that comes, until it is interrupted or nobody reads any
/// more. A server that was there and went away is asked again every `pause`, for what came since
/// where it remembers; one that never answered, or refuses, ends it.
[[nodiscard]] exit_code follow_events(context& env, std::size_t last,
                                      std::chrono::milliseconds pause);

} // namespace consort::cli
