// SPDX-License-Identifier: Apache-2.0
#include "cli/host_address.hpp"

#include <gtest/gtest.h>

namespace consort::cli {
namespace {

TEST(HostAddress, WhatIsBoundToOneAddressIsReachedThere) {
  for (const auto* bound : {"127.0.0.1:4280", "10.1.2.3:4280", "[::1]:4280", "[2001:db8::1]:1"})
    EXPECT_EQ(reachable_address(bound), bound);
}

TEST(HostAddress, WhatIsBoundToAllIsReachedAtOneThatOthersCanUse) {
  for (const auto* bound : {"0.0.0.0:4280", "[::]:4280"}) {
    const auto told = reachable_address(bound);
    EXPECT_TRUE(told.ends_with(":4280")) << told;
    EXPECT_NE(told, bound);
    EXPECT_FALSE(only_here(told)) << told;
  }
}

TEST(HostAddress, LoopbackIsForThisMachineOnly) {
  EXPECT_TRUE(only_here("127.0.0.1:1"));
  EXPECT_TRUE(only_here("[::1]:1"));
  EXPECT_TRUE(only_here("localhost:1"));
  EXPECT_FALSE(only_here("10.1.2.3:1"));
  EXPECT_FALSE(only_here("edge-1:1"));
  EXPECT_FALSE(only_here("nonsense"));
}

} // namespace
} // namespace consort::cli
