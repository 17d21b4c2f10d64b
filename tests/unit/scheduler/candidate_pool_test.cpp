// SPDX-License-Identifier: Apache-2.0
#include "scheduler/candidate_pool.hpp"

#include "scheduler/explain.hpp"

#include <gtest/gtest.h>

namespace consort::core {

namespace {

std::vector<candidate_record> numbered(index count) {
  std::vector<candidate_record> made(count);
  for (index at = 0; at < count; ++at)
    made[at].device = at;
  return made;
}

std::vector<index> devices_of(const candidate_pool& pool, const candidate_pool::chain& kept) {
  std::vector<index> seen;
  pool.each(kept, [&](const candidate_record& one) { seen.push_back(one.device); });
  return seen;
}

TEST(CandidatePool, KeepsThemInOrderOverBlocks) {
  candidate_pool pool;
  for (index count = 0; count <= limits::explain_candidates_max; ++count) {
    auto kept = pool.keep(numbered(count));
    std::vector<index> expected;
    for (index at = 0; at < count; ++at)
      expected.push_back(at);
    EXPECT_EQ(devices_of(pool, kept), expected);
    pool.give_back(kept);
    EXPECT_TRUE(devices_of(pool, kept).empty());
  }
}

TEST(CandidatePool, GrowsNoMoreThanWhatIsHeldAtOnce) {
  candidate_pool pool;
  std::deque<candidate_pool::chain> held;
  for (index round = 0; round < 1'000; ++round) {
    held.push_back(pool.keep(numbered(1 + round % 32)));
    if (held.size() <= 10)
      continue;
    pool.give_back(held.front());
    held.pop_front();
  }
  EXPECT_LE(pool.blocks(), 11U * candidate_pool::blocks_for(32) + 63);
}

TEST(CandidatePool, HasWhatWasPromised) {
  candidate_pool pool;
  pool.promise(1'000);
  const auto blocks = pool.blocks();
  EXPECT_GE(pool.free_blocks(), 1'000U);
  for (int each = 0; each < 1'000; ++each) {
    const auto kept = pool.keep(numbered(candidate_pool::block_size));
    EXPECT_EQ(kept.size, candidate_pool::block_size);
  }
  EXPECT_EQ(pool.blocks(), blocks);
}

TEST(ExplainRing, ARequestThatIsForgottenGivesBackWhatItHeld) {
  explain_ring ring;
  const auto some = numbered(limits::explain_crowd_max);
  std::uint64_t sequence = 0;
  const auto fill = [&] {
    for (std::size_t each = 0; each < limits::explain_requests_max; ++each) {
      const auto slot = ring.open(++sequence, some.size());
      auto& entry = *ring.find(slot, sequence);
      ring.keep(entry, ring.add(entry), some);
    }
  };
  fill();
  const auto blocks = ring.candidates().blocks();
  EXPECT_GE(blocks, limits::explain_requests_max);
  fill();
  EXPECT_EQ(ring.candidates().blocks(), blocks);
}

TEST(ExplainRing, KeepsTheFirstDecisionAndTheLatest) {
  explain_ring ring;
  auto& entry = *ring.find(ring.open(1, 1), 1);
  constexpr std::uint32_t more = limits::explain_decisions_max + 5;
  for (std::uint32_t each = 0; each < more; ++each) {
    auto& record = ring.add(entry);
    record.attempt = each;
    ring.keep(entry, record, numbered(1 + each));
    ring.prepare(entry, 1);
  }
  ASSERT_EQ(entry.used, limits::explain_decisions_max);
  EXPECT_EQ(entry.decisions[0].attempt, 0U);
  EXPECT_EQ(entry.decisions[1].attempt, 6U);
  EXPECT_EQ(entry.decisions.back().attempt, more - 1);
  EXPECT_EQ(devices_of(ring.candidates(), entry.decisions.back().candidates).size(), more);
}

TEST(ExplainRing, SameWordsAreKeptOnce) {
  explain_ring ring;
  const auto busy = ring.kept("busy");
  EXPECT_EQ(ring.kept("busy"), busy);
  EXPECT_EQ(ring.kept(""), nullptr);
  EXPECT_EQ(*ring.kept("loading"), "loading");
  EXPECT_EQ(*busy, "busy");
}

} // namespace

} // namespace consort::core
