// SPDX-License-Identifier: Apache-2.0
#pragma once
/// How often something happens lately: two windows of limits::rate_window_us, the one that runs and
/// the one before it as far as it is still within reach. Integers, so that it replays. Pure.

#include "scheduler/limits.hpp"

#include <algorithm>

namespace consort::core {

class arrival_rate {
public:
  void saw(time_us now) {
    if (begun_ == 0 || now - begun_ >= 2 * limits::rate_window_us) {
      before_ = 0;
      first_ = true;
      begun_ = std::max<time_us>(now, 1);
      count_ = 0;
    } else if (now - begun_ >= limits::rate_window_us) {
      before_ = count_;
      first_ = false;
      begun_ += limits::rate_window_us;
      count_ = 0;
    }
    count_ = std::min(count_ + 1, count_max);
  }

  /// Per 1,000 seconds. In the first window by the time that it has run, at least a quarter of it.
  [[nodiscard]] std::int64_t per_1000_s(time_us now) const {
    const auto run = std::clamp<duration_us>(now - begun_, 0, limits::rate_window_us);
    const auto scale = std::int64_t{1'000} * limits::second_us;
    if (first_)
      return count_ * scale / std::max(run, limits::rate_window_us / 4);
    const auto still = before_ * (limits::rate_window_us - run) / limits::rate_window_us;
    return (count_ + still) * scale / limits::rate_window_us;
  }
  friend bool operator==(const arrival_rate&, const arrival_rate&) = default;

private:
  static constexpr std::int64_t count_max = std::int64_t{1} << 32U;

  time_us begun_ = 0;       ///< Of the window that runs; 0 = none yet.
  std::int64_t before_ = 0; ///< In the window before.
  std::int64_t count_ = 0;  ///< In this one.
  bool first_ = true;       ///< Nothing is known of the time before it.
};

} // namespace consort::core
