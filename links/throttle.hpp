// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Token buckets in integers, and what a link makes of two of them. Pure: time is a parameter, on
/// any axis that never goes back.

#include "links/limits.hpp"

namespace consort::links {

/// Fills at a rate up to its burst. Taking may leave it in debt; then wait() says for how long to
/// take nothing. Requires: rate and burst positive, burst below 2^40.
class token_bucket {
public:
  token_bucket(std::int64_t per_s, std::int64_t burst)
      : per_s_(per_s), burst_micro_(burst * limits::second_us), level_micro_(burst_micro_) {}

  /// Takes `amount`, whether it is there or not.
  void take(std::int64_t amount, time_us now);
  /// Takes `amount` if it is there. Returns: whether it was.
  [[nodiscard]] bool try_take(std::int64_t amount, time_us now);
  /// Takes `amount`, or all that is there.
  void take_rest(std::int64_t amount, time_us now);
  /// Whether `amount` is there.
  [[nodiscard]] bool has(std::int64_t amount, time_us now);
  /// Gives back, up to the burst.
  void give(std::int64_t amount);
  /// 0 without debt; else the time until the debt is paid and some credit is there again.
  [[nodiscard]] duration_us wait(time_us now);
  /// The time until `amount` is there if nobody takes any. Requires: at most the burst.
  [[nodiscard]] duration_us until(std::int64_t amount, time_us now);
  [[nodiscard]] bool full(time_us now);

private:
  void refill(time_us now);

  std::int64_t per_s_;
  std::int64_t burst_micro_; ///< Millionths, so that microseconds of a slow rate count.
  std::int64_t level_micro_;
  time_us filled_at_ = 0;
  bool begun_ = false;
};

/// Bounds what one peer may send: frames and bytes per second, and how long in sum reading may have
/// paused for it before it had a calm moment (both buckets full).
class throttle {
public:
  explicit throttle(const limits::limit_set& limits)
      : frames_(limits.frames_rate, limits.frames_at_once),
        bytes_(limits.bytes_rate, limits.bytes_at_once),
        pauses_max_(limits.pauses) {}

  /// From now on as a node's, whose frames are fewer.
  void narrow(token_bucket frames, duration_us pauses_max) {
    frames_ = frames;
    pauses_max_ = pauses_max;
  }

  void received(std::int64_t frames, std::int64_t bytes, time_us now);
  /// How long not to read now; counts as paused. 0 = read on.
  [[nodiscard]] duration_us pause(time_us now);
  /// Whether the pauses are over their limit: cut it.
  [[nodiscard]] bool abused() const { return paused_ > pauses_max_; }

private:
  token_bucket frames_;
  token_bucket bytes_;
  duration_us pauses_max_;
  duration_us paused_ = 0;
};

} // namespace consort::links
