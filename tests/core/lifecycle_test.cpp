// SPDX-License-Identifier: Apache-2.0
// What is loaded where and when: versions that replace each other, models that share a device,
// replicas apart from each other.
#include "tests/support/loaded_cluster.hpp"

#include <set>

namespace consort::core::testing {

namespace {

model_spec version_of(char version, std::uint32_t replicas = 1) {
  auto made = story_spec();
  made.variants[0].content = consort::digest{std::string(64, version)};
  made.replicas_min = replicas;
  return made;
}

/// So many nodes with a CPU each, and a ready replica of version `a` on each.
void serving(core_fixture& t, std::uint32_t nodes, std::uint64_t memory = std::uint64_t{8} << 30U) {
  t.declare(version_of('a', nodes));
  for (std::uint32_t at = 0; at < nodes; ++at) {
    const std::string name(1, static_cast<char>('a' + at));
    t.join(name);
    auto spec = cpu_spec(name);
    spec.memory_bytes = memory;
    t.advertise(spec);
    t.finish_load();
  }
}

std::string version_that_serves(core_fixture& t) {
  t.submit();
  const auto granted = t.take_all<grant_ticket>();
  EXPECT_EQ(granted.size(), 1U);
  t.finish(granted.at(0));
  t.take_all<record_request>();
  return granted[0].granted.variant.value.substr(0, 1);
}

TEST(Rollout, TheOldServesUntilTheNewIsReady) {
  core_fixture t;
  serving(t, 1);
  t.declare(version_of('b'));
  EXPECT_EQ(version_that_serves(t), "a");
  t.grant_next_allocation();
  EXPECT_EQ(version_that_serves(t), "a") << "while the new one loads";
  const auto load = t.expect<load_replica>();
  EXPECT_EQ(load.variant.content.value.substr(0, 1), "b");
  t.loaded(load);
  EXPECT_EQ(t.expect<unload_replica>().reason, "replaced by the version that was declared since");
  EXPECT_EQ(version_that_serves(t), "b");
}

TEST(Rollout, AStreamOfTheOldVersionEndsThere) {
  core_fixture t;
  serving(t, 1);
  t.submit();
  const auto running = t.expect<grant_ticket>();
  t.start(running);
  t.declare(version_of('b'));
  t.finish_load();
  t.expect_empty();
  EXPECT_EQ(version_that_serves(t), "b");
  t.finish(running);
  t.expect<unload_replica>();
  t.expect<record_request>();
}

TEST(Rollout, OneReplicaForAnother) {
  core_fixture t;
  serving(t, 3);
  t.declare(version_of('b', 3));
  for (const auto& one : t.take_all<reserve_allocation>())
    t.feed(t.reserved(one));
  const auto loads = t.take_all<load_replica>();
  ASSERT_EQ(loads.size(), 3U);
  for (const auto& one : loads) {
    t.loaded(one);
    EXPECT_EQ(t.take_all<unload_replica>().size(), 1U);
    EXPECT_EQ(t.ready_replicas(), 3U) << "never fewer than before";
  }
  t.drop_all();
}

TEST(Rollout, DeclaredAsBeforeItIsBackAtOnce) {
  core_fixture t;
  serving(t, 1);
  t.declare(version_of('b'));
  const auto asked = t.expect<reserve_allocation>();
  t.declare(version_of('a'));
  t.feed(t.reserved(asked));
  EXPECT_EQ(version_that_serves(t), "a");
  EXPECT_TRUE(t.take_all<unload_replica>().empty()) << "the old one stays";
  EXPECT_TRUE(t.take_all<load_replica>().empty()) << "and nothing else comes up";
  t.drop_all();
}

TEST(Rollout, AVersionThatDoesNotLoadReplacesNothing) {
  core_fixture t;
  serving(t, 1);
  t.declare(version_of('b'));
  for (int tries = 0; tries < 3; ++tries) {
    t.grant_next_allocation();
    const auto load = t.expect<load_replica>();
    t.feed(replica_failed{
        load.instance, t.life_of("a"), {recovery::retry_elsewhere, "bad_file", "cannot be read"}});
    t.take_all<release_allocation>();
    EXPECT_EQ(version_that_serves(t), "a");
    t.pass_time_renewing(limits::load_backoff_min_us << tries, {"a"});
  }
  EXPECT_TRUE(t.take_all<unload_replica>().empty());
  t.drop_all();
}

/// It served, and dies while its successor rests after a load that failed.
TEST(Rollout, TheEndOfTheOldDoesNotHurryTheNew) {
  core_fixture t;
  serving(t, 1);
  EXPECT_EQ(version_that_serves(t), "a");
  const auto old = t.view().replicas.at(0).instance;
  t.declare(version_of('b'));
  t.grant_next_allocation();
  const auto load = t.expect<load_replica>();
  t.feed(replica_failed{
      load.instance, t.life_of("a"), {recovery::retry_elsewhere, "bad_file", "cannot be read"}});
  t.take_all<release_allocation>();
  t.feed(replica_failed{
      old, t.life_of("a"), {recovery::retry_elsewhere, "host_crashed", "its host died"}});
  t.take_all<release_allocation>();
  EXPECT_TRUE(t.take_all<reserve_allocation>().empty());
  t.pass_time_renewing(limits::load_backoff_min_us, {"a"});
  EXPECT_EQ(t.take_all<reserve_allocation>().size(), 1U);
  t.drop_all();
}

TEST(Rollout, WithoutRoomForBothOneMakesRoom) {
  core_fixture t;
  const auto one_only = (10U << 20U) + std::uint64_t{1024} * 512 + 1;
  serving(t, 2, one_only);
  t.declare(version_of('b', 2));
  const auto first = t.take_all<unload_replica>();
  ASSERT_EQ(first.size(), 1U) << "not both at once";
  EXPECT_EQ(version_that_serves(t), "a") << "the other serves on";
  t.feed(replica_unloaded{first[0].instance, t.life_of(first[0].node.value)});
  t.take_all<release_allocation>();
  t.finish_load();
  EXPECT_EQ(t.take_all<unload_replica>().size(), 1U);
  EXPECT_EQ(version_that_serves(t), "b");
}

// --- models that share a device ---

/// Device that holds one model at a time, and three models.
void one_for_three(core_fixture& t) {
  t.join("local");
  auto spec = cpu_spec();
  spec.memory_bytes = 12U << 20U;
  t.advertise(spec);
  for (const std::string name : {"A", "B", "C"})
    t.declare(story_spec(name));
}

/// A on cpu0, which fails one that it serves, and B on cpu1, where nothing else has room. Returns:
/// what B serves, where `busy`.
std::vector<grant_ticket> fail_beside_another(core_fixture& t, bool busy) {
  t.join("local");
  auto spec = cpu_spec();
  spec.memory_bytes = 12U << 20U;
  auto beside = cpu_spec("local", 1);
  beside.memory_bytes = spec.memory_bytes;
  for (const std::string name : {"A", "B"})
    t.declare(story_spec(name));
  const auto ask = [&](const std::string& model, const std::string& device) {
    auto meta = t.request(device);
    meta.model = model_name{model};
    t.submit(meta);
  };
  t.advertise(spec);
  ask("A", "local/cpu0");
  t.take_all<queue_notice>();
  t.finish_load();
  t.finish(t.expect<grant_ticket>());
  t.advertise(beside);
  ask("B", "local/cpu1");
  t.take_all<record_request>();
  t.take_all<queue_notice>();
  t.finish_load();
  t.finish(t.expect<grant_ticket>());
  t.drop_all();
  if (busy)
    ask("B", "local/cpu1");
  auto serves = t.take_all<grant_ticket>();
  ask("A", "auto");
  const auto failed = t.take_all<grant_ticket>();
  EXPECT_EQ(failed.size(), 1U);
  if (failed.size() != 1)
    return {};
  EXPECT_EQ(failed[0].granted.device.value, "local/cpu0");
  t.start(failed[0]);
  t.fail(failed[0]);
  return serves;
}

TEST(Swap, OnlyTheIdleLeaveForWhoWasFailedElsewhere) {
  core_fixture t;
  EXPECT_TRUE(fail_beside_another(t, false).empty());
  const auto leaves = t.take_all<unload_replica>();
  ASSERT_EQ(leaves.size(), 1U);
  t.take_all<queue_notice>();
  t.feed(replica_unloaded{leaves[0].instance, t.life_of("local")});
  t.take_all<release_allocation>();
  t.take_all<queue_notice>();
  t.finish_load();
  const auto again = t.take_all<grant_ticket>();
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(again[0].granted.device.value, "local/cpu1");
  t.drop_all();
}

/// It is tried again where it failed, in time.
TEST(Swap, NobodyBusyLeavesForWhoWasFailedElsewhere) {
  core_fixture t;
  ASSERT_EQ(fail_beside_another(t, true).size(), 1U);
  EXPECT_TRUE(t.take_all<unload_replica>().empty());
  t.pass_time_renewing(2 * limits::exclusion_us);
  EXPECT_TRUE(t.take_all<unload_replica>().empty());
  EXPECT_EQ(t.take_all<grant_ticket>().size(), 1U);
  t.drop_all();
}

TEST(Swap, RequestsAreServedInRuns) {
  core_fixture t;
  one_for_three(t);
  for (const std::string name : {"A", "B", "A", "A", "C", "A", "B", "C"}) {
    auto meta = t.request();
    meta.model = model_name{name};
    t.submit(meta);
  }
  std::string order;
  std::uint32_t loads = 0;
  for (int guard = 0; order.size() < 8 && guard < 200; ++guard) {
    for (const auto& one : t.take_all<reserve_allocation>())
      t.feed(t.reserved(one));
    for (const auto& one : t.take_all<load_replica>()) {
      ++loads;
      t.loaded(one, 1);
    }
    for (const auto& one : t.take_all<unload_replica>())
      t.feed(replica_unloaded{one.instance, t.life_of("local")});
    for (const auto& one : t.take_all<grant_ticket>()) {
      order += one.granted.model.value;
      t.start(one);
      t.finish(one);
    }
    t.pass_time_renewing(second / 10);
  }
  EXPECT_EQ(order, "AAAABBCC");
  EXPECT_EQ(loads, 3U);
  t.drop_all();
}

TEST(Swap, NobodyWaitsLongerThanTheBoundForAModelThatIsNotLoaded) {
  core_fixture t;
  one_for_three(t);
  auto rare = t.request();
  rare.model = model_name{"B"};
  std::optional<time_us> served;
  time_us submitted = 0;
  std::deque<grant_ticket> running;
  for (int tick = 0; tick < 400 && !served; ++tick) {
    auto usual = t.request();
    usual.model = model_name{"A"};
    t.submit(usual); // There is always one for the model that is loaded.
    for (int more = 0; tick < 5 && more < 3; ++more) {
      usual.id = t.request().id;
      t.submit(usual);
    }
    if (tick == 20) {
      t.submit(rare);
      submitted = t.now();
    }
    for (const auto& one : t.take_all<reserve_allocation>())
      t.feed(t.reserved(one));
    for (const auto& one : t.take_all<load_replica>())
      t.loaded(one, 1);
    for (const auto& one : t.take_all<unload_replica>())
      t.feed(replica_unloaded{one.instance, t.life_of("local")});
    for (const auto& one : t.take_all<grant_ticket>()) {
      t.start(one);
      running.push_back(one);
      if (one.granted.attempt.request == rare.id)
        served = t.now();
    }
    if (!running.empty()) {
      t.finish(running.front());
      running.pop_front();
    }
    t.pass_time_renewing(second / 10);
  }
  ASSERT_TRUE(served);
  EXPECT_LE(*served - submitted, limits::starvation_us + 2 * second);
  t.drop_all();
}

// --- apart from each other ---

TEST(Spread, ReplicasAreKeptOnDifferentNodes) {
  core_fixture t;
  for (const std::string node : {"a", "b"}) {
    t.join(node);
    for (int number = 0; number < 2; ++number)
      t.advertise(cpu_spec(node, number));
  }
  auto model = story_spec();
  model.replicas_min = 2;
  t.declare(model);
  std::set<std::string> nodes;
  for (const auto& one : t.take_all<reserve_allocation>())
    nodes.insert(one.node.value);
  EXPECT_EQ(nodes.size(), 2U);
  t.drop_all();
}

TEST(Spread, IsWorthAQuarterOfTheSpeedAndNoMore) {
  core_fixture t;
  t.join("a");
  t.join("b");
  for (int number = 0; number < 2; ++number)
    t.advertise(cpu_spec("a", number));
  auto slow = cpu_spec("b");
  slow.spec.decode_tokens_per_s /= 2;
  t.advertise(slow);
  auto model = story_spec();
  model.replicas_min = 2;
  t.declare(model);
  const auto asked = t.take_all<reserve_allocation>();
  EXPECT_EQ(asked.size(), 2U);
  for (const auto& one : asked)
    EXPECT_EQ(one.node.value, "a");
  t.drop_all();
}

TEST(Spread, CountsThoseThatStartedInTheSameLook) {
  core_fixture t;
  for (const std::string node : {"a", "b"}) {
    t.join(node);
    for (int number = 0; number < 3; ++number)
      t.advertise(cpu_spec(node, number));
  }
  auto model = story_spec();
  model.replicas_min = limits::warmups_max;
  t.declare(model);
  std::string order;
  for (const auto& one : t.take_all<reserve_allocation>())
    order += one.node.value;
  EXPECT_EQ(order, "abab");
  t.drop_all();
}

TEST(Spread, WhatARoomTookFromItsNeighbourIsSeenInTheSameLook) {
  core_fixture t;
  t.join("a");
  t.join("b");
  auto left = cpu_spec("a", 0), right = cpu_spec("a", 1), slow = cpu_spec("b");
  left.exclusive_siblings = {right.id};
  slow.spec.decode_tokens_per_s /= 2;
  for (const auto& one : {left, right, slow})
    t.advertise(one);
  auto model = story_spec();
  model.replicas_min = 2;
  t.declare(model);
  const auto asked = t.take_all<reserve_allocation>();
  ASSERT_EQ(asked.size(), 2U);
  EXPECT_EQ(asked[0].node.value, "a");
  EXPECT_EQ(asked[1].node.value, "b") << "the other half of the first device is taken with it";
  t.drop_all();
}

// A new spec sheet took away what the pool had learned from the device's likes.
TEST(SpecSheet, ThatChangesLeavesWhatOthersOfItsKindShowed) {
  loaded_cluster t(alike(2));
  for (int i = 0; i < 50; ++i) {
    const auto ticket = t.ask(t.request("local/cpu0"));
    attempt_measurement seen;
    seen.usage = {100, 51, 0};
    seen.first_token_us = 200'000; // The sheet says 50 ms.
    seen.total_us = seen.first_token_us + 50 * 40'000;
    seen.batch = 1;
    t.feed(attempt_finished{ticket.granted.attempt, seen});
    t.drop_all();
  }
  const auto rate_of = [&](std::size_t at) { return t.view().replicas.at(at).decode_tokens_per_s; };
  EXPECT_NEAR(static_cast<double>(rate_of(0)), 25, 3);
  auto again = cpu_spec("local", 1);
  again.tags = {"renamed"};
  t.advertise(again);
  t.drop_all();
  EXPECT_LT(rate_of(1), 40U) << "nobody measured it yet, but its like";
  again.model = "another";
  t.advertise(again);
  t.drop_all();
  EXPECT_EQ(rate_of(1), 100U) << "of that kind only the sheet is known";
}

// --- what is said of how a device does ---

device_reported health_of(const core_fixture& t, device_health health, const std::string& why) {
  auto said = reading(t, 0);
  said.reading.health = health;
  said.reading.health_reason = why;
  return said;
}

TEST(Health, ItsReasonIsInTheEventTheViewAndTheExplanation) {
  core_fixture t;
  t.join("local");
  t.advertise(cpu_spec());
  t.declare(story_spec());
  t.feed(health_of(t, device_health::degraded, "its fan is loud"));
  EXPECT_TRUE(t.noted("local/cpu0: is degraded: its fan is loud"));
  EXPECT_EQ(t.view().devices.at(0).reading.health_reason, "its fan is loud");
  t.feed(health_of(t, device_health::unhealthy, "it burns"));
  EXPECT_TRUE(t.noted("local/cpu0: is unhealthy, no new work: it burns"));
  t.advertise(cpu_spec("local", 1));
  const auto meta = t.request("auto");
  t.submit(meta);
  const auto told = t.tested().explain(meta.external_id, t.now());
  ASSERT_TRUE(told);
  const auto& one = told->decisions.at(0).candidates.at(0).removed_by.empty()
                        ? told->decisions.at(0).candidates.at(1)
                        : told->decisions.at(0).candidates.at(0);
  EXPECT_EQ(one.device, device_id{"local/cpu0"});
  EXPECT_EQ(one.reason, "is unhealthy: it burns");
  t.drop_all();
}

TEST(Health, OnlyAReadingMakesItWellAgain) {
  core_fixture t;
  t.join("local");
  t.advertise(cpu_spec());
  t.feed(health_of(t, device_health::degraded, "no readings"));
  auto again = cpu_spec();
  again.tags = {"read anew"};
  t.advertise(again);
  EXPECT_EQ(t.view().devices.at(0).reading.health, device_health::degraded);
  t.feed(health_of(t, device_health::degraded, "no readings"));
  EXPECT_FALSE(t.noted("is healthy again"));
  t.feed(health_of(t, device_health::healthy, ""));
  EXPECT_TRUE(t.noted("is healthy again"));
  t.drop_all();
}

TEST(Health, ADeviceOfWhichNothingIsKnownServesAndSaysSoOnce) {
  core_fixture t;
  t.join("local");
  t.advertise(cpu_spec());
  t.declare(story_spec());
  t.feed(health_of(t, device_health::healthy, "its readings are unknown: no row"));
  EXPECT_TRUE(t.noted("local/cpu0: its readings are unknown: no row"));
  EXPECT_FALSE(t.noted("is healthy again")) << "nobody said so";
  t.submit();
  EXPECT_EQ(t.take_all<reserve_allocation>().size(), 1U);
  t.drop_all();
}

// --- devices that come and go ---

void two_cpus(core_fixture& t) {
  t.join("local");
  t.advertise(cpu_spec("local", 0));
  t.advertise(cpu_spec("local", 1));
  t.declare(story_spec());
  t.drop_all();
}

void give_up(core_fixture& t, const std::string& device) {
  t.feed(device_lost{device_id(device), t.life_of("local"), "its plugin no longer finds it"});
}

TEST(Withdrawal, WhatItsNodeGaveUpIsToldToNobodyUntilItIsBack) {
  core_fixture t;
  two_cpus(t);
  give_up(t, "local/cpu1");
  ASSERT_EQ(t.view().devices.size(), 2U) << "it may be back at once";
  EXPECT_FALSE(t.view().devices.at(1).alive);
  t.pass_time_renewing(limits::withdraw_grace_us);
  ASSERT_EQ(t.view().devices.size(), 1U);
  t.submit("local/cpu1");
  const auto refused = t.expect<reject_request>();
  EXPECT_EQ(refused.http_status, 422);
  EXPECT_NE(refused.reason.message.find("(did you mean local/cpu0?)"), std::string::npos)
      << refused.reason.message;
  t.drop_all();
  t.advertise(cpu_spec("local", 1));
  EXPECT_EQ(t.view().devices.size(), 2U);
  t.submit("local/cpu1");
  t.take_all<queue_notice>();
  EXPECT_EQ(t.finish_load().grant.shares[0].device.value, "local/cpu1");
  t.drop_all();
}

TEST(Withdrawal, APluginThatIsReadAnewRefusesNobody) {
  core_fixture t;
  two_cpus(t);
  give_up(t, "local/cpu1");
  t.submit("local/cpu1");
  t.pass_time_renewing(limits::withdraw_grace_us / 2);
  EXPECT_TRUE(t.take_all<reject_request>().empty());
  t.advertise(cpu_spec("local", 1));
  t.take_all<queue_notice>();
  EXPECT_EQ(t.finish_load().grant.shares[0].device.value, "local/cpu1");
  t.pass_time_renewing(2 * limits::withdraw_grace_us);
  EXPECT_EQ(t.view().devices.size(), 2U);
  t.drop_all();
}

TEST(Withdrawal, WhoWaitsForItIsToldThatNobodyCan) {
  core_fixture t;
  two_cpus(t);
  give_up(t, "local/cpu1");
  t.submit("local/cpu1");
  t.pass_time_renewing(limits::withdraw_grace_us);
  EXPECT_EQ(t.take_all<reject_request>().at(0).http_status, 422);
  t.drop_all();
}

TEST(Withdrawal, DevicesOfANodeThatIsAwayAreOnlyLost) {
  core_fixture t;
  two_cpus(t);
  t.feed(node_lost{node_id{"local"}, t.life_of("local"), true, "stopped"});
  t.pass_time(2 * limits::withdraw_grace_us);
  ASSERT_EQ(t.view().devices.size(), 2U);
  EXPECT_FALSE(t.view().devices.at(1).alive);
  t.drop_all();
}

/// Its plugin's folder was removed while the agent was down.
TEST(Withdrawal, WhatANodeDoesNotNameAfterItsRestartGoes) {
  core_fixture t;
  two_cpus(t);
  t.submit("local/cpu1");
  t.take_all<queue_notice>();
  t.finish_load();
  t.drop_all();
  t.feed(node_lost{node_id{"local"}, t.life_of("local"), true, "stopped"});
  t.drop_all();
  t.join("local", 2);
  t.advertise(cpu_spec("local", 0));
  t.drop_all();
  t.pass_time_renewing(limits::rejoin_grace_us - second);
  EXPECT_EQ(t.view().devices.size(), 2U) << "its tool may be slow";
  t.pass_time_renewing(second);
  ASSERT_EQ(t.view().devices.size(), 1U);
  EXPECT_EQ(t.view().devices.at(0).spec.id.value, "local/cpu0");
  EXPECT_TRUE(t.view().devices.at(0).alive);
  t.drop_all();
  t.submit("local/cpu1");
  EXPECT_EQ(t.expect<reject_request>().http_status, 422);
  t.drop_all();
}

TEST(Withdrawal, ADeviceThatIsNamedLateAfterARestartStays) {
  core_fixture t;
  two_cpus(t);
  t.feed(node_lost{node_id{"local"}, t.life_of("local"), true, "stopped"});
  t.join("local", 2);
  t.advertise(cpu_spec("local", 0));
  t.pass_time_renewing(limits::rejoin_grace_us / 2);
  t.advertise(cpu_spec("local", 1));
  t.pass_time_renewing(2 * limits::rejoin_grace_us);
  EXPECT_EQ(t.view().devices.size(), 2U);
  t.drop_all();
}

TEST(Withdrawal, ANodeThatIsLostBeforeItNamedThemTakesNoneOfThem) {
  core_fixture t;
  two_cpus(t);
  for (std::uint64_t life = 2; life < 5; ++life) {
    t.feed(node_lost{node_id{"local"}, t.life_of("local"), true, "stopped"});
    t.join("local", life);
  }
  t.feed(node_lost{node_id{"local"}, t.life_of("local"), true, "stopped"});
  t.pass_time(2 * limits::rejoin_grace_us);
  EXPECT_EQ(t.view().devices.size(), 2U);
  t.drop_all();
}

} // namespace

} // namespace consort::core::testing
