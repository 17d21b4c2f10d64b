// SPDX-License-Identifier: Apache-2.0
// What is kept to explain the last requests, and where: no words.
#include "scheduler/explain.hpp"

#include <algorithm>

namespace consort::core {

void best_places::offer(index place, std::int64_t score, std::uint32_t saved, std::int64_t again_ns,
                        std::int64_t room_ns) {
  const auto known
      = std::find_if(places_.begin(), places_.begin() + static_cast<std::ptrdiff_t>(count_),
                     [&](const scored& one) { return one.place == place; });
  if (known != places_.begin() + static_cast<std::ptrdiff_t>(count_)) {
    std::move(known + 1, places_.begin() + static_cast<std::ptrdiff_t>(count_), known);
    --count_;
  }
  const auto before = [&](const scored& other) {
    return score < other.score || (score == other.score && place < other.place);
  };
  if (count_ == wanted_ && !before(places_[count_ - 1]))
    return;
  auto at = count_ < wanted_ ? count_++ : wanted_ - 1;
  for (; at > 0 && before(places_[at - 1]); --at)
    places_[at] = places_[at - 1];
  places_[at] = {score, place, saved, again_ns, room_ns};
}

void best_places::insist(index place, std::int64_t score) {
  const auto known
      = std::any_of(places_.begin(), places_.begin() + static_cast<std::ptrdiff_t>(count_),
                    [&](const scored& one) { return one.place == place; });
  if (known)
    return;
  if (count_ == wanted_)
    --count_;
  offer(place, score, 0);
}

/// What is kept of so many requests is in no cache, and took as long to reach as a decision to
/// make. Which slots come next is known: each is asked for some requests ahead.
void explain_ring::fetch_ahead() const {
  constexpr std::size_t ahead = 2;
  if (size_ < std::max(max_, ahead + 1))
    return; // Not full yet: what comes next is new.
  fetch_soon(at(next_ + ahead < size_ ? next_ + ahead : next_ + ahead - size_));
}

void explain_ring::give_back(explained_request& entry, decision_record& record) {
  pool_.give_back(record.candidates);
  if (record.beside > 0)
    entry.beside_used = false;
  record.beside = 0;
}

index explain_ring::open(std::uint64_t sequence, std::size_t candidates) {
  if (max_ == 0)
    return none;
  if (size_ < max_ && size_++ == chunks_.size() * chunk_size)
    chunks_.emplace_back(chunk_size);
  const auto slot = static_cast<index>(next_);
  next_ = next_ + 1 == max_ ? 0 : next_ + 1;
  fetch_ahead();
  auto& entry = at(slot);
  entry.sequence = sequence;
  entry.ended_at = 0;
  entry.attempts = 0;
  entry.device = none;
  entry.outcome = "";
  if (entry.model == none) // Only then it says anything, and it lies at the other end.
    entry.asked.clear();
  for (std::uint32_t each = 0; each < entry.used; ++each)
    give_back(entry, each == 0 ? entry.first : entry.later[each - 1]);
  entry.used = 0;
  prepare(entry, candidates);
  return slot;
}

void explain_ring::prepare(explained_request& entry, std::size_t candidates) {
  const auto apart
      = entry.beside_used ? candidates : candidates - std::min(candidates, entry.beside.size());
  const auto blocks = candidate_pool::blocks_for(apart);
  if (blocks != entry.promised)
    pool_.promise(std::int64_t{blocks} - entry.promised);
  entry.promised = blocks;
  // Beyond, the next one takes the place of one that makes room for it.
  if (entry.used > 0 && entry.used < limits::explain_decisions_max
      && entry.used - 1 == entry.later.size()) {
    entry.later.reserve(entry.used); // Most have one: no more than that for each.
    entry.later.emplace_back();
  }
}

explained_request* explain_ring::find(index slot, std::uint64_t sequence) {
  if (slot >= size_ || at(slot).sequence != sequence)
    return nullptr;
  return &at(slot);
}

decision_record& explain_ring::add(explained_request& entry) {
  if (entry.used == limits::explain_decisions_max) {
    // The first stays: it says how the request began. The second oldest makes room.
    std::rotate(entry.later.begin(), entry.later.begin() + 1, entry.later.end());
    give_back(entry, entry.later.back());
    --entry.used;
  }
  if (entry.used++ == 0)
    return entry.first = {};
  if (entry.used - 1 > entry.later.size())
    entry.later.emplace_back();
  return entry.later[entry.used - 2] = {};
}

void explain_ring::fulfil(explained_request& entry) {
  if (entry.promised != 0)
    pool_.promise(-std::int64_t{entry.promised});
  entry.promised = 0;
}

void explain_ring::keep(explained_request& entry, decision_record& record,
                        const std::vector<candidate_record>& candidates) {
  fulfil(entry);
  std::size_t here = 0;
  if (!entry.beside_used) {
    here = std::min(candidates.size(), entry.beside.size());
    std::copy_n(candidates.begin(), here, entry.beside.begin());
    record.beside = static_cast<std::uint32_t>(here);
    entry.beside_used = here > 0;
  }
  record.candidates = pool_.keep(candidates, here);
}

candidate_record* explain_ring::keep_beside(explained_request& entry, decision_record& record,
                                            std::size_t candidates) {
  if (entry.beside_used || candidates > entry.beside.size())
    return nullptr;
  fulfil(entry);
  record.beside = static_cast<std::uint32_t>(candidates);
  entry.beside_used = candidates > 0;
  return entry.beside.data();
}

std::shared_ptr<const std::string> explain_ring::kept(std::string_view reason) {
  if (reason.empty())
    return nullptr;
  if (words_ == nullptr || *words_ != reason)
    words_ = std::make_shared<const std::string>(reason);
  return words_;
}

const explained_request* explain_ring::latest(std::string_view external_id) const {
  const explained_request* best = nullptr;
  for (std::size_t slot = 0; slot < size_; ++slot)
    if (const auto& entry = at(slot); entry.sequence != 0 && entry.external_id == external_id
                                      && (best == nullptr || best->sequence < entry.sequence))
      best = &entry;
  return best;
}

} // namespace consort::core
