// SPDX-License-Identifier: Apache-2.0
#include "scheduler/breaker.hpp"

#include "scheduler/limits.hpp"

#include <algorithm>

namespace consort::core {

void breaker::succeeded() {
  state_ = breaker_state::closed;
  probing_ = false;
  failures_ = 0;
  openings_ = 0;
}

bool breaker::failed(time_us now) {
  probing_ = false;
  ++failures_;
  // Attempts that were already running when it opened say nothing new.
  const bool opens = state_ == breaker_state::half_open
                     || (state_ == breaker_state::closed && failures_ >= limits::breaker_failures);
  if (!opens)
    return false;
  state_ = breaker_state::open;
  retry_at_ = now + backoff(limits::breaker_open_min_us, limits::breaker_open_max_us, openings_++);
  return true;
}

bool breaker::wake(time_us now) {
  if (state_ != breaker_state::open || now < retry_at_)
    return false;
  state_ = breaker_state::half_open;
  probing_ = false;
  return true;
}

std::string_view word(breaker_state state) {
  switch (state) {
  case breaker_state::closed: return "closed";
  case breaker_state::open: return "open";
  case breaker_state::half_open: return "half-open";
  }
  return "closed";
}

duration_us backoff(duration_us min, duration_us max, std::uint32_t step) {
  return std::min(max, min << std::min(step, 20U));
}

} // namespace consort::core
