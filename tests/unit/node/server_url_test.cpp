// SPDX-License-Identifier: Apache-2.0
// Goal: the address of a model server is taken as people write it, and holds no secret.
#include "node/runtimes/server_http.hpp"

#include <gtest/gtest.h>

namespace consort::node::test {
namespace {

TEST(ServerUrl, IsHttpWithAHostAndPerhapsAPath) {
  const auto whole = parse_server_url("http://host:8000/a/b/");
  ASSERT_TRUE(whole);
  EXPECT_EQ(whole->host, "host");
  EXPECT_EQ(whole->port, 8000);
  EXPECT_EQ(whole->prefix, "/a/b");
  EXPECT_EQ(parse_server_url("http://[::1]")->port, 80);
  EXPECT_FALSE(whole->tls);
  const auto provider = parse_server_url("https://api.somewhere.com/openai/v1");
  ASSERT_TRUE(provider);
  EXPECT_TRUE(provider->tls);
  EXPECT_EQ(provider->port, 443);
  EXPECT_EQ(provider->prefix, "/openai") << "paths begin with /v1 themselves";
  for (const auto* bad : {"", "host:1", "ftp://h", "http://", "http://h:0", "http://h:1/a b",
                          "http://h:1/a?b", "http://h:1/\r\nx"})
    EXPECT_FALSE(parse_server_url(bad)) << bad;
  for (const auto* secret : {"https://me:hush@host", "http://hush@host:1/v1", "http://me:hush@"}) {
    const auto refused = parse_server_url(secret);
    ASSERT_FALSE(refused) << secret;
    EXPECT_EQ(refused.failure().message.find("hush"), std::string::npos);
  }
}

} // namespace
} // namespace consort::node::test
