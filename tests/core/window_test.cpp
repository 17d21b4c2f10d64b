// SPDX-License-Identifier: Apache-2.0
// What is sent to an endpoint at once, and what never is: KV capacity, windows that are found where
// an engine tells nothing, endpoints that come back.
#include "tests/support/core_fixture.hpp"

namespace consort::core::testing {

namespace {

/// A ready replica on a device of its own, with what its engine says of itself.
load_replica add_replica(core_fixture& t, const device_spec& spec,
                         std::optional<std::uint64_t> sequences,
                         std::optional<std::uint64_t> kv_tokens) {
  t.advertise(spec);
  t.grant_next_allocation();
  const auto load = t.expect<load_replica>();
  capacity_vector capacity;
  capacity.sequences.value = sequences;
  capacity.kv_tokens.value = kv_tokens;
  runtime_capabilities runtime;
  runtime.resume = resume_support::tokens;
  t.feed(replica_loaded{load.instance, t.life_of("local"), {capacity}, runtime, second / 10});
  return load;
}

void cluster_of(core_fixture& t, std::uint32_t replicas) {
  t.join("local");
  auto model = story_spec();
  model.variants[0].context_tokens = 100'000;
  model.replicas_min = replicas;
  t.declare(model);
}

request_meta of_size(core_fixture& t, std::uint32_t prompt, std::uint32_t answer) {
  auto meta = t.request();
  meta.prompt_tokens = prompt;
  meta.max_tokens = answer;
  return meta;
}

TEST(Window, APromptThatAnEngineCannotHoldIsNeverSentThere) {
  core_fixture t;
  cluster_of(t, 2);
  auto fast = cpu_spec("local", 0);
  fast.spec.prefill_tokens_per_s = 1'000'000;
  add_replica(t, fast, 4, 1'000);
  add_replica(t, cpu_spec("local", 1), 4, 50'000);
  for (int i = 0; i < 3; ++i) {
    t.submit(of_size(t, 2'000, 10));
    EXPECT_EQ(t.expect<grant_ticket>().granted.device.value, "local/cpu1")
        << "the other is faster and idle, but would stop for ever";
  }
  t.submit(of_size(t, 500, 10));
  EXPECT_EQ(t.expect<grant_ticket>().granted.device.value, "local/cpu0");
}

/// Of 256 sequences that the fast one declares its KV holds four of these: whoever waits for it
/// waits for one of four to end, and the slow one has room.
TEST(Window, AWaitIsPredictedByWhatKvHolds) {
  core_fixture t;
  cluster_of(t, 2);
  auto fast = cpu_spec("local", 0), slow = cpu_spec("local", 1);
  fast.capability.max_sequences = slow.capability.max_sequences = 256;
  fast.spec.decode_batch_gain_pm = slow.spec.decode_batch_gain_pm = 10;
  slow.model = "slow";
  slow.spec.decode_tokens_per_s = fast.spec.decode_tokens_per_s / 3;
  add_replica(t, fast, 256, 4'000);
  add_replica(t, slow, 256, 1'000'000);
  const auto submit = [&](int count) {
    for (int i = 0; i < count; ++i)
      t.submit(of_size(t, 10, 990));
    t.pass_time(2 * limits::recheck_us);
    std::map<std::string, int> sent;
    for (const auto& granted : t.take_all<grant_ticket>())
      ++sent[granted.granted.device.value];
    t.drop_all();
    return sent;
  };
  EXPECT_EQ(submit(4)["local/cpu0"], 4);
  EXPECT_EQ(submit(1).size(), 0U) << "the next that ends is worth waiting for";
  const auto rest = submit(30);
  EXPECT_GE(rest.at("local/cpu1"), 25) << "few are, by four at a time";
}

TEST(Window, WhatNobodyCanHoldIsRefusedAndSaysWhy) {
  core_fixture t;
  cluster_of(t, 1);
  add_replica(t, cpu_spec("local", 0), 4, 1'000);
  t.submit(of_size(t, 2'000, 10));
  const auto refused = t.expect<reject_request>();
  EXPECT_EQ(refused.http_status, 422);
  EXPECT_NE(refused.reason.message.find("its prompt needs 2001 KV tokens, it has 1000 in all"),
            std::string::npos)
      << refused.reason.message;
  t.expect<record_request>();
}

TEST(Window, WhatADeviceCouldHoldOnceLoadedIsNotRefused) {
  core_fixture t;
  cluster_of(t, 1);
  add_replica(t, cpu_spec("local", 0), 4, 1'000);
  t.advertise(cpu_spec("local", 1)); // Loaded nowhere yet: its engine may have more.
  t.submit(of_size(t, 2'000, 10));
  EXPECT_TRUE(t.take_all<reject_request>().empty());
  t.drop_all();
}

/// What is loaded has too little: another is, although many sequences are free.
TEST(Window, ForWhomNoLoadedEngineHasRoomAnotherIsLoaded) {
  core_fixture t;
  cluster_of(t, 1);
  add_replica(t, cpu_spec("local", 0), 4, 1'000);
  t.advertise(cpu_spec("local", 1));
  t.submit(of_size(t, 2'000, 10));
  t.take_all<queue_notice>();
  EXPECT_EQ(t.finish_load(4, 4'000).grant.shares[0].device.value, "local/cpu1");
  EXPECT_EQ(t.expect<grant_ticket>().granted.device.value, "local/cpu1");
}

/// It is refused as soon as the last that could have had more says what it has.
TEST(Window, ForWhomNoEngineHasRoomIsRefusedOnceTheLastIsLoaded) {
  core_fixture t;
  cluster_of(t, 1);
  add_replica(t, cpu_spec("local", 0), 4, 1'000);
  t.advertise(cpu_spec("local", 1));
  t.submit(of_size(t, 2'000, 10));
  t.take_all<queue_notice>();
  t.finish_load(4, 1'500);
  EXPECT_EQ(t.expect<reject_request>().http_status, 422);
  t.expect<record_request>();
}

TEST(Window, ForWhomNoMoreReplicasMayBeLoadedIsRefusedAtOnce) {
  core_fixture t;
  t.join("local");
  auto model = story_spec();
  model.variants[0].context_tokens = 100'000;
  model.replicas_min = model.replicas_max = 1;
  t.declare(model);
  add_replica(t, cpu_spec("local", 0), 4, 1'000);
  t.advertise(cpu_spec("local", 1));
  t.submit(of_size(t, 2'000, 10));
  EXPECT_EQ(t.expect<reject_request>().http_status, 422);
  t.expect<record_request>();
}

TEST(Window, OthersPassWhomNoLoadedEngineHasRoomFor) {
  core_fixture t;
  cluster_of(t, 1);
  add_replica(t, cpu_spec("local", 0), 4, 1'000);
  auto busy = cpu_spec("local", 1); // Where nothing can be loaded.
  busy.memory_bytes = 0;
  t.advertise(busy);
  t.submit(of_size(t, 2'000, 10));
  t.take_all<queue_notice>();
  t.take_all<reserve_allocation>();
  t.submit(of_size(t, 100, 10));
  EXPECT_EQ(t.take_all<grant_ticket>().size(), 1U);
  t.drop_all();
}

/// An estimate beyond the context is for the engine to judge: it says by how much, or serves it.
TEST(Window, WhatExceedsTheContextByAnEstimateGoesToAnEngineThatHoldsOne) {
  core_fixture t;
  t.join("local");
  auto model = story_spec(); // Of 512 tokens.
  model.replicas_min = 1;
  t.declare(model);
  add_replica(t, cpu_spec("local", 0), 4, 512);
  t.submit(of_size(t, 10'000, 10));
  EXPECT_EQ(t.take_all<grant_ticket>().size(), 1U);
}

// --- what is certain before anything is loaded ---

request_meta completion_of(core_fixture& t, std::uint32_t ids, std::uint32_t bytes) {
  auto meta = of_size(t, std::max(ids, bytes / 4), 10);
  meta.prompt_ids = ids;
  meta.prompt_bytes = bytes;
  return meta;
}

TEST(Window, APromptThatIsCertainToExceedTheContextIsRefusedBeforeAnythingIsLoaded) {
  core_fixture t;
  t.join("local", 1, {refnpu_profile()});
  t.advertise(npu_spec());
  auto model = story_spec(); // Of 512 tokens.
  model.variants[0].token_bytes_max = 8;
  t.declare(model);
  for (const auto& meta : {completion_of(t, 513, 0), completion_of(t, 0, 513 * 8)}) {
    t.submit(meta);
    const auto refused = t.expect<reject_request>();
    EXPECT_EQ(refused.http_status, 400);
    EXPECT_EQ(refused.reason.code, "context_length_exceeded");
    EXPECT_EQ(refused.reason.message,
              "This model's maximum context length is 512 tokens. However, your prompt has at "
              "least 513 tokens. Please reduce the length of the prompt.");
    EXPECT_EQ(t.expect<record_request>().code, "context_length_exceeded");
    t.expect_empty();
  }
}

TEST(Window, WhatIsNotCertainIsTaken) {
  core_fixture t;
  t.join("local", 1, {refnpu_profile()});
  t.advertise(npu_spec());
  auto model = story_spec();
  model.variants[0].token_bytes_max = 8;
  model.variants.push_back(model.variants[0]);
  model.variants[1].token_bytes_max = 0; // Of another tokenizer, which nobody knows.
  t.declare(model);
  auto chat = completion_of(t, 0, 513 * 8);
  chat.kind = request_kind::chat;
  for (const auto& meta : {completion_of(t, 512, 0), completion_of(t, 0, 513 * 8 - 1),
                           completion_of(t, 0, 513 * 8), chat}) {
    t.submit(meta);
    EXPECT_TRUE(t.take_all<reject_request>().empty());
  }
  t.drop_all();
}

TEST(Window, ABusyEngineGetsNoMoreThanItsCacheHolds) {
  core_fixture t;
  cluster_of(t, 1);
  add_replica(t, cpu_spec("local", 0), 100, 1'000);
  for (int i = 0; i < 20; ++i)
    t.submit(of_size(t, 150, 50));
  EXPECT_EQ(t.take_all<grant_ticket>().size(), 5U);
  EXPECT_EQ(t.view().replicas.at(0).kv_tokens_reserved, 1'000U);
  t.drop_all();
}

TEST(Window, WithoutAWordOfItsEngineTheGrantBoundsTheCache) {
  core_fixture t;
  t.join("local");
  t.declare([] {
    auto model = story_spec();
    model.replicas_min = 1;
    return model;
  }());
  auto spec = cpu_spec();
  // Weights and 1,024 tokens of 1 KiB.
  spec.memory_bytes = (10U << 20U) + (1U << 20U);
  spec.capability.max_sequences = 64;
  add_replica(t, spec, 64, std::nullopt);
  EXPECT_EQ(t.view().replicas.at(0).kv_tokens_max, 1'024U);
  for (int i = 0; i < 20; ++i)
    t.submit(of_size(t, 100, 28));
  EXPECT_EQ(t.take_all<grant_ticket>().size(), 8U);
  t.drop_all();
}

/// Serves until everybody had their turn. Returns: most at once.
std::size_t most_at_once(core_fixture& t, int requests, duration_us first_token_us) {
  for (int i = 0; i < requests; ++i)
    t.submit();
  std::deque<grant_ticket> running;
  std::size_t most = 0;
  for (int served = 0; served < requests; ++served) {
    for (const auto& one : t.take_all<grant_ticket>())
      running.push_back(one);
    most = std::max(most, running.size());
    attempt_measurement measured;
    measured.usage = {100, 50, 0};
    measured.first_token_us = first_token_us;
    measured.total_us = first_token_us + 500'000;
    measured.batch = 1;
    t.feed(attempt_finished{running.front().granted.attempt, measured});
    running.pop_front();
  }
  t.drop_all();
  return most;
}

TEST(Window, IsFoundWhereAnEngineTellsNothing) {
  core_fixture t;
  cluster_of(t, 1);
  add_replica(t, cpu_spec(), std::nullopt, 10'000'000);
  EXPECT_GT(most_at_once(t, 200, 50'000), 10U) << "begun with 4, one more after each round";
}

TEST(Window, IsNotWidenedBeyondWhatAnEngineSays) {
  core_fixture t;
  cluster_of(t, 1);
  add_replica(t, cpu_spec(), 4, 10'000'000);
  EXPECT_EQ(most_at_once(t, 200, 50'000), 5U) << "and one in its backlog";
}

TEST(Window, IsHalvedWhenTheEngineSaysThatItIsFull) {
  core_fixture t;
  cluster_of(t, 1);
  auto spec = cpu_spec();
  spec.capability.max_sequences = 16;
  add_replica(t, spec, std::nullopt, 10'000'000);
  for (int i = 0; i < 40; ++i)
    t.submit();
  auto running = t.take_all<grant_ticket>();
  ASSERT_EQ(running.size(), 17U);
  t.fail(running.back(), recovery::retry_later);
  EXPECT_EQ(t.view().replicas.at(0).sequences_max, 8U);
  t.fail(running.front(), recovery::retry_later);
  EXPECT_EQ(t.view().replicas.at(0).sequences_max, 8U) << "at most once a second";
  t.drop_all();
}

TEST(Window, OfAnEngineThatComesBackBeginsSmall) {
  core_fixture t;
  t.two_ready_nodes();
  for (const std::string node : {"a", "b"}) {
    device_reported said;
    said.device = device_id{node + "/cpu0"};
    said.life = t.life_of(node);
    capacity_vector capacity;
    capacity.sequences.value = 40;
    for (const auto& replica : t.view().replicas)
      if (replica.leader == said.device)
        said.endpoints.emplace_back(replica.instance, capacity);
    t.feed(said);
  }
  t.pass_time(second);
  t.feed(node_lost{node_id{"a"}, t.life_of("a"), false, "its link dropped"});
  for (int i = 0; i < 200; ++i)
    t.submit();
  const auto before = t.take_all<grant_ticket>().size();
  EXPECT_EQ(before, 44U) << "one node, with its backlog";
  t.renew("a");
  auto herd = t.take_all<grant_ticket>();
  EXPECT_EQ(herd.size(), 10U) << "a quarter of its places";
  // Each that shows life lets in another: twice as many a round.
  for (const auto& one : herd) {
    t.start(one);
    t.progress(one, 1);
  }
  EXPECT_EQ(t.take_all<grant_ticket>().size(), 10U);
  t.drop_all();
}

} // namespace

} // namespace consort::core::testing
