// SPDX-License-Identifier: Apache-2.0
// Two attempts at once: the client sees one of them, whole, and never a word of the other.
#include "tests/unit/gateway/gateway_fixture.hpp"

namespace consort::testing {
namespace {

const error engine_broke{recovery::retry_elsewhere, "engine", "it broke"};

class Hedge : public gateway_fixture {
protected:
  /// A streamed request with two attempts open that have said nothing.
  void race() {
    hold_node();
    start();
    client_ = std::make_unique<http_client>(http_port());
    client_->send(http_client::request("POST", "/v1/chat/completions", chat_stream_body,
                                       "X-Consort-Hedge: true\r\n"));
    first_ = node_.opened();
    port_.listener()->on_ticket(hedge_ticket());
    second_ = node_.opened(1);
  }
  core::grant_ticket hedge_ticket() {
    auto granted = make_grant(port_.submitted(), 2, "local/npu0");
    granted.hedge = true;
    return granted;
  }
  static void begin(const fake_attempt_service::opened_attempt& attempt, const std::string& text) {
    attempt.sink->on_event(attempt_opened{7, 2});
    attempt.sink->on_event(attempt_tokens{0, text, {1}, ""});
  }
  static void end(const fake_attempt_service::opened_attempt& attempt) {
    attempt.sink->on_event(attempt_choice_done{0, "stop"});
    attempt.sink->on_event(attempt_completed{{7, 1, 2}, 1, 0});
  }

  std::unique_ptr<http_client> client_;
  fake_attempt_service::opened_attempt first_, second_;
};

TEST_F(Hedge, HeaderReachesTheScheduler) {
  race();
  EXPECT_TRUE(port_.submitted().hedge);
  fake_attempt_service::answer_hello(first_);
  EXPECT_EQ(client_->read_answer().status, 200);
}

TEST_F(Hedge, WhoseTokenComesFirstIsShownAndTheOtherIsClosed) {
  race();
  first_.sink->on_event(attempt_opened{7, 0}); // Begun is not brought.
  begin(second_, "SECOND");
  EXPECT_TRUE(node_.wait_closed(1));
  begin(first_, "FIRST");
  end(first_);
  end(second_);
  const auto answer = client_->read_answer();
  EXPECT_NE(answer.body.find("SECOND"), std::string::npos);
  EXPECT_EQ(answer.body.find("FIRST"), std::string::npos);
  EXPECT_EQ(answer.headers.at("X-Consort-Device"), "local/npu0");
  EXPECT_EQ(answer.headers.at("X-Consort-Attempts"), "2");
  const auto progressed = port_.wait_report<core::attempt_progressed>();
  ASSERT_TRUE(progressed);
  EXPECT_EQ(progressed->attempt.number, 2U) << "by which the scheduler knows the winner";
  const auto finished = port_.wait_report<core::attempt_finished>();
  ASSERT_TRUE(finished);
  EXPECT_EQ(finished->attempt.number, 2U);
  EXPECT_EQ(port_.reports<core::attempt_finished>().size(), 1U);
  EXPECT_EQ(port_.reports<core::attempt_started>().size(), 2U);
}

TEST_F(Hedge, LosesToTheFirst) {
  race();
  second_.sink->on_event(attempt_opened{7, 2});
  begin(first_, "FIRST");
  EXPECT_TRUE(node_.wait_closed(1));
  begin(second_, "SECOND");
  end(first_);
  const auto answer = client_->read_answer();
  EXPECT_EQ(answer.body.find("SECOND"), std::string::npos);
  EXPECT_NE(answer.body.find("FIRST"), std::string::npos);
  EXPECT_EQ(port_.wait_report<core::attempt_finished>()->attempt.number, 1U);
}

TEST_F(Hedge, GoesOnWhenTheFirstFails) {
  race();
  first_.sink->on_event(attempt_aborted{engine_broke, true});
  EXPECT_TRUE(node_.wait_closed(1));
  fake_attempt_service::answer_hello(second_);
  EXPECT_NE(client_->read_answer().body.find("Hello"), std::string::npos);
  const auto failed = port_.reports<core::attempt_failed>();
  ASSERT_EQ(failed.size(), 1U);
  EXPECT_EQ(failed[0].attempt.number, 1U);
}

TEST_F(Hedge, GoesOnWhenTheFirstIsDropped) {
  race();
  port_.listener()->on_drop({first_.permission.attempt, "it fell silent"});
  EXPECT_TRUE(node_.wait_closed(1));
  fake_attempt_service::answer_hello(second_);
  EXPECT_NE(client_->read_answer().body.find("Hello"), std::string::npos);
  EXPECT_TRUE(port_.reports<core::attempt_failed>().empty());
}

TEST_F(Hedge, ThatFailsLeavesTheFirstAlone) {
  race();
  second_.sink->on_event(attempt_aborted{engine_broke, true});
  const auto failed = port_.wait_report<core::attempt_failed>();
  ASSERT_TRUE(failed);
  EXPECT_EQ(failed->attempt.number, 2U);
  EXPECT_TRUE(node_.wait_closed(1));
  fake_attempt_service::answer_hello(first_);
  EXPECT_EQ(client_->read_answer().headers.at("X-Consort-Device"), "local/cpu0");
}

TEST_F(Hedge, RefusalByItIsTheAnswer) {
  race();
  second_.sink->on_event(
      attempt_aborted{{recovery::refuse, "too_long", "the prompt is too long"}, false});
  EXPECT_TRUE(node_.wait_closed(2));
  EXPECT_EQ(client_->read_answer().status, 400);
}

TEST_F(Hedge, ClientThatLeavesEndsBoth) {
  race();
  client_.reset();
  EXPECT_TRUE(node_.wait_closed(2));
  EXPECT_TRUE(port_.wait_report<core::request_cancelled>());
}

TEST_F(Hedge, ComesTooLateForAStreamThatBegan) {
  hold_node();
  start();
  http_client client(http_port());
  client.send(http_client::request("POST", "/v1/chat/completions", chat_stream_body));
  first_ = node_.opened();
  begin(first_, "FIRST");
  client.read_until("FIRST");
  port_.listener()->on_ticket(hedge_ticket());
  end(first_);
  EXPECT_NE(client.read_until("[DONE]").find("[DONE]"), std::string::npos);
  EXPECT_TRUE(node_.wait_closed(1));
  EXPECT_EQ(port_.wait_report<core::attempt_finished>()->attempt.number, 1U);
  EXPECT_TRUE(port_.reports<core::attempt_failed>().empty());
}

TEST_F(Hedge, IsTheAttemptWhenTheFirstHasEndedMeanwhile) {
  hold_node();
  start();
  http_client client(http_port());
  client.send(http_client::request("POST", "/v1/chat/completions", chat_stream_body));
  node_.opened().sink->on_event(attempt_aborted{engine_broke, true});
  EXPECT_TRUE(port_.wait_report<core::attempt_failed>());
  port_.listener()->on_ticket(hedge_ticket());
  fake_attempt_service::answer_hello(node_.opened(1));
  EXPECT_NE(client.read_answer().body.find("Hello"), std::string::npos);
}

} // namespace
} // namespace consort::testing
