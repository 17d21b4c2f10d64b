// SPDX-License-Identifier: Apache-2.0
#include "scheduler/nearest_name.hpp"
#include "scheduler/prng.hpp"
#include "scheduler/served_name.hpp"
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

TEST(ServedName, IsAWordOfACommandAndOfAPath) {
  for (const auto* fine : {"m", "org/name:tag", "/models/llama", "gpt-4o@2024+x", "a..b", "7b_q4"})
    EXPECT_FALSE(objection_to_name(fine)) << fine << " " << *objection_to_name(fine);
  for (const auto* wrong :
       {"",     "-m",   ".m",   "../m", "a/../b", "a/..", "a b", "a;b", "$(a)", "`a`",     "a'b",
        "a\"b", "a\\b", "a\nb", "a#b",  "a?b",    "a&b",  "a|b", "~",   "a*",   "\xc3\xa4"})
    EXPECT_TRUE(objection_to_name(wrong)) << wrong;
  EXPECT_FALSE(objection_to_name(std::string(served_name_bytes_max, 'm')));
  const auto longer = objection_to_name(std::string(served_name_bytes_max + 1, 'm'));
  EXPECT_EQ(longer.value_or(""), "must have 1 to 256 bytes");
}

TEST(ServedName, IsDerivedOfAnyText) {
  EXPECT_EQ(derived_name("meta-llama/Llama-3.1-8B"), "meta-llama-llama-3-1-8b");
  EXPECT_EQ(derived_name("../../x"), "x");
  EXPECT_EQ(derived_name("tiny/$(touch /tmp/P)"), "tiny---touch--tmp-p");
  for (const auto* empty : {"", "---", "$()", "\xff"})
    EXPECT_EQ(derived_name(empty), "model");
  EXPECT_EQ(derived_name(std::string(99, 'x')).size(), 48U);
  EXPECT_EQ(name_of_source("hf:org/repo@main/f.gguf"), "hf:org/repo@main/f.gguf");
  EXPECT_EQ(name_of_source("https://host/a/Tiny-Q4.gguf?x=/y#sha256=00"),
            "https://host/a/Tiny-Q4.gguf");
  EXPECT_EQ(name_of_source("https://host/a b/Tiny%20Q4.gguf"), "tiny-20q4");
  EXPECT_EQ(name_of_source("https://host/~/"), "model");
  EXPECT_EQ(name_of_source("/models/my story.gguf"), "my-story");
  EXPECT_EQ(name_of_source("/models/llama-3.1.gguf"), "llama-3.1");
  EXPECT_EQ(name_of_source("/models/Llama-3.2-1B"), "Llama-3.2-1B");
  EXPECT_EQ(name_of_source("/models/Llama-3.2-1B//"), "Llama-3.2-1B");
  EXPECT_EQ(name_of_source("tiny.safetensors"), "tiny");
  EXPECT_EQ(name_of_source("/"), "model");
}

TEST(NearestName, ListsAFewWhereNothingIsNear) {
  std::vector<std::string> known{"qwen", "llama"};
  EXPECT_EQ(did_you_mean_or_list("qewn", known), " (did you mean qwen?)");
  EXPECT_EQ(did_you_mean_or_list("zzz", known), " (there are qwen, llama)");
  EXPECT_EQ(did_you_mean_or_list("zzz", {}), "");
  known.resize(listed_names_max + 1, "model");
  EXPECT_EQ(did_you_mean_or_list("zzz", known), "") << "too many to list";
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
  EXPECT_EQ(format_duration(999'400), "999ms");
  EXPECT_EQ(format_duration(999'700), "1000ms");
  EXPECT_EQ(format_size(9'810'336), "9.36MiB");
}

TEST(Units, CutTextsAtCharacters) {
  EXPECT_EQ(cut_text("text", 4), "text");
  EXPECT_EQ(cut_text("text", 3), "tex");
  EXPECT_EQ(cut_text("a\xe2\x99\xab", 3), "a");
  EXPECT_EQ(cut_text("a\xe2\x99\xab", 4), "a\xe2\x99\xab");
  EXPECT_EQ(cut_text("\xe2\x99\xab", 2), "");
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
