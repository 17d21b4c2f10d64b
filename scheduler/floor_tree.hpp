// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Floors over a row of values: for each `tree_width` neighbours what none of them is below, then
/// for as many of those, up to one floor over all. Whoever looks for a least value descends only
/// where the floor leaves hope. Changing a value costs O(log n); nothing allocates unless the row
/// grows. Single-threaded.

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <type_traits>
#include <vector>

namespace consort::core {

/// Of few: what changes is compared with that many at every level, and so is what is looked for.
inline constexpr std::uint32_t tree_width_bits = 2;
inline constexpr std::uint32_t tree_width = 1U << tree_width_bits;

/// Of floors that a search reckons with one after the other.
struct not_beside {};
template <class Floor>
struct beside_of {
  using type = not_beside;
};
/// A floor may say how `tree_width` neighbours stand beside each other, to be reckoned with at
/// once: `Floor::beside`, with `put(which, floor)`, whose default is under nobody.
template <class Floor>
requires requires {
  typename Floor::beside;
}
struct beside_of<Floor> {
  using type = typename Floor::beside;
};

/// Floors over everybody in the row.
struct whole_row {
  template <class Floor>
  static bool has(const Floor&) {
    return true;
  }
};

/// Floors over those in the row that `Members::has`. Requires of Floor: equality, `join(other)`,
/// which lowers it to be a floor under both, and a default that lowers nothing unless floors are
/// over the whole row.
template <class Floor, class Members = whole_row>
class floor_tree {
public:
  using index = std::uint32_t;
  using members = Members;

  /// Floors above the row; 0 for an empty row.
  [[nodiscard]] index height() const { return static_cast<index>(levels_.size()); }
  /// The floor over `tree_width` members of the level below (of the row itself when level is 0).
  [[nodiscard]] const Floor& at(index level, index place) const { return levels_[level][place]; }
  /// The children of the floor at `place` of the next level, beside each other.
  [[nodiscard]] const typename beside_of<Floor>::type& beside(index level, index place) const {
    return beside_[level][place];
  }
  [[nodiscard]] index width(index level) const { return static_cast<index>(levels_[level].size()); }
  /// The floor over all. Requires: height() > 0.
  [[nodiscard]] const Floor& top() const { return levels_.back().front(); }

  /// The row has a new last value.
  void grow(const std::vector<Floor>& row) {
    auto count = row.size();
    for (std::size_t level = 0; level == 0 || count > 1; ++level) {
      count = (count + tree_width - 1) / tree_width;
      if (levels_.size() == level)
        levels_.emplace_back();
      levels_[level].resize(count);
      if constexpr (stands_beside) {
        beside_.resize(levels_.size());
        beside_[level].resize((count + tree_width - 1) / tree_width);
      }
    }
    lower(static_cast<index>(row.size() - 1), row, true);
  }
  /// Any value of the row may have changed. Requires: the row is as long as it was.
  void remake(const std::vector<Floor>& row) {
    const auto* below = &row;
    for (index level = 0; level < height(); ++level) {
      for (index place = 0; place < width(level); ++place)
        put(level, place, below == &row ? over_row(place, row) : over(place, *below));
      below = &levels_[level];
    }
  }
  /// The value at `place` of the row changed.
  void update(index place, const std::vector<Floor>& row) { lower(place, row, false); }

private:
  static constexpr bool stands_beside
      = !std::is_same_v<typename beside_of<Floor>::type, not_beside>;

  void put(index level, index place, const Floor& floor) {
    levels_[level][place] = floor;
    if constexpr (stands_beside)
      beside_[level][place / tree_width].put(place % tree_width, floor);
  }
  /// Under the members of the level below.
  static Floor over(index place, const std::vector<Floor>& below) {
    const auto first = std::size_t{place} * tree_width;
    const auto end = std::min(first + tree_width, below.size());
    auto floor = below[first];
    for (auto each = first + 1; each < end; ++each)
      floor.join(below[each]);
    return floor;
  }
  static Floor over_row(index place, const std::vector<Floor>& row) {
    if constexpr (std::is_same_v<Members, whole_row>)
      return over(place, row);
    Floor floor;
    const auto first = std::size_t{place} * tree_width;
    for (auto each = first; each < std::min(first + tree_width, row.size()); ++each)
      if (Members::has(row[each]))
        floor.join(row[each]);
    return floor;
  }

  void lower(index place, const std::vector<Floor>& row, bool fresh) {
    const auto* below = &row;
    for (index level = 0; level < height(); ++level) {
      place /= tree_width;
      const auto floor = below == &row ? over_row(place, row) : over(place, *below);
      // Every floor above follows from this one.
      if (!fresh && levels_[level][place] == floor)
        return;
      put(level, place, floor);
      below = &levels_[level];
    }
  }

  std::vector<std::vector<Floor>> levels_;
  std::vector<std::vector<typename beside_of<Floor>::type>> beside_; ///< Or empty.
};

} // namespace consort::core
