// SPDX-License-Identifier: Apache-2.0
// Goal: a model server's embeddings become one JSON array in the order of the inputs, whatever
// order they came in, and nothing else becomes one.
#include "node/runtimes/openai_embeddings.hpp"

#include "node/attempt_outbox.hpp"
#include "node/limits.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace consort::node {
namespace {

using nlohmann::json;

attempt_body to_embed(const json& body) {
  return {request_kind::embedding, body.dump(), {}};
}

/// All events of an answer that came in pieces of that size.
std::vector<attempt_event> embedded(const std::string& body, std::uint32_t inputs,
                                    std::size_t piece = 7) {
  server_request asked;
  asked.embeddings = inputs;
  const auto answer = make_server_answer(asked);
  answer->begin(false);
  for (std::size_t at = 0; at < body.size(); at += piece)
    answer->feed(std::string_view(body).substr(at, piece));
  answer->finish();
  EXPECT_TRUE(answer->ended());
  return answer->take();
}

std::string text_in(const std::vector<attempt_event>& events) {
  std::string out;
  for (const auto& one : events)
    if (const auto* text = std::get_if<attempt_tokens>(&one))
      out += text->text;
  return out;
}

/// How it failed; empty code when it did not.
error failure_in(const std::vector<attempt_event>& events) {
  const auto* failed = std::get_if<attempt_aborted>(&events.back());
  return failed == nullptr ? error{} : failed->failure;
}

json one_of(std::uint32_t index, const json& embedding) {
  return {{"object", "embedding"}, {"index", index}, {"embedding", embedding}};
}

TEST(OpenaiEmbeddings, BodyIsTheClientsWithOurModel) {
  const auto made = render_server_request(
      server_protocol::openai,
      to_embed({{"model", "m"}, {"input", {"a", "b"}}, {"encoding_format", "base64"}}), "theirs");
  ASSERT_TRUE(made);
  EXPECT_EQ(made->path, "/v1/embeddings");
  EXPECT_EQ(made->embeddings, 2U);
  const json wanted{{"model", "theirs"}, {"input", {"a", "b"}}, {"encoding_format", "base64"}};
  EXPECT_EQ(json::parse(made->body), wanted) << "nothing of streams";
  EXPECT_EQ(render_openai_embeddings(to_embed({{"input", "a"}}), "m")->embeddings, 1U);
  for (const auto& wrong :
       {json{{"input", {1, 2}}}, json{{"input", json::array()}}, json{{"x", 1}}, json(1)})
    EXPECT_EQ(render_openai_embeddings(to_embed(wrong), "m").failure().code, "bad_body");
}

TEST(OpenaiEmbeddings, OtherProtocolsHaveNone) {
  for (const auto protocol : {server_protocol::tgi, server_protocol::mii}) {
    const auto made = render_server_request(protocol, to_embed({{"input", "a"}}), "m");
    ASSERT_FALSE(made);
    EXPECT_EQ(made.failure().code, "kind_unsupported");
    EXPECT_EQ(made.failure().action, recovery::retry_elsewhere);
  }
}

TEST(OpenaiEmbeddings, ComeInTheOrderOfTheInputs) {
  const json body{{"data", {one_of(1, {0.25, -1}), one_of(0, "AAA=")}},
                  {"usage", {{"prompt_tokens", 6}, {"total_tokens", 6}}}};
  const auto events = embedded(body.dump(), 2);
  ASSERT_EQ(events.size(), 4U);
  EXPECT_TRUE(std::holds_alternative<attempt_opened>(events[0]));
  EXPECT_EQ(text_in(events), R"(["AAA=",[0.25,-1]])");
  EXPECT_TRUE(std::holds_alternative<attempt_choice_done>(events[2]));
  ASSERT_TRUE(std::holds_alternative<attempt_completed>(events[3]));
  const auto& usage = std::get<attempt_completed>(events[3]).usage;
  EXPECT_EQ(usage.prompt_tokens, 6U);
  EXPECT_EQ(usage.completion_tokens, 0U);
}

TEST(OpenaiEmbeddings, NonsenseIsTheServersFault) {
  const auto with = [](const json& data) { return json{{"data", data}}.dump(); };
  const auto twice = with({one_of(0, {1}), one_of(0, {1})});
  const auto beyond = with({one_of(0, {1}), one_of(2, {1})});
  const auto missing = with(json::array({one_of(0, {1})}));
  const auto no_number = with({one_of(0, {1}), one_of(1, {"a"})});
  const auto no_vector = with({one_of(0, {1}), one_of(1, json::array())});
  const auto no_object = with({1, 2});
  for (const auto& wrong : {twice, beyond, missing, no_number, no_vector, no_object,
                            std::string("<html>"), std::string("[]"), std::string("{}")}) {
    EXPECT_EQ(failure_in(embedded(wrong, 2)).code, "server_protocol") << wrong;
    EXPECT_EQ(failure_in(embedded(wrong, 2)).action, recovery::retry_elsewhere) << wrong;
    EXPECT_EQ(text_in(embedded(wrong, 2)), "");
  }
  EXPECT_EQ(failure_in(embedded(R"({"error": {"message": "on fire"}})", 1)).code, "server_failed");
}

TEST(OpenaiEmbeddings, SizeIsBoundedAndFitsWhatMayWait) {
  const auto of_bytes = [](std::size_t bytes) {
    return json{{"data", json::array({one_of(0, std::string(bytes, 'A'))})}}.dump();
  };
  const auto events = embedded(of_bytes(limits::server_embeddings_bytes_max - 100), 1, 1U << 16U);
  EXPECT_EQ(failure_in(events).code, "");
  attempt_outbox box(limits::data_backlog_bytes_max, [] {});
  for (const auto& one : events) {
    if (const auto* text = std::get_if<attempt_tokens>(&one)) {
      EXPECT_LE(text->text.size(), limits::server_embeddings_piece_bytes);
    }
    box.on_event(one);
  }
  EXPECT_FALSE(box.overflowed());
  const auto beyond
      = failure_in(embedded(of_bytes(limits::server_embeddings_bytes_max), 1, 1U << 16U));
  EXPECT_EQ(beyond.code, "answer_too_large");
  EXPECT_EQ(beyond.action, recovery::refuse) << "it is as large elsewhere";
}

TEST(OpenaiEmbeddings, AServerWithoutThemIsNotBlamed) {
  for (const auto status : {404U, 405U, 501U}) {
    const auto none = judge_embeddings_refusal(status, R"({"detail": "Not Found"})");
    EXPECT_EQ(none.failure.code, "kind_unsupported");
    EXPECT_EQ(none.failure.action, recovery::retry_elsewhere);
    EXPECT_FALSE(none.device_fault);
  }
  EXPECT_EQ(judge_embeddings_refusal(400, "{}").failure.action, recovery::refuse);
  EXPECT_TRUE(judge_embeddings_refusal(500, "{}").device_fault);
}

} // namespace
} // namespace consort::node
