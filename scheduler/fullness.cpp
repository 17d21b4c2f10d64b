// SPDX-License-Identifier: Apache-2.0
#include "scheduler/fullness.hpp"

#include "scheduler/breaker.hpp"
#include "scheduler/limits.hpp"

#include <algorithm>

namespace consort::core {

time_us fullness::expected(time_us now) const {
  return std::max({until_, told_, now + (now - since_), now + 1});
}

bool fullness::refused(time_us now, duration_us wait_us) {
  const bool others_told = until_ != 0;
  if (since_ == 0 || now - last_ > limits::full_forgotten_us) {
    since_ = std::max<time_us>(now, 1);
    refusals_ = 0;
  }
  last_ = now;
  if (wait_us > 0)
    told_ = std::max(told_, now + std::min(wait_us, limits::retry_after_max_us));
  if (others_told)
    return false;
  until_ = now + backoff(limits::full_pause_min_us, limits::full_pause_max_us, refusals_++);
  return !shut_;
}

bool fullness::reported(bool shut, time_us now) {
  const bool was_full = full();
  if (shut && (since_ == 0 || now - last_ > limits::full_forgotten_us))
    since_ = std::max<time_us>(now, 1);
  if (shut)
    last_ = now;
  if (shut_ && !shut) // It knows better than our guess.
    until_ = told_ = 0;
  shut_ = shut;
  return was_full != full();
}

bool fullness::wake(time_us now) {
  if (until_ == 0 || now < until_)
    return false;
  until_ = 0;
  return !shut_;
}

void fullness::took(time_us granted_at) {
  if (granted_at <= last_)
    return;
  refusals_ = 0;
  since_ = 0;
  told_ = 0;
}

} // namespace consort::core
