// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Log probabilities of one token as the extra JSON that OpenAI's clients expect beside its text.
/// They are the model's own (before temperature, bias and penalties). Pure.

#include "node/plugins/llama/vocabulary.hpp"

#include <cstdint>
#include <span>
#include <string>

namespace consort::llama {

/// Returns: `{"logprobs": {...}}` in the chat or the completions form; `text_offset` counts the
/// bytes of generated text before the token (completions only).
[[nodiscard]] std::string describe_logprobs(const vocabulary& words, std::span<const float> logits,
                                            llama_token picked, std::uint32_t top, bool chat,
                                            std::size_t text_offset);

} // namespace consort::llama
