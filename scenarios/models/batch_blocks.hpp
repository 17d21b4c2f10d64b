// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The KV cache of one engine in blocks: what sequences hold for themselves, and prompt blocks that
/// are kept by their hash for whoever comes with the same prefix. Blocks that nobody holds are
/// evicted least recently used first, when others need the room. Standard library and the core's
/// values only; every operation takes constant time, evictions aside. Never holds more than its
/// total.

#include "scheduler/flat_map.hpp"
#include "scheduler/prng.hpp"

#include <cstdint>
#include <vector>

namespace consort::sim {

class batch_blocks {
public:
  explicit batch_blocks(std::uint64_t total) : total_(total) {}

  [[nodiscard]] std::uint64_t total() const { return total_; }
  /// Held by sequences, shared ones once.
  [[nodiscard]] std::uint64_t held() const { return private_ + shared_ - idle_; }
  /// Free, or kept for nobody in particular.
  [[nodiscard]] std::uint64_t available() const { return total_ - held(); }

  /// Takes blocks for one sequence alone. Returns: false when fewer are available.
  bool take(std::uint64_t count);
  void give(std::uint64_t count) { private_ -= count; }

  /// Where a shared entry is; valid while somebody holds it, and until the next take().
  using place = std::uint32_t;
  static constexpr place none = ~0U;
  /// None when the hash is not known.
  [[nodiscard]] place find(std::uint64_t hash) const {
    const auto* found = places_.find({hash, true});
    return found == nullptr ? none : found->second;
  }
  /// Idle blocks that a hold() would make busy; 0 when it is held already.
  [[nodiscard]] std::uint64_t idle_blocks(place which) const {
    return entries_[which].holders > 0 ? 0 : entries_[which].blocks;
  }
  /// One more sequence uses it.
  void hold(place which);
  /// Turns `blocks` taken ones into shared ones that the caller holds. Where the hash is known
  /// already, that copy is held and the taken ones are given back.
  [[nodiscard]] place share(std::uint64_t hash, std::uint32_t blocks);
  /// One sequence less uses it; it stays until evicted. Requires: somebody holds it.
  void release(place which);

private:
  /// A hash, or, with `known` false, no key.
  struct block_key {
    std::uint64_t hash = 0;
    bool known = false;
    friend bool operator==(const block_key&, const block_key&) = default;
  };
  struct block_hash {
    std::size_t operator()(const block_key& key) const {
      return static_cast<std::size_t>(core::mix(key.hash));
    }
  };
  struct entry {
    std::uint64_t hash = 0;
    std::uint32_t blocks = 0;
    std::uint32_t holders = 0;
    place older = none; ///< Among those that nobody holds.
    place newer = none;
  };

  void unlink(entry& one);
  void evict_oldest();

  std::uint64_t total_;
  std::uint64_t private_ = 0;
  std::uint64_t shared_ = 0; ///< In entries.
  std::uint64_t idle_ = 0;   ///< Of them in entries that nobody holds.
  std::vector<entry> entries_;
  std::vector<place> unused_; ///< In `entries_`.
  core::flat_map<block_key, place, block_hash> places_;
  place oldest_ = none;
  place newest_ = none;
};

} // namespace consort::sim
