// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Reads of an OpenAI body only what a gateway must know: model, sizes, streaming, and whether a
/// broken stream may be continued. Everything else passes to the runtime untouched, byte for byte.
/// Pure. Strict about types: what is wrong is named by its field.

#include "gateway/errors.hpp"
#include "scheduler/types.hpp"

#include <variant>

namespace consort::gateway {

/// What was read. `prompt_tokens` is an estimate: bytes / 4 and a few per message.
struct parsed_body {
  model_name model;
  bool stream = false;
  bool include_usage = false; ///< stream_options.include_usage
  std::uint32_t prompt_tokens = 0;
  std::uint32_t prompt_ids = 0, prompt_bytes = 0; ///< As in request_meta.
  std::uint32_t max_tokens = 0;                   ///< 0 = not given.
  std::uint32_t choices = 1;                      ///< `n` times the number of prompts.
  bool resumable = true;
  std::uint32_t asks = 0;   ///< As in request_meta.
  std::uint32_t inputs = 0; ///< Texts to embed.
  std::vector<std::uint64_t> prefix_blocks;
  std::vector<std::string> labels; ///< metadata.consort_labels
};

[[nodiscard]] std::variant<parsed_body, api_error> parse_body(request_kind kind,
                                                              std::string_view body);

/// Any JSON body, with the same care (UTF-8, depth, syntax). `out` is set on success.
/// Returns: what is wrong, naming the byte.
template <class Json>
[[nodiscard]] std::optional<api_error> parse_json(std::string_view body, Json& out);

} // namespace consort::gateway
