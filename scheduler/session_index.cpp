// SPDX-License-Identifier: Apache-2.0
#include "scheduler/session_index.hpp"

#include <algorithm>

namespace consort::core {

std::uint32_t session_turn::repeated_in(std::uint32_t tokens,
                                        const std::vector<std::uint64_t>& blocks_of) const {
  const bool begins_so
      = blocks == 0 || (blocks_of.size() >= blocks && blocks_of[blocks - 1] == last_block);
  if (!begins_so || tokens < prompt_tokens)
    return 0;
  // A quarter is what the estimate of an answer may be off. What is shorter by more does not repeat
  // all of it, and so nothing behind what was left out: reasoning is not sent again, say.
  const auto added = tokens - prompt_tokens;
  const bool has_answer = added >= answer_tokens - answer_tokens / 4;
  return prompt_tokens + (has_answer ? std::min(answer_tokens, added) : 0);
}

} // namespace consort::core
