// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Where a request stands in a flat_map. Gateways count their requests, and those that come
/// together are looked up about together: a few in a row are neighbours, so that one line of a
/// cache serves them all. No more than a few, since long runs of two gateways that met would be
/// long to search.

#include "scheduler/prng.hpp"
#include "scheduler/requests.hpp"

namespace consort::core {

struct request_hash {
  static constexpr std::uint64_t neighbours = 4;
  std::size_t operator()(const request_id& id) const {
    const auto group = mix(id.gateway.value ^ mix(id.sequence / neighbours));
    return group * neighbours + id.sequence % neighbours;
  }
};

} // namespace consort::core
