// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A few threads for what blocks on the disk, awaited by coroutines that live on strands. Owned by
/// whoever serves or writes files; stop() before destruction. Work waits without a bound: callers
/// bound how many of them there are. Thread-safe.

#include "links/task.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>

#include <mutex>
#include <optional>

namespace consort::node {

class disk_threads {
public:
  explicit disk_threads(std::size_t threads) : pool_(threads) {}

  /// Runs `work` on one of the threads and comes back to the caller's strand with what it returned;
  /// nullopt when stopped, then without having run it. Await it at once, with a named `work`.
  template <class Work>
  auto run(const Work& work) {
    using value = std::invoke_result_t<const Work&>;
    return boost::asio::async_initiate<decltype(boost::asio::use_awaitable),
                                       void(std::optional<value>)>(
        [this](auto handler, Work job) { start<value>(std::move(handler), std::move(job)); },
        boost::asio::use_awaitable, work);
  }

  /// The same for who does other things meanwhile: `handler` is called on its associated executor.
  template <class Work, class Handler>
  void begin(const Work& work, Handler handler) {
    start<std::invoke_result_t<const Work&>>(std::move(handler), work);
  }

  /// Waits for what runs and what was taken; takes nothing more. May be called again.
  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopped_ = true;
    }
    pool_.join();
  }

private:
  /// The handler is moved along and runs on its strand, whichever way it ends.
  template <class Value, class Handler, class Work>
  void start(Handler handler, Work work) {
    const auto strand = boost::asio::get_associated_executor(handler);
    const std::lock_guard lock(mutex_);
    if (stopped_)
      return answer(strand, std::move(handler), std::optional<Value>());
    boost::asio::post(pool_,
                      [strand, handler = std::move(handler), work = std::move(work)]() mutable {
                        answer(strand, std::move(handler), std::optional<Value>(work()));
                      });
  }

  template <class Strand, class Handler, class Value>
  static void answer(const Strand& strand, Handler handler, std::optional<Value> value) {
    boost::asio::post(strand, [handler = std::move(handler), value = std::move(value)]() mutable {
      handler(std::move(value));
    });
  }

  std::mutex mutex_;
  bool stopped_ = false;
  boost::asio::thread_pool pool_;
};

} // namespace consort::node
