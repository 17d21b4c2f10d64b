// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/id_sets.hpp"

#include <gtest/gtest.h>

namespace consort::sim {
namespace {

request_id request_of(std::uint64_t sequence, std::uint64_t gateway = 1) {
  return {gateway_id{gateway}, sequence};
}

TEST(RequestSet, KnowsWhatWasPutInByGatewayAndSequence) {
  request_set known;
  EXPECT_FALSE(known.contains(request_of(1)));
  EXPECT_TRUE(known.insert(request_of(1)));
  EXPECT_FALSE(known.insert(request_of(1)));
  EXPECT_TRUE(known.insert(request_of(1, 2))) << "another gateway's";
  EXPECT_TRUE(known.insert(request_of(70'000)));
  for (const std::uint64_t absent : {0, 2, 69'999, 70'001, 140'000, 140'003})
    EXPECT_FALSE(known.contains(request_of(absent))) << absent;
  EXPECT_TRUE(known.contains(request_of(1, 2)));
  EXPECT_TRUE(known.contains(request_of(70'000)));
  known.clear();
  EXPECT_FALSE(known.contains(request_of(1)));
}

/// One bit for each of them would not do.
TEST(RequestSet, TakesAnyIdThereIs) {
  request_set known;
  for (const auto sequence :
       {limits::requests_max, limits::requests_max + 1, std::uint64_t{0} - 1}) {
    EXPECT_FALSE(known.contains(request_of(sequence)));
    EXPECT_TRUE(known.insert(request_of(sequence)));
    EXPECT_FALSE(known.insert(request_of(sequence)));
    EXPECT_TRUE(known.contains(request_of(sequence)));
  }
  known.clear();
  EXPECT_FALSE(known.contains(request_of(limits::requests_max + 1)));
}

TEST(AttemptSet, TellsAttemptsOfARequestApart) {
  attempt_set known;
  EXPECT_TRUE(known.insert({request_of(5), 1}));
  EXPECT_TRUE(known.insert({request_of(5), 2}));
  EXPECT_FALSE(known.insert({request_of(5), 2}));
  EXPECT_TRUE(known.insert({request_of(6), 2}));
}

} // namespace
} // namespace consort::sim
