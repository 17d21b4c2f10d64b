// SPDX-License-Identifier: Apache-2.0
#include "node/energy_book.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace consort::node::test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr time_us tick = 1'000'000;

attempt_id numbered(std::uint64_t number) {
  return {{gateway_id(1), number}, 1};
}

device_spec named(const char* id) {
  device_spec made;
  made.id = device_id(id);
  return made;
}

allocation shares_of(std::initializer_list<const char*> devices) {
  allocation made;
  for (const auto* device : devices)
    made.shares.push_back({device_id(device), true, 0});
  return made;
}

/// Two boards of 10 W that nobody used for a second, then 30 W and 20 W more for another, with one
/// attempt in each of these seconds at the boards named.
class EnergyBook : public ::testing::Test {
protected:
  void rest() {
    for (int second = 0; second < 2; ++second)
      read(second, second * 10'000U, second * 10'000U);
  }
  void read(time_us second, std::uint64_t first_mj, std::uint64_t second_mj) {
    book_.read(first_, 10'000, second * tick, first_mj);
    book_.read(second_, 10'000, second * tick, second_mj);
  }

  const device_id first_{"n/gpu0"}, second_{"n/gpu1"};
  energy_book book_;
};

TEST_F(EnergyBook, AnAttemptDrawsFromAllDevicesOfItsInstance) {
  rest();
  book_.begin(numbered(1), {first_, second_}, tick);
  book_.begin(numbered(2), {second_}, tick);
  read(2, 10'000 + 40'000, 10'000 + 30'000);
  EXPECT_EQ(book_.end(numbered(1), 2 * tick), 30'000U + 10'000U) << "one whole, one by half";
  EXPECT_EQ(book_.end(numbered(2), 2 * tick), 10'000U);
  EXPECT_EQ(book_.end(numbered(2), 2 * tick), std::nullopt) << "it ended before";
}

TEST_F(EnergyBook, OneMeterThatDoesNotKnowLeavesTheSumUnknown) {
  rest();
  book_.begin(numbered(1), {first_, device_id("n/npu0")}, tick);
  book_.begin(numbered(2), {}, tick);
  read(2, 50'000, 20'000);
  EXPECT_EQ(book_.end(numbered(1), 2 * tick), std::nullopt);
  EXPECT_EQ(book_.end(numbered(2), 2 * tick), std::nullopt) << "no meter at all";
  const auto& split = book_.read(first_, 10'000, 3 * tick, 60'000);
  EXPECT_EQ(split.charged_mj(), 30'000U) << "what it drew of the first is its all the same";
}

TEST_F(EnergyBook, AMeterThatBeginsAnewIsForgottenWithWhoRuns) {
  rest();
  book_.begin(numbered(1), {first_}, tick);
  book_.forget(first_);
  book_.read(first_, 10'000, 2 * tick, 0);
  const auto& split = book_.read(first_, 10'000, 3 * tick, 15'000);
  EXPECT_EQ(split.idle_mj().value_or(0) + split.charged_mj().value_or(0), 15'000U);
  EXPECT_EQ(book_.end(numbered(1), 3 * tick), std::nullopt);
}

TEST_F(EnergyBook, WhatWasNotReadIsUnknownAndAMeterThatNobodyHasIsNotMade) {
  book_.skip(first_, tick);
  rest();
  book_.begin(numbered(1), {first_}, tick);
  book_.skip(first_, 31 * tick);
  const auto& split = book_.read(first_, 10'000, 32 * tick, 10'000 + 40'000);
  EXPECT_EQ(split.charged_mj(), 30'000U) << "40 W for the second after the gap";
  EXPECT_EQ(book_.end(numbered(1), 32 * tick), std::nullopt);
}

TEST(MetersOf, APartitionsPowerIsItsBoardsAndAStagedDevicesItsMembers) {
  std::vector<device_spec> here{named("n/gpu0"), named("n/gpu0.0"), named("n/gpu0.1"),
                                named("n/hybrid0"), named("n/npu0")};
  here[1].parent = here[2].parent = device_id("n/gpu0");
  here[3].stages.prefill = device_id("n/gpu0");
  here[3].stages.decode = device_id("n/npu0");
  EXPECT_THAT(meters_of(shares_of({"n/npu0"}), here), ElementsAre(device_id("n/npu0")));
  EXPECT_THAT(meters_of(shares_of({"n/gpu0.0", "n/gpu0.1"}), here),
              ElementsAre(device_id("n/gpu0")))
      << "once";
  EXPECT_THAT(meters_of(shares_of({"n/hybrid0"}), here),
              ElementsAre(device_id("n/gpu0"), device_id("n/npu0")));
  for (const auto& one : here)
    EXPECT_EQ(is_meter(one), one.parent.empty() && one.id.value != "n/hybrid0") << one.id.value;
}

TEST(MetersOf, AnInstanceOverSeveralNodesHasNone) {
  EXPECT_THAT(meters_of(shares_of({"n/gpu0", "m/gpu0"}), {named("n/gpu0")}), IsEmpty());
}

} // namespace
} // namespace consort::node::test
