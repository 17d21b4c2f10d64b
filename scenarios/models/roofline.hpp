// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The roofline: a step takes what its arithmetic or its memory traffic takes, whichever is longer,
/// plus a constant. Standard library only; immutable.
///
///   t = c0 + c1 L + c2 rows
///     + max(2 P T / (F mfu), W / (BW eta_w)) / tp       weights: T tokens through P parameters
///     + 4 L d sum(chunk (past + chunk/2)) / (F mfu) / tp attention of prefill
///     + sum(context) kv / (BW eta_kv) / tp              attention of decode
///     + 2 L (hop + 2 (tp-1)/tp T d b / (link eta_link)) all-reduce, tp > 1
///
/// A pipeline of pp stages keeps pp batches in flight, so each holds 1/pp of the sequences and
/// takes the whole model's time on one stage's chips, plus pp hops. An NPU computes the padded
/// shape: the least compiled batch that holds what runs. Memory that computes multiplies one vector
/// at a time: each of T tokens reads its past for every head that asks, on one chip of the tp, a
/// prompt's like a decoded one's, and a batch shares nothing (its mfu says so of the weights).
/// Constants were fitted on published measurements (docs/SIMULATION.md says which, and how far off
/// they are).

#include "scenarios/models/chip_spec.hpp"
#include "scenarios/models/model_shape.hpp"
#include "scenarios/models/step_cost.hpp"

namespace consort::sim {

/// What a spec sheet does not say. The first four are the fitted ones.
struct roofline_constants {
  double c0_us = 4'000; ///< A step's own cost: launches, scheduling, sampling.
  double mfu = 0.45;    ///< Share of the peak arithmetic that is reached.
  double eta_w = 0.85;  ///< Share of the bandwidth that weights are read with.
  double eta_kv = 0.7;  ///< Share of the bandwidth that the KV cache is read with.
  double c1_us = 0;     ///< For each layer.
  double c2_us = 5;     ///< For each sequence.
  double hop_us = 10;   ///< One exchange between chips.
  double eta_link = 1;  ///< Share of the link that exchanges reach.
};

/// Constants of a kind of device: fitted where measurements exist, else the kind's guess.
[[nodiscard]] roofline_constants default_constants(const chip_spec& chip);

/// How many chips work as one, and how.
struct chip_group {
  std::uint32_t tp = 1;
  std::uint32_t pp = 1;
  double link_gb_per_s = 0; ///< 0 = the chip's own.
};

class roofline_cost final : public step_cost {
public:
  /// `batches`: compiled batch sizes, ascending; empty = any.
  roofline_cost(const chip_spec& chip, model_shape shape, chip_group group,
                const roofline_constants& constants, std::vector<std::uint32_t> batches = {});

  [[nodiscard]] double step_us(const step_load& load) const override;
  [[nodiscard]] decode_line line_of(std::uint32_t decoding, double decode_kv) const override;
  [[nodiscard]] double intensity(const step_load& load) const override;

private:
  struct terms {
    double fixed_us = 0, compute_us = 0, weights_us = 0, prefill_us = 0, kv_us = 0, reduce_us = 0;
    [[nodiscard]] double sum() const;
  };
  [[nodiscard]] terms terms_of(double tokens, double rows, double prefill_pairs,
                               double decode_kv) const;
  [[nodiscard]] double padded(double decoding) const;

  model_shape shape_;
  chip_group group_;
  roofline_constants constants_;
  std::vector<std::uint32_t> batches_;
  bool by_vector_ = false;  ///< Memory that computes, see above.
  double flops_per_us_ = 0; ///< Reached, over all tp chips.
  double weight_bytes_per_us_ = 0;
  double kv_bytes_per_token_ = 0; ///< Read for one token of context.
  double kv_bytes_per_us_ = 0;
  double link_bytes_per_us_ = 0;
};

} // namespace consort::sim
