// SPDX-License-Identifier: Apache-2.0
#include "scenarios/models/operator_tables.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>

namespace consort::sim {

namespace {

/// How often an operator runs in a whole step.
double runs_of(const std::string& layer, const model_shape& shape) {
  if (layer == "embedding" || layer == "final_layernorm")
    return 1;
  return layer == "layernorm" ? 2.0 * shape.layers : shape.layers;
}

/// The curves of several operators, each with its count, as one: kinks of all are kept.
std::vector<rate_point> folded(const std::map<std::string, std::vector<rate_point>>& curves,
                               const std::function<double(const std::string&)>& runs) {
  std::set<double> sizes;
  for (const auto& [name, points] : curves)
    for (const auto& one : points)
      sizes.insert(one.size);
  std::vector<rate_point> made;
  for (const auto size : sizes) {
    double us = 0;
    for (const auto& [name, points] : curves)
      us += runs(name) * interpolate(points, size, false);
    made.push_back({size, us});
  }
  return made;
}

/// Time of the experts of one layer: `tokens` are spread evenly over all of them.
double expert_us(const std::map<double, std::vector<rate_point>>& tables, const model_shape& shape,
                 double tokens) {
  const double chosen
      = shape.experts
        * (1 - std::pow(1 - double(shape.experts_active) / shape.experts, std::max(tokens, 1.0)));
  const auto of = [&](const auto& entry) { return interpolate(entry->second, chosen, false); };
  const auto above = tables.lower_bound(tokens);
  if (above == tables.begin() || tables.size() == 1)
    return of(tables.begin());
  const auto right = above == tables.end() ? std::prev(above) : above;
  const auto left = std::prev(right);
  return of(left) + (of(right) - of(left)) * (tokens - left->first) / (right->first - left->first);
}

/// A step's prompts as one, tokens.
struct prompt_part {
  double tokens = 0;
  double past = 0;
};

/// What one of `stages` batches in flight has of several chunks: its part of the tokens, and the
/// past that gives its part of the pairs.
prompt_part joined(const std::vector<prefill_chunk>& chunks, double stages) {
  double tokens = 0;
  double pairs = 0;
  for (const auto& one : chunks) {
    tokens += one.tokens;
    pairs += double(one.tokens) * (one.past + one.tokens / 2.0);
  }
  const double part = tokens / stages;
  const double past = tokens == 0 ? 0 : std::max(pairs / tokens - part / 2, 0.0);
  return {part, std::floor(past)};
}

/// What one of `stages` batches in flight has of so many sequences: where they are fewer than
/// stages, some stages stand still.
double in_flight(double sequences, double stages) {
  return sequences == 0 ? 0 : std::max(sequences / stages, 1.0);
}

} // namespace

table_cost::table_cost(std::shared_ptr<const operator_tables> tables, model_shape shape,
                       chip_group group, const roofline_constants& constants)
    : tables_(std::move(tables)), shape_(std::move(shape)), group_(group), constants_(constants) {
  by_tokens_
      = folded(tables_->dense, [this](const std::string& layer) { return runs_of(layer, shape_); });
  by_rows_ = folded(tables_->per_sequence, [](const std::string&) { return 1.0; });
}

/// Everything but attention, of one batch in flight.
double table_cost::flat_us(double tokens, double rows) const {
  double us = constants_.c0_us + constants_.c2_us * rows + interpolate(by_tokens_, tokens, false);
  if (rows > 0)
    us += interpolate(by_rows_, rows, false);
  if (!tables_->experts.empty())
    us += shape_.layers * expert_us(tables_->experts, shape_, tokens);
  if (group_.pp > 1)
    us += group_.pp * constants_.hop_us;
  if (group_.tp > 1) {
    const double link = group_.link_gb_per_s > 0 ? group_.link_gb_per_s : slot_gb_per_s;
    us += 2.0 * shape_.layers
          * (constants_.hop_us
             + 2.0 * (group_.tp - 1) / group_.tp * tokens * shape_.hidden * 2 / (link * 1e3));
  }
  return us;
}

double table_cost::step_us(const step_load& load) const {
  const double stages = group_.pp;
  const auto prompt = joined(load.chunks, stages);
  const double decoding = in_flight(load.decoding, stages);
  const double each = load.decoding == 0 ? 0 : double(load.decode_kv) / load.decoding;
  const double attention = tables_->attention.at({prompt.tokens, prompt.past, decoding, each});
  return std::max(flat_us(decoding + prompt.tokens, in_flight(load.rows, stages))
                      + shape_.layers * attention,
                  1.0);
}

decode_line table_cost::line_of(std::uint32_t decoding, double decode_kv) const {
  const auto& axis = tables_->attention.axis(3);
  const double each = decode_kv / decoding;
  const double batch = in_flight(decoding, group_.pp);
  const auto above = std::upper_bound(axis.begin(), axis.end(), each);
  const double low = above == axis.begin() ? 0 : *(above - 1);
  const double high = above == axis.end() ? 2 * std::max(low, 1.0) : *above;
  const auto us = [&](double kv) {
    return shape_.layers * tables_->attention.at({0, 0, batch, kv});
  };
  decode_line made;
  made.slope_us = (us(high) - us(low)) / ((high - low) * decoding);
  made.base_us = flat_us(batch, batch) + us(low) - made.slope_us * low * decoding;
  if (above != axis.end())
    made.until = high * decoding;
  return made;
}

double table_cost::intensity(const step_load& load) const {
  // A table says nothing about power; what computes draws all of it, what only reads memory less.
  return load.chunks.empty() ? 0.6 : 1.0;
}

} // namespace consort::sim
