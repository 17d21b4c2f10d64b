// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Measured latencies of a model's operators on a device, and the step times made of them. The
/// tables are one folder of CSV files, microseconds for one layer of one rank:
///
///   dense.csv         layer,tokens,time_us            GEMMs, norms, activation ... by tokens
///   per_sequence.csv  layer,sequences,time_us         output head and sampler, by sampled rows
///   attention.csv     prefill_chunk,kv_prefill,n_decode,kv_decode,time_us   kv of each sequence
///   moe.csv           tokens,activated_experts,time_us   only of mixtures of experts
///
/// The first line names the columns, in any order. Lines that begin with `#` are comments; those of
/// dense.csv may say what was measured (read_measurement()).
///
/// Between measured points everything is interpolated, beyond them extrapolated in a line. A norm
/// runs twice in a layer, `embedding` and `final_layernorm` once in a step, the rest once in a
/// layer. Of a pipeline of pp stages a step is one of pp batches in flight, as the roofline has it
/// (roofline.hpp). Standard library only; immutable after load.

#include "scenarios/models/rates_cost.hpp"
#include "scenarios/models/roofline.hpp"

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

namespace consort::sim {

/// Values over a grid of four axes, with holes filled from their lower neighbour.
class attention_grid {
public:
  static constexpr std::size_t axes_count = 4;
  using place = std::array<double, axes_count>;

  void add(const place& at, double us) { cells_[at] = us; }
  /// Makes axes and fills holes. Call once, after the last add().
  void finish();
  [[nodiscard]] bool empty() const { return values_.empty(); }
  [[nodiscard]] double at(const place& where) const;
  /// The measured values of one axis, ascending.
  [[nodiscard]] const std::vector<double>& axis(std::size_t number) const { return axes_[number]; }

private:
  [[nodiscard]] std::size_t offset(const std::array<std::size_t, axes_count>& cell) const;

  std::map<place, double> cells_; ///< Until finish().
  std::array<std::vector<double>, axes_count> axes_;
  std::vector<double> values_;
};

class operator_tables {
public:
  /// The text of one of the files above; nothing when there is none.
  using text_of = std::function<std::optional<std::string>(const std::string& name)>;
  /// Reads them all. Returns: null with `error` naming file and line, when something is wrong.
  [[nodiscard]] static std::shared_ptr<const operator_tables> load(const text_of& file,
                                                                   std::string& error);

  measurement of;
  /// Layer name and time by tokens.
  std::map<std::string, std::vector<rate_point>> dense;
  std::map<std::string, std::vector<rate_point>> per_sequence;
  attention_grid attention;
  /// Of mixtures: time by activated experts, for each measured number of tokens.
  std::map<double, std::vector<rate_point>> experts;
};

class table_cost final : public step_cost {
public:
  /// Constants used: c0_us, c2_us, hop_us, and the group's link for all-reduce. Of the group, `tp`
  /// exchanges only: the tables are of one of its ranks.
  table_cost(std::shared_ptr<const operator_tables> tables, model_shape shape, chip_group group,
             const roofline_constants& constants);

  [[nodiscard]] double step_us(const step_load& load) const override;
  [[nodiscard]] decode_line line_of(std::uint32_t decoding, double decode_kv) const override;
  [[nodiscard]] double intensity(const step_load& load) const override;

private:
  [[nodiscard]] double flat_us(double tokens, double rows) const;

  std::shared_ptr<const operator_tables> tables_;
  model_shape shape_;
  chip_group group_;
  roofline_constants constants_;
  /// All per-token operators of a whole step folded into one curve.
  std::vector<rate_point> by_tokens_;
  std::vector<rate_point> by_rows_;
};

} // namespace consort::sim
