// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A request made ready for the batch loop: parsed, tokenized, measured against the context.

#include "node/plugins/llama/request.hpp"

#include <chrono>

namespace consort::llama {

struct job {
  std::uint64_t id = 0;
  generation_request wanted;
  token_list prompt;
  token_list resumed; ///< Emitted by earlier attempts, choice 0; prefilled with the prompt.
  bool resumed_by_ids = false;  ///< Their text is replayed, so held-back text is exact.
  std::string delivered;        ///< Text that the client already has.
  std::string echo;             ///< Prompt as text, when asked to repeat it.
  std::uint32_t tokens_max = 0; ///< Per choice, earlier attempts included, clipped to the context.
  std::chrono::steady_clock::time_point queued;
};

/// Parses and tokenizes `request`. Failures: `invalid_request`, `unsupported_parameter`,
/// `context_length_exceeded`. Pure but for the clock and, without a seed, the random device.
[[nodiscard]] result<job> prepare_job(const consort_request& request, const vocabulary& words,
                                      const model_facts& model, std::uint32_t context_tokens);

} // namespace consort::llama
