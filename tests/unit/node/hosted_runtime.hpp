// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A c_abi_runtime over the fake vendor library, in real host processes. Ends by waiting until
/// every link has concluded, then checks that no process, zombie or descriptor is left.

#include "node/runtimes/c_abi_runtime.hpp"
#include "tests/unit/node/attempt_recorder.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <future>
#include <sys/wait.h>
#include <thread>

namespace consort::node::test {

inline std::size_t open_descriptors() {
  const std::filesystem::directory_iterator fds("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(fds), end(fds)));
}

class HostedRuntime : public ::testing::Test {
protected:
  using session = std::shared_ptr<runtime_session>;

  HostedRuntime() {
    options.executable = CONSORT_HOST_TEST_MAIN;
    options.library = CONSORT_FAKE_RUNTIME;
    options.capabilities.cancel = true;
    wanted.device.id = device_id("n/npu0");
    wanted.device.uuid = "fake-0";
    wanted.path = "/models/any";
  }

  void TearDown() override {
    runtime.reset();
    finish();
    EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "a host process was left behind";
    EXPECT_EQ(open_descriptors(), descriptors_before);
  }

  /// Runs the io_context until nothing is left to do.
  void finish() {
    work.reset();
    if (runner.joinable())
      runner.join();
    io.reset();
  }

  /// Loads with a fault of the fake's menu; `died` is recorded.
  result<session> open(const std::string& fault = "") {
    if (!fault.empty())
      options.config_json = R"({"fault":")" + fault + "\"}";
    if (!runtime)
      runtime = std::make_unique<c_abi_runtime>(*io, options);
    auto opened = std::make_shared<std::promise<result<session>>>();
    auto answer = opened->get_future();
    runtime->open(
        wanted, [opened](result<session> outcome) { opened->set_value(std::move(outcome)); },
        [this](error why) { death.set_value(std::move(why)); });
    if (answer.wait_for(patience) != std::future_status::ready)
      return error{recovery::bug, "no_answer", "open did not answer"};
    return answer.get();
  }
  session must_open(const std::string& fault = "") {
    auto opened = open(fault);
    EXPECT_TRUE(opened.ok()) << opened.failure().message;
    return opened.ok() ? *opened : nullptr;
  }
  std::shared_ptr<attempt_recorder> submit(const session& to, std::uint64_t number,
                                           const std::string& json) {
    auto sink = std::make_shared<attempt_recorder>();
    to->submit(attempt(number), {request_kind::completion, json, {}}, sink);
    return sink;
  }
  error wait_death() {
    return death_answer.wait_for(patience) == std::future_status::ready
               ? death_answer.get()
               : error{recovery::bug, "still_alive", ""};
  }
  bool died() {
    return death_answer.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
  }

  const std::size_t descriptors_before = open_descriptors();
  std::unique_ptr<boost::asio::io_context> io = std::make_unique<boost::asio::io_context>();
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work{io->get_executor()};
  std::thread runner{[context = io.get()] { context->run(); }};
  c_abi_options options;
  session_request wanted;
  std::unique_ptr<c_abi_runtime> runtime;
  std::promise<error> death;
  std::future<error> death_answer = death.get_future();
};

} // namespace consort::node::test
