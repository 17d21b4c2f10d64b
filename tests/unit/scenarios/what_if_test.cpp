// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/what_if.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace consort::sim {
namespace {

constexpr const char* file = R"({
  "name": "shop", "duration": "8s", "seed": 3,
  "nodes": [
    { "name": "small-{n}", "count": 2, "devices": ["cpu-local"], "price_per_hour": 1 },
    { "name": "big-{n}", "count": 1, "devices": ["refnpu-1"], "price_per_hour": 3 }
  ],
  "models": { "m": { "weights": "10MiB", "kv_bytes_per_token": 3072, "context": 512,
                     "replicas_min": 8 } },
  "workload": [{ "poisson": "10/s", "input": 20, "output": 60, "from": "5s" }],
  "slo": { "ttft": "1s", "itl": "20ms" }
})";

strict_json::value tree(const std::string& text = file) {
  auto parsed = strict_json::parse(text, "shop.json");
  EXPECT_TRUE(parsed.ok());
  return *parsed;
}

std::vector<sweep_axis> axes_of(const std::vector<const char*>& sweeps) {
  std::vector<sweep_axis> axes;
  for (const auto* text : sweeps)
    axes.push_back(*parse_sweep(text));
  return axes;
}

std::vector<what_if_case> cases_of(const std::vector<const char*>& sweeps,
                                   const std::string& text = file) {
  auto made = make_cases(tree(text), "shop.json", axes_of(sweeps), {});
  EXPECT_TRUE(made.ok()) << made.failure().message;
  return made ? std::move(*made) : std::vector<what_if_case>{};
}

/// The file with `before` replaced, which is in it.
std::string changed(const std::string& before, const std::string& after) {
  std::string made = file;
  const auto at = made.find(before);
  EXPECT_NE(at, std::string::npos) << before;
  return made.replace(at, before.size(), after);
}

/// The file with a fault in its last line.
std::string with_fault(const std::string& fault) {
  return changed(R"("itl": "20ms" })", R"("itl": "20ms" },
  "faults": [{ "at": "6s", )" + fault + " }]");
}

TEST(Sweep, ReadsRangesStepsAndLists) {
  EXPECT_EQ(parse_sweep("nodes.small=1..3")->values, (std::vector<std::string>{"1", "2", "3"}));
  EXPECT_EQ(parse_sweep("nodes.small=1..9:4")->values, (std::vector<std::string>{"1", "5", "9"}));
  EXPECT_EQ(parse_sweep("workload[0].poisson=5/s,10/s")->values,
            (std::vector<std::string>{"5/s", "10/s"}));
  EXPECT_EQ(parse_sweep("workload[0].input=lognormal(40,0.6),uniform(1,9),7")->values,
            (std::vector<std::string>{"lognormal(40,0.6)", "uniform(1,9)", "7"}));
  for (const auto* bad :
       {"", "nodes.small", "=1..2", "a=", "a=3..1", "a=1..x", "a=1..9:0", "a=1..99999", "a=1,2,1"})
    EXPECT_FALSE(parse_sweep(bad).ok()) << bad;
}

/// The later one would win, and its runs be told under both values.
TEST(Sweep, AFieldIsSweptOnce) {
  const auto twice
      = make_cases(tree(), "shop.json", axes_of({"nodes.small=1..2", "nodes.small=3..4"}), {});
  ASSERT_FALSE(twice.ok());
  EXPECT_NE(twice.failure().message.find("`nodes.small` is swept twice"), std::string::npos);
}

TEST(Sweep, MakesEveryCombinationWithItsCost) {
  const auto cases = cases_of({"nodes.small=0..2", "nodes.big=1,2"});
  ASSERT_EQ(cases.size(), 6U);
  EXPECT_EQ(cases[0].plan.nodes.size(), 1U);
  EXPECT_EQ(cases[5].plan.nodes.size(), 4U);
  EXPECT_EQ(cases[0].cost_per_h, 3);
  EXPECT_EQ(cases[5].cost_per_h, 8);
  EXPECT_EQ(cases[5].label(), "nodes.small=2 nodes.big=2 latency");
}

TEST(Sweep, NamesWhatDoesNotExistOrDoesNotFit) {
  const auto complaint = [](const char* sweep) {
    const auto made = make_cases(tree(), "shop.json", {*parse_sweep(sweep)}, {});
    return made.ok() ? std::string() : made.failure().message;
  };
  EXPECT_NE(complaint("nodes.smal=1..2").find("did you mean small"), std::string::npos);
  EXPECT_NE(complaint("nodes.warehouse=1..2").find("(there are small, big)"), std::string::npos)
      << complaint("nodes.warehouse=1..2");
  EXPECT_NE(complaint("workload[3].poisson=1/s").find("no `workload[3].poisson`"),
            std::string::npos);
  EXPECT_NE(complaint("workload[0].poison=1/s").find("did you mean poisson"), std::string::npos);
  // Checked like the file itself: line, field, and what was put there.
  const auto bad = complaint("workload[0].poisson=5 a second");
  EXPECT_NE(bad.find("shop.json:9: workload[0].poisson"), std::string::npos) << bad;
  EXPECT_NE(bad.find("(with workload[0].poisson=5 a second)"), std::string::npos) << bad;
}

/// Sizes are compared under one fault, which strikes what there is.
TEST(Sweep, AFaultOnANodeThatOnlyLargerClustersHaveIsNotedNotRefused) {
  const auto text = with_fault(R"("kill": "small-1")");
  const auto cases = cases_of({"nodes.small=1..2"}, text);
  ASSERT_EQ(cases.size(), 2U);
  EXPECT_TRUE(cases[0].plan.faults.empty());
  ASSERT_EQ(cases[0].plan.notes.size(), 1U);
  EXPECT_EQ(cases[0].plan.notes[0],
            "shop.json:11: faults[0]: this cluster of the sweep has no `small-1` to strike");
  EXPECT_EQ(cases[1].plan.faults.size(), 1U);
  EXPECT_TRUE(cases[1].plan.notes.empty());
  EXPECT_EQ(cases_of({"nodes.small=0..1"}, with_fault(R"("slow": ["small-*", "big-0/npu0"])"))
                .at(0)
                .plan.faults.at(0)
                .targets,
            std::vector<std::string>{"big-0/npu0"});
  const auto alone = make_cases(tree(text), "shop.json", axes_of({"nodes.small=1"}), {});
  EXPECT_TRUE(alone.ok()) << "the file has the node";
  const auto never = make_cases(tree(with_fault(R"("kill": "small-7")")), "shop.json",
                                axes_of({"nodes.small=1..3"}), {});
  ASSERT_FALSE(never.ok());
  EXPECT_NE(never.failure().message.find("unknown node `small-7`"), std::string::npos);
}

/// A run shows what was left out of it.
TEST(Sweep, TheNoteOfALeftOutFaultIsTheRunsToo) {
  auto cases = cases_of({"nodes.small=1"}, with_fault(R"("kill": "small-1")"));
  run_cases(cases, {0}, {});
  const auto& notes = cases[0].summary.notes;
  EXPECT_EQ(std::count_if(notes.begin(), notes.end(),
                          [](const std::string& note) {
                            return note.find("no `small-1` to strike") != std::string::npos;
                          }),
            1);
}

TEST(Sweep, CountsCombinationsWithoutANode) {
  empty_cases empty;
  const auto made = make_cases(tree(), "shop.json", axes_of({"nodes.small=0..2", "nodes.big=0..1"}),
                               {}, &empty);
  ASSERT_TRUE(made.ok());
  EXPECT_EQ(made->size(), 5U);
  EXPECT_EQ(empty.count, 1U);
  EXPECT_EQ(empty.first, "nodes.small=0 nodes.big=0");
}

TEST(Sweep, OverSeedsRunsEachWithItsOwn) {
  auto cases = cases_of({"seed=4,5"});
  ASSERT_EQ(cases.size(), 2U);
  what_if_options options;
  options.seed = 3;
  run_cases(cases, {0, 1}, options);
  EXPECT_EQ(cases[0].summary.seed, 4U);
  EXPECT_EQ(cases[1].summary.seed, 5U);
  EXPECT_NE(cases[0].summary.run_digest, cases[1].summary.run_digest);
}

TEST(Sweep, ReachesFieldsThatTheFileLeavesOutAndNamesWithDots) {
  const auto patient = cases_of({"scheduler.lease=1s,2s", "settle=90s"});
  EXPECT_EQ(patient[1].plan.lease_us, 2'000'000);
  EXPECT_EQ(patient[1].plan.settle_us, 90'000'000);
  auto dotted = tree();
  for (auto& [name, section] : dotted.members)
    if (name == "models")
      section.members.front().first = "llama-3.1-8b";
  const auto made
      = make_cases(dotted, "shop.json", {*parse_sweep("models.llama-3.1-8b.replicas_max=8,9")}, {});
  ASSERT_TRUE(made.ok()) << made.failure().message;
  EXPECT_EQ(made->at(1).plan.models.at(0).replicas_max, 9U);
  const auto misspelt = make_cases(tree(), "shop.json", {*parse_sweep("schedulr.lease=1s")}, {});
  ASSERT_FALSE(misspelt.ok());
  EXPECT_NE(misspelt.failure().message.find("schedulr: unknown key (did you mean scheduler"),
            std::string::npos)
      << misspelt.failure().message;
  for (const auto* path : {"nodes[9].count", "nodes[x].count", "nodes[0", "nodes[0]count", "name.a",
                           "workload[0]..poisson", "workload[0].", ".name", "[0]"})
    EXPECT_FALSE(make_cases(tree(), "shop.json", {{path, {"1"}}}, {}).ok()) << path;
}

/// A profile of one's own is swept like any field, also one that the file does not have.
TEST(Sweep, WeightsOfAProfileAreSwept) {
  const auto text = changed(R"("slo":)", R"("policy": "mine", "scheduler": { "profiles": {
    "mine": { "weights": { "queue": 1, "decode": 1 } } } }, "slo":)");
  const auto cases = cases_of(
      {"scheduler.profiles.mine.weights.energy=0,10", "scheduler.profiles.mine.pick=best,slo"},
      text);
  ASSERT_EQ(cases.size(), 4U);
  EXPECT_EQ(cases[0].plan.profiles.at(0).weights.count("energy"), 0U);
  EXPECT_EQ(cases[1].plan.profiles.at(0).weights.at("energy"), 10U);
  EXPECT_EQ(cases[3].plan.profiles.at(0).pick, "slo");
  EXPECT_EQ(cases[3].policy, policy_name{"mine"});
  EXPECT_EQ(cases_of({"scheduler.profiles.other.pick=turn"}).at(0).plan.profiles.at(0).name,
            policy_name{"other"});
  const auto wrong = make_cases(tree(text), "shop.json",
                                {*parse_sweep("scheduler.profiles.mine.weights.enrgy=1")}, {});
  ASSERT_FALSE(wrong.ok());
  EXPECT_NE(wrong.failure().message.find("weights.enrgy: unknown key (did you mean energy"),
            std::string::npos)
      << wrong.failure().message;
}

TEST(Sweep, ShowsHowFarItIsWhileRunsAreUnderWay) {
  auto cases = cases_of({"nodes.small=1..2"});
  std::vector<what_if_progress> seen;
  what_if_options options;
  options.on_progress = [&](const what_if_progress& now) { seen.push_back(now); };
  run_cases(cases, {0, 1}, options);
  ASSERT_GT(seen.size(), 10U);
  EXPECT_EQ(seen.front().share, 0);
  EXPECT_EQ(seen.front().most, 2U);
  EXPECT_EQ(seen.back().finished, 2U);
  EXPECT_DOUBLE_EQ(seen.back().share, 1);
  for (std::size_t at = 1; at < seen.size(); ++at)
    EXPECT_GE(seen[at].share, seen[at - 1].share);
}

TEST(Goal, ReadsBoundsAndRefusesTheRest) {
  const auto goal = parse_goal("cheapest cluster with slo_attainment >= 0.99 and e2e_p99_ms <= 5");
  ASSERT_TRUE(goal.ok()) << goal.failure().message;
  ASSERT_EQ(goal->wanted.size(), 2U);
  EXPECT_EQ(goal->wanted[0].min, 0.99);
  EXPECT_EQ(goal->wanted[1].max, 5);
  EXPECT_TRUE(parse_goal("smallest cluster with failed <= 0")->fewest);
  for (const auto* bad :
       {"", "best cluster with failed <= 0", "cheapest cluster", "cheapest cluster with failed < 0",
        "cheapest cluster with failed <= x", "cheapest cluster with failed <= nan",
        "cheapest cluster with failed >= inf", "cheapest cluster with failed <= -1",
        "smallest cluster with failed <= 0 and slo_attainment >= 1.5"})
    EXPECT_FALSE(parse_goal(bad).ok()) << bad;
  EXPECT_NE(parse_goal("cheapest cluster with slo_atainment >= 1")
                .failure()
                .message.find("did you mean slo_attainment"),
            std::string::npos);
}

TEST(Search, FindsWhatTryingEverythingFindsWithFewerRuns) {
  const auto goal = parse_goal("cheapest cluster with slo_attainment >= 0.95");
  auto all = cases_of({"nodes.small=0..3", "nodes.big=0..2"});
  ASSERT_EQ(all.size(), 11U) << "no cluster of nothing";
  auto searched = all;
  std::vector<std::size_t> places(all.size());
  for (std::size_t place = 0; place < places.size(); ++place)
    places[place] = place;
  what_if_options options;
  options.seed = 3;
  run_cases(all, places, options);
  std::optional<double> cheapest;
  for (const auto& one : all)
    if (missed_expectations(one.summary, goal->wanted).empty()
        && (!cheapest || one.cost_per_h < *cheapest))
      cheapest = one.cost_per_h;
  const auto found = search_cases(searched, *goal, 0, options);
  ASSERT_EQ(found.best.has_value(), cheapest.has_value());
  ASSERT_TRUE(found.best);
  EXPECT_EQ(searched[*found.best].cost_per_h, *cheapest);
  EXPECT_LT(found.runs, all.size());
  auto poor = searched;
  EXPECT_FALSE(search_cases(poor, *goal, *cheapest / 2, options).best) << "beyond the budget";
}

/// What more devices make worse, as here the number of loads, is the smaller cluster's to keep.
TEST(Search, ASmallerClusterIsNotRuledOutByALargerOneThatMisses) {
  auto cases = cases_of({"nodes.small=1..3", "nodes.big=0"});
  const auto found = search_cases(cases, *parse_goal("cheapest cluster with loads <= 1"), 0, {});
  ASSERT_TRUE(found.best);
  EXPECT_EQ(cases[*found.best].label(), "nodes.small=1 nodes.big=0 latency");
}

/// Nothing follows from a cluster that misses, nor from what is otherwise swept.
TEST(Search, PlaysAllThatMayBeTheAnswer) {
  auto cases = cases_of({"nodes.big=1..2", "workload[0].input=400,20"});
  ASSERT_EQ(cases.size(), 4U);
  const auto found = search_cases(cases, *parse_goal("cheapest cluster with requests <= 0"), 0, {});
  EXPECT_FALSE(found.best);
  EXPECT_EQ(found.runs, 4U);
}

TEST(Search, SaysWhatWasNotPlayedAndWhy) {
  auto cases = cases_of({"nodes.small=1..5", "nodes.big=0"});
  const auto goal = parse_goal("cheapest cluster with lost_requests <= 0");
  const auto found = search_cases(cases, *goal, 3.5, {});
  ASSERT_TRUE(found.best);
  EXPECT_EQ(found.runs, 1U);
  EXPECT_EQ(found.no_better, 2U);
  EXPECT_EQ(found.beyond_budget, 2U);
  EXPECT_EQ(std::count_if(cases.begin(), cases.end(), [](const auto& one) { return one.ran; }), 1);
}

TEST(Search, NamesTheDevicesThatNobodySaidThePriceOf) {
  EXPECT_FALSE(unpriced_note(cases_of({"nodes.small=1..2"}))) << "their nodes have prices";
  const std::string small = R"("devices": ["cpu-local"], "price_per_hour": 1)";
  const auto said = [&](const std::string& devices) {
    return unpriced_note(cases_of({"nodes.small=1..2"}, changed(small, devices))).value_or("");
  };
  const auto mixed = said(
      R"("devices": ["l4", "rngd", { "spec": "cent-cxl-pim", "tp": 2 }, { "spec": "rngd" }])");
  EXPECT_EQ(mixed.find("without a price, hence counted as free: rngd, cent-cxl-pim-tp2; write "
                       "`usd_per_h` at such a device"),
            0U)
      << mixed;
  EXPECT_EQ(said(R"("devices": [{ "spec": "rngd", "usd_per_h": 0 }])"), "") << "said to be free";
  EXPECT_EQ(said(R"("devices": ["rngd"], "price_per_hour": 0)"), "") << "likewise";
  EXPECT_NE(said(R"("devices": ["remote-api"])"), "") << "it is paid by the token";
  EXPECT_NE(said(R"("devices": [{ "spec": "h100-sxm", "prefill": { "device": "cpu-local" } }])"),
            "")
      << "a side of it";
  auto none = cases_of({"nodes.big=0"}, changed(small, R"("devices": ["cpu-local"])"));
  EXPECT_NE(unpriced_note(none)->find("the cluster with the fewest devices is the cheapest"),
            std::string::npos)
      << *unpriced_note(none);
}

/// Without prices all cost the same, and one that keeps the goal rules out no smaller one.
TEST(Search, FindsTheSmallestWhereNothingHasAPrice) {
  auto cases = cases_of({"nodes.small=1..9"});
  for (auto& one : cases)
    one.cost_per_h = 0;
  const auto goal = parse_goal("cheapest cluster with lost_requests <= 0");
  const auto found = search_cases(cases, *goal, 0, {});
  ASSERT_TRUE(found.best);
  EXPECT_EQ(cases[*found.best].label(), "nodes.small=1 latency");
}

} // namespace
} // namespace consort::sim
