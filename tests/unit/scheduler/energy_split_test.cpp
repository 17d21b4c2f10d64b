// SPDX-License-Identifier: Apache-2.0
// Who drew what one meter counted: meters of known power, attempts of known times, and what adds
// up. Watts and seconds, so that a joule is a thousand of what the meter counts.
#include "scheduler/energy_split.hpp"

#include "scheduler/limits.hpp"
#include "scheduler/prng.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace consort::core {
namespace {

constexpr time_us second = limits::second_us;
constexpr std::uint64_t joule_uj = 1'000'000;

attempt_id attempt(std::uint64_t number) {
  return {{gateway_id(1), number}, 1};
}

class EnergySplit : public ::testing::Test {
protected:
  /// The meter after `watts` until then.
  void draw(double watts, double until_s) {
    meter_mj_ += watts * (until_s - now_s_) * 1'000;
    now_s_ = until_s;
  }
  void read() { split_.read(now(), static_cast<std::uint64_t>(std::llround(meter_mj_))); }
  void begin(std::uint64_t number) { split_.begin(attempt(number), now()); }
  std::optional<double> end(std::uint64_t number) {
    const auto told = split_.end(attempt(number), now());
    return told ? std::optional(static_cast<double>(*told) / joule_uj) : std::nullopt;
  }
  /// Ten idle seconds at 50 W, so that it is known what nobody draws.
  void rest() {
    read();
    draw(50, now_s_ + 10);
    read();
  }
  [[nodiscard]] time_us now() const { return std::llround(now_s_ * 1e6); }

  energy_split split_;
  double meter_mj_ = 7'000'000; ///< Meters count since long ago.
  double now_s_ = 100;
};

TEST_F(EnergySplit, WhatIsAboveIdlePowerIsChargedToWhoRan) {
  rest();
  EXPECT_EQ(split_.idle_mw(), 50'000U);
  begin(1);
  draw(150, 112);
  read();
  EXPECT_EQ(end(1), 200.0) << "100 W for two seconds";
  EXPECT_EQ(split_.charged_mj(), 200'000U);
  EXPECT_EQ(split_.idle_mj(), 600'000U) << "50 W for twelve seconds";
}

TEST_F(EnergySplit, EachMomentIsSharedByWhoIsThere) {
  rest();
  begin(1);
  draw(150, 112);
  begin(2);
  draw(150, 114);
  read();
  EXPECT_NEAR(end(1).value(), 300, 0.001) << "two seconds alone, two shared";
  EXPECT_NEAR(end(2).value(), 100, 0.001);
}

TEST_F(EnergySplit, WhoEndsBetweenReadingsIsToldByThePowerOfBefore) {
  rest();
  begin(1);
  draw(150, 112);
  read();
  draw(150, 113);
  EXPECT_NEAR(end(1).value(), 300, 0.001) << "two seconds read, one at 100 W as before";
}

TEST_F(EnergySplit, WhatWasToldWronglyIsMadeUpForByTheNext) {
  rest();
  begin(1);
  begin(2);
  draw(150, 112);
  read(); // 100 J each.
  draw(350, 114);
  const auto first = end(1).value();
  EXPECT_NEAR(first, 200, 0.001) << "half of 100 W for two seconds more, where 300 W were drawn";
  read(); // 300 J to the second, and 200 J are owed.
  EXPECT_NEAR(static_cast<double>(split_.owed_uj()) / joule_uj, 200, 0.01);
  draw(350, 116);
  read();
  EXPECT_NEAR(static_cast<double>(split_.owed_uj()) / joule_uj, 0, 0.01);
  const auto second_one = end(2).value();
  EXPECT_NEAR(first + second_one, static_cast<double>(*split_.charged_mj()) / 1'000, 0.01);
}

TEST_F(EnergySplit, NobodyMakesUpForMoreThanHalfOfWhatItDrewItself) {
  rest();
  begin(1);
  draw(1'050, 112);
  read();
  draw(50, 132);
  EXPECT_TRUE(end(1)) << "20 s at 1 kW, as before; nothing was drawn";
  begin(2);
  draw(150, 134);
  read(); // 200 J among them, of which the first had most.
  EXPECT_LT(split_.owed_uj(), -19'000 * std::int64_t{joule_uj});
  draw(150, 136);
  read();
  const auto told = end(2).value();
  EXPECT_GE(told, 100) << "at least half of 200 J";
  EXPECT_LT(told, 200);
}

TEST_F(EnergySplit, WhatIsOwedIsLetGoAfterARest) {
  rest();
  begin(1);
  draw(150, 112);
  read();
  draw(450, 114);
  EXPECT_TRUE(end(1));
  read();
  EXPECT_GT(split_.owed_uj(), 0);
  rest();
  EXPECT_EQ(split_.owed_uj(), 0);
  begin(2);
  draw(150, now_s_ + 1);
  read();
  EXPECT_NEAR(end(2).value(), 100, 0.001) << "not for what another drew before the rest";
}

TEST_F(EnergySplit, NothingIsKnownBeforeIdlePowerIs) {
  begin(1);
  read();
  draw(150, 102);
  read();
  EXPECT_EQ(split_.idle_mw(), std::nullopt);
  EXPECT_EQ(split_.charged_mj(), std::nullopt) << "unknown, not 0";
  EXPECT_EQ(split_.idle_mj(), std::nullopt);
  EXPECT_EQ(end(1), std::nullopt);
  rest();
  EXPECT_EQ(split_.idle_mj(), 500'000U) << "since it is known";
}

TEST_F(EnergySplit, ASheetIsBelievedUntilLessWasSeen) {
  split_.expect_idle(60'000);
  read();
  begin(1);
  draw(160, 102);
  read();
  EXPECT_EQ(end(1), 200.0) << "100 W above what the sheet says";
  rest();
  EXPECT_EQ(split_.idle_mw(), 50'000U);
  split_.expect_idle(40'000);
  EXPECT_EQ(split_.idle_mw(), 40'000U);
}

TEST_F(EnergySplit, LoadsAndStrangersAreNobodysAndTheirPowerIsNotIdlePower) {
  rest();
  draw(250, 120);
  read();
  EXPECT_EQ(split_.idle_mw(), 50'000U);
  EXPECT_EQ(split_.charged_mj(), 0U);
  EXPECT_EQ(split_.idle_mj(), 3'000'000U);
}

TEST_F(EnergySplit, TheFirstToEndBeforeAnyPowerIsKnownIsUnknown) {
  rest();
  begin(1);
  draw(150, 111);
  EXPECT_EQ(end(1), std::nullopt);
  read();
  EXPECT_EQ(split_.charged_mj(), 100'000U) << "somebody's it was";
  EXPECT_EQ(split_.owed_uj(), 0) << "nobody else pays for it";
  begin(2);
  draw(150, 112);
  EXPECT_NEAR(end(2).value(), 100, 0.001);
}

TEST_F(EnergySplit, APowerOfLongAgoSaysNothing) {
  rest();
  begin(1);
  draw(150, 112);
  read();
  draw(150, 112.0 + limits::energy_estimate_us_max / 1e6);
  begin(2);
  EXPECT_TRUE(end(1));
  draw(150, now_s_ + 0.1);
  EXPECT_EQ(end(2), std::nullopt);
}

TEST_F(EnergySplit, AMomentsWorkInALongRestTeachesNoPower) {
  rest();
  begin(1);
  draw(150, 112);
  read();
  EXPECT_TRUE(end(1));
  begin(2);
  draw(150, 112.1);
  EXPECT_TRUE(end(2));
  draw(55, 122); // Five watts more than ever, which are not the engine's.
  read();
  begin(3);
  draw(150, 123);
  EXPECT_NEAR(end(3).value(), 100, 0.5);
}

TEST_F(EnergySplit, ACounterThatWentBackOrJumpedLeavesItUnknown) {
  rest();
  for (const double wrong : {-1e6, 1e15}) {
    begin(1);
    draw(150, now_s_ + 2);
    meter_mj_ += wrong;
    read();
    EXPECT_EQ(end(1), std::nullopt) << wrong;
    meter_mj_ = 7'000'000;
    read();
  }
  EXPECT_EQ(split_.charged_mj(), 0U);
  begin(2);
  draw(150, now_s_ + 2);
  read();
  EXPECT_NEAR(end(2).value(), 200, 0.001) << "and goes on from there";
}

TEST_F(EnergySplit, ASecondThatLooksCheapTeachesLittle) {
  rest();
  draw(0, now_s_ + 1); // The tool was early with one reading and late with the next.
  meter_mj_ += 1'000;
  read();
  draw(99, now_s_ + 1);
  read();
  draw(50, now_s_ + 8);
  read();
  EXPECT_EQ(split_.idle_mw(), 50'000U) << "a window of ten seconds, not the least of them";
}

TEST_F(EnergySplit, IdlePowerThatWasSeenIsForgottenAndRisesAgain) {
  rest();
  for (std::size_t window = 1; window < limits::energy_idle_windows; ++window) {
    draw(80, now_s_ + limits::energy_idle_window_us / 1e6);
    read();
    EXPECT_EQ(split_.idle_mw(), 50'000U) << "a long load by strangers";
  }
  draw(80, now_s_ + limits::energy_idle_window_us / 1e6);
  read();
  EXPECT_EQ(split_.idle_mw(), 80'000U);
}

TEST_F(EnergySplit, APartOfAWindowStandsInForASilentSheetOnly) {
  read();
  draw(70, 102);
  read();
  EXPECT_EQ(split_.idle_mw(), 70'000U);
  EXPECT_EQ(split_.idle_mj(), 140'000U);
  draw(50, 104);
  read();
  EXPECT_EQ(split_.idle_mw(), 60'000U) << "the mean of what there is";
  split_.expect_idle(75'000);
  EXPECT_EQ(split_.idle_mw(), 75'000U);
}

TEST_F(EnergySplit, AGapInReadingsTeachesNothingAndLeavesWhoRanUnknown) {
  rest();
  begin(1);
  draw(150, now_s_ + 2);
  read();
  now_s_ += 30; // The tool fails: nothing is counted.
  split_.skip(now());
  begin(2);
  draw(150, now_s_ + 1);
  read();
  EXPECT_EQ(end(1), std::nullopt) << "what it drew in the gap nobody knows";
  EXPECT_NEAR(end(2).value(), 50, 0.001) << "half of 100 W, after the gap";
  now_s_ += 30;
  split_.skip(now());
  begin(3);
  EXPECT_EQ(end(3), std::nullopt) << "the power of before the gap says nothing";
  draw(50, now_s_ + 10);
  read();
  draw(50, now_s_ + 10);
  read();
  EXPECT_EQ(split_.idle_mw(), 50'000U) << "not what the gap makes of it";
}

TEST_F(EnergySplit, TimeThatWentBackIsNotWaitedFor) {
  rest();
  begin(1);
  draw(150, now_s_ + 1);
  now_s_ -= 3'600;
  read();
  EXPECT_EQ(end(1), std::nullopt);
  begin(2);
  draw(150, now_s_ + 2);
  read();
  EXPECT_NEAR(end(2).value(), 200, 0.001);
  EXPECT_EQ(split_.idle_mw(), 50'000U);
}

TEST_F(EnergySplit, ACounterThatStandsStillIsWaitedFor) {
  rest();
  begin(1);
  const auto before = meter_mj_;
  draw(150, 111);
  const auto moved = std::exchange(meter_mj_, before);
  read(); // A tool that answers with the last figure.
  meter_mj_ = moved;
  draw(150, 112);
  read();
  EXPECT_NEAR(end(1).value(), 200, 0.001);
  EXPECT_EQ(split_.idle_mj(), 600'000U);
}

TEST_F(EnergySplit, ClocksThatGoBackAndUnknownAttemptsAreHarmless) {
  rest();
  EXPECT_EQ(end(9), std::nullopt);
  begin(1);
  now_s_ -= 5;
  EXPECT_EQ(end(9), std::nullopt);
  now_s_ += 5;
  draw(150, 112);
  read();
  EXPECT_NEAR(end(1).value(), 200, 0.001);
  EXPECT_EQ(split_.running(), 0U);
}

/// Goal: what attempts are told, and what nobody is charged, are the meter's. Method: thousands of
/// attempts of random lengths beside each other, power that depends on how many there are and
/// shakes, readings at odd times.
TEST_F(EnergySplit, AllThatAttemptsAreToldAndIdlePowerAddUpToTheMeter) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    prng chance(seed);
    split_ = energy_split();
    rest();
    const auto begun = meter_mj_ - 500'000;
    double told = 0, untold = 0;
    std::vector<std::uint64_t> there;
    std::uint64_t next = 1;
    for (int step = 0; step < 20'000; ++step) {
      if (chance.below(2) == 0 && there.size() < 24) {
        there.push_back(next);
        begin(next++);
      } else if (!there.empty()) {
        const auto at = there.begin() + static_cast<std::ptrdiff_t>(chance.below(there.size()));
        const auto said = end(*at);
        (said ? told : untold) += said.value_or(1);
        there.erase(at);
      }
      const auto busy = there.empty() ? 0.0 : 80 + 10.0 * static_cast<double>(there.size());
      draw(50 + busy * (0.7 + 0.6 * static_cast<double>(chance.below(1'000)) / 1e3),
           now_s_ + 0.02 + static_cast<double>(chance.below(200)) / 1e3);
      if (chance.below(10) == 0)
        read();
    }
    read();
    const auto all = (meter_mj_ - begun) / 1e3;
    const auto charged = static_cast<double>(*split_.charged_mj()) / 1e3;
    const auto idle = static_cast<double>(*split_.idle_mj()) / 1e3;
    EXPECT_NEAR(charged + idle, all, 0.01) << seed;
    EXPECT_NEAR(told + idle, all, all * 0.01) << seed << ": " << untold << " were not told";
    EXPECT_GT(charged, all / 3) << "else nothing was shown";
  }
}

} // namespace
} // namespace consort::core
