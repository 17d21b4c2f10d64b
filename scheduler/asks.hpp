// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What a request may ask of a runtime that not every one answers, one bit each, since a request
/// asks for several at once: its kind, and what its body wants besides. A runtime declares what it
/// refuses (runtime_capabilities::refuses), so that an older one, which declares nothing, is
/// believed to answer all. Bits are on the wire: new ones go behind. Pure. Knows no body: what one
/// asks for is said by whoever read it (request_meta::asks).

#include "scheduler/requests.hpp"
#include "scheduler/resources.hpp"

#include <array>
#include <string_view>

namespace consort::asks {

inline constexpr std::uint32_t completions = 1U << 0U;
inline constexpr std::uint32_t chats = 1U << 1U;
inline constexpr std::uint32_t embeddings = 1U << 2U; ///< Declared by a field of its own.
inline constexpr std::uint32_t choices = 1U << 3U;    ///< Several answers: `n`, prompts, `best_of`.
// Of completions alone: chats go to routes that take them.
inline constexpr std::uint32_t forms = 1U << 4U; ///< An answer of a given form.
inline constexpr std::uint32_t token_prompts = 1U << 5U;
inline constexpr std::uint32_t logprobs = 1U << 6U;
inline constexpr std::uint32_t echo = 1U << 7U;
inline constexpr std::uint32_t penalties = 1U << 8U; ///< Of frequency and of repetition.
inline constexpr std::uint32_t biases = 1U << 9U;    ///< Towards some tokens, or away from present.

/// Of a request that is asked for whatever is answered there, as plans are.
inline constexpr std::uint32_t anything = 1U << 31U;

inline constexpr std::uint32_t kinds = completions | chats | embeddings;

struct ask {
  std::uint32_t bit = 0;
  std::string_view word; ///< As plugins declare it; empty = by a field of its own.
  std::string_view said; ///< For people.
};
inline constexpr std::array<ask, 10> all{{
    {completions, "completions", "completions"},
    {chats, "chats", "chats"},
    {embeddings, "", "embeddings"},
    {choices, "choices", "several choices (`n`, `best_of`, several prompts)"},
    {forms, "forms", "completions of a given form (`response_format`, `tools`, `guided_...`)"},
    {token_prompts, "token_prompts", "prompts of tokens"},
    {logprobs, "logprobs", "completions with `logprobs`"},
    {echo, "echo", "completions with `echo`"},
    {penalties, "penalties", "`frequency_penalty` and `repetition_penalty` of completions"},
    {biases, "biases", "`presence_penalty` and `logit_bias` of completions"},
}};

[[nodiscard]] constexpr std::uint32_t of_kind(request_kind kind) {
  return kind == request_kind::embedding ? embeddings
         : kind == request_kind::chat    ? chats
                                         : completions;
}
/// All that the request asks for.
[[nodiscard]] inline std::uint32_t of(const request_meta& meta) {
  if ((meta.asks & anything) != 0)
    return 0;
  return of_kind(meta.kind) | (meta.asks & ~kinds) | (meta.choices > 1 ? choices : 0U);
}
/// All that the runtime does not answer.
[[nodiscard]] constexpr std::uint32_t refused_by(const runtime_capabilities& runtime) {
  return (runtime.refuses & ~embeddings) | (runtime.embeddings ? 0U : embeddings);
}

} // namespace consort::asks
