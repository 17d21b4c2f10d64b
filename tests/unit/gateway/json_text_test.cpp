// SPDX-License-Identifier: Apache-2.0
#include "gateway/json_text.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace consort::gateway {
namespace {

std::string escaped(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

TEST(JsonText, EscapesWhatJsonCannotHold) {
  EXPECT_EQ(escaped("a\"b\\c\n\r\t\b\f\x01/"), R"("a\"b\\c\n\r\t\b\f\u0001/")");
  EXPECT_EQ(escaped("w\xC3\xB6rld \xF0\x9F\x98\x80"), "\"w\xC3\xB6rld \xF0\x9F\x98\x80\"");
}

TEST(JsonText, ReplacesInvalidBytesSoThatOutputIsAlwaysJson) {
  for (const std::string bad :
       {"\xC3", "a\xFF", "\xE2\x82", "\xED\xA0\x80", "\xC0\x80", "\xF5\x80"})
    EXPECT_TRUE(nlohmann::json::accept(escaped(bad))) << escaped(bad);
}

TEST(JsonText, EveryByteRoundTripsOrIsReplaced) {
  for (int byte = 0; byte < 128; ++byte) {
    const std::string text(1, static_cast<char>(byte));
    EXPECT_EQ(nlohmann::json::parse(escaped(text)).get<std::string>(), text) << byte;
  }
}

TEST(JsonText, NamesTheFirstInvalidByte) {
  EXPECT_EQ(find_invalid_utf8("plain ascii, longer than eight bytes"), std::nullopt);
  EXPECT_EQ(find_invalid_utf8("w\xC3\xB6rld"), std::nullopt);
  EXPECT_EQ(find_invalid_utf8("0123456789\xFF"), 10U);
  EXPECT_EQ(find_invalid_utf8("abc\xC3"), 3U);
  EXPECT_EQ(find_invalid_utf8("\xE0\x80\x80"), 0U) << "overlong";
  EXPECT_EQ(find_invalid_utf8("\xED\xA0\x80"), 0U) << "surrogate";
  EXPECT_EQ(find_invalid_utf8("\xF4\x90\x80\x80"), 0U) << "beyond U+10FFFF";
}

TEST(JsonText, KnowsControlCharacters) {
  EXPECT_FALSE(has_control("plain, \xC3\xA9 and \xE2\x82\xAC"));
  EXPECT_FALSE(has_control(""));
  for (const auto* bad : {"\n", "a\x1b[31m", "\x7f"})
    EXPECT_TRUE(has_control(bad));
  EXPECT_TRUE(has_control(std::string_view("a\0", 2)));
}

TEST(JsonText, FindsWhereItNestsTooDeep) {
  EXPECT_EQ(find_too_deep("[[[]]]", 3), std::nullopt);
  EXPECT_EQ(find_too_deep("[[[[", 3), 3U);
  EXPECT_EQ(find_too_deep(R"({"[[[[": "\"[[[["})", 1), std::nullopt) << "strings do not count";
  EXPECT_EQ(find_too_deep("[][][][]", 1), std::nullopt);
}

} // namespace
} // namespace consort::gateway
