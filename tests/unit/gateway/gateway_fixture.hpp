// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A real server on a free loopback port, on two io threads, over a fake scheduler and node. Tests
/// set limits and hooks, then start(); the destructor stops it and checks that no request is left.

#include "gateway/server.hpp"
#include "tests/support/fake_scheduler_port.hpp"
#include "tests/support/http_client.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <array>
#include <atomic>
#include <future>

namespace consort::testing {

inline constexpr duration_us ms = 1'000;

class gateway_fixture : public ::testing::Test {
protected:
  void start() {
    config_.port = 0;
    auto got = gateway::server::start(io_, config_, port_, [this](const ticket&) {
      return reachable_ ? static_cast<attempt_service*>(&node_) : nullptr;
    });
    ASSERT_TRUE(got.ok()) << got.failure().message;
    server_ = std::move(*got);
    for (auto& thread : threads_)
      thread = std::thread([this] { io_.run(); });
  }

  void TearDown() override {
    if (server_) {
      EXPECT_TRUE(stop_and_wait());
    }
    work_.reset();
    for (auto& thread : threads_)
      if (thread.joinable())
        thread.join();
  }

  /// Attempts open and say nothing by themselves.
  void hold_node() {
    node_.on_open = [](const auto&) {};
  }

  /// Returns: whether the server said that it stopped.
  bool stop_and_wait() {
    server_->stop_now();
    std::promise<void> stopped;
    server_->stop([&] { stopped.set_value(); });
    const bool ended = stopped.get_future().wait_for(patience) == std::future_status::ready;
    server_.reset();
    return ended;
  }

  [[nodiscard]] std::uint16_t http_port() const { return server_->port(); }

  static nlohmann::json error_of(const http_answer& answer) {
    return nlohmann::json::parse(answer.body, nullptr, false).value("error", nlohmann::json());
  }

  gateway::server_config config_;
  fake_scheduler_port port_;
  fake_attempt_service node_;
  std::atomic<bool> reachable_ = true;
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{
      io_.get_executor()};
  std::array<std::thread, 2> threads_;
  std::unique_ptr<gateway::server> server_;
};

inline const std::string chat_body
    = R"({"model":"storyteller","messages":[{"role":"user","content":"Hi"}]})";
inline const std::string chat_stream_body
    = R"({"model":"storyteller","stream":true,"messages":[{"role":"user","content":"Hi"}]})";

} // namespace consort::testing
