// SPDX-License-Identifier: Apache-2.0
// Memory of a device: what others use is not given away, and a server that takes its share of all
// of it is granted that.
#include "tests/support/loaded_cluster.hpp"

namespace consort::core::testing {

namespace {

// --- memory that is not ours ---

TEST(ForeignMemory, IsNotGivenAway) {
  core_fixture t;
  t.join("local");
  t.advertise(cpu_spec());
  const auto all = cpu_spec().memory_bytes;
  for (int i = 0; i < 2; ++i)
    t.feed(reading(t, all - (1U << 20U)));
  t.declare(story_spec());
  t.submit();
  EXPECT_TRUE(t.take_all<reserve_allocation>().empty()) << "others have nearly all of it";
  EXPECT_EQ(t.take_all<queue_notice>().size(), 1U) << "it waits, it is not impossible";
  for (int i = 0; i < 2; ++i)
    t.feed(reading(t, all / 2));
  const auto asked = t.expect<reserve_allocation>();
  EXPECT_LE(asked.grant.shares.at(0).memory_bytes, all / 2);
  t.drop_all();
}

TEST(ForeignMemory, OneOddReadingIsNotBelieved) {
  core_fixture t;
  t.join("local");
  t.advertise(cpu_spec());
  t.feed(reading(t, cpu_spec().memory_bytes));
  t.declare(story_spec());
  t.submit();
  EXPECT_EQ(t.take_all<reserve_allocation>().size(), 1U);
  t.drop_all();
}

TEST(ForeignMemory, OurOwnIsNotCountedTwice) {
  core_fixture t;
  t.join("local");
  auto spec = cpu_spec();
  spec.memory_bytes = 26U << 20U;
  t.advertise(spec);
  t.declare(story_spec("A"));
  t.declare(story_spec("B"));
  auto meta = t.request();
  meta.model = model_name{"A"};
  t.submit(meta);
  t.grant_next_allocation();
  t.take_all<queue_notice>();
  t.loaded(t.expect<load_replica>());
  t.finish(t.expect<grant_ticket>());
  for (int i = 0; i < 2; ++i)
    t.feed(reading(t, 12U << 20U));
  meta = t.request();
  meta.model = model_name{"B"};
  t.submit(meta);
  EXPECT_EQ(t.take_all<reserve_allocation>().size(), 1U) << "there is room beside it";
  EXPECT_TRUE(t.take_all<unload_replica>().empty());
  t.drop_all();
}

// --- servers that take their share of a device, whatever the model ---

constexpr std::uint64_t card_bytes = 80'000'000'000;

/// A card whose server takes nine tenths of it, and two models whose size the server alone knows.
void card_with_server(core_fixture& t) {
  t.join("local");
  auto card = cpu_spec();
  card.memory_bytes = card_bytes;
  card.capability.formats = {"gguf", "server/*/*"};
  card.capability.memory_rules = {{{"server/*/*"}, 900}};
  t.advertise(card);
  for (const std::string name : {"A", "B"}) {
    auto model = story_spec(name);
    auto& variant = model.variants[0];
    variant.format = "server/org/" + name;
    variant.weight_bytes = variant.kv_bytes_per_token = 0;
    t.declare(model);
  }
}

void ask_for(core_fixture& t, const std::string& model) {
  auto meta = t.request();
  meta.model = model_name{model};
  t.submit(meta);
  t.take_all<queue_notice>();
}

TEST(MemoryShare, AnIdleServerLeavesForAnotherModel) {
  core_fixture t;
  card_with_server(t);
  ask_for(t, "A");
  EXPECT_EQ(t.finish_load().grant.shares.at(0).memory_bytes, card_bytes / 10 * 9);
  t.finish(t.expect<grant_ticket>());
  t.drop_all();
  ask_for(t, "B");
  EXPECT_TRUE(t.take_all<reserve_allocation>().empty()) << "two do not fit";
  const auto leaves = t.take_all<unload_replica>();
  ASSERT_EQ(leaves.size(), 1U);
  t.feed(replica_unloaded{leaves[0].instance, t.life_of("local")});
  t.take_all<release_allocation>();
  t.take_all<queue_notice>();
  EXPECT_EQ(t.finish_load().model.value, "B");
  EXPECT_EQ(t.take_all<grant_ticket>().size(), 1U);
  t.drop_all();
}

TEST(MemoryShare, WhatRunsByAnotherEngineTakesWhatItNeeds) {
  core_fixture t;
  card_with_server(t);
  t.declare(story_spec("small"));
  ask_for(t, "small");
  const auto load = t.finish_load();
  EXPECT_EQ(load.grant.shares.at(0).memory_bytes, (10U << 20U) + 4 * 1024 * 512);
  t.drop_all();
}

/// A desktop's screen, say: how a server gets along with it is its own affair.
TEST(MemoryShare, OthersMemoryKeepsNobodyWaiting) {
  core_fixture t;
  card_with_server(t);
  for (int i = 0; i < 2; ++i)
    t.feed(reading(t, card_bytes / 4));
  ask_for(t, "A");
  EXPECT_EQ(t.finish_load().grant.shares.at(0).memory_bytes, card_bytes / 10 * 9);
  t.drop_all();
}

TEST(MemoryShare, IsOfArtifactsToo) {
  core_fixture t;
  t.join("local");
  auto card = npu_spec();
  card.memory_bytes = card_bytes;
  card.capability.build_profiles[0].memory_share_pm = 1000;
  t.advertise(card);
  t.declare(story_spec());
  t.feed(artifact_found{artifact_on("local", engine_key()), t.life_of("local")});
  t.submit();
  t.take_all<queue_notice>();
  EXPECT_EQ(t.finish_load().grant.shares.at(0).memory_bytes, card_bytes);
  t.drop_all();
}

} // namespace

} // namespace consort::core::testing
