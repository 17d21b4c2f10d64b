// SPDX-License-Identifier: Apache-2.0
#include "scheduler/score_view.hpp"

#include "scheduler/limits.hpp"
#include "scheduler/prng.hpp"

#include <algorithm>
#include <bit>
#include <cstdlib>

namespace consort::core {

namespace {

/// Of the request by which endpoints are told apart.
constexpr std::int64_t usual_prompt = 512;
constexpr std::int64_t usual_output = 128;

} // namespace

std::uint64_t likeness_of(const linear_score& one) {
  std::uint64_t made = 0;
  for (const auto part : {one.fixed, one.per_prompt, one.per_output, one.ready_ns, one.behind_ns})
    made = mix(made ^ static_cast<std::uint64_t>(part));
  return made | 1U;
}

score_view::score_view(index number, const profile& how) : number_(number), how_(how) {}

void score_view::grow(const endpoint_figures& closed) {
  const auto place = size();
  scores_.push_back(how_.weigh(closed));
  leaves_.push_back({floor_under(scores_.back()), {}, place, likeness_of(scores_.back())});
  leaf_of_.push_back(place);
  standings_.push_back({{}, place, true});
  ++moved_;
  spare_.reserve(leaves_.capacity());
  spare_scores_.reserve(scores_.capacity());
  floors_.grow(leaves_);
  full_floors_.grow(leaves_);
  if (how_.pick != pick_kind::slo)
    return;
  finish_.push_back(finish_of(closed));
  spare_finish_.reserve(finish_.capacity());
  finish_floors_.grow(finish_);
}

void score_view::write(index place, const endpoint_figures& now, const room_floor& room,
                       bool busy) {
  const auto at = leaf_of_[place];
  note_members(leaves_[at]);
  scores_[at] = how_.weigh(now);
  leaves_[at] = {floor_under(scores_[at]), room, place, likeness_of(scores_[at])};
  if (busy && how_.late && room.seq_free > 0) {
    leaves_[at].room.seq_free = 0;
    leaves_[at].room.kv_free = -1;
  }
  note_members(leaves_[at]);
  if (!finish_.empty())
    finish_[at] = finish_of(now);
}

/// A tree that a leaf is in neither before nor behind a change is left as it is.
void score_view::note_members(const leaf_floor& leaf) {
  lifts_free_ = lifts_free_ || with_room::has(leaf);
  lifts_full_ = lifts_full_ || without_room::has(leaf);
}

void score_view::lift(index place) {
  const auto at = leaf_of_[place];
  if (lifts_free_)
    floors_.update(at, leaves_);
  if (lifts_full_)
    full_floors_.update(at, leaves_);
  lifts_free_ = lifts_full_ = false;
  if (!finish_.empty())
    finish_floors_.update(at, finish_);
}

void score_view::remake_floors() {
  floors_.remake(leaves_);
  full_floors_.remake(leaves_);
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

score_floor score_view::floor_under(const linear_score& one) const {
  const std::int64_t weight = how_.weight(scorer_id::queue);
  const auto behind = one.fixed + std::min(one.behind_ns, wait_ns_max) * weight;
  const auto begun
      = one.fixed + wait_until(one.ready_ns, one.behind_ns, since_ns_, wait_ns_max) * weight;
  const auto output = one.per_output * sizes_.output_tokens;
  const auto both = output + one.per_prompt * sizes_.prompt_tokens;
  return {{four{{rounded_down(behind), rounded_down(behind + output), rounded_down(behind + both),
                 rounded_down(one.per_prompt)}},
           four{{rounded_down(begun), rounded_down(begun + output), rounded_down(begun + both),
                 rounded_down(one.per_output)}}}};
}

floor_shares score_view::shares_of(std::int64_t prompt, std::int64_t output,
                                   std::int64_t now_ns) const {
  const auto part = [](std::int64_t tokens, std::int64_t usual) {
    return tokens >= usual ? 1.0F : static_cast<float>(tokens) / static_cast<float>(usual);
  };
  const auto rest = [](std::int64_t tokens, float share, std::int64_t usual) {
    return std::max(static_cast<float>(tokens) - share * static_cast<float>(usual), 0.0F);
  };
  const auto answer = part(output, sizes_.output_tokens);
  const auto both = std::min(part(prompt, sizes_.prompt_tokens), answer);
  return {{1.0F - answer, answer - both, both},
          rest(prompt, both, sizes_.prompt_tokens),
          rest(output, answer, sizes_.output_tokens),
          rounded_up(std::clamp<std::int64_t>(now_ns - since_ns_, 0, wait_ns_max)
                     * how_.weight(scorer_id::queue))};
}

/// Whether the floors are as close as they can be, or nearly.
bool score_view::measures(work_size usual, std::int64_t now_ns) const {
  const auto near = [](std::uint32_t now, std::uint32_t measured) {
    return now / 2 <= measured && measured / 2 <= now;
  };
  return near(usual.prompt_tokens, sizes_.prompt_tokens)
         && near(usual.output_tokens, sizes_.output_tokens) && now_ns - since_ns_ < wait_ns_max / 2;
}

void score_view::tidy(work_size usual, std::int64_t now_ns) {
  const bool ordered = moved_ * order_share < size();
  // Of so few every one is looked at.
  if (leaves_.size() <= limits::explain_candidates_max || (ordered && measures(usual, now_ns)))
    return;
  sizes_ = usual;
  since_ns_ = now_ns;
  if (!ordered) {
    arrange(0, size());
    follow_order();
    moved_ = 0;
    ++orders_made_;
  }
  for (index at = 0; at < size(); ++at)
    leaves_[at].score = floor_under(scores_[at]);
  remake_floors();
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
  spare_scores_.clear();
  spare_finish_.clear();
  for (auto& one : standings_) {
    const auto before = leaf_of_[one.place];
    spare_.push_back(leaves_[before]);
    spare_scores_.push_back(scores_[before]);
    if (!finish_.empty())
      spare_finish_.push_back(finish_[before]);
    one.moved = false;
  }
  leaves_.swap(spare_);
  scores_.swap(spare_scores_);
  finish_.swap(spare_finish_);
  for (index at = 0; at < size(); ++at)
    leaf_of_[leaves_[at].place] = at;
}

} // namespace consort::core
