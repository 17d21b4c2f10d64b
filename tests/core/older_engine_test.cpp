// SPDX-License-Identifier: Apache-2.0
// A device whose compiler became newer while nothing was loaded: where its plugin says that the
// runtime still runs what the older version built, that serves at once, and the newer engine is
// built beside it. What an operator pinned or went back to stays.
#include "scheduler/prng.hpp"
#include "scheduler/versions.hpp"
#include "tests/support/core_fixture.hpp"

#include <set>

namespace consort::core::testing {

namespace {

build_profile made_by(const std::string& version) {
  auto made = refnpu_profile();
  made.compiler_version = version;
  return made;
}

/// Tells of what that version built, whose digest is 64 times the letter.
void has_engine(core_fixture& t, const std::string& version, char letter, bool held = false,
                const std::string& node = "a") {
  auto record = artifact_on(node, engine_key(made_by(version)), letter);
  record.held = held;
  t.feed(artifact_found{record, t.life_of(node)});
}

void names(core_fixture& t, const std::string& version, older_engines rule = older_engines::major,
           int number = 0) {
  auto spec = npu_spec("a", number);
  spec.capability.build_profiles = {{made_by(version), {}}};
  spec.capability.build_profiles[0].older = rule;
  t.advertise(spec);
}

/// `a` has the compiler of that version, a device that names it, and the engine `b` of 3.1.
void restarted(core_fixture& t, const std::string& version,
               older_engines rule = older_engines::major, bool held = false,
               std::uint64_t life = 1) {
  t.join("a", life, {made_by(version)});
  has_engine(t, "3.1", 'b', held);
  names(t, version, rule);
}

/// As above, where somebody waits for the model, and what is loaded for that has the letter.
void serves(core_fixture& t, char letter) {
  t.submit();
  t.take_all<queue_notice>();
  EXPECT_EQ(t.finish_load().artifact->content.value.front(), letter);
  const auto granted = t.take_all<grant_ticket>();
  ASSERT_EQ(granted.size(), 1U);
  t.finish(granted[0]);
  t.take_all<record_request>();
  t.take_all<queue_notice>();
}

char content_of(core_fixture& t, const instance_id& instance) {
  for (const auto& replica : t.view().replicas)
    if (replica.instance == instance)
      return replica.artifact.value.front();
  return '?';
}

char answered_by(core_fixture& t) {
  t.submit();
  const auto granted = t.take_all<grant_ticket>();
  EXPECT_EQ(granted.size(), 1U);
  if (granted.empty())
    return '?';
  t.finish(granted[0]);
  t.take_all<record_request>();
  return content_of(t, granted[0].granted.instance);
}

void has_left(core_fixture& t) {
  const auto left = t.expect<unload_replica>();
  t.feed(replica_unloaded{left.instance, t.life_of(left.node.value)});
  t.take_all<release_allocation>();
}

TEST(OlderEngine, ServesAtOnceWhileTheNewerIsBuiltBesideIt) {
  core_fixture t;
  t.declare(story_spec());
  restarted(t, "3.2");
  serves(t, 'b');
  EXPECT_TRUE(t.noted("loads what refnpu-cc 3.1 built: what 3.2 makes of it is not there yet"));
  const auto order = t.expect<start_compile>();
  EXPECT_EQ(order.key.profile.compiler_version, "3.2");
  EXPECT_EQ(answered_by(t), 'b');
  t.compiled(order);
  EXPECT_EQ(answered_by(t), 'b') << "until the newer one is loaded";
  t.finish_load();
  has_left(t);
  EXPECT_EQ(answered_by(t), 'c');
  t.pass_time_renewing(60 * second, {"a"});
}

/// The node tells of it under the newer key, too.
TEST(OlderEngine, ThatWasGoneBackToIsNamedByTheCompilerThatBuiltIt) {
  core_fixture t;
  t.declare(story_spec());
  t.join("a", 1, {made_by("3.3")});
  has_engine(t, "3.1", 'b', true);
  auto instead = artifact_on("a", engine_key(made_by("3.2")), 'b');
  instead.held = true;
  instead.own = digest{std::string(64, 'c')};
  t.feed(artifact_found{instead, t.life_of("a")});
  names(t, "3.3", older_engines::none);
  serves(t, 'b');
  EXPECT_TRUE(t.noted("loads what refnpu-cc 3.1 built: what 3.3 makes of it is not there yet"));
  t.drop_all();
}

TEST(OlderEngine, IsNeverLoadedWhereThePluginDoesNotSaySo) {
  struct refused_case {
    const char* named;
    older_engines rule;
  };
  for (const auto& [named, rule] : {refused_case{"3.2", older_engines::none},
                                    {"3.2", older_engines::minor},
                                    {"4.0", older_engines::major},
                                    {"3.0", older_engines::any},     // It is the newer there.
                                    {"next", older_engines::any}}) { // No version at all.
    core_fixture t;
    t.declare(story_spec());
    restarted(t, named, rule);
    t.submit();
    t.take_all<queue_notice>();
    EXPECT_EQ(t.expect<start_compile>().key.profile.compiler_version, named);
    t.expect_empty();
  }
}

TEST(OlderEngine, OfSeveralTheNewestOnItsOwnNodeIsTaken) {
  core_fixture t;
  t.declare(story_spec());
  t.join("b", 2);
  has_engine(t, "3.3", 'f', false, "b");
  restarted(t, "3.4");
  has_engine(t, "3.2", 'd');
  has_engine(t, "3.0", 'e');
  serves(t, 'd');
  t.expect<start_compile>();
}

TEST(OlderEngine, OnAnotherNodeItIsCopied) {
  core_fixture t;
  t.declare(story_spec());
  t.join("b", 2);
  has_engine(t, "3.3", 'f', false, "b");
  t.join("a", 1, {made_by("3.4")});
  names(t, "3.4");
  t.submit();
  t.take_all<queue_notice>();
  EXPECT_EQ(t.expect<fetch_artifact>().content.value.front(), 'f');
}

TEST(OlderEngine, WhereOthersHaveTheNewerOneThatIsCopied) {
  core_fixture t;
  t.declare(story_spec());
  t.join("b", 2);
  has_engine(t, "3.2", 'c', false, "b");
  restarted(t, "3.2");
  t.submit();
  t.take_all<queue_notice>();
  EXPECT_EQ(t.expect<fetch_artifact>().content.value.front(), 'c');
}

void cannot_build(core_fixture& t, const start_compile& order, recovery how) {
  t.feed(compile_failed{order.compile,
                        t.life_of(order.node.value),
                        {how, "compiler_failed", "exited with 3: unknown operator"}});
}

/// It serves for as long as that takes, after the next load too, and people are told why.
TEST(OlderEngine, ServesOnWhenTheNewerCompilerRefusesTheModel) {
  core_fixture t;
  t.declare(story_spec());
  restarted(t, "3.2");
  serves(t, 'b');
  cannot_build(t, t.expect<start_compile>(), recovery::refuse);
  EXPECT_EQ(answered_by(t), 'b');
  t.feed(device_lost{device_id{"a/npu0"}, t.life_of("a"), "its host process died"});
  t.drop_all();
  names(t, "3.2");
  serves(t, 'b');
  EXPECT_TRUE(t.noted("is not there yet, exited with 3: unknown operator"));
  t.pass_time_renewing(2 * limits::build_backoff_max_us, {"a"});
}

/// kill -9 of the agent while the newer one is built: all begins anew, and nobody waits for it.
TEST(OlderEngine, ServesAgainAfterItsAgentDiedDuringTheBuild) {
  core_fixture t;
  t.declare(story_spec());
  for (std::uint64_t life = 1; life <= 2; ++life) {
    restarted(t, "3.2", older_engines::major, false, life);
    serves(t, 'b');
    t.expect<start_compile>();
    t.feed(node_lost{node_id{"a"}, incarnation{life}, true, "killed"});
    t.drop_all();
  }
}

/// The engine is loaded, and its device refuses it with that failure, for as often as older ones
/// are tried.
void fails_to_load(core_fixture& t, const error& failure) {
  for (std::uint32_t tries = 0; tries < limits::older_loads_max; ++tries) {
    t.take_all<queue_notice>();
    t.grant_next_allocation();
    const auto load = t.expect<load_replica>();
    ASSERT_TRUE(load.artifact);
    EXPECT_EQ(load.artifact->content.value.front(), 'b');
    t.feed(replica_failed{load.instance, t.life_of("a"), failure});
    t.take_all<release_allocation>();
    if (tries + 1 < limits::older_loads_max)
      t.pass_time_renewing(limits::load_backoff_min_us << tries, {"a"});
  }
  t.take_all<queue_notice>();
}

void submit_patient(core_fixture& t) {
  auto patient = t.request();
  patient.wait_us = 3'600 * second;
  t.submit(patient);
}

/// Nobody else may serve: whoever waits is told at once. Once that was long ago another is tried.
void is_told_and_asks_again(core_fixture& t, const std::string& why) {
  const auto ended = t.take_all<reject_request>();
  ASSERT_EQ(ended.size(), 1U);
  EXPECT_EQ(ended[0].http_status, 422);
  EXPECT_NE(ended[0].reason.message.find(why), std::string::npos) << ended[0].reason.message;
  t.pass_time_renewing(limits::load_bar_us, {"a"});
  t.drop_all();
  submit_patient(t);
  t.take_all<queue_notice>();
}

TEST(OlderEngine, ThatIsHeldStaysWhenItWasNotToBlame) {
  core_fixture t;
  t.declare(story_spec());
  restarted(t, "3.2", older_engines::none, true);
  submit_patient(t);
  fails_to_load(t, {recovery::refuse, "bad_name", "a server is not started with that name"});
  EXPECT_FALSE(t.noted("gives up"));
  is_told_and_asks_again(t, "a server is not started with that name");
  EXPECT_EQ(t.finish_load().artifact->content.value.front(), 'b') << "and nothing was built";
  t.drop_all();
}

TEST(OlderEngine, ThatIsHeldAndDoesNotLoadIsGivenUpWithAWord) {
  core_fixture t;
  t.declare(story_spec());
  restarted(t, "3.2", older_engines::none, true);
  submit_patient(t);
  fails_to_load(t, {recovery::refuse, "bad_model", "of another version"});
  EXPECT_TRUE(
      t.noted("gives up what refnpu-cc 3.1 built, which is held, after 2 loads that failed: "
              "of another version"));
  EXPECT_EQ(t.expect<start_compile>().key.profile.compiler_version, "3.2");
  t.drop_all();
}

/// It is what the device names itself: nothing else would be loaded.
TEST(OlderEngine, ThatIsHeldAndNamedIsNotGivenUp) {
  core_fixture t;
  t.declare(story_spec());
  restarted(t, "3.1", older_engines::none, true);
  submit_patient(t);
  fails_to_load(t, {recovery::refuse, "bad_model", "of another version"});
  EXPECT_FALSE(t.noted("gives up"));
  is_told_and_asks_again(t, "of another version");
  EXPECT_EQ(t.finish_load().artifact->content.value.front(), 'b');
  t.drop_all();
}

/// The plugin's word may be wrong.
TEST(OlderEngine, ThatDoesNotLoadKeepsNoNewerOneFromBeingBuilt) {
  core_fixture t;
  t.declare(story_spec());
  restarted(t, "3.2");
  submit_patient(t);
  fails_to_load(t, {recovery::retry_later, "bad_engine", "of another version"});
  const auto order = t.expect<start_compile>();
  EXPECT_EQ(order.key.profile.compiler_version, "3.2");
  t.expect_empty();
  t.compiled(order);
  t.pass_time_renewing(limits::load_backoff_min_us << limits::older_loads_max, {"a"});
  t.take_all<queue_notice>();
  EXPECT_EQ(t.finish_load().artifact->content.value.front(), 'c');
  t.drop_all();
}

TEST(OlderEngine, DevicesOfOneNodeEachGoByTheirOwnCompiler) {
  core_fixture t;
  auto model = story_spec();
  model.replicas_min = 2;
  t.declare(model);
  t.join("a", 1, {made_by("3.1"), made_by("3.2")});
  has_engine(t, "3.1", 'b');
  names(t, "3.1", older_engines::major, 0);
  t.finish_load();
  names(t, "3.2", older_engines::major, 1);
  EXPECT_EQ(t.finish_load().artifact->content.value.front(), 'b');
  t.compiled(t.expect<start_compile>());
  const auto load = t.finish_load();
  EXPECT_EQ(load.grant.shares[0].device.value, "a/npu1");
  EXPECT_EQ(load.artifact->content.value.front(), 'c');
  has_left(t);
  for (const auto& replica : t.view().replicas)
    EXPECT_EQ(replica.artifact.value.front(), replica.leader.value == "a/npu0" ? 'b' : 'c');
  t.pass_time_renewing(60 * second, {"a"});
}

TEST(OlderEngine, AnOlderOneReplacesNothing) {
  core_fixture t;
  t.declare(story_spec());
  restarted(t, "3.4");
  serves(t, 'b');
  const auto order = t.expect<start_compile>();
  has_engine(t, "3.3", 'd');
  t.expect_empty();
  EXPECT_EQ(answered_by(t), 'b');
  t.compiled(order);
  t.finish_load();
  has_left(t);
  // The newer one is lost: what runs stays.
  t.feed(artifact_lost{order.key, digest{std::string(64, 'c')}, node_id{"a"}, t.life_of("a"),
                       "corrupt"});
  EXPECT_EQ(answered_by(t), 'c');
  t.expect_empty();
}

// --- what an operator holds ---

TEST(HeldEngine, IsNotReplacedByItself) {
  core_fixture t;
  t.declare(story_spec());
  restarted(t, "3.2", older_engines::major, true);
  serves(t, 'b');
  t.expect_empty(); // Nothing is built beside it,
  t.join("b", 2);
  has_engine(t, "3.2", 'c', false, "b");
  t.expect_empty(); // and what somebody else built is not taken.
  EXPECT_EQ(answered_by(t), 'b');
  t.feed(device_lost{device_id{"a/npu0"}, t.life_of("a"), "its host process died"});
  t.drop_all();
  names(t, "3.2");
  serves(t, 'b'); // Nor by the next load.
}

TEST(HeldEngine, GivesWayOnceItIsUnpinned) {
  core_fixture t;
  t.declare(story_spec());
  restarted(t, "3.2", older_engines::major, true);
  serves(t, 'b');
  has_engine(t, "3.1", 'b', false);
  t.compiled(t.expect<start_compile>());
  t.finish_load();
  has_left(t);
  EXPECT_EQ(answered_by(t), 'c');
}

TEST(HeldEngine, GivesWayToWhatSomebodyAsksFor) {
  core_fixture t;
  t.declare(story_spec());
  restarted(t, "3.2", older_engines::major, true);
  serves(t, 'b');
  t.feed(compile_requested{model_name{"storyteller"}, "npu"});
  t.compiled(t.expect<start_compile>());
  t.finish_load();
  has_left(t);
  EXPECT_EQ(answered_by(t), 'c');
}

/// The plugin promises nothing; whoever goes back to an engine knows that it runs, and needs it
/// most where the newer compiler makes none.
TEST(HeldEngine, ThatSomebodyWentBackToNeedsNoRule) {
  core_fixture t;
  t.declare(story_spec());
  restarted(t, "3.2", older_engines::none);
  t.submit();
  const auto order = t.expect<start_compile>();
  t.drop_all();
  t.feed(compile_failed{
      order.compile, t.life_of("a"), {recovery::refuse, "compiler_failed", "E1042: rope"}});
  t.drop_all();
  has_engine(t, "3.1", 'b', true);
  serves(t, 'b');
  t.expect_empty();
  t.feed(device_lost{device_id{"a/npu0"}, t.life_of("a"), "its host process died"});
  t.drop_all();
  names(t, "3.0", older_engines::none); // What is newer than the compiler is never loaded.
  t.submit();
  EXPECT_TRUE(t.take_all<reserve_allocation>().empty());
  EXPECT_TRUE(t.take_all<load_replica>().empty());
  t.drop_all();
}

/// What the command would serve is named with it, in the answer and to whoever asks why.
TEST(HeldEngine, ThatARollbackWouldServeIsNamedWhereNothingElseDoes) {
  core_fixture t;
  t.declare(story_spec());
  t.join("b", 2);
  has_engine(t, "3.3", 'f', false, "b"); // Of no use there: a rollback is its own node's.
  restarted(t, "4.0");
  has_engine(t, "3.0", 'd');
  has_engine(t, "4.1", 'e'); // Newer than the compiler.
  t.submit();
  const auto order = t.expect<start_compile>();
  t.take_all<queue_notice>();
  cannot_build(t, order, recovery::refuse);
  const auto refused = t.expect<reject_request>();
  EXPECT_EQ(refused.http_status, 422);
  EXPECT_NE(refused.reason.message.find(
                "nobody can build; `consort artifacts rollback bbbbbbbbbbbb` on a would go back "
                "to what refnpu-cc 3.1 built): exited with 3"),
            std::string::npos)
      << refused.reason.message;
  t.take_all<record_request>();
  const auto again = t.request();
  t.submit(again);
  t.expect<reject_request>();
  t.take_all<record_request>();
  const auto why = t.tested().explain(again.external_id, t.now());
  ASSERT_TRUE(why && !why->decisions.empty() && !why->decisions.back().candidates.empty());
  EXPECT_NE(why->decisions.back().candidates.front().reason.find("rollback bbbbbbbbbbbb"),
            std::string::npos);
  has_engine(t, "3.1", 'b', true); // As it says.
  serves(t, 'b');
}

TEST(HeldEngine, ThatDidNotLoadIsNoWayBack) {
  for (const bool elsewhere : {false, true}) {
    core_fixture t;
    t.declare(story_spec());
    if (elsewhere) {
      t.join("b", 2);
      has_engine(t, "3.1", 'b', false, "b");
      t.join("a", 1, {made_by("4.0")});
      names(t, "4.0");
    } else {
      restarted(t, "4.0", older_engines::any);
    }
    t.submit();
    for (std::uint32_t tries = 0; !elsewhere && tries < limits::older_loads_max; ++tries) {
      t.take_all<queue_notice>();
      t.grant_next_allocation();
      t.feed(replica_failed{t.expect<load_replica>().instance,
                            t.life_of("a"),
                            {recovery::retry_later, "bad_engine", "of another version"}});
      t.take_all<release_allocation>();
      if (tries + 1 < limits::older_loads_max)
        t.pass_time_renewing(limits::load_backoff_min_us << tries, {"a"});
    }
    t.take_all<queue_notice>();
    cannot_build(t, t.expect<start_compile>(), recovery::refuse);
    const auto refused = t.expect<reject_request>();
    EXPECT_NE(refused.reason.message.find("nobody can build)"), std::string::npos)
        << refused.reason.message;
    t.take_all<record_request>();
  }
}

/// Went back from 3.2 to what 3.1 built; then the agent came back with 3.3.
TEST(HeldEngine, ThatSomebodyWentBackToServesUnderAYetNewerCompiler) {
  core_fixture t;
  t.declare(story_spec());
  restarted(t, "3.3", older_engines::major, true);
  has_engine(t, "3.2", 'b', true);
  serves(t, 'b');
  t.pass_time_renewing(60 * second, {"a"});
  t.expect_empty();
  EXPECT_EQ(answered_by(t), 'b');
}

/// Nor does it matter under which key what serves was loaded.
TEST(HeldEngine, GivesWayToAnotherThatSomebodyWentBackTo) {
  core_fixture t;
  t.declare(story_spec());
  restarted(t, "3.3", older_engines::major, true);
  serves(t, 'b');
  has_engine(t, "3.1", 'd', true);
  has_engine(t, "3.2", 'd', true);
  for (int turn = 0; turn < 4; ++turn) { // It is told of under one key after the other.
    for (const auto& asked : t.take_all<reserve_allocation>())
      t.feed(t.reserved(asked));
    for (const auto& load : t.take_all<load_replica>())
      t.loaded(load);
    for (const auto& left : t.take_all<unload_replica>())
      t.feed(replica_unloaded{left.instance, t.life_of("a")});
    t.take_all<release_allocation>();
  }
  EXPECT_EQ(answered_by(t), 'd');
  EXPECT_EQ(t.ready_replicas(), 1U);
  t.pass_time_renewing(60 * second, {"a"});
}

/// Two versions that make the same bytes are no rollback.
TEST(HeldEngine, TheSameBytesByTwoVersionsHoldNothing) {
  core_fixture t;
  t.declare(story_spec());
  restarted(t, "3.3");
  has_engine(t, "3.2", 'b');
  serves(t, 'b');
  EXPECT_EQ(t.expect<start_compile>().key.profile.compiler_version, "3.3");
}

/// Whatever versions come, are built, lost and pinned, in any order: nothing is loaded but what the
/// device names, its plugin says that it still runs or somebody held, and one build of the target
/// runs at a time.
TEST(OlderEngine, OverRandomVersionsNothingElseIsEverLoaded) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    core_fixture t;
    prng draw(seed);
    const auto version
        = [&] { return std::to_string(3 + draw.below(2)) + "." + std::to_string(draw.below(4)); };
    t.declare(story_spec());
    auto named = version();
    auto rule = static_cast<older_engines>(draw.below(4));
    std::uint64_t life = 1;
    std::set<std::string> held; // At any time.
    t.join("a", life, {made_by(named)});
    names(t, named, rule);
    for (int step = 0; step < 60; ++step) {
      switch (draw.below(5)) {
      case 0:
        if (const auto by = version(); draw.below(3) == 0) {
          held.insert(by);
          has_engine(t, by, static_cast<char>('a' + draw.below(6)), true);
        } else {
          has_engine(t, by, static_cast<char>('a' + draw.below(6)));
        }
        break;
      case 1: // The agent begins anew, its compiler another one.
        named = version();
        rule = static_cast<older_engines>(draw.below(4));
        t.feed(node_lost{node_id{"a"}, incarnation{life}, true, "killed"});
        t.drop_all();
        t.join("a", ++life, {made_by(named)});
        names(t, named, rule);
        break;
      case 2: t.pass_time_renewing(second, {"a"}); break;
      default: t.submit();
      }
      for (const auto& asked : t.take_all<reserve_allocation>())
        t.feed(t.reserved(asked));
      EXPECT_LE(t.take_all<start_compile>().size(), 1U) << "seed " << seed;
      for (const auto& load : t.take_all<load_replica>()) {
        const auto& built = load.artifact->key.profile.compiler_version;
        const bool by_hand = held.contains(built) && older_version(built, named);
        EXPECT_TRUE(built == named || by_hand || runs_older(rule, built, named))
            << "seed " << seed << ": " << built << " by a device of " << named;
        if (load.artifact->key.profile.compiler_version == "3.0")
          t.feed(replica_failed{load.instance,
                                t.life_of("a"),
                                {recovery::retry_later, "bad_engine", "cannot be loaded"}});
        else
          t.loaded(load);
      }
      t.drop_all();
    }
  }
}

} // namespace

} // namespace consort::core::testing
