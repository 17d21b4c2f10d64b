// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Sets of requests and of attempts that only grow: what must not be forgotten of ten million
/// requests takes two megabytes, since a gateway numbers its requests from 1 on and one bit each
/// says it. Ids beyond limits::requests_max, which no run has, are kept one by one. Values.

#include "scenarios/limits.hpp"
#include "scheduler/ids.hpp"

#include <map>
#include <set>
#include <vector>

namespace consort::sim {

class request_set {
public:
  /// Returns: whether it was not in it.
  bool insert(const request_id& id);
  [[nodiscard]] bool contains(const request_id& id) const;
  void clear();

private:
  std::map<gateway_id, std::vector<bool>> bits_; ///< By sequence.
  std::set<request_id> others_;
};

class attempt_set {
public:
  /// Returns: whether it was not in it.
  bool insert(const attempt_id& id) { return by_number_[id.number].insert(id.request); }

private:
  std::map<std::uint32_t, request_set> by_number_;
};

} // namespace consort::sim
