// SPDX-License-Identifier: Apache-2.0
// Goal: texts go to a device as the client sent them, and come back as vectors in OpenAI's shape;
// what is no list of vectors never reaches a client.
#include "gateway/embeddings.hpp"

#include "gateway/openai_request.hpp"
#include "tests/unit/gateway/gateway_fixture.hpp"

namespace consort::testing {
namespace {

using gateway::api_error;
using gateway::embeddings_data;
using gateway::parse_body;
using gateway::parsed_body;

api_error refused_input(const std::string& fields) {
  const auto got = parse_body(request_kind::embedding, R"({"model":"m")" + fields + "}");
  const auto* failure = std::get_if<api_error>(&got);
  return failure == nullptr ? api_error{} : *failure;
}

std::string texts_of(std::size_t count) {
  std::string out = "[";
  for (std::size_t at = 0; at < count; ++at)
    out += at == 0 ? R"("x")" : R"(,"x")";
  return out + "]";
}

TEST(EmbeddingBody, OneTextOrSeveralWithTheirSize) {
  const auto one = parse_body(request_kind::embedding,
                              R"({"model":"m","input":"12345678","dimensions":4,"user":"u"})");
  ASSERT_TRUE(std::holds_alternative<parsed_body>(one));
  EXPECT_EQ(std::get<parsed_body>(one).inputs, 1U);
  EXPECT_EQ(std::get<parsed_body>(one).prompt_tokens, 4U) << "one, 8 bytes / 4, and one";
  EXPECT_EQ(std::get<parsed_body>(one).max_tokens, 1U);
  EXPECT_FALSE(std::get<parsed_body>(one).resumable);
  EXPECT_FALSE(std::get<parsed_body>(one).stream);
  const auto most = parse_body(request_kind::embedding,
                               R"({"model":"m","encoding_format":"base64","input":)"
                                   + texts_of(gateway::limits::embedding_inputs_max) + "}");
  ASSERT_TRUE(std::holds_alternative<parsed_body>(most));
  EXPECT_EQ(std::get<parsed_body>(most).inputs, gateway::limits::embedding_inputs_max);
  EXPECT_EQ(std::get<parsed_body>(most).choices, 1U);
}

TEST(EmbeddingBody, WhatIsNoTextIsNamed) {
  EXPECT_EQ(refused_input("").code, "missing_field");
  EXPECT_EQ(refused_input("").param, "input");
  for (const auto* wrong : {"1", "[1,2]", "[[1,2]]", R"(["a",1])", R"({"a":"b"})"}) {
    EXPECT_EQ(refused_input(std::string(R"(,"input":)") + wrong).code, "invalid_type") << wrong;
    EXPECT_EQ(refused_input(std::string(R"(,"input":)") + wrong).status, 400U) << wrong;
  }
  EXPECT_NE(refused_input(R"(,"input":[1,2])").message.find("tokens are not taken"),
            std::string::npos);
  for (const auto* wrong : {R"("")", "[]", R"(["a",""])"})
    EXPECT_EQ(refused_input(std::string(R"(,"input":)") + wrong).code, "invalid_value") << wrong;
  EXPECT_EQ(
      refused_input(R"(,"input":)" + texts_of(gateway::limits::embedding_inputs_max + 1)).code,
      "invalid_value");
  EXPECT_EQ(refused_input(R"(,"input":"a","stream":true)").param, "stream");
  EXPECT_EQ(refused_input(R"(,"input":"a","encoding_format":"int8")").param, "encoding_format");
}

TEST(EmbeddingsData, IsAsManyVectorsAsInputs) {
  const auto made = embeddings_data(R"([[0.5,-1],"AAA="])", 2);
  ASSERT_TRUE(made.ok()) << made.failure().message;
  EXPECT_EQ(*made, R"([{"object":"embedding","index":0,"embedding":[0.5,-1]},)"
                   R"({"object":"embedding","index":1,"embedding":"AAA="}])");
  for (const auto* wrong : {"", "[", "{}", "[[1],[2],[3]]", "[[1]]", "[[1],[]]", R"([[1],""])",
                            R"([[1],["a"]])", "[[1],[[2]]]", "[[1],{}]", "[1,2]"}) {
    const auto got = embeddings_data(wrong, 2);
    ASSERT_FALSE(got.ok()) << wrong;
    EXPECT_EQ(got.failure().code, "bad_embeddings");
    EXPECT_EQ(got.failure().action, recovery::retry_elsewhere);
  }
}

class ServeEmbeddings : public gateway_fixture {
protected:
  using opened_attempt = fake_attempt_service::opened_attempt;

  static void say(const opened_attempt& attempt, const std::vector<std::string>& pieces) {
    attempt.sink->on_event(attempt_opened{});
    for (const auto& piece : pieces)
      attempt.sink->on_event(attempt_tokens{0, piece, {}, ""});
    attempt.sink->on_event(attempt_choice_done{0, "stop"});
    attempt.sink->on_event(attempt_completed{{5, 0, 0}, 0, 0});
  }
};

const std::string embed_two = R"({ "model":"m", "input":["a","b"], "dimensions":2, "user":"u" })";

TEST_F(ServeEmbeddings, VectorsComeInOpenaisShapeWithOurHeaders) {
  node_.on_open = [](const opened_attempt& attempt) { say(attempt, {"[[1,0.5],", "[2,3]]"}); };
  start();
  http_client client(http_port());
  const auto answer = client.post("/v1/embeddings", embed_two, "X-Request-Id: mine-1\r\n");
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.headers.at("X-Request-Id"), "mine-1");
  EXPECT_EQ(answer.headers.at("X-Consort-Device"), "local/cpu0");
  const auto body = nlohmann::json::parse(answer.body);
  EXPECT_EQ(body["object"], "list");
  EXPECT_EQ(body["model"], "m");
  EXPECT_EQ(body["data"].size(), 2U);
  EXPECT_EQ(body["data"][1]["object"], "embedding");
  EXPECT_EQ(body["data"][1]["index"], 1);
  EXPECT_EQ(body["data"][0]["embedding"], nlohmann::json({1, 0.5}));
  EXPECT_EQ(body["usage"]["prompt_tokens"], 5);
  EXPECT_EQ(body["usage"]["total_tokens"], 5);
  EXPECT_EQ(body["usage"]["consort"]["device"], "local/cpu0");
  EXPECT_EQ(port_.submitted().kind, request_kind::embedding);
  EXPECT_FALSE(port_.submitted().resumable);
  EXPECT_EQ(node_.opened().body.kind, request_kind::embedding);
  EXPECT_EQ(node_.opened().body.json, embed_two) << "untouched";
  const auto finished = port_.wait_report<core::attempt_finished>();
  ASSERT_TRUE(finished);
  EXPECT_EQ(finished->measured.usage.completion_tokens, 0U) << "pieces are no tokens";
}

TEST_F(ServeEmbeddings, WhatIsNoListOfVectorsIsHadElsewhere) {
  node_.on_open = [](const opened_attempt& attempt) {
    if (attempt.permission.attempt.number == 1)
      say(attempt, {"[[1]]"});
    else
      say(attempt, {"[[1],[2]]"});
  };
  port_.on_report = [](const gateway::gateway_report& happened, const auto& listener) {
    const auto* failed = std::get_if<core::attempt_failed>(&happened);
    if (failed == nullptr)
      return;
    request_meta meta;
    meta.id = failed->attempt.request;
    meta.model = model_name("m");
    listener->on_ticket(make_grant(meta, 2, "local/npu0"));
  };
  start();
  http_client client(http_port());
  const auto answer = client.post("/v1/embeddings", embed_two);
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.headers.at("X-Consort-Attempts"), "2");
  EXPECT_EQ(answer.headers.at("X-Consort-Device"), "local/npu0");
  EXPECT_EQ(nlohmann::json::parse(answer.body)["data"].size(), 2U) << "of the second alone";
  const auto failed = port_.wait_report<core::attempt_failed>();
  ASSERT_TRUE(failed);
  EXPECT_EQ(failed->failure.code, "bad_embeddings");
  EXPECT_TRUE(failed->device_fault);
}

TEST_F(ServeEmbeddings, AnswerOverItsBoundIsRefused) {
  config_.limits.response_bytes = 4'096;
  node_.on_open = [](const opened_attempt& attempt) {
    say(attempt, {"[\"" + std::string(2'000, 'A') + "\",\"", std::string(2'200, 'A') + "\"]"});
  };
  start();
  http_client client(http_port());
  const auto answer = client.post("/v1/embeddings", embed_two);
  EXPECT_EQ(answer.status, 502);
  EXPECT_EQ(error_of(answer)["code"], "answer_too_large");
  EXPECT_NE(answer.body.find("send fewer inputs"), std::string::npos) << answer.body;
}

TEST_F(ServeEmbeddings, ADryRunIsOneToo) {
  start();
  http_client client(http_port());
  (void)client.post("/api/v1/explain", R"({"model":"m","input":"a"})");
  ASSERT_TRUE(port_.dry_run);
  EXPECT_EQ(port_.dry_run->kind, request_kind::embedding);
}

} // namespace
} // namespace consort::testing
