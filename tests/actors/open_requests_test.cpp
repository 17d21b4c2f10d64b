// SPDX-License-Identifier: Apache-2.0
#include "actors/open_requests.hpp"

#include <gtest/gtest.h>

namespace consort::actors {
namespace {

class silent_listener final : public gateway::request_listener {
public:
  void on_ticket(const core::grant_ticket&) override {}
  void on_drop(const core::drop_attempt&) override {}
  void on_queue(const core::queue_notice&) override {}
  void on_reject(const core::reject_request&) override {}
};

class OpenRequests : public ::testing::Test {
protected:
  static request_meta request(std::uint64_t sequence) {
    request_meta meta;
    meta.id = request_id{gateway_id{9}, sequence};
    meta.model = model_name{"m"};
    return meta;
  }
  static attempt_id attempt(std::uint64_t sequence, std::uint32_t number) {
    return attempt_id{request(sequence).id, number};
  }
  static ticket permission(std::uint64_t sequence, std::uint32_t number) {
    ticket made;
    made.attempt = attempt(sequence, number);
    made.node = node_id{"edge"};
    return made;
  }
  core::request_restored only(time_us now) {
    const auto told = open_.restored(now);
    EXPECT_EQ(told.size(), 1u);
    return std::get<core::request_restored>(told.at(0));
  }

  open_requests open_{2};
  std::shared_ptr<silent_listener> listener_ = std::make_shared<silent_listener>();
};

TEST_F(OpenRequests, KeepsNoMoreThanItsLimit) {
  EXPECT_TRUE(open_.add(request(1), listener_, 0));
  EXPECT_TRUE(open_.add(request(2), listener_, 0));
  EXPECT_FALSE(open_.add(request(3), listener_, 0));
  open_.forget(request(1).id);
  EXPECT_TRUE(open_.add(request(3), listener_, 0));
}

TEST_F(OpenRequests, TellsOfAWaitingRequestWithWhatIsLeftOfItsTime) {
  auto meta = request(1);
  meta.deadline_us = 10'000;
  meta.wait_us = 2'000;
  open_.add(meta, listener_, 100);
  const auto told = only(5'100);
  EXPECT_EQ(told.attempts, 0u);
  EXPECT_FALSE(told.running);
  EXPECT_EQ(told.meta.deadline_us, 5'000);
  EXPECT_EQ(told.meta.wait_us, 1) << "overdue: the scheduler ends it";
}

TEST_F(OpenRequests, KeepsNowOrNever) {
  auto meta = request(1);
  meta.wait_us = 0;
  open_.add(meta, listener_, 100);
  EXPECT_EQ(only(5'100).meta.wait_us, 0);
}

TEST_F(OpenRequests, TellsOfARunningAttemptAndWhatTheClientSaw) {
  open_.add(request(1), listener_, 0);
  open_.granted({.granted = permission(1, 1)});
  open_.reported(core::attempt_progressed{attempt(1, 1), 17});
  const auto told = only(1);
  EXPECT_EQ(told.attempts, 1u);
  EXPECT_EQ(told.emitted_tokens, 17u);
  ASSERT_TRUE(told.running);
  EXPECT_EQ(told.running->node, node_id{"edge"});
}

TEST_F(OpenRequests, ForgetsAnAttemptThatFailedOrWasDropped) {
  open_.add(request(1), listener_, 0);
  open_.granted({.granted = permission(1, 1)});
  open_.reported(core::attempt_failed{attempt(1, 1), {}, 5, true});
  EXPECT_FALSE(only(1).running);
  EXPECT_EQ(only(1).emitted_tokens, 5u);
  open_.granted({.granted = permission(1, 2)});
  open_.dropped(attempt(1, 1));
  EXPECT_TRUE(only(1).running) << "an earlier attempt's end says nothing of this one";
  open_.dropped(attempt(1, 2));
  EXPECT_FALSE(only(1).running);
  EXPECT_EQ(only(1).attempts, 2u);
}

TEST_F(OpenRequests, OfTwoAttemptsItTellsTheFirstUntilTheOtherIsTheOnlyOne) {
  open_.add(request(1), listener_, 0);
  open_.granted({.granted = permission(1, 1)});
  open_.granted({.granted = permission(1, 2), .hedge = true});
  ASSERT_TRUE(only(1).running);
  EXPECT_EQ(only(1).running->attempt.number, 1u);
  EXPECT_EQ(only(1).attempts, 2u);
  open_.dropped(attempt(1, 1));
  ASSERT_TRUE(only(1).running);
  EXPECT_EQ(only(1).running->attempt.number, 2u);
}

TEST_F(OpenRequests, OfTwoAttemptsItTellsTheOneThatBroughtAToken) {
  for (const std::uint32_t winner : {1u, 2u}) {
    open_.add(request(winner), listener_, 0);
    open_.granted({.granted = permission(winner, 1)});
    open_.granted({.granted = permission(winner, 2), .hedge = true});
    open_.reported(core::attempt_progressed{attempt(winner, winner), 1});
    ASSERT_TRUE(only(1).running);
    EXPECT_EQ(only(1).running->attempt.number, winner);
    open_.dropped(attempt(winner, 3 - winner));
    EXPECT_TRUE(only(1).running) << "the other is over";
    open_.forget(request(winner).id);
  }
}

TEST_F(OpenRequests, ForgetsARequestThatEnded) {
  open_.add(request(1), listener_, 0);
  open_.add(request(2), listener_, 0);
  open_.reported(core::request_cancelled{request(1).id, "left"});
  open_.granted({.granted = permission(2, 1)});
  open_.reported(core::attempt_finished{attempt(2, 1), {}});
  EXPECT_TRUE(open_.restored(1).empty());
  EXPECT_EQ(open_.listener_of(request(2).id), nullptr);
}

} // namespace
} // namespace consort::actors
