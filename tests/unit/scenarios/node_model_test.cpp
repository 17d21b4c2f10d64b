// SPDX-License-Identifier: Apache-2.0
// A simulated node alone: what it tells a scheduler that only listens.
#include "scenarios/sim/node_model.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace consort::sim {
namespace {

/// A scheduler that keeps what it hears.
struct silent_scheduler : network_peer {
  void on_frame(address, channel, const messages::frame&) override {}
  void on_parcel(address, channel, const parcel& received) override {
    if (const auto* event = std::get_if<core::event>(&received))
      heard.push_back(*event);
  }
  void on_closed(address, channel) override {}

  template <class Event>
  [[nodiscard]] std::vector<Event> all() const {
    std::vector<Event> made;
    for (const auto& one : heard)
      if (const auto* found = std::get_if<Event>(&one))
        made.push_back(*found);
    return made;
  }
  std::vector<core::event> heard;
};

class NodeModelTest : public testing::Test {
protected:
  NodeModelTest() {
    links_.attach(scheduler_address, scheduler_);
    scenario_node described;
    described.name = "n";
    described.devices = {find_device_model("refnpu-1")};
    node_ = std::make_unique<node_model>(
        node_world{heap_, links_, watchers_, 3 * limits::second_us,
                   [](const node_id&) -> node_model* { return nullptr; }, models_,
                   token_delivery::each},
        described, first_node_address, random_source(1, "node n"));
    node_->start();
  }

  void command(core::command wanted) {
    links_.hand_over(scheduler_address, first_node_address, control_channel, std::move(wanted));
  }
  void play(duration_us span) {
    const auto until = heap_.now() + span;
    while (!heap_.empty() && heap_.next_time() <= until)
      heap_.run_next();
  }
  /// Builds the one artifact, which takes the reference compiler four seconds. Returns: its digest.
  digest build(std::uint64_t number) {
    core::start_compile wanted;
    wanted.node = node_id("n");
    wanted.compile = compile_id(number);
    wanted.key.binds = "weights";
    wanted.key.profile.name = "refnpu";
    wanted.model = model_name("m");
    wanted.source.weight_bytes = 1'000;
    command(wanted);
    play(5 * limits::second_us);
    return scheduler_.all<core::compile_finished>().at(number - 1).record.content;
  }

  event_heap heap_;
  network links_{heap_, {100, 0, true}, 1};
  observer_list watchers_;
  std::vector<scenario_model> models_{{"m", shape_of_sizes(1'000, 10), 1'000, 10, 512, 0, 0, 1}};
  silent_scheduler scheduler_;
  std::unique_ptr<node_model> node_;
};

TEST_F(NodeModelTest, WhatRottedIsFoundOutOnce) {
  const auto content = build(1);
  EXPECT_TRUE(node_->hand_out(content));
  node_->corrupt_store();
  EXPECT_FALSE(node_->hand_out(content));
  play(limits::second_us);
  ASSERT_EQ(scheduler_.all<core::artifact_lost>().size(), 1U);
  EXPECT_FALSE(node_->hand_out(content)) << "it is gone";
  EXPECT_EQ(build(2), content) << "the same key builds the same bytes";
  EXPECT_TRUE(node_->hand_out(content));
}

TEST_F(NodeModelTest, WhatIsBuiltAnewIsNotRottenWhateverItReplaces) {
  const auto content = build(1);
  node_->corrupt_store();
  command(core::delete_artifact{node_id("n"), content}); // Nobody looked at it before.
  build(2);
  EXPECT_TRUE(node_->hand_out(content));
  EXPECT_EQ(scheduler_.all<core::artifact_lost>().size(), 1U) << "deleted as told, not rotten";
}

} // namespace
} // namespace consort::sim
