// SPDX-License-Identifier: Apache-2.0
#include "gateway/responses_request.hpp"

#include <gtest/gtest.h>

namespace consort::gateway {
namespace {

using json = nlohmann::json;

json chat_of(std::string_view body) {
  const auto got = chat_of_responses(body);
  if (const auto* failure = std::get_if<api_error>(&got)) {
    ADD_FAILURE() << failure->message;
    return {};
  }
  return json::parse(std::get<chat_question>(got).body);
}

api_error refused(std::string_view body) {
  const auto got = chat_of_responses(body);
  const auto* failure = std::get_if<api_error>(&got);
  EXPECT_NE(failure, nullptr) << body;
  return failure == nullptr ? api_error{} : *failure;
}

TEST(ResponsesRequest, AStringIsWhatTheUserSays) {
  EXPECT_EQ(
      chat_of(R"({"model":"m","input":"Hi","instructions":"Be brief","max_output_tokens":7})"),
      json::parse(R"({"model":"m","max_tokens":7,"messages":[
              {"role":"system","content":"Be brief"},{"role":"user","content":"Hi"}]})"));
}

TEST(ResponsesRequest, ItemsAreTurns) {
  EXPECT_EQ(chat_of(R"({"model":"m","input":[
              {"role":"developer","content":"Rules"},
              {"type":"message","role":"user","content":[{"type":"input_text","text":"a"},
                                                         {"type":"input_text","text":"b"}]},
              {"type":"reasoning","id":"rs_1","summary":[]},
              {"type":"function_call","call_id":"c1","name":"f","arguments":"{\"x\":1}"},
              {"type":"function_call","call_id":"c2","name":"g"},
              {"type":"function_call_output","call_id":"c1","output":"one"},
              {"role":"assistant","content":[{"type":"output_text","text":"Done"}]}]})")
                ["messages"],
            json::parse(R"([
              {"role":"system","content":"Rules"},
              {"role":"user","content":"ab"},
              {"role":"assistant","content":null,"tool_calls":[
                {"id":"c1","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}},
                {"id":"c2","type":"function","function":{"name":"g","arguments":"{}"}}]},
              {"role":"tool","tool_call_id":"c1","content":"one"},
              {"role":"assistant","content":"Done"}])"));
}

TEST(ResponsesRequest, PicturesStayPartsBesideTheText) {
  EXPECT_EQ(chat_of(R"({"model":"m","input":[{"role":"user","content":[
              {"type":"input_text","text":"What is it?"},
              {"type":"input_image","image_url":"data:image/png;base64,AA","detail":"low"}]},
              {"role":"user","content":[{"type":"input_text","text":"Well?"}]}]})")["messages"],
            json::parse(R"([{"role":"user","content":[
              {"type":"text","text":"What is it?"},
              {"type":"image_url","image_url":{"url":"data:image/png;base64,AA","detail":"low"}}]},
              {"role":"user","content":"Well?"}])"));
}

TEST(ResponsesRequest, ToolsAndFormatsHaveAnotherShapeInAChat) {
  const auto chat = chat_of(R"({"model":"m","input":"Hi",
    "tools":[{"type":"function","name":"f","parameters":{"type":"object"},"strict":true}],
    "tool_choice":{"type":"function","name":"f"},"reasoning":{"effort":"low"},
    "text":{"format":{"type":"json_schema","name":"n","schema":{"type":"object"}}}})");
  EXPECT_EQ(chat["tools"], json::parse(R"([{"type":"function","function":
    {"name":"f","parameters":{"type":"object"},"strict":true}}])"));
  EXPECT_EQ(chat["tool_choice"], json::parse(R"({"type":"function","function":{"name":"f"}})"));
  EXPECT_EQ(chat["reasoning_effort"], "low");
  EXPECT_EQ(chat["response_format"], json::parse(R"({"type":"json_schema","json_schema":
    {"name":"n","schema":{"type":"object"}}})"));
  EXPECT_FALSE(chat.contains("text")) << "it would mean something else to a runtime";
}

TEST(ResponsesRequest, WhatIsNotKnownIsTheRuntimes) {
  const auto chat = chat_of(R"({"model":"m","input":"Hi","temperature":0,"min_p":0.1,"store":true,
    "truncation":"auto","include":[],"metadata":{"consort_labels":"local-only"}})");
  EXPECT_EQ(chat, json::parse(R"({"model":"m","messages":[{"role":"user","content":"Hi"}],
    "temperature":0,"min_p":0.1,"metadata":{"consort_labels":"local-only"}})"));
}

TEST(ResponsesRequest, AStreamBringsItsUsage) {
  const auto chat = chat_of(R"({"model":"m","input":"Hi","stream":true})");
  EXPECT_EQ(chat["stream"], true);
  EXPECT_EQ(chat["stream_options"], json::parse(R"({"include_usage":true})"));
}

TEST(ResponsesRequest, WhatNeedsAMemoryIsRefused) {
  for (const auto* field : {"previous_response_id", "conversation", "prompt", "background"}) {
    json body{{"model", "m"}, {"input", "Hi"}, {field, "resp_1"}};
    const auto failure = refused(body.dump());
    EXPECT_EQ(failure.code, "unsupported") << field;
    EXPECT_EQ(failure.param, field);
    body[field] = nullptr;
    EXPECT_FALSE(chat_of(body.dump()).contains(field));
  }
}

struct wrong_body {
  const char* body;
  const char* param;
};
class ResponsesRequestRefuses : public ::testing::TestWithParam<wrong_body> {};

TEST_P(ResponsesRequestRefuses, NamingTheField) {
  const auto failure = refused(GetParam().body);
  EXPECT_EQ(failure.status, 400U);
  EXPECT_EQ(failure.param, GetParam().param) << failure.message;
}

INSTANTIATE_TEST_SUITE_P(
    Bodies, ResponsesRequestRefuses,
    ::testing::Values(
        wrong_body{R"({"model":"m"})", "input"}, wrong_body{R"({"model":"m","input":[]})", "input"},
        wrong_body{R"({"model":"m","input":[1]})", "input[0]"},
        wrong_body{R"({"model":"m","input":[{"content":"x"}]})", "input[0].role"},
        wrong_body{R"({"model":"m","input":[{"role":"user"}]})", "input[0].content"},
        wrong_body{R"({"model":"m","input":[{"role":"user","content":7}]})", "input[0].content"},
        wrong_body{R"({"model":"m","input":[{"role":"user","content":[{"type":"input_file"}]}]})",
                   "input[0].content[0].type"},
        wrong_body{R"({"model":"m","input":[{"role":"user","content":[{"type":"input_text"}]}]})",
                   "input[0].content[0].text"},
        wrong_body{R"({"model":"m","input":[{"type":"item_reference","id":"i"}]})",
                   "input[0].type"},
        wrong_body{R"({"model":"m","input":[{"type":"function_call_output","call_id":"c"}]})",
                   "input[0].output"},
        wrong_body{R"({"model":"m","input":"x","instructions":7})", "instructions"},
        wrong_body{R"({"model":"m","input":"x","max_output_tokens":0})", "max_output_tokens"},
        wrong_body{R"({"model":"m","input":"x","max_output_tokens":"9"})", "max_output_tokens"},
        wrong_body{R"({"model":"m","input":"x","stream":"yes"})", "stream"},
        wrong_body{R"({"model":"m","input":"x","tools":{}})", "tools"},
        wrong_body{R"({"model":"m","input":"x","tools":[{"type":"web_search"}]})", "tools[0].type"},
        wrong_body{R"({"model":"m","input":"x","text":"json"})", "text"},
        wrong_body{R"({"model":"m","input":"x","text":{"format":{}}})", "text.format.type"},
        wrong_body{R"({"model":"m","input":"x","reasoning":"low"})", "reasoning"},
        wrong_body{R"([])", ""}, wrong_body{R"({"model":)", ""}));

} // namespace
} // namespace consort::gateway
