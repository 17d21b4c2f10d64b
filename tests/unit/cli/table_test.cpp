// SPDX-License-Identifier: Apache-2.0
#include "cli/table.hpp"

#include "cli/shell_word.hpp"

#include <gtest/gtest.h>

namespace consort::cli {
namespace {

TEST(Table, AlignsColumnsAndMarksTheUnknown) {
  table rows({{"NAME"}, {"COUNT", align::right}});
  rows.add({"a", "1"});
  rows.add({"longer", ""});
  rows.add({"", "12345678"});
  EXPECT_EQ(rows.render(false, false), "NAME       COUNT\n"
                                       "a              1\n"
                                       "longer         -\n"
                                       "-       12345678\n");
}

TEST(Table, AnEscapeOfWhateverKindReachesNoTerminal) {
  EXPECT_EQ(printable("a\x1b[31mb\nc\x7f"), "a?[31mb?c?");
  EXPECT_EQ(printable("\xc2\x9b"
                      "31m"),
            "?31m")
      << "as ESC [ is";
  EXPECT_EQ(printable("\xc2\xa7 \xec\x95\xbd \xc2"), "\xc2\xa7 \xec\x95\xbd \xc2");
}

TEST(ShellWord, IsOneWordWhateverIsInIt) {
  EXPECT_EQ(shell_word("server:org/name:tag@1+2=3_4-5.6"), "server:org/name:tag@1+2=3_4-5.6");
  EXPECT_EQ(shell_word(""), "''");
  EXPECT_EQ(shell_word("a b"), "'a b'");
  EXPECT_EQ(shell_word("tiny/$(touch P)"), "'tiny/$(touch P)'");
  EXPECT_EQ(shell_word("it's"), R"('it'"'"'s')");
  EXPECT_EQ(shell_word("';touch P;'"), R"(''"'"';touch P;'"'"'')");
  EXPECT_EQ(shell_word("~/x*"), "'~/x*'");
  EXPECT_EQ(shell_word("a\nb"), "'a?b'") << "no line of its own";
}

TEST(Table, ShowsWideColumnsOnlyWhenAsked) {
  table rows({{"A"}, {"B", align::left, true}, {"C"}});
  rows.add({"1", "2", "3"});
  EXPECT_EQ(rows.render(false, false), "A  C\n1  3\n");
  EXPECT_EQ(rows.render(true, false), "A  B  C\n1  2  3\n");
}

TEST(Table, ColoursStatesOnlyWhenAsked) {
  table rows({{"STATE", align::left, false, true}});
  rows.add({"ready"});
  EXPECT_EQ(rows.render(false, false).find('\x1b'), std::string::npos);
  EXPECT_NE(rows.render(false, true).find("\x1b[32mready\x1b[0m"), std::string::npos);
}

TEST(Table, KeepsControlCharactersFromTheTerminal) {
  table rows({{"NAME"}});
  rows.add({"a\x1b[2Jb\n"});
  EXPECT_EQ(rows.render(false, false), "NAME\na?[2Jb?\n");
}

struct width_case {
  const char* text;
  std::size_t width;
};

class DisplayWidth : public testing::TestWithParam<width_case> {};

TEST_P(DisplayWidth, CountsTerminalColumns) {
  EXPECT_EQ(display_width(GetParam().text), GetParam().width);
}

INSTANTIATE_TEST_SUITE_P(Texts, DisplayWidth,
                         testing::Values(width_case{"", 0}, width_case{"abc", 3},
                                         width_case{"\xc3\xa9", 1}, width_case{"e\xcc\x81", 1},
                                         width_case{"\xe6\x97\xa5\xe6\x9c\xac", 4},
                                         width_case{"\xf0\x9f\x8e\xbb", 2}, width_case{"\xff", 1},
                                         width_case{"\xe6\x97", 2}));

} // namespace
} // namespace consort::cli
