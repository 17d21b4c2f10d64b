// SPDX-License-Identifier: Apache-2.0
// Artifacts between nodes: fetched instead of built again, once per node, elsewhere when the holder
// dies.
#include "tests/support/core_fixture.hpp"

namespace consort::core::testing {

namespace {

artifact_record built_on(const std::string& node) {
  artifact_record record;
  record.key
      = {artifact_kind::engine_weights, story_spec().variants[0].content.value, refnpu_profile()};
  record.content = digest{std::string(64, 'c')};
  record.node = node_id{node};
  return record;
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

} // namespace

} // namespace consort::core::testing
