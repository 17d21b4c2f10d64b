// SPDX-License-Identifier: Apache-2.0
// One row per filter (a fact that it refuses) and per term (its formula).
#include "scheduler/asks.hpp"
#include "scheduler/policy/filters.hpp"
#include "scheduler/policy/profile.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

namespace consort::core {

namespace {

struct filter_case {
  filter_id id;
  std::function<void(candidate_facts&)> spoil;
  std::string says;
};

std::vector<filter_case> filter_cases() {
  return {
      {filter_id::selector, [](auto& f) { f.selected = false; }, "selector"},
      {filter_id::format, [](auto& f) { f.format_known = false; }, "format"},
      {filter_id::adapters, [](auto& f) { f.adapters_run = false; }, "no LoRA adapters"},
      {filter_id::adapters,
       [](auto& f) {
         f.adapters_run = false;
         f.adapters_need = 3;
         f.adapters_max = 2;
       },
       "2 of 3 LoRA"},
      {filter_id::ranks, [](auto& f) { f.ranks_need = 2; }, "spans 1 of 2"},
      {filter_id::artifact, [](auto& f) { f.artifact_obtainable = false; }, "artifact"},
      {filter_id::loads, [](auto& f) { f.load_barred = true, f.load_refused = "firmware 1.2"; },
       "did not load it: firmware 1.2"},
      {filter_id::embeddings, [](auto& f) { f.embeddings_needed = true; }, "embeddings"},
      {filter_id::answers, [](auto& f) { f.unanswered = asks::completions | asks::echo; },
       "does not answer completions, completions with `echo`"},
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
      {filter_id::stages, [](auto& f) { f.stage_lacks = "decode stage a/gpu0 is not up"; },
       "a/gpu0"},
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
      {filter_id::kv,
       [](auto& f) {
         f.loaded = true;
         f.context_least_tokens = 10;
         f.context_all_tokens = 9;
       },
       "it may come to 10 tokens, its context has 9"},
      {filter_id::remote, [](auto& f) { f.remote = f.stays = f.remote_spent = true; }, "budget"},
      {filter_id::remote, [](auto& f) { f.remote = f.stays = f.never_remote = true; }, "never"},
      {filter_id::remote, [](auto& f) { f.remote = f.stays = true; }, "first"},
      {filter_id::local, [](auto& f) { f.remote = true; }, "remote API"},
      {filter_id::steady, [](auto& f) { f.health = device_health::degraded; }, "degraded"},
      {filter_id::measured, [](auto& f) { f.loaded = true; }, "only 0 attempts"},
  };
}

TEST(Filters, EachRefusesItsOwnFactAndSaysWhy) {
  const auto cases = filter_cases();
  ASSERT_EQ(cases.size(), all_filters().size() + 4);
  for (const auto& one : cases) {
    candidate_facts facts;
    one.spoil(facts);
    EXPECT_EQ(first_refusal(facts, ~0U), one.id) << word(one.id);
    const auto said = all_filters()[static_cast<std::size_t>(one.id)].reason(facts);
    EXPECT_NE(said.find(one.says), std::string::npos) << said;
  }
}

/// The first that refuses is the one that people are told: of any two the earlier one.
TEST(Filters, AreAskedInTheirOrder) {
  const std::vector<std::pair<filter_id, std::function<void(candidate_facts&)>>> order{
      {filter_id::selector, [](auto& f) { f.selected = false; }},
      {filter_id::format, [](auto& f) { f.format_known = false; }},
      {filter_id::adapters, [](auto& f) { f.adapters_run = false; }},
      {filter_id::ranks, [](auto& f) { f.ranks_need = 2; }},
      {filter_id::artifact, [](auto& f) { f.artifact_obtainable = false; }},
      {filter_id::loads, [](auto& f) { f.load_barred = true; }},
      {filter_id::embeddings, [](auto& f) { f.embeddings_needed = true; }},
      {filter_id::answers, [](auto& f) { f.unanswered = asks::chats; }},
      {filter_id::memory, [](auto& f) { f.memory_bytes = 1, f.memory_need_bytes = 2; }},
      {filter_id::remote, [](auto& f) { f.remote = f.stays = true; }},
      {filter_id::excluded, [](auto& f) { f.excluded = true; }},
      {filter_id::alive, [](auto& f) { f.node_alive = false; }},
      {filter_id::draining, [](auto& f) { f.cordoned = true; }},
      {filter_id::health, [](auto& f) { f.health = device_health::unhealthy; }},
      {filter_id::breaker, [](auto& f) { f.breaker_admits = false; }},
      {filter_id::stages, [](auto& f) { f.stage_lacks = "one is not up"; }},
      {filter_id::resume, [](auto& f) { f.resume_needed = true, f.resume = resume_support::none; }},
      {filter_id::sequences,
       [](auto& f) { f.loaded = true, f.sequences_used = f.sequences_max = 5; }},
      {filter_id::kv,
       [](auto& f) { f.loaded = true, f.kv_all_tokens = 9, f.kv_least_tokens = 10; }},
  };
  ASSERT_EQ(order.size(), static_cast<std::size_t>(filter_id::local)) << "all that are required";
  for (std::size_t first = 0; first < order.size(); ++first)
    for (std::size_t other = first; other < order.size(); ++other) {
      candidate_facts facts;
      order[other].second(facts);
      order[first].second(facts);
      EXPECT_EQ(first_refusal(facts), order[first].first)
          << word(order[first].first) << " before " << word(order[other].first);
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

TEST(Filters, OptionalOnesAreAskedOnlyByName) {
  candidate_facts facts;
  facts.remote = true;
  EXPECT_EQ(first_refusal(facts), filter_id::passed);
  EXPECT_EQ(first_refusal(facts, required_filters | bit_of(filter_id::local)), filter_id::local);
}

endpoint_figures busy() {
  endpoint_figures at;
  at.queue_ns = 5;
  at.setup_ns = 3;
  at.prefill_ns = 7;
  at.itl_ns = 40;
  at.step_ns = 10;
  at.read_ns = 6;
  at.shared_ns = 20;
  at.batch = 4;
  at.running = 3;
  at.active_mw = 2'000;
  at.forgets_pm = 500;
  at.price_micros = 3'600'000;
  return at;
}

linear_score scored(scorer_id id) {
  return all_scorers()[static_cast<std::size_t>(id)].of(busy());
}

TEST(Scorers, FollowTheirFormulas) {
  EXPECT_EQ(scored(scorer_id::queue), (linear_score{5, 0, 0}));
  EXPECT_EQ(scored(scorer_id::setup), (linear_score{3, 0, 0}));
  EXPECT_EQ(scored(scorer_id::prefill), (linear_score{0, 7, 0}));
  EXPECT_EQ(scored(scorer_id::decode), (linear_score{0, 0, 40}));
  EXPECT_EQ(scored(scorer_id::crowding), (linear_score{0, 21, 30}));
  EXPECT_EQ(scored(scorer_id::energy), (linear_score{0, 12, 38}))
      << "2 W for 6 ns, alone; 40 for its share of 20 ns, an eighth of the way to a quarter of 80";
  EXPECT_EQ(scored(scorer_id::money), (linear_score{0, 7, 10})) << "3.6 an hour is 1e-12 a ns";
  EXPECT_EQ(scored(scorer_id::load), (linear_score{3'000'000'000, 0, 0}));
  EXPECT_EQ(scored(scorer_id::forgetting), (linear_score{0, 14, 0})) << "half of four times 7";
  EXPECT_EQ(scored(scorer_id::prefix), linear_score{});
}

TEST(Scorers, MoneyHasTheTokensThatArePaidForBesideTheEnginesTime) {
  auto at = busy();
  at.prompt_pico = 2'500'000; // 2.5 and 10 per million tokens.
  at.output_pico = 10'000'000;
  const auto& money = all_scorers()[static_cast<std::size_t>(scorer_id::money)];
  EXPECT_EQ(money.of(at), (linear_score{0, 2'500'007, 10'000'010}));
  at.staged = true; // What is read there is paid there.
  EXPECT_EQ(money.of(at).per_prompt, 2'500'000);
}

TEST(Scorers, TableIsIndexedById) {
  for (std::size_t at = 0; at < all_scorers().size(); ++at)
    EXPECT_EQ(static_cast<std::size_t>(all_scorers()[at].id), at);
}

TEST(Scores, AreLinearInTheSizeOfTheRequest) {
  EXPECT_EQ((linear_score{1, 10, 100}).of(work_size{3, 2}), 231);
  EXPECT_EQ(saved_tokens(1'000, 2, 10), 200U);
  EXPECT_EQ(saved_tokens(1'000, 99, 10), 1'000U);
  EXPECT_EQ(queue_term(false, 1'000, 4), 0);
  EXPECT_EQ(queue_term(true, 1'000, 4), 250);
}

const profile& named(const char* name) {
  const auto& all = builtin_profiles();
  return *std::find_if(all.begin(), all.end(),
                       [&](const profile& one) { return one.name.value == name; });
}

TEST(Profiles, ScoreAsTheirFormulasSay) {
  EXPECT_EQ(named("latency").weigh(busy()), (linear_score{8, 119, 40}));
  EXPECT_EQ(named("throughput").weigh(busy()), (linear_score{8, 42, 70}));
  EXPECT_EQ(named("energy").weigh(busy()), (linear_score{8, 127, 420}));
  EXPECT_EQ(named("cost").weigh(busy()), (linear_score{8, 7'007, 10'040}));
  EXPECT_EQ(named("hybrid").weigh(busy()), (linear_score{8, 7'127, 10'420}));
  EXPECT_EQ(named("least-loaded").weigh(busy()), (linear_score{3'000'000'000, 0, 0}));
}

TEST(Profiles, ClosedEndpointIsNobodysChoice) {
  auto closed = busy();
  closed.queue_ns = term_ns_max;
  for (const auto& one : builtin_profiles())
    EXPECT_EQ(one.weigh(closed).fixed, term_ns_max) << one.name.value;
}

TEST(Profiles, LargestFiguresDoNotOverflow) {
  endpoint_figures worst;
  worst.queue_ns = worst.setup_ns = worst.exact_ns = term_ns_max;
  worst.prefill_ns = worst.itl_ns = worst.step_ns = worst.running = ~0U;
  worst.batch = 65'536;
  worst.forgets_pm = 4'000;
  worst.active_mw = worst.price_micros = 1'000'000'000;
  worst.prompt_pico = worst.output_pico = ~0U;
  profile_config all;
  all.name = policy_name{"all"};
  for (const auto& one : all_scorers())
    all.weights[one.name] = one.id == scorer_id::prefix ? 1 : weight_max;
  const auto score = profile_of(all)->weigh(worst).of(work_size{~0U, ~0U});
  EXPECT_GT(score, 0);
  EXPECT_LT(score, std::int64_t{1} << 62U);
}

TEST(Profiles, ConfiguredOnesAreReadByName) {
  profile_config mine;
  mine.name = policy_name{"night"};
  mine.weights = {{"energy", 5}, {"queue", 2}};
  mine.filters = {"local"};
  mine.pick = "slo";
  const auto made = profile_of(mine);
  ASSERT_TRUE(made) << made.failure().message;
  EXPECT_EQ(made->weight(scorer_id::energy), 5);
  EXPECT_EQ(made->weight(scorer_id::decode), 0);
  EXPECT_EQ(made->pick, pick_kind::slo);
  EXPECT_TRUE(made->has_optional_filters());
}

TEST(Profiles, MistakesNameWhatIsNearest) {
  const auto complaint = [](auto change) {
    profile_config mine;
    mine.name = policy_name{"night"};
    change(mine);
    const auto made = profile_of(mine);
    return made ? std::string("taken") : made.failure().message;
  };
  EXPECT_EQ(complaint([](auto& c) { c.weights["enrgy"] = 1; }),
            "profile `night`: unknown scorer `enrgy` (did you mean energy?)");
  EXPECT_EQ(complaint([](auto& c) { c.filters = {"loca"}; }),
            "profile `night`: unknown filter `loca` (did you mean local?)");
  EXPECT_EQ(complaint([](auto& c) { c.pick = "bset"; }),
            "profile `night`: unknown pick `bset` (did you mean best?)");
  EXPECT_NE(complaint([](auto& c) { c.weights["energy"] = weight_max + 1; }).find("between"),
            std::string::npos);
  EXPECT_NE(complaint([](auto& c) { c.name.value = "latency"; }).find("built-in"),
            std::string::npos);
  EXPECT_NE(complaint([](auto& c) { c.name.value = std::string(65, 'x'); }).find("64"),
            std::string::npos);
}

/// Nobody could ask for it, or it would be of no use.
TEST(Profiles, OneThatNoHeaderCarriesOrThatWeighsNothingIsRefused) {
  const auto taken = [](auto change) {
    profile_config mine;
    mine.name = policy_name{"night"};
    mine.weights = {{"queue", 1}};
    change(mine);
    return profile_of(mine).ok();
  };
  EXPECT_TRUE(taken([](auto&) {}));
  EXPECT_FALSE(taken([](auto& c) { c.name.value = "\xc3\xbcn\xc3\xaf"; }));
  EXPECT_FALSE(taken([](auto& c) { c.name.value = " night"; }));
  EXPECT_FALSE(taken([](auto& c) { c.weights.clear(); }));
  EXPECT_FALSE(taken([](auto& c) { c.weights = {{"prefix", 1}, {"queue", 0}}; }));
  EXPECT_TRUE(taken([](auto& c) {
    c.weights.clear();
    c.pick = "turn";
  }));
}

} // namespace

} // namespace consort::core
