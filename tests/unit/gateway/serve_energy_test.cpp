// SPDX-License-Identifier: Apache-2.0
// What a request cost in joules and money, by what its nodes tell of each attempt.
#include "tests/unit/gateway/gateway_fixture.hpp"

namespace consort::testing {
namespace {

const error gone{recovery::retry_elsewhere, "device_failed", "the host process died"};

class Joules : public gateway_fixture {
protected:
  /// The first attempt fails and tells `first`, the second one answers and tells `second`.
  void fail_first(std::optional<std::uint64_t> first, std::optional<std::uint64_t> second) {
    node_.on_open = [first, second](const auto& attempt) {
      if (attempt.permission.attempt.number > 1)
        return fake_attempt_service::answer_hello(attempt, second);
      attempt.sink->on_event(attempt_opened{7, 0});
      attempt.sink->on_event(attempt_aborted{gone, true, first});
    };
    port_.on_report = [this](const auto& happened, const auto& listener) {
      if (std::holds_alternative<core::attempt_failed>(happened))
        listener->on_ticket(make_grant(port_.submitted(), 2, "local/npu0"));
    };
  }
  void answer(std::optional<std::uint64_t> energy_mj) {
    node_.on_open = [energy_mj](const auto& attempt) {
      fake_attempt_service::answer_hello(attempt, energy_mj);
    };
  }
  nlohmann::json usage_of(const std::string& headers = {}) {
    http_client client(http_port());
    const auto got = client.post("/v1/chat/completions", chat_body, headers);
    EXPECT_EQ(got.status, 200);
    return nlohmann::json::parse(got.body)["usage"]["consort"];
  }
  /// Another attempt follows the first, of which it is kept what it is reported to have cost.
  void keep_first_cost() {
    port_.on_report = [this](const auto& happened, const auto& listener) {
      if (const auto* failed = std::get_if<core::attempt_failed>(&happened)) {
        first_cost_ = failed->cost_micros;
        listener->on_ticket(make_grant(port_.submitted(), 2, "local/npu0"));
      }
    };
  }
  /// The first attempt ends so, the second one answers for 500.
  void end_first(attempt_aborted how) {
    how.cost_micros = 250;
    node_.on_open = [how](const auto& attempt) {
      if (attempt.permission.attempt.number > 1)
        return fake_attempt_service::answer_hello(attempt, std::nullopt, 500);
      attempt.sink->on_event(attempt_opened{7, 0});
      attempt.sink->on_event(how);
    };
  }
  std::string metrics() { return http_client(http_port()).get("/metrics").body; }

  std::optional<std::uint64_t> first_cost_;
};

TEST_F(Joules, AreInTheAnswerTheReportAndTheMetrics) {
  answer(2'345);
  start();
  EXPECT_EQ(usage_of()["joules"], 2.345);
  const auto report = port_.wait_report<core::attempt_finished>();
  ASSERT_TRUE(report);
  EXPECT_EQ(report->measured.energy_mj, 2'345U);
  EXPECT_NE(metrics().find(
                "consort_request_energy_joules_total{model=\"storyteller\",tenant=\"\"} 2.345"),
            std::string::npos)
      << metrics();
}

TEST_F(Joules, ThatAreUnknownAreNotInTheAnswer) {
  answer(std::nullopt);
  start();
  EXPECT_FALSE(usage_of().contains("joules"));
  const auto report = port_.wait_report<core::attempt_finished>();
  ASSERT_TRUE(report);
  EXPECT_EQ(report->measured.energy_mj, std::nullopt);
}

TEST_F(Joules, OfAFailedAttemptAreTheRequestsTooAndTheReportsAreOfEach) {
  fail_first(1'000, 500);
  start();
  EXPECT_EQ(usage_of()["joules"], 1.5);
  const auto report = port_.wait_report<core::attempt_finished>();
  ASSERT_TRUE(report);
  EXPECT_EQ(report->measured.energy_mj, 500U);
  EXPECT_NE(metrics().find("} 1.5"), std::string::npos) << metrics();
}

TEST_F(Joules, OfAnAttemptThatNobodyHeardOfLeaveTheSumUnknown) {
  fail_first(std::nullopt, 500);
  start();
  EXPECT_FALSE(usage_of().contains("joules"));
  EXPECT_NE(metrics().find("} 0.5"), std::string::npos) << "of whom it is known is counted";
}

TEST_F(Joules, OfAHedgeThatWasClosedAreUnknown) {
  hold_node();
  start();
  http_client client(http_port());
  client.send(http_client::request("POST", "/v1/chat/completions", chat_body));
  const auto first = node_.opened();
  auto granted = make_grant(port_.submitted(), 2, "local/npu0");
  granted.hedge = true;
  port_.listener()->on_ticket(granted);
  const auto second = node_.opened(1);
  fake_attempt_service::answer_hello(second, 500);
  const auto body = nlohmann::json::parse(client.read_answer().body);
  EXPECT_EQ(body["usage"]["consort"]["device"], "local/npu0");
  EXPECT_FALSE(body["usage"]["consort"].contains("joules")) << "the other one's are missing";
}

TEST_F(Joules, AndMoneyAreToldApart) {
  node_.on_open = [](const auto& attempt) {
    fake_attempt_service::answer_hello(attempt, std::nullopt, 1'250);
  };
  start();
  const auto usage = usage_of();
  EXPECT_EQ(usage["cost"], 0.00125);
  EXPECT_FALSE(usage.contains("joules"));
  const auto report = port_.wait_report<core::attempt_finished>();
  ASSERT_TRUE(report);
  EXPECT_EQ(report->measured.cost_micros, 1'250U);
  EXPECT_NE(metrics().find("consort_request_cost_total{model=\"storyteller\",tenant=\"\"} 0.00125"),
            std::string::npos)
      << metrics();
}

TEST_F(Joules, AndMoneyOfAFailedAttemptAreReportedToo) {
  end_first({gone, true});
  keep_first_cost();
  start();
  EXPECT_EQ(usage_of()["cost"], 0.00075);
  EXPECT_EQ(first_cost_, 250U);
}

TEST_F(Joules, AndMoneyOfWhatItsNodeEndedAreReportedToo) {
  end_first({{recovery::retry_elsewhere, "cancelled", "it was told to stop"}, false});
  keep_first_cost();
  start();
  EXPECT_EQ(usage_of()["cost"], 0.00075);
  EXPECT_EQ(first_cost_, 250U);
}

TEST_F(Joules, AndMoneyOfVectorsThatAreNoneAreReportedToo) {
  node_.on_open = [](const auto& attempt) {
    const bool first = attempt.permission.attempt.number == 1;
    attempt.sink->on_event(attempt_opened{7, 0});
    attempt.sink->on_event(attempt_tokens{0, first ? "no vectors" : "[[1,2]]", {}, ""});
    attempt.sink->on_event(attempt_choice_done{0, "stop"});
    attempt.sink->on_event(attempt_completed{{7, 0, 0}, 1, 0, std::nullopt, 250});
  };
  keep_first_cost();
  start();
  http_client client(http_port());
  EXPECT_EQ(client.post("/v1/embeddings", R"({"model":"storyteller","input":"x"})").status, 200);
  EXPECT_EQ(first_cost_, 250U);
}

} // namespace
} // namespace consort::testing
