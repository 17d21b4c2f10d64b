// SPDX-License-Identifier: Apache-2.0
#include "links/holds.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace consort::links {
namespace {

constexpr time_us begin_us = 5'000'000;

peer_identity node(const std::string& name) {
  return {"lab", peer_role::node, name, "", 0};
}

limits::limit_set small() {
  limits::limit_set limits;
  limits.joins_rate = 1;
  limits.joins_at_once = 3;
  limits.offences_rate = 1;
  limits.offences_at_once = 2;
  limits.hold_first = 1'000;
  limits.hold_longest = 4'000;
  return limits;
}

std::string code_of(const std::optional<error>& refusal) {
  return refusal ? refusal->code : "";
}

TEST(Holds, AnOffenceIsHeldAgainstItsNameOnly) {
  holds known(small());
  known.offended(node("a"), begin_us);
  EXPECT_EQ(code_of(known.judge_join(node("a"), begin_us)), "held_off");
  EXPECT_EQ(code_of(known.held(node("a"), begin_us + 999)), "held_off");
  EXPECT_EQ(code_of(known.held(node("a"), begin_us + 1'000)), "");
  EXPECT_EQ(code_of(known.judge_join(node("b"), begin_us)), "");
  auto gateway = node("a");
  gateway.role = peer_role::gateway;
  EXPECT_EQ(code_of(known.held(gateway, begin_us)), "");
}

TEST(Holds, ThoseThatAreHeldNowAreNamed) {
  holds known(small());
  known.offended(node("a"), begin_us);
  known.slipped(node("b"), begin_us);
  const auto now = known.held_now(begin_us + 400);
  ASSERT_EQ(now.size(), 1U);
  EXPECT_EQ(now.front().role, peer_role::node);
  EXPECT_EQ(now.front().name, "a");
  EXPECT_EQ(now.front().left_us, 600);
  EXPECT_TRUE(known.held_now(begin_us + 1'000).empty());
}

TEST(Holds, EachHoldIsLongerUpToTheLongestAndPeaceForgives) {
  holds known(small());
  time_us now = begin_us;
  for (const duration_us span : {1'000, 2'000, 4'000, 4'000}) {
    known.offended(node("a"), now);
    known.offended(node("a"), now + 1); // Of the same flood.
    EXPECT_EQ(code_of(known.held(node("a"), now + span - 1)), "held_off") << span;
    now += span;
    EXPECT_EQ(code_of(known.held(node("a"), now)), "") << span;
  }
  now += small().hold_longest;
  known.offended(node("a"), now);
  EXPECT_EQ(code_of(known.held(node("a"), now + 1'000)), "");
}

TEST(Holds, AFewSlipsAreForgiven) {
  holds known(small());
  known.slipped(node("a"), begin_us);
  known.slipped(node("a"), begin_us);
  EXPECT_EQ(code_of(known.held(node("a"), begin_us)), "");
  known.slipped(node("a"), begin_us);
  EXPECT_EQ(code_of(known.held(node("a"), begin_us)), "held_off");
}

TEST(Holds, ANameJoinsSoOftenAndNoMore) {
  holds known(small());
  for (int at = 0; at < 3; ++at)
    EXPECT_EQ(code_of(known.judge_join(node("a"), begin_us)), "");
  EXPECT_EQ(code_of(known.judge_join(node("a"), begin_us)), "joins_too_often");
  EXPECT_EQ(code_of(known.judge_join(node("a"), begin_us + limits::second_us)), "");
}

TEST(Holds, TheDefaultsAreReached) {
  holds known(limits::limit_set{});
  for (std::int64_t more = 0; more < limits::joins_burst; ++more)
    EXPECT_EQ(code_of(known.judge_join(node("a"), begin_us)), "");
  EXPECT_EQ(code_of(known.judge_join(node("a"), begin_us)), "joins_too_often");
  EXPECT_EQ(
      code_of(known.judge_join(node("a"), begin_us + limits::second_us / limits::joins_per_s)), "");
  for (std::int64_t more = 0; more < limits::offences_burst; ++more)
    known.slipped(node("b"), begin_us);
  EXPECT_EQ(code_of(known.held(node("b"), begin_us)), "") << "so many are forgiven";
  known.slipped(node("b"), begin_us);
  time_us now = begin_us;
  for (duration_us span = limits::hold_first_us; span < 2 * limits::hold_max_us; span *= 2) {
    now += std::min(span, limits::hold_max_us);
    EXPECT_EQ(code_of(known.held(node("b"), now - 1)), "held_off") << span;
    EXPECT_EQ(code_of(known.held(node("b"), now)), "") << span;
    known.offended(node("b"), now);
  }
}

TEST(Holds, RemembersABoundedNumberOfNames) {
  holds known(small());
  for (std::size_t at = 0; at < limits::holders_max; ++at)
    known.offended(node(std::to_string(at)), begin_us);
  known.offended(node("one more"), begin_us);
  EXPECT_EQ(code_of(known.held(node("one more"), begin_us)), "");
  known.offended(node("one more"), begin_us + limits::second_us); // The others are over.
  EXPECT_EQ(code_of(known.held(node("one more"), begin_us + limits::second_us)), "held_off");
  EXPECT_EQ(known.names(), 1U);
}

TEST(Holds, WhatPeersOfOursNeverDoIsAnOffence) {
  for (const auto* code : {"peer_too_fast", "wrong_kind", "wrong_name", "bad_frame"})
    EXPECT_TRUE(is_offence(code)) << code;
  for (const auto* code : {"link_lost", "link_silent", "peer_too_slow", "stopping", "link_closed"})
    EXPECT_FALSE(is_offence(code)) << code;
}

} // namespace
} // namespace consort::links
