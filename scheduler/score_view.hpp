// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Scores of all endpoints of a model by one profile, with floors under those that are alike.
///
/// A floor is only tight over endpoints that do not differ in much. Therefore its leaves stand in
/// an order of their own: like with like, by what the profile makes of them with nobody there (cut
/// in halves along whatever tells most of them apart).
/// Load comes and goes and leaves the order as it is; speeds that are learned do not, and once one
/// leaf in `order_share` has moved, the whole is put in order again: O(n log n), paid by n / 4
/// moves. Who is found never depends on the order, only what it costs to find. Nothing allocates
/// unless the row grows. Owned by endpoint_table; single-threaded.

#include "scheduler/floor_tree.hpp"
#include "scheduler/policy/profile.hpp"

#include <array>
#include <limits>
#include <utility>
#include <vector>

namespace consort::core {

using index = std::uint32_t;

/// Makes `one` the least, or the most, of both.
template <class Number>
void keep_less(Number& one, Number other) {
  one = std::min(one, other);
}
template <class Number>
void keep_more(Number& one, Number other) {
  one = std::max(one, other);
}

/// The most that any of some endpoints can take.
struct room_floor {
  std::int64_t kv_free = -1;  ///< Of those with a free sequence; -1 = none has.
  std::int32_t seq_free = -1; ///< -1 = all are closed.
  std::uint32_t kinds = 0;    ///< Bit by endpoint::kind of those that are open.
  void join(const room_floor& other) {
    keep_more(kv_free, other.kv_free);
    keep_more(seq_free, other.seq_free);
    kinds |= other.kinds;
  }
  friend bool operator==(const room_floor&, const room_floor&) = default;
};

/// Four numbers that are reckoned with at once, on any machine.
struct four {
  using vector = float __attribute__((vector_size(16)));
  vector of;

  void keep_less(const four& other) { of = other.of < of ? other.of : of; }
  friend bool operator==(const four& a, const four& b) {
    using words = std::int64_t __attribute__((vector_size(16)));
    const auto differ = reinterpret_cast<words>(a.of != b.of);
    return (differ[0] | differ[1]) == 0;
  }
};
static_assert(tree_width == 4, "neighbours are reckoned with at once");

/// What no score of some endpoints is below. A score is a line over the size of a request, so that
/// the least of several bends down: between two sizes it is nowhere below the straight line through
/// what it is at both. That is closer than the least of each part of the scores, since under load
/// those are alike in sum that are not alike in parts: a fast one is waited for.
///
/// In single precision, so that four are compared and added at once: a floor only says where nobody
/// needs to look. What rounding may do to it is taken off beforehand (`floor_slack`).
struct score_floor {
  /// Of nothing, of the usual answer, of the usual prompt and answer.
  static constexpr std::size_t sizes = 3;
  enum which : std::uint8_t {
    whenever = 0,   ///< At each size, with what is waited at least.
    per_prompt = 3, ///< Of each token beyond the usual ones.
    begun = 4,      ///< At each size, with what was left to read at the view's time, which gets
                    ///< less by what passed since.
    per_output = 7,
    count ///< How many there are.
  };
  static constexpr float highest = 1e30F; ///< Above all scores.
  std::array<four, 2> least{four{{highest, highest, highest, highest}},
                            four{{highest, highest, highest, highest}}};

  [[nodiscard]] float at(std::size_t part) const { return least[part / 4].of[part % 4]; }
  void join(const score_floor& other) {
    least[0].keep_less(other.least[0]);
    least[1].keep_less(other.least[1]);
  }
  friend bool operator==(const score_floor& a, const score_floor& b) {
    return a.least[0] == b.least[0] && a.least[1] == b.least[1];
  }
};
/// More than all rounding between a score and the bound that is made of its floor.
inline constexpr float floor_slack = 1.0F / (1U << 18U);
/// A score as it is compared with bounds: not below it.
inline float rounded_up(std::int64_t score) {
  return static_cast<float>(score) * (1.0F + floor_slack);
}
/// Requires: not negative.
inline float rounded_down(std::int64_t score) {
  return static_cast<float>(score) * (1.0F - floor_slack);
}

/// The floors under neighbours, beside each other.
struct floors_beside {
  std::array<four, score_floor::count> least;
  floors_beside() {
    const auto highest = score_floor::highest;
    least.fill(four{{highest, highest, highest, highest}});
  }
};

/// Where a request stands between the sizes of the floors: what each counts, what of it lies
/// beyond, and what passed since the view's time, by the queue's weight.
struct floor_shares {
  std::array<float, score_floor::sizes> of{};
  float prompt_beyond = 0, output_beyond = 0;
  float passed = 0;
  /// No score above that floor is lower for the request. Requires: somebody is above it.
  [[nodiscard]] float bound(const score_floor& floor) const {
    float whenever = 0, begun = 0;
    for (std::size_t size = 0; size < of.size(); ++size) {
      whenever += floor.at(score_floor::whenever + size) * of[size];
      begun += floor.at(score_floor::begun + size) * of[size];
    }
    return std::max(whenever, begun - passed) + floor.at(score_floor::per_prompt) * prompt_beyond
           + floor.at(score_floor::per_output) * output_beyond;
  }
  /// The bounds of neighbours; of nobody, above all scores.
  [[nodiscard]] four bounds(const floors_beside& floors) const {
    const auto& least = floors.least;
    const auto whenever = least[score_floor::whenever].of * of[0]
                          + least[score_floor::whenever + 1].of * of[1]
                          + least[score_floor::whenever + 2].of * of[2];
    const auto begun = least[score_floor::begun].of * of[0]
                       + least[score_floor::begun + 1].of * of[1]
                       + least[score_floor::begun + 2].of * of[2] - passed;
    return {(whenever > begun ? whenever : begun)
            + least[score_floor::per_prompt].of * prompt_beyond
            + least[score_floor::per_output].of * output_beyond};
  }
};

/// A number of a score, never 0. Equal ones are of scores that are equal whatever the request and
/// the time, but for one pair in 2^63.
[[nodiscard]] std::uint64_t likeness_of(const linear_score& one);

/// What a search reads of one endpoint, or of all under a floor.
struct leaf_floor {
  struct beside : floors_beside {
    void put(std::size_t which, const leaf_floor& one) {
      put_parts(which, one.score, std::make_index_sequence<score_floor::count>{});
    }

  private:
    /// Written out, since it is done at every level over every change.
    template <std::size_t... Part>
    void put_parts(std::size_t which, const score_floor& one, std::index_sequence<Part...>) {
      ((least[Part].of[which] = one.at(Part)), ...);
    }
  };
  static constexpr index nobody = ~index{0};

  score_floor score;
  room_floor room;
  index place = nobody;   ///< The lowest, to which ties go.
  std::uint64_t like = 0; ///< likeness_of all of them; 0 = they differ. Of devices that are alike
                          ///< and idle only the first has to be looked at.
  void join(const leaf_floor& other) {
    if (other.place != nobody)
      like = place == nobody || like == other.like ? other.like : 0;
    score.join(other.score);
    room.join(other.room);
    keep_less(place, other.place);
  }
  friend bool operator==(const leaf_floor&, const leaf_floor&) = default;
};
static_assert(sizeof(leaf_floor) == 64, "a line of a cache");

/// Endpoints with a free sequence, and open ones that are full: whoever looks for a start shall not
/// have to look through those that are full, which are the best ones when many wait.
struct with_room {
  static bool has(const leaf_floor& one) { return one.room.seq_free > 0; }
};
struct without_room {
  static bool has(const leaf_floor& one) { return one.room.seq_free == 0; }
};
using free_floors = floor_tree<leaf_floor, with_room>;
using full_floors = floor_tree<leaf_floor, without_room>;

class score_view {
public:
  /// So many of the leaves may stand where they do not belong.
  static constexpr index order_share = 4;
  /// One that changed by less than one part in so many still stands among its like.
  static constexpr index alike_share = 8;

  score_view(index number, const profile& how);

  /// Of the profile, in the core's list.
  [[nodiscard]] index number() const { return number_; }
  [[nodiscard]] const linear_score& score(index place) const { return scores_[leaf_of_[place]]; }
  /// Of who stands there.
  [[nodiscard]] const linear_score& score_at(index at) const { return scores_[at]; }
  [[nodiscard]] index size() const { return static_cast<index>(leaves_.size()); }
  [[nodiscard]] const leaf_floor& leaf(index at) const { return leaves_[at]; }
  /// Over those with a free sequence.
  [[nodiscard]] const free_floors& floors() const { return floors_; }
  /// Over those that are open and full.
  [[nodiscard]] const full_floors& full() const { return full_floors_; }
  /// Requires: no more tokens than are scored; the view's time is not later.
  [[nodiscard]] floor_shares shares_of(std::int64_t prompt, std::int64_t output,
                                       std::int64_t now_ns) const;
  /// The floor under one score alone.
  [[nodiscard]] score_floor floor_under(const linear_score& one) const;
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
  /// by `remake_floors`. `busy`: it has as much to read as keeps it busy.
  void write(index place, const endpoint_figures& now, const room_floor& room, bool busy = false);
  void lift(index place);
  void remake_floors();
  /// What it costs with nobody there, maybe as before.
  void learned(index place, const endpoint_figures& idle);
  /// Puts the leaves in order again if enough of them moved, and makes the floors anew when
  /// requests became others, or the view's time is long ago; places, scores and room stay.
  /// Requires: a usual request has tokens of both kinds, no more than are scored.
  void tidy(work_size usual, std::int64_t now_ns);

private:
  /// What each part of a score comes to for a request of usual size.
  using parts = std::array<std::int64_t, 3>;
  struct standing {
    parts at{};
    index place = 0;
    bool moved = true; ///< Since the order was made.
  };

  [[nodiscard]] bool measures(work_size usual, std::int64_t now_ns) const;
  void note_members(const leaf_floor& leaf);
  void arrange(index first, index end);
  void follow_order();

  index number_;
  profile how_;
  work_size sizes_{512, 128}; ///< At which floors are measured, beside nothing.
  std::int64_t since_ns_ = 0; ///< The view's time, by the clock.
  std::vector<leaf_floor> leaves_;
  std::vector<linear_score> scores_; ///< By leaf.
  std::vector<linear_score> finish_; ///< By leaf, or empty.
  std::vector<standing> standings_;  ///< By leaf.
  std::vector<index> leaf_of_;       ///< By place.
  std::vector<leaf_floor> spare_;    ///< Where leaves are put in order.
  std::vector<linear_score> spare_scores_, spare_finish_;
  free_floors floors_;
  full_floors full_floors_;
  bool lifts_free_ = false, lifts_full_ = false; ///< What was written since the last lift.
  floor_tree<linear_score> finish_floors_;
  index moved_ = 0;
  std::uint64_t orders_made_ = 0;
};

} // namespace consort::core
