// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Recorded traces, one request a line, read as they are wanted. The format is known by itself: CSV
/// by the names in its header, JSON lines by their keys.
///
///   Azure 2023     TIMESTAMP (date and time), ContextTokens, GeneratedTokens
///   Mooncake       timestamp (ms), input_length, output_length, hash_ids (blocks of 512 tokens)
///   LLMServingSim  timestamp_ns or arrival_ns, input_length or input_toks, ..., hash_ids_blk16
///   Consort        submitted_us, prompt_tokens, completion_tokens: `requests.csv` of a run
///   OpenAI-style   created, created_at or timestamp, usage.prompt_tokens or .input_tokens, and
///                  usage.completion_tokens or .output_tokens; of a request without usage four
///                  bytes of text are a token (messages, content parts, prompt, input,
///                  instructions), and its answer is max_completion_tokens, max_output_tokens or
///                  max_tokens long, 128 where it says nothing
///   BurstGPT       Timestamp (s), Request tokens, Response tokens
///   any CSV        a column each of the names above, or arrived_at, time_s, num_prefill_tokens
///   ...;
///                  cells may be quoted, dates may have a zone
///
/// Names that say a unit have it. `timestamp` counts milliseconds, the other names seconds; but a
/// first number of 1e9 or more is a Unix time, in CSV as in JSON lines: seconds below 1e11,
/// milliseconds below 1e14, microseconds below 1e17, else nanoseconds.
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

  struct told_time {
    double us = 0;
    std::string wrong; ///< Why it is no time; empty = it is one.
  };

  explicit trace_reader(line_source lines) : lines_(std::move(lines)) {}
  [[nodiscard]] std::optional<error> read_header();
  [[nodiscard]] std::optional<error> read_row(arrival& out, double& time_us);
  [[nodiscard]] std::optional<error> read_json(arrival& out, double& time_us);
  [[nodiscard]] std::optional<error> read_json_time(double& time_us);
  [[nodiscard]] told_time number_time(std::size_t which, double value);
  [[nodiscard]] static told_time date_time(const std::string& text);
  [[nodiscard]] std::optional<error> read_json_tokens(arrival& out);
  [[nodiscard]] double json_text() const;
  [[nodiscard]] std::optional<std::pair<std::string_view, double>> json_bound() const;
  [[nodiscard]] double in_us(std::size_t column, double value);
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
  std::size_t time_column_ = 0;        ///< Which of the known names; dates stand in any of them.
  std::optional<double> time_unit_us_; ///< Of its numbers; unset before the first.
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
