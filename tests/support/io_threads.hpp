// SPDX-License-Identifier: Apache-2.0
#pragma once
/// An io_context that runs on two threads for as long as this lives.

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include <array>
#include <thread>

namespace consort::testing {

class io_threads {
public:
  io_threads() {
    for (auto& thread : threads_)
      thread = std::thread([this] { io_.run(); });
  }
  ~io_threads() { stop(); }
  io_threads(const io_threads&) = delete;
  io_threads& operator=(const io_threads&) = delete;

  [[nodiscard]] boost::asio::io_context& io() { return io_; }
  /// Nothing runs afterwards.
  void stop() {
    work_.reset();
    io_.stop();
    for (auto& thread : threads_)
      if (thread.joinable())
        thread.join();
  }

private:
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{
      io_.get_executor()};
  std::array<std::thread, 2> threads_;
};

} // namespace consort::testing
