// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What a run amounts to: one record per request, and the figures that tables, summary.json and
/// `expect` are made of. Filled by the recorder, read-only afterwards.

#include "scenarios/sim/span_histogram.hpp"
#include "scheduler/requests.hpp"

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace consort::sim {

struct scenario_expectation;
struct timeline;

/// One request as its client saw it.
struct request_result {
  std::string external_id;
  std::string model;
  time_us submitted_at = 0;
  std::optional<time_us> first_token_at;
  std::optional<time_us> ended_at;
  std::optional<request_outcome> outcome; ///< Empty = never answered.
  std::string code;
  std::string device; ///< Of the last attempt.
  std::uint32_t attempts = 0;
  std::uint32_t prompt_tokens = 0;
  std::uint32_t completion_tokens = 0;
};

/// Counts of what happened inside.
struct run_counts {
  std::uint64_t failovers = 0;   ///< Tickets granted beyond a request's first, hedges apart.
  std::uint64_t resumes = 0;     ///< Of these, after text was already sent.
  std::uint64_t preemptions = 0; ///< Attempts that made room, each a ticket more; of the
                                 ///< scheduler's last life.
  std::uint64_t builds = 0;
  duration_us build_us = 0;      ///< Of all builds together, those under way at the end too.
  duration_us build_us_most = 0; ///< Of one.
  bool builds_draw = false;      ///< The scenario says what power a build takes.
  std::uint64_t loads = 0;
  std::uint64_t hedges = 0;        ///< Tickets beside an attempt that was late.
  std::uint64_t prompt_tokens = 0; ///< Of attempts that came to their end.
  std::uint64_t cached_tokens = 0; ///< Of these, found in an engine's cache.
  std::uint64_t frames = 0;
  std::uint64_t steps = 0; ///< Of virtual time.
};

/// What devices said of their power and money, added up over their processes.
struct run_spending {
  std::uint64_t reports = 0;
  double energy_mj = 0;
  double charged_mj = 0; ///< Of it, what attempts drew above idle power.
  double idle_mj = 0;    ///< And the rest.
  double told_mj = 0;    ///< What nodes told of attempts that ended, cancelled ones too.
  std::uint64_t attempts_told = 0, attempts_unknown = 0;
  double micros = 0;              ///< Money, of devices: by the hour, or by the token.
  double remote_micros = 0;       ///< Of it, for services elsewhere.
  std::uint64_t power_mw_max = 0; ///< Of all devices at one moment, each by its last report.
};

/// Requests that are not kept one by one.
struct run_tally {
  std::uint64_t requests = 0;
  std::uint64_t tokens = 0;
  std::array<std::uint64_t, 5> outcomes{}; ///< By request_outcome; unanswered ones are in none.
  span_histogram first_tokens;             ///< Of finished ones.
  span_histogram lives;                    ///< Likewise.
};

struct run_summary {
  std::string scenario;
  std::uint64_t seed = 0;
  std::string policy;
  time_us ended_at = 0;         ///< When the liveness phase was over.
  std::uint64_t run_digest = 0; ///< Of all that crossed the network, byte by byte where encoded.
  std::uint64_t decisions_digest = 0; ///< Of what the scheduler decided and when; the same encoded
                                      ///< or not. 0 = no scheduler took part.
  bool encoded = true;                ///< Whether frames went through the codec.
  run_counts counts;
  run_spending spent;
  std::vector<request_result> requests;  ///< In order of submission; at most records_max.
  run_tally further;                     ///< The others.
  span_histogram token_gaps;             ///< Every gap between tokens of one stream.
  std::map<std::string, double> figures; ///< By the names of summary_metrics().
  std::map<std::string, std::uint64_t> device_tokens;
  std::map<std::string, time_us> first_served; ///< When the first device of a kind gave a token.
  std::shared_ptr<const timeline> course;      ///< Null unless it was asked for.
  std::map<std::string, std::uint64_t> codes;  ///< Why requests were not served, with counts.
  std::optional<error> input_failure;          ///< A trace that could not be read to its end.
  std::vector<std::string> notes;              ///< On what was refused, cut or left out.
  std::vector<std::string> violations;         ///< Of checkers.
  std::vector<std::string> misses;             ///< Of expectations.

  [[nodiscard]] bool passed() const {
    return violations.empty() && misses.empty() && !input_failure;
  }
};

/// Names of the figures that a scenario may bound.
[[nodiscard]] const std::vector<std::string>& summary_metrics();

/// Computes `figures` from the rest.
void compute_figures(run_summary& summary, duration_us arrivals_us);

/// Compares figures with bounds. Returns: one line per missed bound.
[[nodiscard]] std::vector<std::string>
missed_expectations(const run_summary& summary,
                    const std::vector<scenario_expectation>& expectations);

/// What no run could keep. Returns: why not, or nothing.
[[nodiscard]] std::optional<std::string> never_kept(const scenario_expectation& wanted);

/// The value below which `per_mille` of sorted values lie (nearest rank); nullopt when empty.
[[nodiscard]] std::optional<duration_us> percentile(const std::vector<duration_us>& sorted,
                                                    std::uint32_t per_mille);

/// Spans of finished requests, those that were kept one by one and the others: exact where every
/// one was kept, else of a histogram.
class finished_spans {
public:
  enum class what : std::uint8_t { first_token, life };
  finished_spans(const run_summary& summary, what of);

  [[nodiscard]] std::optional<duration_us> percentile(std::uint32_t per_mille) const;
  [[nodiscard]] std::optional<double> mean_us() const;

private:
  std::vector<duration_us> sorted_;
  span_histogram all_;
  bool exact_;
};

/// The digest as people compare it: 16 hex digits.
[[nodiscard]] std::string digest_text(std::uint64_t digest);

/// For people.
[[nodiscard]] std::string render_summary(const run_summary& summary);
/// What made a run, for figures that outlive the terminal.
struct run_origin {
  std::string version;
  std::string command; ///< Plays the same run again.
};
/// A cell that may hold commas, quotes and line ends.
[[nodiscard]] std::string csv_field(const std::string& text);
/// `summary.json` and `requests.csv` of `--out`. What is no UTF-8 is replaced: paths may be any
/// bytes.
[[nodiscard]] std::string summary_json(const run_summary& summary, const run_origin& origin);
[[nodiscard]] std::string requests_csv(const run_summary& summary);

} // namespace consort::sim
