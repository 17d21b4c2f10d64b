// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Keeps devices that run a format of the model or artifacts built from it.

#include "scheduler/formats.hpp"
#include "scheduler/policy/facts.hpp"

namespace consort::core::filters {

struct format {
  static constexpr const char* name = "format";
  static bool keeps(const candidate_facts& one) { return one.format_known; }
  static std::string reason(const candidate_facts& one) {
    if (!one.unread.empty())
      return one.unread;
    auto unfit = one.spec == nullptr ? std::string() : unfit_words(*one.spec, *one.device);
    return unfit.empty() ? "runs no format of this model and no artifact built from it" : unfit;
  }
};

} // namespace consort::core::filters
