// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A sink that remembers what it got and lets a test wait for it. Thread-safe.

#include "messages/attempt_service.hpp"

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>

namespace consort::node::test {

inline constexpr std::chrono::seconds patience{20}; ///< Far above what a loaded machine needs.

inline bool is_terminal(const attempt_event& happened) {
  return std::holds_alternative<attempt_completed>(happened)
         || std::holds_alternative<attempt_aborted>(happened);
}

class attempt_recorder final : public attempt_sink {
public:
  void on_event(attempt_event happened) override {
    {
      const std::lock_guard lock(mutex_);
      events_.push_back(std::move(happened));
    }
    changed_.notify_all();
    if (reaction)
      reaction();
  }

  /// Waits until `count` events are there. Returns: what is there by then.
  std::vector<attempt_event> wait_count(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, patience, [&] { return events_.size() >= count; });
    return events_;
  }
  /// Waits for the end. Returns: all events so far.
  std::vector<attempt_event> wait_end() {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, patience,
                      [&] { return !events_.empty() && is_terminal(events_.back()); });
    return events_;
  }
  std::vector<attempt_event> seen() { return wait_count(0); }
  std::size_t terminals() {
    std::size_t count = 0;
    for (const auto& event : seen())
      count += is_terminal(event);
    return count;
  }
  /// The failure that it ended with; code `none` when it did not fail.
  attempt_aborted failure() {
    const auto events = wait_end();
    const auto* aborted = events.empty() ? nullptr : std::get_if<attempt_aborted>(&events.back());
    return aborted == nullptr ? attempt_aborted{{recovery::bug, "none", ""}, false} : *aborted;
  }
  std::string text() {
    std::string all;
    for (const auto& event : seen())
      if (const auto* tokens = std::get_if<attempt_tokens>(&event))
        all += tokens->text;
    return all;
  }

  std::function<void()> reaction; ///< Called after each event, unlocked.

private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<attempt_event> events_;
};

inline attempt_id attempt(std::uint64_t sequence) {
  return {{gateway_id(1), sequence}, 1};
}

} // namespace consort::node::test
