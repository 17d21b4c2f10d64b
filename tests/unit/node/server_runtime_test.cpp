// SPDX-License-Identifier: Apache-2.0
// Goal: a model server is started or found, asked, cancelled and given up as its plugin says; each
// attempt ends once, and no process is left.
#include "node/runtimes/server_runtime.hpp"

#include "node/runtimes/server_http.hpp"
#include "tests/unit/cli/test_server.hpp"
#include "tests/unit/node/attempt_recorder.hpp"
#include "tests/unit/node/temp_folder.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/asio/write.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <future>
#include <semaphore>
#include <thread>

namespace consort::node::test {
namespace {

using cli::canned_answer;
using cli::test_server;
using ::testing::HasSubstr;
using session_ref = std::shared_ptr<runtime_session>;

canned_answer json_answer(std::string body, int status = 200) {
  canned_answer made;
  made.status = status;
  made.body = std::move(body);
  return made;
}

canned_answer no_answer() {
  canned_answer made;
  made.silent = true;
  return made;
}

canned_answer story() {
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

TEST_F(ServerRuntime, AttachesToOneThatRunsAndRelaysItsAnswers) {
  const test_server server({{"GET /health", {}},
                            {"GET /v1/models", json_answer(R"({"data": [{"id": "tale"}]})")},
                            {"POST /v1/completions", story()}});
  const auto loaded = attach(server);
  ASSERT_TRUE(loaded);
  const auto events = submit(loaded, 1)->wait_end();
  ASSERT_EQ(events.size(), 4U);
  EXPECT_EQ(events[0], attempt_event(attempt_opened{}));
  EXPECT_EQ(events[1], attempt_event(attempt_tokens{0, "once", {}, ""}));
  EXPECT_EQ(events[3], attempt_event(attempt_completed{{3, 1, 0}, 0, 0}));
  EXPECT_EQ(loaded->stats().capacity.sequences.value, 4U);
  EXPECT_THAT(server.seen().back().body, HasSubstr(R"("model":"tale")"));
}

TEST_F(ServerRuntime, AsksForWhatTheSourceNamesUnderAnyServedName) {
  const test_server server(
      {{"GET /health", {}},
       {"GET /v1/models", json_answer(R"({"data": [{"id": "org/one"}, {"id": "org/two:q4"}]})")},
       {"POST /v1/completions", story()}});
  wanted.variant.source = "server:org/two:q4";
  const auto loaded = attach(server);
  ASSERT_TRUE(loaded);
  EXPECT_EQ(submit(loaded, 1)->wait_end().size(), 4U);
  EXPECT_THAT(server.seen().back().body, HasSubstr(R"("model":"org/two:q4")"));
}

TEST_F(ServerRuntime, DoesNotServeAnotherModelThanTheSourceNames) {
  const test_server server(
      {{"GET /health", {}}, {"GET /v1/models", json_answer(R"({"data": [{"id": "tale"}]})")}});
  spec.url = server.url();
  wanted.variant.source = "server:gone";
  const auto opened = open();
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.failure().code, "server_model");
  EXPECT_THAT(opened.failure().message, HasSubstr("serves tale, not gone"));
}

TEST_F(ServerRuntime, ItsPathsMayHaveAnotherBase) {
  const test_server server({{"GET /v2/health/ready", {}},
                            {"GET /v3/models", json_answer(R"({"data": [{"id": "tale"}]})")},
                            {"POST /v3/completions", story()}});
  spec.base = "/v3";
  spec.ready = "/v2/health/ready";
  const auto loaded = attach(server);
  ASSERT_TRUE(loaded);
  EXPECT_EQ(submit(loaded, 1)->wait_end().size(), 4U);
}

TEST_F(ServerRuntime, NobodyWaitsForAnAttachedServerThatIsNotThere) {
  spec.url = cli::dead_url();
  spec.start_timeout_us = 600 * limits::second_us;
  const auto failed = open();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.failure().code, "server_unreachable");
  EXPECT_EQ(failed.failure().action, recovery::retry_elsewhere);
  EXPECT_THAT(failed.failure().message, HasSubstr("the model server at 127.0.0.1:"));
}

TEST_F(ServerRuntime, OneThatIsNoLongerThereHasDiedAfterAFewLooks) {
  auto server = std::make_unique<test_server>(
      std::map<std::string, canned_answer>{{"GET /health", {}}, {"POST /v1/completions", story()}});
  spec.watch_us = spec.ready_every_us = limits::second_us / 100;
  const auto loaded = attach(*server);
  ASSERT_TRUE(loaded);
  server.reset();
  auto end = died.get_future();
  const auto from = std::chrono::steady_clock::now();
  ASSERT_EQ(end.wait_for(patience), std::future_status::ready);
  EXPECT_GE(std::chrono::steady_clock::now() - from,
            (limits::server_watch_failures_max - 1) * std::chrono::microseconds(spec.watch_us));
  EXPECT_EQ(end.get().code, "runtime_died");
  EXPECT_EQ(submit(loaded, 1)->failure().failure.code, "runtime_died");
}

TEST_F(ServerRuntime, OneThatDoesNotListenJustNowIsAskedLaterAndNotBlamed) {
  auto server = std::make_unique<test_server>(
      std::map<std::string, canned_answer>{{"GET /health", {}}, {"POST /v1/completions", story()}});
  const auto loaded = attach(*server);
  ASSERT_TRUE(loaded);
  server.reset();
  const auto unasked = submit(loaded, 1)->failure();
  EXPECT_EQ(unasked.failure.code, "server_unreachable");
  EXPECT_EQ(unasked.failure.action, recovery::retry_later);
  EXPECT_FALSE(unasked.device_fault);
}

TEST_F(ServerRuntime, RefusalsAndUnknownModelsAreNamed) {
  const test_server server(
      {{"GET /health", {}},
       {"GET /v1/models", json_answer(R"({"data": [{"id": "x"}, {"id": "y"}]})")},
       {"POST /v1/completions", json_answer(R"({"detail": "too odd"})", 422)}});
  spec.url = server.url();
  const auto wrong = open();
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.failure().code, "server_model");
  EXPECT_THAT(wrong.failure().message, HasSubstr("serves x, y, not tale"));
  spec.model = "y";
  const auto loaded = attach(server);
  ASSERT_TRUE(loaded);
  const auto refused = submit(loaded, 1)->failure();
  EXPECT_EQ(refused.failure.action, recovery::refuse);
  EXPECT_THAT(refused.failure.message, HasSubstr("too odd"));
  EXPECT_FALSE(refused.device_fault);
}

TEST_F(ServerRuntime, EmbeddingsAreAskedForWhereTheServerHasThem) {
  const test_server server({{"GET /health", {}},
                            {"GET /v3/models", json_answer(R"({"data": [{"id": "tale"}]})")},
                            {"POST /v3/embeddings",
                             json_answer(R"({"data": [{"index": 0, "embedding": [1, 2]}], )"
                                         R"("usage": {"prompt_tokens": 3, "total_tokens": 3}})")}});
  spec.base = "/v3";
  const auto loaded = attach(server);
  ASSERT_TRUE(loaded);
  auto sink = std::make_shared<attempt_recorder>();
  loaded->submit(attempt(1), {request_kind::embedding, R"({"input": "x"})", {}}, sink);
  EXPECT_EQ(sink->failure().failure.code, "none");
  EXPECT_EQ(sink->text(), "[[1,2]]");
  EXPECT_EQ(loaded->stats().tokens_generated_total, 0U) << "vectors are no tokens";
}

TEST_F(ServerRuntime, CancelAndUnloadEndAttempts) {
  const test_server server({{"GET /health", {}}, {"POST /v1/completions", no_answer()}});
  auto loaded = attach(server);
  ASSERT_TRUE(loaded);
  const auto cancelled = submit(loaded, 1);
  loaded->cancel(attempt(1));
  loaded->cancel(attempt(99));
  EXPECT_EQ(cancelled->failure().failure.code, "cancelled");
  const auto left = submit(loaded, 2);
  loaded.reset();
  EXPECT_EQ(left->failure().failure.code, "session_closed");
}

TEST_F(ServerRuntime, KeyComesFromTheEnvironmentAndGoesAlong) {
  const test_server server({{"GET /health", {}}, {"POST /v1/completions", story()}});
  spec.key_env = "CONSORT_TEST_NO_SUCH_KEY";
  spec.url = server.url();
  EXPECT_EQ(open().failure().code, "key_missing");
  spec.key_env = "CONSORT_TEST_KEY";
  ::setenv("CONSORT_TEST_KEY", "two\nlines", 1);
  EXPECT_EQ(open().failure().code, "key_invalid");
  ::setenv("CONSORT_TEST_KEY", "sesame", 1);
  const auto loaded = attach(server);
  ASSERT_TRUE(loaded);
  submit(loaded, 1)->wait_end();
  EXPECT_EQ(server.seen().back().headers.at("authorization"), "Bearer sesame");
}

/// It runs as soon as the server has it, so that the scheduler need not wait for a head to judge
/// its silence, and ends by itself at the plugin's limit.
TEST_F(ServerRuntime, OneThatTakesARequestAndSendsNoHeadHasStalled) {
  const test_server server({{"GET /health", {}}, {"POST /v1/completions", no_answer()}});
  spec.silence_us = limits::second_us / 20;
  const auto loaded = attach(server);
  ASSERT_TRUE(loaded);
  const auto events = submit(loaded, 1)->wait_end();
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0], attempt_event(attempt_opened{}));
  const auto& stalled = std::get<attempt_aborted>(events[1]);
  EXPECT_EQ(stalled.failure.code, "server_stalled");
  EXPECT_EQ(stalled.failure.action, recovery::retry_elsewhere);
  EXPECT_TRUE(stalled.device_fault);
}

/// Sends the head of a stream, and then nothing.
TEST_F(ServerRuntime, StreamThatFallsSilentHasStalled) {
  using boost::asio::ip::tcp;
  boost::asio::io_context own;
  tcp::acceptor acceptor(own, {boost::asio::ip::address_v4::loopback(), 0});
  std::vector<tcp::socket> held;
  std::thread mute([&] {
    for (int count = 0; count < 3; ++count) { // Ready, its models, the attempt.
      held.push_back(acceptor.accept());
      boost::system::error_code failed;
      const std::string head = count == 2 ? "HTTP/1.1 200 x\r\nContent-Type: text/event-stream\r\n"
                                            "Content-Length: 99\r\n\r\n"
                                          : "HTTP/1.1 200 x\r\nContent-Length: 0\r\n\r\n";
      boost::asio::write(held.back(), boost::asio::buffer(head), failed);
    }
  });
  spec.url = "http://127.0.0.1:" + std::to_string(acceptor.local_endpoint().port());
  spec.silence_us = limits::second_us / 20;
  const auto loaded = open();
  ASSERT_TRUE(loaded);
  const auto stalled = submit(*loaded, 1)->failure();
  EXPECT_EQ(stalled.failure.code, "server_stalled");
  EXPECT_TRUE(stalled.device_fault);
  mute.join();
}

// A server with Nagle's algorithm on sends the second half of a piece once the first is
// acknowledged, which the kernel would do after 40 ms: eight seconds in all.
TEST_F(ServerRuntime, ServersThatWaitForAcknowledgementsAreNotSlow) {
  using boost::asio::ip::tcp;
  constexpr int pieces = 200;
  boost::asio::io_context own;
  tcp::acceptor acceptor(own, {boost::asio::ip::address_v4::loopback(), 0});
  std::counting_semaphore<pieces + 1> wanted_next(1);
  std::thread halting([&] {
    auto socket = acceptor.accept();
    std::string asked; // Unread, it would have the end of the answer thrown away.
    boost::asio::read_until(socket, boost::asio::dynamic_buffer(asked), "\r\n\r\n");
    const auto say
        = [&](const std::string& what) { boost::asio::write(socket, boost::asio::buffer(what)); };
    say("HTTP/1.1 200 x\r\nContent-Length: " + std::to_string(2 * pieces) + "\r\n\r\n");
    for (int count = 0; count < pieces && wanted_next.try_acquire_for(patience); ++count) {
      say("a");
      say("b");
    }
  });
  server_address at;
  at.host = "127.0.0.1";
  at.port = acceptor.local_endpoint().port();
  const auto began = std::chrono::steady_clock::now();
  const auto read_all = [&]() -> links::task<std::size_t> {
    server_http http(boost::asio::make_strand(io), at);
    std::size_t have = 0;
    std::array<char, 8> into{};
    if (!co_await http.ask("/x", "", limits::second_us))
      co_return have;
    for (auto got = co_await http.read(into, limits::second_us); got && *got > 0;
         got = co_await http.read(into, limits::second_us)) {
      have += *got;
      if (have % 2 == 0)
        wanted_next.release();
    }
    co_return have;
  };
  EXPECT_EQ(boost::asio::co_spawn(io, read_all, boost::asio::use_future).get(), 2U * pieces);
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(4));
  halting.join();
}

// --- load and money ---

TEST_F(ServerRuntime, OneThatIsBusyAndNamesNoTimeIsFullAndMayBeAskedAgain) {
  for (const auto status : {408, 498, 503, 529}) {
    const test_server server(
        {{"GET /health", {}}, {"POST /v1/completions", json_answer("{}", status)}});
    const auto loaded = attach(server);
    ASSERT_TRUE(loaded);
    for (const auto attempt : {1U, 2U}) {
      const auto said = submit(loaded, attempt)->failure();
      EXPECT_EQ(said.failure.code, "server_busy") << status << ": it was asked";
      EXPECT_EQ(said.failure.action, recovery::retry_later) << status;
      EXPECT_FALSE(said.device_fault) << status;
      EXPECT_EQ(said.retry_after_us, 0) << status;
    }
  }
}

TEST_F(ServerRuntime, WhatItAsksForIsWaitedForAndToldToTheScheduler) {
  auto busy = json_answer(R"({"error": {"message": "slow down"}})", 429);
  busy.headers["Retry-After"] = "30";
  const test_server server({{"GET /health", {}}, {"POST /v1/completions", busy}});
  const auto loaded = attach(server);
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->stats().capacity.foreign_sequences.value, std::nullopt);
  const auto first = submit(loaded, 1)->failure();
  EXPECT_EQ(first.failure.code, "server_busy");
  EXPECT_EQ(first.failure.action, recovery::retry_later);
  EXPECT_EQ(first.retry_after_us, 30'000'000);
  EXPECT_GT(loaded->stats().capacity.foreign_sequences.value, 100'000U) << "full";
  const auto asked = server.seen().size();
  const auto second = submit(loaded, 2)->failure();
  EXPECT_EQ(second.failure.code, "rate_limited");
  EXPECT_EQ(second.failure.action, recovery::retry_later);
  EXPECT_THAT(second.failure.message, HasSubstr("takes the next request in "));
  EXPECT_GT(second.retry_after_us, 0);
  EXPECT_LE(second.retry_after_us, 30'000'000);
  EXPECT_EQ(server.seen().size(), asked) << "it was not asked again";
}

TEST_F(ServerRuntime, DeclaredLimitsAreHonouredAheadOfTime) {
  const test_server server({{"GET /health", {}}, {"POST /v1/completions", story()}});
  spec.rates.requests_per_min = 2;
  const auto loaded = attach(server);
  ASSERT_TRUE(loaded);
  for (std::uint64_t number = 1; number <= 2; ++number)
    EXPECT_TRUE(
        std::holds_alternative<attempt_completed>(submit(loaded, number)->wait_end().back()));
  EXPECT_EQ(submit(loaded, 3)->failure().failure.code, "rate_limited");
}

TEST_F(ServerRuntime, TokensArePaidByTheModelsPrice) {
  const test_server server({{"GET /health", {}}, {"POST /v1/completions", story()}});
  spec.prices["*"] = {1, 1, 1};
  spec.prices["tale"] = {2'000'000, 0, 10'000'000}; // 2 and 10 per million tokens.
  const auto loaded = attach(server);
  ASSERT_TRUE(loaded);
  const auto end = submit(loaded, 1)->wait_end().back();
  ASSERT_TRUE(std::holds_alternative<attempt_completed>(end));
  EXPECT_EQ(std::get<attempt_completed>(end).cost_micros, 16U) << "3 to read, 1 to write";
  EXPECT_EQ(loaded->stats().cost_micros_total, 16U);
}

TEST_F(ServerRuntime, BillsAreWhatWasPaidInAllAndNobodyPaysForARefusal) {
  canned_answer no;
  no.status = 500;
  const test_server server(
      {{"GET /health", {}}, {"POST /v1/completions", story()}, {"POST /v1/chat/completions", no}});
  spec.prices["tale"] = {100'000, 0, 100'000}; // 0.4 micros each.
  const auto loaded = attach(server);
  ASSERT_TRUE(loaded);
  std::uint64_t paid = 0;
  for (std::uint64_t number = 1; number <= 5; ++number)
    paid += std::get<attempt_completed>(submit(loaded, number)->wait_end().back())
                .cost_micros.value_or(1'000);
  EXPECT_EQ(paid, 2U);
  const auto sink = std::make_shared<attempt_recorder>();
  loaded->submit(attempt(9),
                 {request_kind::chat, R"({"messages": [{"role": "user", "content": "x"}]})", {}},
                 sink);
  sink->wait_end();
  EXPECT_EQ(sink->failure().cost_micros, 0U);
}

TEST_F(ServerRuntime, WithoutAPriceItIsUnknownWhatAnAnswerCost) {
  const test_server server({{"GET /health", {}}, {"POST /v1/completions", story()}});
  const auto loaded = attach(server);
  ASSERT_TRUE(loaded);
  const auto end = submit(loaded, 1)->wait_end().back();
  ASSERT_TRUE(std::holds_alternative<attempt_completed>(end));
  EXPECT_EQ(std::get<attempt_completed>(end).cost_micros, std::nullopt);
}

TEST_F(ServerRuntime, ItsGaugesBecomeCapacity) {
  canned_answer gauges;
  gauges.type = "text/plain";
  gauges.body = "running 5\nwaiting 2\n";
  const test_server server({{"GET /health", {}}, {"GET /metrics", gauges}});
  spec.metrics.path = "/metrics";
  spec.metrics.every_us = limits::second_us / 50;
  spec.metrics.figures["running"] = {{"running", "", 1}};
  spec.metrics.figures["waiting"] = {{"waiting", "", 1}};
  const auto loaded = attach(server);
  ASSERT_TRUE(loaded);
  const auto until = std::chrono::steady_clock::now() + patience;
  while (!loaded->stats().capacity.foreign_sequences.value
         && std::chrono::steady_clock::now() < until)
    std::this_thread::yield();
  EXPECT_EQ(loaded->stats().capacity.foreign_sequences.value, 7U);
  EXPECT_EQ(loaded->stats().capacity.foreign_sequences.source, figure_source::engine);
}

TEST_F(ServerRuntime, PromptsArePrefilledWhereThePluginSays) {
  const test_server first(
      {{"POST /v1/completions", json_answer(R"({"kv_transfer_params": {"remote_port": 5600}})")}});
  const test_server second({{"GET /health", {}}, {"POST /v1/completions", story()}});
  spec.prefill_url = first.url();
  const auto loaded = attach(second);
  ASSERT_TRUE(loaded);
  submit(loaded, 1)->wait_end();
  EXPECT_THAT(first.seen().back().body, HasSubstr(R"("do_remote_decode":true)"));
  EXPECT_THAT(second.seen().back().body, HasSubstr(R"("remote_port":5600)"));
}

TEST_F(ServerRuntime, TheSecondPrefillsWhereTheFirstIsNotThere) {
  const test_server second({{"GET /health", {}}, {"POST /v1/completions", story()}});
  spec.prefill_url = cli::dead_url();
  const auto loaded = attach(second);
  ASSERT_TRUE(loaded);
  EXPECT_TRUE(std::holds_alternative<attempt_completed>(submit(loaded, 1)->wait_end().back()));
}

std::shared_ptr<attempt_recorder> submit_picture(const session_ref& to) {
  const auto* body = R"({"messages": [{"role": "user", "content": [
      {"type": "image_url", "image_url": {"url": "data:,x"}},
      {"type": "text", "text": "this?"}]}]})";
  auto sink = std::make_shared<attempt_recorder>();
  to->submit(attempt(1), {request_kind::chat, body, {}}, sink);
  return sink;
}

TEST_F(ServerRuntime, PicturesAreEncodedBeforePromptsArePrefilled) {
  const auto* route = "POST /v1/chat/completions";
  const test_server encoder({{route, json_answer(R"({"choices": []})")}});
  const test_server first(
      {{route, json_answer(R"({"kv_transfer_params": {"remote_port": 5600}})")}});
  const test_server last({{"GET /health", {}}, {route, story()}});
  spec.encode_url = encoder.url();
  spec.prefill_url = first.url();
  const auto loaded = attach(last);
  ASSERT_TRUE(loaded);
  submit_picture(loaded)->wait_end();
  ASSERT_EQ(encoder.seen().size(), 1U);
  EXPECT_THAT(encoder.seen().back().body, HasSubstr("data:,x"));
  EXPECT_THAT(encoder.seen().back().body, Not(HasSubstr("this?")));
  EXPECT_THAT(first.seen().back().body, HasSubstr("data:,x"));
  EXPECT_THAT(last.seen().back().body, HasSubstr(R"("remote_port":5600)"));
  submit(loaded, 2)->wait_end();
  EXPECT_EQ(encoder.seen().size(), 1U) << "there was nothing to be seen";
}

TEST_F(ServerRuntime, WhatTheEncoderRefusesIsRefusedAndWhatItFailsAtIsNot) {
  const auto* route = "POST /v1/chat/completions";
  const test_server last({{"GET /health", {}}, {route, story()}});
  for (const int status : {400, 500}) {
    const test_server encoder({{route, json_answer(R"({"error": {"message": "no"}})", status)}});
    spec.encode_url = encoder.url();
    const auto before = last.seen().size();
    const auto loaded = attach(last);
    ASSERT_TRUE(loaded);
    const auto end = submit_picture(loaded)->wait_end().back();
    const bool refused = std::holds_alternative<attempt_aborted>(end);
    EXPECT_EQ(refused, status == 400);
    const auto asked = last.seen();
    EXPECT_EQ(std::any_of(asked.begin() + static_cast<std::ptrdiff_t>(before), asked.end(),
                          [](const auto& one) { return one.target == "/v1/chat/completions"; }),
              status == 500);
  }
}

TEST_F(ServerRuntime, OneThatAnswersChatsAloneIsAskedForNothingElse) {
  const test_server server({{"GET /health", {}}, {"POST /v1/completions", story()}});
  spec.completions = false;
  const auto loaded = attach(server);
  ASSERT_TRUE(loaded);
  const auto end = std::get<attempt_aborted>(submit(loaded, 1)->wait_end().back());
  EXPECT_EQ(end.failure.code, "kind_unsupported");
  EXPECT_EQ(end.failure.action, recovery::retry_elsewhere);
  EXPECT_FALSE(end.device_fault);
}

TEST_F(ServerRuntime, OneThatRefusesStreamOptionsIsAskedWithout) {
  const test_server strict(
      {{"GET /health", {}},
       {"POST /v1/completions",
        json_answer(R"({"message": {"detail": [{"loc": ["body", "stream_options"]}]}})", 422)}});
  const auto loaded = attach(strict);
  ASSERT_TRUE(loaded);
  const auto first = std::get<attempt_aborted>(submit(loaded, 1)->wait_end().back());
  EXPECT_EQ(first.failure.action, recovery::retry_later);
  EXPECT_EQ(first.failure.code, "server_options");
  EXPECT_FALSE(first.device_fault);
  EXPECT_THAT(strict.seen().back().body, HasSubstr("stream_options"));
  const auto second = std::get<attempt_aborted>(submit(loaded, 2)->wait_end().back());
  EXPECT_THAT(strict.seen().back().body, Not(HasSubstr("stream_options")));
  EXPECT_EQ(second.failure.action, recovery::refuse) << "what it says then it is believed";
}

TEST_F(ServerRuntime, OneThatDoesNotStreamIsNotAskedTo) {
  const test_server server(
      {{"GET /health", {}},
       {"POST /v1/completions", json_answer(R"({"choices": [{"index": 0, "text": "twelve bytes",
                                                "finish_reason": "stop"}]})")}});
  spec.capabilities.streaming = false;
  const auto loaded = attach(server);
  ASSERT_TRUE(loaded);
  const auto end = std::get<attempt_completed>(submit(loaded, 1)->wait_end().back());
  EXPECT_THAT(server.seen().back().body, HasSubstr(R"("stream":false)"));
  EXPECT_EQ(end.usage.completion_tokens, 4U) << "nobody counted: its length says so";
}

TEST_F(ServerRuntime, ACertificateThatNobodyVouchesForIsRefused) {
  const test_server plain(
      std::map<std::string, cli::canned_answer>{{"GET /health", {}}}); // Speaks no TLS at all.
  spec.url = "https" + plain.url().substr(4);
  spec.start_timeout_us = limits::second_us / 5;
  const auto failed = open();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.failure().code, "runtime_start_timeout");
}

TEST_F(ServerRuntime, WhatAnswersOtherwiseThanReadyIsQuoted) {
  const test_server server(std::map<std::string, cli::canned_answer>{});
  spec.url = server.url();
  spec.start_timeout_us = limits::second_us / 5;
  const auto failed = open();
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.failure().message, HasSubstr("within 0 s; the last time it answered 404"));
}

// --- servers of its own ---

TEST_F(ServerRuntime, OneThatIsNeverReadyIsEnded) {
  spec.command = {"sh", "-c", "echo loading shards; exec sleep 600"};
  spec.start_timeout_us = limits::second_us / 5;
  const auto failed = open();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.failure().code, "runtime_start_timeout");
  EXPECT_THAT(failed.failure().message, HasSubstr("nothing listens on the port"));
  EXPECT_THAT(failed.failure().message, HasSubstr("loading shards"));
}

TEST_F(ServerRuntime, OneThatIsMissingOrNoExecutableIsNamed) {
  const temp_folder folder;
  spec.work_path = folder.path();
  folder.write("fake-serve", "#!/bin/sh\n");
  for (const auto& [program, words] : {std::pair{"no-such-server", "no program no-such-server"},
                                       std::pair{"fake-serve", "is no executable: chmod +x"}}) {
    spec.command = {program, "--port", "{port}"};
    const auto failed = open();
    ASSERT_FALSE(failed) << program;
    EXPECT_EQ(failed.failure().code, "tool_missing");
    EXPECT_EQ(failed.failure().action, recovery::retry_elsewhere);
    EXPECT_THAT(failed.failure().message, HasSubstr(words));
  }
}

TEST_F(ServerRuntime, OneThatFloodsItsOutputIsReadToItsEnd) {
  spec.start_timeout_us = 600 * limits::second_us; // It ends by itself, on a busy machine late.
  spec.command
      = {"sh", "-c", "head -c 100000000 /dev/zero | tr '\\0' x; echo; echo out of tiles; exit 7"};
  const auto failed = open();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.failure().code, "runtime_died");
  EXPECT_THAT(failed.failure().message, HasSubstr("out of tiles"));
  EXPECT_LT(failed.failure().message.size(), 10'000U);
}

TEST_F(ServerRuntime, OneThatExitsIsNamedWithItsLastWords) {
  spec.command = {"sh", "-c", "echo no license for {name} on {index}; exit 7"};
  const auto failed = open();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.failure().code, "runtime_died");
  EXPECT_THAT(failed.failure().message, HasSubstr("exited with 7"));
  EXPECT_THAT(failed.failure().message, HasSubstr("no license for tale on 0"));
}

TEST_F(ServerRuntime, ItsPluginSaysWhatItsEndMeans) {
  spec.failures = {{std::nullopt, "compiled with newer", start_failure::rebuild},
                   {4, "", start_failure::elsewhere},
                   {5, "license", start_failure::refuse}};
  const auto end = [&](const char* script) {
    spec.command = {"sh", "-c", script};
    return open().failure();
  };
  const auto stale = end("echo 'model was compiled with newer version of optimum-rbln'; exit 1");
  EXPECT_EQ(stale.code, "artifact_unfit");
  EXPECT_EQ(stale.action, recovery::retry_later);
  EXPECT_EQ(end("exit 4").action, recovery::retry_elsewhere);
  EXPECT_EQ(end("echo no license; exit 5").action, recovery::refuse);
  EXPECT_EQ(end("exit 5").action, recovery::retry_elsewhere) << "both, or neither";
  EXPECT_EQ(end("exit 5").code, "runtime_died");
  spec.start_timeout_us = limits::second_us / 5;
  const auto hanging = end("echo compiled with newer; exec sleep 600");
  EXPECT_EQ(hanging.code, "artifact_unfit") << "said, and not ready in time";
}

TEST_F(ServerRuntime, FolderArtifactIsGivenAsItsPath) {
  const temp_folder folder;
  folder.write("tree/prefill.rbln", "the engine");
  wanted.path = folder / "tree";
  wanted.variant.source = "/models/weights";
  wanted.device.attributes["partition"] = ":0-3";
  spec.command = {"sh",         "-c",        "echo $0 of $1 on $2; cat $0/prefill.rbln; exit 3",
                  "{artifact}", "{weights}", "npu:{index}{partition}"};
  const auto ended = open();
  ASSERT_FALSE(ended);
  EXPECT_THAT(ended.failure().message, HasSubstr("the engine"));
  EXPECT_THAT(ended.failure().message, HasSubstr("tree of /models/weights on npu:0:0-3"));
}

TEST_F(ServerRuntime, TheServerSaysHowLongARequestMayBe) {
  const test_server server(
      {{"GET /health", {}},
       {"GET /v1/models", json_answer(R"({"data": [{"id": "other", "max_model_len": 7},
                                 {"id": "tale", "max_model_len": 4096}]})")},
       {"GET /info", json_answer(R"({"limits": {"max_total_tokens": 2048, "text": "x"}})")}});
  EXPECT_EQ(attach(server)->capabilities().context_tokens, 4'096U);
  spec.context = {"/info", "/limits/max_total_tokens"};
  EXPECT_EQ(attach(server)->capabilities().context_tokens, 2'048U) << "the least counts";
  spec.capabilities.context_tokens = 1'000;
  EXPECT_EQ(attach(server)->capabilities().context_tokens, 1'000U) << "as the plugin declares";
  spec.capabilities.context_tokens = 0;
  for (const auto* nothing : {"/limits/text", "/limits/none", "/none/at/all", "/limits"}) {
    spec.context.at = nothing;
    EXPECT_EQ(attach(server)->capabilities().context_tokens, 4'096U) << nothing;
  }
  spec.context.path = "/missing";
  EXPECT_EQ(attach(server)->capabilities().context_tokens, 4'096U);
  const test_server other(
      {{"GET /health", {}},
       {"GET /v1/models",
        json_answer(R"({"data": [{"id": "tale", "max_context_len": 9, "max_prompt_len": 7}]})")},
       {"GET /info", json_answer(R"({"max_total_tokens": 9, "max_input_tokens": 5})")}});
  EXPECT_EQ(attach(other)->capabilities().context_tokens, 9U);
  EXPECT_EQ(attach(other)->capabilities().prompt_tokens, 7U) << "of the prompt alone";
  spec.context = {"/info", "/max_total_tokens", "/max_input_tokens"};
  EXPECT_EQ(attach(other)->capabilities().prompt_tokens, 5U);
}

TEST_F(ServerRuntime, LoadIsGivenUpWhenNobodyWantsIt) {
  spec.command = {"sleep", "600"};
  spec.start_timeout_us = 600 * limits::second_us;
  auto answer = begin();
  runtime->abandon(instance_id{8});
  runtime->abandon(wanted.instance);
  ASSERT_EQ(answer.wait_for(patience), std::future_status::ready);
  EXPECT_EQ(answer.get().failure().code, "unloaded");
}

TEST_F(ServerRuntime, NamesBecomeNoOptions) {
  spec.command = {"sleep", "{name}"};
  for (const auto* name : {"--help", "a b", "", "x;y", "\x1b[31m"}) {
    wanted.model = model_name(name);
    EXPECT_EQ(open().failure().code, "bad_name") << name;
  }
  wanted.model = model_name("tale");
  wanted.path = "-rf"; // Of `server:-rf`.
  EXPECT_EQ(open().failure().code, "bad_name");
  wanted.path = "/models/any";
  spec.command = {"consort-no-such-tool"};
  EXPECT_EQ(open().failure().code, "tool_missing");
}

} // namespace
} // namespace consort::node::test
