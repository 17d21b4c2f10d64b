// SPDX-License-Identifier: Apache-2.0
// Goal: whatever a server says of itself, it is found where it is, and nothing of it becomes more
// than a word of what people are told to paste.
#include "cli/wrapped_server.hpp"

#include "tests/unit/cli/test_server.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace consort::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

canned_answer listing(std::string body) {
  canned_answer made;
  made.body = std::move(body);
  return made;
}

std::string commands_for(std::vector<std::string> models) {
  wrapped_server server;
  server.models = std::move(models);
  return declaring_commands(server);
}

TEST(WrappedServer, IsFoundByWhatItsClientsCallIt) {
  const test_server server({{"GET /v1/models", listing(R"({"data": [{"id": "a"}, {"id": "b"}]})")},
                            {"GET /health", {}}});
  for (const auto* end : {"", "/", "/v1", "/v1/", "/v1/models", "/v1/models/",
                          "/v1/chat/completions", "/v1/completions"}) {
    const auto found = look_at_server(server.url() + end);
    ASSERT_TRUE(found) << end << ": " << found.failure().message;
    EXPECT_EQ(found->url, server.url());
    EXPECT_EQ(found->base, "");
    EXPECT_EQ(found->protocol, "openai");
    EXPECT_EQ(found->ready, "/health");
    EXPECT_THAT(found->models, ElementsAre("a", "b"));
  }
}

TEST(WrappedServer, MayHaveAnotherBase) {
  const test_server server({{"GET /q/v9/models", listing(R"({"data": [{"id": "a"}]})")}});
  for (const auto* end : {"/q/v9", "/q/v9/models", "/q/v9/chat/completions"}) {
    const auto found = look_at_server(server.url() + end);
    ASSERT_TRUE(found) << found.failure().message;
    EXPECT_EQ(found->url, server.url());
    EXPECT_EQ(found->base, "/q/v9");
    EXPECT_EQ(found->ready, "/q/v9/models");
  }
}

TEST(WrappedServer, MaySpeakTgi) {
  const test_server server({{"GET /info", listing(R"({"model_id": "org/tale", "version": "2.0"})")},
                            {"GET /health", {}}});
  const auto found = look_at_server(server.url());
  ASSERT_TRUE(found) << found.failure().message;
  EXPECT_EQ(found->protocol, "tgi");
  EXPECT_EQ(found->ready, "/health");
  EXPECT_THAT(found->models, ElementsAre("org/tale"));
}

TEST(WrappedServer, OfNeitherProtocolIsRefused) {
  const test_server server({{"GET /info", listing(R"({"name": "x"})")}});
  const auto found = look_at_server(server.url());
  ASSERT_FALSE(found);
  EXPECT_THAT(found.failure().message, HasSubstr("neither OpenAI's protocol nor TGI's"));
  EXPECT_THAT(look_at_server(dead_url()).failure().message, HasSubstr("nothing answers at"));
}

TEST(WrappedServer, WithNothingLoadedIsToldFromOneOfNoProtocol) {
  const test_server server(
      {{"GET /v1/models", listing(R"({"object": "list", "data": []})")}, {"GET /health", {}}});
  const auto found = look_at_server(server.url());
  ASSERT_FALSE(found);
  EXPECT_THAT(found.failure().message, HasSubstr("it has nothing loaded yet"));
  EXPECT_FALSE(is_final(found.failure())) << "it may have a model in a moment";
}

TEST(WrappedServer, ThatIsElsewhereSaysWhere) {
  canned_answer moved;
  moved.status = 302;
  moved.headers = {{"Location", "http://elsewhere.example/v1/models"}};
  const test_server server({{"GET /v1/models", moved}, {"GET /health", {}}});
  const auto found = look_at_server(server.url());
  ASSERT_FALSE(found);
  EXPECT_THAT(found.failure().message, HasSubstr("(302) to http://elsewhere.example/v1/models"));
}

TEST(WrappedServer, WithoutTlsSaysSo) {
  const test_server server({{"GET /v1/models", listing("{}")}, {"GET /health", {}}});
  const auto found = look_at_server("https" + server.url().substr(4));
  ASSERT_FALSE(found);
  EXPECT_THAT(found.failure().message, HasSubstr("its TLS handshake failed"));
}

TEST(WrappedServer, PasswordsInAddressesAreNotRepeated) {
  for (const auto* url :
       {"http://user:secret@127.0.0.1:1", "http://user:secret@h/v1", "u:secret@h"}) {
    const auto found = look_at_server(url);
    ASSERT_FALSE(found);
    EXPECT_EQ(found.failure().code, "usage");
    EXPECT_THAT(found.failure().message, HasSubstr("key_env"));
    EXPECT_THAT(found.failure().message, Not(HasSubstr("secret")));
  }
}

class WrappedProvider : public testing::Test {
protected:
  WrappedProvider() { setenv("CONSORT_TEST_KEY", "sk-secret", 1); }
  ~WrappedProvider() override { unsetenv("CONSORT_TEST_KEY"); }
};

TEST_F(WrappedProvider, IsAskedWithItsKeyAndForNothingThatCosts) {
  const test_server server(
      {{"GET /openai/v1/models", listing(R"({"data": [{"id": "llama-3.3-70b"}]})")}});
  const auto found = look_at_server(server.url() + "/openai/v1", "CONSORT_TEST_KEY");
  ASSERT_TRUE(found) << found.failure().message;
  EXPECT_EQ(found->url, server.url() + "/openai");
  EXPECT_EQ(found->key_env, "CONSORT_TEST_KEY");
  EXPECT_EQ(found->ready, "/v1/models");
  EXPECT_FALSE(found->more);
  ASSERT_EQ(server.seen().size(), 1U);
  EXPECT_EQ(server.seen()[0].headers.at("authorization"), "Bearer sk-secret");
}

TEST_F(WrappedProvider, ThatWantsAKeySaysSo) {
  canned_answer no;
  no.status = 401;
  const test_server server({{"GET /v1/models", no}});
  const auto none = look_at_server(server.url());
  ASSERT_FALSE(none);
  EXPECT_EQ(none.failure().code, "key_wanted");
  EXPECT_THAT(none.failure().message, HasSubstr("--key-env NAME"));
  const auto wrong = look_at_server(server.url(), "CONSORT_TEST_KEY");
  ASSERT_FALSE(wrong);
  EXPECT_THAT(wrong.failure().message, HasSubstr("does not take the key that is in CONSORT_"));
  EXPECT_THAT(wrong.failure().message, Not(HasSubstr("sk-secret")));
}

TEST_F(WrappedProvider, ThatRepeatsTheKeyTellsItNobody) {
  canned_answer moved;
  moved.status = 302;
  moved.headers = {{"Location", "http://elsewhere.example/?key=sk-secret"}};
  const test_server server(
      {{"GET /v1/models", moved},
       {"GET /other/v1/models",
        listing(R"({"data": [{"id": "of sk-secret"}, {"id": "*sk-secret"}]})")},
       {"GET /worse/v1/models", listing(R"({"data": [{"id": "*sk-secret"}]})")}});
  const auto away = look_at_server(server.url(), "CONSORT_TEST_KEY");
  ASSERT_FALSE(away);
  EXPECT_THAT(away.failure().message, HasSubstr("to http://elsewhere.example/?key=[key]: name"));
  const auto named = look_at_server(server.url() + "/other/v1", "CONSORT_TEST_KEY");
  ASSERT_TRUE(named) << named.failure().message;
  EXPECT_THAT(named->models, ElementsAre("of [key]"));
  const auto none = look_at_server(server.url() + "/worse/v1", "CONSORT_TEST_KEY");
  ASSERT_FALSE(none);
  EXPECT_THAT(none.failure().message, HasSubstr("of `*[key]`"));
}

TEST_F(WrappedProvider, KeysAreNotTakenForNamesOfVariables) {
  for (const auto* key : {"sk-secret", "9abc", "a b"}) {
    const auto found = look_at_server("http://127.0.0.1:1", key);
    ASSERT_FALSE(found);
    EXPECT_EQ(found.failure().code, "usage");
    EXPECT_THAT(found.failure().message, Not(HasSubstr(key)));
  }
  EXPECT_THAT(look_at_server("http://127.0.0.1:1", "CONSORT_NOT_SET").failure().message,
              HasSubstr("CONSORT_NOT_SET is not set"));
}

TEST(WrappedServer, TellsThatItListsMoreThanAreLookedAt) {
  std::string all;
  for (std::size_t at = 0; at <= wrapped_models_max; ++at)
    all += (all.empty() ? "" : ",") + std::string(R"({"id": "m)") + std::to_string(at) + "\"}";
  const test_server server({{"GET /v1/models", listing(R"({"data": [)" + all + "]}")}});
  const auto found = look_at_server(server.url());
  ASSERT_TRUE(found) << found.failure().message;
  EXPECT_EQ(found->models.size(), wrapped_models_max);
  EXPECT_TRUE(found->more);
}

TEST(WrappedServer, NamesThatNoSourceCanHaveAreLeftOut) {
  const test_server server({{"GET /v1/models", listing(R"({"data": [{"id": "a\n b"}, {"id": "*"},
      {"id": "\u001b[2J"}, {"id": ""}, {"id": 7}, {"id": "fine"}]})")}});
  const auto found = look_at_server(server.url());
  ASSERT_TRUE(found) << found.failure().message;
  EXPECT_THAT(found->models, ElementsAre("fine"));
}

TEST(WrappedServer, OfBadNamesAloneSaysWhichAndWhy) {
  const test_server server(
      {{"GET /v1/models", listing(R"({"data": [{"id": "a\u001b[31m"}]})")}, {"GET /health", {}}});
  const auto found = look_at_server(server.url());
  ASSERT_FALSE(found);
  EXPECT_EQ(found.failure().code, bad_model_name);
  EXPECT_THAT(found.failure().message, HasSubstr("control characters"));
  EXPECT_THAT(found.failure().message, HasSubstr("[31m"));
  EXPECT_THAT(found.failure().message, Not(HasSubstr("\x1b")));
}

TEST(WrappedServer, ItsNamesAreOneWordEachOfWhatIsPasted) {
  EXPECT_EQ(commands_for({"org/Name:tag"}),
            "  consort model add org-name-tag server:org/Name:tag\n");
  EXPECT_EQ(commands_for({"tiny/$(touch /tmp/P)"}),
            "  consort model add tiny---touch--tmp-p 'server:tiny/$(touch /tmp/P)'\n");
  EXPECT_EQ(commands_for({"../../x"}), "  consort model add x server:../../x\n");
  EXPECT_EQ(commands_for({"';rm x;'"}), "  consort model add rm-x 'server:'\"'\"';rm x;'\"'\"''\n");
  EXPECT_EQ(commands_for({"`$`"}), "  consort model add model 'server:`$`'\n");
}

} // namespace
} // namespace consort::cli
