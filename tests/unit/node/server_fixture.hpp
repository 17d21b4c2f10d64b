// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A runtime of model servers on a thread of its own, to be attached to scripted servers or told
/// what to start; and what such servers answer.

#include "node/runtimes/server_runtime.hpp"
#include "tests/unit/cli/test_server.hpp"
#include "tests/unit/node/attempt_recorder.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

namespace consort::node::test {

using cli::canned_answer;
using cli::test_server;
using session_ref = std::shared_ptr<runtime_session>;

inline canned_answer json_answer(std::string body, int status = 200) {
  canned_answer made;
  made.status = status;
  made.body = std::move(body);
  return made;
}

inline canned_answer no_answer() {
  canned_answer made;
  made.silent = true;
  return made;
}

inline canned_answer story() {
  canned_answer made;
  made.type = "text/event-stream";
  made.body = "data: {\"choices\": [{\"index\": 0, \"text\": \"once\", \"finish_reason\": "
              "\"stop\"}], \"usage\": {\"prompt_tokens\": 3, \"completion_tokens\": 1}}\n\n"
              "data: [DONE]\n\n";
  return made;
}

class ServerRuntime : public ::testing::Test {
protected:
  ServerRuntime() {
    spec.plugin = "fake";
    spec.sequences = 4;
    spec.work_path = "/";
    spec.start_timeout_us = limits::second_us;
    wanted.instance = instance_id{7};
    wanted.device.id = device_id("n/npu0");
    wanted.model = model_name("tale");
    wanted.path = "/models/any";
  }
  void TearDown() override {
    runtime.reset();
    work.reset();
    runner.join();
  }

  std::future<result<session_ref>> begin() {
    runtime = std::make_unique<server_runtime>(io, spec);
    auto opened = std::make_shared<std::promise<result<session_ref>>>();
    runtime->open(
        wanted, [opened](result<session_ref> how) { opened->set_value(std::move(how)); },
        [this](const error& why) {
          if (!told.exchange(true))
            died.set_value(why);
        });
    return opened->get_future();
  }
  result<session_ref> open() {
    auto answer = begin();
    if (answer.wait_for(patience) != std::future_status::ready)
      return error{recovery::bug, "no_answer", "open did not answer"};
    return answer.get();
  }
  session_ref attach(const test_server& to) {
    spec.url = to.url();
    auto opened = open();
    EXPECT_TRUE(opened) << (opened ? "" : opened.failure().message);
    return opened ? *opened : nullptr;
  }
  static std::shared_ptr<attempt_recorder> submit(const session_ref& to, std::uint64_t number) {
    auto sink = std::make_shared<attempt_recorder>();
    to->submit(attempt(number), {request_kind::completion, R"({"prompt": "x"})", {}}, sink);
    return sink;
  }

  boost::asio::io_context io;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work{io.get_executor()};
  std::thread runner{[this] { io.run(); }};
  server_spec spec;
  session_request wanted;
  std::unique_ptr<server_runtime> runtime;
  std::promise<error> died; ///< Of the first that did.
  std::atomic<bool> told = false;
};

} // namespace consort::node::test
