// SPDX-License-Identifier: Apache-2.0
#include "scheduler/tables.hpp"

#include <gtest/gtest.h>

namespace consort::core {

namespace {

struct row {
  std::string text;
  std::vector<index> list;
};

TEST(Table, RowsKeepTheirPlaceHoweverManyFollow) {
  table<row> rows;
  auto& first = rows[rows.add()];
  first.text = "a text that is too long for the row itself";
  for (index each = 1; each < 1'000; ++each)
    rows[rows.add()].list.push_back(each);
  EXPECT_EQ(&rows[0], &first);
  EXPECT_EQ(first.text, "a text that is too long for the row itself");
  EXPECT_EQ(rows.end(), 1'000U);
  EXPECT_EQ(rows.live(), 1'000U);
  for (index each = 1; each < 1'000; ++each)
    ASSERT_EQ(rows[each].list, std::vector<index>{each});
}

TEST(Table, AFreedRowIsEmptyAndGivenAgainLastFreedFirst) {
  table<row> rows;
  for (int each = 0; each < 40; ++each)
    rows[rows.add()] = {"taken", {7}};
  rows.free(3);
  rows.free(20);
  EXPECT_FALSE(rows.holds(20));
  EXPECT_FALSE(rows.holds(40)) << "there never was one";
  EXPECT_TRUE(rows[20].text.empty());
  EXPECT_EQ(rows.add(), 20U);
  EXPECT_TRUE(rows[20].list.empty());
  EXPECT_EQ(rows.add(), 3U);
  EXPECT_EQ(rows.add(), 40U);
}

TEST(Table, ACopyIsOfItsOwn) {
  table<row> rows;
  rows[rows.add()].text = "first";
  auto copy = rows;
  auto& kept = copy[0];
  for (int each = 0; each < 100; ++each)
    copy.add();
  EXPECT_EQ(&copy[0], &kept);
  kept.text = "other";
  EXPECT_EQ(rows[0].text, "first");
  EXPECT_EQ(rows.end(), 1U);
}

} // namespace

} // namespace consort::core
