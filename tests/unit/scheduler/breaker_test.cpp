// SPDX-License-Identifier: Apache-2.0
#include "scheduler/breaker.hpp"

#include "scheduler/limits.hpp"

#include <gtest/gtest.h>

namespace consort::core {

namespace {

breaker opened(time_us now) {
  breaker fuse;
  for (std::uint32_t i = 0; i < limits::breaker_failures; ++i)
    fuse.failed(now);
  return fuse;
}

TEST(Breaker, OpensAfterFaultsInARow) {
  breaker fuse;
  for (std::uint32_t i = 1; i < limits::breaker_failures; ++i)
    EXPECT_FALSE(fuse.failed(0));
  EXPECT_TRUE(fuse.admits());
  EXPECT_TRUE(fuse.failed(0));
  EXPECT_FALSE(fuse.admits());
}

TEST(Breaker, SuccessStartsTheCountAgain) {
  breaker fuse;
  fuse.failed(0);
  fuse.failed(0);
  fuse.succeeded();
  EXPECT_FALSE(fuse.failed(0));
  EXPECT_EQ(fuse.state(), breaker_state::closed);
}

TEST(Breaker, HalfOpenLetsOneThroughAndCloses) {
  auto fuse = opened(0);
  EXPECT_FALSE(fuse.wake(limits::breaker_open_min_us - 1));
  EXPECT_TRUE(fuse.wake(limits::breaker_open_min_us));
  EXPECT_TRUE(fuse.admits());
  fuse.started();
  EXPECT_FALSE(fuse.admits());
  fuse.succeeded();
  EXPECT_EQ(fuse.state(), breaker_state::closed);
}

TEST(Breaker, HalfOpenProbeThatFailsOpensForTwiceAsLong) {
  auto fuse = opened(0);
  const auto first = fuse.retry_at();
  fuse.wake(first);
  fuse.started();
  EXPECT_TRUE(fuse.failed(first));
  EXPECT_EQ(fuse.retry_at() - first, 2 * limits::breaker_open_min_us);
}

TEST(Breaker, CancelledProbeLetsAnotherTry) {
  auto fuse = opened(0);
  fuse.wake(fuse.retry_at());
  fuse.started();
  fuse.ended_undecided();
  EXPECT_TRUE(fuse.admits());
  EXPECT_EQ(word(fuse.state()), "half-open");
}

TEST(Breaker, OpenSpanIsBounded) {
  auto fuse = opened(0);
  time_us now = 0;
  for (int i = 0; i < 40; ++i) {
    now = fuse.retry_at();
    fuse.wake(now);
    fuse.started();
    fuse.failed(now);
  }
  EXPECT_EQ(fuse.retry_at() - now, limits::breaker_open_max_us);
}

TEST(Backoff, DoublesUpToItsBound) {
  EXPECT_EQ(backoff(10, 1'000, 0), 10);
  EXPECT_EQ(backoff(10, 1'000, 3), 80);
  EXPECT_EQ(backoff(10, 1'000, 4'000'000'000U), 1'000);
}

} // namespace

} // namespace consort::core
