// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A server command in the foreground: waits for SIGINT or SIGTERM, drains, and is gone within the
/// contract's time whatever hangs.

#include <chrono>
#include <functional>
#include <iosfwd>

namespace consort::cli {

/// What a foreground command runs.
struct foreground_service {
  std::function<void()> drain;  ///< Blocks until streams ended; called once, on a thread.
  std::function<void()> hurry;  ///< Ends a drain under way; thread-safe. Called at most once.
  std::function<void()> reload; ///< SIGHUP; may be empty, then SIGHUP is ignored.
};

/// From the first signal to the end of the process; the contract's 5 s less what printing takes.
inline constexpr auto stop_within = std::chrono::milliseconds(4'900);
/// From the second signal on.
inline constexpr auto stop_now_within = std::chrono::milliseconds(900);

/// Serves until a signal came and `drain` returned. Tearing down afterwards is the caller's: if the
/// process still lives `stop_within` after the first signal (`stop_now_within` after a second), it
/// is ended on the spot with exit code 1 and a line on stderr, since a vendor call that hangs in an
/// actor must not keep it.
void serve_until_signalled(const foreground_service& service, std::ostream& err);

} // namespace consort::cli
