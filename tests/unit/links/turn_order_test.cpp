// SPDX-License-Identifier: Apache-2.0
#include "links/turn_order.hpp"

#include <gmock/gmock.h>

namespace consort::links {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr time_us arrival = 5'000'000;
constexpr duration_us one_refill = 100'000; ///< At 10 a second.

class TurnOrder : public ::testing::Test {
protected:
  static limits::limit_set small() {
    limits::limit_set limits;
    limits.address_handshakes = 2;
    limits.strangers_rate = 10;
    limits.strangers_at_once = 3;
    return limits;
  }
  /// One of that address comes, and whoever may begins. Returns: who does.
  std::vector<turn_order::id> come(turn_order::id one, const std::string& key,
                                   time_us now = arrival) {
    order_.enter(one, key);
    return order_.call(now);
  }
  std::vector<turn_order::id> go(turn_order::id one, bool well, time_us now = arrival) {
    order_.leave(one, well);
    return order_.call(now);
  }
  /// All that strangers may do at once is done, by handshakes that hang.
  void exhaust(turn_order::id first) {
    for (std::int64_t more = 0; more < small().strangers_at_once; ++more, ++first)
      ASSERT_THAT(come(first, "hanging " + std::to_string(more)), ElementsAre(first));
  }

  turn_order order_{small()};
};

TEST_F(TurnOrder, AnAddressHasSoManyTurnsAtATime) {
  EXPECT_THAT(come(1, "a"), ElementsAre(1));
  EXPECT_THAT(come(2, "a"), ElementsAre(2));
  EXPECT_THAT(come(3, "a"), IsEmpty());
  EXPECT_THAT(come(4, "a"), IsEmpty());
  EXPECT_THAT(go(2, true), ElementsAre(3)) << "first come, first served";
  EXPECT_THAT(come(5, "b"), ElementsAre(5)) << "others do not wait for that";
}

TEST_F(TurnOrder, WhoGivesUpIsNotCalled) {
  for (turn_order::id one = 1; one <= 4; ++one)
    (void)come(one, "a");
  EXPECT_THAT(go(3, false), IsEmpty());
  EXPECT_THAT(go(1, true), ElementsAre(4));
  EXPECT_THAT(go(77, true), IsEmpty()) << "nobody";
}

TEST_F(TurnOrder, StrangersThatHangOrFailAreBoundedByARate) {
  exhaust(1);
  EXPECT_THAT(come(4, "a"), IsEmpty());
  EXPECT_EQ(order_.next(arrival), one_refill);
  EXPECT_THAT(go(1, false), IsEmpty()) << "what failed was spent";
  EXPECT_THAT(order_.call(arrival + one_refill - 1), IsEmpty());
  EXPECT_THAT(order_.call(arrival + one_refill), ElementsAre(4));
  EXPECT_EQ(order_.next(arrival + one_refill), std::nullopt) << "nobody waits";
}

TEST_F(TurnOrder, StrangersInGoodOrderAreNotBound) {
  for (turn_order::id one = 1; one <= 100; ++one) {
    ASSERT_THAT(come(one, std::to_string(one)), ElementsAre(one));
    ASSERT_THAT(go(one, true), IsEmpty());
  }
}

TEST_F(TurnOrder, AKnownAddressIsNoStranger) {
  (void)come(1, "a");
  (void)go(1, true);
  exhaust(2);
  EXPECT_THAT(come(5, "a"), ElementsAre(5));
  EXPECT_THAT(come(6, "a"), ElementsAre(6));
  EXPECT_THAT(come(7, "a"), IsEmpty()) << "but so many at a time";
  EXPECT_THAT(go(5, true), ElementsAre(7));
}

TEST_F(TurnOrder, AKnownAddressThatFailsIsAStrangerAgain) {
  (void)come(1, "a");
  (void)go(1, true);
  exhaust(2);
  (void)come(5, "a");
  (void)go(5, false);
  EXPECT_THAT(come(6, "a"), IsEmpty());
  EXPECT_THAT(order_.call(arrival + one_refill), ElementsAre(6));
}

TEST_F(TurnOrder, TheNewestThatWasNeverServedComesFirst) {
  exhaust(1);
  (void)come(4, "crowd 1");
  (void)come(5, "crowd 2");
  (void)come(6, "good");
  (void)go(1, false);
  EXPECT_THAT(come(7, "hanging 0"), IsEmpty()) << "newer, but was served";
  EXPECT_THAT(order_.call(arrival + one_refill), ElementsAre(6));
  EXPECT_THAT(order_.call(arrival + 2 * one_refill), ElementsAre(5));
  EXPECT_THAT(order_.call(arrival + 3 * one_refill), ElementsAre(4));
  EXPECT_THAT(order_.call(arrival + 4 * one_refill), ElementsAre(7));
}

TEST_F(TurnOrder, StrangersThatWereServedTakeTurns) {
  const auto at = [](int refills) { return arrival + refills * one_refill; };
  exhaust(1);
  (void)come(4, "a");
  (void)come(5, "b");
  EXPECT_THAT(order_.call(at(1)), ElementsAre(5));
  EXPECT_THAT(order_.call(at(2)), ElementsAre(4));
  (void)come(6, "a", at(2));
  (void)come(7, "b", at(2));
  EXPECT_THAT(order_.call(at(3)), ElementsAre(7)) << "a was served later";
  EXPECT_THAT(order_.call(at(4)), ElementsAre(6));
}

TEST_F(TurnOrder, TheDefaultsAreReached) {
  turn_order order(limits::limit_set{});
  turn_order::id last = 0;
  const auto comes = [&](const std::string& key) {
    order.enter(++last, key);
    return order.call(arrival).size();
  };
  for (std::size_t more = 0; more < limits::address_handshakes_max; ++more)
    EXPECT_EQ(comes("a"), 1U);
  EXPECT_EQ(comes("a"), 0U) << "its turns are taken";
  const auto left
      = limits::strangers_burst - static_cast<std::int64_t>(limits::address_handshakes_max);
  for (std::int64_t more = 0; more < left; ++more)
    EXPECT_EQ(comes(std::to_string(more)), 1U);
  EXPECT_EQ(comes("b"), 0U) << "strangers have had theirs";
  EXPECT_EQ(order.next(arrival), limits::second_us / limits::strangers_per_s);
}

TEST_F(TurnOrder, RemembersABoundedNumberAndTheKnownLongest) {
  turn_order order(limits::limit_set{});
  turn_order::id last = 0;
  const auto visit = [&](const std::string& key, bool well) {
    order.enter(++last, key);
    (void)order.call(arrival);
    order.leave(last, well);
    EXPECT_LE(order.addresses(), limits::addresses_max);
  };
  visit("known", true);
  for (std::size_t more = 0; more < 2 * limits::addresses_max; ++more)
    visit("stranger " + std::to_string(more), false);
  order.enter(++last, "known");
  EXPECT_THAT(order.call(arrival), ElementsAre(last)) << "strangers have had their turns";
  order.leave(last, true);
  for (std::size_t more = 0; more < 2 * limits::addresses_max; ++more) {
    order.enter(++last, "also known " + std::to_string(more));
    (void)order.call(arrival + static_cast<time_us>(more + 1) * limits::second_us);
    order.leave(last, true);
    ASSERT_LE(order.addresses(), limits::addresses_max);
  }
}

} // namespace
} // namespace consort::links
