// SPDX-License-Identifier: Apache-2.0
// Artifacts between nodes: fetched instead of built again, once per node, elsewhere when the holder
// dies.
#include "scheduler/artifact_model.hpp"
#include "tests/support/core_fixture.hpp"

namespace consort::core::testing {

namespace {

artifact_record built_on(const std::string& node) {
  return artifact_on(node, engine_key());
}

/// Nodes `a` and `b` hold the artifact; `c` has two NPUs and a compiler, and is asked for it.
fetch_artifact ask_c(core_fixture& t) {
  t.join("a", 11);
  t.join("b", 22);
  t.join("c", 33, {refnpu_profile()});
  t.feed(artifact_found{built_on("a"), incarnation{11}});
  t.feed(artifact_found{built_on("b"), incarnation{22}});
  t.advertise(npu_spec("c", 0));
  t.advertise(npu_spec("c", 1));
  t.declare(story_spec());
  t.submit("c/*");
  t.take_all<queue_notice>();
  return t.expect<fetch_artifact>();
}

TEST(Artifact, IsFetchedInsteadOfBuiltAgainAndOncePerNode) {
  core_fixture t;
  const auto fetch = ask_c(t);
  EXPECT_EQ(fetch.node.value, "c");
  EXPECT_EQ(fetch.from.value, "a");
  EXPECT_EQ(fetch.from_address, "a:1");
  EXPECT_EQ(fetch.content, built_on("a").content);
  for (int i = 0; i < 8; ++i)
    t.submit("npu");
  t.take_all<queue_notice>();
  t.expect_empty();
  t.feed(artifact_found{built_on("c"), incarnation{33}});
  t.take_all<queue_notice>();
  EXPECT_EQ(t.take_all<reserve_allocation>().size(), 2U);
  EXPECT_EQ(t.view().counters.builds_started, 0U);
}

TEST(Artifact, IsFetchedElsewhereWhenItsHolderDies) {
  core_fixture t;
  EXPECT_EQ(ask_c(t).from.value, "a");
  t.feed(node_lost{node_id{"a"}, incarnation{11}, true, "killed"});
  t.take_all<queue_notice>();
  EXPECT_EQ(t.expect<fetch_artifact>().from.value, "b");
}

TEST(Artifact, FailedFetchTriesAnotherHolderAfterAPause) {
  core_fixture t;
  const auto first = ask_c(t);
  t.feed(fetch_failed{first.key,
                      first.content,
                      node_id{"c"},
                      incarnation{33},
                      {recovery::retry_elsewhere, "reset", "connection reset"}});
  t.take_all<queue_notice>();
  t.expect_empty();
  EXPECT_TRUE(t.noted("copy to c failed"));
  t.pass_time(limits::fetch_backoff_min_us);
  t.take_all<queue_notice>();
  EXPECT_EQ(t.expect<fetch_artifact>().from.value, "b");
}

TEST(Artifact, IsBuiltAgainWhenEveryHolderDied) {
  core_fixture t;
  ask_c(t);
  t.feed(node_lost{node_id{"a"}, incarnation{11}, true, "killed"});
  t.feed(node_lost{node_id{"b"}, incarnation{22}, true, "killed"});
  t.take_all<queue_notice>();
  t.take_all<fetch_artifact>();
  EXPECT_EQ(t.expect<start_compile>().node.value, "c");
}

/// What only its compiler knows has no digest, and this compiler needs the device meanwhile.
TEST(Artifact, OfANameIsBuiltOnADeviceThatIsHeldForIt) {
  core_fixture t;
  auto profile = refnpu_profile();
  profile.needs_device = true;
  auto device = npu_spec("a", 0);
  device.capability.build_profiles = {{profile, {}}};
  auto model = story_spec();
  model.variants[0].source = "server:/models/checkpoint";
  model.variants[0].content = {};
  model.variants[0].shape.clear();
  t.join("a", 11, {profile});
  t.advertise(device);
  t.declare(model);
  t.submit("npu");
  t.take_all<queue_notice>();
  const auto held = t.expect<reserve_allocation>();
  ASSERT_EQ(held.grant.shares.size(), 1U);
  EXPECT_TRUE(held.grant.shares[0].whole);
  t.feed(allocation_reserved{held.grant.id, node_id{"a"}, incarnation{11}, held.grant.fence});
  t.take_all<queue_notice>();
  const auto order = t.expect<start_compile>();
  EXPECT_EQ(order.key.binds, "server:/models/checkpoint");
  ASSERT_TRUE(order.grant);
  EXPECT_EQ(order.grant->shares[0].device, device.id);
}

/// Lost again before it loaded it is given up; a release that came later is no reason to.
TEST(Artifact, ThatLoadedAfterARebuildMayBeRebuiltAgain) {
  core_fixture t;
  t.join("a", 11, {refnpu_profile()});
  t.advertise(npu_spec("a", 0));
  t.feed(artifact_found{built_on("a"), incarnation{11}});
  auto model = story_spec();
  model.replicas_min = 1;
  t.declare(model);
  for (int turn = 0; turn < 3; ++turn) {
    const auto load = t.finish_load();
    t.feed(artifact_lost{built_on("a").key, built_on("a").content, node_id{"a"}, incarnation{11},
                         "another release"});
    t.feed(replica_failed{load.instance,
                          incarnation{11},
                          {recovery::retry_later, "artifact_unfit", "another release"}});
    t.take_all<release_allocation>();
    const auto order = t.expect<start_compile>();
    t.feed(compile_finished{order.compile, incarnation{11}, built_on("a")});
    t.pass_time_renewing(2 * second, {"a"});
  }
  t.take_all<reserve_allocation>();
}

/// The device is another model's until there is something to load.
TEST(Artifact, IsBuiltWhileItsDeviceIsFull) {
  core_fixture t;
  auto device = npu_spec("a", 0);
  device.memory_bytes = 0; // Unknown: one model at a time.
  t.join("a", 11, {refnpu_profile()});
  t.advertise(device);
  t.feed(artifact_found{built_on("a"), incarnation{11}});
  t.declare(story_spec());
  t.submit("npu");
  t.take_all<queue_notice>();
  t.finish_load();
  t.expect<grant_ticket>();
  t.declare(story_spec("other"));
  auto wanted = t.request("npu");
  wanted.model = model_name{"other"};
  t.submit(wanted);
  t.take_all<queue_notice>();
  EXPECT_EQ(t.expect<start_compile>().model.value, "other");
}

error could_not(recovery action) {
  return {action, "compiler_failed", "E1042"};
}

/// Devices on `a` and `b`, which both have the compiler. Returns: the build that a request began.
start_compile build_somewhere(core_fixture& t) {
  t.join("a", 11, {refnpu_profile()});
  t.join("b", 22, {refnpu_profile()});
  t.advertise(npu_spec("a", 0));
  t.declare(story_spec());
  t.submit("npu");
  t.take_all<queue_notice>();
  return t.expect<start_compile>();
}

TEST(Artifact, BuildThatFailsOnOneNodeIsTriedOnAnother) {
  core_fixture t;
  const auto first = build_somewhere(t);
  ASSERT_EQ(first.node.value, "a");
  t.feed(compile_failed{first.compile, incarnation{11}, could_not(recovery::retry_elsewhere)});
  t.take_all<queue_notice>();
  const auto second = t.expect<start_compile>();
  EXPECT_EQ(second.node.value, "b");
  // Neither can: both wait, and the one that failed longer ago is not asked at once.
  t.feed(compile_failed{second.compile, incarnation{22}, could_not(recovery::retry_elsewhere)});
  t.take_all<queue_notice>();
  t.expect_empty();
}

/// Its devices are gone as well, which is the reason; nobody is left to try anything again.
TEST(Artifact, BuildOfAPluginThatWasTakenOutPromisesNoOther) {
  core_fixture t;
  t.join("local", 1, {refnpu_profile()});
  for (int i = 0; i < 2; ++i)
    t.advertise(npu_spec("local", i));
  t.declare(story_spec());
  t.submit("npu");
  t.take_all<queue_notice>();
  const auto build = t.expect<start_compile>();
  for (int i = 0; i < 2; ++i)
    t.feed(device_lost{npu_spec("local", i).id, incarnation{1}, "its plugin refnpu was taken out"});
  t.feed(node_joined{node_id{"local"}, incarnation{1}, "local:1", {}, {}});
  t.feed(compile_failed{
      build.compile,
      incarnation{1},
      {recovery::retry_elsewhere, "compiler_gone", "its plugin was taken out while it ran"}});
  const auto refused = t.take_all<reject_request>();
  ASSERT_EQ(refused.size(), 1U);
  EXPECT_EQ(refused[0].http_status, 422);
  EXPECT_EQ(refused[0].reason.message,
            "no device can serve 'storyteller' for 'npu': local/npu0 and local/npu1: alive (its "
            "plugin refnpu was taken out)");
  EXPECT_TRUE(t.noted("compile failed on local: its plugin was taken out while it ran"));
  EXPECT_FALSE(t.noted("tried again"));
  t.drop_all();
}

/// Whoever waits is told once no node has what was declared, and the model that is declared again
/// is another case.
TEST(Artifact, BuildWhoseWeightsChangedOnEveryNodeEndsWhoWaits) {
  core_fixture t;
  const error changed{recovery::retry_elsewhere, "model_changed", "m.gguf: other digest"};
  const auto first = build_somewhere(t);
  t.feed(compile_failed{first.compile, incarnation{11}, changed});
  t.take_all<queue_notice>();
  const auto second = t.expect<start_compile>();
  t.expect_empty();
  t.feed(compile_failed{second.compile, incarnation{22}, changed});
  EXPECT_TRUE(t.noted("m.gguf: other digest; built again in 5m, or at once after `consort compile "
                      "storyteller --for auto` or when the model is declared again"));
  t.pass_time_renewing(limits::return_grace_us, {"a", "b"});
  t.drop_all();
  t.submit("npu");
  const auto refused = t.expect<reject_request>();
  EXPECT_EQ(refused.http_status, 422);
  EXPECT_EQ(refused.reason.code, "build_failed");
  EXPECT_NE(refused.reason.message.find("m.gguf: other digest; built again in"), std::string::npos)
      << refused.reason.message;
  t.expect<record_request>();
  t.expect_empty();
  t.declare(story_spec());
  t.submit("npu");
  t.take_all<queue_notice>();
  t.expect<start_compile>();
}

/// Nobody has to do anything: a file that is back is found after the stated time.
TEST(Artifact, BuildWhoseWeightsAreGoneIsTriedAgainAfterTheStatedTime) {
  core_fixture t;
  const error gone{recovery::retry_elsewhere, "model_missing", "m.gguf: no such file"};
  t.feed(compile_failed{build_somewhere(t).compile, incarnation{11}, gone});
  t.feed(compile_failed{t.take_all<start_compile>().at(0).compile, incarnation{22}, gone});
  t.pass_time_renewing(limits::corrupt_backoff_us - second, {"a", "b"});
  t.drop_all();
  t.submit("npu");
  EXPECT_EQ(t.take_all<reject_request>().size(), 1U);
  t.drop_all();
  t.pass_time_renewing(2 * second, {"a", "b"});
  t.submit("npu");
  t.take_all<queue_notice>();
  EXPECT_EQ(t.take_all<start_compile>().size(), 1U);
  t.drop_all();
}

/// After a restart nobody has asked for it yet.
TEST(Artifact, SaysWhichServedModelItIsOf) {
  core_fixture t;
  t.join("a", 11);
  t.feed(artifact_found{built_on("a"), incarnation{11}});
  auto shaped = artifact_on("a", engine_key(), 'd');
  shaped.key.kind = artifact_kind::engine_architecture;
  shaped.key.binds = "llama-64";
  t.feed(artifact_found{shaped, incarnation{11}});
  ASSERT_EQ(t.view().artifacts.size(), 2U);
  for (const auto& one : t.view().artifacts)
    EXPECT_EQ(one.model.value, "") << "no such model is served";
  auto model = story_spec();
  model.variants[0].shape = "llama-64";
  t.declare(model);
  ASSERT_EQ(t.view().artifacts.size(), 2U);
  for (const auto& one : t.view().artifacts)
    EXPECT_EQ(one.model.value, "storyteller");
}

/// Somebody imports what is just being built: that is what is loaded, and nothing replaces it.
TEST(Artifact, ThatIsImportedEndsItsBuild) {
  core_fixture t;
  const auto order = build_somewhere(t);
  const auto node = order.node.value;
  const auto imported = artifact_on(node, order.key, 'e');
  t.feed(artifact_found{imported, t.life_of(node)});
  const auto cancelled = t.take_all<cancel_compile>();
  ASSERT_EQ(cancelled.size(), 1U);
  EXPECT_EQ(cancelled[0].compile, order.compile);
  EXPECT_TRUE(t.noted("is not needed any more: " + node + " has one"));
  // It had ended just then: its node says which of both stays.
  t.feed(compile_finished{order.compile, t.life_of(node), imported});
  t.drop_all();
  ASSERT_EQ(t.view().artifacts.size(), 1U);
  EXPECT_EQ(t.view().artifacts[0].content, imported.content);
  EXPECT_EQ(t.view().counters.builds_failed, 0U);
}

/// A node that is back names what it has before it says that it built it.
TEST(Artifact, FoundWhereItWasBuiltIsABuildThatEnded) {
  core_fixture t;
  const auto order = build_somewhere(t);
  const auto node = order.node.value;
  auto built = artifact_on(node, order.key, 'e');
  built.build_us = 5 * second;
  t.feed(artifact_found{built, t.life_of(node)});
  EXPECT_TRUE(t.take_all<cancel_compile>().empty());
  EXPECT_FALSE(t.noted("is not needed any more"));
  t.feed(compile_finished{order.compile, t.life_of(node), built});
  EXPECT_EQ(t.view().counters.builds_finished, 1U);
  EXPECT_EQ(t.view().artifacts.size(), 1U);
  t.drop_all();
}

/// Known from its manifest where no model of that name is declared.
TEST(Artifact, IsShownWithTheModelThatItWasMadeFor) {
  core_fixture t;
  t.join("a", 11);
  auto record = artifact_on("a", engine_key(), 'e');
  record.quality = {{artifact_model, "gone"}, {"kl", "0.1"}};
  t.feed(artifact_found{record, t.life_of("a")});
  ASSERT_EQ(t.view().artifacts.size(), 1U);
  EXPECT_EQ(t.view().artifacts[0].model.value, "gone");
  EXPECT_EQ(t.view().artifacts[0].quality.count(artifact_model), 0U);
  t.declare(story_spec());
  EXPECT_EQ(t.view().artifacts[0].model.value, "storyteller") << "whoever has the weights now";
}

/// As on a disk that is full: why is in the answer, and in what is shown of the artifact until
/// another copy comes.
TEST(Artifact, CopyThatFailsIsNamedToWhoWaitsForIt) {
  core_fixture t;
  t.join("a", 11);
  t.feed(artifact_found{built_on("a"), incarnation{11}});
  t.join("b", 22);
  t.advertise(npu_spec("b", 0));
  t.declare(story_spec());
  auto meta = t.request("npu");
  meta.wait_us = 2 * second;
  t.submit(meta);
  t.take_all<queue_notice>();
  const auto copy = t.expect<fetch_artifact>();
  t.feed(fetch_failed{copy.key,
                      copy.content,
                      node_id{"b"},
                      incarnation{22},
                      {recovery::retry_later, "disk_full", "no room"}});
  EXPECT_EQ(t.view().artifacts.at(0).last_error, "copy to b failed: no room");
  t.pass_time(2 * second);
  const auto ends = t.take_all<reject_request>();
  ASSERT_EQ(ends.size(), 1U);
  EXPECT_NE(ends[0].reason.message.find("; the last copy to b failed: no room"), std::string::npos)
      << ends[0].reason.message;
  t.feed(artifact_found{built_on("b"), incarnation{22}});
  EXPECT_EQ(t.view().artifacts.at(0).last_error, "");
  t.drop_all();
}

/// Its node went back to an older one, whose size is another.
TEST(Artifact, IsShownWithTheSizeOfItsNewest) {
  core_fixture t;
  t.join("a", 11);
  auto record = artifact_on("a", engine_key(), 'e');
  record.size_bytes = 63'000'089;
  record.own = digest{std::string(64, 'f')};
  record.quality = {{artifact_own_bytes, "22963814"}, {"kl", "0.1"}};
  t.feed(artifact_found{record, t.life_of("a")});
  ASSERT_EQ(t.view().artifacts.size(), 1U);
  const auto seen = t.view().artifacts[0];
  EXPECT_EQ(seen.own, record.own);
  EXPECT_EQ(seen.size_bytes, 22'963'814U);
  EXPECT_EQ(seen.quality, (std::map<std::string, std::string>{{"kl", "0.1"}}));
}

/// A compiler that was mended under its old version: the node tells of other files, and of nothing
/// else that is new.
TEST(Artifact, RefusedBuildIsTriedAgainOnceItsCompilerIsAnotherFile) {
  core_fixture t;
  const auto first = build_somewhere(t);
  const auto node = first.node.value;
  const auto told_of = [&](const std::string& files) {
    t.feed(node_joined{
        node_id{node}, t.life_of(node), {}, {refnpu_profile()}, {{"compilers", files}}});
    t.take_all<grant_lease>();
  };
  told_of("one");
  t.feed(compile_failed{first.compile, t.life_of(node), could_not(recovery::refuse)});
  t.drop_all();
  told_of("one"); // As after a lost link, or a reload that found nothing new.
  t.submit("npu");
  EXPECT_EQ(t.expect<reject_request>().http_status, 422);
  t.drop_all();
  t.feed(node_joined{node_id{node},
                     t.life_of(node),
                     {},
                     {refnpu_profile()},
                     {{"compilers", "one"}, {"plugin quark", "its probe hangs"}}});
  t.take_all<grant_lease>();
  t.submit("npu"); // Words for people forgive nothing.
  EXPECT_EQ(t.expect<reject_request>().http_status, 422);
  t.drop_all();
  told_of("another");
  t.submit("npu");
  t.take_all<queue_notice>();
  EXPECT_EQ(t.expect<start_compile>().node.value, node);
}

TEST(Artifact, RefusedBuildIsTriedAgainWhenAskedForOrWhenItsCompilerIsNew) {
  core_fixture t;
  const auto first = build_somewhere(t);
  t.feed(compile_failed{first.compile, incarnation{11}, could_not(recovery::refuse)});
  t.take_all<queue_notice>();
  for (const auto& ended : t.take_all<reject_request>())
    EXPECT_EQ(ended.reason.code, "build_failed") << ended.reason.message;
  t.take_all<record_request>();
  t.expect_empty();
  EXPECT_TRUE(t.noted("(it is not tried again by itself; once that is mended: consort compile "
                      "storyteller --for auto)"));
  t.feed(compile_requested{model_name{"storyteller"}, "npu"});
  const auto second = t.expect<start_compile>();
  t.feed(compile_failed{second.compile, incarnation{11}, could_not(recovery::refuse)});
  t.expect_empty();
  t.join("c", 33, {refnpu_profile()});
  t.submit("npu");
  t.take_all<queue_notice>();
  t.expect<start_compile>();
}

TEST(Artifact, EachHolderServesTwoBeforeOthersDo) {
  core_fixture t;
  constexpr std::uint64_t pullers = 8;
  t.join("source", 100);
  t.feed(artifact_found{built_on("source"), incarnation{100}});
  t.declare(story_spec());
  std::map<std::string, int> served;
  std::vector<fetch_artifact> under_way;
  for (std::uint64_t at = 0; at < pullers; ++at) {
    const auto name = "n" + std::to_string(at);
    t.join(name, 1 + at);
    t.advertise(npu_spec(name, 0));
  }
  for (std::uint64_t at = 0; at < pullers; ++at)
    t.submit("n" + std::to_string(at) + "/*");
  const auto order = [&] {
    t.take_all<queue_notice>();
    t.take_all<reserve_allocation>();
    for (auto& fetch : t.take_all<fetch_artifact>()) {
      ++served[fetch.from.value];
      under_way.push_back(fetch);
    }
  };
  order();
  EXPECT_EQ(served["source"], 2);
  for (std::size_t done = 0; done < pullers; ++done) {
    ASSERT_LT(done, under_way.size()) << "somebody waits for ever";
    const auto to = under_way[done].node;
    t.feed(artifact_found{built_on(to.value), t.life_of(to.value)});
    order();
  }
  EXPECT_EQ(under_way.size(), pullers);
  for (const auto& [holder, count] : served)
    EXPECT_LE(count, 2) << holder;
}

TEST(Memory, ContextIsReservedForEverySequenceThatHasRoom) {
  core_fixture t;
  const auto variant = story_spec().variants[0];
  const auto context = std::uint64_t{variant.kv_bytes_per_token} * variant.context_tokens;
  auto roomy = cpu_spec("local", 0);
  auto narrow = cpu_spec("local", 1);
  narrow.memory_bytes = variant.weight_bytes + 2 * context;
  auto tiny = cpu_spec("local", 2);
  tiny.memory_bytes = variant.weight_bytes + context - 1;
  auto model = story_spec();
  model.replicas_min = 3;
  t.join("local");
  t.declare(model);
  t.advertise(tiny);
  t.expect_empty();
  t.advertise(roomy);
  EXPECT_EQ(t.expect<reserve_allocation>().grant.shares.at(0).memory_bytes,
            variant.weight_bytes + roomy.capability.max_sequences * context);
  t.advertise(narrow);
  EXPECT_EQ(t.expect<reserve_allocation>().grant.shares.at(0).memory_bytes, narrow.memory_bytes);
}

TEST(Artifact, ABuildThatIsLateAndSaysNothingHasNoEta) {
  core_fixture t;
  t.join("a", 11, {refnpu_profile()});
  t.advertise(npu_spec("a", 0));
  t.declare(story_spec());
  t.submit("npu");
  t.take_all<queue_notice>();
  const auto order = t.expect<start_compile>();
  EXPECT_TRUE(t.view().artifacts.at(0).eta_us) << "it is not late yet";
  t.pass_time_renewing(limits::build_guess_us + second, {"a"});
  EXPECT_FALSE(t.view().artifacts.at(0).eta_us);
  t.feed(compile_progressed{order.compile, incarnation{11}, 500});
  EXPECT_TRUE(t.view().artifacts.at(0).eta_us) << "half of it is done";
  t.drop_all();
}

} // namespace

} // namespace consort::core::testing
