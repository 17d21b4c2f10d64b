// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Keeps the request on the cluster's own devices when it must not go to somebody else's now.

#include "scheduler/policy/facts.hpp"

namespace consort::core::filters {

struct remote {
  static constexpr const char* name = "remote";
  static bool keeps(const candidate_facts& one) { return !one.remote || !one.stays; }
  static std::string reason(const candidate_facts& one) {
    return one.never_remote   ? "is a remote API, and remote.use is never"
           : one.remote_spent ? "is a remote API, and the budget for those is used up for now"
                              : "is a remote API, and the cluster's own devices come first";
  }
};

} // namespace consort::core::filters
