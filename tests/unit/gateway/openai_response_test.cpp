// SPDX-License-Identifier: Apache-2.0
#include "gateway/openai_response.hpp"

#include <gtest/gtest.h>

namespace consort::gateway {
namespace {

answer_identity chat_identity(bool include_usage = false) {
  return {request_kind::chat, "chatcmpl-1", 1700000000, "m", include_usage};
}

TEST(StreamRenderer, ChatChunksAreOpenAisByteForByte) {
  stream_renderer renderer(chat_identity());
  std::string out;
  renderer.tokens(out, {0, "Hi \"you\"\n", {1}, ""});
  renderer.choice_done(out, 0, "stop");
  renderer.finish(out, {}, {});
  const std::string head = R"(data: {"id":"chatcmpl-1","object":"chat.completion.chunk",)"
                           R"("created":1700000000,"model":"m","choices":[{"index":0,"delta":{)";
  EXPECT_EQ(
      out,
      head + R"("role":"assistant","content":""},"logprobs":null,"finish_reason":null}]})" + "\n\n"
          + head + R"("content":"Hi \"you\"\n"},"logprobs":null,"finish_reason":null}]})" + "\n\n"
          + head + R"(},"logprobs":null,"finish_reason":"stop"}]})" + "\n\n" + "data: [DONE]\n\n");
}

TEST(StreamRenderer, TextChunksAreOpenAisByteForByte) {
  stream_renderer renderer({request_kind::completion, "cmpl-1", 5, "m", false});
  std::string out;
  renderer.tokens(out, {1, "Hi", {1}, ""});
  renderer.choice_done(out, 1, "length");
  renderer.finish(out, {}, {});
  const std::string head
      = R"(data: {"id":"cmpl-1","object":"text_completion","created":5,"model":"m","choices":[)";
  EXPECT_EQ(out, head + R"({"text":"Hi","index":1,"logprobs":null,"finish_reason":null}]})" + "\n\n"
                     + head + R"({"text":"","index":1,"logprobs":null,"finish_reason":"length"}]})"
                     + "\n\ndata: [DONE]\n\n");
}

TEST(StreamRenderer, UsageComesInAChunkOfItsOwnWhenAskedFor) {
  stream_renderer renderer(chat_identity(true));
  std::string out;
  renderer.choice_done(out, 0, "stop");
  EXPECT_NE(out.find(R"("usage":null})"), std::string::npos);
  out.clear();
  renderer.finish(out, {5, 7, 1}, {device_id("local/cpu0"), 2, 12'345, true, 1'500, 2'000'016});
  EXPECT_EQ(out,
            R"(data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,)"
            R"("model":"m","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7,)"
            R"("total_tokens":12,"prompt_tokens_details":{"cached_tokens":1},"consort":{"device":)"
            R"("local/cpu0","attempts":2,"queue_ms":12,"resumed_exact":true,"joules":1.500,)"
            R"("cost":2.000016}}})"
            "\n\ndata: [DONE]\n\n");
}

TEST(ServedBy, SaysWhereAPromptIsEstimated) {
  served_by served{device_id("n/d"), 1, 0, {}, {}};
  EXPECT_EQ(served_json(served).find("prompt_estimated"), std::string::npos);
  served.prompt_estimated = true;
  EXPECT_NE(served_json(served).find(R"(,"prompt_estimated":true})"), std::string::npos);
}

TEST(StreamRenderer, TokensWithoutTextWriteNothingButTheRole) {
  stream_renderer renderer({request_kind::completion, "c", 5, "m", false});
  std::string out;
  renderer.tokens(out, {0, "", {4}, ""});
  EXPECT_TRUE(out.empty()) << "ids run ahead of text";
}

nlohmann::json first_choice(const std::string& chunk) {
  const auto line = chunk.substr(chunk.rfind("data: ") + 6);
  return nlohmann::json::parse(line).at("choices").at(0);
}

TEST(StreamRenderer, ExtraFieldsJoinTheChoiceOrTheDelta) {
  stream_renderer renderer(chat_identity());
  std::string out;
  renderer.tokens(out, {0, "x", {}, R"({"logprobs":{"content":[1]},"stop_reason":3})"});
  const auto choice = first_choice(out);
  EXPECT_EQ(choice["logprobs"]["content"][0], 1);
  EXPECT_EQ(choice["stop_reason"], 3);
  EXPECT_EQ(choice["delta"]["content"], "x");

  out.clear();
  renderer.tokens(out, {0, "", {}, R"({"tool_calls":[{"index":0,"id":"c1"}]})"});
  EXPECT_EQ(first_choice(out)["delta"]["tool_calls"][0]["id"], "c1");
  EXPECT_FALSE(first_choice(out)["delta"].contains("content"));
}

TEST(StreamRenderer, BrokenExtraFieldsAreDroppedNotCopied) {
  stream_renderer renderer(chat_identity());
  std::string out;
  renderer.tokens(out, {0, "x", {}, R"({"logprobs":)"});
  EXPECT_EQ(first_choice(out)["delta"]["content"], "x");
}

TEST(AnswerBuilder, WholeChatAnswer) {
  answer_builder builder(chat_identity());
  builder.tokens({0, "Hello", {1}, ""});
  builder.tokens({0, " there", {2}, ""});
  builder.choice_done(0, "stop");
  EXPECT_EQ(
      builder.render({3, 2, 0}, {device_id("d"), 1, 0, {}, {}}),
      R"({"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"m",)"
      R"("choices":[{"index":0,"message":{"role":"assistant","content":"Hello there",)"
      R"("refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":3,)"
      R"("completion_tokens":2,"total_tokens":5,"prompt_tokens_details":{"cached_tokens":0},)"
      R"("consort":{"device":"d","attempts":1,"queue_ms":0}}})"
      "\n");
}

TEST(AnswerBuilder, ChoicesStayApartAndInOrder) {
  answer_builder builder({request_kind::completion, "c", 5, "m", false});
  builder.tokens({1, "B", {1}, ""});
  builder.tokens({0, "A", {2}, ""});
  builder.choice_done(0, "length");
  builder.choice_done(1, "stop");
  const auto body = nlohmann::json::parse(builder.render({}, {}));
  EXPECT_EQ(body["choices"][0]["text"], "A");
  EXPECT_EQ(body["choices"][1]["text"], "B");
  EXPECT_EQ(body["choices"][1]["finish_reason"], "stop");
  EXPECT_EQ(body["choices"][0]["logprobs"], nullptr);
}

TEST(AnswerBuilder, StreamedToolCallsAndLogprobsAreJoined) {
  answer_builder builder(chat_identity());
  builder.tokens(
      {0,
       "",
       {1},
       R"({"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":"{\"a\""}}]})"});
  builder.tokens({0, "", {2}, R"({"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]})"});
  builder.tokens({0, "", {3}, R"({"logprobs":{"content":[{"token":"a"}]}})"});
  builder.tokens({0, "", {3}, R"({"logprobs":{"content":[{"token":"b"}]}})"});
  builder.choice_done(0, "tool_calls");
  const auto choice = nlohmann::json::parse(builder.render({}, {})).at("choices").at(0);
  EXPECT_EQ(choice["message"]["content"], nullptr);
  EXPECT_EQ(choice["message"]["tool_calls"][0]["function"]["arguments"], R"({"a":1})");
  EXPECT_EQ(choice["message"]["tool_calls"][0]["function"]["name"], "f");
  EXPECT_EQ(choice["logprobs"]["content"].size(), 2U);
}

TEST(AnswerBuilder, ResetForgetsAFailedAttempt) {
  answer_builder builder(chat_identity());
  builder.tokens({0, "half", {1}, ""});
  builder.reset();
  builder.tokens({0, "whole", {1}, ""});
  EXPECT_EQ(builder.bytes(), 5U);
  EXPECT_EQ(builder.render({}, {}).find("half"), std::string::npos);
}

} // namespace
} // namespace consort::gateway
