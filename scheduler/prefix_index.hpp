// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Which instances probably hold the KV cache of a prompt's beginning: chained block hashes ->
/// instances that last served them. At most limits::prefix_entries_max blocks, least recently used
/// forgotten first; at most limits::prefix_holders_max instances per block, newest kept. Instance
/// ids are never reused, so a reload or restart is forgotten by itself. A guess that only enters
/// predicted time; a wrong one costs a prefill.

#include "scheduler/flat_map.hpp"
#include "scheduler/ids.hpp"
#include "scheduler/limits.hpp"
#include "scheduler/prng.hpp"

#include <array>
#include <vector>

namespace consort::core {

struct prefix_match {
  instance_id instance;
  std::uint32_t blocks = 0; ///< Leading blocks that it holds.
};

class prefix_index {
public:
  explicit prefix_index(std::size_t entries_max = limits::prefix_entries_max);

  /// The blocks of a prompt went to `instance`.
  void remember(const std::vector<std::uint64_t>& blocks, instance_id instance);
  /// Fills `found` (cleared first) with instances that hold leading blocks, in order of discovery.
  void match(const std::vector<std::uint64_t>& blocks, std::vector<prefix_match>& found) const;
  [[nodiscard]] std::size_t size() const { return places_.size(); }

private:
  using index = std::uint32_t;
  static constexpr index none = ~index{0};
  struct block_hash {
    std::size_t operator()(std::uint64_t block) const { return mix(block); }
  };
  struct entry {
    std::uint64_t block = 0;
    std::array<instance_id, limits::prefix_holders_max> holders{}; ///< Newest first.
    index newer = none, older = none;
  };
  index touch(std::uint64_t block);
  void unlink(index at);
  void link_newest(index at);

  std::size_t entries_max_;
  std::vector<entry> entries_;
  flat_map<std::uint64_t, index, block_hash> places_;
  index newest_ = none, oldest_ = none;
};

} // namespace consort::core
