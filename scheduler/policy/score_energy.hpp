// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Energy charged to it: power above idle for the engine's time. What a token costs is shared by
/// those who would decode together if the model's load of late came there, as many as it takes: the
/// engine that is frugal once it is full is worth filling, which its first request alone never
/// shows. A small part counts what it costs with those who run there now, so that of engines of one
/// kind one is filled and the others rest. A device whose power is unknown has a guess of its kind.

#include "scheduler/policy/figures.hpp"

namespace consort::core::scores {

struct energy {
  static constexpr const char* name = "energy";
  static constexpr std::int64_t present_share = 8; ///< One in so many parts is of now.
  static linear_score of(const endpoint_figures& at) {
    const auto energy_of
        = [](std::int64_t ns, std::uint32_t mw) { return std::min(ns * mw / 1000, per_token_max); };
    const auto nj = [&](std::int64_t ns) { return energy_of(ns, at.active_mw); };
    const auto read
        = [&](std::int64_t ns) { return energy_of(ns, at.staged ? at.read_mw : at.active_mw); };
    const auto token = nj(at.shared_ns);
    const auto now = nj(at.itl_ns) / std::max<std::int64_t>(at.batch, 1);
    return {read(at.first_ns), read(at.read_ns), token + (now - token) / present_share};
  }
};

} // namespace consort::core::scores
