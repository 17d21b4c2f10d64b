// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/check/capacity.hpp"

#include <algorithm>
#include <utility>

namespace consort::sim {

void capacity_checker::on_event(const core::event& happened, time_us) {
  if (const auto* described = std::get_if<core::device_advertised>(&happened))
    devices_[described->spec.id] = described->spec;
  else if (const auto* refused = std::get_if<core::allocation_refused>(&happened))
    allocations_.erase(refused->allocation);
  else if (const auto* joined = std::get_if<core::node_joined>(&happened))
    if (std::exchange(lives_[joined->node], joined->life) != joined->life)
      forget_node(joined->node); // A new process holds nothing of the old one's.
}

/// Allocations with a share on this node are void.
void capacity_checker::forget_node(const node_id& node) {
  std::erase_if(allocations_, [&](const auto& held) {
    return std::any_of(
        held.second.shares.begin(), held.second.shares.end(),
        [&](const device_share& share) { return devices_[share.device].node == node; });
  });
}

void capacity_checker::on_command(const core::command& wanted, time_us now) {
  if (const auto* released = std::get_if<core::release_allocation>(&wanted)) {
    allocations_.erase(released->allocation);
  } else if (const auto* fenced = std::get_if<core::fence_node>(&wanted)) {
    forget_node(fenced->node);
  } else if (const auto* reserved = std::get_if<core::reserve_allocation>(&wanted)) {
    allocations_[reserved->grant.id] = reserved->grant;
    for (const auto& share : reserved->grant.shares)
      check_device(share.device, now);
  }
}

void capacity_checker::check_device(const device_id& device, time_us now) {
  const auto& spec = devices_[device];
  std::uint64_t used = 0;
  std::size_t shares = 0;
  bool whole = false;
  for (const auto& [id, held] : allocations_)
    for (const auto& share : held.shares) {
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
