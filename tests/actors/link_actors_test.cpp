// SPDX-License-Identifier: Apache-2.0
#include "actors/link_actors.hpp"
#include "tests/support/actor_fixture.hpp"

namespace consort::actors {
namespace {

/// The far end of a link, as a test sees it.
struct far_end {
  std::vector<frame> got;
  int closed = 0;

  std::shared_ptr<const link_ends> ends() {
    return std::make_shared<const link_ends>(
        link_ends{[this](const frame& sent) { got.push_back(sent); }, [this] { ++closed; }});
  }
};

/// Counts what an owner hears from its uplink.
class owner_state {
public:
  static inline const char* name = "owner";
  struct heard {
    int restored = 0;
    int lost = 0;
    std::vector<frame> frames;
  };
  owner_state(caf::event_based_actor*, heard* into) : into_(into) {}
  caf::behavior make_behavior() {
    return {
        [this](const frame& incoming) { into_->frames.push_back(incoming); },
        [this](link_restored) { ++into_->restored; },
        [this](link_lost) { ++into_->lost; },
    };
  }

private:
  heard* into_;
};

class LinkActors : public actor_fixture {
protected:
  void TearDown() override { stop_all(); }

  caf::actor start_uplink() {
    const auto uplink = remember(spawn_state<uplink_state>(system_));
    owner_ = remember(spawn_state<owner_state>(system_, &heard_));
    post_from_outside(uplink, uplink_owner{owner_});
    run();
    return uplink;
  }
  void tell(const caf::actor& uplink, auto message) {
    post_from_outside(uplink, std::move(message));
    run();
  }

  far_end first_;
  far_end second_;
  owner_state::heard heard_;
  caf::actor owner_;
};

TEST_F(LinkActors, PeerSendsWhatItGetsAndClosesItsLinkAtTheEnd) {
  const auto peer = spawn_state<peer_state>(system_, first_.ends());
  tell(peer, frame{7, {'x'}});
  ASSERT_EQ(first_.got.size(), 1u);
  EXPECT_EQ(first_.got[0].kind, 7);
  EXPECT_EQ(first_.closed, 0);
  stop(peer);
  run();
  EXPECT_EQ(first_.closed, 1);
}

TEST_F(LinkActors, PeerClosesItsLinkBehindARefusalOnly) {
  messages::envelope from;
  from.kind = messages::sender_kind::scheduler;
  from.sender = "test";
  const auto peer = remember(spawn_state<peer_state>(system_, first_.ends()));
  messages::hello_answer answer;
  tell(peer, *to_frame(from, answer));
  EXPECT_EQ(first_.closed, 0) << "a welcome";
  answer.refusal = error{recovery::retry_later, "name_taken", "another agent has it"};
  tell(peer, *to_frame(from, answer));
  EXPECT_EQ(first_.got.size(), 2u) << "it is told why";
  EXPECT_EQ(first_.closed, 1);
}

TEST_F(LinkActors, UplinkDropsFramesWhileNoLinkIsOpen) {
  const auto uplink = start_uplink();
  tell(uplink, frame{1, {}});
  EXPECT_EQ(heard_.restored, 0);
  tell(uplink, link_opened{1, first_.ends()});
  EXPECT_TRUE(first_.got.empty()) << "what was said before is said again by its owner";
  EXPECT_EQ(heard_.restored, 1);
  tell(uplink, frame{2, {}});
  ASSERT_EQ(first_.got.size(), 1u);
  EXPECT_EQ(first_.got[0].kind, 2);
}

TEST_F(LinkActors, UplinkTellsAnOwnerThatComesAfterTheLink) {
  const auto uplink = remember(spawn_state<uplink_state>(system_));
  tell(uplink, link_opened{1, first_.ends()});
  owner_ = remember(spawn_state<owner_state>(system_, &heard_));
  tell(uplink, uplink_owner{owner_});
  EXPECT_EQ(heard_.restored, 1);
}

TEST_F(LinkActors, UplinkReplacesALinkByANewerOneOnly) {
  const auto uplink = start_uplink();
  tell(uplink, link_opened{2, second_.ends()});
  tell(uplink, link_opened{1, first_.ends()});
  tell(uplink, frame{3, {}});
  EXPECT_TRUE(first_.got.empty());
  EXPECT_EQ(second_.got.size(), 1u);
  tell(uplink, link_opened{3, first_.ends()});
  EXPECT_EQ(second_.closed, 1);
  EXPECT_EQ(heard_.restored, 2);
}

TEST_F(LinkActors, UplinkIgnoresTheEndAndTheFramesOfAnOlderLink) {
  const auto uplink = start_uplink();
  tell(uplink, link_opened{1, first_.ends()});
  tell(uplink, link_opened{2, second_.ends()});
  tell(uplink, link_closed{1});
  tell(uplink, link_frame{1, frame{4, {}}});
  EXPECT_EQ(heard_.lost, 0);
  EXPECT_TRUE(heard_.frames.empty());
  tell(uplink, link_frame{2, frame{5, {}}});
  ASSERT_EQ(heard_.frames.size(), 1u);
  EXPECT_EQ(heard_.frames[0].kind, 5);
  tell(uplink, link_closed{2});
  EXPECT_EQ(heard_.lost, 1);
}

TEST_F(LinkActors, UplinkAnswersWhenWhatWasSentBeforeIsWithTheLink) {
  const auto uplink = start_uplink();
  tell(uplink, link_opened{1, first_.ends()});
  std::size_t sent = 0;
  post_from_outside(uplink, frame{5, {}});
  tell(uplink, leave_wanted{true, [&] { sent = first_.got.size(); }});
  EXPECT_EQ(sent, 1u);
  bool answered = false;
  tell(uplink, link_closed{1});
  tell(uplink, leave_wanted{true, [&] { answered = true; }});
  EXPECT_TRUE(answered) << "nobody waits for a link that is gone";
}

} // namespace
} // namespace consort::actors
