// SPDX-License-Identifier: Apache-2.0
// Goal: what a server says of the API key that it was sent reaches nobody: a scripted server
// repeats it in every place where its words are shown.
#include "node/runtimes/key_mask.hpp"

#include "node/limits.hpp"
#include "tests/unit/node/server_fixture.hpp"

#include <cstdlib>
#include <gmock/gmock.h>

namespace consort::node::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const std::string secret = "sk-SECRETSECRET0123456789";

TEST(KeyMask, TakesTheKeyOutOfWords) {
  EXPECT_EQ(without_key("no such key: " + secret + "!", secret), "no such key: [key]!");
  EXPECT_EQ(without_key("sent Bearer " + secret + ", " + secret, secret), "sent [key], [key]");
  EXPECT_EQ(without_key("no sesame", "sesame"), "no [key]");
  EXPECT_EQ(without_key("as it was", ""), "as it was");
  EXPECT_EQ(without_key("as it was", "as"), "as it was") << "a part of other words";
  EXPECT_EQ(without_key("sk-SECR***6789", secret), "sk-SECR***6789") << "masked by the server";
}

TEST(KeyMask, TakesTheBeginningOfAKeyFromWordsThatWereCut) {
  const std::string words(limits::server_message_bytes_max, 'x');
  for (std::size_t bytes = limits::key_bytes_min; bytes <= secret.size(); ++bytes)
    EXPECT_EQ(without_key(words + secret.substr(0, bytes), secret), words + "[key]") << bytes;
  EXPECT_EQ(without_key("not cut sk-SEC", secret), "not cut sk-SEC");
}

TEST(KeyMask, AnswersAreRidOfLongKeysOnly) {
  EXPECT_EQ(text_without_key("it is " + secret, secret), "it is [key]");
  EXPECT_EQ(text_without_key("the list is EMPTY", "EMPTY"), "the list is EMPTY");
  const std::string least(limits::key_text_bytes_min, 'k');
  EXPECT_EQ(text_without_key(least, least), "[key]");
  EXPECT_EQ(text_without_key(least.substr(1), least.substr(1)), least.substr(1));
}

class ServerKey : public ServerRuntime {
protected:
  ServerKey() {
    ::setenv("CONSORT_TEST_SECRET", secret.c_str(), 1);
    spec.key_env = "CONSORT_TEST_SECRET";
  }
  ~ServerKey() override { ::unsetenv("CONSORT_TEST_SECRET"); }

  /// What a request ends with that is answered so.
  std::string end_of(const canned_answer& answer) {
    const test_server server({{"GET /health", {}}, {"POST /v1/completions", answer}});
    const auto loaded = attach(server);
    return loaded ? submit(loaded, 1)->failure().failure.message : "not loaded";
  }
};

TEST_F(ServerKey, IsInNoRefusal) {
  const auto said = end_of(json_answer(
      R"({"error": {"message": "Incorrect API key provided: )" + secret + R"("}})", 401));
  EXPECT_EQ(said, "the model server answered 401: Incorrect API key provided: [key]");
  EXPECT_THAT(end_of(json_answer("headers: Authorization: Bearer " + secret, 400)),
              HasSubstr("Authorization: [key]"));
  const std::string padding(limits::server_message_bytes_max - 10, 'x');
  EXPECT_THAT(end_of(json_answer(padding + secret, 500)), Not(HasSubstr(secret.substr(0, 4))))
      << "cut in its middle";
}

TEST_F(ServerKey, IsInNoEventOfAStream) {
  auto broken = story();
  broken.body = "data: {\"error\": {\"message\": \"key Bearer " + secret + " expired\"}}\n\n";
  EXPECT_EQ(end_of(broken), "the model server failed: key [key] expired");
  broken.body = "data: " + secret + "\n\n";
  EXPECT_THAT(end_of(broken), HasSubstr("no JSON object: [key]"));
  broken.body = "data: {\"choices\": [{\"index\": 0, \"text\": \"it is " + secret
                + "\", \"finish_reason\": \"stop\", \"logprobs\": {\"of\": \"" + secret
                + "\"}}]}\n\ndata: [DONE]\n\n";
  const test_server server({{"GET /health", {}}, {"POST /v1/completions", broken}});
  const auto loaded = attach(server);
  ASSERT_TRUE(loaded);
  EXPECT_EQ(submit(loaded, 1)->wait_end().at(1),
            attempt_event(attempt_tokens{0, "it is [key]", {}, R"({"logprobs":{"of":"[key]"}})"}));
}

TEST_F(ServerKey, IsInNoListOfModelsAndNoRedirect) {
  auto moved = json_answer("", 307);
  moved.headers["Location"] = "https://" + secret + ".example.com/";
  EXPECT_THAT(end_of(moved), HasSubstr("a redirect to https://[key].example.com,"));
  const test_server server(
      {{"GET /health", {}},
       {"GET /v1/models", json_answer(R"({"data": [{"id": ")" + secret + R"("}]})")}});
  spec.url = server.url();
  EXPECT_THAT(open().failure().message, HasSubstr("serves [key], not tale"));
}

TEST_F(ServerKey, IsNotInTheLastWordsOfAServerThatIsStarted) {
  spec.url.clear();
  spec.command = {"sh", "-c", "echo \"{port} got $KEY\" >&2; exit 3"};
  spec.env["KEY"] = secret;
  const auto failed = open();
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.failure().message, HasSubstr("got [key]"));
}

} // namespace
} // namespace consort::node::test
