// SPDX-License-Identifier: Apache-2.0
#include "actors/name_book.hpp"

#include <gtest/gtest.h>

#include <string>

namespace consort::actors {
namespace {

TEST(NameBook, ANameIsTheLatestIncarnations) {
  name_book book;
  const node_id name{"edge"};
  EXPECT_FALSE(book.superseded(name, incarnation{1}));
  book.admitted(name, incarnation{1});
  EXPECT_FALSE(book.superseded(name, incarnation{1})) << "it may link again";
  book.admitted(name, incarnation{2});
  EXPECT_TRUE(book.superseded(name, incarnation{1}));
  EXPECT_FALSE(book.superseded(name, incarnation{2}));
  EXPECT_FALSE(book.superseded(name, incarnation{3})) << "a new one may take it";
  EXPECT_FALSE(book.superseded(node_id{"other"}, incarnation{1}));
}

TEST(NameBook, AnIncarnationThatIsLetInAgainIsTheLatest) {
  name_book book;
  const node_id name{"edge"};
  for (const auto life : {1U, 2U, 1U})
    book.admitted(name, incarnation{life});
  EXPECT_FALSE(book.superseded(name, incarnation{1}));
  EXPECT_TRUE(book.superseded(name, incarnation{2}));
}

TEST(NameBook, ForgetsTheEarliestLifeOfANameBeyondTheLimit) {
  name_book book;
  const node_id name{"edge"};
  for (std::uint64_t life = 1; life <= limits::lives_of_name_max; ++life)
    book.admitted(name, incarnation{life});
  EXPECT_TRUE(book.superseded(name, incarnation{1}));
  book.admitted(name, incarnation{limits::lives_of_name_max + 1});
  EXPECT_FALSE(book.superseded(name, incarnation{1}));
  EXPECT_TRUE(book.superseded(name, incarnation{2}));
}

TEST(NameBook, RemembersNoMoreNamesThanTheLimit) {
  name_book book;
  for (std::size_t at = 0; at <= limits::names_known_max; ++at)
    book.admitted(node_id{std::to_string(at)}, incarnation{1});
  EXPECT_EQ(book.names(), limits::names_known_max);
  book.admitted(node_id{"0"}, incarnation{2});
  EXPECT_TRUE(book.superseded(node_id{"0"}, incarnation{1})) << "known names go on";
}

} // namespace
} // namespace consort::actors
