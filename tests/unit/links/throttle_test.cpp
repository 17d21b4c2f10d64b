// SPDX-License-Identifier: Apache-2.0
#include "links/throttle.hpp"

#include <gtest/gtest.h>

namespace consort::links {
namespace {

constexpr time_us began = 1'000'000;
constexpr duration_us second = limits::second_us;

TEST(TokenBucket, GivesItsBurstThenItsRate) {
  token_bucket bucket(100, 10);
  for (int at = 0; at < 10; ++at)
    EXPECT_TRUE(bucket.try_take(1, began));
  EXPECT_FALSE(bucket.try_take(1, began));
  EXPECT_FALSE(bucket.try_take(1, began + 9'999)) << "one token takes 10 ms";
  EXPECT_TRUE(bucket.try_take(1, began + 10'000));
  EXPECT_FALSE(bucket.try_take(1, began + 10'000));
}

TEST(TokenBucket, DebtIsWaitedOff) {
  token_bucket bucket(1'000, 100);
  bucket.take(600, began);
  const auto span = bucket.wait(began);
  EXPECT_GE(span, 500'000) << "500 over, at 1,000 a second";
  EXPECT_LE(span, 520'000);
  EXPECT_EQ(bucket.wait(began + span), 0);
  EXPECT_TRUE(bucket.try_take(1, began + span)) << "with some credit to go on";
}

TEST(TokenBucket, IsFullAgainAfterAnyQuietTime) {
  token_bucket bucket(limits::bytes_per_s, limits::bytes_burst);
  bucket.take(limits::bytes_burst, began);
  EXPECT_FALSE(bucket.full(began + second));
  const time_us century = began + duration_us{100} * 366 * 24 * 3'600 * second;
  EXPECT_TRUE(bucket.full(century));
  EXPECT_TRUE(bucket.try_take(limits::bytes_burst, century));
  EXPECT_FALSE(bucket.try_take(1, century)) << "never more than the burst";
}

TEST(TokenBucket, AClockThatStepsBackGivesNothing) {
  token_bucket bucket(1'000, 1);
  EXPECT_TRUE(bucket.try_take(1, began));
  EXPECT_FALSE(bucket.try_take(1, began - second));
  EXPECT_TRUE(bucket.try_take(1, began + 1'000));
}

TEST(TokenBucket, TellsWhenSoMuchIsThere) {
  token_bucket bucket(3, 10);
  EXPECT_EQ(bucket.until(10, began), 0);
  bucket.take(10, began);
  const auto span = bucket.until(2, began);
  EXPECT_EQ(span, 666'667) << "two of three a second, rounded up";
  EXPECT_FALSE(bucket.has(2, began + span - 1));
  EXPECT_TRUE(bucket.has(2, began + span));
}

TEST(TokenBucket, TakesTheRestWithoutDebt) {
  token_bucket bucket(1'000, 5);
  bucket.take_rest(3, began);
  EXPECT_TRUE(bucket.has(2, began));
  bucket.take_rest(3, began);
  EXPECT_FALSE(bucket.has(1, began));
  EXPECT_TRUE(bucket.has(1, began + 1'000)) << "nothing is owed";
}

TEST(Throttle, FramesAndBytesEachMakeAPause) {
  limits::limit_set limits;
  limits.frames_rate = limits.frames_at_once = 100;
  limits.bytes_rate = limits.bytes_at_once = 10'000;
  throttle frames(limits);
  frames.received(150, 1, began);
  EXPECT_GE(frames.pause(began), second / 2);
  throttle bytes(limits);
  bytes.received(1, 20'000, began);
  EXPECT_GE(bytes.pause(began), second);
  throttle neither(limits);
  neither.received(100, 10'000, began);
  EXPECT_EQ(neither.pause(began), 0) << "the burst itself is allowed";
}

/// A peer at twice its rate is paused half of the time; it is cut when the pauses add up.
TEST(Throttle, APeerThatNeverCalmsDownIsAbuse) {
  limits::limit_set limits;
  limits.frames_rate = limits.frames_at_once = 1'000;
  limits.pauses = 2 * second;
  throttle busy(limits);
  time_us now = began;
  int rounds = 0;
  for (; !busy.abused() && rounds < 1'000; ++rounds) {
    busy.received(200, 0, now);
    now += 100'000 + busy.pause(now);
  }
  EXPECT_LT(rounds, 40);
  EXPECT_GT(now - began, 3 * second) << "not at once, either";
}

TEST(Throttle, ACalmMomentForgivesEarlierPauses) {
  limits::limit_set limits;
  limits.frames_rate = limits.frames_at_once = 1'000;
  limits.pauses = second;
  throttle bursts(limits);
  time_us now = began;
  for (int round = 0; round < 100; ++round) {
    bursts.received(1'500, 0, now);
    EXPECT_GT(bursts.pause(now), 0);
    now += 10 * second;
  }
  EXPECT_FALSE(bursts.abused());
}

/// Sends twice `per_s` until it is abused or a minute is over. Returns: when.
time_us flood(throttle& of, std::int64_t per_s) {
  time_us now = began;
  while (!of.abused() && now < began + 60 * second) {
    of.received(per_s, 0, now);
    now += second / 2;
    now += of.pause(now);
  }
  return now;
}

TEST(Throttle, TheDefaultsAreReached) {
  const limits::limit_set usual;
  throttle frames(usual);
  frames.received(limits::frames_burst, 0, began);
  EXPECT_EQ(frames.pause(began), 0);
  frames.received(1, 0, began);
  EXPECT_GT(frames.pause(began), 0);
  throttle bytes(usual);
  bytes.received(1, limits::bytes_burst, began);
  EXPECT_EQ(bytes.pause(began), 0);
  bytes.received(1, 1, began);
  EXPECT_GT(bytes.pause(began), 0);
  throttle of_node(usual);
  of_node.narrow(token_bucket(usual.node_frames_rate, usual.node_frames_at_once),
                 usual.node_pauses);
  of_node.received(limits::node_frames_burst, 0, began);
  EXPECT_EQ(of_node.pause(began), 0);
  of_node.received(1, 0, began);
  EXPECT_GT(of_node.pause(began), 0);
  EXPECT_GT(flood(of_node, limits::node_frames_per_s), began + limits::node_pauses_us_max);
  EXPECT_TRUE(of_node.abused());
  throttle restless(usual);
  EXPECT_GT(flood(restless, limits::frames_per_s), began + limits::pauses_us_max);
  EXPECT_TRUE(restless.abused());
}

TEST(Throttle, ARateJustBelowTheLimitIsNeverPaused) {
  limits::limit_set limits;
  throttle steady(limits);
  time_us now = began;
  for (int round = 0; round < 20'000; ++round, now += 1'000) {
    steady.received(limits::frames_per_s / 1'000, limits::bytes_per_s / 1'001, now);
    ASSERT_EQ(steady.pause(now), 0);
  }
}

} // namespace
} // namespace consort::links
