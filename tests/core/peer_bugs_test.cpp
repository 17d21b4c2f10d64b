// SPDX-License-Identifier: Apache-2.0
// What went wrong in other routers and schedulers, each as a test of ours. The name says what must
// hold; the comment above says what was seen.
#include "tests/support/core_fixture.hpp"

#include <functional>
#include <set>

namespace consort::core::testing {

namespace {

/// `devices` CPUs on one node, each with a ready replica.
void fleet(core_fixture& t, int devices, std::uint64_t sequences = 4) {
  t.join("local");
  auto model = story_spec();
  model.replicas_min = static_cast<std::uint32_t>(devices);
  t.declare(model);
  for (int at = 0; at < devices; ++at) {
    t.advertise(cpu_spec("local", at));
    t.finish_load(sequences);
  }
}

std::uint32_t running_on(const core_fixture& t, const std::string& device) {
  for (const auto& one : t.view().devices)
    if (one.spec.id.value == device)
      return one.running;
  return 0;
}

/// Nothing is held anywhere, and nothing counts as running.
void expect_at_rest(const core_fixture& t) {
  for (const auto& one : t.view().replicas) {
    EXPECT_EQ(one.running, 0U) << one.leader.value;
    EXPECT_EQ(one.kv_tokens_reserved, 0U) << one.leader.value;
  }
}

// A client's malformed requests opened the breakers of the whole fleet.
TEST(PeerBugs, ClientErrorsDoNotCountAgainstADevice) {
  core_fixture t;
  fleet(t, 1);
  for (std::uint32_t i = 0; i < 4 * limits::breaker_failures; ++i) {
    t.submit();
    const auto ticket = t.expect<grant_ticket>();
    t.start(ticket);
    t.fail(ticket, recovery::refuse, 0, i % 2 == 0);
    t.drop_all();
  }
  EXPECT_EQ(t.view().devices.at(0).breaker, "closed");
  t.submit();
  t.expect<grant_ticket>();
}

// A worker stayed half-open for ever: its probe never closed the breaker.
TEST(PeerBugs, HalfOpenCloses) {
  core_fixture t;
  fleet(t, 2);
  for (std::uint32_t i = 0; i < limits::breaker_failures; ++i) {
    t.submit("local/cpu0");
    t.fail(t.expect<grant_ticket>());
    t.drop_all();
  }
  ASSERT_EQ(t.view().devices.at(0).breaker, "open");
  t.pass_time(limits::breaker_open_min_us);
  ASSERT_EQ(t.view().devices.at(0).breaker, "half-open");
  t.submit("local/cpu0");
  const auto probe = t.expect<grant_ticket>();
  t.submit("local/cpu0");
  EXPECT_TRUE(t.take_all<grant_ticket>().empty()) << "one probe at a time";
  t.finish(probe);
  EXPECT_EQ(t.view().devices.at(0).breaker, "closed");
  EXPECT_EQ(t.take_all<grant_ticket>().size(), 1U) << "who waited is served";
  t.drop_all();
}

// Half-open again after a probe that said nothing: the next one must be let through.
TEST(PeerBugs, HalfOpenIsNotStuckWhenItsProbeIsCancelled) {
  core_fixture t;
  fleet(t, 1);
  for (std::uint32_t i = 0; i < limits::breaker_failures; ++i) {
    t.submit();
    t.fail(t.expect<grant_ticket>());
    t.drop_all();
  }
  t.pass_time(limits::breaker_open_min_us);
  const auto first = t.submit();
  t.expect<grant_ticket>();
  t.feed(request_cancelled{first, "left"});
  t.drop_all();
  t.submit();
  EXPECT_EQ(t.take_all<grant_ticket>().size(), 1U);
  t.drop_all();
}

// Load counters were raised on one path and lowered on another, until a worker looked full for
// ever.
TEST(PeerBugs, WhatAnAttemptHoldsIsGivenBackOnEveryWayOut) {
  using way_out = std::function<void(core_fixture&, const grant_ticket&)>;
  const std::vector<std::pair<const char*, way_out>> ways{
      {"finished", [](auto& t, const auto& one) { t.finish(one); }},
      {"refused", [](auto& t, const auto& one) { t.fail(one, recovery::refuse); }},
      {"failed", [](auto& t, const auto& one) { t.fail(one); }},
      {"later", [](auto& t, const auto& one) { t.fail(one, recovery::retry_later); }},
      {"bug", [](auto& t, const auto& one) { t.fail(one, recovery::bug); }},
      {"cancelled",
       [](auto& t, const auto& one) {
         t.feed(request_cancelled{one.granted.attempt.request, "left"});
       }},
      {"deadline", [](auto& t, const auto&) { t.pass_time_renewing(30 * second); }},
      {"gateway gone",
       [](auto& t, const auto&) {
         t.feed(gateway_lost{gateway_id{7}});
         t.pass_time_renewing(limits::gateway_grace_us + second);
       }},
      {"replica died",
       [](auto& t, const auto& one) {
         t.feed(replica_failed{one.granted.instance,
                               t.life_of("local"),
                               {recovery::retry_elsewhere, "crash", "crashed"}});
       }},
      {"device gone",
       [](auto& t, const auto& one) {
         t.feed(device_lost{one.granted.device, t.life_of("local"), "unplugged"});
       }},
      {"node gone",
       [](auto& t, const auto&) {
         t.feed(node_lost{node_id{"local"}, t.life_of("local"), true, "stopped"});
       }},
      {"drained",
       [](auto& t, const auto& one) {
         t.feed(drain_changed{one.granted.device.value, true, "", 1});
         t.pass_time(1);
       }},
      {"model gone",
       [](auto& t, const auto&) { t.feed(model_removed{model_name{"storyteller"}}); }},
  };
  for (const auto& [name, leave] : ways) {
    SCOPED_TRACE(name);
    core_fixture t;
    fleet(t, 1);
    auto meta = t.request();
    meta.deadline_us = 20 * second;
    const auto id = t.submit(meta);
    const auto granted = t.expect<grant_ticket>();
    t.start(granted);
    leave(t, granted);
    t.feed(request_cancelled{id, "done"});
    t.feed(attempt_finished{granted.granted.attempt, {}}); // Late news change nothing.
    expect_at_rest(t);
    t.drop_all();
  }
}

// The list of models failed as a whole when one worker was down.
TEST(PeerBugs, ModelsAreListedWhateverIsDown) {
  core_fixture t;
  t.two_ready_nodes();
  t.declare(story_spec("other"));
  t.feed(node_lost{node_id{"a"}, t.life_of("a"), true, "stopped"});
  EXPECT_EQ(t.view().models.size(), 2U);
  t.feed(node_lost{node_id{"b"}, t.life_of("b"), true, "stopped"});
  EXPECT_EQ(t.view().models.size(), 2U);
  t.drop_all();
}

// Fallback did not fire on a 503 of the target, or not when nothing listened there.
TEST(PeerBugs, FallbackFiresWhenTheTargetIsFullAndWhenItIsDead) {
  for (const bool full : {true, false}) {
    core_fixture t;
    fleet(t, 2);
    t.submit();
    const auto first = t.expect<grant_ticket>();
    if (full)
      t.fail(first, recovery::retry_later);
    else
      t.feed(attempt_failed{first.granted.attempt,
                            {recovery::retry_elsewhere, data_link_lost, "refused"}});
    const auto granted = t.take_all<grant_ticket>();
    ASSERT_EQ(granted.size(), full ? 1U : 0U) << "the dead node's other device is suspect too";
    if (full) {
      EXPECT_NE(granted[0].granted.device, first.granted.device);
    }
    t.drop_all();
  }
  core_fixture t;
  t.two_ready_nodes();
  t.submit();
  const auto first = t.expect<grant_ticket>();
  t.feed(attempt_failed{first.granted.attempt,
                        {recovery::retry_elsewhere, data_link_lost, "refused"}});
  EXPECT_NE(t.expect<grant_ticket>().granted.node, first.granted.node);
}

// Both targets are full: neither is given up for good.
TEST(PeerBugs, WhoWasOnlyFullIsAskedAgainOnceAllWere) {
  core_fixture t;
  fleet(t, 2);
  t.submit();
  std::set<device_id> asked;
  for (int round = 0; round < 2; ++round) {
    const auto granted = t.expect<grant_ticket>();
    asked.insert(granted.granted.device);
    t.fail(granted, recovery::retry_later);
  }
  EXPECT_EQ(asked.size(), 2U);
  EXPECT_EQ(t.expect<queue_notice>().state, "queued");
  t.expect_empty();
  t.pass_time(limits::retry_later_us * 8);
  EXPECT_EQ(t.take_all<grant_ticket>().size(), 1U) << "after a pause";
  t.drop_all();
}

// Fallbacks that a request had switched off happened all the same once it streamed.
TEST(PeerBugs, WhatMayNotBeContinuedElsewhereIsNotOnceItStreams) {
  core_fixture t;
  fleet(t, 2);
  auto meta = t.request();
  meta.resumable = false;
  t.submit(meta);
  const auto first = t.expect<grant_ticket>();
  t.start(first);
  t.progress(first, 3);
  t.fail(first, recovery::retry_elsewhere, 3);
  EXPECT_TRUE(t.take_all<grant_ticket>().empty());
  EXPECT_EQ(t.expect<reject_request>().reason.code, "not_resumable");
  t.expect<record_request>();
}

// Two replicas of one model were put on the same device.
TEST(PeerBugs, ReplicasOfAModelAreNotGivenTheSameDevice) {
  core_fixture t;
  t.join("local");
  for (int at = 0; at < 2; ++at)
    t.advertise(cpu_spec("local", at)); // Room for hundreds of them each.
  auto model = story_spec();
  model.replicas_min = 4;
  t.declare(model);
  std::set<device_id> used;
  const auto asked = t.take_all<reserve_allocation>();
  EXPECT_EQ(asked.size(), 2U);
  for (const auto& one : asked) {
    used.insert(one.grant.shares.at(0).device);
    t.feed(t.reserved(one));
  }
  for (const auto& one : t.take_all<load_replica>())
    t.loaded(one);
  EXPECT_EQ(used.size(), 2U);
  t.pass_time_renewing(second);
  EXPECT_TRUE(t.take_all<reserve_allocation>().empty()) << "there is no third device";
  t.drop_all();
}

TEST(PeerBugs, PinnedToADeviceThatTakesNoWorkItIsToldWhy) {
  core_fixture t;
  t.two_ready_nodes();
  t.feed(drain_changed{"b", true, "new disk", 0, hold_kind::cordon});
  t.drop_all();
  t.submit("b/cpu0");
  EXPECT_EQ(t.expect<queue_notice>().reason,
            "no device that may serve it is up: b/cpu0 is cordoned: new disk");
  t.drop_all();
}

// A request pinned to a device that was offline ran on the CPU instead, and nobody was told.
TEST(PeerBugs, PinnedToADeviceThatIsOfflineItWaitsAndSaysWhy) {
  core_fixture t;
  t.two_ready_nodes();
  t.feed(node_lost{node_id{"b"}, t.life_of("b"), true, "stopped"});
  t.drop_all();
  auto meta = t.request("b/cpu0");
  t.submit(meta);
  EXPECT_TRUE(t.take_all<grant_ticket>().empty());
  const auto told = t.expect<queue_notice>();
  EXPECT_EQ(told.state, "queued");
  EXPECT_EQ(told.reason, "no device that may serve it is up");
  const auto why = t.tested().explain(meta.external_id, t.now());
  ASSERT_TRUE(why);
  std::set<std::string> removed;
  for (const auto& one : why->decisions.back().candidates)
    removed.insert(one.device.value + " " + one.removed_by);
  EXPECT_EQ(removed, (std::set<std::string>{"a/cpu0 selector", "b/cpu0 alive"}));
  t.join("b", 33);
  t.advertise(cpu_spec("b"));
  t.grant_next_allocation();
  t.take_all<queue_notice>();
  t.loaded(t.expect<load_replica>());
  EXPECT_EQ(t.take_all<grant_ticket>().at(0).granted.device.value, "b/cpu0");
  t.drop_all();
}

std::map<std::string, int> spread_of(core_fixture& t, int requests,
                                     const std::function<void(request_meta&, int)>& shape) {
  std::map<std::string, int> served;
  for (int at = 0; at < requests; ++at) {
    auto meta = t.request();
    shape(meta, at);
    t.submit(meta);
  }
  for (const auto& one : t.take_all<grant_ticket>())
    ++served[one.granted.device.value];
  return served;
}

// On a cache miss the worker with the smallest tree was taken, whatever its load.
TEST(PeerBugs, OnACacheMissTheEmptiestCacheDoesNotAbsorbEverything) {
  core_fixture t;
  fleet(t, 4, 16);
  // All but the last hold many blocks.
  for (int at = 0; at < 3; ++at) {
    auto meta = t.request("local/cpu" + std::to_string(at));
    for (std::uint64_t block = 1; block <= 64; ++block)
      meta.prefix_blocks.push_back(1'000 * static_cast<std::uint64_t>(at + 1) + block);
    t.submit(meta);
    attempt_measurement measured; // As its spec sheet says.
    measured.usage = {100, 50, 0};
    measured.first_token_us = 50'000;
    measured.total_us = 540'000;
    measured.batch = 1;
    t.feed(attempt_finished{t.expect<grant_ticket>().granted.attempt, measured});
    t.drop_all();
  }
  const auto served = spread_of(t, 32, [](request_meta& meta, int at) {
    meta.prefix_blocks = {100'000 + static_cast<std::uint64_t>(at)};
  });
  ASSERT_EQ(served.size(), 4U);
  for (const auto& [device, count] : served)
    EXPECT_LE(count, 16) << device;
}

// The death spiral: all prompts share a beginning, one engine has 480 of them, seven are idle.
TEST(PeerBugs, ASharedBeginningMakesNoHotSpot) {
  core_fixture t;
  fleet(t, 8, 64);
  const auto served = spread_of(t, 256, [](request_meta& meta, int at) {
    meta.prompt_tokens = 2'000;
    for (std::uint64_t block = 1; block <= 20; ++block)
      meta.prefix_blocks.push_back(block);
    meta.prefix_blocks.push_back(1'000 + static_cast<std::uint64_t>(at));
  });
  ASSERT_EQ(served.size(), 8U) << "every engine has some";
  for (const auto& [device, count] : served)
    EXPECT_LE(count, 2 * 256 / 8) << device;
}

// Failures were remembered per request only: every new request was sent to the dead worker first.
TEST(PeerBugs, AFailingWorkerIsNotPickedAgainByEveryRequest) {
  core_fixture t;
  fleet(t, 2);
  std::uint32_t picked = 0;
  for (int at = 0; at < 50; ++at) {
    t.submit();
    for (auto granted = t.take_all<grant_ticket>(); !granted.empty();
         granted = t.take_all<grant_ticket>()) {
      const bool dead = granted[0].granted.device.value == "local/cpu0";
      picked += dead ? 1 : 0;
      dead ? t.fail(granted[0]) : t.finish(granted[0]);
    }
    t.drop_all();
  }
  EXPECT_LE(picked, limits::breaker_failures);
}

// The client was gone and the worker kept its slot for half an hour.
TEST(PeerBugs, AClientThatLeavesFreesItsPlaceAtOnce) {
  for (const bool streaming : {true, false}) {
    core_fixture t;
    fleet(t, 1, 1);
    auto meta = t.request();
    meta.streaming = streaming;
    t.submit(meta);
    const auto first = t.expect<grant_ticket>();
    t.start(first);
    t.feed(request_cancelled{meta.id, "client left"});
    EXPECT_EQ(t.expect<revoke_attempt>().attempt, first.granted.attempt) << "its node is told";
    EXPECT_EQ(running_on(t, "local/cpu0"), 0U);
    t.drop_all();
  }
}

// A node died and its instances came back nowhere until a human acted.
TEST(PeerBugs, ReplicasOfADeadNodeAreLoadedElsewhere) {
  core_fixture t;
  t.two_ready_nodes();
  t.join("c");
  t.advertise(cpu_spec("c"));
  t.feed(node_lost{node_id{"a"}, t.life_of("a"), true, "stopped"});
  EXPECT_EQ(t.take_all<reserve_allocation>().at(0).node.value, "c");
  t.drop_all();
}

// Scaling one model made every worker flap, and all instances were removed and scheduled anew.
TEST(PeerBugs, ScalingAModelLeavesWhatRunsAlone) {
  core_fixture t;
  t.two_ready_nodes();
  t.submit();
  const auto running = t.expect<grant_ticket>();
  t.start(running);
  t.join("c");
  t.advertise(cpu_spec("c"));
  for (const std::uint32_t replicas : {3U, 1U, 2U}) {
    auto model = story_spec();
    model.replicas_min = replicas;
    t.declare(model);
  }
  EXPECT_TRUE(t.take_all<unload_replica>().empty());
  EXPECT_TRUE(t.take_all<revoke_attempt>().empty());
  EXPECT_TRUE(t.take_all<drop_attempt>().empty());
  EXPECT_EQ(running_on(t, running.granted.device.value), 1U);
  t.drop_all();
}

// Scale-down ended what was running after a fixed few seconds.
TEST(PeerBugs, ADrainWithoutADeadlineWaitsForWhatRuns) {
  core_fixture t;
  t.two_ready_nodes();
  t.submit();
  const auto running = t.expect<grant_ticket>();
  t.start(running);
  t.feed(drain_changed{running.granted.node.value, true, "scale down"});
  for (std::uint32_t at = 1; at <= 120; ++at) {
    t.progress(running, at);
    t.pass_time_renewing(second / 2, {"a", "b"});
  }
  t.expect_empty();
  EXPECT_EQ(running_on(t, running.granted.device.value), 1U);
  t.finish(running);
  EXPECT_EQ(t.take_all<unload_replica>().size(), 1U) << "then nothing is left there";
  EXPECT_EQ(t.expect<record_request>().outcome, request_outcome::finished);
}

} // namespace

} // namespace consort::core::testing
