// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/id_sets.hpp"

#include <algorithm>

namespace consort::sim {

bool request_set::insert(const request_id& id) {
  if (id.sequence > limits::requests_max)
    return others_.insert(id).second;
  auto& bits = bits_[id.gateway];
  if (id.sequence >= bits.size())
    bits.resize(std::max<std::size_t>(id.sequence + 1, bits.size() * 2));
  const bool added = !bits[id.sequence];
  bits[id.sequence] = true;
  return added;
}

bool request_set::contains(const request_id& id) const {
  if (id.sequence > limits::requests_max)
    return others_.count(id) != 0;
  const auto found = bits_.find(id.gateway);
  return found != bits_.end() && id.sequence < found->second.size() && found->second[id.sequence];
}

void request_set::clear() {
  bits_.clear();
  others_.clear();
}

} // namespace consort::sim
