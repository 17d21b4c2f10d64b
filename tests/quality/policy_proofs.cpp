// SPDX-License-Identifier: Apache-2.0
#include "tests/quality/policy_proofs.hpp"

#include "scheduler/prng.hpp"
#include "tests/quality/policy_search.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace consort::quality {

namespace {

constexpr std::uint64_t rate_seed = 7, run_seed = 11; // And of prove_energy.
/// Requests a second that `throughput` got through on the sleepy fleet when joules were measured
/// first. A thousandth more or less moves what `hybrid` keeps by some percent, one way or the
/// other.
constexpr double sleepy_rate = 13.102;

/// Memory GB, GB/s, TFLOPS in 16 bits, W at most, W idle, money an hour; as makers publish them.
struct published {
  const char* name;
  const char* kind;
  std::array<double, 6> figures;
};
constexpr published chips[] = {{"H100", "gpu", {80, 3'350, 989, 700, 70, 2.5}},
                               {"A100", "gpu", {80, 2'039, 312, 400, 55, 1.3}},
                               {"L40S", "gpu", {48, 864, 362, 350, 35, 0.87}},
                               {"L4", "gpu", {24, 300, 121, 72, 15, 0.6}},
                               {"RNGD", "npu", {48, 1'500, 256, 180, 35, 0.6}},
                               {"Inferentia2", "npu", {32, 880, 190, 175, 43.75, 0.76}}};

double unit(core::prng& chance) {
  return (static_cast<double>(chance.below(1'000'000)) + 0.5) / 1e6;
}

/// About normal: the sum of twelve.
double normal(core::prng& chance) {
  double sum = -6;
  for (int i = 0; i < 12; ++i)
    sum += unit(chance);
  return sum;
}

std::uint32_t length(core::prng& chance, double median, double sigma, double most) {
  return static_cast<std::uint32_t>(
      std::clamp(median * std::exp(sigma * normal(chance)), 4., most));
}

duration_us pause(core::prng& chance, double rate) {
  return static_cast<duration_us>(-std::log(unit(chance)) / rate * 1e6);
}

} // namespace

chip known_chip(const std::string& name) {
  const auto* found = std::find_if(std::begin(chips), std::end(chips),
                                   [&](const published& one) { return name == one.name; });
  const auto& [memory, bandwidth, flops, most, idle, price] = found->figures;
  chip made;
  made.name = found->name;
  made.kind = found->kind;
  made.memory_gb = memory;
  made.bandwidth_gbps = bandwidth;
  made.tflops = flops;
  made.tdp_w = most;
  made.idle_w = idle;
  made.price = price;
  return made;
}

std::vector<chip> mixed_fleet() {
  std::vector<chip> made;
  for (const auto* name :
       {"H100", "A100", "A100", "L40S", "L40S", "RNGD", "RNGD", "Inferentia2", "L4", "L4"})
    made.push_back(known_chip(name));
  return made;
}

std::vector<chip> sleepy_fleet() {
  std::vector<chip> made;
  for (const auto* name : {"A100", "L40S", "RNGD", "Inferentia2"}) {
    made.push_back(known_chip(name));
    made.back().sleep_w = made.back().idle_w / 5;
    made.back().sleep_after_us = 5 * core::limits::second_us;
    made.back().wake_us = core::limits::second_us / 2;
  }
  return made;
}

std::vector<arrival> conversations(std::size_t count, double rate, std::uint64_t seed) {
  core::prng chance(seed);
  std::vector<arrival> made(count);
  time_us at = 0;
  for (auto& one : made) {
    one.at = at += rate > 0 ? pause(chance, rate) : 0;
    one.prompt = length(chance, 800, 0.8, 6'000);
    one.output = length(chance, 150, 0.8, 800);
  }
  return made;
}

double saturated_rate(const std::vector<chip>& fleet, std::size_t count) {
  const auto made = play_policy(fleet, conversations(count, 0, rate_seed), "throughput");
  return static_cast<double>(count) / made.span_s;
}

first_token_proof prove_first_tokens(double load, std::size_t count) {
  const auto fleet = mixed_fleet();
  const auto work = conversations(count, load * saturated_rate(fleet, count / 2), run_seed);
  return {play_policy(fleet, work, "latency", count / 4),
          play_policy(fleet, work, "least-loaded", count / 4)};
}

throughput_proof prove_throughput(std::size_t each, std::size_t grains) {
  const std::vector<chip> fleet{known_chip("A100"), known_chip("L40S"), known_chip("RNGD")};
  const arrival reads{0, 3'000, 32, {}}, writes{0, 200, 300, {}};
  std::vector<arrival> work;
  const auto put = [&](time_us at, std::size_t pairs) {
    for (std::size_t i = 0; i < pairs; ++i)
      for (auto one : {reads, writes}) {
        one.at = at;
        work.push_back(one);
      }
  };
  // The same before, so that the core knows the engines; an hour later all is over.
  put(0, each / 2);
  put(3'600 * core::limits::second_us, each);
  return {play_policy(fleet, work, "throughput", each / 2 * 2).span_s,
          best_static_s(fleet, reads, writes, each, grains)};
}

prefix_proof prove_prefix(std::size_t sessions, double rate) {
  constexpr std::size_t beginnings = 24, turns = 6, beginning_blocks = 4, turn_blocks = 2;
  core::prng chance(run_seed);
  std::vector<arrival> work;
  std::uint64_t fresh = 1'000'000;
  time_us begins = 0;
  for (std::size_t one = 0; one < sessions; ++one) {
    begins += pause(chance, rate / turns);
    auto at = begins;
    // The lower of two: some beginnings are everybody's.
    const auto which = std::min(chance.below(beginnings), chance.below(beginnings));
    std::vector<std::uint64_t> blocks;
    for (std::size_t i = 0; i < beginning_blocks; ++i)
      blocks.push_back(1 + which * beginning_blocks + i);
    for (std::size_t turn = 0; turn < turns; ++turn) {
      for (std::size_t i = 0; i < turn_blocks; ++i)
        blocks.push_back(++fresh);
      const auto prompt = static_cast<std::uint32_t>(blocks.size()) * block_tokens + 100;
      work.push_back({at, prompt, length(chance, 120, 0.5, 400), blocks});
      at += 15 * core::limits::second_us + pause(chance, 0.1);
    }
  }
  std::stable_sort(work.begin(), work.end(),
                   [](const arrival& a, const arrival& b) { return a.at < b.at; });
  const auto fleet = mixed_fleet();
  const auto skip = work.size() / 4;
  prefix_proof made;
  made.latency_run = play_policy(fleet, work, "latency", skip);
  made.all_seeing_run = play_rule(fleet, work, most_cached, skip);
  made.latency = made.latency_run.cached_share;
  made.prefix_only = play_policy(fleet, work, "prefix-only", skip).cached_share;
  made.all_seeing = made.all_seeing_run.cached_share;
  made.bound = pooled_cache_bound(fleet, work, skip);
  return made;
}

energy_proof prove_energy(double load, std::size_t count, std::size_t plays, std::uint64_t seed) {
  const auto fleet = sleepy_fleet();
  const auto work = conversations(count, load * sleepy_rate, seed);
  const auto skip = count / 4;
  energy_proof made;
  made.latency = play_policy(fleet, work, "latency", skip);
  made.hybrid = play_policy(fleet, work, "hybrid", skip);
  made.floor_joules = joules_floor(fleet, work, skip, made.hybrid.span_s);
  if (plays == 0)
    return made;
  std::vector<assignment> starts{made.latency.engine_of, made.hybrid.engine_of,
                                 play_policy(fleet, work, "energy", skip).engine_of};
  const auto kept = 0.95 * made.latency.slo_share;
  for (const auto share : {kept, made.hybrid.slo_share})
    if (auto by_rule = best_found(fleet, work, skip, share); by_rule.joules > 0)
      starts.push_back(std::move(by_rule.engine_of));
  made.found = best_searched(fleet, work, skip, kept, starts, plays, seed);
  made.found_alike = best_searched(fleet, work, skip, made.hybrid.slo_share, starts, plays, seed);
  return made;
}

} // namespace consort::quality
