// SPDX-License-Identifier: Apache-2.0
// Goal: servers that do not speak OpenAI's protocol are asked in their own, and their answers
// become the same events; a request that passes several servers is put to each as its stage wants.
#include "node/runtimes/server_dialect.hpp"

#include "node/limits.hpp"
#include "node/runtimes/kv_transfer.hpp"
#include "scheduler/asks.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace consort::node {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

attempt_body completion(const json& body, resume_state resume = {}) {
  return {request_kind::completion, body.dump(), std::move(resume)};
}

server_request render(server_protocol protocol, const attempt_body& body) {
  auto made = render_server_request(protocol, body, "my model");
  EXPECT_TRUE(made) << (made ? "" : made.failure().message);
  return made ? *made : server_request{};
}

/// What was heard, in short, of an answer that came in small pieces.
std::string dialect_events(const server_request& asked, std::string_view body, bool streamed) {
  const auto answer = make_server_answer(asked);
  answer->begin(streamed);
  for (std::size_t at = 0; at < body.size(); at += 5)
    answer->feed(body.substr(at, 5));
  answer->finish();
  EXPECT_TRUE(answer->ended());
  std::string out;
  for (const auto& one : answer->take()) {
    if (const auto* text = std::get_if<attempt_tokens>(&one))
      out += '"' + text->text + "\" ";
    else if (const auto* ended = std::get_if<attempt_choice_done>(&one))
      out += ended->finish_reason + " ";
    else if (const auto* end = std::get_if<attempt_completed>(&one))
      out += std::to_string(end->usage.prompt_tokens) + "+"
             + std::to_string(end->usage.completion_tokens);
    else if (const auto* failed = std::get_if<attempt_aborted>(&one))
      out += failed->failure.code;
  }
  return out;
}

// --- TGI ---

std::string tgi_token(const std::string& text, bool special = false, const json& last = nullptr,
                      const json& details = nullptr) {
  const json event{{"index", 1},
                   {"token", {{"id", 7}, {"text", text}, {"special", special}}},
                   {"generated_text", last},
                   {"details", details}};
  return "data:" + event.dump() + "\n\n";
}

json tgi_details(const char* why, int tokens) {
  return {{"finish_reason", why}, {"generated_tokens", tokens}, {"input_length", 3}};
}

TEST(TgiDialect, AsksAsItsValidationWantsIt) {
  const auto asked = render(server_protocol::tgi, completion({{"prompt", "Once"},
                                                              {"max_tokens", 9},
                                                              {"temperature", 0},
                                                              {"top_p", 1.0},
                                                              {"seed", 5},
                                                              {"stop", {"END", ""}}}));
  EXPECT_EQ(asked.path, "/generate_stream");
  const auto body = json::parse(asked.body);
  EXPECT_EQ(body["inputs"], "Once");
  const json wanted{{"max_new_tokens", 9},
                    {"details", true},
                    {"do_sample", false},
                    {"seed", 5},
                    {"stop", {"END"}}};
  EXPECT_EQ(body["parameters"], wanted) << "a temperature of 0 and a top_p of 1 are errors there";
  const auto warm = json::parse(
      render(server_protocol::tgi,
             completion({{"prompt", "x"}, {"temperature", 0.7}, {"top_p", 0.9}, {"top_k", 4}}))
          .body);
  EXPECT_EQ(warm["parameters"]["temperature"], 0.7);
  EXPECT_EQ(warm["parameters"]["top_p"], 0.9);
  EXPECT_EQ(warm["parameters"]["top_k"], 4);
  EXPECT_EQ(warm["parameters"]["do_sample"], true);
  EXPECT_EQ(warm["parameters"]["max_new_tokens"], 16) << "as the OpenAI API has it";
}

TEST(TgiDialect, PassesThePenaltiesThatItKnows) {
  const auto of = [](const json& more) {
    auto body = json{{"prompt", "x"}};
    body.update(more);
    return json::parse(render(server_protocol::tgi, completion(body)).body)["parameters"];
  };
  const auto both = of({{"frequency_penalty", 1.5}, {"repetition_penalty", 1.3}});
  EXPECT_EQ(both["frequency_penalty"], 1.5);
  EXPECT_EQ(both["repetition_penalty"], 1.3);
  EXPECT_EQ(of({{"frequency_penalty", 0}, {"repetition_penalty", 1}, {"presence_penalty", 0}}),
            of(json::object()))
      << "what changes nothing is left out";
}

TEST(TgiDialect, GoesOnAsALongerPrompt) {
  const auto body
      = json::parse(render(server_protocol::tgi,
                           completion({{"prompt", "Once"}, {"max_tokens", 9}}, {" upon", {}, 4}))
                        .body);
  EXPECT_EQ(body["inputs"], "Once upon");
  EXPECT_EQ(body["parameters"]["max_new_tokens"], 5);
}

TEST(TgiDialect, ChatsGoByItsOpenAiRoute) {
  const auto asked = render(server_protocol::tgi,
                            {request_kind::chat, R"({"messages": [], "max_tokens": 2})", {}});
  EXPECT_EQ(asked.path, "/v1/chat/completions");
  EXPECT_EQ(asked.answered_in, server_protocol::openai);
}

TEST(TgiDialect, WhatItCannotDoIsForOthers) {
  for (const auto& body :
       {json{{"prompt", {1, 2}}}, json{{"prompt", "x"}, {"n", 2}},
        json{{"prompt", "x"}, {"response_format", {{"type", "json_object"}}}},
        json{{"prompt", "x"}, {"echo", true}}, json{{"prompt", "x"}, {"logit_bias", {{"5", 1}}}},
        json{{"prompt", "x"}, {"presence_penalty", 0.5}}})
    for (const auto protocol : {server_protocol::tgi, server_protocol::mii}) {
      const auto made = render_server_request(protocol, completion(body), "m");
      ASSERT_FALSE(made) << body;
      EXPECT_EQ(made.failure().action, recovery::retry_elsewhere);
      EXPECT_EQ(made.failure().code, "kind_unsupported");
    }
  EXPECT_EQ(render_server_request(server_protocol::tgi, {request_kind::completion, "[", {}}, "m")
                .failure()
                .code,
            "bad_body");
}

TEST(TgiDialect, WhatAsksForNothingMoreIsAnswered) {
  const json plain{{"prompt", {"Once"}},
                   {"n", 1},
                   {"response_format", {{"type", "text"}}},
                   {"tools", json::array()},
                   {"logprobs", nullptr},
                   {"echo", false},
                   {"logit_bias", json::object()}};
  EXPECT_EQ(json::parse(render(server_protocol::tgi, completion(plain)).body)["inputs"], "Once");
  EXPECT_FALSE(render_server_request(server_protocol::mii,
                                     completion({{"prompt", "x"}, {"frequency_penalty", 1}}), "m"))
      << "it has none";
}

/// What the scheduler is told is what the server would be refused for.
TEST(ServerDialect, WhatIsRefusedIsDeclared) {
  server_spec server;
  EXPECT_EQ(refused_asks(server), 0U);
  server.completions = false;
  EXPECT_EQ(refused_asks(server), asks::completions);
  server.protocol = server_protocol::tgi;
  EXPECT_EQ(refused_asks(server) & (asks::chats | asks::completions | asks::penalties), 0U);
  EXPECT_NE(refused_asks(server) & asks::forms, 0U);
  EXPECT_EQ(refused_asks(server) & asks::logprobs, 0U);
  server.protocol = server_protocol::mii;
  EXPECT_NE(refused_asks(server) & asks::chats, 0U);
  EXPECT_NE(refused_asks(server) & asks::penalties, 0U);
}

TEST(TgiDialect, StreamEndsWithTheWholeTextAndNoMark) {
  server_request asked;
  asked.answered_in = server_protocol::tgi;
  EXPECT_EQ(dialect_events(asked,
                           tgi_token("a") + tgi_token("b", false, "ab", tgi_details("length", 2)),
                           true),
            R"("a" "b" length 3+2)");
  EXPECT_EQ(
      dialect_events(
          asked, tgi_token("a") + tgi_token("</s>", true, "a", tgi_details("eos_token", 2)), true),
      R"("a" stop 3+2)")
      << "a special token is no text";
  EXPECT_EQ(dialect_events(asked, tgi_token("a"), true), R"("a" server_broke_off)");
  EXPECT_EQ(
      dialect_events(asked, "data:{\"error\":\"oom\",\"error_type\":\"generation\"}\n\n", true),
      "server_failed");
  EXPECT_EQ(dialect_events(asked, "data:{}\n\n", true), "server_protocol");
  EXPECT_EQ(dialect_events(asked, "data:{\"index\"\n\n", true), "server_protocol");
  EXPECT_EQ(dialect_events(asked, R"({"generated_text": "ab", "details": null})", false),
            R"("ab" stop 0+0)")
      << "something in front of it took the stream together";
}

TEST(TgiDialect, TheTextThatStoppedItIsLeftOut) {
  server_request asked;
  asked.answered_in = server_protocol::tgi;
  asked.stops = {"\nQ:", "Qx"};
  const auto details = tgi_details("stop_sequence", 4);
  EXPECT_EQ(dialect_events(asked,
                           tgi_token("a\n") + tgi_token("b\nQ")
                               + tgi_token(": more", false, "a\nb\nQ:", details),
                           true),
            R"("a" "
b" stop 3+4)");
  EXPECT_EQ(dialect_events(asked, tgi_token("a\n", false, "a\n", tgi_details("length", 1)), true),
            "\"a\" \"\n\" length 3+1")
      << "what was held back comes at the end";
}

/// Its tokens always come with them; the likely ones only when they are asked for.
TEST(TgiDialect, TellsLogProbabilitiesAsOpenAisCompletionsDo) {
  const auto parameters = [](std::uint32_t most) {
    return json::parse(
        render(server_protocol::tgi, completion({{"prompt", "x"}, {"logprobs", most}}))
            .body)["parameters"];
  };
  EXPECT_EQ(parameters(2)["top_n_tokens"], 2);
  EXPECT_FALSE(parameters(0).contains("top_n_tokens"));
  const auto asked = render(server_protocol::tgi,
                            completion({{"prompt", "x"}, {"logprobs", 2}, {"stop", {"END"}}}));
  const auto event = [](const char* text, double logprob, const json& last = nullptr) {
    const json token{{"id", 7}, {"text", text}, {"logprob", logprob}, {"special", false}};
    const json other{{"id", 8}, {"text", "b"}, {"logprob", -2.0}, {"special", false}};
    return "data:"
           + json{{"token", token},
                  {"top_tokens", {token, other}},
                  {"generated_text", last},
                  {"details", last.is_null() ? json() : tgi_details("length", 3)}}
                 .dump()
           + "\n\n";
  };
  const auto answer = make_server_answer(asked);
  answer->begin(true);
  answer->feed(event("a", -0.5) + event("aE", -0.25) + event("N", -1, "aaEN"));
  answer->finish();
  std::vector<std::pair<std::string, json>> told;
  for (const auto& one : answer->take())
    if (const auto* text = std::get_if<attempt_tokens>(&one))
      told.emplace_back(text->text, json::parse(text->extra_json)["logprobs"]);
  ASSERT_EQ(told.size(), 3U);
  EXPECT_EQ(told[0].first, "a");
  const json first{{"tokens", {"a"}},
                   {"token_logprobs", {-0.5}},
                   {"top_logprobs", json::array({json{{"a", -0.5}, {"b", -2.0}}})},
                   {"text_offset", {0}}};
  EXPECT_EQ(told[0].second, first);
  EXPECT_EQ(told[1].first, "a") << "the rest may become a stop";
  EXPECT_EQ(told[2].first, "EN");
  EXPECT_EQ(told[2].second["text_offset"], json::array({3})) << "each token once";
  const auto stopped = make_server_answer(asked);
  stopped->begin(true);
  stopped->feed(event("a", -0.5) + event("EN", -1) + event("D", -1, "aEND"));
  std::size_t pieces = 0;
  for (const auto& one : stopped->take())
    pieces += std::holds_alternative<attempt_tokens>(one) ? 1 : 0;
  EXPECT_EQ(pieces, 1U) << "what stopped it is no part of the answer";
  const auto plain
      = make_server_answer(render(server_protocol::tgi, completion({{"prompt", "x"}})));
  plain->begin(true);
  plain->feed(event("a", -0.5));
  const auto seen = plain->take();
  ASSERT_EQ(seen.size(), 2U) << "it is opened first";
  EXPECT_EQ(std::get<attempt_tokens>(seen[1]).extra_json, "") << "not asked for";
}

TEST(TgiDialect, AnAnswerHasABound) {
  server_request asked;
  asked.answered_in = server_protocol::tgi;
  const auto answer = make_server_answer(asked);
  answer->begin(false);
  const std::string piece(limits::server_answer_bytes_max / 4, 'x');
  for (int i = 0; i < 5; ++i)
    answer->feed(piece);
  ASSERT_TRUE(answer->ended());
  const auto events = answer->take();
  EXPECT_EQ(std::get<attempt_aborted>(events.back()).failure.code, "server_protocol");
}

// --- MII ---

TEST(MiiDialect, AsksForOnePromptAtItsDeployment) {
  const auto asked
      = render(server_protocol::mii,
               completion({{"prompt", "Once"}, {"max_tokens", 3}, {"temperature", 0}}));
  EXPECT_EQ(asked.path, "/mii/my%20model");
  const json wanted{{"prompts", {"Once"}},
                    {"max_new_tokens", 3},
                    {"return_full_text", false},
                    {"do_sample", false}};
  EXPECT_EQ(json::parse(asked.body), wanted);
  EXPECT_FALSE(render_server_request(server_protocol::mii,
                                     {request_kind::chat, R"({"messages": []})", {}}, "m"))
      << "it has no chat template";
}

TEST(MiiDialect, TheWholeTextIsOnePiece) {
  server_request asked;
  asked.answered_in = server_protocol::mii;
  const auto said = [&](const char* body) { return dialect_events(asked, body, false); };
  EXPECT_EQ(said(R"([{"generated_text": "abc", "prompt_length": 4, "generated_length": 3,
                      "finish_reason": "length"}])"),
            R"("abc" length 4+3)");
  EXPECT_EQ(said(R"([{"generated_text": "", "finish_reason": "stop"}])"), "stop 0+0");
  EXPECT_EQ(said(R"([{"generated_text": "12345678"}])"), R"("12345678" stop 0+3)");
  for (const auto* wrong : {"[]", "{}", "<html>", R"([{"text": "x"}])", R"([1])",
                            "[{\"generated_text\": \"\xff\"}]", ""})
    EXPECT_EQ(said(wrong), "server_protocol") << wrong;
}

// --- stages elsewhere ---

TEST(KvTransfer, TheEncoderIsShownWhatIsToBeSeenAndHeardAndNoText) {
  const auto part = [](const char* kind) { return json{{"type", kind}, {kind, {{"url", "u"}}}}; };
  const json text{{"type", "text"}, {"text", "What is this?"}};
  const json messages{
      {{"role", "system"}, {"content", "Be brief."}},
      {{"role", "user"}, {"content", {part("image_url"), text, part("input_audio")}}},
      {{"role", "user"}, {"content", {part("video_url"), part("audio_url")}}}};
  const auto asked = render(
      server_protocol::openai,
      {request_kind::chat,
       json{{"messages", messages}, {"max_tokens", 50}, {"mm_processor_kwargs", {{"fps", 2}}}}
           .dump(),
       {}});
  const auto shown = encode_body(asked.body);
  ASSERT_TRUE(shown);
  const json content{part("image_url"), part("input_audio"), part("video_url"), part("audio_url")};
  const json wanted{{"model", "my model"},
                    {"messages", {{{"role", "user"}, {"content", content}}}},
                    {"max_tokens", 1},
                    {"stream", false},
                    {"mm_processor_kwargs", {{"fps", 2}}}};
  EXPECT_EQ(json::parse(*shown), wanted);
}

TEST(KvTransfer, WithoutAnythingToSeeOrWithTooMuchTheEncoderIsNotAsked) {
  const auto of = [](const json& content) {
    return encode_body(json{{"messages", {{{"role", "user"}, {"content", content}}}}}.dump());
  };
  const json picture{{"type", "image_url"}, {"image_url", {{"url", "u"}}}};
  EXPECT_FALSE(of("text"));
  EXPECT_FALSE(of({json{{"type", "text"}, {"text", "image_url"}}, 7, {{"type", 1}}}));
  EXPECT_TRUE(of(json::array_t(limits::encode_items_max, picture)));
  EXPECT_FALSE(of(json::array_t(limits::encode_items_max + 1, picture)));
  for (const auto* odd : {"[", "{}", R"({"messages": 1})", R"({"messages": [1, {}]})"})
    EXPECT_FALSE(encode_body(odd)) << odd;
}

TEST(KvTransfer, TheFirstIsAskedForOneTokenAndTheSecondToldWhereItIs) {
  const auto asked
      = render(server_protocol::openai,
               completion({{"prompt", "Once"}, {"max_tokens", 50}, {"min_tokens", 5}}));
  const auto first = json::parse(prefill_body(asked.body));
  EXPECT_EQ(first["max_tokens"], 1);
  EXPECT_EQ(first["stream"], false);
  EXPECT_FALSE(first.contains("min_tokens"));
  EXPECT_FALSE(first.contains("stream_options"));
  EXPECT_EQ(first["kv_transfer_params"]["do_remote_decode"], true);
  const json params{{"do_remote_prefill", true}, {"remote_block_ids", {1, 2}}};
  const auto second
      = json::parse(decode_body(asked.body, json{{"kv_transfer_params", params}}.dump()));
  EXPECT_EQ(second["kv_transfer_params"], params);
  EXPECT_EQ(second["max_tokens"], 50);
  EXPECT_EQ(second["stream"], true);
  for (const auto* answer : {"{}", "<html>", R"({"kv_transfer_params": null})"})
    EXPECT_EQ(decode_body(asked.body, answer), asked.body) << answer;
}

} // namespace
} // namespace consort::node
