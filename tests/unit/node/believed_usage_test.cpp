// SPDX-License-Identifier: Apache-2.0
// Goal: usage that cannot be true is not believed, usage that can be is, and what nobody tells is
// estimated for money and left unknown for clients.
#include "node/runtimes/believed_usage.hpp"

#include "node/limits.hpp"

#include <gtest/gtest.h>

namespace consort::node {
namespace {

constexpr std::uint32_t absurd = 1U << 30U; ///< As much as is read of a number.

attempt_body completion(std::string json) {
  return {request_kind::completion, std::move(json), {}};
}

TEST(BelievedUsage, WhatCanBeTrueIsBelieved) {
  const auto asked = completion(R"({"prompt": "x", "max_tokens": 8, "n": 2})");
  const token_usage said{5'000, 18, 5'000}; // A template, two ends, all of it cached.
  const auto found = believe(said, asked, 16);
  EXPECT_FALSE(found.doubted);
  EXPECT_EQ(found.told, said);
  EXPECT_EQ(found.charged, said);
  EXPECT_FALSE(
      believe({3, 30, 0}, completion(R"({"prompt": "x", "max_tokens": 8, "best_of": 4})"), 8)
          .doubted)
      << "all that were tried are paid for";
}

TEST(BelievedUsage, AnswersAreBoundedByWhatWasAskedForOrCame) {
  const auto asked = completion(R"({"prompt": "x", "max_tokens": 8})");
  const auto found = believe({3, absurd, 0}, asked, 8);
  EXPECT_TRUE(found.doubted);
  EXPECT_EQ(found.charged, (token_usage{3, 8, 0}));
  EXPECT_EQ(found.told, (token_usage{3, 8, 0}));
  EXPECT_EQ(believe({3, absurd, 0}, asked, 20).charged.completion_tokens, 20U)
      << "thoughts that came beside the text";
  EXPECT_FALSE(believe({3, 9, 0}, asked, 8).doubted) << "its end";
  EXPECT_TRUE(believe({3, 10, 0}, asked, 8).doubted);
  const auto unbounded = completion(R"({"prompt": "x"})");
  const auto most = static_cast<std::uint32_t>(limits::usage_answer_tokens_max);
  EXPECT_FALSE(believe({3, most, 0}, unbounded, 4).doubted) << "thoughts that are not shown";
  EXPECT_EQ(believe({3, absurd, 0}, unbounded, 4).charged.completion_tokens, 4U);
}

TEST(BelievedUsage, PromptsAreBoundedByTheirBytes) {
  const auto asked = completion(R"({"prompt": ")" + std::string(400, 'x') + R"("})");
  const auto most = static_cast<std::uint32_t>(asked.json.size() + limits::usage_added_tokens_max);
  EXPECT_FALSE(believe({most, 1, 0}, asked, 1).doubted);
  const auto found = believe({most + 1, 1, 7}, asked, 1);
  EXPECT_TRUE(found.doubted);
  EXPECT_EQ(found.told, (token_usage{0, 1, 0}));
  EXPECT_EQ(found.charged, (token_usage{101, 1, 0}));
  const auto shown = attempt_body{
      request_kind::chat,
      R"({"messages": [{"content": [{"type": "image_url", "image_url": {"url": "https://x"}}]}]})",
      {}};
  EXPECT_FALSE(believe({200'000, 1, 0}, shown, 1).doubted) << "few bytes name a film";
  EXPECT_TRUE(believe({absurd, 1, 0}, shown, 1).doubted);
}

TEST(BelievedUsage, NoMoreIsCachedThanThereIs) {
  const auto found = believe({10, 1, 11}, completion(R"({"prompt": "x"})"), 1);
  EXPECT_TRUE(found.doubted);
  EXPECT_EQ(found.charged, (token_usage{10, 1, 10}));
}

TEST(BelievedUsage, WhatIsNotToldIsEstimatedAndNobodysLie) {
  auto asked = completion(R"({"prompt": [[1, 2, 3], [4]]})");
  const auto found = believe({}, asked, 5);
  EXPECT_FALSE(found.doubted);
  EXPECT_EQ(found.told, (token_usage{0, 5, 0}));
  EXPECT_EQ(found.charged, (token_usage{5, 5, 0})) << "four ids, and one";
  asked = completion(R"({"prompt": "01234567"})");
  asked.resume.text = "01234567";
  EXPECT_EQ(believe({}, asked, 1).charged.prompt_tokens, 5U) << "with what it goes on from";
  EXPECT_EQ(believe({}, completion("no JSON"), 1).charged.prompt_tokens, 1U);
  const attempt_body vectors{request_kind::embedding, R"({"input": ["01234567"]})", {}};
  EXPECT_EQ(believe({0, absurd, 0}, vectors, 0).charged, (token_usage{3, 0, 0}));
}

} // namespace
} // namespace consort::node
