// SPDX-License-Identifier: Apache-2.0
// What bytes, rates and silence of a peer mean; no socket, no clock.
#include "links/session.hpp"

#include "tests/unit/links/hello_bytes.hpp"

#include <gmock/gmock.h>

#include <algorithm>

namespace consort::links {
namespace {

using namespace testing_support;

constexpr time_us opened_at = 1'000'000;

class Session : public testing::Test {
protected:
  /// The code of the refusal that `bytes` lead to; empty when there is none.
  std::string refusal_of(const std::vector<char>& bytes) {
    peer_.feed(bytes, opened_at);
    for (;;) {
      const auto next = peer_.next(opened_at);
      if (!next)
        return next.failure().code;
      if (!*next)
        return {};
      taken_.push_back(**next);
    }
  }
  void admit(peer_role role, const hello_rules* rules = nullptr) { peer_.admit(role, rules); }

  limits::limit_set limits_;
  session peer_{limits_, opened_at};
  std::vector<messages::frame> taken_;
};

TEST_F(Session, AHelloIsTakenFromAnyPieces) {
  const auto bytes = bytes_of(hello_frame());
  for (const char byte : bytes)
    EXPECT_EQ(refusal_of({byte}), "");
  ASSERT_EQ(taken_.size(), 1U);
  EXPECT_EQ(taken_.front(), hello_frame());
}

TEST_F(Session, NothingButAHelloComesFirst) {
  for (const auto kind : {frame_kind::event, frame_kind::heartbeat, frame_kind::hello_answer,
                          frame_kind::attempt_open, frame_kind::host_command}) {
    session fresh(limits_, opened_at);
    fresh.feed(header_bytes(static_cast<std::uint16_t>(kind), messages::protocol_version, 0),
               opened_at);
    const auto next = fresh.next(opened_at);
    ASSERT_FALSE(next);
    EXPECT_EQ(next.failure().code, "not_hello");
  }
}

TEST_F(Session, AHeaderThatClaimsGigabytesIsRefusedUnbuffered) {
  EXPECT_EQ(refusal_of(header_bytes(1, messages::protocol_version, 0xFFFFFFFF)), "frame_too_large");
  EXPECT_EQ(peer_.buffered(), 0U);
}

TEST_F(Session, AHelloHasItsOwnSmallerLimit) {
  const auto bytes = static_cast<std::uint32_t>(limits::hello_bytes_max);
  EXPECT_EQ(refusal_of(header_bytes(1, messages::protocol_version, bytes + 1)), "frame_too_large");
  session other(limits_, opened_at);
  other.feed(header_bytes(1, messages::protocol_version, bytes), opened_at);
  EXPECT_TRUE(other.next(opened_at)) << "waits for its payload";
}

TEST_F(Session, AVersionFromTheFutureIsNamed) {
  EXPECT_EQ(refusal_of(header_bytes(1, messages::protocol_version + 1, 10)), "frame_version");
}

TEST_F(Session, GarbageIsNoFrame) {
  EXPECT_EQ(refusal_of(text_bytes("GET / HTTP/1.1\r\n\r\n")), "bad_frame");
  EXPECT_EQ(refusal_of(bytes_of(hello_frame())), "bad_frame") << "and that is final";
}

TEST_F(Session, EachRoleHasItsKinds) {
  struct row {
    peer_role role;
    std::vector<frame_kind> allowed;
  };
  const std::vector<row> table
      = {{peer_role::node,
          {frame_kind::hello, frame_kind::event, frame_kind::query_answer, frame_kind::heartbeat}},
         {peer_role::gateway,
          {frame_kind::hello, frame_kind::event, frame_kind::query, frame_kind::heartbeat}},
         {peer_role::scheduler,
          {frame_kind::hello_answer, frame_kind::command, frame_kind::query,
           frame_kind::query_answer, frame_kind::heartbeat}},
         {peer_role::admin, {}}};
  for (const auto& [role, allowed] : table)
    for (std::uint16_t number = 0; number < 64; ++number) {
      const auto kind = static_cast<frame_kind>(number);
      EXPECT_EQ(may_send(role, kind), std::count(allowed.begin(), allowed.end(), kind) == 1)
          << name_of(role) << " " << number;
    }
}

TEST_F(Session, AKindOfAnotherRoleIsRefusedByItsHeader) {
  admit(peer_role::node);
  EXPECT_EQ(refusal_of(header_bytes(static_cast<std::uint16_t>(frame_kind::attempt_open),
                                    messages::protocol_version, 16 << 20)),
            "wrong_kind");
}

TEST_F(Session, TheLinksOwnHeartbeatsAreNotHandedOn) {
  admit(peer_role::gateway);
  auto bytes = bytes_of({frame_kind::heartbeat, {}});
  const messages::frame spoken{frame_kind::heartbeat,
                               *messages::encode(sender(messages::sender_kind::gateway, "g"),
                                                 messages::heartbeat{5, false})};
  const auto more = bytes_of(spoken);
  bytes.insert(bytes.end(), more.begin(), more.end());
  EXPECT_EQ(refusal_of(bytes), "");
  EXPECT_THAT(taken_, testing::ElementsAre(spoken)) << "those with a payload are the user's";
}

TEST_F(Session, AHelloInAnothersNameEndsTheLink) {
  const hello_rules rules{cluster, token, peer_identity{cluster, peer_role::node, "edge-1", "", 0}};
  admit(peer_role::node, &rules);
  EXPECT_EQ(refusal_of(bytes_of(hello_frame())), "") << "saying it again is fine";
  EXPECT_EQ(refusal_of(bytes_of(hello_frame(messages::sender_kind::node, "edge-2"))), "wrong_name");
}

TEST_F(Session, TooManyFramesPauseAndThenEndTheLink) {
  limits_.node_frames_rate = limits_.node_frames_at_once = 100;
  limits_.node_pauses = 5'000'000;
  session fast(limits_, opened_at);
  fast.admit(peer_role::node, nullptr);
  std::vector<char> hundred;
  for (int at = 0; at < 100; ++at) {
    const auto one = bytes_of(event_frame());
    hundred.insert(hundred.end(), one.begin(), one.end());
  }
  auto now = opened_at;
  std::string refusal;
  for (int round = 0; round < 100 && refusal.empty(); ++round) {
    fast.feed(hundred, now);
    for (;;) {
      const auto next = fast.next(now);
      if (!next)
        refusal = next.failure().code;
      if (!next || !*next)
        break;
    }
    now += fast.pause(now);
  }
  EXPECT_EQ(refusal, "peer_too_fast");
  EXPECT_GT(now - opened_at, limits_.node_pauses) << "it was slowed for that long before";
}

// --- signs of life ---

TEST_F(Session, AnIdleLinkBeats) {
  EXPECT_EQ(peer_.next_tick(), opened_at + limits::heartbeat_us);
  EXPECT_EQ(peer_.tick(opened_at + limits::heartbeat_us - 1), tick_action::none);
  auto now = peer_.next_tick();
  for (int beat = 0; beat < 3; ++beat) {
    EXPECT_EQ(peer_.tick(now), tick_action::beat);
    peer_.writing(now);
    peer_.written(now);
    peer_.feed({}, now);
    EXPECT_EQ(peer_.next_tick(), now + limits::heartbeat_us);
    now = peer_.next_tick();
  }
}

TEST_F(Session, WhoGreetsBeatsNotBeforeItsHello) {
  peer_.greet();
  auto now = opened_at;
  for (int tick = 0; tick < 3; ++tick) {
    now = peer_.next_tick();
    EXPECT_EQ(peer_.tick(now), tick_action::none);
  }
  peer_.writing(now);
  peer_.written(now);
  peer_.feed({}, now);
  EXPECT_EQ(peer_.tick(peer_.next_tick()), tick_action::beat);
}

TEST_F(Session, ABusyLinkNeedsNoBeat) {
  auto now = opened_at;
  for (int round = 0; round < 10; ++round) {
    now += 100'000;
    peer_.writing(now);
    peer_.written(now);
    peer_.feed({}, now);
    EXPECT_EQ(peer_.tick(now), tick_action::none);
  }
}

TEST_F(Session, OneSecondOfSilenceIsTheEnd) {
  auto now = opened_at;
  tick_action last = tick_action::none;
  while (last != tick_action::silent && now < opened_at + 10 * limits::silence_us) {
    now = peer_.next_tick();
    last = peer_.tick(now);
  }
  EXPECT_EQ(now, opened_at + limits::silence_us);
}

TEST_F(Session, ALateTickIsNotHeldAgainstThePeer) {
  const auto late = opened_at + 5 * limits::second_us; // This process slept.
  EXPECT_EQ(peer_.tick(late), tick_action::beat);
  peer_.writing(late);
  peer_.written(late);
  auto now = late;
  tick_action last = tick_action::none;
  while (last != tick_action::silent && now < late + 10 * limits::silence_us) {
    now = peer_.next_tick();
    last = peer_.tick(now);
  }
  EXPECT_EQ(now, late + 2 * limits::heartbeat_us) << "but it has to show up soon";
}

TEST_F(Session, APausedPeerIsNotSilent) {
  limits_.frames_rate = limits_.frames_at_once = 1;
  limits_.node_frames_rate = limits_.node_frames_at_once = 1;
  session paused(limits_, opened_at);
  paused.admit(peer_role::node, nullptr);
  std::vector<char> bytes;
  for (int at = 0; at < 5; ++at) {
    const auto one = bytes_of(event_frame());
    bytes.insert(bytes.end(), one.begin(), one.end());
  }
  paused.feed(bytes, opened_at);
  for (int at = 0; at < 5; ++at)
    ASSERT_TRUE(paused.next(opened_at));
  ASSERT_TRUE(paused.next(opened_at));
  const auto span = paused.pause(opened_at);
  EXPECT_GT(span, limits::silence_us);
  for (auto now = paused.next_tick(); now < opened_at + span; now = paused.next_tick())
    ASSERT_NE(paused.tick(now), tick_action::silent);
}

TEST_F(Session, AWriteThatMovesNothingIsAStall) {
  peer_.writing(opened_at);
  auto now = opened_at;
  tick_action last = tick_action::none;
  while (last == tick_action::none && now < opened_at + 10 * limits::write_stall_us) {
    now = peer_.next_tick();
    peer_.feed({}, now); // It speaks, but does not listen.
    last = peer_.tick(now);
  }
  EXPECT_EQ(last, tick_action::stalled);
  EXPECT_LT(now - opened_at, limits::write_stall_us + 2 * limits::heartbeat_us);
}

TEST_F(Session, AWriteThatMovesIsNone) {
  auto now = opened_at;
  for (int round = 0; round < 100; ++round) {
    peer_.writing(now);
    peer_.feed({}, now);
    now = peer_.next_tick();
    EXPECT_EQ(peer_.tick(now), tick_action::none);
  }
}

} // namespace
} // namespace consort::links
