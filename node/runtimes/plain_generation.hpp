// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What an OpenAI completion asks for, for servers whose own protocols take a text and a few
/// numbers. Pure.

#include "messages/attempt_service.hpp"
#include "scheduler/asks.hpp"
#include "scheduler/result.hpp"

#include <optional>

namespace consort::node {

/// One answer to one text; what the client did not say is unset.
struct plain_generation {
  std::string text;             ///< The prompt, and behind it what was emitted elsewhere.
  std::uint32_t max_tokens = 0; ///< Counted from here on.
  std::optional<double> temperature, top_p;
  std::optional<double> frequency_penalty, repetition_penalty; ///< Unset where they change nothing.
  std::optional<std::uint64_t> seed, top_k;
  std::optional<std::uint32_t> logprobs; ///< Of the token, and of so many that were likely.
  std::vector<std::string> stops;
};

/// Errors: `bad_body` (refuse) for what is no completion at all; `kind_unsupported` (retry
/// elsewhere) for chats, several choices, prompts that are no single text, answers that must have a
/// form (tools, `response_format`), and what would be left out of the answer unsaid: `echo`,
/// `logit_bias`, `presence_penalty`. The scheduler sends none of these to who declares
/// them refused (plain_refuses).
inline constexpr std::uint32_t plain_refuses
    = asks::choices | asks::forms | asks::token_prompts | asks::echo | asks::biases;
[[nodiscard]] result<plain_generation> read_generation(const attempt_body& body);

} // namespace consort::node
