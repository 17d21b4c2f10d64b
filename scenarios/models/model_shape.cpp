// SPDX-License-Identifier: Apache-2.0
#include "scenarios/models/model_shape.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace consort::sim {

namespace {

// clang-format off
// From the published config.json of each; layers, hidden, heads, kv heads, head, ffn, vocabulary,
// experts, of them active, context.
const std::array shapes{
    model_shape{"llama-2-7b", 32, 4096, 32, 32, 128, 11008, 32000, 1, 1, 4096},
    model_shape{"llama-2-13b", 40, 5120, 40, 40, 128, 13824, 32000, 1, 1, 4096},
    model_shape{"llama-2-70b", 80, 8192, 64, 8, 128, 28672, 32000, 1, 1, 4096},
    model_shape{"llama-30b", 60, 6656, 52, 52, 128, 17920, 32000, 1, 1, 2048},
    model_shape{"llama-3.1-8b", 32, 4096, 32, 8, 128, 14336, 128256, 1, 1, 131072},
    model_shape{"llama-3.1-70b", 80, 8192, 64, 8, 128, 28672, 128256, 1, 1, 131072},
    model_shape{"mistral-7b", 32, 4096, 32, 8, 128, 14336, 32000, 1, 1, 32768},
    model_shape{"mixtral-8x7b", 32, 4096, 32, 8, 128, 14336, 32000, 8, 2, 32768},
    model_shape{"qwen3-8b", 36, 4096, 32, 8, 128, 12288, 151936, 1, 1, 40960},
    model_shape{"qwen3-32b", 64, 5120, 64, 8, 128, 25600, 151936, 1, 1, 40960},
    model_shape{"qwen3-30b-a3b", 48, 2048, 32, 4, 128, 768, 151936, 128, 8, 262144},
    model_shape{"gpt-oss-120b", 36, 2880, 64, 8, 64, 2880, 201088, 128, 4, 131072},
    // Its config was not at hand when this was written: unverified.
    model_shape{"minimax-m2.5", 62, 3072, 48, 8, 128, 1536, 200064, 256, 8, 196608},
};
// clang-format on

} // namespace

double model_shape::expert_params() const {
  return 3.0 * hidden * ffn;
}

double model_shape::layer_params() const {
  const double queries = double(heads) * head_dim;
  const double keys = double(kv_heads) * head_dim;
  const double router = experts > 1 ? double(hidden) * experts : 0;
  return hidden * (2 * queries + 2 * keys) + router;
}

double model_shape::active_params() const {
  return layers * (layer_params() + experts_active * expert_params());
}

std::uint64_t model_shape::weight_bytes() const {
  // Input and output embeddings apart: none of these shapes ties them.
  const double params = layers * (layer_params() + experts * expert_params()) + 2 * head_params();
  return static_cast<std::uint64_t>(params * weight_bytes_each);
}

std::uint32_t model_shape::kv_bytes_per_token() const {
  return static_cast<std::uint32_t>(2.0 * layers * kv_heads * head_dim * kv_bytes_each);
}

double model_shape::touched_bytes(double tokens) const {
  double chosen = 1;
  if (experts > 1) // Uniform routing: the chance that none of the tokens chose an expert.
    chosen = experts * (1 - std::pow(1 - double(experts_active) / experts, tokens));
  return (layers * (layer_params() + chosen * expert_params()) + head_params()) * weight_bytes_each;
}

const model_shape* find_model_shape(std::string_view name) {
  const auto* found = std::find_if(shapes.begin(), shapes.end(),
                                   [&](const model_shape& one) { return one.name == name; });
  return found == shapes.end() ? nullptr : found;
}

std::vector<std::string> model_shape_names() {
  std::vector<std::string> names;
  for (const auto& one : shapes)
    names.push_back(one.name);
  return names;
}

model_shape shape_of_sizes(std::uint64_t weight_bytes, std::uint32_t kv_bytes_per_token) {
  model_shape made;
  made.name = "unnamed";
  made.layers = 1;
  made.hidden = 1;
  // One gated block as wide as the weights; 8 KV heads' worth of the cache, queries four times it.
  made.ffn = static_cast<std::uint32_t>(
      std::min<std::uint64_t>(std::max<std::uint64_t>(weight_bytes / 6, 1), 0xffffffffU));
  made.kv_heads = 1;
  made.head_dim = std::max(kv_bytes_per_token / 4, 1U);
  made.heads = 4;
  return made;
}

double bytes_of_dtype(std::string_view word) {
  constexpr std::array<std::pair<std::string_view, double>, 9> words{{{"bf16", 2},
                                                                      {"f16", 2},
                                                                      {"fp16", 2},
                                                                      {"fp8", 1},
                                                                      {"int8", 1},
                                                                      {"q8_0", 1},
                                                                      {"int4", 0.5},
                                                                      {"fp4", 0.5},
                                                                      {"q4", 0.5}}};
  const auto* found = std::find_if(words.begin(), words.end(),
                                   [&](const auto& one) { return one.first == word; });
  return found == words.end() ? 0 : found->second;
}

} // namespace consort::sim
