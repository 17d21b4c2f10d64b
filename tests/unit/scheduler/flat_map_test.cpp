// SPDX-License-Identifier: Apache-2.0
#include "scheduler/flat_map.hpp"

#include "scheduler/prng.hpp"
#include "scheduler/request_hash.hpp"

#include <gtest/gtest.h>

#include <map>

namespace consort::core {

namespace {

/// Few homes, so that runs are long and wrap around.
struct poor_hash {
  std::size_t operator()(std::uint64_t key) const { return key % 7 + 11; }
};

TEST(FlatMap, HoldsWhatAMapHoldsWhateverIsErased) {
  flat_map<std::uint64_t, std::uint32_t, poor_hash> tested;
  std::map<std::uint64_t, std::uint32_t> expected;
  prng chance(5);
  for (std::uint32_t step = 0; step < 20'000; ++step) {
    const auto key = 1 + chance.below(60);
    switch (chance.below(4)) {
    case 0:
      tested.emplace(key, step);
      expected.emplace(key, step);
      break;
    case 1:
      tested.assign(key, step);
      expected.insert_or_assign(key, step);
      break;
    default: EXPECT_EQ(tested.erase(key), expected.erase(key));
    }
    ASSERT_EQ(tested.size(), expected.size());
    const auto looked = 1 + chance.below(60);
    const auto found = expected.find(looked);
    ASSERT_EQ(tested.contains(looked), found != expected.end());
    if (found != expected.end()) {
      EXPECT_EQ(tested.find(looked)->second, found->second);
    }
  }
}

TEST(FlatMap, EmptyKeyIsNeverKept) {
  flat_map<std::uint64_t, int, poor_hash> tested;
  tested.emplace(0, 3);
  tested.assign(0, 3);
  EXPECT_EQ(tested.size(), 0U);
  tested.emplace(1, 3);
  EXPECT_FALSE(tested.contains(0));
  EXPECT_EQ(tested.erase(0), 0U);
}

/// Of one gateway.
std::size_t hash_of(std::uint64_t gateway, std::uint64_t sequence) {
  return request_hash{}({gateway_id{gateway}, sequence});
}

TEST(RequestHash, AFewInARowAreNeighbours) {
  for (std::uint64_t first = 0; first < 4'000; first += request_hash::neighbours)
    for (std::uint64_t each = 1; each < request_hash::neighbours; ++each)
      EXPECT_EQ(hash_of(9, first + each), hash_of(9, first) + each);
}

TEST(RequestHash, TheLiveOnesOfManyGatewaysShareNoPlaceForLong) {
  // As many cells as a flat_map has for them, and the most that one of these is taken by.
  constexpr std::uint64_t gateways = 8, each = 1'024, cells = 2 * gateways * each;
  std::map<std::uint64_t, int> taken;
  for (std::uint64_t gateway = 1; gateway <= gateways; ++gateway)
    for (std::uint64_t sequence = 1; sequence <= each; ++sequence)
      ++taken[hash_of(gateway, sequence) % cells];
  for (const auto& [cell, times] : taken)
    EXPECT_LE(times, 10) << cell;
}

} // namespace

} // namespace consort::core
