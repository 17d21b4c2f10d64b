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

TEST(HostAddress, TheCommandThatAddsANodeCanBePasted) {
  EXPECT_EQ(join_command("127.0.0.1:4280", "ab12", false, {}),
            "consort node --join 127.0.0.1:4280 --token ab12");
  EXPECT_EQ(join_command("127.0.0.1:4280", "ab12", false, "lab"),
            "consort node --join 127.0.0.1:4280 --token ab12 --cluster lab");
  EXPECT_TRUE(join_command("127.0.0.1:4280", "ab12", false, "our lab").ends_with(" 'our lab'"));
  EXPECT_EQ(join_command("127.0.0.1:4280", "ab12", true, "lab"),
            "consort node --join 127.0.0.1:4280 --token ab12 --cert NAME-FOLDER");
  const auto elsewhere = join_command("10.1.2.3:4280", "ab12", true, {});
  EXPECT_TRUE(elsewhere.ends_with("--data-listen 0.0.0.0:4281 --advertise THAT_HOST")) << elsewhere;
  EXPECT_EQ(elsewhere.find_first_of("()<>|&;`'\"$*?{}\\~#!\n"), std::string::npos) << elsewhere;
}

TEST(HostAddress, AModelServerElsewhereIsRemote) {
  for (const auto* here : {"127.0.0.1", "127.8.8.8", "::1", "localhost"})
    EXPECT_EQ(type_of_server(here), "gpu") << here;
  for (const auto* elsewhere : {"10.1.2.3", "2001:db8::1", "api.example.com", "localhost.evil"})
    EXPECT_EQ(type_of_server(elsewhere), "remote") << elsewhere;
}

} // namespace
} // namespace consort::cli
