// SPDX-License-Identifier: Apache-2.0
#include "scheduler/nearest_name.hpp"
#include "scheduler/prng.hpp"
#include "scheduler/units.hpp"

#include <gtest/gtest.h>

namespace consort {

namespace {

TEST(NearestName, OffersTyposSwapsAndParts) {
  const std::vector<std::string> known = {"storyteller", "llama-3.1-8b", "qwen"};
  EXPECT_EQ(nearest_names("storyteler", known), (std::vector<std::string>{"storyteller"}));
  EXPECT_EQ(nearest_names("qewn", known), (std::vector<std::string>{"qwen"}));
  EXPECT_EQ(nearest_names("llama", known), (std::vector<std::string>{"llama-3.1-8b"}));
  EXPECT_TRUE(nearest_names("zzz", known).empty());
  EXPECT_EQ(did_you_mean("qewn", known), " (did you mean qwen?)");
  EXPECT_EQ(did_you_mean("zzz", known), "");
}

TEST(NearestName, LongInputsMatchNothing) {
  const std::string longer(129, 'a');
  EXPECT_TRUE(nearest_names(longer, {longer}).empty());
}

TEST(Units, ParseWhatPeopleType) {
  EXPECT_EQ(parse_duration("250ms"), 250'000);
  EXPECT_EQ(parse_duration("1.5s"), 1'500'000);
  EXPECT_EQ(parse_duration("0"), 0);
  EXPECT_EQ(parse_size("4GiB"), std::uint64_t{4} << 30U);
  for (const char* bad : {"", "s", "-1s", "1x", "1 0s", "1e3s"})
    EXPECT_FALSE(parse_duration(bad)) << bad;
}

TEST(Units, FormatWithThreeDigits) {
  EXPECT_EQ(format_duration(12'300), "12.3ms");
  EXPECT_EQ(format_size(9'810'336), "9.36MiB");
}

TEST(Prng, EqualSeedsAgreeAndDifferentOnesDoNot) {
  core::prng one(1), two(1), other(2);
  for (int i = 0; i < 100; ++i) {
    const auto drawn = one.next();
    EXPECT_EQ(drawn, two.next());
    EXPECT_NE(drawn, other.next());
  }
}

TEST(Prng, BelowStaysBelowAndReachesEverything) {
  core::prng chance(3);
  std::vector<int> seen(7, 0);
  for (int i = 0; i < 7'000; ++i)
    ++seen.at(chance.below(7));
  for (const auto count : seen)
    EXPECT_NEAR(count, 1'000, 150);
}

TEST(Prng, SequenceIsTheSameOnEveryPlatform) {
  core::prng chance(42);
  const auto first = chance.next();
  EXPECT_EQ(first, core::prng(42).next());
  EXPECT_EQ(core::mix(0), 0xe220a8397b1dcdafU); // splitmix64 of 0, as published.
}

} // namespace

} // namespace consort
