// SPDX-License-Identifier: Apache-2.0
#include "scheduler/alike.hpp"

#include <gtest/gtest.h>

namespace consort {
namespace {

TEST(Alike, NamesAFewAndCountsTheRest) {
  EXPECT_EQ(named_few({}), "");
  EXPECT_EQ(named_few({"a"}), "a");
  EXPECT_EQ(named_few({"a", "b"}), "a and b");
  EXPECT_EQ(named_few({"a", "b", "c"}), "a, b and c") << "one other is as short by name";
  EXPECT_EQ(named_few({"a", "b", "c", "d"}), "a, b and 2 others");
}

TEST(Alike, TellsThoseWithTheSameWordsTogether) {
  alike all(2);
  EXPECT_TRUE(all.empty());
  EXPECT_EQ(all.told(), "");
  all.add("a", "is full");
  all.add("b", "is gone");
  all.add("c", "is full");
  EXPECT_FALSE(all.empty());
  EXPECT_EQ(all.told(), "a and c: is full; b is gone");
}

TEST(Alike, CountsWhoseWordsAreTooMany) {
  alike all(2);
  for (const auto* name : {"a", "b", "c", "d"})
    all.add(name, std::string("is ") + name);
  all.add("e", "is a");
  EXPECT_EQ(all.told(), "a and e: is a; b is b; and 2 more");
}

} // namespace
} // namespace consort
