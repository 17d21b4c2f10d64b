// SPDX-License-Identifier: Apache-2.0
// Goal: the library for applications reads what a gateway answers, and nothing else.
#include "include/consort/client.hpp"

#include "tests/unit/cli/test_server.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <thread>

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

canned_answer stream_of(const std::string& events) {
  auto made = vectors(events);
  made.type = "text/event-stream";
  return made;
}

const char* const first_piece = "data: {\"choices\": [{\"text\": \"Once\"}]}\n\n";
constexpr std::chrono::seconds silence{20}; ///< That a client waits for; far beyond a cancel.

generate_request request_of_m() {
  generate_request wanted;
  wanted.model = "m";
  wanted.prompt = "a";
  return wanted;
}

client client_of(const test_server& server) {
  client_options options;
  options.url = server.url();
  options.timeout = silence;
  return client(options);
}

/// The code that a call ends with whose flag is set once `server` has its request.
std::string
code_when_stopped(const test_server& server,
                  const std::function<client_error(client&, const std::atomic<bool>*)>& call) {
  std::atomic<bool> cancel = false;
  std::thread stopper([&] {
    while (server.seen().empty())
      std::this_thread::yield();
    cancel = true;
  });
  auto models = client_of(server);
  const auto began = std::chrono::steady_clock::now();
  const auto failure = call(models, &cancel);
  EXPECT_LT(std::chrono::steady_clock::now() - began, silence / 2);
  stopper.join();
  return failure.code;
}

TEST(Client, ACancelIsHeardWhileNothingComes) {
  canned_answer silent;
  silent.silent = true;
  const std::function<client_error(client&, const std::atomic<bool>*)> calls[]
      = {[](client& models, const auto* cancel) {
           return models
               .generate(
                   request_of_m(), [](auto) { return true; }, cancel)
               .error();
         },
         [](client& models, const auto* cancel) {
           return models.generate(request_of_m(), cancel).error();
         },
         [](client& models, const auto* cancel) {
           return models.load_model("m", "auto", "1s", cancel).error();
         }};
  for (const auto& call : calls) {
    const test_server server({{"POST /v1/completions", silent}});
    EXPECT_EQ(code_when_stopped(server, call), "cancelled");
  }
}

TEST(Client, ACancelIsHeardInTheMiddleOfAStream) {
  auto held = stream_of(first_piece);
  held.held = true;
  const test_server server({{"POST /v1/completions", held}});
  std::atomic<bool> cancel = false;
  std::promise<void> heard;
  std::thread stopper([&] {
    heard.get_future().wait_for(silence);
    cancel = true;
  });
  std::string text;
  const auto made = client_of(server).generate(
      request_of_m(),
      [&](std::string_view piece) {
        text += piece;
        heard.set_value();
        return true;
      },
      &cancel);
  stopper.join();
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, "cancelled");
  EXPECT_EQ(text, "Once");
}

TEST(Client, WhatWasCancelledBeforeIsNotSent) {
  const test_server server({});
  const std::atomic<bool> cancel = true;
  EXPECT_EQ(client_of(server).generate(request_of_m(), &cancel).error().code, "cancelled");
  EXPECT_EQ(client_of(server).load_model("m", "auto", "1s", &cancel).error().code, "cancelled");
  EXPECT_TRUE(server.seen().empty());
}

TEST(Client, AFlagThatStaysUnsetChangesNothing) {
  const test_server server(
      {{"POST /v1/completions", stream_of(first_piece + std::string("data: [DONE]\n\n"))}});
  const std::atomic<bool> cancel = false;
  auto models = client_of(server);
  for (const auto& made :
       {models.generate(request_of_m(), &cancel), models.generate(request_of_m(), nullptr),
        models.generate(request_of_m(), nullptr, &cancel)}) {
    ASSERT_TRUE(made) << made.error().message;
    EXPECT_EQ(made->text, "Once");
  }
}

} // namespace
} // namespace consort::cli
