// SPDX-License-Identifier: Apache-2.0
#include "gateway/responses_answer.hpp"

#include "gateway/errors.hpp"
#include "gateway/openai_response.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace consort::gateway {
namespace {

using json = nlohmann::json;

const nlohmann::ordered_json echo{{"tools", nlohmann::ordered_json::array()}, {"store", false}};
const token_usage usage{5, 7, 1};

answer_identity identity() {
  return {request_kind::chat, "chatcmpl-9", 1'700'000'000, "m", true};
}

struct event {
  std::string type;
  json data;
};

std::vector<event> events_of(std::string_view said) {
  std::vector<event> out;
  for (auto at = said.find("event: "); at < said.size(); at = said.find("event: ", at)) {
    const auto line = said.find('\n', at), end = said.find("\n\n", at);
    out.push_back({std::string(said.substr(at + 7, line - at - 7)),
                   json::parse(said.substr(line + 7, end - line - 7))});
    at = end;
  }
  return out;
}

std::vector<std::string> types_of(const std::vector<event>& events) {
  std::vector<std::string> out;
  for (std::size_t at = 0; at < events.size(); ++at) {
    EXPECT_EQ(events[at].data["type"], events[at].type);
    EXPECT_EQ(events[at].data["sequence_number"], at);
    out.push_back(events[at].type);
  }
  return out;
}

/// The events for these pieces and an end.
std::vector<event> streamed(const std::vector<attempt_tokens>& pieces, std::string_view reason) {
  stream_renderer inner(identity());
  responses_answer answer(echo);
  std::string out, chunk;
  for (const auto& piece : pieces) {
    inner.tokens(chunk, piece);
    out += answer.feed(chunk);
    chunk.clear();
  }
  inner.choice_done(chunk, 0, reason);
  inner.finish(chunk, usage, {});
  return events_of(out + answer.feed(chunk));
}

json whole(const attempt_tokens& piece, std::string reason) {
  answer_builder inner(identity());
  inner.tokens(piece);
  inner.choice_done(0, std::move(reason));
  return json::parse(responses_answer(echo).whole(inner.render(usage, {})));
}

TEST(ResponsesAnswer, TextIsOneItemOfOnePart) {
  const auto events = streamed({{0, "Hel", {1}, ""}, {0, "lo", {2}, ""}}, "stop");
  EXPECT_EQ(types_of(events),
            (std::vector<std::string>{"response.created", "response.in_progress",
                                      "response.output_item.added", "response.content_part.added",
                                      "response.output_text.delta", "response.output_text.delta",
                                      "response.output_text.done", "response.content_part.done",
                                      "response.output_item.done", "response.completed"}));
  EXPECT_EQ(events[4].data["delta"], "Hel");
  EXPECT_EQ(events[6].data["text"], "Hello");
  EXPECT_EQ(events[0].data["response"]["status"], "in_progress");
  const auto& last = events.back().data["response"];
  EXPECT_EQ(last["id"], "resp_9");
  EXPECT_EQ(last["store"], false);
  EXPECT_EQ(last["output"], json::parse(R"([{"id":"msg_9_0","type":"message","role":"assistant",
    "status":"completed","content":[{"type":"output_text","text":"Hello","annotations":[]}]}])"));
  EXPECT_EQ(last["usage"]["input_tokens"], 5);
  EXPECT_EQ(last["usage"]["input_tokens_details"]["cached_tokens"], 1);
  EXPECT_EQ(last["usage"]["output_tokens"], 7);
  EXPECT_EQ(last["usage"]["total_tokens"], 12);
}

TEST(ResponsesAnswer, WholeIsWhatTheStreamEndsWith) {
  const auto events = streamed({{0, "Hello", {1}, ""}}, "stop");
  EXPECT_EQ(whole({0, "Hello", {1}, ""}, "stop"), events.back().data["response"]);
}

TEST(ResponsesAnswer, ACutAnswerIsIncomplete) {
  const auto events = streamed({{0, "Hel", {1}, ""}}, "length");
  EXPECT_EQ(events.back().type, "response.incomplete");
  EXPECT_EQ(events.back().data["response"]["incomplete_details"]["reason"], "max_output_tokens");
  EXPECT_EQ(whole({0, "Hel", {1}, ""}, "length")["status"], "incomplete");
}

TEST(ResponsesAnswer, NothingSaidIsNoItem) {
  EXPECT_EQ(whole({0, "", {}, ""}, "stop")["output"], json::array());
  EXPECT_EQ(streamed({}, "stop").back().data["response"]["output"], json::array());
}

TEST(ResponsesAnswer, CallsAreItemsOfTheirOwn) {
  const auto first = R"({"tool_calls":[{"index":0,"id":"c1","function":{"name":"f"}}]})";
  const auto more = R"({"tool_calls":[{"index":0,"function":{"arguments":"{\"x\":1}"}}]})";
  const auto second
      = R"({"tool_calls":[{"index":1,"id":"c2","function":{"name":"g","arguments":"{}"}}]})";
  const auto events = streamed(
      {{0, "Wait.", {1}, ""}, {0, "", {}, first}, {0, "", {}, more}, {0, "", {}, second}},
      "tool_calls");
  const auto& output = events.back().data["response"]["output"];
  ASSERT_EQ(output.size(), 3U);
  EXPECT_EQ(output[1], json::parse(R"({"id":"fc_9_1","type":"function_call","status":"completed",
    "call_id":"c1","name":"f","arguments":"{\"x\":1}"})"));
  EXPECT_EQ(output[2]["call_id"], "c2");
  const auto types = types_of(events);
  EXPECT_EQ(std::count(types.begin(), types.end(), "response.function_call_arguments.done"), 2);
}

TEST(ResponsesAnswer, CallsOfAWholeAnswerNeedNoIndex) {
  const auto calls = R"({"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}},
                                       {"id":"b","function":{"name":"g","arguments":"{}"}}]})";
  const auto output = whole({0, "", {}, calls}, "tool_calls")["output"];
  ASSERT_EQ(output.size(), 2U);
  EXPECT_EQ(output[0]["call_id"], "a");
  EXPECT_EQ(output[1]["call_id"], "b");
}

TEST(ResponsesAnswer, ThoughtsStandBeforeWhatIsSaid) {
  const auto events
      = streamed({{0, "", {1}, R"({"reasoning_content":"Hm."})"}, {0, "Yes", {2}, ""}}, "stop");
  const auto& output = events.back().data["response"]["output"];
  ASSERT_EQ(output.size(), 2U);
  EXPECT_EQ(output[0]["type"], "reasoning");
  EXPECT_EQ(output[0]["content"][0]["text"], "Hm.");
  EXPECT_EQ(output[1]["content"][0]["text"], "Yes");
}

TEST(ResponsesAnswer, WhatARuntimeMakesUpDoesNoHarm) {
  for (const auto* extra :
       {R"({"tool_calls":7})", R"({"tool_calls":[7,null]})",
        R"({"tool_calls":[{"function":"f","id":3}]})", R"({"reasoning_content":{"a":1}})"})
    EXPECT_EQ(streamed({{0, "", {1}, extra}, {0, "x", {2}, ""}}, "stop").back().type,
              "response.completed")
        << extra;
}

TEST(ResponsesAnswer, AFailureIsAnEventWithItsWords) {
  stream_renderer inner(identity());
  responses_answer answer(echo);
  std::string chunk;
  inner.tokens(chunk, {0, "Hel", {1}, ""});
  const auto begun = events_of(answer.feed(chunk)).size();
  const auto events = events_of(answer.feed(
      error_event({.status = 502, .code = "attempts_exhausted", .message = "no device is left"})));
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].type, "error");
  EXPECT_EQ(events[0].data["code"], "attempts_exhausted");
  EXPECT_EQ(events[0].data["message"], "no device is left");
  EXPECT_EQ(events[0].data["sequence_number"], begun);
}

} // namespace
} // namespace consort::gateway
