// SPDX-License-Identifier: Apache-2.0
#include "node/host/call_watch.hpp"

#include <algorithm>
#include <utility>

namespace consort::node {

void call_watch::begin(const char* name, counts which, time_us now) {
  const std::lock_guard lock(mutex_);
  call_ = name;
  which_ = which;
  waited_ = 0;
  looked_at_ = now;
}

void call_watch::end() {
  const std::lock_guard lock(mutex_);
  call_ = nullptr;
}

void call_watch::request_taken() {
  const std::lock_guard lock(mutex_);
  ++running_;
}

void call_watch::request_over() {
  const std::lock_guard lock(mutex_);
  // A runtime that ends one twice breaks the protocol, which the agent sees to.
  if (running_ > 0)
    --running_;
}

const char* call_watch::look(time_us now, bool blameless) {
  const std::lock_guard lock(mutex_);
  if (call_ == nullptr)
    return nullptr;
  const auto passed = std::min(now - std::exchange(looked_at_, now), limit_ / 2);
  if (blameless || (which_ == counts::idle && running_ > 0))
    waited_ = 0;
  else
    waited_ += passed;
  return waited_ >= limit_ ? call_ : nullptr;
}

} // namespace consort::node
