// SPDX-License-Identifier: Apache-2.0
#include "scheduler/prefix_index.hpp"

#include <algorithm>

namespace consort::core {

prefix_index::prefix_index(std::size_t entries_max) : entries_max_(entries_max) {}

void prefix_index::unlink(index at) {
  auto& one = entries_[at];
  (one.newer == none ? newest_ : entries_[one.newer].older) = one.older;
  (one.older == none ? oldest_ : entries_[one.older].newer) = one.newer;
  one.newer = one.older = none;
}

void prefix_index::link_newest(index at) {
  entries_[at].older = newest_;
  (newest_ == none ? oldest_ : entries_[newest_].newer) = at;
  newest_ = at;
}

prefix_index::index prefix_index::touch(std::uint64_t block) {
  const auto found = places_.find(block);
  if (found != places_.end()) {
    unlink(found->second);
    link_newest(found->second);
    return found->second;
  }
  index at = none;
  if (entries_.size() < entries_max_) {
    at = static_cast<index>(entries_.size());
    entries_.emplace_back();
  } else {
    at = oldest_;
    unlink(at);
    places_.erase(entries_[at].block);
  }
  entries_[at].block = block;
  entries_[at].holders = {};
  link_newest(at);
  places_.emplace(block, at);
  return at;
}

void prefix_index::remember(const std::vector<std::uint64_t>& blocks, instance_id instance,
                            std::uint64_t stamp) {
  // Last block first, so that a prompt's beginning is forgotten after its end.
  for (auto block = blocks.rbegin(); block != blocks.rend(); ++block) {
    auto& holders = entries_[touch(*block)].holders;
    auto place = std::find_if(holders.begin(), holders.end(),
                              [&](const holder& one) { return one.instance == instance; });
    if (place == holders.end())
      place = holders.end() - 1;
    std::rotate(holders.begin(), place, place + 1);
    holders.front() = {instance, stamp};
  }
}

} // namespace consort::core
