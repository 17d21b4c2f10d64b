// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/network.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

namespace consort::sim {
namespace {

struct listener : network_peer {
  void on_frame(address, channel, const messages::frame& received) override {
    heard.push_back(received.payload.empty() ? '?' : received.payload.front());
  }
  void on_parcel(address from, channel, const parcel& received) override {
    const auto& told = std::get<core::request_cancelled>(std::get<core::event>(received));
    reasons.push_back(told.reason);
    if (answers)
      answers(from);
  }
  void on_closed(address, channel stream) override { closed.push_back(stream); }
  std::vector<std::string> reasons;
  std::function<void(address)> answers;
  std::string heard;
  std::vector<channel> closed;
};

class NetworkTest : public testing::Test {
protected:
  NetworkTest() {
    links_.attach(1, gateway_);
    links_.attach(2, node_);
  }
  void send(char letter, address from = 1, address to = 2, channel stream = 5) {
    links_.send(from, to, stream, messages::frame_kind::event, std::span(&letter, 1));
  }
  void play() {
    while (heap_.run_next()) {
    }
  }

  event_heap heap_;
  network links_{heap_, {1'000, 5'000}, 1};
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

/// Behind a cut they may be under way for long.
TEST_F(NetworkTest, WhatIsUnderWayToAProcessThatDiesNeverReachesItsSuccessor) {
  send('a', 1, 2, control_channel);
  links_.cut(2);
  send('b');
  links_.close(1, 2, 5);
  links_.detach(2);
  send('c', 1, 2, control_channel); // Arrives when somebody is there again.
  links_.attach(2, node_);
  send('d');
  play();
  links_.heal(2);
  play();
  EXPECT_EQ(node_.heard.size(), 2U) << node_.heard;
  EXPECT_EQ(node_.heard.find_first_of("ab"), std::string::npos) << node_.heard;
  EXPECT_TRUE(node_.closed.empty());
  EXPECT_EQ(gateway_.closed, std::vector<channel>{control_channel}) << "it hears that once";
}

/// Whoever dials anew before would take the old link's end for the new one's.
TEST_F(NetworkTest, TellsWhenTheEndOfALinkIsHeardAlsoBehindACut) {
  EXPECT_EQ(links_.end_heard(1, 2), 0);
  links_.troubles_of(2).reorder_us = 900'000;
  links_.detach(1);
  const auto heard = links_.end_heard(1, 2);
  EXPECT_GT(heard, 1'000);
  while (node_.closed.empty())
    ASSERT_TRUE(heap_.run_next());
  EXPECT_EQ(heap_.now(), heard);
  links_.attach(1, gateway_);
  links_.cut(2);
  links_.detach(1);
  play();
  links_.heal(2);
  EXPECT_EQ(links_.end_heard(1, 2), heap_.now() + 1'000);
  play();
  EXPECT_EQ(node_.closed.size(), 2U);
}

TEST_F(NetworkTest, TheDigestDependsOnEveryByte) {
  send('a');
  play();
  const auto before = links_.digest();
  event_heap other_heap;
  network other(other_heap, {1'000, 5'000}, 1);
  listener node;
  other.attach(2, node);
  const char letter = 'b';
  other.send(1, 2, 5, messages::frame_kind::event, std::span(&letter, 1));
  while (other_heap.run_next()) {
  }
  EXPECT_NE(other.digest(), before);
}

TEST_F(NetworkTest, AOneWayCutHoldsOneDirectionOnly) {
  links_.cut(2, fault_direction::inbound);
  send('a');
  send('b', 2, 1);
  play();
  EXPECT_EQ(node_.heard, "");
  EXPECT_EQ(gateway_.heard, "b");
  links_.heal(2);
  links_.cut(2, fault_direction::outbound);
  send('c', 2, 1);
  play();
  EXPECT_EQ(node_.heard, "a");
  EXPECT_EQ(gateway_.heard, "b");
}

TEST_F(NetworkTest, LossDelaysAndKeepsTheOrderOfAConnection) {
  links_.troubles_of(2).loss = limits::loss_share_max;
  for (char letter = 'a'; letter <= 'z'; ++letter)
    send(letter);
  play();
  EXPECT_EQ(node_.heard, "abcdefghijklmnopqrstuvwxyz");
  EXPECT_GT(heap_.now(), limits::resend_us);
  // Even if every try of one frame failed.
  EXPECT_LE(heap_.now(), 2 * (limits::resend_us << limits::resends_max));
}

TEST_F(NetworkTest, OnlyControlFramesArriveTwice) {
  links_.troubles_of(1).duplicate = 1;
  send('a');
  send('b', 1, 2, control_channel);
  play();
  EXPECT_EQ(std::count(node_.heard.begin(), node_.heard.end(), 'a'), 1);
  EXPECT_EQ(std::count(node_.heard.begin(), node_.heard.end(), 'b'), 2);
}

// Goal: values share places that are used again, and still each is what was sent, once more where
// it arrives twice, and not at all where its link broke.
TEST_F(NetworkTest, ValuesArriveAsTheyWereSentThoughTheirPlacesAreUsedAgain) {
  const auto hand = [&](const std::string& reason, address from = 1, address to = 2) {
    links_.hand_over(from, to, control_channel, core::event(core::request_cancelled{{}, reason}));
  };
  const std::string large(100, 'x');
  node_.answers = [&](address from) { hand("answer to " + node_.reasons.back(), 2, from); };
  hand(large);
  hand("b");
  play();
  EXPECT_EQ(node_.reasons, (std::vector<std::string>{large, "b"}));
  EXPECT_EQ(gateway_.reasons, (std::vector<std::string>{"answer to " + large, "answer to b"}));
  links_.sever(1, 2);
  hand("lost");
  play();
  links_.join(1, 2);
  node_.answers = {};
  links_.troubles_of(1).duplicate = 1;
  hand("twice");
  hand("last");
  play();
  EXPECT_EQ(node_.reasons,
            (std::vector<std::string>{large, "b", "twice", "twice", "last", "last"}));
  EXPECT_EQ(links_.frames(), 8U);
}

TEST_F(NetworkTest, ConnectionsOvertakeEachOtherAndEachKeepsItsOrder) {
  links_.troubles_of(2).reorder_us = 500'000;
  for (char letter = 'a'; letter <= 'e'; ++letter) {
    send(letter, 1, 2, 1);
    send(static_cast<char>(letter - 'a' + 'A'), 1, 2, 2);
  }
  play();
  std::string small;
  std::string large;
  for (const char letter : node_.heard)
    (letter >= 'a' ? small : large) += letter;
  EXPECT_EQ(small, "abcde");
  EXPECT_EQ(large, "ABCDE");
  EXPECT_NE(node_.heard, "aAbBcCdDeE");
}

} // namespace
} // namespace consort::sim
