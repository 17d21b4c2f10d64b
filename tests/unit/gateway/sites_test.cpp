// SPDX-License-Identifier: Apache-2.0
#include "gateway/sites.hpp"

#include <gtest/gtest.h>

namespace consort::gateway {
namespace {

TEST(Sites, KnowNamesThatSomebodyElseCouldOwn) {
  for (const auto* host : {"evil.example", "evil.example:8080", "EVIL.example.",
                           "a.localhost.evil.io", "127.0.0.1.nip.io", "notlocal", "1.2.3"})
    EXPECT_EQ(public_name(host), std::string_view(host) != "notlocal") << host;
  for (const auto* host :
       {"", "localhost", "localhost:8080", "127.0.0.1", "10.1.2.3:80", "[::1]:80", "[fe80::1]",
        "gpu-box", "gpu-box:8080", "gpu.local", "Gpu.LOCAL.:80", "x.svc.cluster.local",
        "a.internal", "nas.home.arpa", "app.localhost"})
    EXPECT_FALSE(public_name(host)) << host;
}

bool foreign(const char* host, const char* origin, const std::vector<std::string>& names = {}) {
  http_request request;
  request.headers.emplace_back("host", host);
  if (origin != nullptr)
    request.headers.emplace_back("origin", origin);
  return of_another_site(request, names);
}

TEST(Sites, ProgramsNameNoneAndMayUseAnyName) {
  EXPECT_FALSE(foreign("gateway.example.com", nullptr));
}

TEST(Sites, OurOwnPageNamesTheHostThatItCameFrom) {
  EXPECT_FALSE(foreign("127.0.0.1:8080", "http://127.0.0.1:8080"));
  EXPECT_FALSE(foreign("gpu-box:8080", "http://gpu-box:8080"));
  EXPECT_TRUE(foreign("127.0.0.1:8080", "http://127.0.0.1:9090"));
  EXPECT_TRUE(foreign("127.0.0.1:8080", "null"));
}

/// The page of evil.example, whose name its owner made to mean 127.0.0.1 once it was loaded.
TEST(Sites, ANameThatWasMadeToMeanUsIsNotOurs) {
  EXPECT_TRUE(foreign("evil.example:8080", "http://evil.example:8080"));
  EXPECT_TRUE(foreign("evil.example", "http://evil.example", {"ai.example.com"}));
}

TEST(Sites, ANameThatWasToldIsOurs) {
  EXPECT_FALSE(foreign("ai.example.com", "https://ai.example.com", {"ai.example.com"}));
  EXPECT_FALSE(foreign("AI.Example.com:8443", "https://AI.Example.com:8443", {"ai.example.com"}));
  EXPECT_TRUE(foreign("ai.example.com", "https://evil.example", {"ai.example.com"}));
}

} // namespace
} // namespace consort::gateway
