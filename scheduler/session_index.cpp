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

session_index::session_index(std::size_t sessions_max) : sessions_max_(sessions_max) {}

void session_index::unlink(index at) {
  auto& one = entries_[at];
  (one.newer == none ? newest_ : entries_[one.newer].older) = one.older;
  (one.older == none ? oldest_ : entries_[one.older].newer) = one.newer;
  one.newer = one.older = none;
}

void session_index::link_newest(index at) {
  entries_[at].older = newest_;
  (newest_ == none ? oldest_ : entries_[newest_].newer) = at;
  newest_ = at;
}

/// Its entry, linked nowhere: its own, a new one, or the oldest's.
session_index::index session_index::place_for(std::uint64_t conversation) {
  if (const auto found = places_.find(conversation); found != places_.end()) {
    const auto at = found->second;
    unlink(at);
    return at;
  }
  auto at = static_cast<index>(entries_.size());
  if (entries_.size() < sessions_max_) {
    entries_.emplace_back();
  } else {
    at = oldest_;
    unlink(at);
    places_.erase(entries_[at].conversation);
  }
  entries_[at].conversation = conversation;
  places_.emplace(conversation, at);
  return at;
}

void session_index::remember(std::uint64_t conversation, const session_turn& last) {
  const auto at = place_for(conversation);
  entries_[at].last = last;
  link_newest(at);
}

const session_turn* session_index::find(std::uint64_t conversation) const {
  const auto found = places_.find(conversation);
  return found == places_.end() ? nullptr : &entries_[found->second].last;
}

} // namespace consort::core
