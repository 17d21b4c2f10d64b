// SPDX-License-Identifier: Apache-2.0
#include "scheduler/session_index.hpp"

#include <gtest/gtest.h>

namespace consort::core {

namespace {

using blocks = std::vector<std::uint64_t>;

session_turn at(std::uint64_t instance) {
  session_turn made;
  made.instance = instance_id{instance};
  return made;
}

std::uint64_t last_at(const session_index& index, std::uint64_t conversation) {
  const auto* found = index.find(conversation);
  return found == nullptr ? 0 : found->instance.value;
}

TEST(SessionIndex, KnowsTheLastTurnOnly) {
  session_index index;
  EXPECT_EQ(last_at(index, 1), 0U);
  index.remember(1, at(7));
  index.remember(2, at(8));
  index.remember(1, at(9));
  EXPECT_EQ(last_at(index, 1), 9U);
  EXPECT_EQ(last_at(index, 2), 8U);
  EXPECT_EQ(index.size(), 2U);
}

TEST(SessionIndex, ForgetsWhoseLastTurnIsLongestAgo) {
  session_index index(3);
  for (std::uint64_t each = 1; each <= 3; ++each)
    index.remember(each, at(each));
  index.remember(1, at(9));
  index.remember(4, at(4));
  EXPECT_EQ(index.size(), 3U);
  EXPECT_EQ(last_at(index, 2), 0U);
  EXPECT_EQ(last_at(index, 1), 9U);
  EXPECT_EQ(last_at(index, 3), 3U);
  EXPECT_EQ(last_at(index, 4), 4U);
}

TEST(SessionIndex, KeepsAsManyAsItsLimit) {
  session_index index;
  for (std::uint64_t each = 1; each <= limits::sessions_max + 1; ++each)
    index.remember(each, at(each));
  EXPECT_EQ(index.size(), limits::sessions_max);
  EXPECT_EQ(last_at(index, 1), 0U);
  EXPECT_EQ(last_at(index, 2), 2U);
}

/// Of 1,000 tokens in two blocks, with an answer of 400.
session_turn two_blocks() {
  auto made = at(1);
  made.prompt_tokens = 1'000;
  made.answer_tokens = 400;
  made.blocks = 2;
  made.last_block = 22;
  return made;
}

TEST(SessionTurn, IsRepeatedInWhatBeginsWithItAndIsNoShorter) {
  const auto last = two_blocks();
  EXPECT_EQ(last.repeated_in(1'500, {11, 22, 33}), 1'400U);
  EXPECT_EQ(last.repeated_in(1'500, {11, 23, 33}), 0U);
  EXPECT_EQ(last.repeated_in(1'500, {11}), 0U);
  EXPECT_EQ(last.repeated_in(999, {11, 22}), 0U);
  EXPECT_EQ(last.repeated_in(1'000, {11, 22}), 1'000U) << "asked once more";
}

TEST(SessionTurn, HasItsAnswerRepeatedWhereThereIsAboutRoomForIt) {
  const auto last = two_blocks();
  EXPECT_EQ(last.repeated_in(1'299, {11, 22}), 1'000U);
  EXPECT_EQ(last.repeated_in(1'300, {11, 22}), 1'300U);
  EXPECT_EQ(last.repeated_in(1'400, {11, 22}), 1'400U);
  EXPECT_EQ(last.repeated_in(9'000, {11, 22}), 1'400U);
}

TEST(SessionTurn, OfAPromptWithoutAWholeBlockGoesByItsLengthAlone) {
  auto last = two_blocks();
  last.blocks = 0;
  last.last_block = 0;
  EXPECT_EQ(last.repeated_in(1'500, {}), 1'400U);
  EXPECT_EQ(last.repeated_in(900, {}), 0U);
}

TEST(SessionTurn, OfAChainThatIsCutGoesByItsLastBlock) {
  blocks cut(limits::prefix_blocks_max);
  for (std::size_t each = 0; each < cut.size(); ++each)
    cut[each] = each + 1;
  session_turn last;
  last.prompt_tokens = 90'000;
  last.answer_tokens = 500;
  last.blocks = limits::prefix_blocks_max;
  last.last_block = cut.back();
  EXPECT_EQ(last.repeated_in(100'000, cut), 90'500U);
  cut.back() = 7;
  EXPECT_EQ(last.repeated_in(100'000, cut), 0U);
}

} // namespace

} // namespace consort::core
