// SPDX-License-Identifier: Apache-2.0
// Who is called, and when: the order itself is of turn_order_test.cpp.
#include "links/turnstile.hpp"

#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

namespace consort::links {
namespace {

class Turnstile : public ::testing::Test {
protected:
  static limits::limit_set small() {
    limits::limit_set limits;
    limits.address_handshakes = 2;
    limits.strangers_at_once = 3;
    limits.strangers_rate = 50;
    return limits;
  }
  std::unique_ptr<turnstile::turn> ask(const std::string& key) {
    return stile_->ask(key, [this] { ++called_; });
  }
  boost::asio::io_context io_;
  std::shared_ptr<turnstile> stile_ = std::make_shared<turnstile>(io_.get_executor(), small());
  int called_ = 0;
};

TEST_F(Turnstile, CallsTheNextWhenOneLeaves) {
  auto first = ask("a"), beside = ask("a"), third = ask("a"), fourth = ask("a");
  EXPECT_TRUE(first->has_come() && beside->has_come());
  EXPECT_EQ(called_, 0) << "who need not wait looks for itself";
  EXPECT_FALSE(third->has_come() || fourth->has_come());
  beside->went_well();
  beside.reset();
  EXPECT_TRUE(third->has_come());
  EXPECT_FALSE(fourth->has_come());
  EXPECT_EQ(called_, 1);
}

TEST_F(Turnstile, WhoGivesUpIsNotCalled) {
  auto first = ask("a"), beside = ask("a"), third = ask("a"), fourth = ask("a");
  third.reset();
  first->went_well();
  first.reset();
  EXPECT_TRUE(fourth->has_come());
  EXPECT_EQ(called_, 1);
}

TEST_F(Turnstile, CallsStrangersAsTimePasses) {
  const auto first = ask("a"), beside = ask("b"), third = ask("c"), fourth = ask("d"),
             fifth = ask("e");
  EXPECT_TRUE(third->has_come());
  int waited = 0; // Both, but for a machine that stops in between.
  for (const auto* one : {&fourth, &fifth})
    waited += (*one)->has_come() ? 0 : 1;
  io_.run();
  EXPECT_TRUE(fourth->has_come() && fifth->has_come());
  EXPECT_EQ(called_, waited);
}

TEST_F(Turnstile, WaitsForNothingWhenNobodyWaits) {
  auto first = ask("a"), beside = ask("b"), third = ask("c"), fourth = ask("d");
  fourth.reset();
  io_.run(); // Returns.
  EXPECT_EQ(called_, 0);
}

TEST_F(Turnstile, MayGoWhileItsTimerIsSet) {
  auto first = ask("a"), beside = ask("b"), third = ask("c"), fourth = ask("d");
  for (auto* one : {&first, &beside, &third, &fourth})
    one->reset();
  stile_.reset();
  io_.run();
  EXPECT_EQ(called_, 0);
}

} // namespace
} // namespace consort::links
