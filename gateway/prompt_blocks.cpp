// SPDX-License-Identifier: Apache-2.0
#include "gateway/prompt_blocks.hpp"

#include "gateway/limits.hpp"
#include "scheduler/limits.hpp"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>

namespace consort::gateway {

prompt_hasher::prompt_hasher(std::string_view model)
    : chain_(XXH3_64bits(model.data(), model.size())) {}

void prompt_hasher::add(std::string_view text) {
  bytes_ += text.size();
  while (!text.empty() && blocks_.size() < core::limits::prefix_blocks_max) {
    if (partial_.empty() && text.size() >= limits::prefix_block_bytes) {
      close_block(text.substr(0, limits::prefix_block_bytes));
      text.remove_prefix(limits::prefix_block_bytes);
      continue;
    }
    const auto wanted = std::min(limits::prefix_block_bytes - partial_.size(), text.size());
    partial_.append(text.substr(0, wanted));
    text.remove_prefix(wanted);
    if (partial_.size() == limits::prefix_block_bytes) {
      close_block(partial_);
      partial_.clear();
    }
  }
}

void prompt_hasher::close_block(std::string_view block) {
  // The chain is the seed, so a block's hash depends on all before it.
  chain_ = XXH3_64bits_withSeed(block.data(), block.size(), chain_);
  blocks_.push_back(chain_);
}

} // namespace consort::gateway
