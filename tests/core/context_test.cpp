// SPDX-License-Identifier: Apache-2.0
// Engines say how long one request may be there: what is longer goes to those who can have it.
#include "tests/support/core_fixture.hpp"

namespace consort::core::testing {

namespace {

/// A model with a context of its own; 0 = nobody knows it, as of `server:NAME`.
void cluster_of(core_fixture& t, std::uint32_t replicas, std::uint32_t context = 0) {
  t.join("local");
  auto model = story_spec();
  model.variants[0].context_tokens = context;
  model.replicas_min = replicas;
  t.declare(model);
}

device_spec kind(std::uint32_t number, const char* model) {
  auto made = cpu_spec("local", number);
  made.model = model;
  return made;
}

/// Its engine says that one request may have so many tokens; 0 = it says nothing.
void finish_load(core_fixture& t, std::uint32_t context, std::uint64_t sequences = 64) {
  t.grant_next_allocation();
  const auto load = t.expect<load_replica>();
  capacity_vector capacity;
  capacity.sequences.value = sequences;
  capacity.kv_tokens.value = 1'000'000;
  runtime_capabilities runtime;
  runtime.context_tokens = context;
  t.feed(replica_loaded{load.instance, t.life_of("local"), {capacity}, runtime, second / 10});
}

void add_replica(core_fixture& t, const device_spec& spec, std::uint32_t context,
                 std::uint64_t sequences = 64) {
  t.advertise(spec);
  finish_load(t, context, sequences);
}

request_meta of_size(core_fixture& t, std::uint32_t prompt, std::uint32_t answer,
                     const std::string& selector = "auto") {
  auto meta = t.request(selector);
  meta.prompt_tokens = prompt;
  meta.max_tokens = answer;
  return meta;
}

std::string sent_to(core_fixture& t, const request_meta& meta) {
  t.submit(meta);
  const auto granted = t.take_all<grant_ticket>();
  return granted.size() == 1 ? granted[0].granted.device.value : "";
}

TEST(Context, WhatIsLongerThanAnEngineTakesGoesToAnother) {
  core_fixture t;
  cluster_of(t, 2);
  auto fast = kind(0, "fast");
  fast.spec.prefill_tokens_per_s = fast.spec.decode_tokens_per_s = 1'000'000;
  add_replica(t, fast, 200);
  add_replica(t, kind(1, "roomy"), 0); // It says nothing: it is not kept from anything.
  EXPECT_EQ(sent_to(t, of_size(t, 100, 100)), "local/cpu0") << "the faster one, just";
  EXPECT_EQ(sent_to(t, of_size(t, 100, 101)), "local/cpu1") << "prompt and answer";
  EXPECT_EQ(sent_to(t, of_size(t, 200, 0)), "local/cpu1") << "no room for an answer";
  EXPECT_EQ(sent_to(t, of_size(t, 199, 0)), "local/cpu0");
  const auto told = t.tested().explain(of_size(t, 100, 300), t.now());
  ASSERT_TRUE(told);
  const auto& candidates = told->decisions.at(0).candidates;
  EXPECT_TRUE(std::any_of(candidates.begin(), candidates.end(), [](const auto& one) {
    return one.reason == "it may come to 400 tokens, its context has 200";
  }));
  t.drop_all();
}

TEST(Context, WhatIsLongerThanAllTakeIsForTheLargestToRefuse) {
  core_fixture t;
  cluster_of(t, 2);
  auto fast = kind(0, "fast");
  fast.spec.prefill_tokens_per_s = fast.spec.decode_tokens_per_s = 1'000'000;
  add_replica(t, fast, 200);
  add_replica(t, kind(1, "roomy"), 4'000);
  EXPECT_EQ(sent_to(t, of_size(t, 100, 9'000)), "local/cpu1");
  EXPECT_EQ(sent_to(t, of_size(t, 100, 9'000, "node=local")), "local/cpu1");
  EXPECT_EQ(sent_to(t, of_size(t, 100, 9'000, "local/cpu0")), "local/cpu0")
      << "who asks for no other";
  t.drop_all();
}

/// An answer that the model cannot end is bounded by the model, wherever it is made.
TEST(Context, AnEngineWithTheModelsOwnContextTakesAnyAnswer) {
  core_fixture t;
  cluster_of(t, 2, 1'000);
  auto fast = kind(0, "fast");
  fast.spec.prefill_tokens_per_s = fast.spec.decode_tokens_per_s = 1'000'000;
  add_replica(t, fast, 1'000);
  add_replica(t, kind(1, "silent"), 0);
  EXPECT_EQ(sent_to(t, of_size(t, 100, 4'000)), "local/cpu0");
  t.drop_all();
}

TEST(Context, WhoFitsIntoASmallOnePassesThoseThatWaitForALargeOne) {
  core_fixture t;
  cluster_of(t, 2);
  add_replica(t, kind(0, "small"), 200);
  add_replica(t, kind(1, "roomy"), 4'000, 1);
  for (int i = 0; i < 10; ++i)
    t.submit(of_size(t, 100, 300));
  const auto begun = t.take_all<grant_ticket>();
  ASSERT_FALSE(begun.empty());
  for (const auto& granted : begun)
    EXPECT_EQ(granted.granted.device.value, "local/cpu1");
  EXPECT_EQ(sent_to(t, of_size(t, 50, 50)), "local/cpu0");
  t.drop_all();
}

TEST(Context, AnotherKindOfDeviceIsLoadedForWhatIsTooLong) {
  core_fixture t;
  cluster_of(t, 1);
  add_replica(t, kind(0, "small"), 200);
  t.advertise(kind(1, "other"));
  EXPECT_EQ(sent_to(t, of_size(t, 100, 300)), "");
  t.take_all<queue_notice>();
  finish_load(t, 4'000);
  EXPECT_EQ(t.expect<grant_ticket>().granted.device.value, "local/cpu1");
  t.drop_all();
}

TEST(Context, ADeviceLikeTheLoadedOneIsNotLoadedForIt) {
  core_fixture t;
  cluster_of(t, 1);
  add_replica(t, kind(0, "small"), 200);
  t.advertise(kind(1, "small"));
  EXPECT_EQ(sent_to(t, of_size(t, 100, 300)), "local/cpu0") << "whose engine says why not";
  t.drop_all();
}

} // namespace

} // namespace consort::core::testing
