// SPDX-License-Identifier: Apache-2.0
// A simulated node alone: what it tells a scheduler that only listens.
#include "scenarios/sim/node_model.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

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
    node_ = make("n", first_node_address, find_device_model("refnpu-1"));
    node_->start();
  }

  std::unique_ptr<node_model> make(const std::string& name, address at, device_model_ptr device) {
    scenario_node described;
    described.name = name;
    described.devices = {std::move(device)};
    return std::make_unique<node_model>(
        node_world{heap_, links_, watchers_, 3 * limits::second_us,
                   [](const node_id&) -> node_model* { return nullptr; }, models_,
                   token_delivery::each},
        described, at, random_source(1, "node " + name));
  }
  /// An instance of 10,000 bytes of weights on a device of each of these nodes, led by the first.
  static core::load_replica load_on(const std::vector<std::string>& nodes) {
    core::load_replica made;
    made.node = node_id(nodes.front());
    made.instance = instance_id(1);
    made.grant.id = allocation_id(1);
    for (const auto& name : nodes)
      made.grant.shares.push_back({device_id(name + "/npu0"), false, 1'000'000});
    made.model = model_name("m");
    made.variant.weight_bytes = 10'000;
    made.variant.kv_bytes_per_token = 10;
    return made;
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

/// A gateway that keeps how each of its streams began.
struct listening_gateway : network_peer {
  void on_frame(address, channel, const messages::frame&) override {}
  void on_parcel(address, channel stream, const parcel& received) override {
    const auto& happened = std::get<attempt_event>(received);
    const auto* aborted = std::get_if<attempt_aborted>(&happened);
    began.emplace(stream, aborted ? aborted->failure.message : "opened");
  }
  void on_closed(address, channel) override {}
  std::map<channel, std::string> began;
};

// Goal: a ticket is good once, in whatever order tickets of different expiries are used, and for as
// long as a clock may be set back after its expiry.
TEST_F(NodeModelTest, ATicketIsGoodOnce) {
  listening_gateway gateway;
  links_.attach(gateway_address, gateway);
  play(limits::second_us / 10);
  const auto life = scheduler_.all<core::node_joined>().at(0).life;
  const device_id device("n/npu0");
  command(core::grant_lease{node_id("n"), life, epoch(1), 3'600 * limits::second_us});
  core::load_replica load;
  load.node = node_id("n");
  load.instance = instance_id(1);
  load.grant.id = allocation_id(1);
  load.grant.shares = {{device, false, 1'000'000}};
  load.model = model_name("m");
  load.variant.weight_bytes = 1'000;
  load.variant.kv_bytes_per_token = 10;
  command(core::reserve_allocation{node_id("n"), load.grant});
  command(load);
  play(10 * limits::second_us);
  ASSERT_EQ(scheduler_.all<core::replica_loaded>().size(), 1U);

  channel stream = control_channel;
  const auto open = [&](std::uint64_t number, time_us expires_at) {
    plain_open wanted;
    auto& permission = wanted.wanted.permission;
    permission.attempt = {{gateway_id(1), number}, 1};
    permission.instance = instance_id(1);
    permission.device = device;
    permission.node = node_id("n");
    permission.node_incarnation = life;
    permission.lease_epoch = epoch(1);
    permission.model = model_name("m");
    permission.expires_at = expires_at;
    wanted.prompt_tokens = wanted.output_tokens = 1;
    links_.hand_over(gateway_address, first_node_address, ++stream, wanted);
    play(limits::second_us);
    return gateway.began.at(stream);
  };
  const auto second = limits::second_us;
  EXPECT_EQ(open(1, 60 * second), "opened");
  EXPECT_EQ(open(2, 50 * second), "opened") << "granted before, used after";
  EXPECT_EQ(open(3, 70 * second), "opened");
  for (const auto& [number, expiry] : {std::pair(1, 60), std::pair(2, 50), std::pair(3, 70)})
    EXPECT_EQ(open(static_cast<std::uint64_t>(number), expiry * second),
              "the ticket was used before");
  // Ten minutes later its clock is set back by as much.
  play(600 * second);
  EXPECT_EQ(open(4, 700 * second), "opened");
  node_->set_skew(-590 * second);
  EXPECT_EQ(open(1, 60 * second), "the ticket was used before");
  EXPECT_EQ(open(5, 60 * second), "opened");
}

TEST_F(NodeModelTest, ADeviceThatLoadsIsAwakeAndEachNodeLoadsItsOwnPart) {
  auto sleepy = *find_device_model("refnpu-1");
  sleepy.load_us = 0;
  sleepy.load_bytes_per_s = 1'000; // Ten seconds for all of it.
  sleepy.sleep_after_us = 2 * limits::second_us;
  sleepy.sleep_mw = 100;
  for (const bool two : {false, true}) {
    const std::string name = two ? "both" : "alone";
    const auto at = static_cast<address>(first_node_address + (two ? 2 : 1));
    const auto node = make(name, at, std::make_shared<const device_model>(sleepy));
    scheduler_.heard.clear();
    node->start();
    const auto load = load_on(two ? std::vector<std::string>{name, "n"} : std::vector{name});
    links_.hand_over(scheduler_address, at, control_channel,
                     core::command(core::reserve_allocation{node_id(name), load.grant}));
    links_.hand_over(scheduler_address, at, control_channel, core::command(load));
    play(19 * limits::second_us + limits::second_us / 2);
    const auto loaded = scheduler_.all<core::replica_loaded>();
    ASSERT_EQ(loaded.size(), 1U);
    EXPECT_EQ(loaded[0].load_us, (two ? 5 : 10) * limits::second_us);
    std::vector<std::uint64_t> drawn_mw; // Once a second.
    for (const auto& report : scheduler_.all<core::device_reported>())
      if (report.device.value == name + "/npu0")
        drawn_mw.push_back(report.reading.power_mw.value_or(0));
    ASSERT_GE(drawn_mw.size(), 18U);
    EXPECT_EQ(drawn_mw[two ? 3 : 8], sleepy.idle_mw) << "it loads";
    EXPECT_EQ(drawn_mw[two ? 5 : 10], sleepy.idle_mw) << "not idle for long enough";
    EXPECT_EQ(drawn_mw.back(), sleepy.sleep_mw);
    node->kill();
    play(2 * limits::second_us); // Its timers run out while it is still there.
  }
}

TEST_F(NodeModelTest, ABuildDrawsWhatItsDeviceSaysAndNoRequestPaysForIt) {
  auto built_for = *find_device_model("refnpu-1"); // Four seconds a build.
  built_for.compile_mw = 50'000;
  const auto at = static_cast<address>(first_node_address + 1);
  const auto node = make("o", at, std::make_shared<const device_model>(built_for));
  node->start();
  core::start_compile wanted;
  wanted.node = node_id("o");
  wanted.compile = compile_id(1);
  wanted.key.binds = "weights";
  wanted.key.profile.name = "refnpu";
  wanted.model = model_name("m");
  wanted.source.weight_bytes = 1'000;
  links_.hand_over(scheduler_address, at, control_channel, core::command(wanted));
  play(6 * limits::second_us + limits::second_us / 2);
  std::vector<core::device_reported> told;
  for (auto& report : scheduler_.all<core::device_reported>())
    if (report.device.value == "o/npu0")
      told.push_back(std::move(report));
  ASSERT_EQ(told.size(), 6U); // Once a second.
  EXPECT_EQ(told[0].reading.power_mw, built_for.idle_mw + 50'000);
  EXPECT_EQ(told[5].reading.power_mw, built_for.idle_mw);
  const double idle_mj = 6.0 * static_cast<double>(built_for.idle_mw);
  EXPECT_NEAR(static_cast<double>(*told[5].reading.energy_mj), idle_mj + 4 * 50'000, 2);
  // The first reading is where the split begins.
  EXPECT_NEAR(static_cast<double>(*told[5].reading.idle_mj), idle_mj * 5 / 6, 2);
  EXPECT_EQ(told[5].reading.charged_mj.value_or(0), 0U);
  node->kill();
  play(2 * limits::second_us);
}

TEST_F(NodeModelTest, AThrottledDeviceSaysWhyItIsDegraded) {
  node_->set_slowness(device_id("n/npu0"), 3, true);
  play(3 * limits::second_us);
  node_->set_slowness(device_id("n/npu0"), 1, false);
  play(2 * limits::second_us);
  const auto reports = scheduler_.all<core::device_reported>();
  ASSERT_GE(reports.size(), 4U);
  EXPECT_EQ(reports[1].reading.health, device_health::degraded);
  EXPECT_EQ(reports[1].reading.health_reason, throttled_words);
  EXPECT_EQ(reports[1].reading.temperature_mc, throttled_mc);
  EXPECT_EQ(reports.back().reading.health_reason, "");
}

} // namespace
} // namespace consort::sim
