// SPDX-License-Identifier: Apache-2.0
#include "scenarios/models/batch_blocks.hpp"

#include <cassert>

namespace consort::sim {

bool batch_blocks::take(std::uint64_t count) {
  if (count > available())
    return false;
  private_ += count;
  while (private_ + shared_ > total_)
    evict_oldest();
  return true;
}

std::uint64_t batch_blocks::idle_blocks(std::uint64_t hash) const {
  const auto found = places_.find(hash);
  if (found == places_.end() || entries_[found->second].holders > 0)
    return 0;
  return entries_[found->second].blocks;
}

void batch_blocks::hold(std::uint64_t hash) {
  auto& one = entries_[places_.at(hash)];
  if (one.holders++ > 0)
    return;
  unlink(one);
  idle_ -= one.blocks;
}

void batch_blocks::share(std::uint64_t hash, std::uint32_t blocks) {
  assert(private_ >= blocks);
  private_ -= blocks;
  if (has(hash))
    return hold(hash);
  std::uint32_t place = 0;
  if (unused_.empty()) {
    place = static_cast<std::uint32_t>(entries_.size());
    entries_.emplace_back();
  } else {
    place = unused_.back();
    unused_.pop_back();
  }
  entries_[place] = {hash, blocks, 1, none, none};
  places_.emplace(hash, place);
  shared_ += blocks;
}

void batch_blocks::release(std::uint64_t hash) {
  const auto place = places_.at(hash);
  auto& one = entries_[place];
  assert(one.holders > 0);
  if (--one.holders > 0)
    return;
  idle_ += one.blocks;
  one.older = newest_;
  one.newer = none;
  (newest_ == none ? oldest_ : entries_[newest_].newer) = place;
  newest_ = place;
}

void batch_blocks::unlink(entry& one) {
  (one.older == none ? oldest_ : entries_[one.older].newer) = one.newer;
  (one.newer == none ? newest_ : entries_[one.newer].older) = one.older;
}

void batch_blocks::evict_oldest() {
  assert(oldest_ != none);
  const auto place = oldest_;
  auto& one = entries_[place];
  unlink(one);
  shared_ -= one.blocks;
  idle_ -= one.blocks;
  places_.erase(one.hash);
  unused_.push_back(place);
}

} // namespace consort::sim
