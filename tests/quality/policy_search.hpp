// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The best assignment of known requests that a search finds, to judge policies by what can really
/// be played: no proof of the optimum, but nothing that a policy leaves on the table is far below.

#include "tests/quality/policy_world.hpp"

namespace consort::quality {

/// Which engine each request goes to as it arrives; one entry for each.
using assignment = std::vector<std::size_t>;

/// The least joules found that keep at least `slo_share`, in so many plays: from the best of the
/// starts, requests in a span, of one engine, some of them or all, are moved to another, and what
/// is no better is taken back. No joules when nothing kept as much. Deterministic by its seed.
[[nodiscard]] figures best_searched(const std::vector<chip>& fleet,
                                    const std::vector<arrival>& arrivals, std::size_t skip,
                                    double slo_share, const std::vector<assignment>& starts,
                                    std::size_t plays, std::uint64_t seed);

} // namespace consort::quality
