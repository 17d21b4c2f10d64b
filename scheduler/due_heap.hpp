// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Deadlines of live requests: a binary heap over request slots with the position of each slot
/// kept beside, so that any deadline can be moved or dropped in O(log n). Ties break by slot.
/// Single-threaded; owned by the core's state; as large as the request table.

#include "scheduler/ids.hpp"

#include <cstdint>
#include <optional>
#include <vector>

namespace consort::core {

class due_heap {
public:
  using slot = std::uint32_t;
  struct entry {
    time_us at = 0;
    slot who = 0;
    friend auto operator<=>(const entry&, const entry&) = default;
  };

  /// Sets or moves the deadline of `who`.
  void set(slot who, time_us at);
  /// Like set(), but leaves an earlier entry alone: it fires early and its owner looks again. Saves
  /// a move per event of a running request.
  void set_at_most(slot who, time_us at);
  void drop(slot who);
  [[nodiscard]] std::optional<entry> first() const;
  [[nodiscard]] bool contains(slot who) const {
    return who < place_.size() && place_[who] != absent;
  }
  [[nodiscard]] std::size_t size() const { return heap_.size(); }
  /// Requires: contains(who).
  [[nodiscard]] time_us at(slot who) const { return heap_[place_[who]].at; }

private:
  static constexpr std::uint32_t absent = ~std::uint32_t{0};
  void put(std::size_t place, entry value);
  void sift_up(std::size_t place, entry value);
  void sift_down(std::size_t place, entry value);

  std::vector<entry> heap_;
  std::vector<std::uint32_t> place_;
};

} // namespace consort::core
