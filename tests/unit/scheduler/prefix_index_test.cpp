// SPDX-License-Identifier: Apache-2.0
#include "scheduler/prefix_index.hpp"

#include <gtest/gtest.h>

namespace consort::core {

namespace {

using blocks = std::vector<std::uint64_t>;

std::uint32_t held(const prefix_index& index, const blocks& prompt, std::uint64_t instance) {
  std::vector<prefix_match> found;
  index.match(prompt, found);
  for (const auto& one : found)
    if (one.instance == instance_id{instance})
      return one.blocks;
  return 0;
}

TEST(PrefixIndex, CountsLeadingBlocksOnly) {
  prefix_index index;
  index.remember({1, 2, 3}, instance_id{7});
  EXPECT_EQ(held(index, {1, 2, 3, 4}, 7), 3U);
  EXPECT_EQ(held(index, {1, 2, 9}, 7), 2U);
  EXPECT_EQ(held(index, {9, 2, 3}, 7), 0U);
  EXPECT_EQ(held(index, {1, 2}, 8), 0U);
}

TEST(PrefixIndex, SeveralInstancesHoldTheirOwnShare) {
  prefix_index index;
  index.remember({1, 2, 3}, instance_id{7});
  index.remember({1, 2}, instance_id{8});
  EXPECT_EQ(held(index, {1, 2, 3}, 7), 3U);
  EXPECT_EQ(held(index, {1, 2, 3}, 8), 2U);
}

TEST(PrefixIndex, KeepsTheNewestHolders) {
  prefix_index index;
  for (std::uint64_t id = 1; id <= limits::prefix_holders_max + 1; ++id)
    index.remember({1}, instance_id{id});
  EXPECT_EQ(held(index, {1}, 1), 0U);
  EXPECT_EQ(held(index, {1}, 2), 1U);
  EXPECT_EQ(held(index, {1}, limits::prefix_holders_max + 1), 1U);
}

TEST(PrefixIndex, ForgetsTheLeastRecentlyUsedBlock) {
  prefix_index index(3);
  index.remember({1}, instance_id{7});
  index.remember({2}, instance_id{7});
  index.remember({3}, instance_id{7});
  index.remember({1}, instance_id{7});
  index.remember({4}, instance_id{7});
  EXPECT_EQ(index.size(), 3U);
  EXPECT_EQ(held(index, {2}, 7), 0U);
  EXPECT_EQ(held(index, {1}, 7), 1U);
}

TEST(PrefixIndex, ABlockWithoutAHashIsHeldByNobodyAndTakesNoPlace) {
  prefix_index index(1);
  index.remember({1}, instance_id{7});
  index.remember({0}, instance_id{7});
  EXPECT_EQ(held(index, {0}, 7), 0U);
  EXPECT_EQ(held(index, {1}, 7), 1U);
}

TEST(PrefixIndex, ForgetsAPromptsEndBeforeItsBeginning) {
  prefix_index index(3);
  index.remember({1, 2, 3}, instance_id{7});
  index.remember({9}, instance_id{7});
  EXPECT_EQ(held(index, {1, 2, 3}, 7), 2U);
}

} // namespace

} // namespace consort::core
