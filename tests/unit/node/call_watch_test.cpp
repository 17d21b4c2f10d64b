// SPDX-License-Identifier: Apache-2.0
#include "node/host/call_watch.hpp"

#include <gtest/gtest.h>

namespace consort::node::test {
namespace {

using counts = call_watch::counts;

struct CallWatch : ::testing::Test {
  /// Looks every 10 us until `now`. Returns: what it last saw.
  const char* watch_until(time_us now, bool blameless = false) {
    const char* seen = nullptr;
    for (; at < now; at += 10)
      seen = watch.look(at + 10, blameless);
    return seen;
  }

  call_watch watch{100};
  time_us at = 1'000;
};

TEST_F(CallWatch, NamesACallThatDoesNotReturnWithinTheLimit) {
  watch.begin("cancel", counts::always, at);
  EXPECT_EQ(watch_until(1'090), nullptr);
  EXPECT_STREQ(watch_until(1'100), "cancel");
}

TEST_F(CallWatch, CallsThatReturnAndThoseThatNobodyBeganAreFine) {
  EXPECT_EQ(watch_until(5'000), nullptr);
  for (int call = 0; call < 5; ++call) {
    watch.begin("cancel", counts::always, at);
    EXPECT_EQ(watch_until(at + 90), nullptr) << "each has the limit for itself";
    watch.end();
  }
  EXPECT_EQ(watch_until(at + 1'000), nullptr);
}

TEST_F(CallWatch, CountersMayWaitForWhatRunsAndForNothingElse) {
  watch.request_taken();
  watch.request_taken();
  watch.begin("stats", counts::idle, at);
  EXPECT_EQ(watch_until(9'000), nullptr) << "a step may take long";
  watch.request_over();
  EXPECT_EQ(watch_until(9'500), nullptr) << "one still runs";
  watch.request_over();
  watch.request_over(); // Once too often: not below none.
  EXPECT_EQ(watch_until(9'590), nullptr);
  EXPECT_STREQ(watch_until(9'600), "stats");
}

TEST_F(CallWatch, ACancelDoesNotWaitForWhatRuns) {
  watch.request_taken();
  watch.begin("cancel", counts::always, at);
  EXPECT_STREQ(watch_until(1'100), "cancel");
}

TEST_F(CallWatch, WhatIsNotTheVendorsBeginsTheCountAnew) {
  watch.begin("cancel", counts::always, at);
  EXPECT_EQ(watch_until(1'090), nullptr);
  EXPECT_EQ(watch_until(3'000, true), nullptr);
  EXPECT_EQ(watch_until(3'090), nullptr);
  EXPECT_STREQ(watch_until(3'100), "cancel");
}

TEST_F(CallWatch, TimeInWhichNobodyLookedIsNobodysFault) {
  watch.begin("cancel", counts::always, at);
  EXPECT_EQ(watch.look(1'000'000, false), nullptr) << "the process was stopped";
  EXPECT_EQ(watch.look(1'000'040, false), nullptr);
  EXPECT_STREQ(watch.look(1'000'050, false), "cancel");
}

} // namespace
} // namespace consort::node::test
