// SPDX-License-Identifier: Apache-2.0
// Engines that any weights of their architecture run on, and what servers compile at their start.
#include "scheduler/compile_plan.hpp"
#include "scheduler/weights.hpp"
#include "tests/support/core_fixture.hpp"

namespace consort::core::testing {

namespace {

model_spec shaped_spec(const std::string& name, const std::string& shape = "llama-l6-d256") {
  auto made = story_spec(name);
  made.variants[0].shape = shape;
  made.variants[0].quantization = "f16";
  return made;
}

device_spec shaped_npu(const std::string& node = "local") {
  auto made = npu_spec(node);
  made.capability.build_profiles[0].binds = artifact_kind::engine_architecture;
  return made;
}

request_id want(core_fixture& t, const std::string& model) {
  auto meta = t.request();
  meta.model = model_name{model};
  return t.submit(meta);
}

TEST(ArchitectureEngine, IsBuiltOnceForAllModelsOfItsShape) {
  core_fixture t;
  t.join("local", 1, {refnpu_profile()});
  t.advertise(shaped_npu());
  t.declare(shaped_spec("first"));
  t.declare(shaped_spec("second"));
  want(t, "first");
  t.take_all<queue_notice>();
  const auto order = t.expect<start_compile>();
  EXPECT_EQ(order.key.kind, artifact_kind::engine_architecture);
  EXPECT_EQ(order.key.binds, "llama-l6-d256-f16");
  t.compiled(order);
  t.take_all<queue_notice>();
  const auto first = t.finish_load();
  t.take_all<grant_ticket>();
  const auto plans = plan_compile(t.view(), model_name{"second"}, "npu");
  ASSERT_TRUE(plans);
  EXPECT_EQ(plans->at(0).state, "ready");
  want(t, "second");
  t.take_all<queue_notice>();
  const auto second = t.finish_load();
  EXPECT_EQ(second.artifact->content, first.artifact->content);
  EXPECT_EQ(second.variant.content, shaped_spec("second").variants[0].content);
  t.take_all<grant_ticket>();
  EXPECT_EQ(t.view().counters.builds_started, 1U);
}

TEST(ArchitectureEngine, OfAnotherShapeOrNumberTypeIsAnother) {
  auto other = shaped_spec("other", "llama-l7-d256").variants[0];
  auto coarse = shaped_spec("coarse").variants[0];
  coarse.quantization = "q8_0";
  auto unknown = shaped_spec("unknown", "").variants[0];
  const auto by = shaped_npu().capability.build_profiles[0];
  const auto key = engine_key(shaped_spec("one").variants[0], by);
  EXPECT_EQ(key, engine_key(shaped_spec("two").variants[0], by));
  EXPECT_NE(key, engine_key(other, by));
  EXPECT_NE(key, engine_key(coarse, by));
  EXPECT_EQ(engine_key(unknown, by).kind, artifact_kind::engine_weights);
}

TEST(ArchitectureEngine, WaitsForTheWeightsWhereTheyComeFromElsewhere) {
  core_fixture t;
  t.join("local", 1, {refnpu_profile(), weights_profile()});
  t.advertise(shaped_npu());
  auto spec = shaped_spec("second");
  spec.variants[0].source = "hf:org/repo@0123456789abcdef0123456789abcdef01234567/tiny.gguf";
  artifact_record engine;
  engine.key = engine_key(spec.variants[0], shaped_npu().capability.build_profiles[0]);
  engine.content = digest{std::string(64, 'c')};
  engine.node = node_id{"local"};
  t.feed(artifact_found{engine, incarnation{1}});
  t.declare(spec);
  want(t, "second");
  t.take_all<queue_notice>();
  const auto order = t.expect<start_compile>();
  EXPECT_TRUE(is_weights(order.key.profile));
  t.expect_empty();
  t.compiled(order, spec.variants[0].content.value);
  t.take_all<queue_notice>();
  EXPECT_EQ(t.finish_load().artifact->content, engine.content);
  t.take_all<grant_ticket>();
}

// --- caches ---

build_profile cache_profile() {
  build_profile made;
  made.name = "vllm-cache";
  made.target = "cpu";
  made.compiler = "vllm";
  made.compiler_version = "0.11";
  return made;
}

device_spec caching_cpu(const std::string& node) {
  auto made = cpu_spec(node);
  made.capability.caches = {{cache_profile(), {"gguf"}, artifact_kind::cache, false}};
  return made;
}

artifact_record cache_on(const std::string& node) {
  return artifact_on(node, cache_key(story_spec().variants[0], cache_profile(), 1), 'd');
}

/// `a` holds what a server compiled; `b` has the device and is asked for the model.
fetch_artifact ask_b(core_fixture& t) {
  t.join("a", 11);
  t.join("b", 22);
  t.advertise(caching_cpu("b"));
  t.declare(story_spec());
  t.feed(artifact_found{cache_on("a"), incarnation{11}});
  t.submit("b/*");
  t.take_all<queue_notice>();
  const auto fetch = t.expect<fetch_artifact>();
  t.expect_empty();
  return fetch;
}

TEST(ServerCache, IsBroughtBeforeTheStartOnAnotherNode) {
  core_fixture t;
  const auto fetch = ask_b(t);
  EXPECT_EQ(fetch.key, cache_on("a").key);
  EXPECT_EQ(fetch.from.value, "a");
  t.feed(artifact_found{cache_on("b"), incarnation{22}});
  t.take_all<queue_notice>();
  const auto load = t.finish_load();
  ASSERT_TRUE(load.cache);
  EXPECT_EQ(load.cache->content, cache_on("b").content);
  EXPECT_FALSE(load.artifact);
  t.take_all<grant_ticket>();
}

TEST(ServerCache, ThatCannotBeCopiedHoldsNothingUp) {
  core_fixture t;
  const auto fetch = ask_b(t);
  t.feed(fetch_failed{fetch.key,
                      fetch.content,
                      node_id{"b"},
                      incarnation{22},
                      {recovery::retry_elsewhere, "reset", "connection reset"}});
  t.take_all<queue_notice>();
  EXPECT_FALSE(t.finish_load().cache);
  t.take_all<grant_ticket>();
}

TEST(ServerCache, OfAHolderThatDiedHoldsNothingUp) {
  core_fixture t;
  ask_b(t);
  t.feed(node_lost{node_id{"a"}, incarnation{11}, true, "killed"});
  t.take_all<queue_notice>();
  EXPECT_FALSE(t.finish_load().cache);
  t.take_all<grant_ticket>();
}

TEST(ServerCache, OfOtherWeightsDegreeOrVersionIsAnother) {
  const auto variant = story_spec().variants[0];
  auto newer = cache_profile();
  newer.compiler_version = "0.12";
  const auto key = cache_key(variant, cache_profile(), 1);
  EXPECT_NE(key, cache_key(variant, cache_profile(), 2));
  EXPECT_NE(key, cache_key(variant, newer, 1));
  EXPECT_NE(key, cache_key(story_spec("other").variants[0], cache_profile(), 1));
}

} // namespace

} // namespace consort::core::testing
