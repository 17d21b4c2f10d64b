// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What a coroutine waits at until somebody rings or a time has come. Made for rings that are
/// frequent and times that are rarely reached, as between tokens: a ring resumes the coroutine
/// right there, and the timer stays set from one wait to the next and looks again when it fires.
/// Used on one strand, by one waiter at a time; must outlive the wait. An io_context that goes away
/// takes the waiter with it.

#include "links/task.hpp"

#include <boost/asio/async_result.hpp>

#include <utility>

namespace consort::links {

class bell {
public:
  using clock = std::chrono::steady_clock;

  explicit bell(const boost::asio::any_io_executor& strand) : timer_(strand) {}
  ~bell() {
    if (const auto own = place_.lock())
      own->of = nullptr;
  }
  bell(const bell&) = delete;
  bell& operator=(const bell&) = delete;

  /// Suspends until rung or `until`, whichever is first. A ring without a waiter is lost.
  [[nodiscard]] task<void> wait(clock::time_point until) {
    return boost::asio::async_initiate<const boost::asio::use_awaitable_t<>, void()>(
        [this, until](auto handler) {
          enter(std::make_unique<waiter<decltype(handler)>>(std::move(handler)), until);
        },
        boost::asio::use_awaitable);
  }
  /// Resumes who waits, before this returns: the last thing that a caller does.
  void ring() {
    if (const auto own = place_.lock())
      own->resume();
  }

private:
  struct resumable {
    virtual ~resumable() = default;
    virtual void resume() = 0;
  };
  template <class Handler>
  struct waiter final : resumable {
    explicit waiter(Handler&& wrapped) : handler(std::move(wrapped)) {}
    void resume() override { handler(); }
    Handler handler;
  };
  /// Of whoever waits. Only operations of the timer own it, and the io_context owns those.
  struct place {
    explicit place(bell* bell_of) : of(bell_of) {}
    void resume() {
      if (const auto one = std::exchange(waiting, nullptr))
        one->resume();
    }
    bell* of; ///< Null once it is gone.
    std::unique_ptr<resumable> waiting;
    clock::time_point until;
    clock::time_point armed_at = clock::time_point::max();
  };

  void enter(std::unique_ptr<resumable> one, clock::time_point until) {
    auto own = place_.lock();
    const bool armed = own != nullptr;
    if (!armed)
      own = std::make_shared<place>(this);
    place_ = own;
    own->waiting = std::move(one);
    own->until = until;
    if (!armed || until < own->armed_at)
      arm(own);
  }
  void arm(const std::shared_ptr<place>& own) {
    own->armed_at = own->until;
    timer_.expires_at(own->until);
    timer_.async_wait([own](boost::system::error_code stopped) {
      if (stopped || own->of == nullptr)
        return;
      if (own->waiting && clock::now() < own->until)
        return own->of->arm(own);
      own->of->place_.reset();
      own->resume();
    });
  }

  boost::asio::steady_timer timer_;
  std::weak_ptr<place> place_;
};

} // namespace consort::links
