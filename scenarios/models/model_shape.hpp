// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The shape of a transformer: all that time and memory depend on. Standard library only; values.
/// Parameters are counted from the shape, so that weights, work and KV cache agree.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace consort::sim {

struct model_shape {
  std::string name;
  std::uint32_t layers = 0;
  std::uint32_t hidden = 0;
  std::uint32_t heads = 0;
  std::uint32_t kv_heads = 0;
  std::uint32_t head_dim = 0;
  std::uint32_t ffn = 0; ///< Inner width of one expert, or of the one there is; gated.
  std::uint32_t vocab = 0;
  std::uint32_t experts = 1;
  std::uint32_t experts_active = 1; ///< Of them for each token.
  std::uint32_t context = 0;        ///< Tokens.
  double weight_bytes_each = 2;     ///< 2 = bf16, 1 = fp8 or int8, 0.5 = 4 bits.
  double kv_bytes_each = 2;

  /// Parameters of one layer that every token passes.
  [[nodiscard]] double layer_params() const;
  /// Parameters of one expert of one layer.
  [[nodiscard]] double expert_params() const;
  /// Parameters that one token is multiplied with, the output head aside.
  [[nodiscard]] double active_params() const;
  [[nodiscard]] double head_params() const { return double(vocab) * hidden; }
  [[nodiscard]] std::uint64_t weight_bytes() const;
  [[nodiscard]] std::uint32_t kv_bytes_per_token() const;
  /// Bytes of weights read by a step of `tokens`: of a mixture only the experts that were chosen.
  [[nodiscard]] double touched_bytes(double tokens) const;
};

/// The published shape of that name, or null.
[[nodiscard]] const model_shape* find_model_shape(std::string_view name);
[[nodiscard]] std::vector<std::string> model_shape_names();
/// A plausible shape for a model known only by its sizes: one layer that holds it all.
[[nodiscard]] model_shape shape_of_sizes(std::uint64_t weight_bytes,
                                         std::uint32_t kv_bytes_per_token);
/// Bytes of one number: `bf16`, `f16`, `fp8`, `int8`, `q8_0`, `int4`, `q4`; 0 = unknown word.
[[nodiscard]] double bytes_of_dtype(std::string_view word);

} // namespace consort::sim
