// SPDX-License-Identifier: Apache-2.0
#include "scheduler/score_view.hpp"

#include "scheduler/limits.hpp"

#include <algorithm>
#include <bit>
#include <cstdlib>

namespace consort::core {

namespace {

/// Of the request by which endpoints are told apart.
constexpr std::int64_t usual_prompt = 512;
constexpr std::int64_t usual_output = 128;
/// One that changed by less than one part in so many still stands among its like.
constexpr std::int64_t alike_share = 8;

} // namespace

score_view::score_view(index number, const profile& how) : number_(number), how_(how) {}

void score_view::grow(const endpoint_figures& closed) {
  const auto place = size();
  leaves_.push_back({how_.weigh(closed), {}, place});
  leaf_of_.push_back(place);
  standings_.push_back({{}, place, true});
  ++moved_;
  spare_.reserve(leaves_.capacity());
  floors_.grow(leaves_);
  if (how_.pick != pick_kind::slo)
    return;
  finish_.push_back(finish_of(closed));
  spare_finish_.reserve(finish_.capacity());
  finish_floors_.grow(finish_);
}

void score_view::write(index place, const endpoint_figures& now, const room_floor& room) {
  const auto at = leaf_of_[place];
  leaves_[at] = {how_.weigh(now), room, place};
  if (!finish_.empty())
    finish_[at] = finish_of(now);
}

void score_view::lift(index place) {
  const auto at = leaf_of_[place];
  floors_.update(at, leaves_);
  if (!finish_.empty())
    finish_floors_.update(at, finish_);
}

void score_view::remake_floors() {
  floors_.remake(leaves_);
  if (!finish_.empty())
    finish_floors_.remake(finish_);
}

void score_view::learned(index place, const endpoint_figures& idle) {
  const auto score = how_.weigh(idle);
  const parts now{score.fixed, score.per_prompt * usual_prompt, score.per_output * usual_output};
  auto& known = standings_[leaf_of_[place]];
  if (known.moved) {
    known.at = now;
    return;
  }
  std::int64_t apart = 0, all = 0;
  for (std::size_t part = 0; part < now.size(); ++part) {
    apart += std::abs(now[part] - known.at[part]) / 4;
    all += known.at[part] / 4;
  }
  if (apart <= all / alike_share)
    return;
  known.at = now;
  known.moved = true;
  ++moved_;
}

void score_view::tidy() {
  // Of so few every one is looked at.
  if (leaves_.size() <= limits::explain_candidates_max || moved_ * order_share < size())
    return;
  arrange(0, size());
  follow_order();
  moved_ = 0;
  ++orders_made_;
}

/// Halves of whole floors, so that each floor is over one of the parts that come of it.
void score_view::arrange(index first, index end) {
  const auto begin = standings_.begin();
  if (end - first <= tree_width) {
    std::sort(begin + first, begin + end,
              [](const standing& a, const standing& b) { return a.place < b.place; });
    return;
  }
  parts least = standings_[first].at, most = least;
  for (auto each = first + 1; each < end; ++each)
    for (std::size_t part = 0; part < least.size(); ++part) {
      least[part] = std::min(least[part], standings_[each].at[part]);
      most[part] = std::max(most[part], standings_[each].at[part]);
    }
  std::size_t widest = 0;
  for (std::size_t part = 1; part < least.size(); ++part)
    if (most[part] - least[part] > most[widest] - least[widest])
      widest = part;
  const auto middle = first + std::bit_floor(end - first - 1);
  std::nth_element(
      begin + first, begin + middle, begin + end, [&](const standing& a, const standing& b) {
        return a.at[widest] != b.at[widest] ? a.at[widest] < b.at[widest] : a.place < b.place;
      });
  arrange(first, middle);
  arrange(middle, end);
}

/// Moves what stands at each leaf to where its place stands now.
void score_view::follow_order() {
  spare_.clear();
  spare_finish_.clear();
  for (auto& one : standings_) {
    const auto before = leaf_of_[one.place];
    spare_.push_back(leaves_[before]);
    if (!finish_.empty())
      spare_finish_.push_back(finish_[before]);
    one.moved = false;
  }
  leaves_.swap(spare_);
  finish_.swap(spare_finish_);
  for (index at = 0; at < size(); ++at)
    leaf_of_[leaves_[at].place] = at;
  remake_floors();
}

} // namespace consort::core
