// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Coroutines over sockets, here and at the data ports, and the time limit over their steps.

#include "scheduler/ids.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <chrono>
#include <functional>
#include <memory>

namespace consort::links {

/// GCC 12 copies temporaries inside a co_await expression bit by bit and frees them twice (its bug
/// 99576), and runs a co_await behind && whatever stands before: coroutines here take references or
/// plain values, callers name what they pass, and co_await stands alone.
template <class T>
using task = boost::asio::awaitable<T>;

inline constexpr auto as_values = boost::asio::as_tuple(boost::asio::use_awaitable);

/// Runs an action when a step takes too long. Used on one strand; may go at any time.
class time_limit {
public:
  explicit time_limit(const boost::asio::any_io_executor& strand) : timer_(strand) {}

  /// From now. Replaces an earlier limit. `action` ends what is under way; it must not destroy
  /// this.
  void set(duration_us span, std::function<void()> action) {
    expired_ = std::make_shared<bool>(false);
    timer_.expires_after(std::chrono::microseconds(span));
    timer_.async_wait([flag = std::weak_ptr<bool>(expired_),
                       action = std::move(action)](boost::system::error_code failed) {
      const auto current = flag.lock(); // Gone when another limit took the place of this one.
      if (failed || !current)
        return;
      *current = true;
      action();
    });
  }
  void clear() {
    expired_ = std::make_shared<bool>(false);
    timer_.cancel();
  }
  [[nodiscard]] boost::asio::any_io_executor executor() { return timer_.get_executor(); }
  /// Whether the present limit ran out.
  [[nodiscard]] bool expired() const { return *expired_; }

private:
  boost::asio::steady_timer timer_;
  std::shared_ptr<bool> expired_ = std::make_shared<bool>(false);
};

} // namespace consort::links
