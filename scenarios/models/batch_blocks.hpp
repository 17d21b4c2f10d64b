// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The KV cache of one engine in blocks: what sequences hold for themselves, and prompt blocks that
/// are kept by their hash for whoever comes with the same prefix. Blocks that nobody holds are
/// evicted least recently used first, when others need the room. Standard library only; every
/// operation takes constant time, evictions aside. Never holds more than its total.

#include <cstdint>
#include <unordered_map>
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

  [[nodiscard]] bool has(std::uint64_t hash) const { return places_.count(hash) != 0; }
  /// Idle blocks that a hold() of this hash would make busy; 0 when it is held already.
  [[nodiscard]] std::uint64_t idle_blocks(std::uint64_t hash) const;
  /// One more sequence uses it. Requires: has(hash).
  void hold(std::uint64_t hash);
  /// Turns `blocks` taken ones into shared ones that the caller holds. Where the hash is known
  /// already, that copy is held and the taken ones are given back.
  void share(std::uint64_t hash, std::uint32_t blocks);
  /// One sequence less uses it; it stays until evicted.
  void release(std::uint64_t hash);

private:
  static constexpr std::uint32_t none = ~0U;
  struct entry {
    std::uint64_t hash = 0;
    std::uint32_t blocks = 0;
    std::uint32_t holders = 0;
    std::uint32_t older = none; ///< Among those that nobody holds.
    std::uint32_t newer = none;
  };

  void unlink(entry& one);
  void evict_oldest();

  std::uint64_t total_;
  std::uint64_t private_ = 0;
  std::uint64_t shared_ = 0; ///< In entries.
  std::uint64_t idle_ = 0;   ///< Of them in entries that nobody holds.
  std::vector<entry> entries_;
  std::vector<std::uint32_t> unused_;                       ///< Places in `entries_`.
  std::unordered_map<std::uint64_t, std::uint32_t> places_; ///< Looked up, never walked.
  std::uint32_t oldest_ = none;
  std::uint32_t newest_ = none;
};

} // namespace consort::sim
