// SPDX-License-Identifier: Apache-2.0
#include "links/lookup.hpp"

#include "links/limits.hpp"

#include <boost/asio/post.hpp>

#include <netdb.h>

#include <atomic>
#include <cstring>
#include <list>
#include <mutex>
#include <system_error>
#include <thread>

namespace consort::links {

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

/// The threads of this process, those left behind included. Never destroyed: one that hangs is
/// still in it when the process ends.
class lookup_threads {
public:
  static lookup_threads& all() {
    static auto* const only = new lookup_threads;
    return *only;
  }

  /// Returns: whether there was room for one more.
  bool begin(std::function<void()> work) {
    const std::lock_guard lock(mutex_);
    join_ended();
    if (running_.size() >= limits::lookups_max)
      return false;
    const auto ended = std::make_shared<std::atomic<bool>>(false);
    try {
      running_.push_back({std::thread([work = std::move(work), ended] {
                            work();
                            *ended = true;
                          }),
                          ended});
    } catch (const std::system_error&) {
      return false;
    }
    return true;
  }

  void join() {
    const std::lock_guard lock(mutex_);
    join_ended();
  }

private:
  struct one {
    std::thread thread;
    std::shared_ptr<std::atomic<bool>> ended;
  };

  void join_ended() {
    std::erase_if(running_, [](one& each) {
      if (!*each.ended)
        return false;
      each.thread.join();
      return true;
    });
  }

  std::mutex mutex_;
  std::list<one> running_;
};

/// At the end of the process those that have ended are not left.
struct last_look {
  last_look() = default;
  ~last_look() { lookup_threads::all().join(); }
  last_look(const last_look&) = delete;
  last_look& operator=(const last_look&) = delete;
};

boost::system::error_code failure_of(int code) {
  switch (code) {
  case 0: return {};
  case EAI_AGAIN: return asio::error::host_not_found_try_again;
  case EAI_MEMORY: return asio::error::no_memory;
  default: return asio::error::host_not_found;
  }
}

} // namespace

found_host resolve_by_system(const std::string& host, std::uint16_t port) {
  addrinfo wanted{};
  wanted.ai_socktype = SOCK_STREAM;
  addrinfo* all = nullptr;
  found_host out;
  out.failed = failure_of(::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &wanted, &all));
  for (const auto* one = all; one != nullptr; one = one->ai_next) {
    tcp::endpoint end;
    if (one->ai_addrlen > end.capacity())
      continue;
    end.resize(one->ai_addrlen);
    std::memcpy(end.data(), one->ai_addr, one->ai_addrlen);
    out.ends.push_back(end);
  }
  if (all != nullptr)
    ::freeaddrinfo(all);
  return out;
}

/// What a lookup's thread and whoever waits for it share.
struct name_lookup::answer {
  std::mutex mutex;
  bool arrived = false;
  found_host found;
  std::function<void()> ring;         ///< Empty = nobody waits.
  asio::steady_timer* bell = nullptr; ///< On the strand only; null = nobody waits.
};

class name_lookup::wish {
public:
  wish(std::shared_ptr<answer> what, asio::steady_timer& bell) : what_(std::move(what)) {
    what_->bell = &bell;
    what_->ring = [strand = bell.get_executor(), weak = std::weak_ptr<answer>(what_)] {
      asio::post(strand, [weak] {
        if (const auto found = weak.lock(); found && found->bell != nullptr)
          found->bell->cancel();
      });
    };
  }
  ~wish() {
    what_->bell = nullptr;
    const std::lock_guard lock(what_->mutex);
    what_->ring = nullptr;
  }
  wish(const wish&) = delete;
  wish& operator=(const wish&) = delete;

  [[nodiscard]] bool came_true() const {
    const std::lock_guard lock(what_->mutex);
    return what_->arrived;
  }

  /// Returns: whether a thread looks for it now.
  bool begin(const resolve_host& resolve, const std::string& host, std::uint16_t port) const {
    static const last_look at_exit;
    return lookup_threads::all().begin([what = what_, resolve, host, port] {
      auto found = resolve(host, port);
      const std::lock_guard lock(what->mutex);
      what->found = std::move(found);
      what->arrived = true;
      if (what->ring)
        what->ring();
    });
  }

private:
  std::shared_ptr<answer> what_;
};

name_lookup::name_lookup(const asio::any_io_executor& strand, resolve_host resolve)
    : rung_(strand), resolve_(std::move(resolve)) {}

task<found_host> name_lookup::find(const std::string& host, std::uint16_t port) {
  cancelled_ = false;
  boost::system::error_code no_address;
  const auto literal = asio::ip::make_address(host, no_address);
  found_host out;
  if (!no_address) {
    out.ends.emplace_back(literal, port);
    co_return out;
  }
  const auto what = std::make_shared<answer>();
  const wish wanted(what, rung_);
  if (!wanted.begin(resolve_, host, port)) {
    out.failed = asio::error::host_not_found_try_again;
    co_return out;
  }
  while (!cancelled_ && !wanted.came_true()) {
    rung_.expires_at(std::chrono::steady_clock::time_point::max());
    co_await rung_.async_wait(as_values);
  }
  if (cancelled_) {
    out.failed = asio::error::operation_aborted;
    co_return out;
  }
  out = std::move(what->found);
  co_return out;
}

void name_lookup::cancel() {
  cancelled_ = true;
  rung_.cancel();
}

} // namespace consort::links
