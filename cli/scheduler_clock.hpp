// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The scheduler's time axis as this process sees it: its own steady clock plus an offset learned
/// from each answer to hello. In the scheduler's process the offset is 0. Thread-safe. The answer's
/// travel time is its error; lease and ticket lifetimes are thousands of times longer.
/// The axis of another scheduler begins anew, so that now() may jump by days, either way: it is for
/// what a scheduler dated, never for a span.

#include "scheduler/ids.hpp"

#include <atomic>
#include <chrono>

namespace consort::cli {

class scheduler_clock {
public:
  [[nodiscard]] time_us now() const {
    return steady() + offset_us_.load(std::memory_order_relaxed);
  }
  /// The scheduler says that it is `scheduler_now`.
  void set(time_us scheduler_now) {
    offset_us_.store(scheduler_now - steady(), std::memory_order_relaxed);
  }
  /// Since this was made; never jumps: what spans are taken of.
  [[nodiscard]] time_us steady() const {
    return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now()
                                                                 - began_)
        .count();
  }

private:
  const std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
  std::atomic<time_us> offset_us_{0};
};

} // namespace consort::cli
