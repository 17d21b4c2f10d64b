// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Endpoints of one model, dense and in order of device id, then instance, then rank: what a
/// decision scans. The ledger of outstanding work on each endpoint is ours and is the truth; what
/// engines report only sets the limits. Owned by the model's state.

#include "scheduler/cost_model.hpp"
#include "scheduler/policy/terms.hpp"

#include <vector>

namespace consort::core {

using index = std::uint32_t;
inline constexpr index none = ~index{0};

/// What the scoring loop reads of an endpoint, packed for it; derived by endpoint_table::refresh.
struct endpoint_pace {
  std::int64_t queue_ns = 0;    ///< term_ns_max when closed: never among the best.
  std::uint32_t prefill_ns = 0; ///< Per token.
  std::uint32_t itl_ns = 0;     ///< At the batch that one more would make.
};
/// Endpoints in a row that share a floor.
inline constexpr index pace_block = 8;
/// What is looked at once the score is good; derived likewise.
struct endpoint_room {
  std::int64_t kv_free = 0;  ///< Tokens; unlimited when unknown or idle.
  std::int32_t seq_free = 0; ///< Backlog included; negative when closed.
  index device = none;
  std::uint32_t samples = 0; ///< Attempts learned from.
};

struct endpoint {
  index instance = none;
  instance_id id;
  std::uint32_t rank = 0;
  index device = none; ///< The leader.
  index pair = none;   ///< (device, model): speed and breaker.
  std::uint32_t seq_max = 1;
  std::uint32_t seq_used = 0;
  std::uint32_t seq_foreign = 0; ///< Load that is not ours.
  std::uint64_t kv_max = 0;      ///< Tokens; 0 = unknown.
  std::uint64_t kv_used = 0;
  std::int64_t work_ns = 0;          ///< Predicted work of all outstanding attempts.
  std::int64_t prefill_ahead_ns = 0; ///< Of those without a first token.
  bool open = false;                 ///< Takes new work.
  duration_us worst_gap_us = 0;      ///< Between two reports of one attempt, lately.
  time_us worst_gap_at = 0;

  /// Fades with time, never below the period of reports.
  [[nodiscard]] duration_us worst_gap(time_us now) const;
  void saw_gap(duration_us gap, time_us now);
};

/// What one attempt holds of an endpoint, from its ticket to its end.
struct reservation {
  std::uint32_t sequences = 0; ///< 0 = holds nothing.
  std::uint64_t kv_tokens = 0;
  std::int64_t work_ns = 0;
  std::int64_t prefill_ns = 0; ///< 0 once the first token came.
};

class endpoint_table {
public:
  [[nodiscard]] std::size_t size() const { return all_.size(); }
  [[nodiscard]] bool empty() const { return all_.empty(); }
  [[nodiscard]] const endpoint& at(index place) const { return all_[place]; }
  [[nodiscard]] endpoint& at(index place) { return all_[place]; }
  [[nodiscard]] const std::vector<endpoint_pace>& paces() const { return paces_; }
  [[nodiscard]] const endpoint_pace& pace(index place) const { return paces_[place]; }
  /// Of each block of `pace_block` places the least of every member: no score there is lower.
  [[nodiscard]] const std::vector<endpoint_pace>& floors() const { return floors_; }
  [[nodiscard]] const endpoint_room& room(index place) const { return rooms_[place]; }
  /// Of the instance at a place, without touching its row.
  [[nodiscard]] instance_id id_at(index place) const { return ids_[place]; }

  /// Requires: the caller renumbers what refers to places at or behind `place`.
  void insert(index place, const endpoint& one);
  void erase(index place);
  /// Recomputes what decisions read, from the endpoint and its learned speed.
  void refresh(index place, const speed_estimate& speed);

  void reserve(index place, const reservation& held);
  void release(index place, const reservation& held);
  void first_token(index place, reservation& held);

private:
  void lower_floor(index block);
  void lower_floors_from(index place);

  std::vector<endpoint> all_;
  std::vector<endpoint_pace> paces_;
  std::vector<endpoint_pace> floors_;
  std::vector<endpoint_room> rooms_;
  std::vector<instance_id> ids_;
};

/// Places beyond the sequences themselves; see limits::endpoint_backlog_pm.
[[nodiscard]] std::uint32_t backlog_of(std::uint32_t sequences);

} // namespace consort::core
