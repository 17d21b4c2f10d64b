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

std::vector<index> devices_of(const explain_ring& ring, const explained_request& entry,
                              std::size_t decision) {
  std::vector<index> seen;
  ring.each_candidate(entry, entry.decision(decision),
                      [&](const candidate_record& one) { seen.push_back(one.device); });
  return seen;
}

std::vector<index> up_to(index count) {
  std::vector<index> made(count);
  for (index at = 0; at < count; ++at)
    made[at] = at;
  return made;
}

TEST(CandidatePool, KeepsThemInOrderOverBlocks) {
  candidate_pool pool;
  for (index count = 0; count <= limits::explain_candidates_max; ++count) {
    auto kept = pool.keep(numbered(count));
    EXPECT_EQ(devices_of(pool, kept), up_to(count));
    pool.give_back(kept);
    EXPECT_TRUE(devices_of(pool, kept).empty());
  }
}

TEST(CandidatePool, KeepsOnlyThoseFromOneOn) {
  candidate_pool pool;
  for (index from = 0; from <= 9; ++from) {
    const auto kept = pool.keep(numbered(9), from);
    auto expected = up_to(9);
    expected.erase(expected.begin(), expected.begin() + from);
    EXPECT_EQ(devices_of(pool, kept), expected);
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
  // Twice what has room in the request's own row.
  const auto some = numbered(2 * limits::explain_crowd_max);
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
  EXPECT_EQ(entry.decision(0).attempt, 0U);
  EXPECT_EQ(devices_of(ring, entry, 0), up_to(1));
  for (std::uint32_t each = 1; each < limits::explain_decisions_max; ++each) {
    const auto number = static_cast<index>(more - limits::explain_decisions_max + each);
    EXPECT_EQ(entry.decision(each).attempt, number);
    EXPECT_EQ(devices_of(ring, entry, each), up_to(1 + number));
  }
}

TEST(ExplainRing, OneDecisionHasItsCandidatesInTheRequestsOwnRow) {
  explain_ring ring;
  auto& entry = *ring.find(ring.open(1, 3), 1);
  auto& first = ring.add(entry);
  auto* kept = ring.keep_beside(entry, first, 3);
  ASSERT_NE(kept, nullptr);
  for (index at = 0; at < 3; ++at)
    (kept[at] = {}).device = at;
  // The second finds it taken, and takes blocks.
  ring.prepare(entry, 3);
  auto& second = ring.add(entry);
  EXPECT_EQ(ring.keep_beside(entry, second, 3), nullptr);
  ring.keep(entry, second, numbered(7));
  EXPECT_EQ(devices_of(ring, entry, 0), up_to(3));
  EXPECT_EQ(devices_of(ring, entry, 1), up_to(7));
}

TEST(ExplainRing, WhereTheFirstWeighedNothingTheSecondHasThePlaceInTheRow) {
  explain_ring ring(1);
  for (std::uint64_t sequence = 1; sequence <= 3; ++sequence) {
    auto& entry = *ring.find(ring.open(sequence, 4), sequence);
    ring.keep(entry, ring.add(entry), {});
    ring.prepare(entry, 4);
    auto& second = ring.add(entry);
    EXPECT_EQ(ring.keep_beside(entry, second, limits::explain_crowd_max + 1), nullptr);
    ring.keep(entry, second, numbered(limits::explain_crowd_max));
    EXPECT_TRUE(devices_of(ring, entry, 0).empty());
    EXPECT_EQ(devices_of(ring, entry, 1), up_to(limits::explain_crowd_max));
  }
  EXPECT_EQ(ring.candidates().blocks(), 0U);
}

TEST(ExplainRing, ThePlaceInTheRowIsFreeAgainWhenItsDecisionIsForgotten) {
  explain_ring ring;
  auto& entry = *ring.find(ring.open(1, 0), 1);
  ring.keep(entry, ring.add(entry), {});
  for (std::uint32_t each = 1; each <= limits::explain_decisions_max; ++each) {
    ring.prepare(entry, 4);
    auto& record = ring.add(entry);
    ring.keep(entry, record, numbered(4));
    // The one behind the first took it, until there was no room for that one any more.
    EXPECT_EQ(record.beside > 0, each == 1 || each == limits::explain_decisions_max);
  }
  for (std::uint32_t each = 1; each < limits::explain_decisions_max; ++each)
    EXPECT_EQ(devices_of(ring, entry, each), up_to(4));
}

TEST(ExplainRing, FindsTheLatestRequestOfAName) {
  explain_ring ring(100);
  for (std::uint64_t sequence = 1; sequence <= 250; ++sequence) {
    auto& entry = *ring.find(ring.open(sequence, 0), sequence);
    entry.external_id = sequence % 2 == 0 ? "even" : "odd";
  }
  EXPECT_EQ(ring.latest("even")->sequence, 250U);
  EXPECT_EQ(ring.latest("odd")->sequence, 249U);
  EXPECT_EQ(ring.latest("none"), nullptr);
  EXPECT_EQ(ring.find(0, 1), nullptr); // The ring has moved on.
  EXPECT_EQ(explain_ring(0).open(1, 4), none);
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
