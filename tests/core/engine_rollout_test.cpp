// SPDX-License-Identifier: Apache-2.0
// Engines that replace each other: by a newer compiler, or another of the same key in the store.
#include "tests/support/core_fixture.hpp"

#include <algorithm>
#include <set>

namespace consort::core::testing {

namespace {

build_profile profile_by(const std::string& version) {
  auto made = refnpu_profile();
  made.compiler_version = version;
  return made;
}

/// What `version` built of the example's weights, with a content of so many `letter`s.
artifact_record engine_by(const std::string& version, char letter, const std::string& node = "a") {
  return artifact_on(node, engine_key(profile_by(version)), letter);
}

constexpr std::uint64_t room_for_many = std::uint64_t{8} << 30U;
constexpr std::uint64_t room_for_one = (10U << 20U) + std::uint64_t{1024} * 512 + 1;

/// The device after its plugin was read again, with that compiler's version.
void name_version(core_fixture& t, const std::string& version, int number = 0,
                  std::uint64_t memory = room_for_many) {
  auto spec = npu_spec("a", number);
  spec.memory_bytes = memory;
  spec.capability.build_profiles = {{profile_by(version), {}}};
  t.advertise(spec);
}

void engine_found(core_fixture& t, artifact_record record, bool held = false) {
  record.held = held;
  t.feed(artifact_found{record, t.life_of(record.node.value)});
}

/// So many NPUs on `a` with a ready replica each that runs what version 1 built, content `b...`.
void engines_serve(core_fixture& t, int devices = 1, std::uint64_t memory = room_for_many) {
  t.join("a");
  engine_found(t, engine_by("1", 'b'));
  auto model = story_spec();
  model.replicas_min = static_cast<std::uint32_t>(devices);
  t.declare(model);
  for (int at = 0; at < devices; ++at) {
    name_version(t, "1", at, memory);
    EXPECT_EQ(t.finish_load().artifact->content.value.substr(0, 1), "b");
  }
}

/// Content of the engine that a request is served by.
std::string engine_that_serves(core_fixture& t) {
  t.submit();
  const auto granted = t.take_all<grant_ticket>();
  EXPECT_EQ(granted.size(), 1U);
  if (granted.empty())
    return {};
  t.finish(granted[0]);
  t.take_all<record_request>();
  for (const auto& replica : t.view().replicas)
    if (replica.instance == granted[0].granted.instance)
      return replica.artifact.value.substr(0, 1);
  return {};
}

void fails_to_load(core_fixture& t, const load_replica& load) {
  t.feed(replica_failed{load.instance,
                        t.life_of(load.node.value),
                        {recovery::retry_elsewhere, "bad_engine", "cannot be loaded"}});
  t.take_all<release_allocation>();
}

void unloaded(core_fixture& t, const unload_replica& order) {
  t.feed(replica_unloaded{order.instance, t.life_of(order.node.value)});
  t.take_all<release_allocation>();
}

/// That engine serves, and a minute later nothing else is wanted.
void expect_settled(core_fixture& t, const char* engine) {
  EXPECT_EQ(engine_that_serves(t), engine);
  t.pass_time_renewing(60 * second, {"a"});
  t.expect_empty();
}

TEST(EngineRollout, TheOlderServesUntilTheNewerIsLoaded) {
  core_fixture t;
  engines_serve(t);
  name_version(t, "2");
  t.expect_empty();
  EXPECT_FALSE(t.noted("is there"));
  engine_found(t, engine_by("2", 'c'));
  EXPECT_TRUE(t.noted("another engine by refnpu-cc 2 is there: 1 replica(s) serve on"));
  EXPECT_EQ(engine_that_serves(t), "b");
  t.grant_next_allocation();
  EXPECT_EQ(engine_that_serves(t), "b") << "while the newer one loads";
  t.loaded(t.expect<load_replica>());
  const auto left = t.expect<unload_replica>();
  EXPECT_EQ(left.reason, "replaced by the engine that is current now");
  unloaded(t, left);
  expect_settled(t, "c");
}

TEST(EngineRollout, BuildsWhatANewerCompilerMakesByItself) {
  core_fixture t;
  engines_serve(t);
  t.join("b", 2, {profile_by("2")});
  name_version(t, "2");
  const auto order = t.expect<start_compile>();
  EXPECT_EQ(order.key.profile.compiler_version, "2");
  t.feed(compile_requested{model_name{"storyteller"}, "npu"});
  t.expect_empty(); // Whoever asks for the same has it.
  EXPECT_EQ(engine_that_serves(t), "b");
  t.compiled(order);
  EXPECT_EQ(t.expect<fetch_artifact>().node.value, "a");
  EXPECT_EQ(engine_that_serves(t), "b");
  engine_found(t, engine_by("2", 'c'));
  t.finish_load();
  t.expect<unload_replica>();
}

/// Where the compiler is on the serving node itself, as after a reload of its plugin.
TEST(EngineRollout, WithoutTheNewerCompilerAnywhereNothingIsBuilt) {
  core_fixture t;
  engines_serve(t);
  name_version(t, "2");
  t.expect_empty();
  t.join("a", 1, {profile_by("2")});
  EXPECT_EQ(t.expect<start_compile>().node.value, "a");
}

TEST(EngineRollout, BuildsOneNewerEngineOfATargetAtATime) {
  core_fixture t;
  engines_serve(t);
  auto other = story_spec("other");
  other.replicas_min = 1;
  auto record = engine_by("1", 'e');
  record.key.binds = other.variants[0].content.value;
  engine_found(t, record);
  t.declare(other);
  t.finish_load();
  t.join("b", 2, {profile_by("2")});
  name_version(t, "2");
  const auto first = t.expect<start_compile>();
  t.expect_empty();
  t.compiled(first);
  t.expect<fetch_artifact>();
  const auto second = t.expect<start_compile>();
  EXPECT_NE(second.model, first.model);
  t.drop_all();
}

void fails_to_build(core_fixture& t, const start_compile& order, recovery how) {
  t.feed(compile_failed{
      order.compile, t.life_of(order.node.value), {how, "compiler_failed", "exited with 3"}});
}

TEST(EngineRollout, ANewerCompilerThatRefusesTheModelIsNotAskedAgain) {
  core_fixture t;
  engines_serve(t);
  t.join("b", 2, {profile_by("2")});
  name_version(t, "2");
  fails_to_build(t, t.expect<start_compile>(), recovery::refuse);
  t.pass_time_renewing(600 * second, {"a", "b"});
  t.expect_empty();
  EXPECT_EQ(engine_that_serves(t), "b");
}

TEST(EngineRollout, ANewerCompilerThatFailsIsAskedAFewTimesOnly) {
  core_fixture t;
  engines_serve(t);
  t.join("b", 2, {profile_by("2")});
  name_version(t, "2");
  for (std::uint32_t tries = 0; tries < limits::newer_builds_max; ++tries) {
    fails_to_build(t, t.expect<start_compile>(), recovery::retry_later);
    t.expect_empty(); // Not at once.
    t.pass_time_renewing(limits::build_backoff_min_us << tries, {"a", "b"});
  }
  t.pass_time_renewing(2 * limits::build_backoff_max_us, {"a", "b"});
  t.expect_empty();
  EXPECT_EQ(engine_that_serves(t), "b");
}

TEST(EngineRollout, NothingIsBuiltForADeviceThatIsHeld) {
  core_fixture t;
  engines_serve(t);
  t.join("b", 2, {profile_by("2")});
  drain_changed held{"a/npu0", true, "its fan is changed", 0, hold_kind::cordon};
  t.feed(held);
  name_version(t, "2");
  t.expect_empty();
  held.draining = false;
  t.feed(held);
  t.expect<start_compile>();
}

/// Whoever went back to an older engine says when to try a newer one.
TEST(EngineRollout, AfterARollbackAYetNewerOneIsBuiltOnlyWhenAskedFor) {
  core_fixture t;
  engines_serve(t);
  name_version(t, "2");
  engine_found(t, engine_by("2", 'c'));
  t.finish_load();
  unloaded(t, t.expect<unload_replica>());
  engine_found(t, engine_by("1", 'b'), true);
  engine_found(t, engine_by("2", 'b'), true);
  t.finish_load();
  unloaded(t, t.expect<unload_replica>());
  t.join("b", 2, {profile_by("3")});
  name_version(t, "3");
  t.expect_empty();
  EXPECT_EQ(engine_that_serves(t), "b");
  t.feed(compile_requested{model_name{"storyteller"}, "npu"});
  EXPECT_EQ(t.expect<start_compile>().key.profile.compiler_version, "3");
}

TEST(EngineRollout, AnotherOfTheSameKeyInTheStoreReplacesWhatRuns) {
  core_fixture t;
  engines_serve(t);
  engine_found(t, engine_by("1", 'd'));
  EXPECT_EQ(t.finish_load().artifact->content.value.substr(0, 1), "d");
  unloaded(t, t.expect<unload_replica>());
  engine_found(t, engine_by("1", 'd'));
  t.expect_empty();
}

/// What a node tells after `artifacts rollback`: the former content under the present key.
TEST(EngineRollout, ARollbackBringsTheFormerCompilersEngineBackAndIsUndone) {
  core_fixture t;
  engines_serve(t);
  name_version(t, "2");
  engine_found(t, engine_by("2", 'c'));
  t.finish_load();
  unloaded(t, t.expect<unload_replica>());
  for (const char letter : {'b', 'c'}) {
    for (const char* version : {"1", "2"}) {
      auto record = engine_by(version, letter);
      if (const char own = version[0] == '1' ? 'b' : 'c'; own != letter)
        record.own = digest{std::string(64, own)};
      engine_found(t, record);
    }
    EXPECT_EQ(t.finish_load().artifact->content.value.front(), letter);
    unloaded(t, t.expect<unload_replica>());
    EXPECT_EQ(engine_that_serves(t).front(), letter);
    t.expect_empty();
  }
}

/// The digest of what is left by a rollback is the way forward again.
TEST(EngineRollout, ARollbackIsCalledSoAndBothDigestsAreShown) {
  core_fixture t;
  engines_serve(t);
  name_version(t, "2");
  engine_found(t, engine_by("2", 'c'));
  t.finish_load();
  unloaded(t, t.expect<unload_replica>());
  auto instead = engine_by("2", 'b');
  instead.own = digest{std::string(64, 'c')};
  engine_found(t, instead);
  EXPECT_TRUE(t.noted("goes back to the engine by refnpu-cc 1: 1 replica(s) serve on"));
  EXPECT_FALSE(t.noted("goes back to the engine by refnpu-cc 2"));
  t.finish_load();
  unloaded(t, t.expect<unload_replica>());
  std::string rows;
  for (const auto& one : t.view().artifacts)
    rows += one.key.profile.compiler_version + " " + one.own.value.substr(0, 1) + " now "
            + one.content.value.substr(0, 1) + ", " + std::to_string(one.replicas) + "; ";
  EXPECT_EQ(rows, "1 b now b, 1; 2 c now b, 0; ");
}

/// What `a` runs in its stead is that node's affair: a copy of that under the newer key would be
/// taken for what the newer compiler built, and stay when `a` goes forward again.
TEST(EngineRollout, OthersCopyTheNewestFromWhoWentBack) {
  core_fixture t;
  t.join("a");
  t.join("b", 2);
  auto instead = engine_by("2", 'b');
  instead.own = digest{std::string(64, 'c')};
  engine_found(t, engine_by("1", 'b'), true);
  engine_found(t, instead, true);
  engine_found(t, engine_by("1", 'b', "b"));
  t.declare(story_spec());
  auto spec = npu_spec("b", 0);
  spec.capability.build_profiles = {{profile_by("2"), {}}};
  t.advertise(spec);
  t.submit();
  t.take_all<queue_notice>();
  const auto order = t.expect<fetch_artifact>();
  EXPECT_EQ(order.key, instead.key);
  EXPECT_EQ(order.content, instead.own);
  engine_found(t, engine_by("2", 'c', "b"));
  t.take_all<queue_notice>();
  EXPECT_EQ(t.finish_load().artifact->content, instead.own);
  const auto artifacts = t.view().artifacts;
  const auto one = std::find_if(artifacts.begin(), artifacts.end(),
                                [&](const auto& each) { return each.key == instead.key; });
  ASSERT_NE(one, artifacts.end());
  EXPECT_EQ(one->own, instead.own);
  EXPECT_EQ(one->content, instead.content) << "what was gone back to is told";
  EXPECT_EQ(one->replicas, 1U);
  EXPECT_EQ(one->nodes, (std::vector<node_id>{node_id{"a"}, node_id{"b"}}));
  t.drop_all();
}

TEST(EngineRollout, AnEarlierOneOfTheSameCompilerIsGoneBackTo) {
  core_fixture t;
  engines_serve(t);
  engine_found(t, engine_by("1", 'd'));
  t.finish_load();
  unloaded(t, t.expect<unload_replica>());
  auto instead = engine_by("1", 'b');
  instead.own = digest{std::string(64, 'd')};
  engine_found(t, instead);
  EXPECT_TRUE(t.noted("goes back to an earlier engine by refnpu-cc 1: 1 replica(s) serve on"));
  t.finish_load();
  unloaded(t, t.expect<unload_replica>());
}

TEST(EngineRollout, WhatTwoCompilersMakeAlikeStays) {
  core_fixture t;
  engines_serve(t);
  name_version(t, "2");
  engine_found(t, engine_by("2", 'b'));
  t.expect_empty();
}

/// Which of several profiles is obtainable may change every minute.
TEST(EngineRollout, AnEngineThatItsDeviceStillNamesStays) {
  core_fixture t;
  engines_serve(t);
  auto spec = npu_spec("a");
  spec.capability.build_profiles = {{profile_by("2"), {}}, {profile_by("1"), {}}};
  t.advertise(spec);
  engine_found(t, engine_by("2", 'c'));
  t.expect_empty();
  EXPECT_EQ(engine_that_serves(t), "b");
}

TEST(EngineRollout, OneReplicaForAnother) {
  core_fixture t;
  engines_serve(t, 3);
  for (int at = 0; at < 3; ++at)
    name_version(t, "2", at);
  engine_found(t, engine_by("2", 'c'));
  std::uint32_t replaced = 0;
  while (replaced < 3) {
    const auto asked = t.take_all<reserve_allocation>();
    ASSERT_FALSE(asked.empty());
    for (const auto& one : asked)
      t.feed(t.reserved(one));
    for (const auto& load : t.take_all<load_replica>()) {
      t.loaded(load);
      const auto left = t.take_all<unload_replica>();
      ASSERT_EQ(left.size(), 1U);
      unloaded(t, left[0]);
      ++replaced;
      EXPECT_EQ(t.ready_replicas(), 3U) << "never fewer than before";
    }
  }
  t.expect_empty();
}

/// Not before the engine is on its node, and the second only once the first is ready.
TEST(EngineRollout, WithoutRoomForBothOneAfterTheOtherMakesRoom) {
  core_fixture t;
  engines_serve(t, 2, room_for_one);
  t.join("b", 2);
  for (int at = 0; at < 2; ++at)
    name_version(t, "2", at, room_for_one);
  engine_found(t, engine_by("2", 'c', "b"));
  t.expect<fetch_artifact>();
  t.expect_empty();
  engine_found(t, engine_by("2", 'c'));
  for (int at = 0; at < 2; ++at) {
    const auto left = t.take_all<unload_replica>();
    ASSERT_EQ(left.size(), 1U) << "not both at once";
    t.expect_empty();
    EXPECT_EQ(engine_that_serves(t), at == 0 ? "b" : "c");
    unloaded(t, left[0]);
    t.finish_load();
  }
  t.expect_empty();
}

TEST(EngineRollout, OneThatDoesNotLoadTakesOneReplicaWithItAtMost) {
  core_fixture t;
  engines_serve(t, 2, room_for_one);
  for (int at = 0; at < 2; ++at)
    name_version(t, "2", at, room_for_one);
  engine_found(t, engine_by("2", 'c'));
  unloaded(t, t.expect<unload_replica>());
  for (int tries = 0; tries < 3; ++tries) {
    t.grant_next_allocation();
    fails_to_load(t, t.expect<load_replica>());
    EXPECT_EQ(engine_that_serves(t), "b");
    t.pass_time_renewing(limits::load_backoff_min_us << tries, {"a"});
    EXPECT_TRUE(t.take_all<unload_replica>().empty());
  }
  t.drop_all();
}

/// A free device that loads nothing keeps nobody from making room.
TEST(EngineRollout, AFreeDeviceThatLoadsNothingDoesNotHoldItUp) {
  core_fixture t;
  engines_serve(t, 1, room_for_one);
  name_version(t, "2", 0, room_for_one);
  name_version(t, "2", 1, room_for_one);
  engine_found(t, engine_by("2", 'c'));
  t.grant_next_allocation();
  const auto load = t.expect<load_replica>();
  EXPECT_EQ(load.grant.shares[0].device.value, "a/npu1");
  fails_to_load(t, load);
  unloaded(t, t.expect<unload_replica>());
  EXPECT_EQ(t.finish_load().grant.shares[0].device.value, "a/npu0");
  EXPECT_EQ(engine_that_serves(t), "c");
  t.expect_empty();
}

TEST(EngineRollout, WithTheFormerCompilerBackItIsOver) {
  core_fixture t;
  engines_serve(t);
  name_version(t, "2");
  engine_found(t, engine_by("2", 'c'));
  t.grant_next_allocation();
  const auto load = t.expect<load_replica>();
  name_version(t, "1");
  const auto left = t.expect<unload_replica>();
  EXPECT_EQ(left.instance, load.instance) << "what serves nobody yet";
  unloaded(t, left);
  expect_settled(t, "b");
}

/// Going back: the former compiler is installed again after all was replaced. Nothing is built.
TEST(EngineRollout, TheFormerCompilerBringsItsEngineBack) {
  core_fixture t;
  engines_serve(t);
  name_version(t, "2");
  engine_found(t, engine_by("2", 'c'));
  t.finish_load();
  unloaded(t, t.expect<unload_replica>());
  name_version(t, "1");
  EXPECT_EQ(t.finish_load().artifact->content.value.substr(0, 1), "b");
  unloaded(t, t.expect<unload_replica>());
  EXPECT_EQ(engine_that_serves(t), "b");
  t.expect_empty();
}

TEST(EngineRollout, ANewerOneStillTakesItsPlace) {
  core_fixture t;
  engines_serve(t);
  name_version(t, "2");
  engine_found(t, engine_by("2", 'c'));
  t.grant_next_allocation();
  const auto second_load = t.expect<load_replica>();
  engine_found(t, engine_by("3", 'd'));
  name_version(t, "3");
  const auto left = t.take_all<unload_replica>();
  ASSERT_EQ(left.size(), 1U);
  EXPECT_EQ(left[0].instance, second_load.instance);
  EXPECT_EQ(engine_that_serves(t), "b");
  unloaded(t, left[0]);
  EXPECT_EQ(t.finish_load().artifact->content.value.substr(0, 1), "d");
  unloaded(t, t.expect<unload_replica>());
  EXPECT_EQ(engine_that_serves(t), "d");
}

/// A replica of another kind is none of it, whether it is there or comes up meanwhile.
TEST(EngineRollout, ReplicasOnOtherKindsOfDeviceDoNotCount) {
  core_fixture t;
  engines_serve(t);
  auto model = story_spec();
  model.replicas_min = 3;
  t.declare(model);
  t.advertise(cpu_spec("a"));
  t.finish_load();
  name_version(t, "2");
  engine_found(t, engine_by("2", 'c'));
  t.grant_next_allocation();
  const auto load = t.expect<load_replica>();
  EXPECT_EQ(load.grant.shares[0].device.value, "a/npu0");
  t.advertise(cpu_spec("a", 1));
  EXPECT_EQ(t.finish_load().grant.shares[0].device.value, "a/cpu1");
  t.expect_empty(); // What comes up elsewhere is no reason to leave.
  t.loaded(load);
  unloaded(t, t.expect<unload_replica>());
  std::set<std::string> left;
  for (const auto& replica : t.view().replicas)
    left.insert(replica.leader.value);
  EXPECT_EQ(left, (std::set<std::string>{"a/cpu0", "a/cpu1", "a/npu0"}));
}

} // namespace

} // namespace consort::core::testing
