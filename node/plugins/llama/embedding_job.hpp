// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A client's request for embeddings as a value that the engine can run, and what it made as the
/// client reads it. Pure but for the clock.

#include "node/plugins/llama/request.hpp"
#include "node/plugins/llama/vocabulary.hpp"

#include <chrono>
#include <span>

namespace consort::llama {

/// What must be known of the loaded model.
struct embedding_facts {
  std::uint32_t width = 0;                ///< Numbers in a vector.
  std::uint32_t tokens_max = 0;           ///< Of one input.
  std::vector<std::string> adapters = {}; ///< Names that a body may ask for as its `model`.
};

struct embedding_job {
  std::uint64_t id = 0;
  std::vector<token_list> inputs;
  bool base64 = false;
  std::uint32_t adapter = 0; ///< Counted from 1; 0 = the model alone.
  std::uint32_t prompt_tokens = 0;
  std::chrono::steady_clock::time_point queued;
};

/// Failures: `invalid_request`, which names the field; `context_length_exceeded`. A model makes
/// vectors of one width: `dimensions` may only say which.
[[nodiscard]] result<embedding_job> prepare_embedding(const consort_request& request,
                                                      const vocabulary& words,
                                                      const embedding_facts& model);

/// Scales a vector to the length 1, as servers of such models do; one of zeros stays.
void normalize(std::span<float> vector);
/// As JSON: a list of numbers that read back as the same ones, or base64 of their bytes, the least
/// significant first, in a string.
[[nodiscard]] std::string embedding_json(std::span<const float> vector, bool base64);

} // namespace consort::llama
