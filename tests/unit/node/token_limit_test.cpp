// SPDX-License-Identifier: Apache-2.0
#include "node/runtimes/token_limit.hpp"
#include "tests/unit/node/attempt_recorder.hpp"

#include <gtest/gtest.h>

namespace consort::node::test {
namespace {

attempt_body asking(const std::string& json) {
  attempt_body body;
  body.json = json;
  return body;
}

struct TokenLimit : ::testing::Test {
  std::shared_ptr<attempt_sink> limited(const attempt_body& body) {
    return hold_to_limit(asked_tokens_of(body), got, [this] { ++stops; });
  }

  std::shared_ptr<attempt_recorder> got = std::make_shared<attempt_recorder>();
  int stops = 0;
};

TEST_F(TokenLimit, CutsARuntimeThatTellsIds) {
  const auto sink = limited(asking(R"({"max_tokens": 3})"));
  sink->on_event(attempt_opened{7, 2});
  for (int i = 0; i < 10; ++i)
    sink->on_event(attempt_tokens{0, "x", {i}, ""});
  sink->on_event(attempt_aborted{{recovery::refuse, "cancelled", ""}, false});
  EXPECT_EQ(got->text(), "xxx");
  EXPECT_EQ(stops, 1);
  const auto all = got->seen();
  ASSERT_EQ(all.size(), 6U) << "opened, three tokens, the end of the choice and of the attempt";
  EXPECT_EQ(std::get<attempt_choice_done>(all[4]), (attempt_choice_done{0, "length"}));
  EXPECT_EQ(std::get<attempt_completed>(all[5]).usage, (token_usage{7, 3, 2}));
  EXPECT_EQ(std::get<attempt_completed>(all[5]).batch, 0U) << "nobody said what ran beside it";
}

TEST_F(TokenLimit, CountsPiecesWhereNoIdsAreTold) {
  const auto sink = limited(asking(R"({"max_completion_tokens": 2, "max_tokens": 9})"));
  sink->on_event(attempt_opened{});
  sink->on_event(attempt_tokens{0, "", {}, R"({"role": "assistant"})"});
  for (int i = 0; i < 4; ++i)
    sink->on_event(attempt_tokens{0, "ab", {}, ""});
  EXPECT_EQ(got->text(), "abab");
  EXPECT_EQ(stops, 1);
}

TEST_F(TokenLimit, CutsTheIdsOfThePieceInWhichTheLimitFalls) {
  const auto sink = limited(asking(R"({"max_tokens": 3})"));
  sink->on_event(attempt_opened{});
  sink->on_event(attempt_tokens{0, "ab", {1, 2}, ""});
  sink->on_event(attempt_tokens{0, "cdefg", {3, 4, 5, 6, 7}, ""});
  const auto all = got->seen();
  EXPECT_EQ(std::get<attempt_tokens>(all.at(2)).token_ids, (std::vector<std::int32_t>{3}));
  EXPECT_EQ(std::get<attempt_completed>(all.back()).usage.completion_tokens, 3U);
}

TEST_F(TokenLimit, IdsThatRunAheadOfTheTextAreNotCountedTwice) {
  const auto sink = limited(asking(R"({"max_tokens": 2})"));
  sink->on_event(attempt_opened{});
  sink->on_event(attempt_tokens{0, "", {1, 2}, ""});
  sink->on_event(attempt_tokens{0, "a", {}, ""});
  sink->on_event(attempt_tokens{0, "b", {}, ""});
  sink->on_event(attempt_choice_done{0, "stop"});
  sink->on_event(attempt_completed{{1, 2, 0}, 1, 0});
  EXPECT_EQ(got->text(), "ab");
  EXPECT_EQ(stops, 0) << "it kept to what was asked";
  EXPECT_EQ(got->terminals(), 1U);
}

TEST_F(TokenLimit, EndsWhenTheLastChoiceHas) {
  const auto sink = limited(asking(R"({"max_tokens": 1, "n": 2})"));
  sink->on_event(attempt_opened{});
  for (int i = 0; i < 3; ++i)
    sink->on_event(attempt_tokens{1, "b", {i}, ""});
  EXPECT_EQ(stops, 0);
  sink->on_event(attempt_choice_done{1, "stop"}); // It was told already.
  sink->on_event(attempt_tokens{0, "a", {1}, ""});
  sink->on_event(attempt_choice_done{0, "stop"});
  EXPECT_EQ(stops, 1);
  EXPECT_EQ(got->terminals(), 1U);
  EXPECT_EQ(got->text(), "ba");
}

TEST_F(TokenLimit, BelievesNoMoreThanWasAsked) {
  const auto sink = limited(asking(R"({"max_tokens": 5, "prompt": ["a", "b"]})"));
  sink->on_event(attempt_opened{});
  sink->on_event(attempt_completed{{1, 170, 0}, 1, 0});
  EXPECT_EQ(std::get<attempt_completed>(got->seen().back()).usage.completion_tokens, 10U);
}

TEST_F(TokenLimit, WhatWasEmittedElsewhereIsAPartOfIt) {
  auto body = asking(R"({"max_tokens": 5})");
  body.resume.token_ids = {1, 2, 3};
  EXPECT_EQ(asked_tokens_of(body).most, 2U);
  body.resume.tokens = 9;
  EXPECT_EQ(asked_tokens_of(body).most, 1U);
}

TEST_F(TokenLimit, LeavesAloneWhatWantsItsPromptAsWell) {
  EXPECT_EQ(limited(asking(R"({"prompt": "a b c", "max_tokens": 2, "echo": true})")), got);
  EXPECT_NE(limited(asking(R"({"prompt": "a b c", "max_tokens": 2, "echo": false})")), got);
}

TEST_F(TokenLimit, LeavesAloneWhatSetsNone) {
  EXPECT_EQ(limited(asking(R"({"prompt": "a"})")), got);
  EXPECT_EQ(limited(asking("no JSON")), got);
  auto embedding = asking(R"({"max_tokens": 5})");
  embedding.kind = request_kind::embedding;
  EXPECT_EQ(limited(embedding), got);
}

} // namespace
} // namespace consort::node::test
