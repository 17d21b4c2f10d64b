// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Bodies of POST /v1/responses as the chat completions that they amount to
/// (https://platform.openai.com/docs/api-reference/responses/create). Nothing is kept between
/// requests here, so a conversation travels in `input`; fields that we do not know pass through.
/// Pure.

#include "gateway/errors.hpp"

#include <nlohmann/json.hpp>

#include <variant>

namespace consort::gateway {

struct chat_question {
  std::string body; ///< Of POST /v1/chat/completions.
  /// What the answer repeats of the request, with OpenAI's defaults for what it left out.
  nlohmann::ordered_json echo;
};

/// Returns: the chat, or which field cannot be served here (`invalid_value`, `unsupported`) or is
/// wrong.
[[nodiscard]] std::variant<chat_question, api_error> chat_of_responses(std::string_view body);

} // namespace consort::gateway
