// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Which instances probably hold the KV cache of a prompt's beginning: chained block hashes ->
/// instances that last served them. At most limits::prefix_entries_max blocks, least recently used
/// forgotten first; at most limits::prefix_holders_max instances per block, newest kept. Instance
/// ids are never reused, so a reload or restart is forgotten by itself. A guess that only enters
/// predicted time; a wrong one costs a prefill.
///
/// An engine forgets too, what it used longest ago: each holder has a stamp of its own clock, which
/// counts the tokens that it has written, and who asks says which stamps are believed still.

#include "scheduler/ids.hpp"
#include "scheduler/limits.hpp"
#include "scheduler/recent_map.hpp"

#include <algorithm>
#include <array>
#include <vector>

namespace consort::core {

struct prefix_match {
  instance_id instance;
  std::uint32_t blocks = 0; ///< Leading blocks that it holds.
  std::uint64_t stamp = 0;  ///< Of the last of these.
  std::uint64_t since = 0;  ///< Older stamps are not believed.
};

class prefix_index {
public:
  explicit prefix_index(std::size_t entries_max = limits::prefix_entries_max)
      : holders_of_(entries_max) {}

  /// The blocks of a prompt went to `instance`, when its clock was there.
  void remember(const std::vector<std::uint64_t>& blocks, instance_id instance,
                std::uint64_t stamp = 0);
  /// Who had the blocks from `from` on last, as far as they are known without a gap: calls
  /// `use(instance, stamp)` for each.
  template <class Use>
  void each_known(const std::vector<std::uint64_t>& blocks, std::size_t from, Use&& use) const {
    for (auto at = from; at < blocks.size(); ++at) {
      const auto* those = holders_of_.find(blocks[at]);
      if (those == nullptr)
        return;
      use(those->front().instance, those->front().stamp);
    }
  }
  /// Fills `found` (cleared first) with instances that hold leading blocks, in order of discovery.
  /// `since(instance)`: its oldest stamp that is believed.
  template <class Since>
  void match(const std::vector<std::uint64_t>& blocks, std::vector<prefix_match>& found,
             Since&& since) const;
  void match(const std::vector<std::uint64_t>& blocks, std::vector<prefix_match>& found) const {
    match(blocks, found, [](instance_id) { return std::uint64_t{0}; });
  }
  [[nodiscard]] std::size_t size() const { return holders_of_.size(); }

private:
  struct holder {
    instance_id instance;
    std::uint64_t stamp = 0;
  };
  using holders = std::array<holder, limits::prefix_holders_max>; ///< Newest first.

  recent_map<holders> holders_of_; ///< By block.
};

template <class Since>
void prefix_index::match(const std::vector<std::uint64_t>& blocks, std::vector<prefix_match>& found,
                         Since&& since) const {
  found.clear();
  std::uint32_t depth = 0;
  for (const auto block : blocks) {
    const auto* those = holders_of_.find(block);
    if (those == nullptr)
      return;
    bool extended = false;
    for (const auto& one : *those) {
      if (!one.instance)
        break;
      auto known = std::find_if(found.begin(), found.end(), [&](const prefix_match& other) {
        return other.instance == one.instance;
      });
      if (known == found.end() && depth == 0)
        known = found.insert(found.end(), {one.instance, 0, 0, since(one.instance)});
      // Only an unbroken run from the first block is of use.
      if (known != found.end() && known->blocks == depth && one.stamp >= known->since) {
        ++known->blocks;
        known->stamp = one.stamp;
        extended = true;
      }
    }
    if (!extended)
      break;
    ++depth;
  }
  std::erase_if(found, [](const prefix_match& one) { return one.blocks == 0; });
}

} // namespace consort::core
