// SPDX-License-Identifier: Apache-2.0
// The ranks of an engine over several devices: who may join, and what a link lets through. That the
// shares add up to what one device says is shown by the system tests.
#include "node/plugins/reference/limits.hpp"
#include "node/plugins/reference/rank_engine.hpp"

#include <gtest/gtest.h>

#include <thread>

namespace consort::reference {

namespace {

rank_hello leader() {
  rank_hello who;
  who.degree = 3;
  who.context_tokens = 512;
  who.sequences = 4;
  who.words = 1'000;
  who.payload_xxh64 = 7;
  return who;
}

rank_hello rank_of(std::uint32_t shard) {
  auto who = leader();
  who.shard = shard;
  return who;
}

/// What the group says to a rank that says this.
result<done> joined(rank_group& group, const rank_hello& who) {
  auto ends = rank_link::pair();
  EXPECT_TRUE(ends);
  EXPECT_TRUE(ends->second.send(rank_frame::hello, &who, sizeof who));
  return group.join(std::move(ends->first));
}

TEST(Ranks, SharesOfTheVocabularyAreWholeAndApart) {
  for (const std::size_t words : {1U, 2U, 7U, 4'096U}) {
    std::size_t next = 0;
    for (std::uint32_t shard = 0; shard < 3; ++shard) {
      const auto [begin, end] = words_of(shard, 3, words);
      EXPECT_EQ(begin, next);
      EXPECT_LE(begin, end);
      next = end;
    }
    EXPECT_EQ(next, words);
  }
}

TEST(Ranks, OnlyRanksOfTheSameEngineJoin) {
  rank_group group;
  group.expect(leader());
  EXPECT_TRUE(joined(group, rank_of(1)));
  EXPECT_FALSE(joined(group, rank_of(1))) << "its share is here already";
  EXPECT_FALSE(joined(group, rank_of(0))) << "the leader's own";
  EXPECT_FALSE(joined(group, rank_of(3))) << "there are three";
  auto other = rank_of(2);
  other.payload_xxh64 = 8;
  EXPECT_FALSE(joined(group, other)) << "another engine";
  other = rank_of(2);
  other.sequences = 5;
  EXPECT_FALSE(joined(group, other));
  EXPECT_TRUE(joined(group, rank_of(2)));
  EXPECT_TRUE(group.meet("")) << "all are here: nowhere to meet is needed";
}

TEST(Ranks, LeaderWithoutAPlaceToMeetSaysWhatIsMissing) {
  rank_group group;
  group.expect(leader());
  const auto met = group.meet("");
  ASSERT_FALSE(met);
  EXPECT_EQ(met.failure().code, "rank_gone");
}

TEST(Ranks, LinkRefusesWhatIsNoFrame) {
  auto ends = rank_link::pair();
  ASSERT_TRUE(ends);
  const std::vector<char> most(limits::rank_frame_bytes_max);
  std::thread sender([&] {
    EXPECT_TRUE(ends->second.send(rank_frame::logits, most.data(), most.size()));
    EXPECT_TRUE(ends->second.send(static_cast<rank_frame>(99), nullptr, 0));
  });
  const auto whole = ends->first.receive(limits::rank_step_ms);
  ASSERT_TRUE(whole);
  EXPECT_EQ(whole->bytes.size(), most.size());
  EXPECT_FALSE(ends->first.receive(limits::rank_step_ms)) << "a kind that is none";
  sender.join();
}

TEST(Ranks, LinkRefusesFramesBeyondTheLimit) {
  auto ends = rank_link::pair();
  ASSERT_TRUE(ends);
  std::thread sender([&] {
    const std::vector<char> more(limits::rank_frame_bytes_max + 1);
    (void)ends->second.send(rank_frame::logits, more.data(), more.size());
  });
  EXPECT_FALSE(ends->first.receive(limits::rank_step_ms));
  ends->first.shut(); // The sender sees it and gives up.
  sender.join();
}

TEST(Ranks, LinkThatClosesIsNoticedAtOnce) {
  auto ends = rank_link::pair();
  ASSERT_TRUE(ends);
  ends->second.shut();
  const auto got = ends->first.receive(limits::rank_step_ms);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.failure().code, "rank_gone");
}

TEST(Ranks, DialledLeaderIsMet) {
  auto door = rank_door::open("127.0.0.1:0");
  ASSERT_TRUE(door) << door.failure().message;
  EXPECT_FALSE(door->accept(1)) << "nobody came";
  EXPECT_FALSE(rank_door::open("127.0.0.1:none"));
}

TEST(RanksDeathTest, LeaderEndsWithTheRankThatIsGone) {
  EXPECT_EXIT(
      {
        rank_group group;
        group.expect(leader());
        (void)joined(group, rank_of(1)); // Its other end is closed by now.
        group.forget_all();
        group.forget_all();
      },
      ::testing::ExitedWithCode(71), "ends with any of them");
}

} // namespace

} // namespace consort::reference
