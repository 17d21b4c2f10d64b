// SPDX-License-Identifier: Apache-2.0
// How fast the simulator is, on one core:
//   sim_bench heap [MOST [LEAST]] events a second of the hold model, by pending events
//   sim_bench run SCENARIO        wall and CPU time, requests and events a second, peak memory
//   sim_bench trace FILE          lines a second of a trace reader, peak memory
#include "scenarios/sim/event_heap.hpp"
#include "scenarios/sim/simulation.hpp"

#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <map>
#include <string>

namespace consort::sim {
namespace {

using steady = std::chrono::steady_clock;

double seconds_since(steady::time_point start) {
  return std::chrono::duration<double>(steady::now() - start).count();
}

/// Of the whole process so far: on a shared machine the clock says little.
double cpu_s() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto seconds
      = [](const timeval& span) { return double(span.tv_sec) + double(span.tv_usec) / 1e6; };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

double peak_mib() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  return double(used.ru_maxrss) / 1024;
}

/// The hold model: every event schedules the next of its own, an exponential span later.
struct holder {
  event_heap& heap;
  random_source& chance;
  void again() {
    heap.after(static_cast<duration_us>(chance.exponential() * 1e6), [this] { again(); });
  }
};

int measure_heap(std::size_t most, std::size_t least) {
  std::printf("pending   Mevents/s\n");
  for (std::size_t pending = least; pending <= most; pending *= 10) {
    event_heap heap;
    random_source chance(1, "hold");
    holder one{heap, chance};
    for (std::size_t at = 0; at < pending; ++at)
      one.again();
    const std::size_t events = std::max<std::size_t>(3'000'000, pending);
    const auto start = steady::now();
    for (std::size_t at = 0; at < events; ++at)
      heap.run_next();
    std::printf("%8zu %10.2f\n", pending, double(events) / seconds_since(start) / 1e6);
  }
  return 0;
}

int measure_run(const char* path) {
  const auto loading = steady::now();
  const auto plan = load_scenario(path);
  if (!plan) {
    std::fprintf(stderr, "%s\n", plan.failure().message.c_str());
    return 2;
  }
  run_options options;
  options.seed = plan->seed.value_or(1);
  const double loaded_s = seconds_since(loading);
  const auto start = steady::now();
  const auto seen = run_scenario(*plan, options);
  const double wall_s = seconds_since(start);
  if (seen.input_failure)
    std::fprintf(stderr, "%s\n", seen.input_failure->message.c_str());
  for (const auto& one : seen.violations)
    std::fprintf(stderr, "violated %s\n", one.c_str());
  const double requests = seen.figures.at("requests");
  std::map<std::string, int> codes;
  for (const auto& one : seen.requests)
    if (one.outcome != request_outcome::finished)
      ++codes[one.code];
  for (const auto& [code, count] : codes)
    std::printf("%d not finished: %s\n", count, code.c_str());
  std::printf("%s: %.0f requests, %.0f finished, %.0f tokens, %.1f virtual s in %.3f s (load %.3f "
              "s)\n  %.2f s of CPU, %.0f requests/s, %.2f Mevents/s, %.0fx real time, %.0f MiB, "
              "digest %s\n",
              plan->name.c_str(), requests, seen.figures.at("finished"), seen.figures.at("tokens"),
              double(seen.ended_at) / 1e6, wall_s, loaded_s, cpu_s(), requests / wall_s,
              double(seen.counts.steps) / wall_s / 1e6, double(seen.ended_at) / 1e6 / wall_s,
              peak_mib(), digest_text(seen.run_digest).c_str());
  return seen.violations.empty() && !seen.input_failure ? 0 : 1;
}

int measure_trace(const char* path) {
  auto opened = trace_reader::open(path);
  if (!opened) {
    std::fprintf(stderr, "%s\n", opened.failure().message.c_str());
    return 2;
  }
  const auto start = steady::now();
  std::uint64_t lines = 0;
  std::uint64_t tokens = 0;
  for (;;) {
    auto next = (*opened)->next();
    if (!next) {
      std::fprintf(stderr, "%s\n", next.failure().message.c_str());
      return 2;
    }
    if (!*next)
      break;
    ++lines;
    tokens += (**next).output_tokens;
  }
  const double wall_s = seconds_since(start);
  std::printf("%llu requests, %llu output tokens in %.2f s: %.2f M lines/s, %.1f MiB\n",
              static_cast<unsigned long long>(lines), static_cast<unsigned long long>(tokens),
              wall_s, double(lines) / wall_s / 1e6, peak_mib());
  return 0;
}

} // namespace
} // namespace consort::sim

int main(int count, char** words) {
  using namespace consort::sim;
  if (count >= 2 && std::strcmp(words[1], "heap") == 0)
    return measure_heap(count > 2 ? std::stoul(words[2]) : 1'000'000,
                        count > 3 ? std::max(std::stoul(words[3]), 1UL) : 1'000);
  if (count == 3 && std::strcmp(words[1], "run") == 0)
    return measure_run(words[2]);
  if (count == 3 && std::strcmp(words[1], "trace") == 0)
    return measure_trace(words[2]);
  std::fprintf(stderr, "usage: sim_bench heap [MOST [LEAST]] | run SCENARIO | trace FILE\n");
  return 2;
}
