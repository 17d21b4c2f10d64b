// SPDX-License-Identifier: Apache-2.0
// All policies on one trace over one mixed fleet, in virtual time, with the shipped core: prints
// a table. Same arguments, same table. Usage: policy_table
// DEVICE_SPECS.csv TRACE [SPEED [REQUESTS [POLICY...]]]
//   TRACE   CSV of time,prompt,output or JSON lines of Mooncake's form
//   SPEED   how many times faster than the trace the requests come (1)
#include "scheduler/policy/profile.hpp"
#include "tests/quality/policy_world.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace consort::quality {

namespace {

constexpr const char* fleet_names[] = {"H100-SXM", "A100-80G", "A100-80G",    "L40S", "L40S",
                                       "RNGD",     "RNGD",     "Inferentia2", "L4",   "L4"};

void print(const std::string& policy, const figures& of) {
  std::printf("| %-12s | %7.0f | %6.0f / %7.0f | %5.1f / %6.1f | %5.1f | %6.3f | %6.2f | %5.3f | "
              "%4.1f | %3.0f |\n",
              policy.c_str(), of.tokens / of.span_s, of.first_p50_ms, of.first_p99_ms,
              of.gap_p50_ms, of.gap_p99_ms, 100 * of.slo_share, of.joules / of.tokens,
              of.money / of.tokens * 1e6, of.fairness, 100 * of.cached_share, 100 * of.busy_share);
}

std::vector<chip> fleet_of(const std::vector<chip>& known) {
  std::vector<chip> made;
  for (const auto* name : fleet_names)
    for (const auto& one : known)
      if (one.name == name && engine(one).fits())
        made.push_back(one);
  return made;
}

int table(int count, char** words) {
  const auto chips = fleet_of(read_chips(words[1]));
  const auto speed = count > 3 ? std::strtod(words[3], nullptr) : 1.;
  const auto most = count > 4 ? std::strtoul(words[4], nullptr, 10) : 5'000UL;
  auto arrivals = read_arrivals(words[2], most);
  if (chips.empty() || arrivals.empty() || speed <= 0) {
    std::fprintf(stderr, "policy_table: cannot read %s or %s\n", words[1], words[2]);
    return 1;
  }
  for (auto& one : arrivals)
    one.at = static_cast<time_us>(static_cast<double>(one.at) / speed);
  std::vector<std::string> policies(words + std::min(count, 5), words + count);
  if (policies.empty())
    policies = core::policy_words();
  std::printf("%zu requests of %s, %g times as fast\n\n", arrivals.size(), words[2], speed);
  std::puts("| policy | tokens/s | TTFT ms p50 / p99 | ITL ms p50 / p99 | SLO % | J/token | "
            "money/Mtoken | Jain | cached % | busy % |");
  std::puts("|---|---|---|---|---|---|---|---|---|---|");
  for (const auto& policy : policies) {
    print(policy, play_policy(chips, arrivals, policy));
    std::fflush(stdout);
  }
  return 0;
}

} // namespace

} // namespace consort::quality

int main(int count, char** words) {
  if (count >= 3)
    return consort::quality::table(count, words);
  std::fputs("usage: policy_table DEVICE_SPECS.csv TRACE [SPEED [REQUESTS [POLICY...]]]\n", stderr);
  return 2;
}
