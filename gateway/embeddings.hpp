// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Embeddings in OpenAI's shape. A device's answer is the text of its attempt: a JSON array with
/// one embedding per input, each a list of numbers or base64 in a string. Pure.

#include "gateway/openai_response.hpp"
#include "scheduler/result.hpp"

namespace consort::gateway {

namespace limits {
inline constexpr std::size_t embedding_inputs_max = 2'048; ///< `input` as an array, as OpenAI's.
} // namespace limits

/// Returns: the array of `data`, from what the device said about that many inputs; `bad_embeddings`
/// (retry elsewhere) when it is anything else.
[[nodiscard]] result<std::string> embeddings_data(std::string_view said, std::uint32_t inputs);

/// The whole answer around that array.
[[nodiscard]] std::string embeddings_answer(std::string_view data, std::string_view model,
                                            const token_usage& usage, const served_by& served);

} // namespace consort::gateway
