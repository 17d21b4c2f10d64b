// SPDX-License-Identifier: Apache-2.0
// Goal: an engine that generates without its device is found out, and no other.
#include "node/use_watch.hpp"

#include "node/limits.hpp"

#include <gtest/gtest.h>

namespace consort::node {
namespace {

using limits::second_us;

device_reading idle(std::uint64_t power_mw = 75'000, std::uint32_t utilization_pm = 0) {
  device_reading read;
  read.power_mw = power_mw;
  read.utilization_pm = utilization_pm;
  return read;
}

/// What engines have done so far that run `running` sequences.
engine_counters made(std::uint64_t tokens, std::uint32_t running = 1) {
  engine_counters engines;
  engines.tokens = tokens;
  engines.sequences_running = running;
  return engines;
}

/// Readings two seconds apart, with 100 more tokens in each. Returns: at which one it is found out.
template <class Read>
int found_at(Read read_at, int readings = 20, std::uint64_t more = 100) {
  use_watch watch;
  for (int i = 0; i < readings; ++i)
    if (watch.look(i * 2 * second_us, made(static_cast<std::uint64_t>(i + 1) * more), read_at(i)))
      return i;
  return -1;
}

TEST(UseWatch, TokensWithoutWorkAreFoundOut) {
  EXPECT_EQ(found_at([](int) { return idle(); }), 3);
  EXPECT_EQ(found_at([](int i) { return idle(75'000 + 500 * static_cast<std::uint64_t>(i % 3)); }),
            3)
      << "idle power trembles";
  EXPECT_EQ(found_at([](int i) { return idle(75'000, i == 2 ? 300 : 0); }), 6)
      << "it worked in between";
}

TEST(UseWatch, WhoWorksOrMakesNothingIsLeftAlone) {
  EXPECT_EQ(found_at([](int) { return idle(75'000, 20); }), -1) << "a little is enough";
  EXPECT_EQ(found_at([](int i) { return idle(i == 0 ? 75'000 : 95'000); }), -1)
      << "its power says that it works";
  EXPECT_EQ(found_at([](int) { return idle(); }, 20, 0), -1);
  EXPECT_EQ(found_at([](int) { return device_reading{}; }), -1) << "nothing can be read";
}

TEST(UseWatch, RestBetweenShortRequestsIsNoFault) {
  use_watch watch;
  for (std::uint64_t i = 0; i < 20; ++i)
    EXPECT_FALSE(watch.look(static_cast<time_us>(i) * 2 * second_us,
                            made((i + 1) * 100, i % 3 == 0 ? 0 : 1), idle()))
        << "reading " << i;
}

TEST(UseWatch, ShortOfTheBoundsNothingIsSaid) {
  use_watch watch;
  std::uint64_t tokens = 0;
  for (int i = 0; i < 50; ++i)
    EXPECT_FALSE(watch.look(i * (limits::unused_us / 60), made(++tokens), idle()))
        << "not long enough";
  use_watch rare;
  EXPECT_FALSE(rare.look(0, made(1), idle()));
  EXPECT_FALSE(rare.look(100 * second_us, made(2), idle())) << "too few readings";
}

// --- engines that have opened the device ---

const std::set<instance_id> one_engine{instance_id{7}};
constexpr std::uint64_t held_mw = 115'000; // With a context open, of 75 W without: as recorded.

/// A device that rests, has an engine open that rests for `rests` readings, and is then read while
/// that generates, all two seconds apart. Returns: at which of the latter it is found out.
template <class Work>
int found_held(int rests, Work work_at, std::uint32_t rest_pm = 0) {
  use_watch watch;
  time_us now = 0;
  for (int i = 0; i < 3; ++i, now += 2 * second_us)
    EXPECT_FALSE(watch.look(now, engine_counters{}, idle()));
  for (int i = 0; i < rests; ++i, now += 2 * second_us)
    EXPECT_FALSE(watch.look(now, made(0, 0), idle(held_mw, rest_pm), 0, one_engine));
  for (int i = 0; i < 40; ++i, now += 2 * second_us)
    if (watch.look(now, made(static_cast<std::uint64_t>(i + 1) * 100), work_at(i), 0, one_engine))
      return i;
  return -1;
}

TEST(UseWatch, AnOpenContextIsNoWork) {
  const auto trembles
      = [](int i) { return idle(held_mw + 700 * static_cast<std::uint64_t>(i % 3)); };
  EXPECT_EQ(found_held(4, trembles), 10) << "20 s, eight readings at least";
  EXPECT_EQ(found_held(4, [](int i) { return idle(held_mw, i == 5 ? 300 : 0); }), 16)
      << "it worked in between";
}

TEST(UseWatch, WhatItsContextDrewLastCounts) {
  use_watch watch;
  time_us now = 0;
  for (const auto power_mw : {75'000U, 75'000U, 75'000U, 75'000U, 115'000U, 115'000U, 115'000U})
    EXPECT_FALSE(watch.look(now += 2 * second_us, made(0, 0), idle(power_mw), 0, one_engine));
  for (std::uint64_t i = 1; i < 20; ++i)
    EXPECT_FALSE(watch.look(now += 2 * second_us, made(i * 100), idle(held_mw), 0, one_engine))
        << "one of the four was lower";
  EXPECT_FALSE(watch.look(now += 2 * second_us, made(1'900, 0), idle(held_mw), 0, one_engine));
  int found = -1;
  for (int i = 0; i < 20 && found < 0; ++i)
    if (watch.look(now += 2 * second_us, made(2'000 + static_cast<std::uint64_t>(i)), idle(held_mw),
                   0, one_engine))
      found = i;
  EXPECT_EQ(found, 10);
}

TEST(UseWatch, WhoDrawsMoreThanItsContextIsLeftAlone) {
  EXPECT_EQ(found_held(4, [](int) { return idle(118'450); }), 10) << "3 % are trembling";
  EXPECT_EQ(found_held(4, [](int) { return idle(118'500); }), -1) << "its power says that it works";
  EXPECT_EQ(found_held(4, [](int) { return idle(held_mw, 10); }), -1) << "a little is enough";
  EXPECT_EQ(found_held(3, [](int) { return idle(held_mw); }), -1) << "hardly seen at rest";
  EXPECT_EQ(found_held(
                4, [](int) { return idle(held_mw); }, 300),
            -1)
      << "somebody else worked there";
}

TEST(UseWatch, WhatOneEngineDrawsSaysNothingOfAnother) {
  use_watch watch;
  time_us now = 0;
  EXPECT_FALSE(watch.look(now, engine_counters{}, idle()));
  for (int i = 0; i < 4; ++i)
    EXPECT_FALSE(watch.look(now += 2 * second_us, made(0, 0), idle(held_mw), 0, one_engine));
  const std::set<instance_id> both{instance_id{7}, instance_id{8}};
  for (std::uint64_t i = 1; i < 20; ++i)
    EXPECT_FALSE(watch.look(now += 2 * second_us, made(i * 100), idle(held_mw), 0, both));
}

// --- without utilization ---

constexpr std::uint64_t idle_mw = 40'000; // As the spec sheet says.

device_reading draws(std::uint64_t power_mw) {
  device_reading read;
  read.power_mw = power_mw;
  return read;
}

/// A board that rests for `rests` readings, then is read while its engine generates, all two
/// seconds apart. Returns: at which of the latter it is found out; -1 = never.
template <class Rest, class Work>
int found_blind(int rests, Rest rest_at, Work work_at, std::uint64_t sheet_mw = idle_mw) {
  use_watch watch;
  time_us now = 0;
  for (int i = 0; i < rests; ++i, now += 2 * second_us)
    EXPECT_FALSE(watch.look(now, engine_counters{}, rest_at(i), sheet_mw)) << "nothing runs";
  for (int i = 0; i < 40; ++i, now += 2 * second_us)
    if (watch.look(now, made(static_cast<std::uint64_t>(i + 1) * 100), work_at(i), sheet_mw))
      return i;
  return -1;
}

device_reading rest(int i) {
  return draws(36'000 + 300 * static_cast<std::uint64_t>(i % 3));
}

TEST(UseWatch, PowerAloneFindsItOutWhereNothingElseIsRead) {
  EXPECT_EQ(found_blind(4, rest, rest), 10) << "20 s, eight readings at least";
  EXPECT_EQ(found_blind(4, rest, [](int i) { return draws(i == 5 ? 60'000 : 36'500); }), 16)
      << "it worked in between";
  EXPECT_EQ(found_blind(4, rest, [](int) { return draws(39'600); }), 10) << "a tenth is trembling";
}

TEST(UseWatch, PowerAloneHasToBeKnownWell) {
  EXPECT_EQ(found_blind(3, rest, rest), -1) << "hardly seen at rest";
  EXPECT_EQ(found_blind(
                4, [](int) { return draws(36'000); }, [](int) { return draws(36'000); }),
            -1)
      << "a figure that never changes is none";
  EXPECT_EQ(found_blind(4, rest, [](int) { return draws(41'000); }), -1) << "it works a little";
  EXPECT_EQ(found_blind(4, rest, rest, 0), -1) << "nobody knows what rest is";
  EXPECT_EQ(found_blind(4, rest, rest, 17'000), -1) << "somebody else works there";
  EXPECT_EQ(found_blind(4, rest, [](int) { return device_reading{}; }), -1) << "no longer read";
}

TEST(UseWatch, AnEnergyCounterIsPowerToo) {
  std::uint64_t energy_mj = 5'000'000;
  const auto counted = [&](std::uint64_t power_mw) {
    device_reading read;
    energy_mj += power_mw * 2;
    read.energy_mj = energy_mj;
    return read;
  };
  const auto still = [&](int i) { return counted(36'000 + static_cast<std::uint64_t>(i % 2)); };
  EXPECT_EQ(found_blind(5, still, still), 10) << "the first reading tells no power";
  EXPECT_EQ(found_blind(5, still, [&](int) { return counted(90'000); }), -1);
  EXPECT_EQ(found_blind(5, still,
                        [&](int i) {
                          energy_mj = i == 0 ? 0 : energy_mj;
                          return counted(36'000);
                        }),
            11)
      << "a counter that began anew says nothing once";
}

} // namespace
} // namespace consort::node
