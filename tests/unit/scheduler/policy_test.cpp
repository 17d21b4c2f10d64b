// SPDX-License-Identifier: Apache-2.0
// One row per filter (a fact that it refuses) and per term (its formula).
#include "scheduler/policy/filters.hpp"
#include "scheduler/policy/profile.hpp"

#include <gtest/gtest.h>

#include <functional>

namespace consort::core {

namespace {

struct filter_case {
  filter_id id;
  std::function<void(candidate_facts&)> spoil;
  std::string says;
};

TEST(Filters, EachRefusesItsOwnFactAndSaysWhy) {
  const std::vector<filter_case> cases = {
      {filter_id::selector, [](auto& f) { f.selected = false; }, "selector"},
      {filter_id::format, [](auto& f) { f.format_known = false; }, "format"},
      {filter_id::ranks, [](auto& f) { f.ranks_need = 2; }, "spans 1 of 2"},
      {filter_id::artifact, [](auto& f) { f.artifact_obtainable = false; }, "artifact"},
      {filter_id::embeddings, [](auto& f) { f.embeddings_needed = true; }, "embeddings"},
      {filter_id::memory,
       [](auto& f) {
         f.memory_bytes = 1 << 20U;
         f.memory_need_bytes = 2 << 20U;
       },
       "2MiB of 1MiB"},
      {filter_id::excluded, [](auto& f) { f.excluded = true; }, "failed there"},
      {filter_id::alive, [](auto& f) { f.node_alive = false; }, "alive"},
      {filter_id::draining, [](auto& f) { f.draining = true; }, "draining"},
      {filter_id::health, [](auto& f) { f.health = device_health::unhealthy; }, "unhealthy"},
      {filter_id::breaker, [](auto& f) { f.breaker_admits = false; }, "failures"},
      {filter_id::resume,
       [](auto& f) {
         f.resume_needed = true;
         f.resume = resume_support::none;
       },
       "continue"},
      {filter_id::sequences,
       [](auto& f) {
         f.loaded = true;
         f.sequences_used = f.sequences_max = 5;
       },
       "5 of 5"},
      {filter_id::kv,
       [](auto& f) {
         f.loaded = true;
         f.sequences_used = 1;
         f.sequences_max = 5;
         f.kv_need_tokens = 10;
         f.kv_free_tokens = 9;
       },
       "needs 10 KV tokens, has 9"},
  };
  ASSERT_EQ(cases.size(), all_filters().size());
  for (const auto& one : cases) {
    candidate_facts facts;
    ASSERT_EQ(first_refusal(facts), filter_id::passed);
    one.spoil(facts);
    EXPECT_EQ(first_refusal(facts), one.id) << word(one.id);
    const auto said = all_filters()[static_cast<std::size_t>(one.id)].reason(facts);
    EXPECT_NE(said.find(one.says), std::string::npos) << said;
  }
}

TEST(Filters, TableIsIndexedById) {
  for (std::size_t at = 0; at < all_filters().size(); ++at)
    EXPECT_EQ(static_cast<std::size_t>(all_filters()[at].id), at);
  EXPECT_STREQ(word(filter_id::passed), "");
}

TEST(Filters, IdleEndpointTakesAnySize) {
  candidate_facts facts;
  facts.loaded = true;
  facts.sequences_need = 9;
  facts.sequences_max = 2;
  facts.kv_need_tokens = 1'000;
  EXPECT_EQ(first_refusal(facts), filter_id::passed);
}

TEST(Filters, UnknownMemoryIsLeftToTheNode) {
  candidate_facts facts;
  facts.memory_need_bytes = 1'000;
  EXPECT_EQ(first_refusal(facts), filter_id::passed);
}

TEST(Terms, FollowTheirFormulas) {
  const work_size size{100, 50};
  EXPECT_EQ(prefill_term(size, 7), 700);
  EXPECT_EQ(decode_term(size, 3), 150);
  EXPECT_EQ(prefix_term(1'000, 2, 10), 200);
  EXPECT_EQ(prefix_term(1'000, 99, 10), 1'000);
  EXPECT_EQ(queue_term(false, 40, 1'000, 4), 40);
  EXPECT_EQ(queue_term(true, 40, 1'000, 4), 250);
  EXPECT_EQ(exact_term(true), 0);
  EXPECT_GT(exact_term(false), 0);
}

TEST(LatencyProfile, IsThePredictedFinish) {
  EXPECT_EQ(latency_profile::score({1, 10, 100, 50, 1'000, 10'000}), 11'061);
}

TEST(LatencyProfile, DecidesForPoliciesWithoutOneAndSaysSo) {
  EXPECT_STREQ(profile_name(policy_name::latency), "latency");
  EXPECT_STREQ(profile_name(policy_name::energy), "latency");
}

} // namespace

} // namespace consort::core
