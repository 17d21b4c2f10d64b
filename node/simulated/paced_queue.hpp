// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What a simulated device has yet to do, in real time but without drift: every action runs at the
/// very moment it was due, however late its turn comes, so that a thousand steps of a millisecond
/// take one second. A clock that stood still for longer than limits::paced_slip_us is another
/// matter: the process was stopped, its device with it, and the time between is left out. Reads no
/// clock: its owner says how late it is. Owned by simulated_devices; single-threaded.

#include "scenarios/models/inline_action.hpp"
#include "scheduler/ids.hpp"

#include <map>
#include <optional>

namespace consort::node {

class paced_queue {
public:
  using action = sim::inline_action;

  /// While an action runs: when it was due. Else the latest that was told.
  [[nodiscard]] time_us now() const { return now_; }
  /// Equal times run in the order in which they were asked for.
  void after(duration_us delay, action what);
  /// Runs what is due at `clock`, any monotonic axis, always the same.
  void run_until(time_us clock);
  /// When there is something to do next, on the axis of run_until().
  [[nodiscard]] std::optional<time_us> next() const;

private:
  std::multimap<time_us, action> due_;
  time_us now_ = 0;
  duration_us left_out_ = 0; ///< Of the clock's axis.
  bool started_ = false;
};

} // namespace consort::node
