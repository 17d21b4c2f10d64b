// SPDX-License-Identifier: Apache-2.0
// LoRA adapters: served under names of their own by the instances of their model, and loaded only
// where a runtime has them.
#include "scheduler/weights.hpp"
#include "tests/support/core_fixture.hpp"

#include <functional>

namespace consort::core::testing {

namespace {

model_adapter adapter(const std::string& name, char content = '1') {
  return {model_name{name}, "/adapters/" + name, digest{std::string(64, content)}, 8};
}

model_spec adapted(std::vector<model_adapter> adapters) {
  auto made = story_spec();
  made.variants[0].adapters = std::move(adapters);
  return made;
}

device_spec able_cpu(const std::string& node = "local", int number = 0) {
  auto made = cpu_spec(node, number);
  made.capability.adapter_formats = {"gguf"};
  return made;
}

request_id ask_model(core_fixture& t, const std::string& model,
                     const std::string& selector = "auto") {
  auto meta = t.request(selector);
  meta.model = model_name{model};
  return t.submit(meta);
}

TEST(Adapters, AreServedByTheInstanceOfTheirModel) {
  core_fixture t;
  t.join("local");
  t.advertise(able_cpu());
  t.declare(adapted({adapter("tales"), adapter("rhymes")}));
  ask_model(t, "tales");
  t.take_all<queue_notice>();
  const auto load = t.finish_load();
  ASSERT_EQ(load.variant.adapters.size(), 2U);
  EXPECT_EQ(load.variant.adapters[0].name.value, "rhymes") << "in order of name";
  EXPECT_EQ(t.expect<grant_ticket>().granted.instance, load.instance);
  for (const auto* name : {"rhymes", "storyteller"}) {
    ask_model(t, name);
    EXPECT_EQ(t.expect<grant_ticket>().granted.instance, load.instance) << name;
  }
}

TEST(Adapters, AreNotRemovedByNameNorIsTheirModel) {
  core_fixture t;
  t.join("local");
  t.advertise(able_cpu());
  auto model = adapted({adapter("tales"), adapter("rhymes")});
  model.aliases = {model_name{"default"}};
  t.declare(model);
  for (const auto* part : {"tales", "default"}) {
    t.feed(model_removed{model_name{part}});
    EXPECT_TRUE(t.noted(std::string(part) + ": not removed: it is only an alias or adapter of"));
  }
  for (const auto* name : {"storyteller", "tales", "rhymes", "default"}) {
    ask_model(t, name);
    EXPECT_TRUE(t.take_all<reject_request>().empty()) << name;
  }
  t.drop_all();
  t.feed(model_removed{model_name{"storyteller"}});
  ask_model(t, "tales");
  EXPECT_FALSE(t.take_all<reject_request>().empty());
  t.drop_all();
}

TEST(Adapters, GoOnlyWhereTheRuntimeHasThem) {
  core_fixture t;
  t.join("local", 1, {refnpu_profile()});
  t.advertise(cpu_spec("local", 0));
  t.advertise(npu_spec("local", 0));
  t.advertise(able_cpu("local", 1));
  t.declare(adapted({adapter("tales")}));
  ask_model(t, "storyteller");
  t.take_all<queue_notice>();
  EXPECT_EQ(t.finish_load().grant.shares[0].device.value, "local/cpu1");
  t.take_all<grant_ticket>();
  ask_model(t, "tales", "local/cpu0");
  auto refused = t.expect<reject_request>();
  EXPECT_EQ(refused.http_status, 422);
  EXPECT_NE(refused.reason.message.find("no LoRA adapters"), std::string::npos)
      << refused.reason.message;
  t.take_all<record_request>();
  ask_model(t, "tales", "local/npu0");
  EXPECT_NE(t.expect<reject_request>().reason.message.find("adapters"), std::string::npos);
  t.take_all<record_request>();
}

TEST(Adapters, MoreThanARuntimeLoadsGoElsewhere) {
  core_fixture t;
  t.join("local");
  auto small = able_cpu();
  small.capability.adapters_max = 1;
  t.advertise(small);
  t.declare(adapted({adapter("tales"), adapter("rhymes")}));
  ask_model(t, "tales");
  EXPECT_NE(t.expect<reject_request>().reason.message.find("1 of 2 LoRA adapters"),
            std::string::npos);
  t.take_all<record_request>();
}

TEST(Adapters, OfArtifactsNeedABuildThatTakesThem) {
  core_fixture t;
  t.join("local", 1, {refnpu_profile()});
  auto able = npu_spec();
  able.capability.build_profiles[0].adapters = true;
  t.advertise(able);
  t.declare(adapted({adapter("tales")}));
  ask_model(t, "tales");
  t.take_all<queue_notice>();
  t.compiled(t.expect<start_compile>());
  t.take_all<queue_notice>();
  EXPECT_EQ(t.finish_load().variant.adapters.size(), 1U);
  t.take_all<grant_ticket>();
}

TEST(Adapters, NamesThatMeanSomethingElseAreLeftOut) {
  core_fixture t;
  t.join("local");
  t.advertise(able_cpu());
  t.declare(story_spec("other"));
  auto spec = adapted({adapter("other"), adapter("storyteller"), adapter("tales")});
  auto second = spec.variants[0];
  second.content = digest{std::string(64, 'e')};
  second.adapters = {adapter("tales", '2'), adapter("only-here")};
  spec.variants.push_back(second);
  t.declare(spec);
  for (const auto& model : t.view().models)
    if (model.spec.name.value == "storyteller")
      for (const auto& variant : model.spec.variants) {
        ASSERT_EQ(variant.adapters.size(), 1U);
        EXPECT_EQ(variant.adapters[0].name.value, "tales");
      }
  EXPECT_TRUE(t.noted("adapter 'other' is left out"));
  EXPECT_TRUE(t.noted("adapter 'only-here' is left out"));
  ask_model(t, "only-here");
  EXPECT_EQ(t.expect<reject_request>().http_status, 404);
  t.take_all<record_request>();
}

TEST(Adapters, AtMostSoManyAreServed) {
  core_fixture t;
  std::vector<model_adapter> many;
  for (std::size_t at = 0; at <= limits::adapters_max; ++at)
    many.push_back(adapter("a" + std::to_string(1000 + at)));
  t.declare(adapted(many));
  EXPECT_EQ(t.view().models.at(0).spec.variants[0].adapters.size(), limits::adapters_max);
}

TEST(Adapters, OtherOnesReplaceTheReplica) {
  core_fixture t;
  t.join("local");
  t.advertise(able_cpu());
  auto spec = adapted({adapter("tales")});
  spec.replicas_min = 1;
  t.declare(spec);
  const auto first = t.finish_load();
  t.declare(spec);
  t.expect_empty(); // The same again changes nothing.
  spec.variants[0].adapters[0] = adapter("tales", '2');
  t.declare(spec);
  EXPECT_TRUE(t.noted("declared anew"));
  const auto next = t.finish_load();
  EXPECT_EQ(next.variant.adapters[0].content.value, std::string(64, '2'));
  EXPECT_EQ(t.expect<unload_replica>().instance, first.instance);
}

TEST(Adapters, OnlyAReplicaWithTheSameOnesIsTakenOver) {
  for (const bool same : {true, false}) {
    core_fixture t;
    t.declare(adapted({adapter("tales")}));
    t.join("local");
    t.advertise(able_cpu());
    replica_found found;
    found.instance = instance_id{9};
    found.node = node_id{"local"};
    found.life = incarnation{1};
    found.grant.id = allocation_id{8};
    found.grant.fence = epoch{1};
    found.grant.shares = {{device_id{"local/cpu0"}, false, 1 << 20U}};
    found.grant.state = allocation_state::granted;
    found.model = model_name{"storyteller"};
    found.weights = story_spec().variants[0].content;
    if (same)
      found.adapters = {adapter("tales")};
    t.feed(found);
    EXPECT_EQ(t.noted("taken over as it is"), same);
    EXPECT_EQ(t.take_all<unload_replica>().empty(), same);
    t.drop_all();
  }
}

/// One that no node has by itself.
model_adapter hub_adapter(const std::string& name = "tales") {
  auto made = adapter(name);
  made.source = "hf:org/" + name + "@0123456789abcdef0123456789abcdef01234567/lora.gguf";
  return made;
}

TEST(Adapters, OfElsewhereAreFetchedOnceAndCopiedBeforeTheirModelIsLoaded) {
  core_fixture t;
  t.join("a", 11, {weights_profile()});
  t.join("b", 22, {weights_profile()});
  t.advertise(able_cpu("a"));
  t.declare(adapted({hub_adapter(), adapter("rhymes")}));
  ask_model(t, "tales", "a/*");
  t.take_all<queue_notice>();
  const auto order = t.expect<start_compile>();
  EXPECT_EQ(order.key, weights_key(weights_of(hub_adapter())));
  EXPECT_EQ(order.source.source, hub_adapter().source);
  EXPECT_EQ(order.source.content, hub_adapter().content);
  EXPECT_EQ(order.node.value, "a");
  t.expect_empty(); // What has a path on the node is not fetched, and nothing is loaded yet.
  t.compiled(order, hub_adapter().content.value);
  t.take_all<queue_notice>();
  EXPECT_EQ(t.finish_load().variant.adapters.size(), 2U);
  t.take_all<grant_ticket>();
  t.advertise(able_cpu("b"));
  ask_model(t, "tales", "b/*");
  t.take_all<queue_notice>();
  const auto copy = t.expect<fetch_artifact>();
  EXPECT_EQ(copy.node.value, "b");
  EXPECT_EQ(copy.content, hub_adapter().content);
  t.expect_empty();
  t.feed(artifact_found{artifact_on("b", copy.key, '1'), incarnation{22}});
  t.take_all<queue_notice>();
  EXPECT_EQ(t.finish_load().grant.shares[0].device.value, "b/cpu0");
  t.drop_all();
}

TEST(Adapters, AReplicaMakesRoomForNewOnesOnlyWhenTheyAreThere) {
  core_fixture t;
  t.join("a", 11, {weights_profile()});
  auto small = able_cpu("a");
  small.memory_bytes = (10U << 20U) + std::uint64_t{1024} * 512 + 1;
  t.advertise(small);
  auto spec = story_spec();
  spec.replicas_min = 1;
  t.declare(spec);
  const auto first = t.finish_load();
  spec.variants[0].adapters = {hub_adapter()};
  t.declare(spec);
  const auto order = t.expect<start_compile>();
  t.expect_empty(); // It serves on meanwhile.
  t.compiled(order, hub_adapter().content.value);
  EXPECT_EQ(t.expect<unload_replica>().instance, first.instance);
  t.feed(replica_unloaded{first.instance, incarnation{11}});
  t.take_all<release_allocation>();
  EXPECT_EQ(t.finish_load().variant.adapters.size(), 1U);
}

TEST(Adapters, ThatAreNowhereServeNobody) {
  core_fixture t;
  t.join("a", 11, {weights_profile()});
  t.advertise(able_cpu("a"));
  t.declare(adapted({hub_adapter()}));
  ask_model(t, "tales");
  t.take_all<queue_notice>();
  const auto order = t.expect<start_compile>();
  t.feed(compile_failed{
      order.compile, incarnation{11}, {recovery::refuse, "weights_missing", "no such file"}});
  t.pass_time_renewing(limits::return_grace_us + second, {"a"});
  ask_model(t, "tales");
  EXPECT_GE(t.take_all<reject_request>().size(), 1U);
  t.drop_all();
}

/// The adapter is served on `b` and its model on `a`, each the same prompt, told of as `tell` does.
/// Who is asked when it is their turn again must be the one that read for them.
void expect_nothing_shared(const std::function<void(request_meta&)>& tell) {
  core_fixture t;
  auto spec = adapted({adapter("tales")});
  spec.replicas_min = 2;
  t.declare(spec);
  for (const auto* node : {"a", "b"}) {
    t.join(node, node[0] == 'a' ? 11 : 22);
    t.advertise(able_cpu(node));
    t.finish_load();
  }
  const auto serve = [&](const std::string& model, const std::string& selector) {
    auto meta = t.request(selector);
    meta.model = model_name{model};
    meta.prompt_tokens = 4'000;
    tell(meta);
    t.submit(meta);
    const auto granted = t.expect<grant_ticket>();
    t.start(granted);
    t.progress(granted, 1);
    t.finish(granted);
    t.take_all<record_request>();
    return granted.granted.node.value;
  };
  EXPECT_EQ(serve("tales", "b/*"), "b");
  EXPECT_EQ(serve("storyteller", "a/*"), "a");
  EXPECT_EQ(serve("tales", "auto"), "b");
  EXPECT_EQ(serve("storyteller", "auto"), "a");
}

/// What one adapter has read is no cache of another, or of the model itself.
TEST(Adapters, ShareNoPrefix) {
  expect_nothing_shared([](request_meta& meta) { meta.prefix_blocks = {1, 2, 3, 4}; });
}

TEST(Adapters, ShareNoSession) {
  expect_nothing_shared([](request_meta& meta) { meta.session = "talk"; });
}

} // namespace

} // namespace consort::core::testing
