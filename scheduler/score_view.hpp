// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Scores of all endpoints of a model by one profile, with floors under those that are alike.
///
/// A floor takes the least of each part of a score, so it is only tight over endpoints that do not
/// differ in much. Therefore its leaves stand in an order of their own: like with like, by what the
/// profile makes of them with nobody there (cut in halves along whatever tells most of them apart).
/// Load comes and goes and leaves the order as it is; speeds that are learned do not, and once one
/// leaf in `order_share` has moved, the whole is put in order again: O(n log n), paid by n / 8
/// moves. Who is found never depends on the order, only what it costs to find. Nothing allocates
/// unless the row grows. Owned by endpoint_table; single-threaded.

#include "scheduler/floor_tree.hpp"
#include "scheduler/policy/profile.hpp"

#include <array>
#include <vector>

namespace consort::core {

using index = std::uint32_t;

/// The most that any of some endpoints can take.
struct room_floor {
  std::int64_t kv_free = -1;  ///< Of those with a free sequence; -1 = none has.
  std::int32_t seq_free = -1; ///< -1 = all are closed.
  std::uint32_t kinds = 0;    ///< Bit by endpoint::kind of those that are open.
  static room_floor join(const room_floor& a, const room_floor& b) {
    return {std::max(a.kv_free, b.kv_free), std::max(a.seq_free, b.seq_free), a.kinds | b.kinds};
  }
  friend bool operator==(const room_floor&, const room_floor&) = default;
};

/// What a search reads of one endpoint, or of all under a floor.
struct leaf_floor {
  linear_score score;
  room_floor room;
  index place = 0; ///< The lowest, to which ties go.
  static leaf_floor join(const leaf_floor& a, const leaf_floor& b) {
    return {linear_score::join(a.score, b.score), room_floor::join(a.room, b.room),
            std::min(a.place, b.place)};
  }
  friend bool operator==(const leaf_floor&, const leaf_floor&) = default;
};

class score_view {
public:
  /// So many of the leaves may stand where they do not belong.
  static constexpr index order_share = 8;

  score_view(index number, const profile& how);

  /// Of the profile, in the core's list.
  [[nodiscard]] index number() const { return number_; }
  [[nodiscard]] const linear_score& score(index place) const {
    return leaves_[leaf_of_[place]].score;
  }
  [[nodiscard]] index size() const { return static_cast<index>(leaves_.size()); }
  [[nodiscard]] const leaf_floor& leaf(index at) const { return leaves_[at]; }
  [[nodiscard]] const floor_tree<leaf_floor>& floors() const { return floors_; }
  /// The predicted finish of who stands there, and the floors over it; only of a profile that
  /// promises times.
  [[nodiscard]] const linear_score& finish(index at) const { return finish_[at]; }
  [[nodiscard]] const linear_score& finish_of_place(index place) const {
    return finish_[leaf_of_[place]];
  }
  [[nodiscard]] const floor_tree<linear_score>& finishes() const { return finish_floors_; }
  /// Times that the leaves were put in order.
  [[nodiscard]] std::uint64_t orders_made() const { return orders_made_; }

  /// The next place, closed.
  void grow(const endpoint_figures& closed);
  /// An endpoint's figures and room changed; the floors over it follow by `lift`, or those over all
  /// by `remake_floors`.
  void write(index place, const endpoint_figures& now, const room_floor& room);
  void lift(index place);
  void remake_floors();
  /// What it costs with nobody there, maybe as before.
  void learned(index place, const endpoint_figures& idle);
  /// Puts the leaves in order again if enough of them moved; places, scores and room stay.
  void tidy();

private:
  /// What each part of a score comes to for a request of usual size.
  using parts = std::array<std::int64_t, 3>;
  struct standing {
    parts at{};
    index place = 0;
    bool moved = true; ///< Since the order was made.
  };

  void arrange(index first, index end);
  void follow_order();

  index number_;
  profile how_;
  std::vector<leaf_floor> leaves_;
  std::vector<linear_score> finish_; ///< By leaf, or empty.
  std::vector<standing> standings_;  ///< By leaf.
  std::vector<index> leaf_of_;       ///< By place.
  std::vector<leaf_floor> spare_;    ///< Where leaves are put in order.
  std::vector<linear_score> spare_finish_;
  floor_tree<leaf_floor> floors_;
  floor_tree<linear_score> finish_floors_;
  index moved_ = 0;
  std::uint64_t orders_made_ = 0;
};

} // namespace consort::core
