// SPDX-License-Identifier: Apache-2.0
#include "scenarios/models/roofline.hpp"

#include <algorithm>

namespace consort::sim {

namespace {

/// Gigabytes a second as bytes a microsecond, teraflops as operations a microsecond.
constexpr double giga_per_us = 1e3;
constexpr double tera_per_us = 1e6;

/// Of a board's range of power: what reading memory draws; of memory that computes, where weights
/// are multiplied at full power, one chip's attention and an exchange (fitted, docs/SIMULATION.md).
constexpr double moving_draw = 0.6;
constexpr double kv_draw = 0.18;
constexpr double link_draw = 0.22;

} // namespace

roofline_constants default_constants(const chip_spec& chip) {
  roofline_constants made;
  if (chip.kind == "npu") {
    made.c0_us = 1'500;
    made.mfu = 0.5;
  } else if (chip.kind == "pim") {
    // Fitted to CENT's devices (tests/fidelity/pim.mjs); the host's part is a guess.
    made.c0_us = 50;
    made.mfu = 0.41; // A pass of one vector's weights takes what reading them does.
    made.eta_w = 0.4;
    made.eta_kv = 0.079;
    made.eta_link = 0.019;
    made.hop_us = 0;
  } else if (chip.kind == "gpu" && chip.link_gb_per_s == 0) {
    // One card in a slot, fitted on the RTX 4090.
    made.c0_us = 1'500;
    made.mfu = 0.8;
    made.eta_w = 0.85;
    made.eta_kv = 0.95;
  } else if (chip.kind == "cpu") {
    made.c0_us = 500;
    made.mfu = 0.4;
    made.eta_w = 0.7;
  }
  return made;
}

double roofline_cost::terms::sum() const {
  return fixed_us + std::max(compute_us, weights_us) + prefill_us + kv_us + reduce_us;
}

roofline_cost::roofline_cost(const chip_spec& chip, model_shape shape, chip_group group,
                             const roofline_constants& constants,
                             std::vector<std::uint32_t> batches)
    : shape_(std::move(shape)), group_(group), constants_(constants), batches_(std::move(batches)) {
  const bool narrow = shape_.weight_bytes_each <= 1 && chip.tops_8 > 0;
  const double bandwidth = chip.memory_gbps * giga_per_us * group_.tp;
  flops_per_us_
      = (narrow ? chip.tops_8 : chip.tflops_16) * tera_per_us * constants_.mfu * group_.tp;
  weight_bytes_per_us_ = bandwidth * constants_.eta_w;
  by_vector_ = chip.kind == "pim";
  const double readers = by_vector_ ? double(shape_.heads) / shape_.kv_heads : 1;
  kv_bytes_per_token_ = shape_.kv_bytes_per_token() * readers;
  // Of several chips that multiply vectors, one has a layer's cache.
  kv_bytes_per_us_ = bandwidth * constants_.eta_kv / (by_vector_ ? group_.tp : 1);
  const double link = group_.link_gb_per_s > 0 ? group_.link_gb_per_s
                      : chip.link_gb_per_s > 0 ? chip.link_gb_per_s
                                               : slot_gb_per_s;
  link_bytes_per_us_ = link * giga_per_us * constants_.eta_link;
}

double roofline_cost::padded(double decoding) const {
  for (const auto batch : batches_)
    if (batch >= decoding)
      return batch;
  return decoding;
}

roofline_cost::terms roofline_cost::terms_of(double tokens, double rows, double prefill_pairs,
                                             double decode_kv) const {
  const double tp = group_.tp;
  const double stages = group_.pp;
  // One of `stages` batches in flight, see the header.
  tokens /= stages;
  rows /= stages;
  terms made;
  made.fixed_us = constants_.c0_us + constants_.c1_us * shape_.layers + constants_.c2_us * rows
                  + (stages > 1 ? stages * constants_.hop_us : 0);
  made.compute_us
      = 2 * (shape_.active_params() * tokens + shape_.head_params() * rows) / flops_per_us_;
  made.weights_us = shape_.touched_bytes(tokens) / weight_bytes_per_us_;
  made.prefill_us = by_vector_ ? prefill_pairs / stages * kv_bytes_per_token_ / kv_bytes_per_us_
                               : 4.0 * shape_.layers * shape_.heads * shape_.head_dim
                                     * prefill_pairs / stages / flops_per_us_;
  made.kv_us = decode_kv / stages * kv_bytes_per_token_ / kv_bytes_per_us_;
  if (group_.tp > 1)
    made.reduce_us = 2.0 * shape_.layers
                     * (constants_.hop_us
                        + 2 * (tp - 1) / tp * tokens * shape_.hidden * 2 / link_bytes_per_us_);
  return made;
}

double roofline_cost::step_us(const step_load& load) const {
  double pairs = 0;
  for (const auto& one : load.chunks)
    pairs += double(one.tokens) * (one.past + one.tokens / 2.0);
  return terms_of(padded(load.decoding) + load.prefill_tokens(), load.rows, pairs,
                  double(load.decode_kv))
      .sum();
}

decode_line roofline_cost::line_of(std::uint32_t decoding, double) const {
  const auto flat = terms_of(padded(decoding), decoding, 0, 0);
  return {flat.sum(), kv_bytes_per_token_ / kv_bytes_per_us_ / group_.pp};
}

double roofline_cost::intensity(const step_load& load) const {
  // Arithmetic draws more than memory traffic does; a step that mostly waits draws little.
  const auto made = terms_of(padded(load.decoding) + load.prefill_tokens(), load.rows, 0,
                             double(load.decode_kv));
  const double drawn = by_vector_
                           ? std::max(made.compute_us, made.weights_us)
                                 + kv_draw * made.kv_us / group_.tp + link_draw * made.reduce_us
                           : made.compute_us + moving_draw * (made.weights_us + made.kv_us);
  return std::clamp(drawn / made.sum(), 0.1, 1.0);
}

} // namespace consort::sim
