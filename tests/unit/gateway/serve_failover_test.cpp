// SPDX-License-Identifier: Apache-2.0
// Attempts that fail: retried in silence before the first token, resumed after it, or ended in
// words.
#include "tests/unit/gateway/gateway_fixture.hpp"

namespace consort::testing {
namespace {

const error device_died{recovery::retry_elsewhere, "device_failed", "the host process died"};

class Failover : public gateway_fixture {
protected:
  /// The first attempt fails after `emitted`; the scheduler grants a second on npu0.
  void fail_first(const std::string& emitted, bool resumed) {
    node_.on_open = [emitted](const auto& attempt) {
      if (attempt.permission.attempt.number > 1)
        return fake_attempt_service::answer_hello(attempt);
      attempt.sink->on_event(attempt_opened{7, 0});
      if (!emitted.empty())
        attempt.sink->on_event(attempt_tokens{0, emitted, {11, 12}, ""});
      attempt.sink->on_event(attempt_aborted{device_died, true});
    };
    port_.on_report = [this, resumed](const auto& happened, const auto& listener) {
      if (!std::holds_alternative<core::attempt_failed>(happened))
        return;
      auto next = make_grant(port_.submitted(), 2, "local/npu0");
      next.resumed = resumed;
      next.exact = false;
      listener->on_ticket(next);
    };
  }
};

TEST_F(Failover, BeforeTheFirstTokenIsSilent) {
  fail_first("", false);
  start();
  http_client client(http_port());
  const auto answer = client.post("/v1/chat/completions", chat_stream_body);
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.headers.at("X-Consort-Device"), "local/npu0") << "the one that served it";
  EXPECT_EQ(answer.headers.at("X-Consort-Attempts"), "2");
  EXPECT_EQ(answer.body.find("error"), std::string::npos);
  const auto failed = port_.wait_report<core::attempt_failed>();
  ASSERT_TRUE(failed);
  EXPECT_EQ(failed->emitted_tokens, 0U);
  EXPECT_TRUE(failed->device_fault);
  EXPECT_TRUE(node_.opened(1).body.resume.text.empty());
}

TEST_F(Failover, MidStreamIsResumedWithWhatWasEmitted) {
  node_.on_open = [](const auto& attempt) {
    if (attempt.permission.attempt.number > 1)
      fake_attempt_service::answer_hello(attempt);
  };
  port_.on_report = [this](const auto& happened, const auto& listener) {
    if (!std::holds_alternative<core::attempt_failed>(happened))
      return;
    auto next = make_grant(port_.submitted(), 2, "local/npu0");
    next.resumed = true;
    next.exact = false;
    listener->on_ticket(next);
  };
  start();
  http_client client(http_port());
  client.send(http_client::request("POST", "/v1/chat/completions", chat_stream_body));
  const auto first = node_.opened();
  first.sink->on_event(attempt_opened{7, 0});
  first.sink->on_event(attempt_tokens{0, "Once ", {11, 12}, ""});
  client.read_until("Once ");
  first.sink->on_event(attempt_aborted{device_died, true});
  const auto second = node_.opened(1);
  EXPECT_EQ(second.body.resume.text, "Once ");
  EXPECT_EQ(second.body.resume.token_ids, (std::vector<std::int32_t>{11, 12}));
  EXPECT_EQ(second.body.json, chat_stream_body);
  const auto all = client.read_until("[DONE]");
  EXPECT_EQ(all.find("event: error"), std::string::npos);
  EXPECT_EQ(all.find("\"role\""), all.rfind("\"role\"")) << "one unbroken stream";
  const auto failed = port_.wait_report<core::attempt_failed>();
  EXPECT_EQ(failed->emitted_tokens, 2U);
  const auto finished = port_.wait_report<core::attempt_finished>();
  ASSERT_TRUE(finished);
  EXPECT_EQ(finished->measured.usage.prompt_tokens, 7U) << "counted once";
  EXPECT_EQ(finished->measured.usage.completion_tokens, 5U) << "both attempts' tokens";
}

/// A server that does not stream tells one piece of many tokens, and counts its own.
TEST_F(Failover, WhatTwoServersWroteIsCountedTogether) {
  node_.on_open = [](const auto& attempt) {
    attempt.sink->on_event(attempt_opened{7, 0});
    if (attempt.permission.attempt.number == 1) {
      attempt.sink->on_event(attempt_tokens{0, "Once ", {}, ""});
      attempt.sink->on_event(attempt_tokens{0, "upon ", {}, ""});
      return attempt.sink->on_event(attempt_aborted{device_died, true});
    }
    attempt.sink->on_event(attempt_tokens{0, "a time there was", {}, ""});
    attempt.sink->on_event(attempt_choice_done{0, "length"});
    attempt.sink->on_event(attempt_completed{{9, 7, 0}, 1, 0});
  };
  port_.on_report = [this](const auto& happened, const auto& listener) {
    if (!std::holds_alternative<core::attempt_failed>(happened))
      return;
    auto next = make_grant(port_.submitted(), 2, "local/npu0");
    next.resumed = true;
    listener->on_ticket(next);
  };
  start();
  http_client client(http_port());
  const auto body = nlohmann::json::parse(client.post("/v1/chat/completions", chat_body).body);
  EXPECT_EQ(body["choices"][0]["message"]["content"], "Once upon a time there was");
  EXPECT_EQ(body["usage"]["completion_tokens"], 9);
}

/// Model servers count the prompt in their last words only, and what they go on with as a part of
/// it.
TEST_F(Failover, WhatTheAnswerBeganWithIsNoPartOfThePrompt) {
  node_.on_open = [](const auto& attempt) {
    attempt.sink->on_event(attempt_opened{});
    if (attempt.permission.attempt.number == 1) {
      attempt.sink->on_event(attempt_tokens{0, "Once ", {}, ""});
      attempt.sink->on_event(attempt_tokens{0, "upon ", {}, ""});
      attempt.sink->on_event(attempt_tokens{0, "a ", {}, ""});
      return attempt.sink->on_event(attempt_aborted{device_died, true});
    }
    attempt.sink->on_event(attempt_tokens{0, "time", {}, ""});
    attempt.sink->on_event(attempt_choice_done{0, "length"});
    attempt.sink->on_event(attempt_completed{{4 + 3, 1, 6}, 1, 0});
  };
  port_.on_report = [this](const auto& happened, const auto& listener) {
    if (!std::holds_alternative<core::attempt_failed>(happened))
      return;
    auto next = make_grant(port_.submitted(), 2, "local/npu0");
    next.resumed = true;
    listener->on_ticket(next);
  };
  start();
  http_client client(http_port());
  const auto body = nlohmann::json::parse(client.post("/v1/chat/completions", chat_body).body);
  EXPECT_EQ(body["choices"][0]["message"]["content"], "Once upon a time");
  EXPECT_EQ(body["usage"]["prompt_tokens"], 4);
  EXPECT_EQ(body["usage"]["completion_tokens"], 4);
  EXPECT_EQ(body["usage"]["total_tokens"], 8);
  EXPECT_EQ(body["usage"]["prompt_tokens_details"]["cached_tokens"], 4)
      << "never more than the prompt";
}

/// There are model servers that count nothing, or what cannot be true.
TEST_F(Failover, APromptThatNobodyCountedIsEstimatedAndSaidToBe) {
  node_.on_open = [](const auto& attempt) {
    attempt.sink->on_event(attempt_opened{});
    attempt.sink->on_event(attempt_tokens{0, "Once", {}, ""});
    attempt.sink->on_event(attempt_choice_done{0, "length"});
    attempt.sink->on_event(attempt_completed{{0, 1, 0}, 1, 0});
  };
  start();
  http_client client(http_port());
  const auto body = nlohmann::json::parse(client.post("/v1/chat/completions", chat_body).body);
  const auto estimate = port_.submitted().prompt_tokens;
  EXPECT_GT(estimate, 0U);
  EXPECT_EQ(body["usage"]["prompt_tokens"], estimate);
  EXPECT_EQ(body["usage"]["consort"]["prompt_estimated"], true);
  const auto finished = port_.wait_report<core::attempt_finished>();
  ASSERT_TRUE(finished);
  EXPECT_EQ(finished->measured.usage.prompt_tokens, estimate);
}

/// An engine that tells at once may be the second one, after a server that never told.
TEST_F(Failover, ThePromptIsCountedByWhoeverTellsFirst) {
  node_.on_open = [](const auto& attempt) {
    if (attempt.permission.attempt.number == 1) {
      attempt.sink->on_event(attempt_opened{});
      attempt.sink->on_event(attempt_tokens{0, "Once ", {}, ""});
      return attempt.sink->on_event(attempt_aborted{device_died, true});
    }
    attempt.sink->on_event(attempt_opened{7 + 1, 0});
    attempt.sink->on_event(attempt_tokens{0, "upon", {12}, ""});
    attempt.sink->on_event(attempt_choice_done{0, "length"});
    attempt.sink->on_event(attempt_completed{{7 + 1, 1, 0}, 1, 0});
  };
  port_.on_report = [this](const auto& happened, const auto& listener) {
    if (!std::holds_alternative<core::attempt_failed>(happened))
      return;
    auto next = make_grant(port_.submitted(), 2, "local/npu0");
    next.resumed = true;
    listener->on_ticket(next);
  };
  start();
  http_client client(http_port());
  const auto body = nlohmann::json::parse(client.post("/v1/chat/completions", chat_body).body);
  EXPECT_EQ(body["usage"]["prompt_tokens"], 7);
  EXPECT_EQ(body["usage"]["completion_tokens"], 2);
}

TEST_F(Failover, FramesOfAnOldAttemptAreDropped) {
  node_.on_open = [](const auto&) {};
  start();
  http_client client(http_port());
  client.send(http_client::request("POST", "/v1/chat/completions", chat_stream_body));
  const auto old = node_.opened();
  port_.listener()->on_drop({old.permission.attempt, "its node is lost"});
  EXPECT_TRUE(node_.wait_closed(1));
  port_.listener()->on_ticket(make_grant(port_.submitted(), 2));
  const auto current = node_.opened(1);
  old.sink->on_event(attempt_tokens{0, "GHOST", {1}, ""});
  old.sink->on_event(attempt_completed{{1, 1, 0}, 1, 0});
  fake_attempt_service::answer_hello(current);
  const auto answer = client.read_answer();
  EXPECT_EQ(answer.body.find("GHOST"), std::string::npos);
  EXPECT_NE(answer.body.find("Hello"), std::string::npos);
}

TEST_F(Failover, WholeAnswerStartsAnewUnlessTheTicketResumes) {
  fail_first("half an ans", false);
  start();
  http_client client(http_port());
  const auto body = nlohmann::json::parse(client.post("/v1/chat/completions", chat_body).body);
  EXPECT_EQ(body["choices"][0]["message"]["content"], "Hello w\xC3\xB6rld!");
  EXPECT_EQ(body["usage"]["completion_tokens"], 3);
  EXPECT_EQ(port_.wait_report<core::attempt_failed>()->emitted_tokens, 0U)
      << "the client has seen nothing";
  EXPECT_TRUE(node_.opened(1).body.resume.text.empty());
}

TEST_F(Failover, WholeAnswerContinuesWhenTheTicketResumes) {
  fail_first("Once ", true);
  start();
  http_client client(http_port());
  const auto body = nlohmann::json::parse(client.post("/v1/chat/completions", chat_body).body);
  EXPECT_EQ(body["choices"][0]["message"]["content"], "Once Hello w\xC3\xB6rld!");
  EXPECT_EQ(body["usage"]["completion_tokens"], 5);
  EXPECT_EQ(body["usage"]["consort"]["resumed_exact"], false);
  EXPECT_EQ(body["usage"]["consort"]["attempts"], 2);
}

TEST_F(Failover, RejectionAfterTheFirstByteIsAnErrorEvent) {
  node_.on_open = [](const auto&) {};
  port_.on_report = [this](const auto& happened, const auto& listener) {
    if (!std::holds_alternative<core::attempt_failed>(happened))
      return;
    core::reject_request rejected;
    rejected.http_status = 502;
    rejected.reason = {recovery::retry_elsewhere, "no_device_left", "no other device"};
    listener->on_reject(rejected);
  };
  start();
  http_client client(http_port());
  client.send(http_client::request("POST", "/v1/chat/completions", chat_stream_body));
  const auto attempt = node_.opened();
  attempt.sink->on_event(attempt_tokens{0, "Once", {1}, ""});
  client.read_until("Once");
  attempt.sink->on_event(attempt_aborted{device_died, true});
  const auto answer = client.read_answer();
  EXPECT_TRUE(answer.complete);
  EXPECT_NE(answer.body.find("event: error\ndata: {\"error\":{\"message\":\"no other device\""),
            std::string::npos)
      << answer.body;
  EXPECT_EQ(answer.body.find("[DONE]"), std::string::npos);
}

TEST_F(Failover, WhatCannotBeResumedEndsInWordsNotInRepetition) {
  node_.on_open = [](const auto&) {};
  start();
  http_client client(http_port());
  client.send(http_client::request("POST", "/v1/completions",
                                   R"({"model":"m","prompt":"x","stream":true,"logprobs":1})"));
  const auto attempt = node_.opened();
  attempt.sink->on_event(attempt_tokens{0, "Once", {1}, ""});
  client.read_until("Once");
  port_.listener()->on_drop({attempt.permission.attempt, "lost"});
  port_.listener()->on_ticket(make_grant(port_.submitted(), 2));
  const auto answer = client.read_answer();
  EXPECT_NE(answer.body.find("not_resumable"), std::string::npos) << answer.body;
}

TEST_F(Failover, NodeThatCannotBeReachedIsTriedElsewhere) {
  reachable_ = false;
  port_.on_report = [this](const auto& happened, const auto& listener) {
    if (!std::holds_alternative<core::attempt_failed>(happened))
      return;
    reachable_ = true;
    listener->on_ticket(make_grant(port_.submitted(), 2));
  };
  start();
  http_client client(http_port());
  EXPECT_EQ(client.post("/v1/chat/completions", chat_body).status, 200);
  EXPECT_EQ(port_.wait_report<core::attempt_failed>()->failure.code, "node_unreachable");
}

TEST_F(Failover, SilentAttemptIsGivenUp) {
  config_.limits.attempt_silence = 20 * ms;
  node_.on_open = [](const auto& attempt) {
    if (attempt.permission.attempt.number > 1)
      fake_attempt_service::answer_hello(attempt);
  };
  port_.on_report = [this](const auto& happened, const auto& listener) {
    if (std::holds_alternative<core::attempt_failed>(happened))
      listener->on_ticket(make_grant(port_.submitted(), 2));
  };
  start();
  http_client client(http_port());
  EXPECT_EQ(client.post("/v1/chat/completions", chat_body).status, 200);
  EXPECT_EQ(port_.wait_report<core::attempt_failed>()->failure.code, "attempt_silent");
}

TEST_F(Failover, AttemptLostAfterItsLastChoiceIsAFinishedOne) {
  node_.on_open = [](const auto& attempt) {
    attempt.sink->on_event(attempt_opened{7, 0});
    attempt.sink->on_event(attempt_tokens{0, "all", {1}, ""});
    attempt.sink->on_event(attempt_choice_done{0, "stop"});
    attempt.sink->on_event(attempt_aborted{device_died, true});
  };
  start();
  http_client client(http_port());
  const auto answer = client.post("/v1/chat/completions", chat_body);
  EXPECT_EQ(answer.status, 200);
  EXPECT_TRUE(port_.wait_report<core::attempt_finished>());
}

/// Asked to go on, another device would write one more.
TEST_F(Failover, AttemptLostAfterAllTokensThatWereAskedForIsAFinishedOne) {
  node_.on_open = [](const auto& attempt) {
    if (attempt.permission.attempt.number > 1)
      return fake_attempt_service::answer_hello(attempt);
    attempt.sink->on_event(attempt_opened{7, 0});
    attempt.sink->on_event(attempt_tokens{0, "one", {}, ""});
    attempt.sink->on_event(attempt_tokens{0, " two", {}, ""});
    attempt.sink->on_event(attempt_aborted{device_died, true});
  };
  start();
  http_client client(http_port());
  const auto answer = client.post("/v1/completions",
                                  R"({"model": "storyteller", "prompt": "Once", "max_tokens": 2})");
  EXPECT_EQ(answer.status, 200);
  EXPECT_NE(answer.body.find(R"("text":"one two")"), std::string::npos) << answer.body;
  EXPECT_NE(answer.body.find(R"("finish_reason":"length")"), std::string::npos) << answer.body;
  EXPECT_EQ(port_.wait_report<core::attempt_finished>()->measured.usage.completion_tokens, 2U);
}

} // namespace
} // namespace consort::testing
