// SPDX-License-Identifier: Apache-2.0
#include "links/admission.hpp"

namespace consort::links {

namespace {

constexpr std::size_t v6_prefix_bytes = 8;

} // namespace

std::string admission::key_of(const boost::asio::ip::address& address) {
  if (address.is_v4())
    return address.to_string();
  const auto bytes = address.to_v6().to_bytes();
  if (address.to_v6().is_v4_mapped())
    return boost::asio::ip::make_address_v4(boost::asio::ip::v4_mapped, address.to_v6())
        .to_string();
  return {bytes.begin(), bytes.begin() + v6_prefix_bytes};
}

admission::visitors::iterator admission::visit(const boost::asio::ip::address& address,
                                               time_us now) {
  if (addresses_.size() >= limits::addresses_max)
    forget_idle(now);
  return addresses_.try_emplace(key_of(address), limits_).first;
}

/// Addresses without a connection are remembered for their failures only. If all of them have some,
/// they are forgotten nevertheless: memory goes before the record of a stranger.
void admission::forget_idle(time_us now) {
  for (auto at = addresses_.begin(); at != addresses_.end();) {
    const bool idle = at->second.connections == 0 && at->second.failures.full(now);
    at = idle ? addresses_.erase(at) : std::next(at);
  }
  if (addresses_.size() >= limits::addresses_max)
    std::erase_if(addresses_, [](const auto& one) { return one.second.connections == 0; });
}

admission::verdict admission::admit(connection_id id, const boost::asio::ip::address& address,
                                    time_us now) {
  verdict out;
  const auto known = visit(address, now);
  auto& own = known->second;
  // Who has not said anything yet will mostly have failed.
  const auto at_stake
      = static_cast<std::int64_t>(own.unfinished.size()) / limits::unfinished_per_credit;
  if (!own.failures.has(1 + at_stake, now)) {
    out.refused = "too_many_failures";
    out.mute = true;
    return out;
  }
  if (own.connections >= limits_.address_connections
      || own.unfinished.size() >= limits_.address_unfinished) {
    if (own.unfinished.empty()) {
      out.refused = "too_many_of_address";
      return out;
    }
    displace(*own.unfinished.begin(), now, out);
  }
  if (owners_.size() >= limits_.connections || unfinished_.size() >= limits_.unfinished) {
    if (unfinished_.empty()) {
      out.refused = "too_many_connections";
      return out;
    }
    displace(*unfinished_.begin(), now, out);
  }
  ++own.connections;
  own.unfinished.insert(id);
  unfinished_.insert(id);
  owners_.emplace(id, known);
  return out;
}

void admission::displace(connection_id id, time_us now, verdict& out) {
  out.displaced.push_back(id);
  gone(id, now);
}

bool admission::finish(connection_id id) {
  const auto owner = owners_.find(id);
  if (owner == owners_.end())
    return false;
  auto& own = owner->second->second;
  own.unfinished.erase(id);
  own.failures.give(limits::address_success_credit);
  unfinished_.erase(id);
  return true;
}

void admission::gone(connection_id id, time_us now, std::int64_t failures) {
  const auto owner = owners_.find(id);
  if (owner == owners_.end())
    return;
  auto& own = owner->second->second;
  --own.connections;
  if (own.unfinished.erase(id) > 0)
    own.failures.take_rest(failures, now); // Without debt: a mute is as long as it is.
  unfinished_.erase(id);
  owners_.erase(owner);
}

std::optional<admission::connection_id> admission::displace_oldest(time_us now) {
  if (unfinished_.empty())
    return std::nullopt;
  const auto oldest = *unfinished_.begin();
  gone(oldest, now);
  return oldest;
}

std::size_t admission::connections_of(const std::string& key) const {
  const auto found = addresses_.find(key);
  return found == addresses_.end() ? 0 : found->second.connections;
}

std::optional<std::uint64_t> quiet_log::may_log(const std::string& address, time_us now) {
  if (seen_.size() >= limits::addresses_max && !seen_.contains(address)) {
    std::erase_if(seen_, [&](const auto& one) { return now - one.second.logged_at >= every_; });
    if (seen_.size() >= limits::addresses_max)
      return std::nullopt; // Thousands of addresses in one period: the counters tell the rest.
  }
  const auto [found, first] = seen_.try_emplace(address);
  auto& seen = found->second;
  if (!first && now - seen.logged_at < every_) {
    ++seen.left_out;
    return std::nullopt;
  }
  seen.logged_at = now;
  return std::exchange(seen.left_out, 0);
}

} // namespace consort::links
