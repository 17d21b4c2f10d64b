// SPDX-License-Identifier: Apache-2.0
#include "node/device_ledger.hpp"

#include "node/admission_limits.hpp"

#include <algorithm>

namespace consort::node {

namespace {

error refusal(std::string code, std::string message) {
  return error{recovery::retry_elsewhere, std::move(code), std::move(message)};
}

bool contains(const std::vector<device_id>& ids, const device_id& id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

} // namespace

device_ledger::device_ledger(node_id node) : node_(std::move(node)) {}

void device_ledger::set_device(const device_spec& device) {
  devices_[device.id] = device;
}

std::vector<allocation_id> device_ledger::remove_device(const device_id& device) {
  devices_.erase(device);
  std::vector<allocation_id> holders;
  for (const auto& [id, held] : held_)
    if (std::any_of(held.shares.begin(), held.shares.end(),
                    [&](const device_share& share) { return share.device == device; }))
      holders.push_back(id);
  return holders;
}

result<done> device_ledger::reserve(const allocation& grant) {
  auto shares = local_shares(grant);
  if (auto fenced = check_fence(grant, shares); !fenced)
    return fenced;
  if (!held_.contains(grant.id) && held_.size() >= limits::allocations_max)
    return refusal("allocations_full", node_.value + " holds as many allocations as it may");
  // A newer fence replaces the older grant, so its own shares do not stand in its way.
  auto used = usage_without(grant.id);
  for (const auto& share : shares) {
    if (auto fits = check_share(share, used); !fits)
      return fits;
    auto& entry = used[share.device];
    entry.whole = entry.whole || share.whole;
    entry.memory_bytes += share.whole ? 0 : share.memory_bytes;
  }
  held_[grant.id] = holding{grant.fence, std::move(shares)};
  return done{};
}

bool device_ledger::release(allocation_id id, epoch fence) {
  const auto at = held_.find(id);
  if (at != held_.end() && at->second.fence > fence)
    return false;
  remember_release(id, fence);
  return held_.erase(id) != 0;
}

std::optional<std::uint64_t> device_ledger::memory_free_bytes(const device_id& device) const {
  const auto at = devices_.find(device);
  if (at == devices_.end() || at->second.memory_bytes == 0)
    return std::nullopt;
  const auto used = usage_without(allocation_id{});
  if (!excluded_by(device, used).empty())
    return 0;
  const auto own = used.find(device);
  if (own == used.end())
    return at->second.memory_bytes;
  if (own->second.whole || own->second.memory_bytes > at->second.memory_bytes)
    return 0;
  return at->second.memory_bytes - own->second.memory_bytes;
}

std::string device_ledger::check_invariants() const {
  if (held_.size() > limits::allocations_max)
    return "more allocations than allowed";
  if (released_order_.size() > limits::released_fences_max)
    return "more released fences than allowed";
  usage_map sum;
  for (const auto& [id, held] : held_) {
    if (held.shares.empty())
      return "allocation " + std::to_string(id.value) + " holds nothing";
    for (const auto& share : held.shares) {
      auto& entry = sum[share.device];
      if (entry.whole || (share.whole && entry.memory_bytes > 0))
        return share.device.value + " is held whole and by another";
      entry.whole = share.whole;
      entry.memory_bytes += share.whole ? 0 : share.memory_bytes;
    }
  }
  for (const auto& [device, entry] : sum) {
    const auto at = devices_.find(device);
    if (at == devices_.end())
      continue; // removed while held
    if (at->second.memory_bytes != 0 && entry.memory_bytes > at->second.memory_bytes)
      return device.value + " promises more memory than it has";
    if (const auto other = excluded_by(device, sum); !other.empty())
      return device.value + " and " + other + " are held together";
  }
  return {};
}

std::vector<device_share> device_ledger::local_shares(const allocation& grant) const {
  const std::string prefix = node_.value + "/";
  std::vector<device_share> shares;
  for (const auto& share : grant.shares)
    if (share.device.value.starts_with(prefix))
      shares.push_back(share);
  return shares;
}

result<done> device_ledger::check_fence(const allocation& grant,
                                        const std::vector<device_share>& shares) const {
  const std::string name = "allocation " + std::to_string(grant.id.value);
  if (!grant.id || shares.empty())
    return refusal("allocation_malformed", name + " has no share on " + node_.value);
  for (auto share = shares.begin(); share != shares.end(); ++share)
    if (std::any_of(shares.begin(), share,
                    [&](const device_share& other) { return other.device == share->device; }))
      return refusal("allocation_malformed", name + " names " + share->device.value + " twice");
  if (const auto past = released_.find(grant.id);
      past != released_.end() && past->second >= grant.fence)
    return refusal("allocation_stale", name + " was released before");
  const auto held = held_.find(grant.id);
  if (held == held_.end() || held->second.fence < grant.fence)
    return done{};
  if (held->second.fence > grant.fence)
    return refusal("allocation_stale", name + " is held under a newer fence");
  if (held->second.shares != shares)
    return refusal("allocation_changed", name + " is held with other shares");
  return done{};
}

device_ledger::usage_map device_ledger::usage_without(allocation_id excluded) const {
  usage_map used;
  for (const auto& [id, held] : held_) {
    if (id == excluded)
      continue;
    for (const auto& share : held.shares) {
      auto& entry = used[share.device];
      entry.whole = entry.whole || share.whole;
      entry.memory_bytes += share.whole ? 0 : share.memory_bytes;
    }
  }
  return used;
}

result<done> device_ledger::check_share(const device_share& share, const usage_map& used) const {
  const auto at = devices_.find(share.device);
  if (at == devices_.end())
    return refusal("device_unknown", node_.value + " has no device " + share.device.value);
  if (const auto other = excluded_by(share.device, used); !other.empty())
    return refusal("device_in_use", share.device.value + " cannot be used while " + other + " is");
  const auto own = used.find(share.device);
  if (own != used.end() && (own->second.whole || share.whole))
    return refusal("device_in_use", share.device.value + " is held by another allocation");
  const auto total = at->second.memory_bytes;
  if (share.whole || total == 0)
    return done{};
  const auto taken = own == used.end() ? 0 : own->second.memory_bytes;
  if (share.memory_bytes > total || taken > total - share.memory_bytes)
    return refusal("device_memory_short",
                   share.device.value + " has " + std::to_string(total - std::min(taken, total))
                       + " bytes free, wanted " + std::to_string(share.memory_bytes));
  return done{};
}

/// Returns: a device in use that cannot be held together with this one, or empty. Asked from both
/// ends, since a plugin may name a sibling on one side only.
std::string device_ledger::excluded_by(const device_id& device, const usage_map& used) const {
  const auto self = devices_.find(device);
  for (const auto& [other, entry] : used) {
    if (other == device)
      continue;
    const auto spec = devices_.find(other);
    if (self != devices_.end()
        && (self->second.parent == other || contains(self->second.exclusive_siblings, other)))
      return other.value;
    if (spec != devices_.end()
        && (spec->second.parent == device || contains(spec->second.exclusive_siblings, device)))
      return other.value;
  }
  return {};
}

void device_ledger::remember_release(allocation_id id, epoch fence) {
  const auto [at, added] = released_.try_emplace(id, fence);
  if (!added) {
    at->second = std::max(at->second, fence);
    return;
  }
  released_order_.push_back(id);
  if (released_order_.size() > limits::released_fences_max) {
    released_.erase(released_order_.front());
    released_order_.pop_front();
  }
}

} // namespace consort::node
