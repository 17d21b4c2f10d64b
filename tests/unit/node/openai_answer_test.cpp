// SPDX-License-Identifier: Apache-2.0
// Goal: whatever a model server says becomes a sequence of events that an attempt may have.
#include "node/runtimes/openai_answer.hpp"

#include "links/limits.hpp"
#include "node/limits.hpp"
#include "node/runtimes/openai_request.hpp"
#include "node/runtimes/server_errors.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace consort::node {

namespace {

using nlohmann::json;

/// Feeds in pieces of that size. Returns: all events.
std::vector<attempt_event> answer_events(const std::string& body, bool streamed = true,
                                         std::uint32_t max_tokens = 0, std::size_t piece = 7) {
  openai_answer answer(1, max_tokens);
  answer.begin(streamed);
  for (std::size_t at = 0; at < body.size(); at += piece)
    answer.feed(std::string_view(body).substr(at, piece));
  answer.finish();
  auto events = answer.take();
  EXPECT_TRUE(answer.ended());
  return events;
}

/// What was heard, in short: `open`, `"text"`, `done stop`, `end 1+2`, `fail code`.
std::string heard(const std::vector<attempt_event>& events) {
  std::string out;
  for (const auto& one : events) {
    out += out.empty() ? "" : " ";
    if (std::holds_alternative<attempt_opened>(one))
      out += "open";
    else if (const auto* text = std::get_if<attempt_tokens>(&one))
      out += '"' + text->text + '"' + text->extra_json;
    else if (const auto* ended = std::get_if<attempt_choice_done>(&one))
      out += "done " + ended->finish_reason;
    else if (const auto* end = std::get_if<attempt_completed>(&one))
      out += "end " + std::to_string(end->usage.prompt_tokens) + "+"
             + std::to_string(end->usage.completion_tokens);
    else if (const auto* failed = std::get_if<attempt_aborted>(&one))
      out += "fail " + failed->failure.code;
  }
  return out;
}

std::string sse_data(const json& data) {
  return "data: " + data.dump() + "\n\n";
}
std::string spoken(const std::string& piece, const json& why = nullptr) {
  return sse_data({{"choices", {{{"index", 0}, {"text", piece}, {"finish_reason", why}}}}});
}
const std::string stream_end = "data: [DONE]\n\n";

TEST(OpenaiAnswer, StreamBecomesEvents) {
  const auto usage = sse_data(
      {{"choices", json::array()}, {"usage", {{"prompt_tokens", 5}, {"completion_tokens", 2}}}});
  EXPECT_EQ(
      heard(answer_events(spoken("a") + spoken("b") + spoken("", "stop") + usage + stream_end)),
      R"(open "a" "b" done stop end 5+2)");
}

TEST(OpenaiAnswer, WithoutUsagePiecesAreCounted) {
  EXPECT_EQ(heard(answer_events(spoken("a") + spoken("b", "length") + stream_end)),
            R"(open "a" "b" done length end 0+2)");
}

TEST(OpenaiAnswer, UsageOfNothingOrLessIsNoCountOfWhatCame) {
  for (const auto& none : {json(0), json(-8), json("8"), json(nullptr)}) {
    const auto usage = sse_data({{"choices", json::array()},
                                 {"usage", {{"prompt_tokens", 5}, {"completion_tokens", none}}}});
    EXPECT_EQ(heard(answer_events(spoken("a") + spoken("b", "stop") + usage + stream_end)),
              R"(open "a" "b" done stop end 5+2)");
  }
}

TEST(OpenaiAnswer, EndsWithItsConnectionWhenEveryChoiceEnded) {
  EXPECT_EQ(heard(answer_events(spoken("a", "stop"))), R"(open "a" done stop end 0+1)");
  EXPECT_EQ(heard(answer_events(spoken("a"))), R"(open "a" fail server_broke_off)");
  EXPECT_EQ(heard(answer_events(spoken("a") + stream_end)), R"(open "a" fail server_broke_off)");
  EXPECT_EQ(heard(answer_events("")), "open fail server_broke_off");
}

TEST(OpenaiAnswer, WholeAnswerIsOnePiece) {
  const json body{{"choices", {{{"index", 0}, {"text", "all"}, {"finish_reason", "length"}}}},
                  {"usage", {{"prompt_tokens", 1}, {"completion_tokens", 9}}}};
  EXPECT_EQ(heard(answer_events(body.dump(), false)), R"(open "all" done length end 1+9)");
  const json chat{
      {"choices",
       {{{"message", {{"role", "assistant"}, {"content", "hi"}}}, {"finish_reason", "stop"}}}}};
  EXPECT_EQ(heard(answer_events(chat.dump(), false)), R"(open "hi" done stop end 0+1)");
  EXPECT_EQ(heard(answer_events("<html>", false)), "open fail server_protocol");
  EXPECT_EQ(heard(answer_events(R"({"error": {"message": "no"}})", false)),
            "open fail server_failed");
}

TEST(OpenaiAnswer, WhatIsNotTextPassesThrough) {
  const auto chat = sse_data(
      {{"choices",
        {{{"index", 0},
          {"delta", {{"role", "assistant"}, {"content", nullptr}, {"tool_calls", {{{"id", "x"}}}}}},
          {"logprobs", {{"content", json::array()}}}}}}});
  const auto end = sse_data(
      {{"choices", {{{"index", 0}, {"delta", json::object()}, {"finish_reason", "tool_calls"}}}}});
  const std::string extra = R"({"delta":{"tool_calls":[{"id":"x"}]},"logprobs":{"content":[]}})";
  EXPECT_EQ(heard(answer_events(chat + end)), "open \"\"" + extra + " done tool_calls end 0+0");
}

TEST(OpenaiAnswer, MoreThanWasAskedForIsCut) {
  std::string body;
  for (int i = 0; i < 9; ++i)
    body += spoken("x");
  EXPECT_EQ(heard(answer_events(body + spoken("", "stop") + stream_end, true, 2)),
            R"(open "x" "x" done length end 0+2)");
}

json whole_of(const std::string& text, std::uint32_t tokens) {
  return {{"choices", {{{"index", 0}, {"text", text}, {"finish_reason", "stop"}}}},
          {"usage", {{"prompt_tokens", 1}, {"completion_tokens", tokens}}}};
}

TEST(OpenaiAnswer, AWholeOneOfMoreThanWasAskedForIsCut) {
  auto body = whole_of("abcdefgh", 8);
  EXPECT_EQ(heard(answer_events(body.dump(), false, 2)), R"(open "ab" done length end 1+2)");
  EXPECT_EQ(heard(answer_events(whole_of("éé", 8).dump(), false, 2)), "open done length end 1+2")
      << "never half a character";
  EXPECT_EQ(heard(answer_events(whole_of("abc", 3).dump(), false, 2)),
            R"(open "abc" done stop end 1+3)")
      << "its end may be one of them";
  EXPECT_EQ(heard(answer_events(body.dump(), false)), R"(open "abcdefgh" done stop end 1+8)");
  body["usage"]["completion_tokens_details"] = {{"reasoning_tokens", 6}};
  EXPECT_EQ(heard(answer_events(body.dump(), false, 2)), R"(open "abcdefgh" done stop end 1+8)");
  body.erase("usage");
  EXPECT_EQ(heard(answer_events(body.dump(), false, 2)), R"(open "abcdefgh" done stop end 0+3)")
      << "nobody counted";
}

TEST(OpenaiAnswer, WhatIsNotTextIsNotCutByItsTokens) {
  auto body = whole_of("abcdefgh", 8);
  body["choices"][0]["logprobs"] = {{"tokens", {"a"}}};
  EXPECT_EQ(heard(answer_events(body.dump(), false, 2)),
            R"(open "abcdefgh"{"logprobs":{"tokens":["a"]}} done stop end 1+8)");
}

TEST(OpenaiAnswer, NonsenseIsTheServersFault) {
  EXPECT_EQ(heard(answer_events("data: {\n\n")), "open fail server_protocol");
  EXPECT_EQ(heard(answer_events("data: []\n\n")), "open fail server_protocol");
  EXPECT_EQ(heard(answer_events("data: {}\n\n")), "open fail server_protocol");
  EXPECT_EQ(heard(answer_events("data: {\"choices\": [1]}\n\n")), "open fail server_protocol");
  EXPECT_EQ(heard(answer_events("data: {\"choices\": [{\"text\": \"\xff\"}]}\n\n")),
            "open fail server_protocol");
  EXPECT_EQ(heard(answer_events(sse_data({{"choices", {{{"index", 7}, {"text", "x"}}}}}))),
            "open fail server_protocol");
  EXPECT_EQ(heard(answer_events(sse_data({{"choices", {{{"index", -1}, {"text", "x"}}}}}))),
            "open fail server_protocol");
  EXPECT_EQ(heard(answer_events("data: " + std::string(limits::json_depth_max + 2, '[') + "\n\n")),
            "open fail server_protocol");
  EXPECT_EQ(heard(answer_events(sse_data({{"error", {{"message", "fire"}}}}))),
            "open fail server_failed");
  EXPECT_EQ(heard(answer_events(
                spoken("a") + "data: " + std::string(links::limits::sse_line_bytes_max, 'x'), true,
                0, 65'536)),
            R"(open "a" fail server_protocol)");
}

TEST(OpenaiAnswer, WhatStandsWhereTextBelongsIsNamed) {
  const auto of = [](const json& choice) {
    const auto last = answer_events(sse_data({{"choices", {choice}}})).back();
    const auto* failed = std::get_if<attempt_aborted>(&last);
    return failed == nullptr ? std::string() : failed->failure.message;
  };
  EXPECT_EQ(of({{"index", 0}, {"text", 42}}),
            "the model server failed: `text` of one of its choices is no text: 42");
  EXPECT_EQ(of({{"index", 0}, {"delta", {{"content", {{"a", true}}}}}}),
            R"(the model server failed: `content` of one of its choices is no text: {"a":true})");
  EXPECT_EQ(of({{"index", 0}, {"delta", {{"content", nullptr}}}, {"finish_reason", "stop"}}), "");
}

TEST(OpenaiAnswer, TextInPartsIsTextAndThoughtsAreNot) {
  const json parts{{{"type", "thinking"}, {"thinking", json::array()}},
                   {{"type", "text"}, {"text", "so "}},
                   {{"type", "text"}, {"text", "it is"}}};
  EXPECT_EQ(
      heard(answer_events(
          sse_data({{"choices",
                     {{{"index", 0}, {"delta", {{"content", parts}}}, {"finish_reason", "stop"}}}}})
          + stream_end)),
      R"(open "so it is" done stop end 0+1)");
}

TEST(OpenaiAnswer, AByteOrderMarkBeforeTheStreamTakesNoText) {
  EXPECT_EQ(heard(answer_events("\xef\xbb\xbf" + spoken("a") + spoken("b", "stop") + stream_end)),
            R"(open "a" "b" done stop end 0+2)");
}

TEST(OpenaiAnswer, SizeIsBounded) {
  openai_answer answer(1, 0);
  answer.begin(true);
  const std::string comment = ":" + std::string(1 << 20, 'x') + "\n";
  for (std::uint64_t sent = 0; sent <= limits::server_answer_bytes_max && !answer.ended();
       sent += comment.size())
    for (const auto half : {0U, 1U})
      answer.feed(std::string_view(comment).substr(half * comment.size() / 2, comment.size() / 2));
  EXPECT_EQ(heard(answer.take()), "open fail server_protocol");
}

TEST(OpenaiAnswer, ReasonsAreWords) {
  EXPECT_EQ(heard(answer_events(spoken("", "<script>") + stream_end)), "open done stop end 0+0");
}

TEST(ServerErrors, EveryVendorsShapeIsUnderstood) {
  const std::pair<const char*, const char*> bodies[]
      = {{R"({"error": {"message": "openai", "code": 1}})", "openai"},
         {R"({"object": "error", "message": "vllm", "code": 400})", "vllm"},
         {R"({"detail": "fastapi"})", "fastapi"},
         {R"({"detail": [{"loc": ["body", "n"], "msg": "too small"}, {"msg": "odd"}]})",
          "n: too small; odd"},
         {R"({"error": "tgi", "error_type": "validation"})", "tgi"},
         {"<html>\n<b>502</b>\x1b[31m", "<html> <b>502</b> [31m"},
         {"", ""}};
  for (const auto& [body, message] : bodies)
    EXPECT_EQ(server_message(std::string_view(body)), message);
  EXPECT_EQ(server_message(std::string(limits::server_message_bytes_max + 9, 'x')).size(),
            limits::server_message_bytes_max);
}

TEST(ServerErrors, StatusDecidesWhoIsToBlame) {
  const auto at = [](unsigned status) { return judge_refusal(status, "{}"); };
  for (const auto status : {400U, 413U, 422U}) {
    EXPECT_EQ(at(status).failure.action, recovery::refuse);
    EXPECT_FALSE(at(status).device_fault);
  }
  for (const auto status : {408U, 429U, 498U, 503U, 529U}) {
    EXPECT_EQ(at(status).failure.action, recovery::retry_later) << status;
    EXPECT_FALSE(at(status).device_fault);
  }
  const auto poor = judge_refusal(429, R"({"error": {"code": "insufficient_quota"}})");
  EXPECT_EQ(poor.failure.action, recovery::retry_elsewhere) << "waiting brings no money";
  EXPECT_EQ(poor.failure.code, "server_quota");
  EXPECT_NE(poor.failure.message.find("answered 429"), std::string::npos) << "what it did say";
  EXPECT_TRUE(poor.device_fault) << "else each request would go there first, at all others' cost";
  for (const auto* code : {"billing_hard_limit_reached", "billing_not_active"})
    EXPECT_EQ(judge_refusal(429, json{{"error", {{"code", code}}}}.dump()).failure.code,
              "server_quota");
  for (const auto status : {301U, 401U, 402U, 403U, 404U, 500U, 502U, 504U}) {
    EXPECT_EQ(at(status).failure.action, recovery::retry_elsewhere);
    EXPECT_TRUE(at(status).device_fault);
  }
}

/// OpenAI's own words. Were it the provider's fault, one client's completions of a chat model would
/// open the breaker for everybody's chats.
TEST(ServerErrors, AModelThatAnswersOtherRoutesIsNotAtFault) {
  const auto judged = [](unsigned status, const char* said) {
    return judge_refusal(status, json{{"error",
                                       {{"message", said},
                                        {"type", "invalid_request_error"},
                                        {"param", "model"},
                                        {"code", nullptr}}}}
                                     .dump());
  };
  for (const auto* said : {"This is a chat model and not supported in the v1/completions endpoint. "
                           "Did you mean to use v1/chat/completions?",
                           "This is not a chat model and thus not supported in the "
                           "v1/chat/completions endpoint. Did you mean to use v1/completions?",
                           "This model is only supported in v1/responses and not in "
                           "v1/chat/completions."}) {
    const auto end = judged(404, said);
    EXPECT_EQ(end.failure.action, recovery::refuse) << said;
    EXPECT_EQ(end.failure.code, "server_refused");
    EXPECT_FALSE(end.device_fault);
    EXPECT_EQ(end.failure.message, "the model server answered 404: " + std::string(said));
    EXPECT_TRUE(judged(500, said).device_fault);
  }
  for (const auto* said : {"The model `gpt-9` does not exist or you do not have access to it.",
                           "Invalid URL (POST /v2/completions)", "Not Found"})
    EXPECT_TRUE(judged(404, said).device_fault) << said;
}

TEST(ServerErrors, AFieldThatIsRefusedIsToldByStructureAlone) {
  const json place{{"type", "extra_forbidden"},
                   {"loc", {"body", "stream_options", "include_usage"}}};
  const auto list = json::array({place});
  for (const auto& body :
       {json{{"detail", list}}, json{{"message", {{"detail", list}}}},
        json{{"error", {{"message", "unknown"}, {"param", "stream_options.include_usage"}}}}}) {
    EXPECT_TRUE(refuses_field(body.dump(), "stream_options")) << body;
    EXPECT_FALSE(refuses_field(body.dump(), "tools")) << body;
  }
  for (const auto* said :
       {R"({"error": {"message": "stream_options", "param": null}})",
        R"({"detail": "stream_options"})",
        R"({"detail": [{"loc": ["body"], "input": "stream_options"}, 7]})", "stream_options", "[]"})
    EXPECT_FALSE(refuses_field(said, "stream_options")) << said;
}

TEST(OpenaiRequest, SeveralPromptsAreThatManyTimesTheChoices) {
  const auto choices = [](const char* asked) {
    return render_openai_request({request_kind::completion, asked, {}}, "theirs").value().choices;
  };
  EXPECT_EQ(choices(R"({"prompt": ["a", "b", "c"], "n": 2})"), 6U);
  EXPECT_EQ(choices(R"({"prompt": [[1, 2], [3]], "echo": true})"), 2U);
  EXPECT_EQ(choices(R"({"prompt": [1, 2, 3]})"), 1U);
}

TEST(OpenaiRequest, BodyIsTheClientsWithOurModel) {
  const attempt_body from{
      request_kind::chat,
      R"({"model": "m", "messages": [], "n": 2, "max_completion_tokens": 9, "tools": [1]})",
      {}};
  const auto made = render_openai_request(from, "theirs");
  ASSERT_TRUE(made);
  EXPECT_EQ(made->path, "/v1/chat/completions");
  EXPECT_EQ(made->choices, 2U);
  EXPECT_EQ(made->max_tokens, 9U);
  const auto body = json::parse(made->body);
  EXPECT_EQ(body["model"], "theirs");
  EXPECT_EQ(body["stream"], true);
  EXPECT_EQ(body["stream_options"]["include_usage"], true);
  EXPECT_EQ(body["tools"], json({1}));
}

TEST(OpenaiRequest, OneThatDoesNotStreamIsAskedForTheWhole) {
  const auto body = json::parse(whole_body(
      R"({"model": "m", "stream": true, "stream_options": {"include_usage": true}, "n": 2})"));
  const json wanted{{"model", "m"}, {"stream", false}, {"n", 2}};
  EXPECT_EQ(body, wanted);
  EXPECT_EQ(whole_body("no json"), "no json");
}

TEST(OpenaiRequest, AnswerThatBeganElsewhereGoesOn) {
  attempt_body from{request_kind::completion, R"({"prompt": "Once", "max_tokens": 10})", {}};
  from.resume = {" upon", {}, 4};
  const auto text_on = render_openai_request(from, "m");
  ASSERT_TRUE(text_on);
  EXPECT_EQ(text_on->max_tokens, 6U);
  EXPECT_EQ(json::parse(text_on->body)["prompt"], "Once upon");
  EXPECT_EQ(json::parse(text_on->body)["max_tokens"], 6);
  from.json = R"({"prompt": ["a", "b"]})";
  EXPECT_EQ(render_openai_request(from, "m").failure().code, "not_resumable");
  from = {
      request_kind::chat, R"({"messages": [{"role": "user", "content": "hi"}]})", {" upon", {}, 4}};
  const auto chat_on = json::parse(render_openai_request(from, "m")->body);
  EXPECT_EQ(chat_on["messages"].back()["content"], " upon");
  EXPECT_EQ(chat_on["continue_final_message"], true);
  from.json = "[";
  EXPECT_EQ(render_openai_request(from, "m").failure().code, "bad_body");
}

} // namespace

} // namespace consort::node
