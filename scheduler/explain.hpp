// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Recorded reasons: a ring of the last limits::explain_requests_max requests, each with its first
/// and latest decisions as raw numbers. Words are made only when somebody asks. Owned by
/// core_state.

#include "scheduler/policy/profile.hpp"
#include "scheduler/requests_state.hpp"
#include "scheduler/view.hpp"

#include <array>
#include <deque>
#include <limits>

namespace consort::core {

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
  void reset(std::size_t wanted) {
    wanted_ = wanted;
    count_ = 0;
  }
  /// The score of a place, also of one that is there already. Equal scores: lower place first.
  void offer(index place, std::int64_t score, std::uint32_t saved, std::int64_t again_ns = 0,
             std::int64_t room_ns = 0);
  [[nodiscard]] std::size_t size() const { return count_; }
  [[nodiscard]] const scored& operator[](std::size_t rank) const { return places_[rank]; }

private:
  std::array<scored, limits::explain_candidates_max> places_{};
  std::size_t count_ = 0, wanted_ = limits::explain_candidates_max;
};

/// One candidate as recorded: figures when it passed, the refusing filter when not. Small, since
/// many are kept.
struct candidate_record {
  instance_id instance; ///< 0 = not loaded.
  std::int64_t score = 0;
  index device = none;
  std::uint32_t wait_us = 0; ///< Queue when loaded, else setup; at most some 70 minutes.
  std::uint32_t first_ns = 0, prefill_ns = 0, itl_ns = 0, step_ns = 0;
  std::uint32_t read_ns = 0, shared_ns = 0; ///< See endpoint_figures.
  std::uint32_t saved = 0;                  ///< Prompt tokens, cached there.
  std::uint32_t again_us = 0;               ///< See endpoint_figures.
  std::uint16_t batch = 1, running = 0;
  filter_id removed_by = filter_id::passed;
  std::uint64_t amount = 0, limit = 0; ///< Removed for lack of room: what counted against what.
  bool limit_is_all = false;           ///< Of KV: `limit` is all that it has, not what is free.
  bool compiling = false;              ///< Needs an artifact built first.
  bool exact = true;
};

struct decision_record {
  std::uint32_t attempt = 0;
  time_us at = 0;
  index profile = 0;
  work_size size;
  const char* outcome = "";
  std::string reason;
  bool explored = false; ///< Sent there to measure it.
  index winner = none;
  std::vector<candidate_record> candidates; ///< Best first, then removed ones.
  std::uint32_t candidates_total = 0;
};

struct explained_request {
  std::uint64_t sequence = 0; ///< Of the request; 0 = free.
  request_id id;
  std::string external_id;
  index model = none;
  time_us submitted_at = 0, ended_at = 0;
  std::uint32_t attempts = 0;
  index device = none;
  const char* outcome = ""; ///< Set at the end.
  std::vector<decision_record> decisions;
  std::size_t used = 0; ///< Of `decisions`; the rest is kept for its memory.
};

class explain_ring {
public:
  /// Takes the oldest slot, with room for one decision of so many candidates. Returns: its number.
  index open(std::uint64_t sequence, std::size_t candidates);
  /// Makes room for one more such decision, so that add() need not.
  static void prepare(explained_request& entry, std::size_t candidates);
  /// The request's entry, or null when the ring has moved on.
  [[nodiscard]] explained_request* find(index slot, std::uint64_t sequence);
  /// A decision to fill, cleared. The first and the latest ones are kept.
  static decision_record& add(explained_request& entry);
  /// The latest request of that id, or null. O(limits::explain_requests_max).
  [[nodiscard]] const explained_request* latest(std::string_view external_id) const;

private:
  std::deque<explained_request> entries_; ///< Grows without moving what is there.
  std::size_t next_ = 0;
};

} // namespace consort::core
