// SPDX-License-Identifier: Apache-2.0
// Goal: a stage's server that fails is left alone for a while, told once, and tried again by one.
#include "node/runtimes/stage_watch.hpp"

#include <algorithm>
#include <gtest/gtest.h>

namespace consort::node {
namespace {

constexpr time_us start = 1'000 * limits::second_us;

class StageWatch : public ::testing::Test {
protected:
  StageWatch() { watch.place("h:1"); }
  void fail(time_us now) {
    EXPECT_TRUE(watch.may_ask(now));
    watch.failed(now, "no route");
  }
  void give_up(time_us now) {
    for (int i = 0; i < limits::stage_failures_max; ++i)
      fail(now);
  }
  stage_watch watch{"prefill"};
};

TEST_F(StageWatch, GivesUpAfterSomeInARowAndSaysItOnce) {
  for (int i = 1; i < limits::stage_failures_max; ++i)
    fail(start);
  EXPECT_FALSE(watch.given_up());
  EXPECT_EQ(watch.missed(), "prefill server h:1 not reached: answers come without it (no route)");
  EXPECT_EQ(watch.take_news(), "");
  fail(start);
  EXPECT_TRUE(watch.given_up());
  EXPECT_EQ(watch.told_until(), start + limits::stage_pause_us + limits::stage_trial_us);
  EXPECT_EQ(watch.take_news(), watch.missed());
  EXPECT_EQ(watch.take_news(), "");
  EXPECT_FALSE(watch.may_ask(start + limits::stage_pause_us - 1));
  EXPECT_EQ(watch.missed_total(), static_cast<std::uint64_t>(limits::stage_failures_max) + 1);
}

TEST_F(StageWatch, AnAnswerBetweenBeginsTheCountAnew) {
  for (int i = 0; i < 2 * limits::stage_failures_max; ++i) {
    fail(start);
    EXPECT_TRUE(watch.may_ask(start));
    watch.answered();
  }
  EXPECT_FALSE(watch.given_up());
  EXPECT_EQ(watch.told_until(), 0);
  EXPECT_EQ(watch.missed(), "");
}

TEST_F(StageWatch, OneTriesItAgainAndThePauseDoubles) {
  give_up(start);
  auto now = start + limits::stage_pause_us;
  EXPECT_TRUE(watch.may_ask(now));
  EXPECT_FALSE(watch.may_ask(now)) << "one is enough";
  watch.left();
  EXPECT_TRUE(watch.may_ask(now)) << "nobody knows by one that left";
  watch.failed(now, "no route");
  EXPECT_FALSE(watch.may_ask(now + 2 * limits::stage_pause_us - 1));
  auto pause = 2 * limits::stage_pause_us;
  for (int i = 0; i < 10; ++i) {
    now += pause;
    fail(now);
    pause = std::min(2 * pause, limits::stage_pause_us_max);
  }
  EXPECT_FALSE(watch.may_ask(now + limits::stage_pause_us_max - 1));
  static_cast<void>(watch.take_news());
  EXPECT_TRUE(watch.may_ask(now + limits::stage_pause_us_max));
  watch.answered();
  EXPECT_FALSE(watch.given_up());
  EXPECT_EQ(watch.take_news(), "prefill server h:1 answers again");
}

TEST_F(StageWatch, ThoseUnderWayWhenItIsGivenUpPauseItOnce) {
  for (int i = 0; i < 50; ++i)
    EXPECT_TRUE(watch.may_ask(start));
  for (int i = 0; i < 50; ++i)
    watch.failed(start + i, "no route");
  EXPECT_TRUE(watch.may_ask(start + limits::stage_failures_max + limits::stage_pause_us));
}

TEST_F(StageWatch, IsLeftAloneForAsLongAsItAsks) {
  EXPECT_TRUE(watch.may_ask(start));
  watch.failed(start, "full", 40 * limits::second_us);
  EXPECT_FALSE(watch.may_ask(start + 40 * limits::second_us - 1));
  EXPECT_TRUE(watch.may_ask(start + 40 * limits::second_us));
  watch.failed(start, "full", 1'000'000 * limits::second_us);
  EXPECT_TRUE(watch.may_ask(start + limits::server_closed_us_max)) << "no more is believed";
}

TEST(StageWait, GrowsWithThePromptWithinItsBounds) {
  EXPECT_EQ(stage_wait(100, 0), limits::stage_wait_us) << "of unknown speed";
  EXPECT_EQ(stage_wait(48'000, 12'000),
            limits::stage_wait_us + limits::stage_wait_factor * limits::second_us);
  EXPECT_EQ(stage_wait(64'000'000, 1), limits::stage_wait_us_max);
}

} // namespace
} // namespace consort::node
