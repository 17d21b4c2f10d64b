// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/id_sets.hpp"

#include <gtest/gtest.h>

namespace consort::sim {
namespace {

request_id request(std::uint64_t sequence, std::uint64_t gateway = 1) {
  return {gateway_id{gateway}, sequence};
}

TEST(RequestSet, KnowsWhatWasPutInByGatewayAndSequence) {
  request_set known;
  EXPECT_FALSE(known.contains(request(1)));
  EXPECT_TRUE(known.insert(request(1)));
  EXPECT_FALSE(known.insert(request(1)));
  EXPECT_TRUE(known.insert(request(1, 2))) << "another gateway's";
  EXPECT_TRUE(known.insert(request(70'000)));
  for (const std::uint64_t absent : {0, 2, 69'999, 70'001, 140'000, 140'003})
    EXPECT_FALSE(known.contains(request(absent))) << absent;
  EXPECT_TRUE(known.contains(request(1, 2)));
  EXPECT_TRUE(known.contains(request(70'000)));
  known.clear();
  EXPECT_FALSE(known.contains(request(1)));
}

/// One bit for each of them would not do.
TEST(RequestSet, TakesAnyIdThereIs) {
  request_set known;
  for (const auto sequence :
       {limits::requests_max, limits::requests_max + 1, std::uint64_t{0} - 1}) {
    EXPECT_FALSE(known.contains(request(sequence)));
    EXPECT_TRUE(known.insert(request(sequence)));
    EXPECT_FALSE(known.insert(request(sequence)));
    EXPECT_TRUE(known.contains(request(sequence)));
  }
  known.clear();
  EXPECT_FALSE(known.contains(request(limits::requests_max + 1)));
}

TEST(AttemptSet, TellsAttemptsOfARequestApart) {
  attempt_set known;
  EXPECT_TRUE(known.insert({request(5), 1}));
  EXPECT_TRUE(known.insert({request(5), 2}));
  EXPECT_FALSE(known.insert({request(5), 2}));
  EXPECT_TRUE(known.insert({request(6), 2}));
}

} // namespace
} // namespace consort::sim
