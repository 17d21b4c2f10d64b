// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Virtual time: what is to happen, ordered by (time, order of scheduling). Owned by one run.
/// Equal times run in the order in which they were scheduled, so a run depends on nothing but its
/// inputs. Single-threaded.
///
/// A radix heap: entries lie in buckets by the highest bit in which their time differs from a floor
/// below all of them. The lowest bucket is spread over those below it when its turn comes, so that
/// an entry moves once for each such bit at most, and always in rows. Whatever has the same time
/// lies in the same bucket, in order, at every moment. Actions stand still beside it.

#include "scenarios/models/inline_action.hpp"
#include "scheduler/ids.hpp"

#include <array>
#include <cstddef>
#include <deque>
#include <vector>

namespace consort::sim {

class event_heap {
public:
  using action = inline_action;

  /// Runs `what` at `when`; a time that has passed means now.
  template <class What>
  void at(time_us when, What&& what) {
    const auto place = free_place();
    actions_[place].emplace(std::forward<What>(what));
    put(when < now_ ? now_ : when, place);
  }
  template <class What>
  void after(duration_us delay, What&& what) {
    at(now_ + delay, std::forward<What>(what));
  }
  /// Advances to the next entry and runs it. Returns: false when there is none.
  bool run_next();

  [[nodiscard]] time_us now() const { return now_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  /// Requires: !empty().
  [[nodiscard]] time_us next_time();
  [[nodiscard]] std::uint64_t steps() const { return steps_; }
  [[nodiscard]] std::size_t size() const { return size_; }

private:
  struct key {
    time_us when = 0;
    std::uint32_t place = 0; ///< In `actions_`.
  };
  /// 0 = at the floor, else one more than the highest bit that differs; times have 63.
  static constexpr std::size_t buckets = 64;

  [[nodiscard]] std::uint32_t free_place();
  void put(time_us when, std::uint32_t place);
  void into_bucket(key added);
  void settle();
  void lower_floor(time_us floor);

  std::array<std::vector<key>, buckets> keys_;
  std::uint64_t filled_ = 0; ///< One bit for each bucket that holds something; of bucket 0 too.
  std::size_t taken_ = 0;    ///< Of bucket 0, which runs from its beginning.
  time_us floor_ = 0;        ///< At least `now_`, at most any entry's time.
  std::deque<action> actions_;
  std::vector<std::uint32_t> unused_; ///< Places in `actions_`.
  std::size_t size_ = 0;
  time_us now_ = 0;
  std::uint64_t steps_ = 0;
};

} // namespace consort::sim
