// SPDX-License-Identifier: Apache-2.0
// The dialling state machine, with waits drawn from seeded generators.
#include "links/backoff.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace consort::links {
namespace {

constexpr backoff_settings settings{100'000, 3'000'000};

backoff made(std::uint64_t seed) {
  return {settings, core::prng(seed)};
}

duration_us fail(backoff& machine) {
  machine.begin();
  return machine.ended();
}

TEST(Backoff, GoesThroughItsStates) {
  auto machine = made(1);
  EXPECT_EQ(machine.state(), dial_state::waiting);
  machine.begin();
  EXPECT_EQ(machine.state(), dial_state::dialling);
  machine.established();
  EXPECT_EQ(machine.state(), dial_state::greeting);
  machine.welcomed();
  EXPECT_EQ(machine.state(), dial_state::linked);
  EXPECT_GT(machine.ended(), 0);
  EXPECT_EQ(machine.state(), dial_state::waiting);
}

TEST(Backoff, WhatMakesNoSenseChangesNothing) {
  auto machine = made(2);
  machine.established();
  machine.welcomed();
  machine.refused();
  EXPECT_EQ(machine.state(), dial_state::waiting);
  machine.begin();
  machine.begin();
  machine.welcomed();
  machine.refused();
  EXPECT_EQ(machine.state(), dial_state::dialling);
  EXPECT_LE(machine.ended(), settings.first) << "the refusal came before there was a link";
}

TEST(Backoff, WaitsDoubleUpToTheCapAndStayThere) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    auto machine = made(seed);
    auto longest = settings.first;
    for (int round = 0; round < 100; ++round) {
      const auto wait = fail(machine);
      ASSERT_GE(wait, longest / 4) << seed;
      ASSERT_LE(wait, longest) << seed;
      longest = std::min(2 * longest, settings.max);
    }
  }
}

TEST(Backoff, NeverGivesUpAndNeverOverflows) {
  auto machine = made(3);
  for (int round = 0; round < 100'000; ++round) {
    const auto wait = fail(machine);
    ASSERT_GT(wait, 0);
    ASSERT_LE(wait, settings.max);
  }
}

TEST(Backoff, OnlyAWelcomeForgetsFailures) {
  auto machine = made(4);
  for (int round = 0; round < 10; ++round)
    (void)fail(machine);
  machine.begin();
  machine.established();
  EXPECT_GE(machine.ended(), settings.max / 4) << "a link that was not welcomed is a failure";
  machine.begin();
  machine.established();
  machine.welcomed();
  EXPECT_LE(machine.ended(), settings.first);
}

TEST(Backoff, ARefusedPeerWaitsLongestAtOnce) {
  auto machine = made(5);
  machine.begin();
  machine.established();
  machine.refused();
  EXPECT_GE(machine.ended(), settings.max / 4);
  EXPECT_LE(fail(machine), 2 * settings.first) << "the refusal itself counts once";
}

TEST(Backoff, ARefusalOfALinkedPeerCountsToo) {
  auto machine = made(6);
  machine.begin();
  machine.established();
  machine.welcomed();
  machine.refused();
  EXPECT_GE(machine.ended(), settings.max / 4);
}

/// A scheduler restarts: its peers must not come back in the same instant.
TEST(Backoff, ManyPeersSpreadOut) {
  constexpr int peers = 1'000;
  constexpr int slots = 10;
  std::vector<int> arrivals(slots);
  for (int peer = 0; peer < peers; ++peer) {
    auto machine = made(static_cast<std::uint64_t>(peer));
    const auto wait = fail(machine);
    ++arrivals[static_cast<std::size_t>(wait * slots / (settings.first + 1))];
  }
  EXPECT_LT(*std::max_element(arrivals.begin(), arrivals.end()), peers / 5);
}

TEST(Backoff, EqualSeedsWaitEqually) {
  auto one = made(7);
  auto two = made(7);
  auto other = made(8);
  bool differs = false;
  for (int round = 0; round < 20; ++round) {
    const auto wait = fail(one);
    EXPECT_EQ(wait, fail(two));
    differs = differs || wait != fail(other);
  }
  EXPECT_TRUE(differs);
}

} // namespace
} // namespace consort::links
