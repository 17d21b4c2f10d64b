// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A policy's profile: how the terms make one score, lower is better, ties by device id. `latency`
/// is the one that exists; the others are decided by it until they have a profile of their own, and
/// a decision's record names the profile that really decided. A score never falls when a term other
/// than prefix grows: endpoints are skipped by lower bounds.
///
///   latency = queue + setup + prefill - prefix + decode + exact     (predicted finish)

#include "scheduler/policy/terms.hpp"

namespace consort::core {

struct latency_profile {
  static constexpr const char* name = "latency";
  static constexpr std::int64_t score(const score_terms& terms) {
    return terms.queue_ns + terms.setup_ns + terms.prefill_ns - terms.prefix_ns + terms.decode_ns
           + terms.exact_ns;
  }
};

/// Calls `use` with the profile that decides for `policy`. The one place to add a profile.
template <class Use>
decltype(auto) with_profile(policy_name policy, Use&& use) {
  switch (policy) {
  case policy_name::latency:
  case policy_name::throughput:
  case policy_name::energy:
  case policy_name::cost:
  case policy_name::hybrid: break;
  }
  return use(latency_profile{});
}

/// Name of the profile that decides for `policy`.
[[nodiscard]] inline const char* profile_name(policy_name policy) {
  return with_profile(policy, [](auto profile) { return decltype(profile)::name; });
}

} // namespace consort::core
