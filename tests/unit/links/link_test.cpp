// SPDX-License-Identifier: Apache-2.0
// An established link: order, limits, signs of life, ends.
#include "tests/unit/links/link_fixture.hpp"

namespace consort::links {
namespace {

using namespace testing_support;
using messages::sender_kind;

class Link : public link_fixture {
protected:
  /// A link whose other end is a raw peer.
  std::shared_ptr<raw_peer> linked(const limits::limit_set& limits = {}) {
    guard_options options;
    options.limits = limits;
    start_guard(options);
    return join();
  }
  heard_link& ours() { return links_.front(); }
  bool ends() {
    return run_until([&] { return ours().closed.has_value(); });
  }
  static const error& goodbye() {
    static const error why{recovery::retry_later, "goodbye", "that is all"};
    return why;
  }
};

TEST_F(Link, FramesArriveWholeAndInOrder) {
  const auto peer = linked();
  constexpr std::uint64_t count = 500;
  for (std::uint64_t at = 1; at <= count; ++at) {
    peer->send(event_frame(at));
    EXPECT_TRUE(ours().handle->send(event_frame(at)));
  }
  ASSERT_TRUE(run_until([&] { return ours().frames.size() == count; }));
  ASSERT_TRUE(
      run_until([&] { return peer->received_bytes() >= count * bytes_of(event_frame()).size(); }));
  const auto got = peer->frames();
  for (std::uint64_t at = 1; at <= count; ++at) {
    EXPECT_EQ(ours().frames[at - 1], event_frame(at));
    EXPECT_EQ(got[at - 1], event_frame(at));
  }
}

TEST_F(Link, FramesOfTheLargestSizePass) {
  const auto peer = linked();
  const auto bytes = messages::payload_bytes_max(frame_kind::command);
  const messages::frame largest{frame_kind::command, std::vector<char>(bytes, 'x')};
  EXPECT_TRUE(ours().handle->send(largest));
  const messages::frame larger{frame_kind::command, std::vector<char>(bytes + 1, 'x')};
  EXPECT_FALSE(ours().handle->send(larger)) << "and only this frame is lost";
  EXPECT_TRUE(ours().handle->send(answer_frame()));
  ASSERT_TRUE(run_until([&] { return peer->received_bytes() > bytes + 100; }));
  EXPECT_EQ(peer->frames().front(), largest);
}

TEST_F(Link, AnIdleLinkShowsSignsOfLife) {
  limits::limit_set limits;
  limits.heartbeat = 5'000;
  const auto peer = linked(limits);
  ASSERT_TRUE(run_until([&] { return peer->frames().size() >= 3; }));
  for (const auto& frame : peer->frames())
    EXPECT_EQ(frame, (messages::frame{frame_kind::heartbeat, {}}));
}

TEST_F(Link, ASilentPeerIsLetGo) {
  limits::limit_set limits;
  limits.heartbeat = 10'000;
  limits.silence = 40'000;
  const auto peer = linked(limits);
  ASSERT_TRUE(ends());
  EXPECT_EQ(ours().closed_by(), "link_silent");
  EXPECT_FALSE(ours().handle->send(answer_frame())) << "it is closed";
  EXPECT_TRUE(run_until([&] { return peer->closed() && guard_->counters().links == 0; }));
}

TEST_F(Link, APeerThatLeavesIsNoticed) {
  const auto peer = linked();
  peer->close();
  ASSERT_TRUE(ends());
  EXPECT_EQ(ours().closed_by(), "link_lost");
}

TEST_F(Link, APeerThatTakesNothingOverflowsTheBytes) {
  limits::limit_set limits;
  limits.queue_bytes = 1 << 20;
  guard_options options;
  options.limits = limits;
  start_guard(options);
  const auto peer = dial();
  peer->begin(false);
  peer->send(hello_frame());
  ASSERT_TRUE(run_until([&] { return !links_.empty(); }));
  const messages::frame large{frame_kind::command, std::vector<char>(64 << 10, 'x')};
  int sent = 0;
  while (ours().handle->send(large) && sent < 10'000) {
    ++sent;
    io_.restart();
    io_.poll();
  }
  EXPECT_LT(sent, 1'000) << "the kernel takes some, the queue sixteen";
  ASSERT_TRUE(ends());
  EXPECT_EQ(ours().closed_by(), "peer_too_slow");
}

TEST_F(Link, TheQueueHoldsABoundedNumberOfFrames) {
  limits::limit_set limits;
  limits.queue_frames = 10;
  const auto peer = linked(limits);
  for (int at = 0; at < 10; ++at)
    EXPECT_TRUE(ours().handle->send(event_frame())); // Nothing runs in between.
  EXPECT_FALSE(ours().handle->send(event_frame()));
  ASSERT_TRUE(ends());
  EXPECT_EQ(ours().closed_by(), "peer_too_slow");
}

TEST_F(Link, AQueueThatDrainsTakesMoreThanItsLimitInSum) {
  limits::limit_set limits;
  limits.queue_frames = 10;
  const auto peer = linked(limits);
  for (std::size_t round = 1; round <= 20; ++round) {
    for (int at = 0; at < 10; ++at)
      ASSERT_TRUE(ours().handle->send(event_frame())) << round;
    ASSERT_TRUE(run_until(
        [&] { return peer->received_bytes() == round * 10 * bytes_of(event_frame()).size(); }));
    io_.restart();
    io_.poll(); // The write's own completion.
  }
}

TEST_F(Link, AFastPeerIsSlowedNotCut) {
  limits::limit_set limits;
  limits.node_frames_rate = 2'000;
  limits.node_frames_at_once = 100;
  const auto peer = linked(limits);
  const auto begun = std::chrono::steady_clock::now();
  for (int at = 0; at < 600; ++at)
    peer->send(event_frame());
  ASSERT_TRUE(run_until([&] { return ours().frames.size() == 600; }));
  EXPECT_GE(std::chrono::steady_clock::now() - begun, std::chrono::milliseconds(100));
  EXPECT_FALSE(ours().closed);
}

TEST_F(Link, APeerThatNeverCalmsDownIsCut) {
  limits::limit_set limits;
  limits.node_frames_rate = 1'000; // Less than the slowest machine takes in.
  limits.node_frames_at_once = 1'000;
  limits.node_pauses = 50'000;
  const auto peer = linked(limits);
  for (int at = 0; at < 5'000; ++at)
    peer->send(event_frame());
  ASSERT_TRUE(ends());
  EXPECT_EQ(ours().closed_by(), "peer_too_fast");
}

TEST_F(Link, ReadingWaitsForWhoeverWorksOnItsFrames) {
  limits::limit_set limits;
  limits.held_frames = 10;
  limits.heartbeat = 10'000;
  limits.silence = 40'000;
  const auto peer = linked(limits);
  ours().slow = true;
  for (int at = 0; at < 30; ++at)
    peer->send(event_frame());
  ASSERT_TRUE(run_until([&] { return ours().frames.size() == 10; }));
  const auto beats = peer->frames().size();
  ASSERT_TRUE(run_until([&] { return peer->frames().size() > beats + 10; })) << "time passes";
  EXPECT_EQ(ours().frames.size(), 10U);
  EXPECT_FALSE(ours().closed) << "it is not read, so it is not silent";
  ours().slow = false;
  ours().holds.clear();
  ASSERT_TRUE(run_until([&] { return ours().frames.size() == 30; }));
}

TEST_F(Link, HoldsOutliveTheLink) {
  const auto peer = linked();
  ours().slow = true;
  peer->send(event_frame());
  ASSERT_TRUE(run_until([&] { return !ours().holds.empty(); }));
  peer->close();
  ASSERT_TRUE(ends());
  ours().handle.reset();
  ours().holds.clear();
}

TEST_F(Link, WhatItsRoleMayNotSendEndsIt) {
  const auto peer = linked();
  peer->send({frame_kind::command, text_bytes("obey")});
  ASSERT_TRUE(ends());
  EXPECT_EQ(ours().closed_by(), "wrong_kind");
  EXPECT_TRUE(ours().frames.empty());
}

TEST_F(Link, ItsPeerCannotBecomeAnother) {
  const auto peer = linked();
  peer->send(hello_frame());
  ASSERT_TRUE(run_until([&] { return ours().frames.size() == 1; })) << "to repeat it is fine";
  peer->send(hello_frame(sender_kind::node, "edge-1", cluster, "another token"));
  ASSERT_TRUE(ends());
  EXPECT_EQ(ours().closed_by(), "wrong_token");
}

TEST_F(Link, CloseSendsWhatIsQueued) {
  limits::limit_set limits;
  limits.drain = 60 * limits::second_us;
  const auto peer = linked(limits);
  for (std::uint64_t at = 1; at <= 200; ++at)
    EXPECT_TRUE(ours().handle->send(event_frame(at)));
  peer->send(std::vector<char>(100, 'x')); // Unread input must not tear the answer away.
  ours().handle->close(goodbye());
  EXPECT_FALSE(ours().handle->send(event_frame()));
  ASSERT_TRUE(run_until([&] { return peer->closed(); }));
  EXPECT_EQ(peer->frames().size(), 200U);
  ASSERT_TRUE(ends());
  EXPECT_EQ(ours().closed, goodbye());
}

TEST_F(Link, CloseDoesNotWaitForEver) {
  limits::limit_set limits;
  limits.drain = 30'000;
  guard_options options;
  options.limits = limits;
  start_guard(options);
  const auto peer = dial();
  peer->begin(false);
  peer->send(hello_frame());
  ASSERT_TRUE(run_until([&] { return !links_.empty(); }));
  ours().handle->close(goodbye());
  ASSERT_TRUE(ends());
  EXPECT_EQ(ours().closed, goodbye());
}

TEST_F(Link, TheFirstReasonCountsAndIsToldOnce) {
  listen_ = false;
  const auto peer = linked();
  int told = 0;
  error reason;
  ours().handle->start({[](const messages::frame&) {},
                        [&](const error& why) {
                          ++told;
                          reason = why;
                        }});
  ours().handle->close(goodbye());
  ours().handle->close({recovery::bug, "second", "too late"});
  peer->close();
  ASSERT_TRUE(run_until([&] { return told > 0; }));
  io_.restart();
  io_.poll();
  EXPECT_EQ(told, 1);
  EXPECT_EQ(reason, goodbye());
}

TEST_F(Link, ACallbackMayCloseItsLink) {
  listen_ = false;
  const auto peer = linked();
  int frames = 0;
  bool closed = false;
  ours().handle->start({[&](const messages::frame&) {
                          ++frames;
                          ours().handle->close(goodbye());
                        },
                        [&](const error&) { closed = true; }});
  auto two = bytes_of(event_frame());
  const auto more = bytes_of(event_frame(2));
  two.insert(two.end(), more.begin(), more.end());
  peer->send(two);
  ASSERT_TRUE(run_until([&] { return closed; }));
  EXPECT_EQ(frames, 1) << "nothing is handed on after close()";
}

TEST_F(Link, ALinkThatEndedBeforeItsStartSaysSoThen) {
  listen_ = false;
  const auto peer = linked();
  ours().handle->close(goodbye());
  ASSERT_TRUE(run_until([&] { return guard_->counters().links == 0; }));
  ours().listen();
  ASSERT_TRUE(ends());
  EXPECT_EQ(ours().closed, goodbye());
}

TEST_F(Link, CallbacksAreReleasedAtTheEnd) {
  listen_ = false;
  const auto peer = linked();
  const auto held = std::make_shared<int>(1);
  ours().handle->start({[held](const messages::frame&) {}, [held](const error&) {}});
  peer->close();
  ASSERT_TRUE(run_until([&] { return held.use_count() == 1; }));
}

} // namespace
} // namespace consort::links
