// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What one attempt said and its connection has not yet sent: encoded frames, gathered into one
/// HTTP chunk per taking, so that a socket that is behind gets many frames at once. Filled on any
/// thread, taken on the connection's strand. Bounded by bytes: over the bound the rest is dropped
/// and an abort with code `reader_too_slow` ends it. Private to the data port.

#include "messages/attempt_service.hpp"

#include <functional>
#include <memory>
#include <mutex>

namespace consort::node {

class attempt_outbox final : public attempt_sink {
public:
  /// `wake` is called once for every taking that found nothing, when there is something again, and
  /// once when the bound is passed; on any thread, never under the lock.
  attempt_outbox(std::size_t bytes_max, std::function<void()> wake)
      : bytes_max_(bytes_max), wake_(std::make_shared<const waker>(std::move(wake))) {}

  void on_event(attempt_event happened) override;

  /// Exchanges `chunk` for all that is there, chunk head and end included, and the last chunk too
  /// when the attempt has ended. Returns: frames taken; 0 leaves `chunk` empty and asks for a wake.
  [[nodiscard]] std::size_t take(std::vector<char>& chunk);
  /// Whether the end was taken.
  [[nodiscard]] bool drained() const;
  /// Whether the bound was passed.
  [[nodiscard]] bool overflowed() const;
  /// Code of a ticket that was turned away; empty when it was not.
  [[nodiscard]] std::string ticket_refusal() const;
  /// Takes and wakes no more.
  void close();

private:
  using waker = std::function<void()>;
  void append(const attempt_event& happened);

  const std::size_t bytes_max_;
  mutable std::mutex mutex_;
  std::shared_ptr<const waker> wake_; ///< Shared, since it is called outside the lock.
  std::vector<char> pending_;         ///< Begins with room for the chunk's head.
  std::size_t frames_ = 0;
  bool waiting_ = false;
  bool ended_ = false; ///< The terminal event is in.
  bool drained_ = false;
  bool overflowed_ = false;
  bool begun_ = false; ///< Something was said.
  std::string ticket_refusal_;
};

} // namespace consort::node
