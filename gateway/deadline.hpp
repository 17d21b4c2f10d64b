// SPDX-License-Identifier: Apache-2.0
#pragma once
/// One deadline over whatever a socket is doing. Cheap to move: the timer is lazy and looks again
/// when it fires. On expiry it cancels the socket's operations, again and again until the deadline
/// is moved or cleared, so that an operation begun in the same instant cannot slip through. Used on
/// the connection's strand only; must not outlive its socket.

#include "gateway/mailbox.hpp"
#include "scheduler/ids.hpp"

#include <boost/asio/ip/tcp.hpp>

namespace consort::gateway {

class deadline {
public:
  explicit deadline(boost::asio::ip::tcp::socket& watched)
      : socket_(watched), timer_(watched.get_executor()) {}

  /// Moves the deadline, and lets a socket that had expired work again.
  /// Whatever is under way must end within that span.
  void set(duration_us from_now) {
    expired_ = false;
    at_ = std::chrono::steady_clock::now() + std::chrono::microseconds(from_now);
    if (!armed_at_ || at_ < *armed_at_)
      arm(at_);
  }
  /// No deadline until the next set().
  /// Nothing is awaited; the timer may still fire once and finds nothing to do.
  void clear() {
    expired_ = false;
    at_ = steady_time::max();
  }
  /// For good: nothing is pending in the io_context afterwards.
  void stop() {
    clear();
    timer_.cancel();
  }
  /// Whether it cancelled something since the last set() or clear().
  [[nodiscard]] bool expired() const { return expired_; }

private:
  /// Between cancels, while nothing took notice.
  static constexpr std::chrono::milliseconds again{20};

  void arm(steady_time when) {
    armed_at_ = when;
    timer_.expires_at(when);
    timer_.async_wait([this, life = std::weak_ptr<int>(life_)](boost::system::error_code failed) {
      if (!failed && !life.expired())
        fired();
    });
  }
  void fired() {
    armed_at_.reset();
    if (at_ == steady_time::max())
      return;
    const auto now = std::chrono::steady_clock::now();
    if (now < at_)
      return arm(at_);
    expired_ = true;
    boost::system::error_code ignored;
    socket_.cancel(ignored);
    arm(now + again);
  }

  boost::asio::ip::tcp::socket& socket_;
  boost::asio::steady_timer timer_;
  steady_time at_ = steady_time::max();
  std::optional<steady_time> armed_at_;
  bool expired_ = false;
  std::shared_ptr<int> life_ = std::make_shared<int>(0);
};

} // namespace consort::gateway
