// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Virtual time: what is to happen, ordered by (time, order of scheduling). Owned by one run.
/// Equal times run in the order in which they were scheduled, so a run depends on nothing but its
/// inputs. Single-threaded.

#include "scheduler/ids.hpp"

#include <cstddef>
#include <functional>
#include <vector>

namespace consort::sim {

class event_heap {
public:
  using action = std::function<void()>;

  /// Runs `what` at `when`; a time that has passed means now.
  void at(time_us when, action what);
  void after(duration_us delay, action what) { at(now_ + delay, std::move(what)); }
  /// Advances to the next entry and runs it. Returns: false when there is none.
  bool run_next();

  [[nodiscard]] time_us now() const { return now_; }
  [[nodiscard]] bool empty() const { return entries_.empty(); }
  /// Requires: !empty().
  [[nodiscard]] time_us next_time() const { return entries_.front().when; }
  [[nodiscard]] std::uint64_t steps() const { return steps_; }

private:
  struct entry {
    time_us when = 0;
    std::uint64_t sequence = 0;
    action what;
  };
  static bool later(const entry& left, const entry& right);

  std::vector<entry> entries_;
  time_us now_ = 0;
  std::uint64_t scheduled_ = 0;
  std::uint64_t steps_ = 0;
};

} // namespace consort::sim
