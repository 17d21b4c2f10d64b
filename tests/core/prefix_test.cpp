// SPDX-License-Identifier: Apache-2.0
// Prefix awareness as time saved: it is followed where it pays, and cannot make a hot spot. Others'
// routers fell into these spirals: a cache that everybody shares drew all requests to one device,
// and on a miss the device with the smallest cache drew them.
#include "tests/support/loaded_cluster.hpp"

namespace consort::core::testing {

namespace {

std::vector<device_spec> roomy(int count) {
  auto made = alike(count);
  for (auto& one : made) {
    one.capability.max_sequences = 64;
    one.spec.decode_batch_gain_pm = 50;
  }
  return made;
}

request_meta about(loaded_cluster& t, std::vector<std::uint64_t> blocks) {
  auto meta = t.request();
  meta.prefix_blocks = std::move(blocks);
  meta.prompt_tokens = 1'000;
  return meta;
}

int heaviest(const std::map<std::string, int>& counts) {
  int most = 0;
  for (const auto& [device, count] : counts)
    most = std::max(most, count);
  return most;
}

TEST(Prefix, IsFollowedWhereItSavesTime) {
  loaded_cluster t(roomy(4));
  t.ask(t.request("local/cpu0"));
  const auto first = t.ask(about(t, {1, 2, 3, 4}));
  EXPECT_EQ(first.granted.device.value, "local/cpu1");
  t.start(first);
  t.progress(first, 1);
  EXPECT_EQ(t.device_for(about(t, {1, 2, 3, 9})), "local/cpu1");
}

TEST(Prefix, IsLeftWhereTheWaitIsLongerThanWhatIsSaved) {
  loaded_cluster t(roomy(2));
  EXPECT_EQ(t.device_for(about(t, {1, 2, 3, 4})), "local/cpu0");
  // Its prompt is still being read there: a whole prefill against three quarters of one saved.
  EXPECT_EQ(t.device_for(about(t, {1, 2, 3, 5})), "local/cpu1");
}

TEST(Prefix, OneThatEverybodySharesMakesNoHotSpot) {
  for (const auto* policy : {"latency", "throughput"}) {
    loaded_cluster t(roomy(4));
    std::map<std::string, int> counts;
    for (std::uint64_t i = 0; i < 64; ++i) {
      auto meta = about(t, {1, 2, 3, 100 + i});
      meta.policy = policy_name{policy};
      ++counts[t.device_for(meta)];
      t.pass_time(1'000);
    }
    EXPECT_LE(heaviest(counts), 28) << policy << ": fair would be 16";
    EXPECT_EQ(counts.size(), 4U) << policy;
  }
}

/// The latency profile of somebody who thinks of the asker alone.
profile_config selfish() {
  profile_config made;
  made.name = policy_name{"selfish"};
  for (const auto* scorer : {"queue", "setup", "prefill", "prefix", "decode", "exact"})
    made.weights[scorer] = 1;
  return made;
}

/// Streams that run on the first device, whose prompts were read.
void streams(loaded_cluster& t, int count) {
  for (int i = 0; i < count; ++i) {
    auto meta = t.request("local/cpu0");
    meta.max_tokens = 1'000;
    const auto ticket = t.ask(meta);
    t.start(ticket);
    t.progress(ticket, 1);
  }
}

TEST(Prefix, IsNotReadAgainAtTheCostOfAllWhoRunThere) {
  auto config = core_fixture::quiet();
  config.profiles = {selfish()};
  loaded_cluster t(roomy(2), config);
  streams(t, 9);
  auto meta = about(t, {1, 2, 3, 4});
  meta.selector = "local/cpu0";
  const auto first = t.ask(meta);
  t.start(first);
  t.progress(first, 1);
  auto again = about(t, {1, 2, 3, 9});
  again.max_tokens = 1'000;
  const auto winner = [&](const char* policy) {
    again.policy = policy_name{policy};
    return t.tested().explain(again, t.now())->decisions.at(0).winner.value;
  };
  EXPECT_EQ(winner("selfish"), "local/cpu1") << "it would write a little faster there";
  EXPECT_EQ(winner("latency"), "local/cpu0");
  // Where its first token would come later than elsewhere, the cache spreads.
  auto blocking = about(t, {70, 71, 72, 73});
  blocking.selector = "local/cpu0";
  t.ask(blocking);
  EXPECT_EQ(winner("latency"), "local/cpu1");
}

/// How much of such a prompt is thought to be cached on the only device.
std::int64_t thought_cached(loaded_cluster& t, std::vector<std::uint64_t> blocks) {
  const auto told = t.tested().explain(about(t, std::move(blocks)), t.now());
  for (const auto& term : told->decisions.at(0).candidates.at(0).terms)
    if (term.name == "prefix")
      return -term.value;
  return 0;
}

/// Serves it. The engine says that so many tokens were cached.
void serve(loaded_cluster& t, std::vector<std::uint64_t> blocks, std::uint32_t cached,
           const std::string& selector = {}) {
  auto meta = about(t, std::move(blocks));
  meta.selector = selector;
  const auto ticket = t.ask(meta);
  attempt_measurement seen;
  seen.usage = {1'000, 50, cached};
  seen.first_token_us = 500'000;
  seen.total_us = 1'000'000;
  t.feed(attempt_finished{ticket.granted.attempt, seen});
  t.drop_all();
}

TEST(Prefix, IsForgottenWhenTheEngineMustHaveForgottenIt) {
  loaded_cluster t(roomy(1), core_fixture::quiet(), 10'000);
  serve(t, {1, 2, 3, 4}, 0);
  for (std::uint64_t i = 0; i < 8; ++i)
    serve(t, {10 * i + 10, 10 * i + 11}, 0);
  EXPECT_GT(thought_cached(t, {1, 2, 3, 4}), 0) << "8,400 tokens later";
  for (std::uint64_t i = 0; i < 4; ++i)
    serve(t, {10 * i + 210, 10 * i + 211}, 0);
  EXPECT_EQ(thought_cached(t, {1, 2, 3, 4}), 0) << "it holds 10,000";
}

TEST(Prefix, IsBelievedForAsShortAsAnEngineShows) {
  loaded_cluster t(roomy(1), core_fixture::quiet(), 1'000'000);
  serve(t, {1, 2, 3, 4}, 0);
  serve(t, {1, 2, 3, 5}, 750); // It tells what was cached.
  for (int round = 0; round < 24; ++round) {
    const auto first = static_cast<std::uint64_t>(1'000 + 100 * round);
    serve(t, {first, first + 1}, 0);
    for (std::uint64_t i = 0; i < 8; ++i)
      serve(t, {first + 10 * i + 10, first + 10 * i + 11}, 0);
    serve(t, {first, first + 1}, 0); // And it was gone already.
  }
  for (std::uint64_t i = 0; i < 12; ++i)
    serve(t, {9'000 + 10 * i, 9'001 + 10 * i}, 0);
  EXPECT_EQ(thought_cached(t, {3'300, 3'301}), 0) << "others run there that are not ours";
  serve(t, {9'500, 9'501}, 0);
  EXPECT_GT(thought_cached(t, {9'500, 9'501}), 0) << "what was used just now is there";
}

TEST(Prefix, OneThatIsOnlyBeingReadWasNotForgotten) {
  loaded_cluster t(roomy(1), core_fixture::quiet(), 1'000'000);
  serve(t, {1, 2, 3, 4}, 0);
  serve(t, {1, 2, 3, 5}, 750); // It tells what was cached.
  // Two agents of one crew ask at once. The engine begins to read both prompts together, and finds
  // for neither what the first is about to leave there.
  for (std::uint64_t crew = 0; crew < 40; ++crew) {
    const auto first = t.ask(about(t, {100 + crew, 200 + crew, 300 + crew, 1}));
    const auto second = t.ask(about(t, {100 + crew, 200 + crew, 300 + crew, 2}));
    for (const auto& one : {first, second}) {
      ASSERT_EQ(one.granted.device.value, "local/cpu0");
      attempt_measurement seen;
      seen.usage = {1'000, 50, 0};
      seen.first_token_us = 500'000;
      seen.total_us = 1'000'000;
      t.feed(attempt_finished{one.granted.attempt, seen});
    }
    t.drop_all();
  }
  EXPECT_GT(thought_cached(t, {1, 2, 3, 6}), 0) << "it holds 1,000,000";
}

/// What a new prompt costs those whose beginnings are forgotten for it, by device.
std::map<std::string, std::int64_t> forgotten_for_one(loaded_cluster& t) {
  std::map<std::string, std::int64_t> made;
  const auto told = t.tested().explain(about(t, {7, 8, 9}), t.now());
  for (const auto& one : told->decisions.at(0).candidates)
    for (const auto& term : one.terms)
      if (term.name == "forgetting")
        made[one.device.value] = term.value;
  return made;
}

TEST(Prefix, WhatACacheForgetsTooEarlyCountsAgainstIt) {
  loaded_cluster t(roomy(2), core_fixture::quiet(), 5'000);
  // Three conversations have room in the second; of ten in the first each is gone when it goes on.
  for (std::uint64_t turn = 0; turn < 12; ++turn) {
    for (std::uint64_t each = 0; each < 10; ++each)
      serve(t, {100 + 2 * each, 101 + 2 * each}, 0, "local/cpu0");
    for (std::uint64_t each = 0; each < 3; ++each)
      serve(t, {200 + 2 * each, 201 + 2 * each}, turn > 0 ? 900 : 0, "local/cpu1");
  }
  const auto costs = forgotten_for_one(t);
  EXPECT_GT(costs.count("local/cpu0"), 0U);
  EXPECT_EQ(costs.count("local/cpu1"), 0U);
  EXPECT_EQ(t.device_for(about(t, {7, 8, 9})), "local/cpu1");
}

TEST(Prefix, WhatIsFoundForgottenWhileOthersServeCountsToo) {
  loaded_cluster t(roomy(2), core_fixture::quiet(), 5'000);
  for (std::uint64_t each = 0; each < 10; ++each)
    serve(t, {100 + 2 * each, 101 + 2 * each}, 0, "local/cpu0");
  EXPECT_TRUE(forgotten_for_one(t).empty());
  // The first four are gone there. Nobody is sent there any more, and it is charged all the same.
  for (std::uint64_t each = 0; each < 4; ++each)
    serve(t, {100 + 2 * each, 101 + 2 * each}, 0, "local/cpu1");
  EXPECT_GT(forgotten_for_one(t).count("local/cpu0"), 0U);
}

TEST(Prefix, ABeginningThatMoreShareThanAreKnownMakesNobodyForgetful) {
  constexpr int replicas = limits::prefix_holders_max + 2;
  loaded_cluster t(roomy(replicas));
  for (std::uint64_t turn = 0; turn < 4; ++turn)
    for (std::uint64_t each = 0; each < replicas; ++each)
      serve(t, {1, 100 + 2 * each, 101 + 2 * each}, turn > 0 ? 900 : 333,
            "local/cpu" + std::to_string(each));
  EXPECT_TRUE(forgotten_for_one(t).empty()) << "each session came back to who has it";
}

TEST(Prefix, WhoDrawsAtRandomOrTakesTurnsLooksForNoHolder) {
  auto custom = selfish();
  for (const auto* pick : {"best", "slo", "prefix"}) {
    custom.pick = pick;
    EXPECT_TRUE(profile_of(custom).value().follows_prefixes()) << pick;
  }
  for (const auto* pick : {"random", "turn", "two-choices"}) {
    custom.pick = pick;
    EXPECT_FALSE(profile_of(custom).value().follows_prefixes()) << pick;
  }
}

TEST(Prefix, ACacheThatForgotIsTriedAgainLater) {
  loaded_cluster t(roomy(2), core_fixture::quiet(), 5'000);
  for (std::uint64_t turn = 0; turn < 12; ++turn)
    for (std::uint64_t each = 0; each < 10; ++each)
      serve(t, {100 + 2 * each, 101 + 2 * each}, 0, "local/cpu0");
  const auto before = forgotten_for_one(t).at("local/cpu0");
  // Nobody is sent there; others look at it in passing.
  for (int minute = 0; minute < 6; ++minute) {
    t.pass_time_renewing(2 * limits::cache_half_life_us);
    for (std::uint64_t i = 0; i < 2; ++i)
      serve(t, {300 + i}, 0, "local/cpu1");
  }
  const auto costs = forgotten_for_one(t);
  EXPECT_LT(costs.count("local/cpu0") == 0 ? 0 : costs.at("local/cpu0"), before / 16);
}

TEST(Prefix, MissesSpreadWhateverTheCachesHold) {
  loaded_cluster t(roomy(4));
  // All but the last hold much.
  for (std::uint64_t i = 0; i < 30; ++i)
    t.finish(t.ask([&] {
      auto meta = about(t, {1'000 + i, 2'000 + i, 3'000 + i});
      meta.selector = "local/cpu" + std::to_string(i % 3);
      return meta;
    }()));
  t.drop_all();
  std::map<std::string, int> counts;
  for (std::uint64_t i = 0; i < 32; ++i)
    ++counts[t.device_for(about(t, {9'000 + i}))];
  EXPECT_LE(heaviest(counts), 12) << "fair would be 8";
}

TEST(Prefix, RestartedInstanceHoldsNothing) {
  loaded_cluster t(roomy(2));
  const auto first = t.ask(about(t, {1, 2, 3, 4}));
  t.finish(first);
  t.drop_all();
  t.feed(replica_failed{first.granted.instance,
                        t.life_of("local"),
                        {recovery::retry_elsewhere, "host_died", "its host died"}});
  t.drop_all();
  const auto again = about(t, {1, 2, 3, 4});
  t.ask(again);
  const auto told = t.tested().explain(again.external_id, t.now());
  for (const auto& one : told->decisions.back().candidates)
    for (const auto& term : one.terms)
      EXPECT_NE(term.name, "prefix") << one.device.value;
}

} // namespace

} // namespace consort::core::testing
