// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/summary.hpp"

#include "scenarios/sim/scenario.hpp"
#include "scheduler/units.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cstdio>

namespace consort::sim {

namespace {

constexpr std::array<std::string_view, 5> outcome_words{"finished", "failed", "cancelled",
                                                        "rejected", "expired"};

struct percentile_name {
  const char* suffix;
  std::uint32_t per_mille;
};
constexpr std::array<percentile_name, 4> percentiles{
    {{"p50", 500}, {"p90", 900}, {"p99", 990}, {"max", 1'000}}};
/// Of devices, as their ids begin.
constexpr std::array<const char*, 6> kinds_served{"gpu", "npu", "pim", "cpu", "remote", "hybrid"};
constexpr std::array<const char*, 3> spans{"ttft", "itl", "e2e"};

std::string text(const char* format, double number) {
  std::array<char, 64> buffer{};
  std::snprintf(buffer.data(), buffer.size(), format, number);
  return buffer.data();
}

void add_percentiles(run_summary& summary, const std::string& name, finished_spans::what of) {
  const finished_spans finished(summary, of);
  if (const auto mean = finished.mean_us())
    summary.figures[name + "_mean_ms"] = *mean / 1'000;
  for (const auto& [suffix, per_mille] : percentiles)
    if (const auto found = finished.percentile(per_mille))
      summary.figures[name + "_" + suffix + "_ms"] = static_cast<double>(*found) / 1'000;
}

/// Nothing where no device ever reported: an engine alone tells nobody. Requires: the tokens are
/// in.
void add_spending(run_summary& summary) {
  const auto& spent = summary.spent;
  if (spent.reports == 0)
    return;
  summary.figures["energy_wh"] = spent.energy_mj / 3.6e6;
  summary.figures["energy_requests_wh"] = spent.told_mj / 3.6e6;
  summary.figures["energy_idle_wh"] = spent.idle_mj / 3.6e6;
  if (const auto tokens = summary.figures["tokens"]; tokens > 0)
    summary.figures["joules_per_token"] = spent.energy_mj / 1e3 / tokens;
  summary.figures["power_max_w"] = static_cast<double>(spent.power_mw_max) / 1e3;
  summary.figures["money"] = spent.micros / 1e6;
  summary.figures["remote_money"] = spent.remote_micros / 1e6;
}

std::string first_served_name(const std::string& kind) {
  return "first_served_" + kind + "_s";
}

/// What building cost in time, and when each kind of device gave its first token.
void add_beginnings(run_summary& summary) {
  // Of a live run nobody counted it.
  if (summary.counts.builds == 0 || summary.counts.build_us > 0) {
    summary.figures["build_s"] = static_cast<double>(summary.counts.build_us) / 1e6;
    summary.figures["build_max_s"] = static_cast<double>(summary.counts.build_us_most) / 1e6;
  }
  for (const auto& [kind, at] : summary.first_served)
    summary.figures[first_served_name(kind)] = static_cast<double>(at) / 1e6;
}

/// For the table: ` (15m 24s in all, ...)`, nothing where nothing was built.
std::string build_words(const run_summary& summary) {
  const auto& counts = summary.counts;
  if (counts.build_us == 0)
    return {};
  return " (" + format_duration(counts.build_us) + " in all, "
         + format_duration(counts.build_us_most) + " the longest"
         + (counts.builds_draw ? "" : "; they draw nothing without `compile_w`") + ")";
}

std::string first_served_words(const run_summary& summary) {
  std::string made;
  for (const auto& [kind, at] : summary.first_served)
    made += (made.empty() ? "" : ", ") + kind + " after " + format_duration(at);
  return made;
}

std::string figure(const run_summary& summary, const std::string& name, const char* format) {
  const auto found = summary.figures.find(name);
  return found == summary.figures.end() ? "-" : text(format, found->second);
}

std::string outcome_word(const request_result& one) {
  return one.outcome ? std::string(outcome_words[static_cast<std::size_t>(*one.outcome)]) : "lost";
}

void add_row(std::string& made, const std::string& name, const std::string& figures) {
  made += "  " + name + std::string(name.size() < 14 ? 14 - name.size() : 1, ' ') + figures + "\n";
}

/// The busiest devices, in order of their names; the rest in one row.
void add_devices(std::string& made, const run_summary& summary) {
  std::vector<std::pair<std::uint64_t, std::string>> shown;
  double total = 0;
  for (const auto& [device, tokens] : summary.device_tokens) {
    shown.emplace_back(tokens, device);
    total += static_cast<double>(tokens);
  }
  const auto row = [&](const std::string& name, std::uint64_t tokens) {
    add_row(made, name,
            std::to_string(tokens) + " tokens ("
                + text("%.1f%%", 100 * static_cast<double>(tokens) / total) + ")");
  };
  std::stable_sort(shown.begin(), shown.end(),
                   [](const auto& left, const auto& right) { return left.first > right.first; });
  std::uint64_t rest = 0;
  const auto others = shown.size() - std::min(shown.size(), limits::table_devices_max);
  for (; shown.size() > limits::table_devices_max; shown.pop_back())
    rest += shown.back().first;
  std::sort(shown.begin(), shown.end(),
            [](const auto& left, const auto& right) { return left.second < right.second; });
  for (const auto& [tokens, device] : shown)
    row(device, tokens);
  if (others > 0)
    row(std::to_string(others) + " others", rest);
}

} // namespace

const std::vector<std::string>& summary_metrics() {
  static const auto names = [] {
    std::vector<std::string> made{"requests",     "finished",       "failed",         "cancelled",
                                  "rejected",     "expired",        "lost_requests",  "failovers",
                                  "resumes",      "builds",         "loads",          "tokens",
                                  "tokens_per_s", "requests_per_s", "slo_attainment", "not_served"};
    made.insert(made.end(),
                {"hybrid_requests", "hedges", "preemptions", "cached_share", "ttft_mean_ms",
                 "e2e_mean_ms", "energy_wh", "energy_requests_wh", "energy_idle_wh",
                 "joules_per_token", "power_max_w", "money", "remote_money"});
    made.insert(made.end(), {"build_s", "build_max_s"});
    for (const auto* kind : kinds_served)
      made.push_back(first_served_name(kind));
    for (const auto* span : spans)
      for (const auto& [suffix, per_mille] : percentiles)
        made.push_back(std::string(span) + "_" + suffix + "_ms");
    return made;
  }();
  return names;
}

std::optional<duration_us> percentile(const std::vector<duration_us>& sorted,
                                      std::uint32_t per_mille) {
  if (sorted.empty())
    return std::nullopt;
  // Nearest rank: always a value that really occurred.
  const auto rank = (sorted.size() * per_mille + 999) / 1'000;
  return sorted[std::max<std::size_t>(rank, 1) - 1];
}

finished_spans::finished_spans(const run_summary& summary, what of)
    : all_(of == what::life ? summary.further.lives : summary.further.first_tokens),
      exact_(all_.total() == 0) {
  // Only finished requests: a refusal has no first token, and counting it as fast would flatter.
  for (const auto& one : summary.requests)
    if (one.outcome == request_outcome::finished && one.first_token_at)
      sorted_.push_back((of == what::life ? *one.ended_at : *one.first_token_at)
                        - one.submitted_at);
  std::sort(sorted_.begin(), sorted_.end());
  for (const auto one : sorted_)
    all_.add(one);
}

std::optional<duration_us> finished_spans::percentile(std::uint32_t per_mille) const {
  return exact_ ? sim::percentile(sorted_, per_mille) : all_.percentile(per_mille);
}

std::optional<double> finished_spans::mean_us() const {
  return all_.total() > 0 ? std::optional(all_.mean_us()) : std::nullopt;
}

std::string digest_text(std::uint64_t digest) {
  std::array<char, 17> buffer{};
  std::snprintf(buffer.data(), buffer.size(), "%016llx", static_cast<unsigned long long>(digest));
  return buffer.data();
}

void compute_figures(run_summary& summary, duration_us arrivals_us) {
  auto& figures = summary.figures;
  for (const auto word : outcome_words)
    figures[std::string(word)] = 0;
  double lost = 0;
  double tokens = 0;
  for (const auto& one : summary.requests) {
    if (one.outcome)
      ++figures[outcome_word(one)];
    // An answer that a failure took away is as lost to its client as none at all.
    lost += !one.outcome || *one.outcome == request_outcome::failed ? 1 : 0;
    tokens += one.completion_tokens;
  }
  const auto& further = summary.further;
  double ended = 0;
  for (std::size_t at = 0; at < outcome_words.size(); ++at) {
    const auto count = static_cast<double>(further.outcomes[at]);
    figures[std::string(outcome_words[at])] += count;
    ended += count;
  }
  tokens += static_cast<double>(further.tokens);
  lost
      += static_cast<double>(further.requests) - ended
         + static_cast<double>(further.outcomes[static_cast<std::size_t>(request_outcome::failed)]);
  if (summary.counts.prompt_tokens > 0)
    figures["cached_share"] = static_cast<double>(summary.counts.cached_tokens)
                              / static_cast<double>(summary.counts.prompt_tokens);
  figures["tokens"] = tokens;
  add_spending(summary);
  // What was done while requests arrived: with the drain's tokens any cluster that loses nothing
  // would have the throughput that was asked of it.
  const double seconds = static_cast<double>(arrivals_us) / 1e6;
  figures["requests"] = static_cast<double>(summary.requests.size() + further.requests);
  figures["lost_requests"] = lost;
  figures["not_served"] = figures["failed"] + figures["rejected"] + figures["expired"];
  figures["failovers"] = static_cast<double>(summary.counts.failovers);
  figures["hybrid_requests"] = static_cast<double>(
      std::count_if(summary.requests.begin(), summary.requests.end(), [](const auto& one) {
        return one.device.find("/hybrid") != std::string::npos;
      }));
  figures["preemptions"] = static_cast<double>(summary.counts.preemptions);
  figures["hedges"] = static_cast<double>(summary.counts.hedges);
  figures["resumes"] = static_cast<double>(summary.counts.resumes);
  figures["builds"] = static_cast<double>(summary.counts.builds);
  figures["loads"] = static_cast<double>(summary.counts.loads);
  add_beginnings(summary);
  figures["tokens_per_s"] = static_cast<double>(summary.counts.tokens_in_time) / seconds;
  figures["requests_per_s"] = static_cast<double>(summary.counts.finished_in_time) / seconds;
  add_percentiles(summary, "ttft", finished_spans::what::first_token);
  for (const auto& [suffix, per_mille] : percentiles)
    if (const auto found = summary.token_gaps.percentile(per_mille))
      summary.figures[std::string("itl_") + suffix + "_ms"] = static_cast<double>(*found) / 1'000;
  add_percentiles(summary, "e2e", finished_spans::what::life);
}

std::vector<std::string>
missed_expectations(const run_summary& summary,
                    const std::vector<scenario_expectation>& expectations) {
  std::vector<std::string> missed;
  for (const auto& wanted : expectations) {
    const auto found = summary.figures.find(wanted.metric);
    // No value is a miss, never a pass: a bound that nothing reached proves nothing.
    if (found == summary.figures.end()) {
      missed.push_back(wanted.metric + " is unknown: no request got that far");
      continue;
    }
    const double value = found->second;
    if (wanted.min && value < *wanted.min)
      missed.push_back(wanted.metric + " is " + text("%g", value) + ", expected at least "
                       + text("%g", *wanted.min));
    if (wanted.max && value > *wanted.max)
      missed.push_back(wanted.metric + " is " + text("%g", value) + ", expected at most "
                       + text("%g", *wanted.max));
  }
  return missed;
}

std::string render_summary(const run_summary& summary) {
  std::string made;
  std::string ends;
  for (const auto* name : {"finished", "failed", "cancelled", "rejected", "expired"})
    ends += std::string(", ") + figure(summary, name, "%.0f") + " " + name;
  add_row(made, "requests", figure(summary, "requests", "%.0f") + " submitted" + ends);
  std::string codes;
  for (const auto& [code, count] : summary.codes)
    codes += (codes.empty() ? "" : ", ") + std::to_string(count) + " " + code;
  if (!codes.empty())
    add_row(made, "not served", codes);
  add_row(made, "throughput",
          figure(summary, "tokens_per_s", "%.1f") + " tokens/s, "
              + figure(summary, "requests_per_s", "%.2f") + " requests/s while requests arrived");
  for (const auto& [name, span] :
       {std::pair{"TTFT", "ttft"}, std::pair{"ITL", "itl"}, std::pair{"E2E", "e2e"}}) {
    std::string figures;
    for (const auto& [suffix, per_mille] : percentiles)
      figures += (figures.empty() ? "" : "  ") + std::string(suffix) + " "
                 + figure(summary, std::string(span) + "_" + suffix + "_ms", "%.2f") + " ms";
    add_row(made, name, figures);
  }
  if (summary.figures.count("slo_attainment") > 0)
    add_row(made, "SLO",
            figure(summary, "slo_attainment", "%.4f") + " of the requests got what was promised");
  if (summary.spent.reports > 0)
    add_row(made, "energy, money",
            figure(summary, "energy_wh", "%.1f") + " Wh (requests "
                + figure(summary, "energy_requests_wh", "%.1f") + ", idle "
                + figure(summary, "energy_idle_wh", "%.1f") + "), "
                + figure(summary, "joules_per_token", "%.3f") + " J/token, at most "
                + figure(summary, "power_max_w", "%.0f") + " W; " + figure(summary, "money", "%.4f")
                + " USD, of it " + figure(summary, "remote_money", "%.4f")
                + " for remote services");
  add_row(made, "failovers",
          figure(summary, "failovers", "%.0f") + ", of them " + figure(summary, "resumes", "%.0f")
              + " resumed mid-stream"
              + (summary.counts.preemptions > 0
                     ? "; " + figure(summary, "preemptions", "%.0f") + " made room for others"
                     : std::string()));
  add_row(made, "builds, loads",
          figure(summary, "builds", "%.0f") + build_words(summary) + ", "
              + figure(summary, "loads", "%.0f"));
  if (!summary.first_served.empty())
    add_row(made, "first served", first_served_words(summary));
  add_row(made, "frames",
          std::to_string(summary.counts.frames)
              + (summary.encoded ? " through the codec" : " as values, without the codec"));
  add_devices(made, summary);
  if (summary.decisions_digest != 0)
    made += "decisions: " + digest_text(summary.decisions_digest) + "\n";
  return made + "digest: " + digest_text(summary.run_digest) + "\n";
}

std::optional<std::string> never_kept(const scenario_expectation& wanted) {
  if (wanted.max && *wanted.max < 0)
    return "is below 0, as no figure is";
  const bool share = wanted.metric == "slo_attainment" || wanted.metric == "cached_share";
  if (share && wanted.min && *wanted.min > 1)
    return "is above 1, as no share is";
  return std::nullopt;
}

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\n\r") == std::string::npos)
    return text;
  std::string made = "\"";
  for (const char letter : text)
    made += letter == '"' ? std::string("\"\"") : std::string(1, letter);
  return made + "\"";
}

std::string summary_json(const run_summary& summary, const run_origin& origin) {
  nlohmann::ordered_json made;
  made["scenario"] = summary.scenario;
  made["version"] = origin.version;
  made["command"] = origin.command;
  made["seed"] = summary.seed;
  made["policy"] = summary.policy;
  made["digest"] = digest_text(summary.run_digest);
  if (summary.decisions_digest != 0) {
    made["decisions"] = digest_text(summary.decisions_digest);
    made["encoded"] = summary.encoded;
  }
  made["passed"] = summary.passed();
  made["notes"] = summary.notes;
  made["violations"] = summary.violations;
  made["missed_expectations"] = summary.misses;
  made["virtual_us"] = summary.ended_at;
  made["figures"] = summary.figures;
  made["not_served"] = summary.codes;
  made["device_tokens"] = summary.device_tokens;
  return made.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

std::string requests_csv(const run_summary& summary) {
  std::string made = "request,model,outcome,code,device,attempts,submitted_us,first_token_us,"
                     "ended_us,prompt_tokens,completion_tokens\n";
  const auto time
      = [](const std::optional<time_us>& at) { return at ? std::to_string(*at) : std::string{}; };
  for (const auto& one : summary.requests)
    made += one.external_id + "," + csv_field(one.model) + "," + outcome_word(one) + "," + one.code
            + "," + one.device + "," + std::to_string(one.attempts) + ","
            + std::to_string(one.submitted_at) + "," + time(one.first_token_at) + ","
            + time(one.ended_at) + "," + std::to_string(one.prompt_tokens) + ","
            + std::to_string(one.completion_tokens) + "\n";
  return made;
}

} // namespace consort::sim
