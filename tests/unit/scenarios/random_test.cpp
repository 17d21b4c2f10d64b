// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/random.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace consort::sim {
namespace {

// These values are the format of a seed: changing them breaks every recorded replay command.
TEST(RandomSource, GivesFixedValuesForASeedAndConcern) {
  random_source chance(7, "network");
  EXPECT_EQ(chance.bits(), 0x424a13d122e4057ULL);
  EXPECT_EQ(chance.bits(), 0x897f40f2643d0c13ULL);
  EXPECT_EQ(chance.bits(), 0x41461691fcd107e2ULL);
  EXPECT_EQ(fold(fold_start, "network"), 0x1e8e57b2909b2a85ULL);
}

TEST(RandomSource, ANumberIsFoldedAsItsEightBytesFromTheLowestOn) {
  for (const std::uint64_t number :
       {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{0x100}, std::uint64_t{0x12003400},
        std::uint64_t{1} << 63U, ~std::uint64_t{0}}) {
    std::string bytes;
    for (unsigned shift = 0; shift < 64; shift += 8)
      bytes += static_cast<char>(number >> shift & 0xFFU);
    EXPECT_EQ(fold(fold_start, number), fold(fold_start, bytes)) << number;
  }
}

TEST(RandomSource, ConcernsAndSeedsAreIndependent) {
  random_source one(7, "network");
  random_source other(7, "faults");
  random_source seeded(8, "network");
  const auto first = one.bits();
  EXPECT_NE(first, other.bits());
  EXPECT_NE(first, seeded.bits());
}

TEST(RandomSource, UnitStaysBelowOneAndIsEven) {
  random_source chance(3, "unit");
  double sum = 0;
  constexpr int draws = 20'000;
  for (int at = 0; at < draws; ++at) {
    const double value = chance.unit();
    ASSERT_GE(value, 0);
    ASSERT_LT(value, 1);
    sum += value;
  }
  EXPECT_NEAR(sum / draws, 0.5, 0.01);
}

struct distribution_case {
  const char* text;
  double mean;
};

class DistributionMean : public testing::TestWithParam<distribution_case> {};

TEST_P(DistributionMean, IsWhatItsParametersSay) {
  const auto parsed = parse_distribution(GetParam().text, 1e6);
  ASSERT_TRUE(parsed.ok()) << parsed.failure().message;
  random_source chance(11, "mean");
  double sum = 0;
  constexpr int draws = 50'000;
  for (int at = 0; at < draws; ++at)
    sum += parsed->draw(chance);
  EXPECT_NEAR(sum / draws / GetParam().mean, 1, 0.03);
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, DistributionMean,
    testing::Values(distribution_case{"42", 42}, distribution_case{"uniform(10,30)", 20},
                    distribution_case{"exponential(5)", 5},
                    distribution_case{"lognormal(100, 0.5)", 100 * std::exp(0.125)}));

TEST(Distribution, LognormalHasItsMedianWhereItSays) {
  const auto parsed = parse_distribution("lognormal(512,1.0)", 1e6);
  ASSERT_TRUE(parsed.ok());
  random_source chance(5, "median");
  std::vector<double> drawn;
  for (int at = 0; at < 10'001; ++at)
    drawn.push_back(parsed->draw(chance));
  std::nth_element(drawn.begin(), drawn.begin() + 5'000, drawn.end());
  EXPECT_NEAR(drawn.at(5'000) / 512, 1, 0.05);
}

TEST(Distribution, KnowsItsMedian) {
  const auto median = [](const char* text) { return parse_distribution(text, 1e6)->median(); };
  EXPECT_EQ(median("42"), 42);
  EXPECT_EQ(median("uniform(10,30)"), 20);
  EXPECT_NEAR(median("exponential(100)"), 69.3, 0.1);
  EXPECT_EQ(median("lognormal(512,1.0)"), 512);
}

TEST(Distribution, RefusesWhatItCannotRead) {
  for (const char* text :
       {"", "x", "-1", "2e6", "uniform(1)", "lognormal(1,2,3)", "lognormal(1,2", "gamma(1,2)",
        "uniform(,)", "1 2", "inf", "nan", "exponential()", "uniform(2,1)", "lognormal(1,10.1)"})
    EXPECT_FALSE(parse_distribution(text, 1e6).ok()) << text;
}

} // namespace
} // namespace consort::sim
