// SPDX-License-Identifier: Apache-2.0
// A model is removed while something is built or fetched for it: that ends, unless another model
// has the same weights.
#include "scheduler/weights.hpp"
#include "tests/support/core_fixture.hpp"

namespace consort::core::testing {

namespace {

/// One reference NPU on the node that has its compiler, whose engine is just being built.
start_compile build_under_way(core_fixture& t) {
  t.join("local", 1, {refnpu_profile()});
  t.advertise(npu_spec());
  t.declare(story_spec());
  t.submit();
  t.take_all<queue_notice>();
  return t.expect<start_compile>();
}

TEST(UnwantedBuild, EndsWithItsModelAndIsListedNoMore) {
  core_fixture t;
  const auto build = build_under_way(t);
  ASSERT_EQ(t.view().artifacts.size(), 1U);
  t.feed(model_removed{story_spec().name});
  EXPECT_EQ(t.take_all<reject_request>().size(), 1U);
  t.take_all<record_request>();
  const auto cancelled = t.take_all<cancel_compile>();
  ASSERT_EQ(cancelled.size(), 1U);
  EXPECT_EQ(cancelled[0].compile, build.compile);
  EXPECT_EQ(cancelled[0].node, build.node);
  EXPECT_TRUE(t.noted("the build on local is not needed any more: storyteller was removed"));
  EXPECT_TRUE(t.view().artifacts.empty());
  EXPECT_EQ(t.view().counters.builds_failed, 0U);

  t.declare(story_spec());
  t.submit();
  t.take_all<queue_notice>();
  EXPECT_NE(t.expect<start_compile>().compile, build.compile) << "its place is free again";
}

/// It was done before its node heard of it: what is there is there.
TEST(UnwantedBuild, ThatWasDoneIsKept) {
  core_fixture t;
  const auto build = build_under_way(t);
  t.feed(model_removed{story_spec().name});
  t.drop_all();
  t.compiled(build);
  ASSERT_EQ(t.view().artifacts.size(), 1U);
  EXPECT_EQ(t.view().artifacts[0].state, artifact_state::ready);
}

TEST(UnwantedBuild, GoesOnForAnotherModelOfTheSameWeights) {
  core_fixture t;
  auto other = story_spec("other");
  other.variants = story_spec().variants;
  t.declare(other);
  const auto build = build_under_way(t);
  t.feed(model_removed{story_spec().name});
  t.take_all<reject_request>();
  t.take_all<record_request>();
  t.expect_empty();
  ASSERT_EQ(t.view().artifacts.size(), 1U);
  EXPECT_EQ(t.view().artifacts[0].model.value, "other");
  t.compiled(build);
  auto meta = t.request();
  meta.model = other.name;
  t.submit(meta);
  t.take_all<queue_notice>();
  t.finish_load();
  t.expect<grant_ticket>();
}

TEST(UnwantedBuild, AFetchOfWeightsIsOne) {
  core_fixture t;
  t.join("local", 1, {weights_profile()});
  t.advertise(cpu_spec());
  auto spec = story_spec();
  spec.variants[0].source = "https://hub/story.gguf";
  t.declare(spec);
  t.submit();
  t.take_all<queue_notice>();
  const auto fetch = t.expect<start_compile>();
  t.feed(model_removed{spec.name});
  const auto cancelled = t.take_all<cancel_compile>();
  ASSERT_EQ(cancelled.size(), 1U);
  EXPECT_EQ(cancelled[0].compile, fetch.compile);
  EXPECT_TRUE(t.noted("the fetch on local is not needed any more: storyteller was removed"));
  t.drop_all();
}

} // namespace

} // namespace consort::core::testing
