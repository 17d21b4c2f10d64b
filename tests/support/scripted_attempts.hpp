// SPDX-License-Identifier: Apache-2.0
#pragma once
/// An attempt service whose events the test says by hand, and a recorder of what a sink heard.
/// Thread-safe; every wait ends as soon as what it waits for has happened.

#include "messages/attempt_service.hpp"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>

namespace consort::testing {

inline constexpr std::chrono::seconds attempts_patience{20};

class scripted_attempts final : public attempt_service {
public:
  /// Runs within open(), before it returns.
  std::function<void(const ticket&, attempt_sink&)> on_open;

  std::unique_ptr<attempt_stream> open(const ticket& permission, attempt_body body,
                                       std::shared_ptr<attempt_sink> sink) override {
    std::size_t number = 0;
    {
      const std::lock_guard lock(mutex_);
      number = opened_.size();
      opened_.push_back({permission, std::move(body), sink, false});
      changed_.notify_all();
    }
    if (on_open)
      on_open(permission, *sink);
    return std::make_unique<stream>(*this, number);
  }

  struct attempt {
    ticket permission;
    attempt_body body;
    std::shared_ptr<attempt_sink> sink;
    bool closed = false;
  };

  /// The attempt opened as number `index`, waiting for it.
  attempt opened(std::size_t index = 0) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, attempts_patience, [&] { return opened_.size() > index; });
    return opened_.at(index);
  }
  std::size_t count() {
    const std::lock_guard lock(mutex_);
    return opened_.size();
  }
  /// Waits until its stream was cancelled or destroyed.
  bool closed(std::size_t index = 0) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, attempts_patience, [&] { return opened_.at(index).closed; });
  }
  void say(std::size_t index, attempt_event happened) {
    opened(index).sink->on_event(std::move(happened));
  }

private:
  class stream final : public attempt_stream {
  public:
    stream(scripted_attempts& owner, std::size_t number) : owner_(owner), number_(number) {}
    ~stream() override { owner_.close(number_); }
    void cancel() override { owner_.close(number_); }

  private:
    scripted_attempts& owner_;
    const std::size_t number_;
  };

  void close(std::size_t number) {
    const std::lock_guard lock(mutex_);
    opened_[number].closed = true;
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<attempt> opened_;
};

class recording_sink final : public attempt_sink {
public:
  std::function<void(const attempt_event&)> reaction; ///< After each event, unlocked.

  void on_event(attempt_event happened) override {
    {
      const std::lock_guard lock(mutex_);
      events_.push_back(happened);
      changed_.notify_all();
    }
    if (reaction)
      reaction(happened);
  }
  std::vector<attempt_event> wait(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, attempts_patience, [&] { return events_.size() >= count; });
    return events_;
  }
  std::vector<attempt_event> wait_end() {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, attempts_patience, [&] { return ended(); });
    return events_;
  }
  /// How it was aborted; code `none` when it was not.
  attempt_aborted abort() {
    const auto events = wait_end();
    const auto* aborted = events.empty() ? nullptr : std::get_if<attempt_aborted>(&events.back());
    return aborted == nullptr ? attempt_aborted{{recovery::bug, "none", ""}, false} : *aborted;
  }

private:
  [[nodiscard]] bool ended() const {
    return !events_.empty()
           && (std::holds_alternative<attempt_completed>(events_.back())
               || std::holds_alternative<attempt_aborted>(events_.back()));
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<attempt_event> events_;
};

/// A ticket for a node; nobody checks its seal here.
inline ticket make_ticket(const std::string& address, std::uint64_t sequence = 1,
                          const std::string& node = "n1") {
  ticket out;
  out.attempt = {{gateway_id(7), sequence}, 1};
  out.node = node_id(node);
  out.device = device_id(node + "/cpu0");
  out.model = model_name("m");
  out.data_address = address;
  return out;
}

inline attempt_tokens say_tokens(const std::string& text) {
  return {0, text, {1}, ""};
}

} // namespace consort::testing
