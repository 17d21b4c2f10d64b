// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Optional: asked only by profiles that name it. Keeps what runs in this cluster: nothing is
/// sent to a remote API.

#include "scheduler/policy/facts.hpp"

namespace consort::core::filters {

struct local {
  static constexpr const char* name = "local";
  static bool keeps(const candidate_facts& one) { return !one.remote; }
  static std::string reason(const candidate_facts&) {
    return "is a remote API, and the profile keeps requests here";
  }
};

} // namespace consort::core::filters
