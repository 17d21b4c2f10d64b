// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Circuit breaker of one (device, model) pair. Counts device faults only: client errors and
/// cancels never reach it. Opens after limits::breaker_failures in a row, for a span that doubles
/// each time; then half-open lets one attempt through, whose end closes it or opens it again.

#include "scheduler/ids.hpp"

#include <string_view>

namespace consort::core {

enum class breaker_state : std::uint8_t { closed, open, half_open };

class breaker {
public:
  [[nodiscard]] breaker_state state() const { return state_; }
  /// Whether another attempt may start: always when closed, never when open, one at a time when
  /// half-open.
  [[nodiscard]] bool admits() const {
    return state_ == breaker_state::closed || (state_ == breaker_state::half_open && !probing_);
  }
  /// When an open breaker becomes half-open.
  [[nodiscard]] time_us retry_at() const { return retry_at_; }
  [[nodiscard]] std::uint32_t failures() const { return failures_; }

  /// An attempt was let through. Requires: admits().
  void started() { probing_ = state_ == breaker_state::half_open; }
  void succeeded();
  /// A device fault. Returns: whether it opened just now.
  bool failed(time_us now);
  /// The attempt ended without saying anything about the device (cancelled, client's fault).
  void ended_undecided() { probing_ = false; }
  /// Moves from open to half-open once its time has come. Returns: whether it did.
  bool wake(time_us now);

private:
  breaker_state state_ = breaker_state::closed;
  bool probing_ = false;
  std::uint32_t failures_ = 0; ///< Device faults in a row.
  std::uint32_t openings_ = 0; ///< Since it was last closed.
  time_us retry_at_ = 0;
};

/// `closed`, `open`, `half-open`.
[[nodiscard]] std::string_view word(breaker_state state);

/// min * 2^step, at most max. Used by every backoff of the core.
[[nodiscard]] duration_us backoff(duration_us min, duration_us max, std::uint32_t step);

} // namespace consort::core
