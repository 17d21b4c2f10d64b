// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Whether one model's runtime on one device has said that it has no room. Then nothing is sent
/// there for a while: a guess that doubles while it goes on saying so, up to
/// limits::full_pause_max_us, or for as long as its reports say so. That is no failure: it costs
/// nobody an attempt, and the breaker does not count it. What was sent there before it said so
/// proves nothing when it ends or speaks.

#include "scheduler/ids.hpp"

namespace consort::core {

class fullness {
public:
  /// Whether nothing may be sent there.
  [[nodiscard]] bool full() const { return shut_ || until_ != 0; }
  /// When it is asked again, by our guess; 0 = there is none.
  [[nodiscard]] time_us until() const { return until_; }
  /// Since when it has taken nothing; 0 = it took something last.
  [[nodiscard]] time_us since() const { return since_; }
  /// When there may be room, for people: what has lasted for long is thought to last as long again,
  /// and not before the time that it named itself. Requires: full().
  [[nodiscard]] time_us expected(time_us now) const;

  /// It named this time for the next try; 0 = none. For people: how soon it is asked is our guess.
  [[nodiscard]] time_us told() const { return told_; }

  /// It refused an attempt for its load. Those that were under way when it first did say nothing
  /// new. `wait_us` as it asked for itself, of which limits::retry_after_max_us is believed; 0 = it
  /// did not. Returns: whether it is full only since now.
  bool refused(time_us now, duration_us wait_us = 0);
  /// What its report says: `shut` = that it takes nothing at all. Returns: whether full() changed.
  bool reported(bool shut, time_us now);
  /// Ends the guess once its time has come. Returns: whether full() changed.
  bool wake(time_us now);
  /// It took work that was granted then. Since it last said that it is full: it has room, and the
  /// next guess is short again.
  void took(time_us granted_at);

private:
  bool shut_ = false;
  std::uint32_t refusals_ = 0; ///< In a row.
  time_us since_ = 0, until_ = 0;
  time_us told_ = 0;
  time_us last_ = 0; ///< When it said so last, by a refusal or a report.
};

} // namespace consort::core
