// SPDX-License-Identifier: Apache-2.0
#include "node/energy_book.hpp"

#include <algorithm>
#include <set>

namespace consort::node {

void energy_book::begin(const attempt_id& attempt, const std::vector<device_id>& meters,
                        time_us now) {
  running_[attempt] = meters;
  for (const auto& meter : meters)
    splits_[meter].begin(attempt, now);
}

std::optional<std::uint64_t> energy_book::end(const attempt_id& attempt, time_us now) {
  const auto found = running_.find(attempt);
  if (found == running_.end())
    return std::nullopt;
  const auto meters = std::move(found->second);
  running_.erase(found);
  bool known = !meters.empty();
  std::uint64_t sum_uj = 0;
  for (const auto& meter : meters) {
    const auto drawn = splits_[meter].end(attempt, now);
    known = known && drawn.has_value();
    sum_uj += drawn.value_or(0);
  }
  return known ? std::optional((sum_uj + 500) / 1'000) : std::nullopt;
}

const core::energy_split& energy_book::read(const device_id& meter, std::uint64_t idle_mw,
                                            time_us now, std::uint64_t energy_mj) {
  auto& split = splits_[meter];
  split.expect_idle(idle_mw);
  split.read(now, energy_mj);
  return split;
}

void energy_book::skip(const device_id& meter, time_us now) {
  if (const auto found = splits_.find(meter); found != splits_.end())
    found->second.skip(now);
}

void energy_book::forget(const device_id& meter) {
  splits_.erase(meter);
}

bool is_meter(const device_spec& device) {
  return device.parent.empty() && device.stages.empty();
}

std::vector<device_id> meters_of(const allocation& grant, const std::vector<device_spec>& here) {
  std::set<device_id> found;
  for (const auto& share : grant.shares) {
    const auto at = std::find_if(here.begin(), here.end(),
                                 [&](const device_spec& one) { return one.id == share.device; });
    if (at == here.end())
      return {};
    if (!at->stages.empty())
      found.insert({at->stages.prefill, at->stages.decode});
    else
      found.insert(at->parent.empty() ? at->id : at->parent);
  }
  return {found.begin(), found.end()};
}

} // namespace consort::node
