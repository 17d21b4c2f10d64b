// SPDX-License-Identifier: Apache-2.0
#pragma once
/// One attempt at a data port elsewhere: the request to send and the sink that hears what comes of
/// it. Shared by its stream and the connection that carries it. Thread-safe. Private to the data
/// port's client.

#include "messages/attempt_service.hpp"

#include <atomic>
#include <mutex>

namespace consort::gateway {

class data_connection;

class data_call {
public:
  data_call(node_id node, std::vector<char> request, std::shared_ptr<attempt_sink> sink)
      : node_(std::move(node)), request_(std::move(request)), sink_(std::move(sink)) {}

  /// Hands an event on unless the end has been. The lock is held meanwhile, which makes mute() wait
  /// for a delivery on another thread; it is recursive because a sink may destroy its own stream.
  void deliver(attempt_event happened) {
    const std::lock_guard lock(mutex_);
    if (ended_)
      return;
    ended_ = std::holds_alternative<attempt_completed>(happened)
             || std::holds_alternative<attempt_aborted>(happened);
    const auto sink = ended_ ? std::move(sink_) : sink_;
    if (sink)
      sink->on_event(std::move(happened));
  }
  void abort(const error& failure, bool device_fault) {
    deliver(attempt_aborted{failure, device_fault});
  }
  /// It is not sent to its node: it cost nothing.
  void refuse(const error& failure) {
    deliver(attempt_aborted{
        .failure = failure, .device_fault = false, .energy_mj = 0, .cost_micros = 0});
  }
  /// Nothing is delivered any more once this has returned.
  void mute() {
    const std::lock_guard lock(mutex_);
    sink_.reset();
  }

  /// Whether the terminal event has been delivered.
  [[nodiscard]] bool ended() const { return ended_; }
  /// Its stream has no further use for it.
  void cancel() { cancelled_ = true; }
  [[nodiscard]] bool cancelled() const { return cancelled_; }

  /// Whom to tell of a cancel.
  void carried_by(const std::shared_ptr<data_connection>& one) {
    const std::lock_guard lock(carrier_mutex_);
    carrier_ = one;
  }
  [[nodiscard]] std::shared_ptr<data_connection> carrier() {
    const std::lock_guard lock(carrier_mutex_);
    return carrier_.lock();
  }

  [[nodiscard]] const node_id& node() const { return node_; }
  /// Head and body. The connection lets go of it when it is sent.
  [[nodiscard]] std::vector<char>& request() { return request_; }
  [[nodiscard]] const std::vector<char>& request() const { return request_; }

private:
  const node_id node_;
  std::vector<char> request_;
  std::recursive_mutex mutex_;
  std::shared_ptr<attempt_sink> sink_;
  std::mutex carrier_mutex_; ///< Locked last.
  std::weak_ptr<data_connection> carrier_;
  std::atomic<bool> ended_ = false;
  std::atomic<bool> cancelled_ = false;
};

} // namespace consort::gateway
