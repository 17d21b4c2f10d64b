// SPDX-License-Identifier: Apache-2.0
// `consort sim` as it is typed: what it prints, refuses and leaves.
#include "cli/sim_command.hpp"
#include "cli/version.hpp"
#include "tests/unit/cli/command_run.hpp"
#include "tests/unit/node/temp_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace consort::cli {
namespace {

using testing::HasSubstr;

TEST(SimCommand, SimPrintsSeedTableAndDigestAndFailsWithAReplayCommand) {
  const std::string folder = CONSORT_SOURCE_DIR "/scenarios/";
  const auto canary = run_command({"sim", folder + "canary.json"});
  EXPECT_EQ(canary.code, exit_code::failed);
  EXPECT_THAT(canary.out, HasSubstr("seed 1"));
  EXPECT_THAT(canary.out, HasSubstr("digest: "));
  EXPECT_THAT(canary.err, HasSubstr("never answered"));
  EXPECT_THAT(canary.err, HasSubstr("--seed 1 --policy latency"));
  EXPECT_EQ(run_command({"sim", "no-such.json"}).code, exit_code::usage);
}

/// The command after `replay with: consort `, word by word; quotes hold no spaces here.
std::vector<std::string> replayed(const std::string& said) {
  const std::string before = "replay with: consort ";
  const auto from = said.find(before);
  if (from == std::string::npos)
    return {};
  std::istringstream line(
      said.substr(from + before.size(), said.find('\n', from) - from - before.size()));
  std::vector<std::string> words;
  for (std::string word; line >> word;) {
    std::erase(word, '\'');
    words.push_back(word);
  }
  return words;
}

TEST(SimCommand, TheReplayCommandOfOneRunOfASweepPlaysThatRun) {
  const std::string canary = CONSORT_SOURCE_DIR "/scenarios/canary.json";
  const auto all = run_command({"sim", canary, "--seed", "3", "--sweep",
                                "workload[0].poisson=1/s,2/s", "--policy", "energy"});
  EXPECT_THAT(all.err, HasSubstr("--seed 3 --policy energy --sweep 'workload[0].poisson=1/s'\n"));
  const auto again = run_command(replayed(all.err));
  EXPECT_EQ(again.code, exit_code::failed) << again.err;
  EXPECT_THAT(again.out, HasSubstr("1 of 1 runs"));
  EXPECT_THAT(again.err, HasSubstr("never answered"));
  EXPECT_EQ(replayed(again.err), replayed(all.err));
}

TEST(SimCommand, AnEngineAloneIsReplayedWithoutAPolicy) {
  const auto path = testing::TempDir() + "engine-alone.json";
  std::ofstream(path) << R"({ "name": "alone", "duration": "2s", "engine_only": true, "seed": 4,
    "nodes": [{ "name": "n", "devices": ["cpu-local"] }],
    "models": { "m": { "weights": 1000, "kv_bytes_per_token": 10 } },
    "workload": [{ "poisson": "5/s" }], "expect": { "failed": 1 } })";
  const auto done = run_command({"sim", path});
  EXPECT_EQ(done.code, exit_code::failed);
  EXPECT_THAT(done.out, HasSubstr("seed 4, engine only, 1 nodes"));
  EXPECT_EQ(replayed(done.err), (std::vector<std::string>{"sim", path, "--seed", "4"}));
  EXPECT_EQ(run_command(replayed(done.err)).code, exit_code::failed);
  for (const auto* policies : {"energy", "energy,latency"}) {
    const auto refused = run_command({"sim", path, "--policy", policies});
    EXPECT_EQ(refused.code, exit_code::usage);
    EXPECT_THAT(refused.err, HasSubstr("has no scheduler"));
  }
}

TEST(SimCommand, SimRunsASecondTimeToCheck) {
  const auto twice
      = run_command({"sim", CONSORT_SOURCE_DIR "/scenarios/quickstart.json", "--check"});
  EXPECT_EQ(twice.code, exit_code::done) << twice.err;
  EXPECT_THAT(twice.out, HasSubstr("checked: two runs, the same digest\n"));
}

/// A file from elsewhere cannot write to the terminal what it likes.
TEST(SimCommand, SimShowsNoControlCharactersOfNames) {
  const node::test::temp_folder folder;
  const auto text = [](const std::string& more) {
    return R"({ "name": "a\u001b[31mb\nc", "duration": "2s", "seed": 1,
      "nodes": [{ "name": "n", "devices": ["cpu-local"] }],
      "models": { "m": { "weights": "10MiB" } }, "workload": [{ "poisson": "1/s" }])"
           + more + "}";
  };
  folder.write("s.json", text(""));
  const auto one = run_command({"sim", folder / "s.json"});
  EXPECT_THAT(one.out, HasSubstr("scenario a?[31mb?c, seed 1"));
  const auto sweep = run_command({"sim", folder / "s.json", "--sweep", "seed=1,2"});
  EXPECT_THAT(sweep.out, HasSubstr("scenario a?[31mb?c, seeds 1, 2"));
  folder.write("s.json", text(R"(, "x\u001b[2J": 1)"));
  const auto refused = run_command({"sim", folder / "s.json"});
  EXPECT_EQ(refused.code, exit_code::usage);
  EXPECT_THAT(refused.err, HasSubstr("x?[2J: unknown key"));
  for (const auto& said : {one.out, one.err, sweep.out, sweep.err, refused.err})
    EXPECT_EQ(said.find('\x1b'), std::string::npos) << said;
}

TEST(SimCommand, ASearchByMoneyNamesWhatHasNoPriceAndWhatItDidNotPlay) {
  const std::string quickstart = CONSORT_SOURCE_DIR "/scenarios/quickstart.json";
  const std::vector<std::string> search{
      "sim",     quickstart,    "--sweep", "nodes.edge=2..4",
      "--jobs",  "1",           "--sweep", "faults[0].at=5s",
      "--sweep", "duration=8s", "--find",  "cheapest cluster with lost_requests <= 0"};
  const auto found = run_command(search);
  EXPECT_EQ(found.code, exit_code::done) << found.err;
  EXPECT_THAT(found.err, HasSubstr("note: without a price, hence counted as free: "));
  EXPECT_THAT(found.out, HasSubstr("found: nodes.edge=2 "));
  EXPECT_THAT(found.out, HasSubstr("  2 not played: none of them is cheaper\n"));
  auto bounded = search;
  bounded.insert(bounded.end(), {"--budget", "0.01"});
  const auto refused = run_command(bounded);
  EXPECT_EQ(refused.code, exit_code::usage);
  EXPECT_THAT(refused.err, HasSubstr("--budget: bounds nothing: without a price"));
  auto told = search;
  told.insert(told.end(), {"-o", "json"});
  const auto document = nlohmann::json::parse(run_command(told).out);
  EXPECT_EQ(document["not_played"]["no_better"], 2);
  EXPECT_THAT(document["notes"].at(0).get<std::string>(), HasSubstr("write `usd_per_h`"));
}

/// A scenario with a profile of its own, which nobody names but flags.
std::string with_profile(const node::test::temp_folder& folder) {
  folder.write("own.json", R"({ "name": "own", "duration": "3s", "seed": 1,
    "scheduler": { "profiles": { "mine": { "weights": { "queue": 1, "energy": 3 } } } },
    "nodes": [{ "name": "n-{n}", "count": 2, "devices": ["cpu-local"] }],
    "models": { "m": { "weights": "10MiB", "kv_bytes_per_token": 3072, "context": 512 } },
    "workload": [{ "poisson": "3/s", "input": 20, "output": 10, "until": "2s" }],
    "expect": { "finished": 0 } })");
  return folder / "own.json";
}

/// A cluster that a fault does not strike is not as good as one that bears it.
TEST(SimCommand, ASearchSaysWhichFaultWhatItFoundWasSpared) {
  const node::test::temp_folder folder;
  folder.write("s.json", R"({ "name": "spared", "duration": "6s", "seed": 1,
    "nodes": [{ "name": "n-{n}", "count": 2, "devices": ["cpu-local"], "price_per_hour": 1 }],
    "models": { "m": { "weights": "10MiB", "kv_bytes_per_token": 3072, "context": 512 } },
    "workload": [{ "poisson": "2/s", "input": 20, "output": 10 }],
    "faults": [{ "at": "3s", "kill": "n-1", "for": "1s" }] })");
  const std::vector<std::string> search{"sim",     folder / "s.json",
                                        "--sweep", "nodes.n=1..2",
                                        "--find",  "cheapest cluster with lost_requests <= 0"};
  const auto found = run_command(search);
  EXPECT_THAT(found.out, HasSubstr("found: nodes.n=1 latency")) << found.err;
  const std::string note = "faults[0]: this cluster of the sweep has no `n-1` to strike";
  EXPECT_THAT(found.err, HasSubstr("nodes.n=1 latency: note: "));
  EXPECT_THAT(found.err, HasSubstr(note));
  auto told = search;
  told.insert(told.end(), {"-o", "json"});
  const auto run = nlohmann::json::parse(run_command(told).out)["runs"][0];
  EXPECT_EQ(run["settings"]["nodes.n"], "1");
  EXPECT_EQ(run["policy"], "latency");
  EXPECT_THAT(run["notes"].at(0).get<std::string>(), HasSubstr(note));
  EXPECT_TRUE(run["violations"].empty());
  EXPECT_TRUE(run["missed"].empty());
  EXPECT_THAT(run_command({"sim", folder / "s.json", "--sweep", "nodes.n=1", "--find",
                           "cheapest cluster with requests >= 1e6"})
                  .out,
              HasSubstr("found: none; widen --sweep\n"))
      << "there is no budget to raise";
}

/// Hours of simulating are not lost to the name of a folder, nor to that of the file.
TEST(SimCommand, RunsWithLongLabelsAndFilesOfAnyNameAreWritten) {
  const node::test::temp_folder folder;
  const auto results = folder / "results";
  const std::string path = with_profile(folder);
  const std::string odd = folder / "odd\xff.json";
  std::filesystem::copy_file(path, odd);
  const auto done = run_command({"sim", odd, "--out", results, "--sweep",
                                 "proves=" + std::string(300, 'a') + "," + std::string(300, 'b')});
  EXPECT_EQ(done.code, exit_code::failed) << done.err;
  EXPECT_THAT(done.err, testing::Not(HasSubstr("cannot make")));
  std::size_t summaries = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(results))
    summaries += entry.path().filename() == "summary.json" ? 1U : 0U;
  EXPECT_EQ(summaries, 2U);
  EXPECT_TRUE(std::filesystem::exists(results + "/report.html"));
  EXPECT_EQ(nlohmann::json::parse(run_command({"sim", odd, "-o", "json"}).out)["scenario"], "own");
}

TEST(SimCommand, ASweepSaysWhichCombinationsAreNoCluster) {
  const auto done = run_command(
      {"sim", CONSORT_SOURCE_DIR "/scenarios/canary.json", "--sweep", "nodes.edge-0=0..1"});
  EXPECT_THAT(done.out, HasSubstr("1 of 1 runs")) << done.err;
  EXPECT_THAT(done.err, HasSubstr("note: 1 combinations of the sweep have no node and were left "
                                  "out, the first is nodes.edge-0=0"));
}

TEST(SimCommand, PoliciesAreTheBuiltInOnesAndProfilesOfTheScenario) {
  const node::test::temp_folder folder;
  const auto path = with_profile(folder);
  const auto one = run_command({"sim", path, "--policy", "mine"});
  EXPECT_EQ(one.code, exit_code::failed);
  EXPECT_THAT(one.out, HasSubstr("seed 1, policy mine, 2 nodes")) << one.err;
  EXPECT_THAT(one.err, HasSubstr("replay with: consort sim " + path + " --seed 1 --policy mine\n"));
  const auto both = run_command({"sim", path, "--policy", "mine,cost", "--sweep",
                                 "scheduler.profiles.mine.weights.energy=1,9"});
  EXPECT_THAT(both.out, HasSubstr("4 of 4 runs")) << both.err;
  EXPECT_THAT(both.out, HasSubstr("scheduler.profiles.mine.weights.energy=9 mine"));
  const auto again = run_command(replayed(both.err));
  EXPECT_EQ(again.code, exit_code::failed);
  EXPECT_THAT(again.out, HasSubstr("1 of 1 runs")) << again.err;
}

TEST(SimCommand, APolicyThatTheScenarioHasNotIsRefusedWithTheNearest) {
  const node::test::temp_folder folder;
  const auto path = with_profile(folder);
  const std::vector<std::vector<std::string>> ways{
      {"--policy", "mien"}, {"--policy", "cost,mien"}, {"--policy", "mien", "--live"}};
  for (auto way : ways) {
    way.insert(way.begin(), {"sim", path});
    const auto refused = run_command(std::move(way));
    EXPECT_EQ(refused.code, exit_code::usage);
    EXPECT_THAT(refused.err, HasSubstr("--policy: unknown policy `mien` (did you mean mine"));
    EXPECT_EQ(refused.out, "") << "nothing ran";
  }
}

/// What a command in which somebody watches stderr, or nobody, says there.
std::string told_of_progress(bool watched, std::vector<std::string> arguments) {
  bare_context run;
  run.env.err_is_tty = watched;
  arguments.insert(arguments.begin(), "consort");
  std::vector<const char*> argv;
  for (const auto& argument : arguments)
    argv.push_back(argument.c_str());
  const auto app = make_app(run.env);
  parse_and_run(*app, run.env, static_cast<int>(argv.size()), argv.data());
  return run.err.str();
}

TEST(SimCommand, ProgressIsShownWhereSomebodyWatchesAndErased) {
  const std::string quickstart = CONSORT_SOURCE_DIR "/scenarios/quickstart.json";
  const auto watched = told_of_progress(true, {"sim", quickstart});
  EXPECT_THAT(watched, HasSubstr("\r\x1b[K  0 of 100 per cent of the arrivals"));
  EXPECT_THAT(watched, HasSubstr("\r\x1b[Kconsort: note: ")) << "nothing of it stays";
  EXPECT_THAT(told_of_progress(true, {"sim", quickstart, "-o", "json"}),
              HasSubstr(" of 100 per cent of the arrivals"))
      << "stdout is for programs, stderr is not";
  EXPECT_THAT(told_of_progress(true, {"sim", "--swarm", "1", "--seed", "1"}),
              HasSubstr("1 of 1 scenarios"));
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"sim", quickstart}, {"sim", "--swarm", "1", "--seed", "1"}}) {
    const auto unwatched = told_of_progress(false, command);
    EXPECT_EQ(unwatched.find_first_of("\r\x1b"), std::string::npos) << unwatched;
    EXPECT_THAT(unwatched, testing::Not(HasSubstr(" of 1")));
  }
}

TEST(SimCommand, ProgressOfTheLivenessPhaseSaysWhoIsWaitedFor) {
  bare_context run;
  run.env.err_is_tty = true;
  progress_line(run.env, "runs", 3).show_settling(12'345'000, 180'000'000, 7);
  EXPECT_EQ(run.err.str(), "\r\x1b[K  settling: 7 requests have not ended, 12s of at most 3m"
                           "\r\x1b[K");
}

/// Bad input of every way to use it is exit code 2 and names what is wrong.
TEST(SimCommand, SimRefusesWhatMakesNoSense) {
  const std::string quickstart = CONSORT_SOURCE_DIR "/scenarios/quickstart.json";
  const auto complaint = [&](std::vector<std::string> args) {
    args.insert(args.begin(), "sim");
    const auto done = run_command(std::move(args));
    EXPECT_EQ(done.code, exit_code::usage) << done.err;
    return done.err;
  };
  EXPECT_THAT(complaint({}), HasSubstr("--swarm"));
  EXPECT_THAT(complaint({quickstart, "--sweep", "nodes.edg=1..2"}), HasSubstr("did you mean edge"));
  EXPECT_THAT(complaint({quickstart, "--sweep", "nodes.edge=2..1"}), HasSubstr("not a range"));
  EXPECT_THAT(complaint({quickstart, "--sweep", "duration=-5s"}), HasSubstr("duration"));
  EXPECT_THAT(complaint({quickstart, "--sweep", "nodes.edge=1..2", "--find", "a big one"}),
              HasSubstr("cheapest cluster with"));
  EXPECT_THAT(complaint({"--swarm", "0"}), HasSubstr("--swarm"));
  EXPECT_THAT(complaint({"--swarm", "2", "--check"}), HasSubstr("--seed and --jobs only"));
  EXPECT_THAT(complaint({quickstart, "--policy", "latency,energy", "--check"}),
              HasSubstr("one run"));
  EXPECT_THAT(complaint({quickstart, "--seed", "-1"}), HasSubstr("--seed"));
  EXPECT_THAT(complaint({quickstart, "--sweep", "nodes.edge=1..2", "--budget", "3"}),
              HasSubstr("add --find"));
  EXPECT_THAT(complaint({quickstart, "--seed", "18446744073709551616"}),
              HasSubstr("--seed: `18446744073709551616` is not a whole number from 0 to"));
  for (const auto* amount : {"nan", "inf", "0", "-1", "1e10", "3 USD"})
    EXPECT_THAT(
        complaint({quickstart, "--find", "cheapest cluster with failed <= 0", "--budget", amount}),
        HasSubstr("--budget: `" + std::string(amount) + "` is not an amount above 0"));
  EXPECT_THAT(complaint({quickstart, "--find", ""}), HasSubstr("--find: must not be empty"));
  EXPECT_THAT(complaint({quickstart, "--out", ""}), HasSubstr("--out: must not be empty"));
  EXPECT_THAT(complaint({quickstart, "--policy", "cost,latency,cost"}),
              HasSubstr("--policy: `cost` is named twice"));
  EXPECT_THAT(complaint({quickstart, "--policy", "cost", "--sweep", "policy=latency,cost"}),
              HasSubstr("--policy: each run of `--sweep policy=...`"));
  EXPECT_THAT(complaint({quickstart, "--sweep", "seed=1,1"}), HasSubstr("--sweep: `seed=1,1` has"));
}

TEST(SimCommand, ASearchThatFindsNothingSaysWhatTheLargestLacked) {
  const std::string quickstart = CONSORT_SOURCE_DIR "/scenarios/quickstart.json";
  const auto search = [&](const char* goal) {
    return run_command({"sim", quickstart, "--sweep", "nodes.edge=2,3", "--sweep",
                        "faults[0].at=5s", "--sweep", "duration=8s", "--find", goal});
  };
  const auto none = search("cheapest cluster with e2e_p50_ms <= 0.5");
  EXPECT_EQ(none.code, exit_code::failed) << none.err;
  EXPECT_THAT(none.out, HasSubstr("found: none"));
  EXPECT_THAT(none.out,
              HasSubstr("  nodes.edge=3 faults[0].at=5s duration=8s latency: e2e_p50_ms"));
  EXPECT_THAT(none.out, HasSubstr("expected at most 0.5"));
  EXPECT_THAT(none.out, HasSubstr("missed"));
  const auto one = search("smallest cluster with lost_requests <= 0");
  EXPECT_EQ(one.code, exit_code::done) << one.err;
  EXPECT_THAT(one.out, HasSubstr("found: nodes.edge=2 "));
  EXPECT_THAT(one.out, HasSubstr("kept"));
}

/// Hours of simulating are not lost to a folder that cannot be written.
TEST(SimCommand, SimMakesItsFolderBeforeItRuns) {
  const std::string canary = CONSORT_SOURCE_DIR "/scenarios/canary.json";
  const std::vector<std::vector<std::string>> ways{
      {}, {"--sweep", "workload[0].poisson=1/s,2/s"}, {"--live"}};
  for (auto way : ways) {
    const auto& file = way == ways.back() ? CONSORT_SOURCE_DIR "/scenarios/live/kill.json" : canary;
    way.insert(way.begin(), {"sim", file, "--out", canary + "/results"});
    const auto done = run_command(std::move(way));
    EXPECT_EQ(done.code, exit_code::usage);
    EXPECT_THAT(done.err, HasSubstr("--out: cannot make " + canary + "/results"));
    EXPECT_EQ(done.out, "") << "nothing ran";
  }
}

TEST(SimCommand, ASweepOverSeedsPlaysEachAndSaysHowToPlayItAgain) {
  const std::string canary = CONSORT_SOURCE_DIR "/scenarios/canary.json";
  const auto all = run_command({"sim", canary, "--sweep", "seed=4,5"});
  EXPECT_THAT(all.err, HasSubstr("consort: seed=4 latency: violated "));
  EXPECT_THAT(all.err, HasSubstr("consort: seed=5 latency: violated "));
  const auto words = replayed(all.err);
  EXPECT_EQ(words, (std::vector<std::string>{"sim", canary, "--seed", "4", "--policy", "latency"}));
  EXPECT_THAT(run_command(words).out, HasSubstr("seed 4"));
}

TEST(SimCommand, ASweepOverSeedsNamesTheSeedsOfItsRunsAndNoOther) {
  const std::string canary = CONSORT_SOURCE_DIR "/scenarios/canary.json";
  const node::test::temp_folder folder;
  const auto results = folder / "results";
  const auto all = run_command({"sim", canary, "--sweep", "seed=4,5", "--out", results});
  EXPECT_THAT(all.out, HasSubstr(", seeds 4, 5, 2 of 2 runs")) << all.err;
  const auto page = node::test::read_file(results + "/report.html");
  EXPECT_THAT(page, HasSubstr("\"seeds\":\"seeds 4, 5\""));
  EXPECT_THAT(page, HasSubstr(canary + " --sweep seed=4,5")) << "with no seed beside";
  const auto said = run_command({"sim", canary, "--sweep", "seed=4,5", "-o", "json"});
  const auto document = nlohmann::json::parse(said.out);
  EXPECT_FALSE(document.contains("seed"));
  EXPECT_EQ(document["runs"][0]["seed"], 4);
  EXPECT_EQ(document["runs"][1]["seed"], 5);
  const auto both = run_command({"sim", canary, "--sweep", "seed=4,5", "--seed", "9"});
  EXPECT_EQ(both.code, exit_code::usage);
  EXPECT_THAT(both.err, HasSubstr("--seed: each run of `--sweep seed=...`"));
  EXPECT_EQ(both.out, "");
}

TEST(SimCommand, ALongSweepOverSeedsNamesTheFirstOnes) {
  std::vector<std::uint64_t> seeds;
  for (std::uint64_t seed = 1; seed <= 9; ++seed)
    seeds.insert(seeds.end(), {seed, seed}); // Two policies each.
  EXPECT_EQ(seed_words(seeds), "seeds 1, 2, 3, 4, 5, 6, 7, 8 and 1 more");
  EXPECT_EQ(seed_words({7, 7}), "seed 7");
}

TEST(SimCommand, SimDrawsSwarmsAndSweepsClusters) {
  const auto swarm = run_command({"sim", "--swarm", "2", "--seed", "1", "--jobs", "2"});
  EXPECT_EQ(swarm.code, exit_code::done) << swarm.err;
  EXPECT_THAT(swarm.out, HasSubstr("seeds 1 to 2"));
  const auto sweep
      = run_command({"sim", CONSORT_SOURCE_DIR "/scenarios/canary.json", "--seed", "3", "--sweep",
                     "workload[0].poisson=1/s,2/s", "--policy", "latency,energy"});
  EXPECT_EQ(sweep.code, exit_code::failed);
  EXPECT_THAT(sweep.out, HasSubstr("4 of 4 runs"));
  EXPECT_THAT(sweep.out, HasSubstr("workload[0].poisson=2/s energy"));
  EXPECT_THAT(sweep.out, HasSubstr("violated"));
}

/// Goal: what policies differ in is in their tables, with units, and what made them beside.
TEST(SimCommand, TablesAndJsonOfPoliciesSayWhatEachTookAndWhatMadeThem) {
  const std::string path = CONSORT_SOURCE_DIR "/scenarios/quickstart.json";
  const std::vector<std::string> asked{"sim", path, "--seed", "3", "--policy", "latency,cost"};
  const auto command = "consort sim " + path + " --seed 3 --policy latency,cost";
  const auto tables = run_command(asked);
  EXPECT_THAT(tables.out,
              HasSubstr(std::string("consort ") + version_text() + " by: " + command + "\n"));
  for (const auto* title : {"TTFT P50 MS", "ITL P50 MS", "E2E P99 MS", "TOKENS/S", "ENERGY WH",
                            "J/TOKEN", "COST USD/H", "SPENT USD", "FAILOVERS", "BUILDS", "LOADS"})
    EXPECT_THAT(tables.out, HasSubstr(title));
  auto in_json = asked;
  in_json.insert(in_json.end(), {"-o", "json"});
  const auto document = nlohmann::json::parse(run_command(in_json).out);
  EXPECT_EQ(document["scenario"], "quickstart");
  EXPECT_EQ(document["version"], version_text());
  EXPECT_EQ(document["command"], command);
  EXPECT_EQ(document["seed"], 3);
  EXPECT_EQ(document["runs"][1]["command"], "consort sim " + path + " --seed 3 --policy cost");
  EXPECT_GT(document["runs"][0]["figures"]["joules_per_token"], 0);
}

TEST(SimCommand, ATableOfOneRunSaysWhatMadeIt) {
  const std::string path = CONSORT_SOURCE_DIR "/scenarios/quickstart.json";
  EXPECT_THAT(run_command({"sim", path, "--seed", "3"}).out,
              HasSubstr(std::string("\nconsort ") + version_text() + " by: consort sim " + path
                        + " --seed 3\n"));
}

} // namespace
} // namespace consort::cli
