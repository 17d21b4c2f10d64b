// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What an OpenAI body asks of a device that only counts: tokens in, tokens out. A token is four
/// bytes of text, as the gateway estimates them, so that both sides count alike. Pure functions.

#include "messages/attempt_service.hpp"
#include "scenarios/models/engine.hpp"

namespace consort::node {

/// `block_tokens`: of the device's KV cache; remembered prefixes are whole blocks of it. Returns:
/// an error that refuses for what no device of counts can do (several choices, embeddings).
[[nodiscard]] result<sim::engine_sequence> read_simulated_request(const attempt_body& body,
                                                                  std::uint32_t block_tokens);

/// Text of the token in place `number` of an answer: it says what it is, and a reader sees any gap,
/// repeat or swap.
[[nodiscard]] std::string simulated_token(std::uint32_t number);

} // namespace consort::node
