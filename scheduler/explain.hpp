// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Recorded reasons: a ring of the last requests, as many as core_config says, each with its first
/// and latest decisions as raw numbers. Words are made only when somebody asks. Owned by
/// core_state.

#include "scheduler/candidate_pool.hpp"
#include "scheduler/fetch.hpp"
#include "scheduler/policy/profile.hpp"
#include "scheduler/requests_state.hpp"
#include "scheduler/view.hpp"

#include <array>
#include <limits>
#include <memory>

namespace consort::core {

static_assert(profiles_max <= std::numeric_limits<std::uint8_t>::max());

/// The best endpoints of one decision by score, ties by place; a scratch reused by all decisions.
/// Holds at most limits::explain_candidates_max.
class best_places {
public:
  struct scored {
    std::int64_t score = 0;
    index place = none;
    std::uint32_t saved = 0;   ///< Prompt tokens that its cache probably holds.
    std::int64_t again_ns = 0; ///< See endpoint_figures.
    std::int64_t room_ns = 0;  ///< Until there is room for it; part of its wait.
  };
  /// `by`: the profile whose scores are offered.
  void reset(std::size_t wanted, std::uint64_t sequence = 0, time_us now = 0, index by = 0) {
    wanted_ = wanted;
    count_ = 0;
    sequence_ = sequence;
    at_ = now;
    by_ = by;
  }
  /// Whether these are of a decision about that request, made now.
  [[nodiscard]] bool are_of(std::uint64_t sequence, time_us now) const {
    return sequence_ == sequence && at_ == now;
  }
  /// The score of a place, also of one that is there already. Equal scores: lower place first.
  void offer(index place, std::int64_t score, std::uint32_t saved, std::int64_t again_ns = 0,
             std::int64_t room_ns = 0);
  /// As offer() of what was chosen whatever it scores: where there is no room, the worst leaves.
  void insist(index place, std::int64_t score);
  /// The profile whose scores these are, which need not be the request's own.
  [[nodiscard]] index scored_by() const { return by_; }
  [[nodiscard]] std::size_t size() const { return count_; }
  [[nodiscard]] const scored& operator[](std::size_t rank) const { return places_[rank]; }

private:
  std::array<scored, limits::explain_candidates_max> places_{};
  std::size_t count_ = 0, wanted_ = limits::explain_candidates_max;
  std::uint64_t sequence_ = 0; ///< Of the request; 0 = of one that is not run.
  time_us at_ = 0;
  index by_ = 0;
};

/// For whom a request waits by choice. Kept as numbers: in a crowd nearly everybody is told of
/// another device.
struct awaited_device {
  enum class lack : std::uint8_t { room, load, build };
  index device = none; ///< none = it waits for nobody by choice.
  lack lacks = lack::room;
  bool behind = false; ///< It only stands behind the first of those who chose.
};

struct decision_record {
  time_us at = 0;
  const char* outcome = "";
  std::shared_ptr<const std::string> reason; ///< Null = none.
  candidate_pool::chain candidates;          ///< Best first, then removed ones: what is not beside.
  work_size size;
  std::uint32_t attempt = 0;
  index profile = 0;
  index winner = none;
  std::uint32_t candidates_total = 0;
  std::uint32_t beside = 0;   ///< So many of the best are kept in the request's own row.
  awaited_device awaited;     ///< In place of a reason.
  bool explored = false;      ///< Sent there to measure it.
  std::uint8_t scored_by = 0; ///< Profile, as best_places says.
};

/// In one piece with the first decision and a few candidates of one decision: most requests have
/// no more, and what is recorded of them is written from one end to the other.
struct explained_request {
  std::uint64_t sequence = 0; ///< Of the request; 0 = free.
  request_id id;
  time_us submitted_at = 0, ended_at = 0;
  const char* outcome = ""; ///< Set at the end.
  index model = none;
  std::uint32_t attempts = 0;
  index device = none;
  std::uint32_t used = 0;     ///< Decisions.
  std::uint32_t promised = 0; ///< Blocks of candidates, for the next one.
  bool beside_used = false;   ///< Some decision's candidates are in `beside`.
  std::string external_id;
  decision_record first;
  std::array<candidate_record, candidate_pool::block_size> beside;
  std::vector<decision_record> later; ///< Behind the first; more than are used keep their memory.
  std::string asked;                  ///< The model's name, where nobody serves it.

  /// Requires: at < used.
  [[nodiscard]] const decision_record& decision(std::size_t at) const {
    return at == 0 ? first : later[at - 1];
  }
};

class explain_ring {
public:
  explicit explain_ring(std::size_t requests_max = limits::explain_requests_max)
      : max_(requests_max) {}
  /// Takes the oldest slot, with room for one decision of so many candidates. Returns: its number;
  /// none of a ring of none.
  index open(std::uint64_t sequence, std::size_t candidates);
  /// Makes room for one more such decision, so that add() and keep() need not.
  void prepare(explained_request& entry, std::size_t candidates);
  /// Asks for what is written of a slot when its request ends.
  void fetch(index slot) const {
    if (slot >= size_)
      return;
    fetch_soon(at(slot).sequence);
    fetch_soon(at(slot).device);
  }
  /// The request's entry, or null when the ring has moved on.
  [[nodiscard]] explained_request* find(index slot, std::uint64_t sequence);
  /// A decision to fill, cleared. The first and the latest ones are kept.
  decision_record& add(explained_request& entry);
  /// What the decision weighed, in place of the promise.
  void keep(explained_request& entry, decision_record& record,
            const std::vector<candidate_record>& candidates);
  /// As keep() of so many, which the caller fills in: in the request's own row, or null where they
  /// do not fit.
  [[nodiscard]] candidate_record* keep_beside(explained_request& entry, decision_record& record,
                                              std::size_t candidates);
  /// What a decision of the entry weighed, best first.
  template <class Use>
  void each_candidate(const explained_request& entry, const decision_record& record,
                      Use&& use) const {
    for (std::uint32_t rank = 0; rank < record.beside; ++rank)
      use(entry.beside[rank]);
    pool_.each(record.candidates, use);
  }
  /// The words as they are kept: once, as long as they are the same.
  [[nodiscard]] std::shared_ptr<const std::string> kept(std::string_view reason);
  /// The latest request of that id, or null. O(requests kept).
  [[nodiscard]] const explained_request* latest(std::string_view external_id) const;
  [[nodiscard]] const candidate_pool& candidates() const { return pool_; }

private:
  static constexpr std::size_t chunk_size = 8; ///< A page: no step pays for many new ones.

  [[nodiscard]] explained_request& at(std::size_t slot) {
    return chunks_[slot / chunk_size][slot % chunk_size];
  }
  [[nodiscard]] const explained_request& at(std::size_t slot) const {
    return chunks_[slot / chunk_size][slot % chunk_size];
  }
  void fetch_ahead() const;
  void give_back(explained_request& entry, decision_record& record);
  void fulfil(explained_request& entry);

  /// Each full from the beginning, and so never moved.
  std::vector<std::vector<explained_request>> chunks_;
  std::size_t size_ = 0;
  std::size_t max_;
  std::size_t next_ = 0;
  candidate_pool pool_;
  std::shared_ptr<const std::string> words_; ///< The latest; most who wait are told the same.
};

} // namespace consort::core
