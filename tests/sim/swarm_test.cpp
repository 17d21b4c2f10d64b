// SPDX-License-Identifier: Apache-2.0
// Goal: drawn scenarios keep the checkers quiet, draws and runs depend on the seed alone, and seeds
// that once failed stay mended.
#include "scenarios/sim/swarm.hpp"

#include "scenarios/sim/simulation.hpp"
#include "scenarios/sim/size_watcher.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

namespace consort::sim {
namespace {

/// CI's release job and people raise it: CONSORT_SWARM_SEEDS=1000.
std::uint64_t seed_count() {
  const char* given = std::getenv("CONSORT_SWARM_SEEDS");
  return given ? std::strtoull(given, nullptr, 10) : 60;
}

std::string failures_of(const swarm_report& report) {
  std::string made;
  for (const auto& one : report.failures) {
    made += "\nseed " + std::to_string(one.seed);
    for (const auto& line : one.violations)
      made += "\n  " + line;
    made += "\n  " + one.drawn;
  }
  return made;
}

swarm_report play(std::uint64_t first, std::uint64_t count, unsigned jobs) {
  swarm_options wanted;
  wanted.first_seed = first;
  wanted.count = count;
  wanted.jobs = jobs;
  return run_swarm(wanted);
}

TEST(Swarm, DrawnScenariosKeepEveryCheckerQuiet) {
  const auto report = play(1, seed_count(), 2);
  EXPECT_TRUE(report.failures.empty()) << failures_of(report);
  EXPECT_GT(report.faults, report.runs);
  EXPECT_GT(report.resumes, 0U) << "faults must hit running streams";
  EXPECT_GT(report.finished, report.requests / 2);
}

TEST(Swarm, TheReportDoesNotDependOnTheNumberOfThreads) {
  const auto one = play(500, 6, 1);
  const auto three = play(500, 6, 3);
  EXPECT_EQ(one.requests, three.requests);
  EXPECT_EQ(one.finished, three.finished);
  EXPECT_EQ(one.failovers, three.failovers);
  EXPECT_EQ(failures_of(one), failures_of(three));
}

TEST(Swarm, DrawsEveryKindOfFaultAndTheSameOnesForTheSameSeed) {
  std::set<std::string_view> seen;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    const auto plan = draw_scenario(seed);
    EXPECT_EQ(describe_scenario(plan), describe_scenario(draw_scenario(seed)));
    for (const auto& fault : plan.faults)
      seen.insert(word_of(fault.kind).word);
  }
  EXPECT_EQ(seen.size(), fault_words.size() - 1) << "all but `forget`, which is a bug on purpose";
  EXPECT_NE(describe_scenario(draw_scenario(1)), describe_scenario(draw_scenario(2)));
}

TEST(Swarm, DrawsConversationsCommonBeginningsClosedLoopsAndModelsOverTwoDevices) {
  int plain = 0;
  std::string all;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    const auto drawn = describe_scenario(draw_scenario(seed));
    plain += drawn.find(" turns") == std::string::npos
             && drawn.find(" clients") == std::string::npos
             && drawn.find("beginnings") == std::string::npos;
    all += drawn;
  }
  for (const auto* habit : {"conversations of 6 turns", "5 common beginnings of ", "a loop of ",
                            "the first over two devices"})
    EXPECT_NE(all.find(habit), std::string::npos) << habit;
  EXPECT_GT(plain, 150) << "most runs go undisturbed by them";
}

TEST(Swarm, DrawsOtherArrivalsAndDevicesAndRulesInSomeRuns) {
  std::set<arrival_process> processes;
  std::set<core::remote_use> uses;
  int groups = 0, caps = 0, sleepers = 0, plans = 0, gathered = 0, plain = 0, poisson = 0;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    const auto drawn = draw_scenario(seed);
    for (const auto& work : drawn.workloads)
      processes.insert(work.drawn.process);
    poisson += drawn.workloads.front().drawn.process == arrival_process::poisson;
    uses.insert(drawn.remote);
    gathered += drawn.gathers_tokens;
    plain += drawn.network.plain;
    for (const auto& node : drawn.nodes)
      for (const auto& device : node.devices) {
        groups += device->group.tp * device->group.pp > 1;
        caps += device->cap_mw > 0;
        sleepers += device->sleep_after_us > 0;
        plans += !device->stages.empty();
      }
  }
  EXPECT_EQ(processes.size(), 6U);
  EXPECT_EQ(uses.size(), 3U);
  for (const auto count : {groups, caps, sleepers, plans, gathered, plain})
    EXPECT_GT(count, 10);
  EXPECT_GT(poisson, 150) << "most runs go without";
}

/// Of 301597 no request fitted anywhere.
TEST(Swarm, SomethingThatIsAskedForFitsSomewhere) {
  for (const std::uint64_t seed : {1, 2, 3, 301597}) {
    const auto drawn = draw_scenario(seed);
    EXPECT_TRUE(std::any_of(drawn.models.begin(), drawn.models.end(), [&](const auto& model) {
      const auto asks = [&](const auto& work) { return work.model == model.name; };
      return largest_kv_tokens(drawn, model) > 0
             && std::any_of(drawn.workloads.begin(), drawn.workloads.end(), asks);
    })) << seed;
  }
}

TEST(Swarm, DrawsEveryKindOfDevice) {
  std::set<std::string> types;
  std::set<std::string> names;
  for (std::uint64_t seed = 1; seed <= 300; ++seed)
    for (const auto& node : draw_scenario(seed).nodes)
      for (const auto& device : node.devices) {
        types.insert(device->type);
        names.insert(device->name);
      }
  EXPECT_EQ(types, (std::set<std::string>{"cpu", "gpu", "hybrid", "npu", "pim", "remote"}));
  for (const auto& name : device_model_names())
    EXPECT_EQ(names.count(name), 1U) << name << ": every chip of the table";
}

TEST(Swarm, SeedsThatOnceFailedStayMended) {
  std::ifstream file(CONSORT_SOURCE_DIR "/tests/sim/regressions.txt");
  ASSERT_TRUE(file);
  std::string line;
  int seeds = 0;
  while (std::getline(file, line)) {
    if (line.empty() || line.front() == '#')
      continue;
    std::istringstream words(line);
    std::uint64_t seed = 0;
    std::string cause;
    words >> seed >> cause;
    ASSERT_FALSE(cause.empty()) << "a seed without its cause: " << line;
    ++seeds;
    const auto report = play(seed, 1, 1);
    EXPECT_TRUE(report.failures.empty()) << line << failures_of(report);
  }
  EXPECT_GT(seeds, 0);
}

} // namespace
} // namespace consort::sim
