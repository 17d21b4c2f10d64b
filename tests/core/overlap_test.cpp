// SPDX-License-Identifier: Apache-2.0
// Partitions that overlap, and a device with its parts: what is idle on one gives way to who waits
// for another, and who has to wait is told what is in the way.
#include "tests/support/core_fixture.hpp"

namespace consort::core::testing {

namespace {

/// A board in two halves, and a part that takes something of each.
void board(core_fixture& t) {
  auto whole = cpu_spec("a", 0);
  auto left = cpu_spec("a", 1);
  auto right = cpu_spec("a", 2);
  auto middle = cpu_spec("a", 3);
  for (auto* part : {&left, &right, &middle})
    part->parent = whole.id;
  middle.exclusive_siblings = {left.id, right.id};
  t.join("a");
  for (const auto& one : {whole, left, right, middle})
    t.advertise(one);
}

/// Serves one request there, loading the model first. Returns: its instance.
instance_id serve_on(core_fixture& t, const std::string& device) {
  t.submit(device);
  t.take_all<queue_notice>();
  const auto load = t.finish_load();
  t.finish(t.expect<grant_ticket>());
  t.expect<record_request>();
  return load.instance;
}

void left(core_fixture& t, const unload_replica& order) {
  t.feed(replica_unloaded{order.instance, t.life_of("a")});
}

} // namespace

TEST(Overlap, IdlePartsGiveWayToWhoWaitsForOneThatOverlaps) {
  for (const char* wanted : {"a/cpu3", "a/cpu0"}) {
    core_fixture t;
    board(t);
    t.declare(story_spec());
    serve_on(t, "a/cpu1");
    serve_on(t, "a/cpu2");
    t.expect_empty();
    t.submit(wanted);
    const auto orders = t.take_all<unload_replica>();
    ASSERT_EQ(orders.size(), 2U) << wanted;
    EXPECT_EQ(orders[0].reason, std::string("makes room for storyteller on ") + wanted
                                    + ", with which it shares units");
    t.take_all<queue_notice>();
    left(t, orders[0]);
    EXPECT_EQ(t.take_all<release_allocation>().size(), 1U);
    EXPECT_TRUE(t.take_all<reserve_allocation>().empty()) << "nothing else takes what is free";
    left(t, orders[1]);
    EXPECT_EQ(t.take_all<release_allocation>().size(), 1U);
    t.take_all<queue_notice>();
    const auto load = t.finish_load();
    EXPECT_EQ(load.grant.shares.at(0).device.value, wanted);
    t.finish(t.expect<grant_ticket>());
    t.expect<record_request>();
    t.expect_empty();
  }
}

TEST(Overlap, AnIdleWholeGivesWayToItsPart) {
  core_fixture t;
  board(t);
  t.declare(story_spec());
  const auto whole = serve_on(t, "a/cpu0");
  t.submit("a/cpu2");
  const auto orders = t.take_all<unload_replica>();
  ASSERT_EQ(orders.size(), 1U);
  EXPECT_EQ(orders[0].instance, whole);
  t.drop_all();
}

/// None of them leaves in vain.
TEST(Overlap, OneThatIsBusyKeepsTheOthersUntilSomebodyStarves) {
  core_fixture t;
  board(t);
  t.declare(story_spec());
  serve_on(t, "a/cpu1");
  serve_on(t, "a/cpu2");
  t.submit("a/cpu2");
  const auto running = t.expect<grant_ticket>();
  t.start(running);
  t.submit("a/cpu3");
  EXPECT_TRUE(t.take_all<unload_replica>().empty());
  const auto told = t.take_all<queue_notice>();
  ASSERT_FALSE(told.empty());
  EXPECT_NE(told.back().reason.find("; a/cpu3 shares units with a/cpu1 (storyteller is idle), "
                                    "a/cpu2 (storyteller is busy)"),
            std::string::npos)
      << told.back().reason;
  for (std::uint32_t seconds = 1; seconds * second <= limits::starvation_us + second; ++seconds) {
    t.pass_time_renewing(second, {"a"});
    t.progress(running, seconds);
  }
  EXPECT_EQ(t.take_all<unload_replica>().size(), 1U) << "the idle one at once";
  t.finish(running);
  EXPECT_EQ(t.take_all<unload_replica>().size(), 1U) << "the other when its work is done";
  t.drop_all();
}

/// Kept replicas stay, and the answer says what is in the way.
TEST(Overlap, WhatIsKeptIsNamedToWhoCannotGetIn) {
  core_fixture t;
  board(t);
  auto tales = story_spec("tales");
  tales.replicas_min = 1;
  t.declare(tales);
  const auto kept = t.finish_load();
  const auto holder = kept.grant.shares.at(0).device.value;
  t.declare(story_spec());
  const std::string wanted = holder == "a/cpu0" ? "a/cpu3" : "a/cpu0";
  auto meta = t.request(wanted);
  meta.wait_us = second;
  t.submit(meta);
  t.take_all<queue_notice>();
  plan_wish wish;
  wish.model = model_name{"storyteller"};
  wish.selector = wanted;
  const auto plan = t.tested().plan(wish, t.now());
  ASSERT_TRUE(plan);
  EXPECT_NE(plan->decisions.at(0).reason.find("shares units with " + holder + " (tales is idle)"),
            std::string::npos)
      << plan->decisions.at(0).reason;
  t.pass_time(second);
  const auto end = t.expect<reject_request>();
  EXPECT_EQ(end.http_status, 503);
  EXPECT_NE(end.reason.message.find("shares units with " + holder + " (tales is idle)"),
            std::string::npos)
      << end.reason.message;
  t.expect<record_request>();
  t.expect_empty();
}

} // namespace consort::core::testing
