// SPDX-License-Identifier: Apache-2.0
#include "cli/api.hpp"
#include "cli/bench_profile.hpp"
#include "cli/commands.hpp"
#include "cli/limits.hpp"
#include "cli/load_client.hpp"
#include "cli/table.hpp"
#include "scenarios/sim/summary.hpp"
#include "scheduler/units.hpp"

#include <CLI/App.hpp>

#include <array>
#include <cstdio>
#include <fstream>
#include <memory>
#include <ostream>

namespace consort::cli {

namespace {

struct bench_options {
  load_options load;
  std::string direct_url;
  std::string profile; ///< File to write what was learned to; empty = a plain load.
};

/// An alias of whatever its server's configuration says.
constexpr const char* default_model = "default";
constexpr std::array<std::pair<const char*, std::uint32_t>, 3> percentiles{
    {{"p50", 500}, {"p90", 900}, {"p99", 990}}};

std::string rate(std::uint64_t count, duration_us span) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f",
                span > 0 ? static_cast<double>(count) * 1e6 / static_cast<double>(span) : 0.0);
  return text.data();
}

json spans_json(const std::vector<duration_us>& sorted) {
  json made;
  for (const auto& [name, per_mille] : percentiles) {
    const auto found = sim::percentile(sorted, per_mille);
    made[std::string(name) + "_us"] = found ? json(*found) : json(nullptr);
  }
  return made;
}

json report_json(const std::string& url, const load_report& report) {
  const auto seconds = static_cast<double>(report.wall_us) / 1e6;
  return {{"url", url},
          {"finished", report.finished},
          {"errors", report.errors},
          {"tokens", report.tokens},
          {"chunks", report.chunks},
          {"wall_us", report.wall_us},
          {"tokens_per_s", static_cast<double>(report.tokens) / seconds},
          {"requests_per_s", static_cast<double>(report.finished) / seconds},
          {"ttft", spans_json(report.first_token_us)},
          {"itl", spans_json(report.token_gap_us)},
          {"e2e", spans_json(report.whole_us)}};
}

void print_report(context& env, const std::string& title, const load_report& report) {
  env.out << title << ": " << report.finished << " finished, " << report.tokens << " tokens in "
          << format_duration(report.wall_us) << "; " << rate(report.tokens, report.wall_us)
          << " tokens/s, " << rate(report.finished, report.wall_us) << " requests/s\n";
  table rows({{""}, {"P50", align::right}, {"P90", align::right}, {"P99", align::right}});
  for (const auto& [name, sorted] :
       {std::pair{"TTFT", &report.first_token_us}, std::pair{"ITL", &report.token_gap_us},
        std::pair{"E2E", &report.whole_us}}) {
    std::vector<std::string> cells{name};
    for (const auto& [label, per_mille] : percentiles) {
      const auto found = sim::percentile(*sorted, per_mille);
      cells.push_back(found ? format_duration(*found) : "");
    }
    rows.add(std::move(cells));
  }
  env.out << rows.render(false, env.colour);
  for (const auto& [kind, count] : report.errors)
    env.out << "errors: " << count << " x " << kind << '\n';
}

exit_code learn(context& env, const bench_options& wanted) {
  const auto learned = learn_profile(wanted.load, run_load);
  if (!learned)
    return complain(env, learned.failure());
  const auto& points = learned->points;
  std::ofstream file(wanted.profile, std::ios::binary);
  file << profile_text(points, profile_origin(wanted.load, learned->device),
                       wanted.load.model == default_model ? "" : wanted.load.model);
  if (!file.flush())
    return complain(
        env, {recovery::refuse, "failed", "cannot write " + wanted.profile + ": check --profile"});
  env.out << wanted.profile << ": " << points.decode.size() << " decode and "
          << points.prefill.size() << " prefill points"
          << (learned->device.empty() ? "" : " of " + learned->device) << '\n';
  return exit_code::done;
}

exit_code bench(context& env, bench_options wanted) {
  const auto url = server_url(env);
  if (!url)
    return complain(env, url.failure());
  wanted.load.api_key = env.options.api_key;
  if (!wanted.profile.empty()) {
    wanted.load.url = *url;
    return learn(env, wanted);
  }
  std::vector<std::pair<std::string, std::string>> runs{{"consort", *url}};
  if (!wanted.direct_url.empty())
    runs.emplace_back("direct", wanted.direct_url);
  json all = json::array();
  bool well = true;
  for (const auto& [title, where] : runs) {
    // The same load, one server after the other: they would compete for this machine otherwise.
    wanted.load.url = where;
    const auto report = run_load(wanted.load);
    if (!report)
      return complain(env, report.failure());
    well = well && report->errors.empty();
    if (env.json())
      all.push_back(report_json(where, *report));
    else
      print_report(env, title, *report);
  }
  if (env.json())
    env.out << json{{"runs", std::move(all)}}.dump(2) << '\n';
  return well ? exit_code::done : exit_code::failed;
}

} // namespace

void add_bench(CLI::App& root, context& env) {
  auto* command
      = root.add_subcommand("bench", "Generate load and measure TTFT, ITL and throughput");
  auto wanted = std::make_shared<bench_options>();
  auto& load = wanted->load;
  load.model = default_model;
  auto* streams = command->add_option("-c,--streams", load.streams,
                                      "Concurrent streams (default 1; 256 with --rate)");
  streams->check(CLI::Range(1U, limits::bench_streams_max));
  command->add_option("-n,--requests", load.requests, "Requests in all (default 16)")
      ->check(CLI::Range(1U, limits::bench_requests_max));
  command
      ->add_option("--rate", load.rate,
                   "Requests per second, coming at random, on at most --streams connections; their "
                   "times count from when they were due (default: each stream sends when it can)")
      ->check(CLI::Range(0.001, limits::bench_rate_max));
  command->add_option("--model", load.model, "Model name (default `default`)");
  command->add_option("--prompt", load.prompt, "Same prompt for every request");
  command->add_option("--input-tokens", load.input_tokens, "Of made-up prompts (default 32)")
      ->check(CLI::Range(1, 1'000'000));
  command->add_option("--max-tokens", load.max_tokens, "Of each answer (default 64)")
      ->check(CLI::Range(1, 1'000'000));
  command->add_option("--device", load.device, "Selector: a type, an id or glob, tag=..., auto");
  command->add_option("--direct", wanted->direct_url, "Another server to put the same load on");
  command->add_option("--profile", wanted->profile,
                      "Learn a device model for the simulator up to --streams and "
                      "--input-tokens, and write it to this file; of the one device that answers, "
                      "so name it with --device where there are several");
  command->callback([&env, wanted, streams] {
    if (wanted->load.rate > 0 && streams->count() == 0)
      wanted->load.streams = limits::bench_rate_streams;
    env.action = [&env, wanted] { return bench(env, *wanted); };
  });
}

} // namespace consort::cli
