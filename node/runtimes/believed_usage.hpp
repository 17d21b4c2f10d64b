// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What of a server's `usage` can be true, and what stands in for what it does not tell: money,
/// budgets and rates are counted by it. Pure.
///
/// Bounds, generous enough that an honest server is believed. A token of a prompt is at least one
/// byte of what was sent, beside limits::usage_added_tokens_max that a server adds itself (its
/// template, instructions and tools), or limits::usage_media_tokens_max where pictures, sounds,
/// films or files are shown, of which a few bytes may name many. An answer has no more tokens than
/// were asked for, or than pieces came where those are more; limits::usage_answer_tokens_max a
/// choice where nobody asked for a number. Of the prompt at most all was cached.

#include "messages/attempt_service.hpp"

namespace consort::node {

struct believed_usage {
  token_usage told;     ///< As clients may be told it; no prompt = nobody knows.
  token_usage charged;  ///< As it is paid for, with an estimate of a prompt that nobody knows.
  bool doubted = false; ///< Something of it cannot be true.
};

/// `said`: by the server, 0 = not told. `pieces`: of its answer that came.
[[nodiscard]] believed_usage believe(token_usage said, const attempt_body& asked,
                                     std::uint64_t pieces);

} // namespace consort::node
