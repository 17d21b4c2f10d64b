// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The node's own truth about who holds which of its devices. The scheduler plans on a snapshot;
/// this has the last word and refuses with a reason. Pure: no clock, no I/O, not thread-safe; owned
/// by the agent.
///
/// Invariants: a device held whole is held once; the memory shares of a device add up to no more
/// than it has; a device, its parent and its exclusive siblings are never held together; a fence is
/// obeyed once and never again after a newer one or a release.

#include "scheduler/types.hpp"

#include <deque>
#include <map>
#include <vector>

namespace consort::node {

class device_ledger {
public:
  explicit device_ledger(node_id node);

  /// Adds a device or replaces what is known about it; shares already granted stay.
  void set_device(const device_spec& device);
  /// Forgets a device. Returns: the allocations that held it; they stay until released.
  std::vector<allocation_id> remove_device(const device_id& device);

  /// Holds this node's shares of the allocation, all or none. Repeating a held grant is fine.
  /// Refusals, each retry elsewhere: `allocation_stale`, `allocation_changed`,
  /// `allocation_malformed`, `device_unknown`, `device_in_use`, `device_memory_short`,
  /// `allocations_full`.
  [[nodiscard]] result<done> reserve(const allocation& grant);
  /// Gives back what `id` holds, unless a newer fence holds it. Idempotent; remembers the fence, so
  /// that a late reserve is refused. Returns: whether something was given back.
  bool release(allocation_id id, epoch fence);

  [[nodiscard]] bool holds(allocation_id id) const { return held_.contains(id); }
  /// Memory not promised to anyone; nullopt = the device or its memory is unknown. A device held
  /// whole, or excluded by another in use, has none.
  [[nodiscard]] std::optional<std::uint64_t> memory_free_bytes(const device_id& device) const;
  /// Recomputes everything from the grants. Returns: the first broken invariant, or empty.
  [[nodiscard]] std::string check_invariants() const;

private:
  struct holding {
    epoch fence;
    std::vector<device_share> shares; ///< Of this node only.
  };
  struct usage {
    bool whole = false;
    std::uint64_t memory_bytes = 0;
  };
  using usage_map = std::map<device_id, usage>;

  [[nodiscard]] std::vector<device_share> local_shares(const allocation& grant) const;
  [[nodiscard]] result<done> check_fence(const allocation& grant,
                                         const std::vector<device_share>& shares) const;
  [[nodiscard]] usage_map usage_without(allocation_id excluded) const;
  [[nodiscard]] result<done> check_share(const device_share& share, const usage_map& used) const;
  [[nodiscard]] std::string excluded_by(const device_id& device, const usage_map& used) const;
  void remember_release(allocation_id id, epoch fence);

  const node_id node_;
  std::map<device_id, device_spec> devices_;
  std::map<allocation_id, holding> held_;
  std::map<allocation_id, epoch> released_;
  std::deque<allocation_id> released_order_;
};

} // namespace consort::node
