// SPDX-License-Identifier: Apache-2.0
// Goal: the library for applications reads what a gateway answers, and nothing else.
#include "include/consort/client.hpp"

#include "tests/unit/cli/test_server.hpp"

#include <gtest/gtest.h>

namespace consort::cli {
namespace {

canned_answer vectors(const std::string& data, int status = 200) {
  canned_answer made;
  made.status = status;
  made.body = data;
  return made;
}

outcome<std::vector<std::vector<float>>> embed_two(const test_server& server,
                                                   const std::string& device = "npu") {
  client_options options;
  options.url = server.url();
  return client(options).embed("m", {"a", "b"}, device);
}

TEST(Client, VectorsComeInTheOrderOfTheirTexts) {
  const test_server server(
      {{"POST /v1/embeddings", vectors(R"({"data": [{"index": 1, "embedding": [3]},)"
                                       R"({"index": 0, "embedding": [0.5, -1]}]})")}});
  const auto made = embed_two(server);
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(*made, (std::vector<std::vector<float>>{{0.5F, -1.0F}, {3.0F}}));
  const auto seen = server.seen();
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].headers.at("x-consort-device"), "npu");
  EXPECT_EQ(seen[0].body, R"({"encoding_format":"float","input":["a","b"],"model":"m"})");
}

TEST(Client, WhatIsNoListOfVectorsIsABadAnswer) {
  for (const auto* wrong :
       {"", "[]", "{}", R"({"data": [{"index": 0, "embedding": [1]}]})",
        R"({"data": [{"index": 0, "embedding": [1]}, {"index": 0, "embedding": [1]}]})",
        R"({"data": [{"index": 0, "embedding": [1]}, {"index": 2, "embedding": [1]}]})",
        R"({"data": [{"index": 0, "embedding": [1]}, {"index": 1, "embedding": "AAA="}]})",
        R"({"data": [{"index": 0, "embedding": [1]}, {"index": 1, "embedding": ["a"]}]})",
        R"({"data": [1, 2]})"}) {
    const test_server server({{"POST /v1/embeddings", vectors(wrong)}});
    const auto made = embed_two(server);
    ASSERT_FALSE(made) << wrong;
    EXPECT_EQ(made.error().code, "bad_answer") << wrong;
  }
}

TEST(Client, RefusalsOfEmbeddingsAreNamed) {
  const test_server server(
      {{"POST /v1/embeddings",
        vectors(R"({"error": {"code": "no_such_device", "message": "none makes any"}})", 422)}});
  const auto made = embed_two(server);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, "no_such_device");
  EXPECT_EQ(made.error().message, "none makes any");
  EXPECT_EQ(made.error().http_status, 422);
  EXPECT_EQ(embed_two(server, "two\nlines").error().code, "invalid_value");
  EXPECT_EQ(server.seen().size(), 1U) << "nothing was sent";
}

outcome<generation> generate_at(const std::string& url, const std::string& prompt = "a") {
  client_options options;
  options.url = url;
  generate_request wanted;
  wanted.model = "m";
  wanted.prompt = prompt;
  return client(options).generate(wanted);
}

TEST(Client, AStreamOfSomethingElseIsABadAnswer) {
  for (const auto* event : {"{\"choices", "7", "{\"error\": {}}", "{\"error\": null}"}) {
    auto stream = vectors("data: " + std::string(event) + "\n\n");
    stream.type = "text/event-stream";
    const test_server server({{"POST /v1/completions", stream}});
    const auto made = generate_at(server.url());
    ASSERT_FALSE(made) << event;
    EXPECT_EQ(made.error().code, "bad_answer") << event;
    EXPECT_FALSE(made.error().message.empty()) << event;
  }
}

TEST(Client, WhatIsNoAddressIsSentNowhere) {
  for (const auto* url : {"", "127.0.0.1:1", "https://127.0.0.1:1", "ftp://x", "http://:80"}) {
    EXPECT_EQ(generate_at(url).error().code, "invalid_value") << url;
    EXPECT_FALSE(generate_at(url).error().message.empty()) << url;
  }
  EXPECT_EQ(generate_at(dead_url()).error().code, "unreachable");
}

TEST(Client, WhatIsNoTextIsNotSent) {
  const test_server server({});
  const std::string odd = "\xff\xfe bad";
  EXPECT_EQ(generate_at(server.url(), odd).error().code, "invalid_value");
  client_options options;
  options.url = server.url();
  EXPECT_EQ(client(options).embed("m", {"a", odd}).error().code, "invalid_value");
  EXPECT_TRUE(server.seen().empty());
}

} // namespace
} // namespace consort::cli
