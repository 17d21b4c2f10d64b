// SPDX-License-Identifier: Apache-2.0
#include "gateway/crowd.hpp"

#include <algorithm>
#include <map>
#include <tuple>

namespace consort::gateway {

namespace {

/// Of one address.
struct party {
  std::size_t connections = 0;
  std::vector<guest> candidates; ///< Whoever goes first is last.
};

auto order(const guest& one) {
  return std::tuple(one.now, one.since_us, one.number);
}

bool goes_sooner(const party& left, const party& right) {
  if (left.candidates.empty() || right.candidates.empty())
    return !left.candidates.empty();
  if (left.connections != right.connections)
    return left.connections > right.connections;
  return order(left.candidates.back()) < order(right.candidates.back());
}

} // namespace

std::vector<std::uint64_t> who_gives_way(std::vector<guest> all, std::size_t wanted) {
  std::map<std::string, party> addresses;
  for (auto& one : all) {
    auto& own = addresses[one.key];
    ++own.connections;
    if (one.now != stage::serving)
      own.candidates.push_back(std::move(one));
  }
  std::vector<party> parties;
  for (auto& [key, own] : addresses) {
    std::sort(own.candidates.begin(), own.candidates.end(),
              [](const auto& left, const auto& right) { return order(left) > order(right); });
    parties.push_back(std::move(own));
  }
  std::vector<std::uint64_t> out;
  while (out.size() < wanted) {
    const auto first = std::min_element(parties.begin(), parties.end(), goes_sooner);
    if (first == parties.end() || first->candidates.empty())
      break;
    out.push_back(first->candidates.back().number);
    first->candidates.pop_back();
    --first->connections;
  }
  return out;
}

} // namespace consort::gateway
