// SPDX-License-Identifier: Apache-2.0
#include "links/turnstile.hpp"

#include <gtest/gtest.h>

namespace consort::links {
namespace {

class Turnstile : public ::testing::Test {
protected:
  std::unique_ptr<turnstile::turn> ask(const std::string& key) {
    return stile_->ask(key, [this] { ++called_; });
  }
  std::shared_ptr<turnstile> stile_ = std::make_shared<turnstile>(2);
  int called_ = 0;
};

TEST_F(Turnstile, LetsSoManyOfOneKeyInAndOthersWhenTheyLeave) {
  auto first = ask("a"), beside = ask("a"), third = ask("a"), fourth = ask("a");
  EXPECT_TRUE(first->has_come() && beside->has_come());
  EXPECT_FALSE(third->has_come() || fourth->has_come());
  beside.reset();
  EXPECT_TRUE(third->has_come()) << "first come, first served";
  EXPECT_FALSE(fourth->has_come());
  EXPECT_EQ(called_, 1);
}

TEST_F(Turnstile, KeysDoNotWaitForEachOther) {
  const auto first = ask("a"), beside = ask("a"), other = ask("b");
  EXPECT_TRUE(other->has_come());
  EXPECT_EQ(called_, 0);
}

TEST_F(Turnstile, WhoGivesUpIsNotCalled) {
  auto first = ask("a"), beside = ask("a"), third = ask("a"), fourth = ask("a");
  third.reset();
  first.reset();
  EXPECT_TRUE(fourth->has_come());
  EXPECT_EQ(called_, 1);
}

TEST_F(Turnstile, RemembersNobodyWhoLeft) {
  auto first = ask("a"), beside = ask("a"), third = ask("a");
  first.reset();
  beside.reset();
  EXPECT_EQ(stile_->keys(), 1U);
  third.reset();
  EXPECT_EQ(stile_->keys(), 0U);
}

} // namespace
} // namespace consort::links
