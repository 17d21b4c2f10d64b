// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/check/capacity.hpp"

#include <algorithm>
#include <utility>

namespace consort::sim {

void capacity_checker::on_event(const core::event& happened, time_us) {
  if (const auto* described = std::get_if<core::device_advertised>(&happened))
    devices_[described->spec.id] = described->spec;
  else if (const auto* refused = std::get_if<core::allocation_refused>(&happened))
    forget(refused->allocation);
  else if (const auto* held = std::get_if<core::allocation_reserved>(&happened))
    answered_.insert(held->allocation);
  else if (const auto* joined = std::get_if<core::node_joined>(&happened))
    if (std::exchange(lives_[joined->node], joined->life) != joined->life)
      forget_node(joined->node); // A new process holds nothing of the old one's.
}

/// What it had asked for and nobody had granted dies with it: the next one cannot know of it.
void capacity_checker::on_scheduler_lost(time_us) {
  std::vector<allocation_id> open;
  for (const auto& [id, grant] : allocations_)
    if (!answered_.contains(id))
      open.push_back(id);
  for (const auto id : open)
    forget(id);
}

void capacity_checker::forget(allocation_id which) {
  answered_.erase(which);
  const auto found = allocations_.find(which);
  if (found == allocations_.end())
    return;
  for (const auto& share : found->second.shares)
    on_device_[share.device].erase(which);
  allocations_.erase(found);
}

/// Allocations with a share on this node are void.
void capacity_checker::forget_node(const node_id& node) {
  std::set<allocation_id> gone;
  const auto begin = on_device_.lower_bound(device_id(node.value + "/"));
  for (auto at = begin; at != on_device_.end() && devices_[at->first].node == node; ++at)
    gone.insert(at->second.begin(), at->second.end());
  for (const auto which : gone)
    forget(which);
}

void capacity_checker::on_command(const core::command& wanted, time_us now) {
  if (const auto* released = std::get_if<core::release_allocation>(&wanted)) {
    forget(released->allocation);
  } else if (const auto* fenced = std::get_if<core::fence_node>(&wanted)) {
    forget_node(fenced->node);
  } else if (const auto* reserved = std::get_if<core::reserve_allocation>(&wanted)) {
    allocations_[reserved->grant.id] = reserved->grant;
    for (const auto& share : reserved->grant.shares) {
      on_device_[share.device].insert(reserved->grant.id);
      check_device(share.device, now);
    }
  }
}

void capacity_checker::check_device(const device_id& device, time_us now) {
  const auto& spec = devices_[device];
  std::uint64_t used = 0;
  std::size_t shares = 0;
  bool whole = false;
  for (const auto& id : on_device_[device])
    for (const auto& share : allocations_.at(id).shares) {
      if (share.device != device)
        continue;
      ++shares;
      whole = whole || share.whole;
      used += share.whole ? spec.memory_bytes : share.memory_bytes;
    }
  if (used > spec.memory_bytes || (whole && shares > 1))
    violate(device.value + " has " + std::to_string(used) + " of "
                + std::to_string(spec.memory_bytes) + " bytes reserved in " + std::to_string(shares)
                + " shares",
            now);
}

void capacity_checker::on_ticket_honoured(const ticket& permission, const ticket_reception& how,
                                          time_us now) {
  if (how.sequences_running > how.sequences_max || how.kv_tokens_used > how.kv_tokens_max)
    violate(permission.device.value + " runs " + std::to_string(how.sequences_running) + " of "
                + std::to_string(how.sequences_max) + " sequences with "
                + std::to_string(how.kv_tokens_used) + " of " + std::to_string(how.kv_tokens_max)
                + " KV tokens",
            now);
}

} // namespace consort::sim
