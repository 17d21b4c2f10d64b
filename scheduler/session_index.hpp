// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Where each conversation went last, and what the cache there holds of it beyond what the hashes
/// of prompts tell: its answer, the end of its prompt behind the last whole block, prompts that are
/// not hashed. A conversation is a session that a client named, of one tenant and model, and how
/// its prompts begin: agents give all their helpers one session. At most limits::sessions_max;
/// whoever ended a turn longest ago is forgotten first. 6 MB when full, nothing where nobody names
/// a session; nothing allocates once it is full. A guess that only enters predicted time, as
/// prefix_index's. Owned by core_state; single-threaded.

#include "scheduler/ids.hpp"
#include "scheduler/limits.hpp"
#include "scheduler/recent_map.hpp"

#include <vector>

namespace consort::core {

/// The last turn of a conversation. Tokens are counted as gateways estimate them.
struct session_turn {
  instance_id instance;
  std::uint32_t rank = 0; ///< Of its endpoint.
  std::uint32_t prompt_tokens = 0;
  std::uint32_t answer_tokens = 0; ///< Where the prompt was read.
  std::uint32_t blocks = 0;        ///< Whole ones of the prompt.
  std::uint64_t last_block = 0;    ///< The hash of the last one, which stands for all before it.
  std::uint64_t stamp = 0;         ///< Of the instance's cache_clock, when it ended.
  bool doubted = false;            ///< The engine last told that less was there than was said.

  /// How many tokens of a prompt are this turn's. What does not begin with all of this one's blocks
  /// or is shorter does not go on from it: 0.
  [[nodiscard]] std::uint32_t repeated_in(std::uint32_t tokens,
                                          const std::vector<std::uint64_t>& blocks_of) const;
};

class session_index {
public:
  explicit session_index(std::size_t sessions_max = limits::sessions_max)
      : last_turns_(sessions_max) {}

  void remember(std::uint64_t conversation, const session_turn& last) {
    last_turns_.touch(conversation) = last;
  }
  /// Returns: its last turn, or null. Valid until the next change.
  [[nodiscard]] const session_turn* find(std::uint64_t conversation) const {
    return last_turns_.find(conversation);
  }
  [[nodiscard]] std::size_t size() const { return last_turns_.size(); }

private:
  recent_map<session_turn> last_turns_; ///< By conversation.
  static_assert(decltype(last_turns_)::row_bytes <= 64, "with 32 of the map for each: 6 MB");
};

} // namespace consort::core
