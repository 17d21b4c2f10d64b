// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Recorded traces, one request a line, read as they are wanted. The format is known by itself: CSV
/// by the names in its header, JSON lines by their keys.
///
///   Azure 2023     TIMESTAMP (date and time), ContextTokens, GeneratedTokens
///   Mooncake       timestamp (ms), input_length, output_length, hash_ids (blocks of 512 tokens)
///   LLMServingSim  timestamp_ns or arrival_ns, input_length or input_toks, ..., hash_ids_blk16
///   Consort        submitted_us, prompt_tokens, completion_tokens: `requests.csv` of a run
///   OpenAI-style   created or timestamp (s), usage.prompt_tokens, usage.completion_tokens; where
///                  there is no usage, four bytes of message text are a token, and max_tokens
///   BurstGPT       Timestamp (s), Request tokens, Response tokens
///   any CSV        a column each of the names above, or arrived_at, time_s, num_prefill_tokens
///   ...;
///                  cells may be quoted, dates may have a zone
///
/// Times count from the first line. A line whose time goes back, a figure that is no number, or is
/// negative, or absurd, is an error that names file, line and field.

#include "scenarios/workloads/arrival.hpp"
#include "scenarios/workloads/flat_json.hpp"
#include "scenarios/workloads/line_source.hpp"

#include <array>

namespace consort::sim {

class trace_reader final : public arrival_source {
public:
  /// Opens the file and reads its header.
  [[nodiscard]] static result<arrival_source_ptr> open(const std::string& path);

  [[nodiscard]] result<std::optional<arrival>> next() override;

private:
  enum field : std::size_t { time, input, output, fields };

  explicit trace_reader(line_source lines) : lines_(std::move(lines)) {}
  [[nodiscard]] std::optional<error> read_header();
  [[nodiscard]] std::optional<error> read_row(arrival& out, double& time_us);
  [[nodiscard]] std::optional<error> read_json(arrival& out, double& time_us);
  [[nodiscard]] std::optional<error> set_tokens(std::string_view name, double value,
                                                std::uint32_t& out) const;
  [[nodiscard]] std::optional<double> json_number(std::string_view name) const;

  line_source lines_;
  std::string line_;
  bool pending_ = false; ///< `line_` was read and not yet used.
  bool csv_ = false;
  std::array<std::size_t, fields> columns_{};
  std::size_t header_columns_ = 0; ///< All that there are.
  std::array<std::string, fields> names_;
  double time_unit_us_ = 1; ///< 0 = date and time, which other columns may hold too.
  flat_json json_;
  std::optional<double> first_us_;
  double last_us_ = 0;
};

/// A trace through a lens: `skip` of its beginning is left out, what is left is as long as `take`,
/// runs `speed` times as fast, `repeat` times in a row.
struct trace_lens {
  duration_us skip_us = 0;
  duration_us take_us = 0; ///< 0 = all.
  double speed = 1;
  std::uint32_t repeat = 1;
  double input_scale = 1; ///< Of prompt tokens; other than 1 it drops prefixes.
  double output_scale = 1;
};

/// Several traces, one behind the other, each through the same lens.
[[nodiscard]] result<arrival_source_ptr> open_traces(std::vector<std::string> paths,
                                                     const trace_lens& lens);

} // namespace consort::sim
