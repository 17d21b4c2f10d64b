// SPDX-License-Identifier: Apache-2.0
// How good the policies' choices are, against bounds and against the best in hindsight: prints the
// rows of docs/PERFORMANCE.md, "The policies' choices". Same build, same figures; a minute, and ten
// for energy, for which assignments are searched. Usage: policy_quality
// [first-tokens|throughput|prefix|energy ...]
#include "tests/quality/policy_proofs.hpp"

#include <algorithm>
#include <cstdio>
#include <string>

namespace consort::quality {

namespace {

constexpr std::size_t requests = 4'000;
constexpr std::uint64_t first_seed = 11; ///< With it the search is made.

void first_tokens() {
  for (const auto load : {0.5, 0.8}) {
    const auto [ours, theirs] = prove_first_tokens(load, requests);
    std::printf("first tokens at %.0f %%: p99 %.0f ms by latency, %.0f by least-loaded: %.2f "
                "(aim <= 0.5); promises kept %.1f and %.1f %%\n",
                100 * load, ours.first_p99_ms, theirs.first_p99_ms,
                ours.first_p99_ms / theirs.first_p99_ms, 100 * ours.slo_share,
                100 * theirs.slo_share);
  }
}

void throughput() {
  const auto made = prove_throughput(480, 24);
  std::printf("throughput: %.1f s, the best static assignment %.1f s: %.3f of its rate "
              "(aim >= 0.9)\n",
              made.seconds, made.static_seconds, made.static_seconds / made.seconds);
}

void prefix() {
  for (const auto rate : {4., 8.}) {
    const auto made = prove_prefix(700, rate);
    std::printf(
        "prefix, %.0f requests/s: cached %.1f %% by latency, %.1f by prefix-only, %.1f by a "
        "router that sees all caches, at most %.1f: latency %.3f of the router (aim >= "
        "0.95), %.3f of the bound; first token p99 %.0f ms, the router's %.0f\n",
        rate, 100 * made.latency, 100 * made.prefix_only, 100 * made.all_seeing, 100 * made.bound,
        made.latency / made.all_seeing, made.latency / made.bound, made.latency_run.first_p99_ms,
        made.all_seeing_run.first_p99_ms);
  }
}

void energy_at(double load, std::uint64_t seed) {
  constexpr std::size_t plays = 12'000;
  const auto made = prove_energy(load, requests / 2, seed == first_seed ? plays : 0, seed);
  std::printf("energy at %.0f %%, seed %llu: hybrid %.0f J, %.2f of latency's; promises kept %.1f "
              "and %.1f %%: %.3f (aim >= 0.95); %.2f of the lower bound %.0f\n",
              100 * load, static_cast<unsigned long long>(seed), made.hybrid.joules,
              made.hybrid.joules / made.latency.joules, 100 * made.hybrid.slo_share,
              100 * made.latency.slo_share, made.hybrid.slo_share / made.latency.slo_share,
              made.hybrid.joules / made.floor_joules, made.floor_joules);
  if (seed != first_seed)
    return;
  const auto told = [&](const char* what, const figures& of) {
    std::printf("  %-44s %7.0f J (hybrid %.2f of it), kept %.1f %%, busy %.0f %%, first token p99 "
                "%.0f ms, gap p99 %.1f ms, tokens by engine",
                what, of.joules, made.hybrid.joules / of.joules, 100 * of.slo_share,
                100 * of.busy_share, of.first_p99_ms, of.gap_p99_ms);
    for (const auto tokens : of.tokens_by_engine)
      std::printf(" %.0f", tokens);
    std::puts("");
  };
  told("hybrid", made.hybrid);
  told("latency", made.latency);
  told("best found with 0.95 of latency's promises", made.found);
  told("best found with as many as hybrid keeps", made.found_alike);
}

void energy() {
  for (const auto load : {0.2, 0.5, 0.8})
    for (std::uint64_t seed = first_seed; seed < first_seed + 4; ++seed) {
      energy_at(load, seed);
      std::fflush(stdout);
    }
}

int main_of(const std::vector<std::string>& asked) {
  const std::pair<const char*, void (*)()> all[] = {{"first-tokens", first_tokens},
                                                    {"throughput", throughput},
                                                    {"prefix", prefix},
                                                    {"energy", energy}};
  for (const auto& word : asked)
    if (std::none_of(std::begin(all), std::end(all),
                     [&](const auto& one) { return word == one.first; })) {
      std::fputs("usage: policy_quality [first-tokens|throughput|prefix|energy ...]\n", stderr);
      return 2;
    }
  for (const auto& [name, what] : all)
    if (asked.empty() || std::find(asked.begin(), asked.end(), name) != asked.end())
      what();
  return 0;
}

} // namespace

} // namespace consort::quality

int main(int count, char** words) {
  return consort::quality::main_of({words + 1, words + count});
}
