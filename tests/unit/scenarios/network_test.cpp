// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/network.hpp"

#include <gtest/gtest.h>

namespace consort::sim {
namespace {

struct listener : network_peer {
  void on_frame(address, channel, const messages::frame& received) override {
    heard.push_back(received.payload.empty() ? '?' : received.payload.front());
  }
  void on_closed(address, channel stream) override { closed.push_back(stream); }
  std::string heard;
  std::vector<channel> closed;
};

class NetworkTest : public testing::Test {
protected:
  NetworkTest() {
    links_.attach(1, gateway_);
    links_.attach(2, node_);
  }
  void send(char letter, address from = 1, address to = 2) {
    links_.send(from, to, 5, messages::frame_kind::event, std::span(&letter, 1));
  }
  void play() {
    while (heap_.run_next()) {
    }
  }

  event_heap heap_;
  network links_{heap_, {1'000, 5'000}, random_source(1, "network")};
  listener gateway_;
  listener node_;
};

TEST_F(NetworkTest, KeepsTheOrderOfALinkUnderJitter) {
  for (char letter = 'a'; letter <= 'z'; ++letter)
    send(letter);
  play();
  EXPECT_EQ(node_.heard, "abcdefghijklmnopqrstuvwxyz");
  EXPECT_GE(heap_.now(), 1'000);
  EXPECT_LE(heap_.now(), 6'000);
  EXPECT_EQ(links_.frames(), 26U);
}

TEST_F(NetworkTest, HoldsFramesOfACutLinkAndDeliversThemInOrderAfterwards) {
  send('a');
  links_.cut(2);
  send('b');
  play();
  EXPECT_EQ(node_.heard, "");
  send('c');
  links_.heal(2);
  play();
  EXPECT_EQ(node_.heard, "abc");
}

TEST_F(NetworkTest, ADeadPeerResetsTheControlLinkOfEveryoneAndRefusesStreams) {
  links_.detach(2);
  play();
  EXPECT_EQ(gateway_.closed, std::vector<channel>{control_channel});
  send('a');
  play();
  EXPECT_EQ(gateway_.closed, (std::vector<channel>{control_channel, 5}));
  EXPECT_EQ(node_.heard, "");
}

TEST_F(NetworkTest, TheDigestDependsOnEveryByte) {
  send('a');
  play();
  const auto before = links_.digest();
  event_heap other_heap;
  network other(other_heap, {1'000, 5'000}, random_source(1, "network"));
  listener node;
  other.attach(2, node);
  const char letter = 'b';
  other.send(1, 2, 5, messages::frame_kind::event, std::span(&letter, 1));
  while (other_heap.run_next()) {
  }
  EXPECT_NE(other.digest(), before);
}

} // namespace
} // namespace consort::sim
