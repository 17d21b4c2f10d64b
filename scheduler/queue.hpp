// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Requests of one model that wait for an endpoint. Kept in lanes by (selector, class, has a
/// deadline), so that a request that only an NPU may serve never blocks one that the CPU can.
/// Within a lane: earliest deadline first, then first come. Between lanes: whoever has waited
/// longer than limits::starvation_us first, oldest first; then by class, deadlines before none,
/// then as within. Holds slots of the request table, never requests; bounded by
/// core_config::queue_max.

#include "scheduler/requests.hpp"

#include <map>
#include <optional>
#include <vector>

namespace consort::core {

/// Where a waiting request stands. Ordered as served.
struct queue_place {
  time_us deadline = 0; ///< Absolute; 0 in lanes without.
  std::uint64_t sequence = 0;
  friend auto operator<=>(const queue_place&, const queue_place&) = default;
};

struct lane_key {
  std::uint32_t selector = 0; ///< Index in the selector table.
  priority_class priority = priority_class::standard;
  bool has_deadline = false;
  friend auto operator<=>(const lane_key&, const lane_key&) = default;
};

struct waiting_request {
  std::uint32_t slot = 0;
  time_us since = 0; ///< When it was submitted.
};

class request_queue {
public:
  using lane = std::map<queue_place, waiting_request>;

  void add(const lane_key& key, const queue_place& place, const waiting_request& who);
  /// Returns: whether it was there.
  bool remove(const lane_key& key, const queue_place& place);
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  /// Never empty lanes; in order of key.
  [[nodiscard]] const std::map<lane_key, lane>& lanes() const { return lanes_; }
  /// How many would be served before it, itself included; O(lanes + its lane).
  [[nodiscard]] std::uint32_t position(const lane_key& key, const queue_place& place) const;

private:
  std::map<lane_key, lane> lanes_;
  std::size_t size_ = 0;
};

/// The order between lane heads described above. Returns: whether `left` goes first at `now`.
[[nodiscard]] bool goes_before(const lane_key& left, const queue_place& left_place,
                               const waiting_request& left_head, const lane_key& right,
                               const queue_place& right_place, const waiting_request& right_head,
                               time_us now);

/// Whether it waited beyond limits::starvation_us.
[[nodiscard]] bool starving(const waiting_request& who, time_us now);

} // namespace consort::core
