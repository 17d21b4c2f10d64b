// SPDX-License-Identifier: Apache-2.0
#include "node/simulated/paced_queue.hpp"

#include "node/simulated/limits.hpp"

#include <algorithm>

namespace consort::node {

void paced_queue::after(duration_us delay, action what) {
  due_.emplace(now_ + std::max<duration_us>(delay, 0), std::move(what));
}

void paced_queue::run_until(time_us clock) {
  if (!std::exchange(started_, true))
    left_out_ = clock - now_;
  if (!due_.empty()) {
    const auto late = clock - left_out_ - due_.begin()->first;
    if (late > limits::paced_slip_us)
      left_out_ += late;
  }
  const auto until = clock - left_out_;
  while (!due_.empty() && due_.begin()->first <= until) {
    const auto first = due_.begin();
    now_ = std::max(now_, first->first);
    auto what = std::move(first->second);
    due_.erase(first);
    what();
  }
  now_ = std::max(now_, until);
}

std::optional<time_us> paced_queue::next() const {
  return due_.empty() ? std::nullopt : std::optional(due_.begin()->first + left_out_);
}

} // namespace consort::node
