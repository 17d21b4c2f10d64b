// SPDX-License-Identifier: Apache-2.0
// Policies of a scenario: profiles of one's own, written as in a configuration file, who names
// them, and that a run follows them.
#include "scenarios/sim/simulation.hpp"
#include "scheduler/policy/profile.hpp"

#include <gtest/gtest.h>

namespace consort::sim {
namespace {

/// Line 2 holds the scheduler's section, 3 what else says `more`, 5 the model, 7 the workload.
std::string text_of(const std::string& scheduler, const std::string& more = {},
                    const std::string& model = {}, const std::string& workload = {}) {
  return R"({ "name": "own", "duration": "10s", "seed": 5,
"scheduler": )"
         + scheduler + R"(,
)" + more + R"(
"nodes": [{ "name": "n-{n}", "count": 3, "devices": ["cpu-local"] }],
"models": { "m": { "weights": "10MiB", "kv_bytes_per_token": 3072, "context": 512,
                   "replicas_min": 3)"
         + model + R"( } },
"workload": [{ "poisson": "8/s", "input": 20, "output": 30)"
         + workload + R"( }] })";
}

constexpr const char* night = R"({ "profiles": {
  "night": { "weights": { "energy": 7, "prefix": 1 }, "filters": ["local"], "pick": "slo",
             "waits": false } } })";

scenario plan_of(const std::string& text) {
  const auto plan = parse_scenario(text, "s.json");
  EXPECT_TRUE(plan.ok()) << plan.failure().message;
  return plan ? *plan : scenario{};
}

std::string policies_refused(const std::string& text) {
  const auto plan = parse_scenario(text, "s.json");
  return plan ? "nothing" : plan.failure().message;
}

TEST(ScenarioPolicies, ProfilesAreWrittenAsInAConfigurationFile) {
  const auto plan = plan_of(text_of(night));
  const core::profile_config wanted{
      policy_name{"night"}, {{"energy", 7}, {"prefix", 1}}, {"local"}, "slo", false};
  EXPECT_EQ(plan.profiles, std::vector{wanted});
  EXPECT_EQ(plan.policy, policy_name{"latency"}) << "declared, and named by nobody";
  EXPECT_FALSE(plan.workloads.at(0).policy);
  EXPECT_TRUE(plan.models.at(0).policy.empty());
}

TEST(ScenarioPolicies, TheScenarioItsSchedulerModelsAndWorkloadsMayNameThem) {
  EXPECT_EQ(plan_of(text_of(night, R"("policy": "night",)")).policy, policy_name{"night"});
  const std::string open(night, std::string(night).size() - 2); // Without the last brace.
  EXPECT_EQ(plan_of(text_of(open + R"(, "policy": "night" })")).policy, policy_name{"night"});
  EXPECT_EQ(plan_of(text_of(night, {}, R"(, "policy": "night")")).models.at(0).policy,
            policy_name{"night"});
  EXPECT_EQ(plan_of(text_of(night, {}, {}, R"(, "policy": "night")")).workloads.at(0).policy,
            policy_name{"night"});
}

/// What the scheduler aims at is no promise of the scenario, and the other way round.
TEST(ScenarioPolicies, TheSchedulersSloIsAsInAConfigurationFile) {
  const auto plan = plan_of(text_of(R"({ "slo": { "ttft": "300ms", "batch": { "itl": "2s" } } })"));
  EXPECT_EQ(plan.aims[0].ttft_us, 300'000);
  EXPECT_EQ(plan.aims[1].ttft_us, 300'000);
  EXPECT_EQ(plan.aims[2].itl_us, 2'000'000);
  EXPECT_FALSE(plan.slo.given());
  const auto promised = plan_of(text_of("{}", R"("slo": { "ttft": "300ms" },)"));
  EXPECT_EQ(promised.aims, core::core_config{}.slo);
}

struct refusal_case {
  const char* scheduler;
  const char* more;
  const char* expected; ///< Begins the message.
};

class PolicyRefusal : public testing::TestWithParam<refusal_case> {};

TEST_P(PolicyRefusal, NamesFileLineFieldAndTheNearestName) {
  const auto& [scheduler, more, expected] = GetParam();
  const auto said = policies_refused(text_of(scheduler, more));
  EXPECT_TRUE(said.starts_with(expected)) << said;
}

INSTANTIATE_TEST_SUITE_P(
    Fields, PolicyRefusal,
    testing::Values(
        refusal_case{R"({ "profles": {} })", "",
                     "s.json:2: scheduler.profles: unknown key (did you mean profiles"},
        refusal_case{"{ \"profiles\": {\n\"mine\": { \"weights\": { \"enrgy\": 1 } } } }", "",
                     "s.json:3: scheduler.profiles.mine.weights.enrgy: unknown key (did you mean "
                     "energy"},
        refusal_case{"{ \"profiles\": { \"mine\": { \"weights\": { \"energy\": 1 },\n"
                     "\"filters\": [\"steady\",\n\"locl\"] } } }",
                     "",
                     "s.json:4: scheduler.profiles.mine.filters[1]: profile `mine`: unknown filter "
                     "`locl` (did you mean local?)"},
        refusal_case{"{ \"profiles\": { \"mine\": { \"weights\": { \"energy\": 1 },\n"
                     "\"pick\": \"bst\" } } }",
                     "",
                     "s.json:3: scheduler.profiles.mine.pick: profile `mine`: unknown pick `bst` "
                     "(did you mean best"},
        refusal_case{R"({ "profiles": { "mine": { "weights": { "energy": 1, "prefix": 2 } } } })",
                     "", "s.json:2: scheduler.profiles.mine.weights.prefix: profile `mine`: "},
        refusal_case{R"({ "profiles": { "mine": { "weights": { "energy": -1 } } } })", "",
                     "s.json:2: scheduler.profiles.mine.weights.energy: must be between 0 and"},
        refusal_case{R"({ "profiles": { "mine": { "filters": ["local"] } } })", "",
                     "s.json:2: scheduler.profiles.mine: profile `mine` weighs nothing"},
        refusal_case{R"({ "profiles": { "latency": { "pick": "turn" } } })", "",
                     "s.json:2: scheduler.profiles.latency: profile `latency` has the name of a "
                     "built-in one"},
        refusal_case{R"({ "profiles": { "night": { "pick": "turn" } } })", R"("policy": "nigt",)",
                     "s.json:3: policy: unknown policy `nigt` (did you mean night"},
        refusal_case{R"({ "policy": "energy" })", R"("policy": "cost",)",
                     "s.json:3: policy: stands in `scheduler`, too"},
        refusal_case{R"({ "tenant_policy": { "a": "cost" } })", "",
                     "s.json:2: scheduler.tenant_policy: requests of a scenario have no tenant"}));

TEST(ScenarioPolicies, ModelsAndWorkloadsNameNoUnknownOne) {
  EXPECT_TRUE(policies_refused(text_of(night, {}, R"(, "policy": "nigth")"))
                  .starts_with("s.json:8: models.m.policy: unknown policy `nigth` (did you mean "))
      << policies_refused(text_of(night, {}, R"(, "policy": "nigth")"));
  for (const auto* word : {"nite", ""}) {
    const auto said
        = policies_refused(text_of(night, {}, {}, R"(, "policy": ")" + std::string(word) + "\""));
    EXPECT_TRUE(said.starts_with("s.json:9: workload[0].policy: unknown policy")) << said;
  }
}

TEST(ScenarioPolicies, MoreThanTheSchedulerTakesAreRefused) {
  const auto so_many = [](std::size_t count) {
    std::string made;
    for (std::size_t number = 0; number < count; ++number)
      made += (number == 0 ? "\"p" : ", \"p") + std::to_string(number) + R"(": {"pick": "turn"})";
    return policies_refused(text_of(R"({ "profiles": { )" + made + " } }"));
  };
  const auto room = core::profiles_max - core::builtin_profiles().size();
  EXPECT_EQ(so_many(room), "nothing");
  EXPECT_TRUE(so_many(room + 1).starts_with("s.json:2: scheduler.profiles: more than "
                                            + std::to_string(room)));
}

/// Goal: a run does what its profile says, whoever names it. Method: a profile that is another name
/// of a built-in one decides the same to the bit, and not as the default does.
TEST(ScenarioPolicies, ARunFollowsTheProfileWhoeverNamesIt) {
  const std::string mine = R"({ "profiles": { "mine": { "pick": "turn", "waits": false } } })";
  const auto decided = [](const std::string& text, const char* flag = nullptr) {
    const auto plan = plan_of(text);
    run_options options;
    options.seed = 5;
    if (flag != nullptr)
      options.policy = policy_name{flag};
    const auto summary = run_scenario(plan, options);
    EXPECT_TRUE(summary.passed());
    EXPECT_EQ(summary.figures.at("finished"), summary.figures.at("requests"));
    EXPECT_GT(summary.figures.at("finished"), 0);
    return summary.decisions_digest;
  };
  const auto built_in = decided(text_of("{}", R"("policy": "round-robin",)"));
  EXPECT_NE(built_in, decided(text_of(mine))) << "the default decides otherwise";
  EXPECT_EQ(built_in, decided(text_of(mine, R"("policy": "mine",)")));
  EXPECT_EQ(built_in, decided(text_of(mine), "mine")) << "as --policy gives it";
  EXPECT_EQ(built_in, decided(text_of(mine, {}, R"(, "policy": "mine")")));
  EXPECT_EQ(built_in, decided(text_of(mine, {}, {}, R"(, "policy": "mine")")));
}

/// The liveness phase shows who is still waited for.
TEST(ScenarioPolicies, ARunSaysWhoHasNotEndedOnceArrivalsAreOver) {
  auto plan = plan_of(text_of("{}"));
  plan.workloads.at(0).output = {distribution::kind::constant, 400, 0};
  std::vector<std::uint64_t> left;
  run_options options;
  options.on_settling = [&](duration_us spent, std::uint64_t live) {
    EXPECT_GE(spent, 0);
    left.push_back(live);
  };
  EXPECT_TRUE(run_scenario(plan, options).passed());
  ASSERT_GT(left.size(), 1U);
  EXPECT_GT(left.front(), 0U);
  EXPECT_EQ(left.back(), 0U);
}

TEST(ScenarioPolicies, AnEngineAloneFollowsNone) {
  const auto refused
      = [](const std::string& scheduler, const std::string& model, const std::string& workload) {
          return policies_refused(text_of(scheduler, R"("engine_only": true,)", model, workload));
        };
  EXPECT_EQ(refused("{}", "", ""), "nothing");
  const std::string why = "an `engine_only` run has no scheduler";
  for (const auto& said :
       {refused(night, "", ""), refused(R"({ "policy": "energy" })", "", ""),
        refused("{}", R"(, "policy": "cost")", ""), refused("{}", "", R"(, "policy": "cost")")})
    EXPECT_NE(said.find(why), std::string::npos) << said;
  for (const auto* poor : {"{}", R"({ "models": 5 })", R"({ "scheduler": 5 })"}) {
    std::string text = poor;
    text.insert(1, R"( "engine_only": true)" + std::string(text == "{}" ? "" : ","));
    EXPECT_NE(policies_refused(text), "nothing") << text;
  }
}

} // namespace
} // namespace consort::sim
