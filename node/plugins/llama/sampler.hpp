// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Picks the next token from logits. Greedy at temperature 0 (ties: the lowest id). Otherwise:
/// bias and penalties, temperature, top_k, top_p, min_p, then one draw. The draw for token k
/// depends on (seed, k) alone, so a resumed stream goes on as it would have. Single-threaded.

#include "node/plugins/llama/vocabulary.hpp"

#include <cstdint>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

namespace consort::llama {

/// What a client may ask for, as OpenAI and llama.cpp name it.
struct sampling_options {
  float temperature = 1.0F;
  float top_p = 1.0F;
  float min_p = 0.0F;
  std::uint32_t top_k = 0; ///< 0 = all.
  float repeat_penalty = 1.0F;
  float presence_penalty = 0.0F;
  float frequency_penalty = 0.0F;
  std::uint64_t seed = 0;
  std::vector<std::pair<llama_token, float>> logit_bias;
};

class sampler {
public:
  /// `seed` is this choice's own; `prompt` is what a repeat penalty counts besides its output.
  sampler(const sampling_options& options, std::uint64_t seed, std::span<const llama_token> prompt);

  /// Returns: the next token. Requires: one logit per token of the vocabulary.
  [[nodiscard]] llama_token pick(std::span<const float> logits);
  /// Tells it what became of the output, picked here or by an earlier attempt.
  void accept(llama_token token);

private:
  struct candidate {
    float weight; ///< A logit first, then a share of the probability.
    llama_token token;
  };
  void adjust(std::span<float> logits) const;
  llama_token draw(std::span<const float> logits);
  void keep_top_k();
  void keep_top_p();
  [[nodiscard]] double uniform() const;

  sampling_options options_;
  std::uint64_t seed_;
  std::uint64_t accepted_ = 0;
  bool adjusts_;
  std::unordered_map<llama_token, std::uint32_t> output_; ///< Occurrences; order never matters.
  std::unordered_map<llama_token, bool> seen_;            ///< Prompt and output, for repeats.
  std::vector<float> adjusted_;
  std::vector<candidate> candidates_;
};

/// Index of the greatest value; the first of equals. Requires: not empty.
[[nodiscard]] llama_token greatest(std::span<const float> logits);

} // namespace consort::llama
