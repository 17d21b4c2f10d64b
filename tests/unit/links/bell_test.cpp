// SPDX-License-Identifier: Apache-2.0
#include "links/bell.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

namespace consort::links {
namespace {

using std::chrono::milliseconds;

class Bell : public ::testing::Test {
protected:
  using clock = bell::clock;
  static constexpr auto never = clock::time_point::max();

  /// A waiter that counts itself once it is through, and notes when.
  void wait(clock::time_point until) {
    boost::asio::co_spawn(
        io_,
        [this, until]() -> task<void> {
          co_await bell_->wait(until);
          ++through_;
          through_at_ = clock::now();
        },
        boost::asio::detached);
    io_.restart();
    io_.poll();
  }
  /// Runs until nothing is left to do.
  void run() {
    io_.restart();
    io_.run();
  }

  boost::asio::io_context io_;
  std::optional<bell> bell_{io_.get_executor()};
  int through_ = 0;
  clock::time_point through_at_;
};

TEST_F(Bell, ARingResumesWhoWaitsAtOnce) {
  for (int round = 1; round <= 3; ++round) {
    wait(never);
    EXPECT_EQ(through_, round - 1);
    bell_->ring();
    EXPECT_EQ(through_, round);
  }
}

TEST_F(Bell, TimeResumesToo) {
  const auto until = clock::now() + milliseconds(5);
  wait(until);
  run();
  EXPECT_EQ(through_, 1);
  EXPECT_GE(through_at_, until);
}

TEST_F(Bell, ARingWithoutAWaiterIsLost) {
  bell_->ring();
  const auto until = clock::now() + milliseconds(5);
  wait(until);
  bell_->ring();
  bell_->ring();
  EXPECT_EQ(through_, 1);
  wait(clock::now() + milliseconds(5));
  run();
  EXPECT_EQ(through_, 2);
}

TEST_F(Bell, ALaterTimeIsWaitedForThoughTheTimerWasSetEarlier) {
  wait(clock::now() + milliseconds(5));
  bell_->ring();
  const auto until = clock::now() + milliseconds(20);
  wait(until);
  run();
  EXPECT_EQ(through_, 2);
  EXPECT_GE(through_at_, until);
}

TEST_F(Bell, AnEarlierTimeIsKeptThoughTheTimerWasSetLater) {
  wait(never);
  bell_->ring();
  wait(clock::now() + milliseconds(5));
  run(); // Returns.
  EXPECT_EQ(through_, 2);
}

TEST_F(Bell, NothingIsPendingOnceItIsGone) {
  wait(never);
  bell_->ring();
  bell_.reset();
  run(); // Returns.
  EXPECT_EQ(through_, 1);
}

TEST_F(Bell, AnIoContextThatGoesTakesTheWaiterWithIt) {
  auto io = std::make_unique<boost::asio::io_context>();
  struct waits {
    explicit waits(const boost::asio::any_io_executor& on) : rung(on) {}
    bell rung;
  };
  auto one = std::make_shared<waits>(io->get_executor());
  const std::weak_ptr<waits> left = one;
  boost::asio::co_spawn(
      *io, [one]() -> task<void> { co_await one->rung.wait(never); }, boost::asio::detached);
  one.reset();
  io->poll();
  EXPECT_FALSE(left.expired()) << "it holds itself";
  io.reset();
  EXPECT_TRUE(left.expired());
}

} // namespace
} // namespace consort::links
