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

void batch_blocks::hold(place which) {
  auto& one = entries_[which];
  if (one.holders++ > 0)
    return;
  unlink(one);
  idle_ -= one.blocks;
}

batch_blocks::place batch_blocks::share(std::uint64_t hash, std::uint32_t blocks) {
  assert(private_ >= blocks);
  private_ -= blocks;
  if (const auto known = find(hash); known != none) {
    hold(known);
    return known;
  }
  auto made = static_cast<place>(entries_.size());
  if (unused_.empty()) {
    entries_.emplace_back();
  } else {
    made = unused_.back();
    unused_.pop_back();
  }
  entries_[made] = {hash, blocks, 1, none, none};
  places_.emplace({hash, true}, made);
  shared_ += blocks;
  return made;
}

void batch_blocks::release(place which) {
  auto& one = entries_[which];
  assert(one.holders > 0);
  if (--one.holders > 0)
    return;
  idle_ += one.blocks;
  one.older = newest_;
  one.newer = none;
  (newest_ == none ? oldest_ : entries_[newest_].newer) = which;
  newest_ = which;
}

void batch_blocks::unlink(entry& one) {
  (one.older == none ? oldest_ : entries_[one.older].newer) = one.newer;
  (one.newer == none ? newest_ : entries_[one.newer].older) = one.older;
}

void batch_blocks::evict_oldest() {
  assert(oldest_ != none);
  const auto which = oldest_;
  auto& one = entries_[which];
  unlink(one);
  shared_ -= one.blocks;
  idle_ -= one.blocks;
  places_.erase({one.hash, true});
  unused_.push_back(which);
}

} // namespace consort::sim
