// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Virtual time: what is to happen, ordered by (time, order of scheduling). Owned by one run.
/// Equal times run in the order in which they were scheduled, so a run depends on nothing but its
/// inputs. A heap of four children over small keys; actions stand still beside it. Single-threaded.

#include "scenarios/sim/inline_action.hpp"
#include "scheduler/ids.hpp"

#include <cstddef>
#include <vector>

namespace consort::sim {

class event_heap {
public:
  using action = inline_action;

  /// Runs `what` at `when`; a time that has passed means now.
  void at(time_us when, action what);
  void after(duration_us delay, action what) { at(now_ + delay, std::move(what)); }
  /// Advances to the next entry and runs it. Returns: false when there is none.
  bool run_next();

  [[nodiscard]] time_us now() const { return now_; }
  [[nodiscard]] bool empty() const { return keys_.empty(); }
  /// Requires: !empty().
  [[nodiscard]] time_us next_time() const { return keys_.front().when; }
  [[nodiscard]] std::uint64_t steps() const { return steps_; }
  [[nodiscard]] std::size_t size() const { return keys_.size(); }

private:
  struct key {
    time_us when = 0;
    std::uint64_t sequence = 0;
    std::uint32_t place = 0; ///< In `actions_`.
    [[nodiscard]] bool before(const key& other) const {
      return when != other.when ? when < other.when : sequence < other.sequence;
    }
  };
  void rise(std::size_t at, key moved);
  void sink(std::size_t at, key moved);

  std::vector<key> keys_;
  std::vector<action> actions_;
  std::vector<std::uint32_t> unused_; ///< Places in `actions_`.
  time_us now_ = 0;
  std::uint64_t scheduled_ = 0;
  std::uint64_t steps_ = 0;
};

} // namespace consort::sim
