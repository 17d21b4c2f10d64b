// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A client's OpenAI body as a value the engine can run. Pure; unknown fields are ignored, known
/// ones are checked for type and range, and what would change the answer but is not implemented
/// (tools, grammars, several prompts ...) is refused rather than ignored.

#include "node/plugin_abi.h"
#include "node/plugins/llama/sampler.hpp"
#include "scheduler/result.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace consort::llama {

/// Prompt as text to be tokenized, or as the client's own tokens.
struct prompt_text {
  std::string text;
  bool parse_special = true; ///< Control tokens may be written as text.
};
using prompt_source = std::variant<prompt_text, token_list>;

struct generation_request {
  bool chat = false;
  prompt_source prompt;
  sampling_options sampling;
  std::uint32_t choices = 1;
  std::optional<std::uint32_t> tokens_max; ///< Absent: to the end of the context.
  std::vector<std::string> stops;
  bool echo = false;
  bool ignore_end = false; ///< `ignore_eos`: only `tokens_max` or a stop string ends it.
  std::optional<std::uint32_t> logprobs; ///< Alternatives to report beside each token.
  std::uint32_t adapter = 0;             ///< LoRA adapter, counted from 1; 0 = the model alone.
};

/// What a parser must know of the loaded model.
struct model_facts {
  std::int32_t vocabulary_size = 0;
  std::uint32_t sequences = 1;
  const char* chat_template = nullptr;    ///< Borrowed; null = none.
  std::vector<std::string> adapters = {}; ///< Names that a body may ask for as its `model`.
};

/// Reads a body. Failures have code `invalid_request` (names the field) or `unsupported_parameter`.
[[nodiscard]] result<generation_request>
parse_request(consort_request_kind kind, std::string_view json, const model_facts& model);

} // namespace consort::llama
