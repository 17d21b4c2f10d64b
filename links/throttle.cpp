// SPDX-License-Identifier: Apache-2.0
#include "links/throttle.hpp"

#include <algorithm>

namespace consort::links {

namespace {

/// A pause ends with that much of the rate as credit, or half of the burst, so that pauses are few
/// and not tiny, and never end in a full bucket, which would pass for calm.
constexpr duration_us credit_us = 10'000;

} // namespace

void token_bucket::refill(time_us now) {
  if (!begun_)
    filled_at_ = now;
  begun_ = true;
  const auto elapsed = std::max<duration_us>(now - filled_at_, 0);
  filled_at_ = std::max(filled_at_, now);
  // Compared by division: after a long quiet time the product would overflow.
  if (elapsed >= (burst_micro_ - level_micro_) / per_s_ + 1)
    level_micro_ = burst_micro_;
  else
    level_micro_ += elapsed * per_s_;
}

void token_bucket::take(std::int64_t amount, time_us now) {
  refill(now);
  level_micro_ -= amount * limits::second_us;
}

bool token_bucket::has(std::int64_t amount, time_us now) {
  refill(now);
  return level_micro_ >= amount * limits::second_us;
}

void token_bucket::give(std::int64_t amount) {
  level_micro_ = std::min(level_micro_ + amount * limits::second_us, burst_micro_);
}

bool token_bucket::try_take(std::int64_t amount, time_us now) {
  if (!has(amount, now))
    return false;
  level_micro_ -= amount * limits::second_us;
  return true;
}

void token_bucket::take_rest(std::int64_t amount, time_us now) {
  refill(now);
  level_micro_ = std::max<std::int64_t>(level_micro_ - amount * limits::second_us, 0);
}

duration_us token_bucket::wait(time_us now) {
  refill(now);
  if (level_micro_ >= 0)
    return 0;
  return -level_micro_ / per_s_ + 1 + std::min(credit_us, burst_micro_ / per_s_ / 2);
}

duration_us token_bucket::until(std::int64_t amount, time_us now) {
  refill(now);
  const auto missing = amount * limits::second_us - level_micro_;
  return missing <= 0 ? 0 : (missing + per_s_ - 1) / per_s_;
}

bool token_bucket::full(time_us now) {
  refill(now);
  return level_micro_ == burst_micro_;
}

void throttle::received(std::int64_t frames, std::int64_t bytes, time_us now) {
  if (frames_.full(now) && bytes_.full(now))
    paused_ = 0;
  frames_.take(frames, now);
  bytes_.take(bytes, now);
}

duration_us throttle::pause(time_us now) {
  const auto span = std::max(frames_.wait(now), bytes_.wait(now));
  paused_ += span;
  return span;
}

} // namespace consort::links
