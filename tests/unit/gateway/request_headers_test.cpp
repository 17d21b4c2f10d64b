// SPDX-License-Identifier: Apache-2.0
#include "gateway/request_headers.hpp"

#include "gateway/limits.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>

namespace consort::gateway {
namespace {

std::variant<request_options, api_error> read(header_list headers) {
  http_request from;
  from.headers = std::move(headers);
  return read_request_options(from);
}

TEST(RequestHeaders, DefaultsWithoutAny) {
  const auto got = std::get<request_options>(read({}));
  EXPECT_EQ(got.selector, "auto");
  EXPECT_EQ(got.priority, priority_class::standard);
  EXPECT_FALSE(got.policy || got.deadline_us || got.wait_us);
  EXPECT_TRUE(got.external_id.empty());
}

TEST(RequestHeaders, ReadsEveryOne) {
  const auto got = std::get<request_options>(read({{"x-consort-device", "npu"},
                                                   {"x-consort-policy", "energy"},
                                                   {"x-consort-priority", "batch"},
                                                   {"x-consort-deadline", "2s"},
                                                   {"x-consort-wait", "0s"},
                                                   {"x-consort-session", "s1"},
                                                   {"x-consort-tenant", "team-a"},
                                                   {"x-consort-labels", "local-only, pii"},
                                                   {"x-consort-hedge", "true"},
                                                   {"x-request-id", "my-id"}}));
  EXPECT_EQ(got.selector, "npu");
  EXPECT_EQ(got.policy, policy_name{"energy"});
  EXPECT_EQ(got.priority, priority_class::batch);
  EXPECT_EQ(got.deadline_us, 2'000'000);
  EXPECT_EQ(got.wait_us, 0);
  EXPECT_EQ(got.session, "s1");
  EXPECT_EQ(got.tenant.value, "team-a");
  EXPECT_EQ(got.external_id, "my-id");
  EXPECT_EQ(got.labels, (std::vector<std::string>{"local-only", "pii"}));
  EXPECT_TRUE(got.hedge);
}

/// A proxy that adds a tenant behind the one that its client claims must not lose to it.
TEST(RequestHeaders, OnesGivenTwiceAreRefused) {
  for (const auto* name : {"x-consort-tenant", "x-consort-device", "x-consort-priority",
                           "x-consort-wait", "x-consort-labels", "session-id"}) {
    const auto got = read({{name, "1s"}, {"x-other", "1"}, {name, "1s"}});
    const auto* failure = std::get_if<api_error>(&got);
    ASSERT_NE(failure, nullptr) << name;
    EXPECT_EQ(failure->status, 400U);
    EXPECT_TRUE(failure->message.ends_with(" must be given once")) << failure->message;
  }
}

TEST(RequestHeaders, TakesTheSessionHeadersOfOthersToo) {
  EXPECT_EQ(std::get<request_options>(read({{"session-id", "z"}})).session, "z");
  EXPECT_EQ(
      std::get<request_options>(read({{"session-id", "z"}, {"x-consort-session", "a"}})).session,
      "a");
}

TEST(RequestHeaders, MalformedOnesNameThemselvesAndWhatIsAllowed) {
  const std::vector<std::pair<header_list, std::string>> cases{
      {{{"x-consort-policy", std::string(65, 'p')}}, "X-Consort-Policy must be 1 to 64"},
      {{{"x-consort-priority", "high"}}, "X-Consort-Priority must be one of interactive,"},
      {{{"x-consort-deadline", "soon"}}, "X-Consort-Deadline must be a duration above 0"},
      {{{"x-consort-deadline", "0s"}}, "X-Consort-Deadline must be a duration above 0"},
      {{{"x-consort-deadline", "36000d"}},
       "X-Consort-Deadline must be a duration above 0 such as 250ms, 30s or 10m, at most ten"},
      {{{"x-consort-wait", "-1s"}}, "X-Consort-Wait must be a duration such as 0s"},
      {{{"x-consort-labels", "Local"}}, "X-Consort-Labels must be 1 to 8 labels joined by commas"},
      {{{"x-consort-labels", "a,,b"}}, "X-Consort-Labels must be 1 to 8 labels"},
      {{{"x-consort-labels", "a,b,c,d,e,f,g,h,i"}}, "X-Consort-Labels must be 1 to 8 labels"},
      {{{"x-consort-hedge", "yes"}}, "X-Consort-Hedge must be one of false, true"},
      {{{"x-consort-device", ""}}, "X-Consort-Device must be 1 to 256 printable"},
      {{{"x-consort-device", std::string(257, 'd')}}, "X-Consort-Device must be 1 to 256"},
      {{{"x-consort-tenant", std::string(65, 't')}}, "X-Consort-Tenant must be 1 to 64"},
      {{{"x-consort-session", std::string(257, 's')}}, "X-Consort-Session must be 1 to 256"}};
  for (const auto& [headers, words] : cases) {
    const auto got = read(headers);
    const auto* failure = std::get_if<api_error>(&got);
    ASSERT_NE(failure, nullptr) << words;
    EXPECT_EQ(failure->status, 400U);
    EXPECT_TRUE(failure->message.starts_with(words)) << failure->message;
    EXPECT_TRUE(words.starts_with(failure->param));
  }
}

/// What a client believes to have asked for is done or refused: a mistyped label would let local
/// data go to a provider.
TEST(RequestHeaders, UnknownOnesOfOursAreRefusedAndTheNearestIsNamed) {
  const auto refusal = [](const std::string& name) {
    const auto got = read({{"accept", "*/*"}, {name, "local-only"}});
    const auto* failure = std::get_if<api_error>(&got);
    return failure == nullptr ? api_error{.status = 200} : *failure;
  };
  const auto label = refusal("x-consort-label");
  EXPECT_EQ(label.status, 400U);
  EXPECT_EQ(label.code, "unknown_header");
  EXPECT_EQ(label.param, "X-Consort-Label");
  EXPECT_EQ(label.message,
            "X-Consort-Label is not a known header (did you mean X-Consort-Labels?)");
  EXPECT_NE(refusal("x-consort-tennant").message.find("X-Consort-Tenant?"), std::string::npos);
  EXPECT_NE(refusal("x-consort-zzzzzzzz").message.find("(there are X-Consort-Device, "),
            std::string::npos)
      << refusal("x-consort-zzzzzzzz").message;
  EXPECT_EQ(refusal("x-consort-" + std::string(500, 'z')).param.size(),
            limits::header_name_bytes_max);
  EXPECT_EQ(refusal("x-consortium").status, 200U) << "somebody else's";
}

TEST(RequestHeaders, EveryKnownOneIsRead) {
  for (const auto name : request_header_names) {
    std::string key(name);
    std::transform(key.begin(), key.end(), key.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    const auto got = read({{key, ""}}); // None may be empty, so that reading it is seen.
    ASSERT_TRUE(std::holds_alternative<api_error>(got)) << name;
    EXPECT_EQ(std::get<api_error>(got).param, name);
  }
}

TEST(RequestHeaders, UnusableRequestIdsAreReplacedNotRefused) {
  EXPECT_TRUE(std::get<request_options>(read({{"x-request-id", ""}})).external_id.empty());
  EXPECT_TRUE(std::get<request_options>(read({{"x-request-id", std::string(129, 'x')}}))
                  .external_id.empty());
  EXPECT_TRUE(std::get<request_options>(read({{"x-request-id", "a\xC3\xB6"}})).external_id.empty());
  EXPECT_EQ(
      std::get<request_options>(read({{"x-request-id", std::string(128, 'x')}})).external_id.size(),
      128U);
}

} // namespace
} // namespace consort::gateway
