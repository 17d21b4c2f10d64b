// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A queue from callbacks on any thread to one coroutine on a strand. push() never blocks on I/O
/// and is cheap when the coroutine is awake already, so that a burst costs one wake-up. Bounded by
/// the bytes that its items claim. After close() every push is ignored and nothing of the
/// io_context is held any more: whoever still has the pointer may outlive it.

#include "gateway/http.hpp"
#include "links/bell.hpp"

#include <boost/asio/post.hpp>

#include <chrono>
#include <limits>
#include <memory>
#include <mutex>

namespace consort::gateway {

using steady_time = std::chrono::steady_clock::time_point;

template <class T>
class mailbox : public std::enable_shared_from_this<mailbox<T>> {
public:
  /// Without a bound: for what answers once.
  explicit mailbox(boost::asio::any_io_executor strand) { wake_.emplace(std::move(strand)); }
  /// With a bound on undelivered bytes; `overflow` runs once, on the strand, when it is passed.
  mailbox(boost::asio::any_io_executor strand, std::size_t bytes_max,
          std::function<void()> overflow)
      : bytes_max_(bytes_max), overflow_(std::move(overflow)) {
    wake_.emplace(std::move(strand));
  }

  /// Appends; an item over the bound is dropped, one of no bytes always fits. Thread-safe.
  void push(T item, std::size_t bytes = 0) {
    const std::lock_guard lock(mutex_);
    if (!wake_)
      return;
    if (bytes > 0 && bytes_ + bytes > bytes_max_) {
      if (!std::exchange(overflowed_, true) && overflow_)
        post([](mailbox& self) { self.overflow(); });
      return;
    }
    bytes_ += bytes;
    if (items_.empty() && items_.capacity() == 0)
      items_.swap(spare_);
    items_.push_back(std::move(item));
    if (std::exchange(waiting_, false))
      post([](mailbox& self) { self.ring(); });
  }

  /// Waits for at least one item or `until`, then takes all that is there. May come back early with
  /// nothing. On the strand, one caller at a time.
  task<std::vector<T>> take(steady_time until) {
    if (arm())
      co_await wake_->bell.wait(until);
    const std::lock_guard lock(mutex_);
    waiting_ = false;
    bytes_ = 0;
    co_return std::exchange(items_, {});
  }

  /// Gives back what take() returned, so that its memory serves again.
  void recycle(std::vector<T> spent) {
    spent.clear();
    const std::lock_guard lock(mutex_);
    if (spent.capacity() <= spare_items_max)
      spare_.swap(spent);
  }

  /// Whether anything was ever dropped.
  [[nodiscard]] bool overflowed() {
    const std::lock_guard lock(mutex_);
    return overflowed_;
  }

  /// Ends it. On the strand, not during a take().
  void close() {
    const std::lock_guard lock(mutex_);
    wake_.reset();
    overflow_ = nullptr;
    items_.clear();
  }

private:
  /// What ties the mailbox to an io_context; gone after close().
  struct waker {
    explicit waker(boost::asio::any_io_executor on) : strand(std::move(on)), bell(strand) {}
    boost::asio::any_io_executor strand;
    links::bell bell;
  };

  template <class Action>
  void post(Action action) {
    boost::asio::post(wake_->strand, [self = this->shared_from_this(), action] { action(*self); });
  }

  /// Returns: whether the caller must wait; a push from now on will ring.
  bool arm() {
    const std::lock_guard lock(mutex_);
    waiting_ = items_.empty();
    return waiting_;
  }
  /// Runs on the strand, hence after the coroutine that armed has suspended; there only is it
  /// closed, too, so that no lock is needed, which the coroutine will want.
  void ring() {
    if (wake_)
      wake_->bell.ring();
  }
  /// Runs the handler outside the lock: it may push and close.
  void overflow() {
    std::unique_lock lock(mutex_);
    const auto call = wake_ ? std::exchange(overflow_, nullptr) : nullptr;
    lock.unlock();
    if (call)
      call();
  }

  static constexpr std::size_t spare_items_max = 64;

  std::mutex mutex_;
  std::vector<T> items_;
  std::vector<T> spare_; ///< Empty; its memory is for items_.
  std::size_t bytes_ = 0;
  std::size_t bytes_max_ = std::numeric_limits<std::size_t>::max();
  std::function<void()> overflow_;
  bool overflowed_ = false;
  bool waiting_ = false;
  std::optional<waker> wake_;
};

/// Starts something that answers once through a callback on any thread, and waits for the answer.
/// Returns: nullopt when it did not come by `until`; a later answer is dropped.
template <class T, class Start>
task<std::optional<T>> await_answer(const exchange& out, steady_time until, const Start& start) {
  auto box = std::make_shared<mailbox<T>>(out.executor());
  start(std::function<void(T)>([box](T answer) { box->push(std::move(answer)); }));
  auto got = co_await box->take(until);
  box->close();
  if (got.empty())
    co_return std::nullopt;
  co_return std::move(got.front());
}

} // namespace consort::gateway
