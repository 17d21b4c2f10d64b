// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Handshakes take turns here, in the order that a turn_order makes: others wait, so that a whole
/// site that comes back at once gets in one after another, while who only begins blocks nobody but
/// its own address and costs little. Shared by all connections of one listener. Thread-safe.

#include "links/turn_order.hpp"

#include <boost/asio/steady_timer.hpp>

#include <functional>
#include <memory>
#include <mutex>

namespace consort::links {

class turnstile : public std::enable_shared_from_this<turnstile> {
public:
  /// A place inside, or in the queue. It is given up with this.
  class turn {
  public:
    turn(std::shared_ptr<turnstile> of, const std::string& key, std::function<void()> called);
    ~turn();
    turn(const turn&) = delete;
    turn& operator=(const turn&) = delete;
    /// Whether it is its turn.
    [[nodiscard]] bool has_come() const;
    /// It was used, and the peer is who it should be. Before this is given up.
    void went_well() { well_ = true; }

  private:
    friend turnstile;
    const std::shared_ptr<turnstile> of_;
    const std::function<void()> called_;
    turn_order::id id_ = 0;
    bool well_ = false;
    bool inside_ = false; ///< Under the turnstile's mutex.
  };

  /// `on`: where it waits for time to pass.
  turnstile(const boost::asio::any_io_executor& on, const limits::limit_set& limits)
      : timer_(on), order_(limits) {}

  /// `called` runs at most once, on any thread, when it is its turn and was not at once; it must
  /// only post.
  [[nodiscard]] std::unique_ptr<turn> ask(const std::string& key, std::function<void()> called);

private:
  void enter(turn& one, const std::string& key);
  void leave(turn& one);
  void call_next(const turn* silently);
  void wait_for_time();

  mutable std::mutex mutex_; ///< Of all below, the timer included.
  boost::asio::steady_timer timer_;
  bool timed_ = false; ///< Whether it is set.
  turn_order order_;
  turn_order::id last_id_ = 0;
  std::map<turn_order::id, turn*> waiting_;
};

} // namespace consort::links
