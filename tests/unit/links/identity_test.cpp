// SPDX-License-Identifier: Apache-2.0
#include "links/identity.hpp"

#include "links/limits.hpp"

#include <gmock/gmock.h>

#include <array>

namespace consort::links {
namespace {

TEST(Identity, IsReadBackFromItsUri) {
  for (const auto role :
       {peer_role::node, peer_role::gateway, peer_role::scheduler, peer_role::admin}) {
    const peer_identity whole{"lab-7", role, "edge_3.rack", "", 0};
    const auto uri = format_uri(whole);
    EXPECT_EQ(uri, "consort://lab-7/" + std::string(name_of(role)) + "/edge_3.rack");
    const auto parsed = parse_uri(uri);
    ASSERT_TRUE(parsed) << parsed.failure().message;
    EXPECT_EQ(*parsed, whole);
  }
}

TEST(Identity, NothingElseIsAUriOfOurs) {
  const std::string longest(limits::name_bytes_max + 1, 'n');
  const std::array<std::string, 16> bad = {"",
                                           "consort://",
                                           "consort://lab",
                                           "consort://lab/node",
                                           "consort://lab/node/",
                                           "consort:///node/a",
                                           "consort://lab/king/a",
                                           "consort://lab/Node/a",
                                           "consort://lab/node/a/b",
                                           "consort://lab/node/a b",
                                           "consort://lab/node/a\n",
                                           std::string("consort://lab/node/a\0b", 22),
                                           "CONSORT://lab/node/a",
                                           "https://lab/node/a",
                                           "consort://lab/node/" + longest,
                                           "consort://" + longest + "/node/a"};
  for (const auto& uri : bad) {
    const auto parsed = parse_uri(uri);
    ASSERT_FALSE(parsed) << uri;
    EXPECT_EQ(parsed.failure().code, "bad_identity");
    EXPECT_EQ(parsed.failure().message.find('\n'), std::string::npos) << "one line, no controls";
  }
}

TEST(Identity, NamesReachTheirLongest) {
  EXPECT_TRUE(valid_name(std::string(limits::name_bytes_max, 'n')));
  EXPECT_FALSE(valid_name(std::string(limits::name_bytes_max + 1, 'n')));
  EXPECT_FALSE(valid_name(""));
  EXPECT_FALSE(valid_name("a/b")) << "it would change the URI's shape";
}

} // namespace
} // namespace consort::links
