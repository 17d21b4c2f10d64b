// SPDX-License-Identifier: Apache-2.0
#include "scenarios/strict_json.hpp"

#include <gtest/gtest.h>

namespace consort::strict_json {
namespace {

/// The message of the error that `text` gives, or an empty string.
std::string complaint(const std::string& text) {
  const auto parsed = parse(text, "f.json");
  return parsed ? "" : parsed.failure().message;
}

TEST(StrictJson, KeepsTheLineAndPathOfEveryValue) {
  const auto parsed = parse("{\n  // comment\n  \"a\": [1,\n 2],\n \"b\": {\"c\":\n true}\n}", "f");
  ASSERT_TRUE(parsed.ok()) << parsed.failure().message;
  const auto* list = parsed->find("a");
  ASSERT_NE(list, nullptr);
  EXPECT_EQ(list->line, 3U);
  EXPECT_EQ(list->items.at(0).line, 3U);
  EXPECT_EQ(list->items.at(1).line, 4U);
  EXPECT_EQ(list->items.at(1).path, "a[1]");
  const auto* inner = parsed->find("b")->find("c");
  ASSERT_NE(inner, nullptr);
  EXPECT_EQ(inner->line, 5U);
  EXPECT_EQ(inner->path, "b.c");
}

TEST(StrictJson, NamesFileAndLineOfMalformedText) {
  EXPECT_EQ(complaint("{\n\"a\": \n}").rfind("f.json:3: ", 0), 0U) << complaint("{\n\"a\": \n}");
  EXPECT_NE(complaint("{\"a\": 1} x"), "");
  EXPECT_NE(complaint(""), "");
  EXPECT_NE(complaint("{\"a\": 1"), "");
  EXPECT_NE(complaint("{\"a\": \"\xff\"}"), "");
  EXPECT_NE(complaint("{\"a\": 1e999}"), "");
}

TEST(StrictJson, RefusesARootThatIsNoObject) {
  EXPECT_NE(complaint("[1]").find("expected an object"), std::string::npos);
}

TEST(StrictJson, RefusesTheSameKeyTwice) {
  const auto text = complaint("{\n \"a\": 1,\n \"a\": 2 }");
  EXPECT_NE(text.find("f.json:3: `a` is given twice"), std::string::npos) << text;
}

TEST(StrictJson, RefusesDeepNesting) {
  std::string deep = "{\"a\":";
  for (std::size_t level = 0; level + 1 < depth_max; ++level)
    deep += "[";
  auto closed = deep + std::string(depth_max - 1, ']') + "}";
  EXPECT_EQ(complaint(closed), "");
  closed = deep + "[" + std::string(depth_max, ']') + "}";
  EXPECT_NE(complaint(closed).find("nested deeper"), std::string::npos);
}

TEST(StrictJson, RefusesTooManyValuesAndTooMuchText) {
  std::string many = "{\"a\":[0";
  for (std::size_t count = 0; count < values_max; ++count)
    many += ",0";
  EXPECT_NE(complaint(many + "]}").find("more than"), std::string::npos);
  EXPECT_NE(complaint(std::string(text_bytes_max + 1, ' ')).find("larger than"), std::string::npos);
}

TEST(ObjectReader, ReportsTheFirstThingWrongOnly) {
  const auto parsed = parse("{\n\"a\": \"x\",\n\"b\": -1\n}", "f");
  ASSERT_TRUE(parsed.ok());
  std::optional<error> failure;
  object_reader reader(*parsed, "f", failure);
  EXPECT_EQ(reader.integer("a", 5, 0, 9), 5);
  EXPECT_EQ(reader.integer("b", 6, 0, 9), 6);
  reader.finish();
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->message, "f:2: a: expected a number, found a string");
}

TEST(ObjectReader, OffersTheNearestNameForAnUnknownKey) {
  const auto parsed = parse("{\n\"queue_mx\": 3\n}", "f");
  ASSERT_TRUE(parsed.ok());
  std::optional<error> failure;
  object_reader reader(*parsed, "f", failure);
  EXPECT_EQ(reader.integer("queue_max", 7, 0, 9), 7);
  reader.finish();
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->message, "f:2: queue_mx: unknown key (did you mean queue_max?)");
}

TEST(ObjectReader, ChecksRangesUnitsAndWholeNumbers) {
  const auto parsed = parse("{\"n\":1.5,\"d\":\"3 s\",\"s\":\"4GiB\",\"t\":[\"x\",\"y\"]}", "f");
  ASSERT_TRUE(parsed.ok());
  std::optional<error> failure;
  object_reader reader(*parsed, "f", failure);
  EXPECT_EQ(reader.size("s", 0), 4ULL << 30U);
  EXPECT_EQ(reader.texts("t"), (std::vector<std::string>{"x", "y"}));
  EXPECT_FALSE(failure);
  EXPECT_EQ(reader.integer("n", 2, 0, 9), 2);
  ASSERT_TRUE(failure);
  EXPECT_NE(failure->message.find("whole number"), std::string::npos);
  failure.reset();
  EXPECT_EQ(reader.duration("d", 8), 8);
  ASSERT_TRUE(failure);
  EXPECT_NE(failure->message.find("not a duration"), std::string::npos);
}

} // namespace
} // namespace consort::strict_json
