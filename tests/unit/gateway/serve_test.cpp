// SPDX-License-Identifier: Apache-2.0
// One request's life over a real socket, with a scheduler and a node that do as they are told.
#include "tests/unit/gateway/gateway_fixture.hpp"

#include <stdexcept>

namespace consort::testing {
namespace {

class Serve : public gateway_fixture {};

TEST_F(Serve, AnExceptionCostsItsRequestOnly) {
  std::atomic<bool> broken = true;
  port_.on_submit = [&](const request_meta& meta, const auto& listener) {
    if (broken.exchange(false))
      throw std::runtime_error("a defect");
    listener->on_ticket(make_grant(meta));
  };
  start();
  http_client client(http_port());
  const auto failed = client.post("/v1/chat/completions", chat_body);
  EXPECT_EQ(failed.status, 500);
  EXPECT_EQ(error_of(failed)["code"], "internal");
  EXPECT_EQ(client.post("/v1/chat/completions", chat_body).status, 200) << "the same connection";
}

TEST_F(Serve, AnExceptionInAStreamEndsItsConnection) {
  port_.on_report = [](const gateway::gateway_report& happened, const auto&) {
    if (std::holds_alternative<core::attempt_finished>(happened))
      throw std::runtime_error("a defect");
  };
  hold_node();
  start();
  http_client client(http_port());
  client.send(http_client::request("POST", "/v1/chat/completions", chat_stream_body));
  const auto attempt = node_.opened();
  attempt.sink->on_event(attempt_tokens{0, "first", {1}, ""});
  client.read_until("first");
  attempt.sink->on_event(attempt_completed{{7, 1, 0}, 1, 0});
  EXPECT_FALSE(client.read_all().ends_with("0\r\n\r\n")) << "half an answer must not look whole";
  EXPECT_TRUE(node_.wait_closed(1));
  http_client next(http_port());
  EXPECT_NE(next.get("/metrics").body.find("consort_requests_running 0"), std::string::npos);
}

TEST_F(Serve, WholeAnswerCarriesHeadersUsageAndDevice) {
  start();
  http_client client(http_port());
  const auto answer = client.post("/v1/chat/completions", chat_body, "X-Request-Id: mine-1\r\n");
  ASSERT_EQ(answer.status, 200);
  EXPECT_EQ(answer.headers.at("X-Request-Id"), "mine-1");
  EXPECT_EQ(answer.headers.at("X-Consort-Device"), "local/cpu0");
  EXPECT_EQ(answer.headers.at("X-Consort-Attempts"), "1");
  EXPECT_TRUE(answer.headers.contains("X-Consort-Queue-Ms"));
  const auto body = nlohmann::json::parse(answer.body);
  EXPECT_EQ(body["object"], "chat.completion");
  EXPECT_EQ(body["id"], "chatcmpl-0000000000000abc-1");
  EXPECT_EQ(body["choices"][0]["message"]["content"], "Hello w\xC3\xB6rld!");
  EXPECT_EQ(body["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(body["usage"]["prompt_tokens"], 7);
  EXPECT_EQ(body["usage"]["completion_tokens"], 3);
  EXPECT_EQ(body["usage"]["consort"]["device"], "local/cpu0");
}

TEST_F(Serve, StreamIsRoleTokensFinishDone) {
  start();
  http_client client(http_port());
  const auto answer = client.post("/v1/chat/completions", chat_stream_body);
  ASSERT_EQ(answer.status, 200);
  EXPECT_TRUE(answer.complete);
  EXPECT_EQ(answer.headers.at("Content-Type"), "text/event-stream");
  EXPECT_EQ(answer.headers.at("X-Consort-Device"), "local/cpu0");
  std::string text;
  std::vector<std::string> lines;
  for (std::size_t at = 0, end = 0; (end = answer.body.find("\n\n", at)) != std::string::npos;
       at = end + 2)
    lines.push_back(answer.body.substr(at + 6, end - at - 6));
  ASSERT_EQ(lines.size(), 6U) << answer.body;
  EXPECT_EQ(nlohmann::json::parse(lines[0])["choices"][0]["delta"]["role"], "assistant");
  for (std::size_t at = 1; at <= 3; ++at)
    text += nlohmann::json::parse(lines[at])["choices"][0]["delta"]["content"];
  EXPECT_EQ(text, "Hello w\xC3\xB6rld!");
  EXPECT_EQ(nlohmann::json::parse(lines[4])["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(lines[5], "[DONE]");
}

TEST_F(Serve, ResponsesAreChatsInItems) {
  start();
  http_client client(http_port());
  const auto whole = client.post("/v1/responses", R"({"model":"m","input":"x"})");
  ASSERT_EQ(whole.status, 200);
  EXPECT_EQ(whole.headers.at("X-Consort-Device"), "local/cpu0");
  const auto body = nlohmann::json::parse(whole.body);
  EXPECT_EQ(body["object"], "response");
  EXPECT_EQ(body["output"][0]["content"][0]["text"], "Hello w\xC3\xB6rld!");
  EXPECT_EQ(body["usage"]["output_tokens"], 3);
  const auto streamed = client.post("/v1/responses", R"({"model":"m","input":"x","stream":true})");
  EXPECT_TRUE(streamed.complete);
  EXPECT_EQ(streamed.headers.at("Content-Type"), "text/event-stream");
  EXPECT_TRUE(streamed.body.starts_with("event: response.created\n")) << streamed.body;
  EXPECT_NE(streamed.body.find("event: response.completed\n"), std::string::npos);
  EXPECT_EQ(streamed.body.find("[DONE]"), std::string::npos);
  const auto wrong = client.post("/v1/responses", R"({"model":"m"})", "X-Request-Id: mine-2\r\n");
  EXPECT_EQ(wrong.status, 400);
  EXPECT_EQ(error_of(wrong)["param"], "input");
  EXPECT_EQ(wrong.headers.at("X-Request-Id"), "mine-2");
}

TEST_F(Serve, AResponsesBodyThatOutgrowsTheLimitAsAChatIsTooLarge) {
  const std::string body = R"({"model":"m","input":"x"})";
  config_.limits.body_bytes = body.size();
  start();
  http_client client(http_port());
  const auto answer = client.post("/v1/responses", body);
  EXPECT_EQ(answer.status, 413);
  EXPECT_EQ(error_of(answer)["code"], "body_too_large");
}

TEST_F(Serve, CompletionsServeTextInBothForms) {
  start();
  http_client client(http_port());
  const auto whole = client.post("/v1/completions", R"({"model":"m","prompt":"x"})");
  const auto body = nlohmann::json::parse(whole.body);
  EXPECT_EQ(body["object"], "text_completion");
  EXPECT_EQ(body["choices"][0]["text"], "Hello w\xC3\xB6rld!");
  const auto streamed = client.post(
      "/v1/completions",
      R"({"model":"m","prompt":"x","stream":true,"stream_options":{"include_usage":true}})");
  EXPECT_NE(streamed.body.find(R"("choices":[],"usage":{"prompt_tokens":7)"), std::string::npos);
}

/// An alias and an adapter are asked for by their names, and answers go by these.
TEST_F(Serve, AnswersNameTheModelAsItWasAskedFor) {
  port_.on_submit = [](const request_meta& meta, const auto& listener) {
    auto granted = make_grant(meta);
    granted.granted.model = model_name("base");
    listener->on_ticket(granted);
  };
  start();
  http_client client(http_port());
  const auto whole = client.post("/v1/completions", R"({"model":"tales","prompt":"x"})");
  EXPECT_EQ(nlohmann::json::parse(whole.body)["model"], "tales");
  const auto streamed
      = client.post("/v1/completions", R"({"model":"tales","prompt":"x","stream":true})");
  EXPECT_NE(streamed.body.find(R"("model":"tales")"), std::string::npos);
  EXPECT_EQ(streamed.body.find("base"), std::string::npos);
  const auto items = client.post("/v1/responses", R"({"model":"tales","input":"x"})");
  EXPECT_EQ(nlohmann::json::parse(items.body)["model"], "tales");
}

TEST_F(Serve, SchedulerGetsMetadataAndTheNodeTheBody) {
  start();
  http_client client(http_port());
  const std::string body = R"({ "model":"m", "prompt":")" + std::string(600, 'a')
                           + R"(", "max_tokens": 9, "unknown_field": [1, {"x": null}] })";
  client.post("/v1/completions", body,
              "X-Consort-Device: npu\r\nX-Consort-Policy: energy\r\nX-Consort-Priority: batch\r\n"
              "X-Consort-Deadline: 2s\r\nX-Consort-Wait: 0s\r\n");
  const auto meta = port_.submitted();
  EXPECT_EQ(meta.id.gateway.value, 0xabcU);
  EXPECT_EQ(meta.external_id, "req-0000000000000abc-1");
  EXPECT_EQ(meta.selector, "npu");
  EXPECT_EQ(meta.policy, policy_name{"energy"});
  EXPECT_EQ(meta.priority, priority_class::batch);
  EXPECT_EQ(meta.deadline_us, 2'000'000);
  EXPECT_EQ(meta.wait_us, 0);
  EXPECT_EQ(meta.max_tokens, 9U);
  EXPECT_EQ(meta.prefix_blocks.size(), 2U);
  EXPECT_EQ(node_.opened().body.json, body) << "untouched";
}

TEST_F(Serve, MadeRequestIdsAreUniqueAndEchoed) {
  start();
  http_client client(http_port());
  const auto one = client.post("/v1/chat/completions", chat_body);
  const auto two = client.post("/v1/chat/completions", chat_body);
  EXPECT_EQ(one.headers.at("X-Request-Id"), "req-0000000000000abc-1");
  EXPECT_EQ(two.headers.at("X-Request-Id"), "req-0000000000000abc-2");
}

TEST_F(Serve, ReportsStartedProgressedAndFinishedWithWhatItMeasured) {
  start();
  http_client client(http_port());
  client.post("/v1/chat/completions", chat_body);
  EXPECT_TRUE(port_.wait_report<core::attempt_started>());
  EXPECT_TRUE(port_.wait_report<core::attempt_progressed>());
  const auto finished = port_.wait_report<core::attempt_finished>();
  ASSERT_TRUE(finished);
  EXPECT_EQ(finished->attempt.number, 1U);
  EXPECT_EQ(finished->measured.usage.completion_tokens, 3U);
  EXPECT_EQ(finished->measured.batch, 1U);
  EXPECT_LE(finished->measured.first_token_us, finished->measured.total_us);
  EXPECT_EQ(port_.reports<core::attempt_progressed>().size(), 1U) << "not one per token";
}

TEST_F(Serve, BadBodiesAndHeadersNeverReachTheScheduler) {
  start();
  http_client client(http_port());
  const auto body = client.post("/v1/chat/completions", R"({"model":"m","messages":[]})",
                                "X-Request-Id: mine\r\n");
  EXPECT_EQ(body.status, 400);
  EXPECT_EQ(error_of(body)["param"], "messages");
  EXPECT_EQ(body.headers.at("X-Request-Id"), "mine");
  const auto header = client.post("/v1/chat/completions", chat_body, "X-Consort-Wait: later\r\n");
  EXPECT_EQ(header.status, 400);
  EXPECT_EQ(error_of(header)["param"], "X-Consort-Wait");
  EXPECT_EQ(port_.submitted_count(), 0U);
}

TEST_F(Serve, RejectionBecomesTheErrorThatTheSchedulerNamed) {
  port_.on_submit = [](const request_meta&, const auto& listener) {
    core::reject_request rejected;
    rejected.reason = {recovery::retry_later, "compiling", "an artifact is being built"};
    rejected.state = "compiling";
    rejected.eta_us = 4'000'000;
    rejected.retry_after_us = 4'000'000;
    listener->on_reject(rejected);
  };
  start();
  http_client client(http_port());
  const auto answer = client.post("/v1/chat/completions", chat_stream_body);
  EXPECT_EQ(answer.status, 503) << "a stream that never began is an ordinary error";
  EXPECT_EQ(answer.headers.at("Retry-After"), "4");
  EXPECT_EQ(error_of(answer)["consort"]["state"], "compiling");
  EXPECT_EQ(error_of(answer)["consort"]["eta_ms"], 4000);
}

TEST_F(Serve, ContextOverflowIsTheClientsErrorAndEndsTheRequest) {
  node_.on_open = [](const auto& attempt) {
    attempt.sink->on_event(attempt_aborted{
        {recovery::refuse, "context_overflow", "600 tokens do not fit into 512"}, false});
  };
  start();
  http_client client(http_port());
  const auto answer = client.post("/v1/chat/completions", chat_body);
  EXPECT_EQ(answer.status, 400);
  EXPECT_EQ(error_of(answer)["code"], "context_overflow");
  const auto failed = port_.wait_report<core::attempt_failed>();
  ASSERT_TRUE(failed);
  EXPECT_FALSE(failed->device_fault);
}

TEST_F(Serve, HowLongADeviceAskedToBeLeftAloneIsReported) {
  node_.on_open = [](const auto& attempt) {
    attempt.sink->on_event(attempt_aborted{
        {recovery::retry_later, "server_busy", "429: slow down"}, false, {}, 7'000'000});
  };
  port_.on_report = [](const auto& happened, const auto& listener) {
    if (const auto* failed = std::get_if<core::attempt_failed>(&happened)) {
      core::reject_request rejected;
      rejected.request = failed->attempt.request;
      rejected.http_status = 503;
      rejected.reason = failed->failure;
      listener->on_reject(rejected);
    }
  };
  start();
  http_client client(http_port());
  EXPECT_EQ(client.post("/v1/chat/completions", chat_body).status, 503);
  const auto failed = port_.wait_report<core::attempt_failed>();
  ASSERT_TRUE(failed);
  EXPECT_EQ(failed->retry_after_us, 7'000'000);
}

TEST_F(Serve, TokensReadyTogetherTravelTogetherButFirstOnesDoNotWait) {
  hold_node();
  start();
  http_client client(http_port());
  client.send(http_client::request("POST", "/v1/chat/completions", chat_stream_body));
  const auto attempt = node_.opened();
  attempt.sink->on_event(attempt_tokens{0, "first", {1}, ""});
  EXPECT_NE(client.read_until("first").find("\"first\""), std::string::npos)
      << "delivered although nothing followed";
  for (int at = 0; at < 1000; ++at)
    attempt.sink->on_event(attempt_tokens{0, "x", {1}, ""});
  attempt.sink->on_event(attempt_choice_done{0, "length"});
  attempt.sink->on_event(attempt_completed{{7, 1001, 0}, 1, 0});
  const auto all = client.read_until("[DONE]");
  // Chunk sizes stand alone on a line in front of a data line: count the writes.
  std::size_t writes = 0;
  for (std::size_t at = 0; (at = all.find("\r\ndata: ", at)) != std::string::npos; ++at)
    ++writes;
  EXPECT_LT(writes, 500U) << "many events to one chunk";
}

TEST_F(Serve, ClientThatLeavesWhileStreamingStopsTheEngine) {
  hold_node();
  start();
  http_client client(http_port());
  client.send(http_client::request("POST", "/v1/chat/completions", chat_stream_body));
  node_.opened().sink->on_event(attempt_tokens{0, "first", {1}, ""});
  client.read_until("first");
  client.close();
  EXPECT_TRUE(node_.wait_closed(1));
  const auto cancelled = port_.wait_report<core::request_cancelled>();
  ASSERT_TRUE(cancelled);
  EXPECT_EQ(cancelled->request, port_.submitted().id);
}

TEST_F(Serve, ClientThatLeavesAWholeAnswerStopsTheEngineToo) {
  hold_node();
  start();
  http_client client(http_port());
  client.send(http_client::request("POST", "/v1/chat/completions", chat_body));
  node_.opened();
  client.close();
  EXPECT_TRUE(node_.wait_closed(1));
  EXPECT_TRUE(port_.wait_report<core::request_cancelled>());
}

TEST_F(Serve, ClientThatLeavesTheQueueIsForgotten) {
  port_.on_submit = [](const auto&, const auto&) {};
  start();
  http_client client(http_port());
  client.send(http_client::request("POST", "/v1/chat/completions", chat_body));
  port_.submitted();
  client.close();
  EXPECT_TRUE(port_.wait_report<core::request_cancelled>());
  // A ticket that was on its way changes nothing.
  port_.listener()->on_ticket(make_grant(port_.submitted()));
}

TEST_F(Serve, ReaderThatStallsIsCancelled) {
  config_.limits.write_stall = 50 * ms;
  config_.limits.stream_backlog_bytes = 64 * 1024 * 1024;
  hold_node();
  start();
  http_client client(http_port(), 4096);
  client.send(http_client::request("POST", "/v1/chat/completions", chat_stream_body));
  // More than the kernel's buffers take while the client reads nothing.
  node_.opened().sink->on_event(attempt_tokens{0, std::string(32 * 1024 * 1024, 'x'), {1}, ""});
  EXPECT_TRUE(port_.wait_report<core::request_cancelled>());
  EXPECT_TRUE(node_.wait_closed(1));
}

TEST_F(Serve, SlowReaderHoldsUpNothingButItsStream) {
  config_.limits.stream_backlog_bytes = 64 * 1024 * 1024;
  config_.limits.progress_every = 0;
  hold_node();
  start();
  http_client client(http_port(), 4096);
  client.send(http_client::request("POST", "/v1/chat/completions", chat_stream_body));
  const auto attempt = node_.opened();
  // More than the kernel's buffers take while the client reads nothing.
  attempt.sink->on_event(attempt_tokens{0, std::string(32 * 1024 * 1024, 'x'), {1}, ""});
  attempt.sink->on_event(attempt_tokens{0, "last words", {2}, ""});
  attempt.sink->on_event(attempt_choice_done{0, "stop"});
  attempt.sink->on_event(attempt_completed{{1, 2, 0}, 1, 0});
  EXPECT_TRUE(port_.wait_report<core::attempt_finished>()) << "the device is still taken";
  const auto answer = client.read_answer();
  EXPECT_NE(answer.body.find("last words"), std::string::npos);
  EXPECT_NE(answer.body.find("[DONE]"), std::string::npos);
}

TEST_F(Serve, WhatIsLeftOfAnEndedAnswerIsKeptForATime) {
  config_.limits.stream_backlog_bytes = 64 * 1024 * 1024;
  config_.limits.leave_time = 1;
  hold_node();
  start();
  http_client client(http_port(), 4096);
  client.send(http_client::request("POST", "/v1/chat/completions", chat_stream_body));
  const auto attempt = node_.opened();
  // More than the kernel's buffers take while the client reads nothing.
  attempt.sink->on_event(attempt_tokens{0, std::string(32 * 1024 * 1024, 'x'), {1}, ""});
  attempt.sink->on_event(attempt_choice_done{0, "stop"});
  attempt.sink->on_event(attempt_completed{{1, 1, 0}, 1, 0});
  EXPECT_TRUE(port_.wait_report<core::attempt_finished>());
  const auto answer = client.read_answer();
  EXPECT_FALSE(answer.complete);
  EXPECT_EQ(answer.body.find("[DONE]"), std::string::npos);
}

TEST_F(Serve, StopDoesNotWaitForWhoDoesNotRead) {
  config_.limits.stream_backlog_bytes = 64 * 1024 * 1024;
  config_.limits.write_stall = 3'600'000 * ms;
  config_.limits.drain = 10 * ms;
  config_.limits.stop_grace = 10 * ms;
  hold_node();
  start();
  http_client client(http_port(), 4096);
  client.send(http_client::request("POST", "/v1/chat/completions", chat_stream_body));
  node_.opened().sink->on_event(attempt_tokens{0, std::string(32 * 1024 * 1024, 'x'), {1}, ""});
  client.read_until("xx");
  std::promise<void> stopped;
  server_->stop([&] { stopped.set_value(); });
  EXPECT_EQ(stopped.get_future().wait_for(patience), std::future_status::ready);
}

TEST_F(Serve, BacklogOfAllReadersIsBounded) {
  config_.limits.all_backlogs_bytes = 64 * 1024;
  config_.limits.stream_backlog_bytes = 512 * 1024; // An eighth of it is much.
  hold_node();
  start();
  http_client client(http_port(), 4096);
  client.send(http_client::request("POST", "/v1/chat/completions", chat_stream_body));
  node_.opened().sink->on_event(attempt_tokens{0, std::string(96 * 1024, 'x'), {1}, ""});
  const auto cancelled = port_.wait_report<core::request_cancelled>();
  ASSERT_TRUE(cancelled);
  EXPECT_EQ(cancelled->reason, "reader_too_slow");
}

TEST_F(Serve, BacklogOfASlowReaderIsBounded) {
  config_.limits.stream_backlog_bytes = 64 * 1024;
  hold_node();
  start();
  http_client client(http_port(), 4096);
  client.send(http_client::request("POST", "/v1/chat/completions", chat_stream_body));
  const auto attempt = node_.opened();
  const std::string piece(32 * 1024, 'x');
  for (int at = 0; at < 4; ++at)
    attempt.sink->on_event(attempt_tokens{0, piece + piece + piece, {1}, ""});
  const auto cancelled = port_.wait_report<core::request_cancelled>();
  ASSERT_TRUE(cancelled);
  EXPECT_EQ(cancelled->reason, "reader_too_slow");
  EXPECT_TRUE(node_.wait_closed(1));
}

TEST_F(Serve, WholeAnswerIsBounded) {
  config_.limits.response_bytes = 5;
  start();
  http_client client(http_port());
  const auto answer = client.post("/v1/chat/completions", chat_body);
  EXPECT_EQ(answer.status, 502);
  EXPECT_TRUE(port_.wait_report<core::request_cancelled>());
}

TEST_F(Serve, RequestsBeyondTheBoundAre429) {
  config_.limits.requests = 1;
  hold_node();
  start();
  http_client first(http_port());
  first.send(http_client::request("POST", "/v1/chat/completions", chat_body));
  const auto attempt = node_.opened();
  http_client second(http_port());
  const auto refused = second.post("/v1/chat/completions", chat_body);
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(refused.headers.at("Retry-After"), "1");
  fake_attempt_service::answer_hello(attempt);
  EXPECT_EQ(first.read_answer().status, 200);
}

TEST_F(Serve, SilentSchedulerIsAnErrorNotAHang) {
  port_.on_submit = [](const auto&, const auto&) {};
  config_.queue_timeout_us = 10 * ms;
  config_.limits.ticket_grace = 10 * ms;
  start();
  http_client client(http_port());
  const auto answer = client.post("/v1/chat/completions", chat_body);
  EXPECT_EQ(answer.status, 503);
  EXPECT_EQ(error_of(answer)["code"], "scheduler_silent");
  EXPECT_TRUE(port_.wait_report<core::request_cancelled>());
}

TEST_F(Serve, AWaitThatTheSchedulerForgotEndsWithItsReason) {
  port_.on_submit = [](const request_meta& meta, const auto& listener) {
    listener->on_queue(core::queue_notice{meta.id, "queued", 3, {}, "all devices are busy"});
  };
  config_.queue_timeout_us = 10 * ms;
  config_.limits.ticket_grace = 10 * ms;
  start();
  http_client client(http_port());
  const auto answer = client.post("/v1/chat/completions", chat_body);
  EXPECT_EQ(answer.status, 503);
  EXPECT_EQ(error_of(answer)["code"], "queue_timeout");
  EXPECT_EQ(error_of(answer)["message"], "waited long enough: all devices are busy");
}

TEST_F(Serve, RequestBeyondItsWholeTimeIs408) {
  config_.limits.request_time = 20 * ms;
  hold_node();
  start();
  http_client client(http_port());
  EXPECT_EQ(client.post("/v1/chat/completions", chat_body).status, 408);
  EXPECT_TRUE(node_.wait_closed(1));
}

/// The scheduler that would end it may be away: waiting or running, it ends once, and what comes
/// later of it is nobody's.
TEST_F(Serve, ADeadlineThatNoSchedulerEnforcesIs408) {
  std::shared_ptr<gateway::request_listener> told;
  port_.on_submit = [&](const auto&, const auto& listener) { told = listener; };
  config_.limits.deadline_grace = 10 * ms;
  start();
  http_client client(http_port());
  const auto answer
      = client.post("/v1/chat/completions", chat_body, "X-Consort-Deadline: 20ms\r\n");
  EXPECT_EQ(answer.status, 408);
  EXPECT_EQ(error_of(answer)["code"], "deadline_passed");
  const auto ended = port_.wait_report<core::request_cancelled>();
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->reason, "deadline_passed");
  told->on_reject({ended->request, 408, {}, {}, {}, {}});
  EXPECT_EQ(client.get("/healthz").status, 200) << "the connection goes on";
}

TEST_F(Serve, ADeadlineEndsAnAttemptThatRunsWhileNoSchedulerIsThere) {
  config_.limits.deadline_grace = 10 * ms;
  hold_node();
  start();
  http_client client(http_port());
  const auto answer
      = client.post("/v1/chat/completions", chat_body, "X-Consort-Deadline: 20ms\r\n");
  EXPECT_EQ(answer.status, 408);
  EXPECT_EQ(error_of(answer)["code"], "deadline_passed");
  EXPECT_TRUE(node_.wait_closed(1));
}

TEST_F(Serve, StopLetsAStreamFinish) {
  hold_node();
  start();
  http_client client(http_port());
  client.send(http_client::request("POST", "/v1/chat/completions", chat_stream_body));
  const auto attempt = node_.opened();
  attempt.sink->on_event(attempt_tokens{0, "first", {1}, ""});
  client.read_until("first");
  std::promise<void> stopped;
  server_->stop([&] { stopped.set_value(); });
  http_client idle(http_port());
  EXPECT_EQ(idle.get("/healthz").status, 0) << "no new connection is served";
  attempt.sink->on_event(attempt_choice_done{0, "stop"});
  attempt.sink->on_event(attempt_completed{{7, 1, 0}, 1, 0});
  EXPECT_NE(client.read_until("[DONE]").find("[DONE]"), std::string::npos);
  EXPECT_EQ(stopped.get_future().wait_for(patience), std::future_status::ready);
  EXPECT_TRUE(port_.reports<core::request_cancelled>().empty());
}

TEST_F(Serve, StopEndsWhatOutlastsTheDrainWithAnError) {
  config_.limits.drain = 20 * ms;
  hold_node();
  start();
  http_client streaming(http_port());
  streaming.send(http_client::request("POST", "/v1/chat/completions", chat_stream_body));
  node_.opened().sink->on_event(attempt_tokens{0, "first", {1}, ""});
  streaming.read_until("first");
  http_client whole(http_port());
  whole.send(http_client::request("POST", "/v1/chat/completions", chat_body));
  node_.opened(1);
  std::promise<void> stopped;
  server_->stop([&] { stopped.set_value(); });
  const auto rest = streaming.read_all();
  EXPECT_NE(rest.find("event: error\ndata: {\"error\":{"), std::string::npos) << rest;
  EXPECT_NE(rest.find("shutting_down"), std::string::npos);
  EXPECT_TRUE(rest.ends_with("0\r\n\r\n")) << "a proper end";
  const auto answer = whole.read_answer();
  EXPECT_EQ(answer.status, 503);
  EXPECT_EQ(error_of(answer)["code"], "shutting_down");
  EXPECT_EQ(stopped.get_future().wait_for(patience), std::future_status::ready);
  EXPECT_TRUE(node_.wait_closed(2));
}

} // namespace
} // namespace consort::testing
