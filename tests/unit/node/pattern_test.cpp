// SPDX-License-Identifier: Apache-2.0
// Goal: a plugin's regular expression says what it always said, and none costs more than its
// limits.
#include "node/pattern.hpp"

#include <gtest/gtest.h>

namespace consort::node {
namespace {

/// The groups of a match, the whole first; empty where there is none.
std::vector<std::string> groups_of(const char* text, std::string_view line) {
  const auto compiled = pattern::compile(text);
  EXPECT_TRUE(compiled.ok()) << text;
  return compiled ? compiled->search(line).groups : std::vector<std::string>{};
}

std::string complaint(const char* text) {
  const auto compiled = pattern::compile(text);
  return compiled ? "compiled" : compiled.failure().message;
}

using groups = std::vector<std::string>;

TEST(Pattern, SaysWhatECMAScriptSays) {
  EXPECT_EQ(groups_of("^card (\\d+): (\\w+)", "card 7: alpha"),
            (groups{"card 7: alpha", "7", "alpha"}));
  EXPECT_EQ(groups_of("(x)?(abc)", "abc"), (groups{"abc", "", "abc"})) << "no part in the match";
  EXPECT_EQ(groups_of("^0x(?!0+$)[0-9A-Fa-f]{4}$", "0x0000"), groups{});
  EXPECT_EQ(groups_of("(\\u0041\\x42)", "AB"), (groups{"AB", "AB"}));
  EXPECT_EQ(groups_of("a[^]c", "a\nc"), groups{"a\nc"});
  EXPECT_EQ(groups_of("^[[:alpha:]]+$", "abc"), groups{"abc"});
  EXPECT_EQ(groups_of("\xc2\xb0", "29 \xc2\xb0"), groups{"\xc2\xb0"}) << "bytes";
  EXPECT_EQ(groups_of("(?i)ERROR(?<=R)", "an error"), groups{"error"}) << "and what PCRE2 adds";
  EXPECT_EQ(pattern::compile("(a)(?:b)(c)")->groups(), 2U);
}

TEST(Pattern, SaysWhereABadOneIsWrong) {
  EXPECT_EQ(complaint("(a)(b"), "not a regular expression at byte 5: missing closing parenthesis");
  EXPECT_NE(complaint("(*UTF)a").find("disabled"), std::string::npos);
  EXPECT_NE(complaint("((a{1,1000}){1,1000}){1,1000}").find("too large"), std::string::npos);
}

TEST(Pattern, GivesUpWhatBacktracksWithoutEnd) {
  const auto endless = pattern::compile("^(dev[0-9]+) (M1) (a+)+$");
  ASSERT_TRUE(endless);
  const auto line = "dev1 M1 " + std::string(44, 'a') + "!";
  const auto match = endless->search(line);
  EXPECT_FALSE(match.found);
  EXPECT_TRUE(match.gave_up) << "limits::pattern_steps_max";
  EXPECT_TRUE(endless->search("dev1 M1 aaa").found);
  EXPECT_FALSE(endless->search("dev1 M2 aaa").gave_up) << "no match is known";
  EXPECT_NE(given_up_words(line).find("on the line `dev1 M1 aaaa"), std::string::npos);
}

TEST(Pattern, TakesLongLinesWithoutTheStack) {
  const auto each = pattern::compile("^(a|b)*$");
  const auto most = limits::pattern_line_bytes_max;
  EXPECT_TRUE(each->search(std::string(most, 'a')).found) << "limits::pattern_depth_max is above";
  EXPECT_TRUE(each->search(std::string(most, 'a') + "!").found) << "the rest is not looked at";
}

TEST(Pattern, NestsAndHoldsNoMoreThanItMay) {
  const auto gives_up = [](std::size_t groups_count, std::size_t bytes) {
    const auto nested = pattern::compile("^" + std::string(groups_count, '(') + "a"
                                         + std::string(groups_count, ')') + "*$");
    EXPECT_TRUE(nested);
    const auto match = nested->search(std::string(bytes, 'a'));
    EXPECT_NE(match.found, match.gave_up);
    return match.gave_up;
  };
  EXPECT_FALSE(gives_up(11, 500));
  EXPECT_TRUE(gives_up(11, limits::pattern_line_bytes_max)) << "limits::pattern_depth_max";
  EXPECT_FALSE(gives_up(60, 50));
  EXPECT_TRUE(gives_up(60, 100)) << "limits::pattern_heap_kib_max";
}

} // namespace
} // namespace consort::node
