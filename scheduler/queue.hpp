// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Requests of one model that wait for an endpoint, and the share of it that each tenant had.
///
/// Kept in lanes by (selector, class, late, asks), so that a request that only an NPU may serve
/// never blocks one that the CPU can. Order of service: class first; in a class the tenant with the
/// least use of the model, in tokens over its weight; of one tenant the earliest deadline first,
/// then first come.
///
/// Fairness: of two tenants that both keep waiting in one class, the use over weight differs by at
/// most one request of each, plus what the lengths of those under way were misjudged by. Whoever
/// had nothing waiting starts level with the least served of those who wait: rest earns no credit.
///
/// Aging: a lane whose oldest waits longer than limits::starvation_us gets at least every
/// limits::aged_every-th grant of its model, before every class; in such a turn a tenant's oldest
/// request goes first, whatever deadlines others have. So nobody waits for more than
/// limits::aged_every times the grants that stand before it in its own lane.
///
/// Holds slots of the request table, never requests; bounded by core_config::queue_max. Pure.

#include "scheduler/requests.hpp"

#include <limits>
#include <map>
#include <optional>
#include <set>
#include <vector>

namespace consort::core {

/// Where a waiting request stands in its tenant's line. Ordered as served.
struct queue_place {
  static constexpr time_us no_deadline = std::numeric_limits<time_us>::max();
  time_us deadline = no_deadline; ///< Absolute.
  std::uint64_t sequence = 0;
  friend auto operator<=>(const queue_place&, const queue_place&) = default;
};

struct lane_key {
  std::uint32_t selector = 0; ///< Index in the selector table.
  priority_class priority = priority_class::standard;
  bool late = false;      ///< Of profile::late: it may wait where others of its class need not.
  std::uint32_t asks = 0; ///< For what not every device answers: bits of asks.hpp.
  friend auto operator<=>(const lane_key&, const lane_key&) = default;
};

struct waiting_request {
  std::uint32_t slot = 0;
  time_us since = 0; ///< When it was submitted, or began to wait again after it made room.
  // As it stands in the queue, which sets them.
  std::uint32_t tenant = 0;
  time_us deadline = queue_place::no_deadline;
};

/// Index and generation of a row in the tenant table: a row that was given to another tenant has
/// another generation, and its old use is forgotten.
struct tenant_key {
  std::uint32_t at = 0;
  std::uint32_t generation = 0;
  std::uint32_t weight = 1;
};

/// Who would be served next in one lane.
struct queue_head {
  lane_key key;
  std::uint32_t tenant = 0;
  std::int64_t use = 0; ///< Of the tenant, over its weight.
  queue_place place;
  waiting_request who;
};

class request_queue {
public:
  using tenant_line = std::map<queue_place, waiting_request>;
  using aged_line = std::map<std::pair<time_us, std::uint64_t>, waiting_request>;
  struct lane_state {
    std::map<std::uint32_t, tenant_line> lines;             ///< By tenant; none is empty.
    std::set<std::pair<std::int64_t, std::uint32_t>> order; ///< Use and tenant of each line.
    aged_line by_age;                                       ///< Since, sequence.
  };

  void add(const lane_key& key, const tenant_key& tenant, const queue_place& place,
           const waiting_request& who);
  /// Returns: whether it was there.
  bool remove(const lane_key& key, std::uint32_t tenant, const queue_place& place);
  [[nodiscard]] bool contains(const lane_key& key, std::uint32_t tenant,
                              const queue_place& place) const;
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  /// Never empty lanes; in order of key.
  [[nodiscard]] const std::map<lane_key, lane_state>& lanes() const { return lanes_; }

  /// Who is served next in the lane, but for those named. Requires: few are named. Returns: nobody
  /// when all are.
  [[nodiscard]] std::optional<queue_head> head(const lane_key& key, bool aged,
                                               const std::vector<std::uint32_t>& but_for) const;
  /// The lane that must be served now since its oldest waits too long; none when nothing is due.
  [[nodiscard]] const lane_key* aged_lane(time_us now) const;
  /// A request of the queue was granted, and is off it. `aged`: of the lane that was due.
  void granted(bool aged, time_us now);

  /// Counts tokens that the tenant uses, or gives back what was counted too much.
  void charge(const tenant_key& tenant, std::int64_t tokens);
  [[nodiscard]] std::int64_t use_of(const tenant_key& tenant) const;

  /// How many wait that whoever comes to that lane now may stand behind: of its class or a more
  /// urgent one, and not by choice where it has none; O(lanes).
  [[nodiscard]] std::size_t before(const lane_key& key) const;
  /// How many are served before it, itself included: exact for who came last, else an estimate;
  /// O(lanes).
  [[nodiscard]] std::uint32_t position(const lane_key& key, std::uint32_t tenant,
                                       const queue_place& place) const;
  /// When `count` of those who wait will have been granted, by the pace of grants lately; nothing
  /// while no pace is known.
  [[nodiscard]] std::optional<duration_us> predicted_drain(std::size_t count, time_us now) const;

private:
  struct tenant_share {
    std::int64_t use = 0; ///< Tokens * use_unit / weight.
    std::uint32_t generation = 0;
    std::uint32_t waiting = 0;
  };
  tenant_share& share_of(const tenant_key& tenant);
  void move_lines(std::uint32_t tenant, std::int64_t from, std::int64_t to);
  [[nodiscard]] std::int64_t least_use() const;

  std::map<lane_key, lane_state> lanes_;
  std::map<std::uint32_t, tenant_share> shares_; ///< By tenant; bounded by the tenant table.
  std::int64_t floor_ = 0;                       ///< Where whoever comes new begins.
  std::size_t size_ = 0;
  std::uint32_t since_aged_ = 0; ///< Grants since a lane that waited too long had one.
  time_us granted_at_ = 0;       ///< Last grant while others wait; 0 = none.
  std::int64_t grant_gap_us_ = 0;
};

/// Tokens are counted in these parts, so that a weight divides without much loss.
inline constexpr std::int64_t use_unit = 1'024;

/// Whether `left` is served before `right`: class, then use, then place.
[[nodiscard]] bool goes_before(const queue_head& left, const queue_head& right);

/// Whether it waited beyond limits::starvation_us.
[[nodiscard]] bool starving(const waiting_request& who, time_us now);

} // namespace consort::core
