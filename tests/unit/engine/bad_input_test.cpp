// SPDX-License-Identifier: Apache-2.0
// What the llama runtime answers to input that it cannot use, and every limit a request can reach.
#include "tests/unit/engine/runtime_client.hpp"

#include "node/plugins/llama/limits.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace consort::llama_test {
namespace {

using json = nlohmann::json;
namespace limits = llama::limits;

class BadInput : public testing::Test {
protected:
  void SetUp() override {
    ASSERT_EQ(client.open({{"model", model_path()}}), CONSORT_OK) << client.message();
  }
  /// Refused at once, with a message that names the field.
  void refused(consort_request_kind kind, const std::string& body, const std::string& names) {
    EXPECT_EQ(client.submit(next++, kind, body), CONSORT_REFUSED) << body;
    EXPECT_NE(client.message().find(names), std::string::npos) << client.message();
  }
  void refused_completion(const json& fields, const std::string& names) {
    json body = {{"prompt", "Once"}};
    body.update(fields);
    refused(CONSORT_COMPLETION, body.dump(), names);
  }
  /// Taken, then failed by an event with this code.
  void fails(consort_request_kind kind, const json& body, const std::string& code) {
    const answer got = client.run(kind, body);
    EXPECT_EQ(got.code, code) << body;
    EXPECT_EQ(got.status, static_cast<std::uint32_t>(CONSORT_REFUSED));
    EXPECT_EQ(got.opened, 0U);
  }
  runtime_client client{llama_library()};
  std::uint64_t next = 0;
};

TEST_F(BadInput, MalformedBodiesAreRefused) {
  refused(CONSORT_COMPLETION, "{\"prompt\": ", "JSON");
  refused(CONSORT_COMPLETION, "[1]", "object");
  refused(CONSORT_COMPLETION, "{\"prompt\": \"\xFF\"}", "UTF-8");
  refused(CONSORT_COMPLETION, "{}", "'prompt'");
  refused(CONSORT_CHAT, "{}", "'messages'");
  refused(CONSORT_COMPLETION, std::string(100'000, '['), "JSON");
}

TEST_F(BadInput, WrongTypesAndRangesNameTheirField) {
  const std::vector<std::pair<std::string, json>> cases{{"prompt", 7},
                                                        {"prompt", json::array()},
                                                        {"prompt", {1, -5}},
                                                        {"prompt", {1, 99999}},
                                                        {"temperature", "hot"},
                                                        {"temperature", 3},
                                                        {"top_p", -1},
                                                        {"top_k", 1.5},
                                                        {"max_tokens", -1},
                                                        {"max_tokens", "many"},
                                                        {"n", 0},
                                                        {"seed", "x"},
                                                        {"stop", 5},
                                                        {"stop", ""},
                                                        {"echo", "yes"},
                                                        {"logit_bias", {1}},
                                                        {"logit_bias", {{"x", 1}}},
                                                        {"logit_bias", {{"5", 101}}},
                                                        {"logprobs", -1},
                                                        {"presence_penalty", 2.5},
                                                        {"ignore_eos", 1},
                                                        {"min_p", 2},
                                                        {"repeat_penalty", 0},
                                                        {"max_completion_tokens", 1e30}};
  for (const auto& [field, value] : cases)
    refused_completion({{field, value}}, "'" + field);
}

TEST_F(BadInput, ChatMessagesAreChecked) {
  const auto chat = [&](const json& messages, const std::string& names) {
    refused(CONSORT_CHAT, json{{"messages", messages}}.dump(), names);
  };
  chat(json::array(), "at least one");
  chat("hello", "'messages'");
  chat({5}, "messages[0]");
  chat({{{"role", "king"}, {"content", "x"}}}, "messages[0].role");
  chat({{{"role", "user"}}}, "messages[0].content");
  chat({{{"role", "user"}, {"content", 5}}}, "messages[0].content");
  chat({{{"role", "user"}, {"content", {{{"type", 1}}}}}}, "content[0].type");
  fails(CONSORT_CHAT, {{"messages", {{{"role", "user"}, {"content", {{{"type", "image_url"}}}}}}}},
        "unsupported_parameter");
}

TEST_F(BadInput, WhatWouldChangeTheAnswerAndIsNotThereIsRefused) {
  const std::vector<json> cases{{{"suffix", "end"}},
                                {{"best_of", 4}},
                                {{"prompt", {"one", "two"}}},
                                {{"response_format", {{"type", "json_object"}}}},
                                {{"tools", {{{"type", "function"}}}}},
                                {{"tool_choice", "required"}},
                                {{"grammar", "root ::= x"}}};
  for (const json& fields : cases) {
    json body = {{"prompt", "Once"}, {"max_tokens", 1}};
    body.update(fields);
    fails(CONSORT_COMPLETION, body, "unsupported_parameter");
  }
}

TEST_F(BadInput, WhatChangesNothingIsAllowed) {
  const answer got = client.complete({{"prompt", {"Once"}},
                                      {"max_tokens", 1},
                                      {"temperature", nullptr},
                                      {"stop", nullptr},
                                      {"suffix", ""},
                                      {"tools", {{{"type", "function"}}}},
                                      {"tool_choice", "none"},
                                      {"response_format", {{"type", "text"}}},
                                      {"never_heard_of", {{"a", 1}}}});
  EXPECT_TRUE(got.completed) << got.message;
}

TEST_F(BadInput, ContextOverflowSaysBothNumbers) {
  std::vector<int> tokens(600, 300);
  answer got = client.complete({{"prompt", tokens}});
  EXPECT_EQ(got.code, "context_length_exceeded");
  EXPECT_NE(got.message.find("512 tokens"), std::string::npos) << got.message;
  EXPECT_NE(got.message.find("600 tokens"), std::string::npos) << got.message;
  tokens.resize(512);
  EXPECT_EQ(client.complete({{"prompt", tokens}}).code, "context_length_exceeded");
  tokens.resize(511);
  EXPECT_EQ(client.complete({{"prompt", tokens}}).completion_tokens, 1U);
  // Too long to be worth tokenizing.
  got = client.complete({{"prompt", std::string(4'000'000, 'a')}});
  EXPECT_EQ(got.code, "context_length_exceeded");
}

TEST_F(BadInput, LimitsOfARequestHold) {
  refused_completion({{"n", limits::choices_max + 1}}, "'n'");
  refused_completion({{"stop", std::vector<std::string>(limits::stops_max + 1, "x")}}, "'stop'");
  refused_completion({{"stop", std::string(limits::stop_bytes_max + 1, 'x')}}, "'stop'");
  refused_completion({{"logprobs", limits::top_logprobs_max + 1}}, "'logprobs'");
  json bias = json::object();
  for (std::size_t i = 0; i <= limits::logit_bias_max; ++i)
    bias[std::to_string(i)] = 1;
  refused_completion({{"logit_bias", bias}}, "'logit_bias'");
  refused(CONSORT_COMPLETION, json{{"prompt", std::string(limits::body_bytes_max, 'x')}}.dump(),
          "larger than");
  const json message = {{"role", "user"}, {"content", "x"}};
  refused(CONSORT_CHAT,
          json{{"messages", std::vector<json>(limits::messages_max + 1, message)}}.dump(),
          "'messages'");
}

TEST_F(BadInput, MoreChoicesThanSequencesAreRefused) {
  ASSERT_EQ(client.open({{"model", model_path()}, {"sequences", 2}}), CONSORT_OK);
  fails(CONSORT_COMPLETION, {{"prompt", "Once"}, {"n", 3}}, "unsupported_parameter");
}

TEST_F(BadInput, AFullQueueIsBusyAndDrains) {
  ASSERT_EQ(client.open({{"model", model_path()}, {"sequences", 1}}), CONSORT_OK);
  const std::string long_body
      = json{{"prompt", "Once"}, {"max_tokens", 500}, {"ignore_eos", true}}.dump();
  ASSERT_EQ(client.submit(0, CONSORT_COMPLETION, long_body), CONSORT_OK);
  (void)client.wait_for_tokens(0, 1);
  const std::string body = json{{"prompt", "Once"}, {"max_tokens", 1}}.dump();
  std::uint64_t id = 1;
  while (id <= limits::queue_max && client.submit(id, CONSORT_COMPLETION, body) == CONSORT_OK)
    ++id;
  EXPECT_EQ(client.submit(id, CONSORT_COMPLETION, body), CONSORT_BUSY);
  client.cancel(0);
  EXPECT_TRUE(client.wait(id - 1).completed);
  EXPECT_EQ(client.submit(id, CONSORT_COMPLETION, body), CONSORT_OK);
  EXPECT_TRUE(client.wait(id).completed);
}

TEST_F(BadInput, AnIdInUseIsRefused) {
  const std::string body = json{{"prompt", "Once"}, {"max_tokens", 400}}.dump();
  ASSERT_EQ(client.submit(1, CONSORT_COMPLETION, body), CONSORT_OK);
  EXPECT_EQ(client.submit(1, CONSORT_COMPLETION, body), CONSORT_REFUSED);
  client.cancel(1);
  EXPECT_EQ(client.wait(1).code, "cancelled");
  EXPECT_EQ(client.submit(2, CONSORT_COMPLETION, body), CONSORT_OK);
}

TEST_F(BadInput, ConfigurationsAreChecked) {
  const std::vector<std::pair<std::string, json>> cases{
      {"model", json::object()},
      {"model", {{"model", 5}}},
      {"context", {{"model", "x"}, {"context", "long"}}},
      {"sequences", {{"model", "x"}, {"sequences", limits::sequences_max + 1}}},
      {"context", {{"model", "x"}, {"context", limits::context_tokens_max + 1}}},
      {"threads", {{"model", "x"}, {"threads", limits::threads_max + 1}}},
      {"larger", {{"model", std::string(limits::config_bytes_max, 'x')}}}};
  for (const auto& [names, config] : cases) {
    EXPECT_EQ(client.open(config), CONSORT_REFUSED);
    EXPECT_NE(client.message().find(names), std::string::npos) << client.message();
  }
}

TEST_F(BadInput, UnusableModelsSayWhy) {
  const std::string path = testing::TempDir() + "consort_bad_model.gguf";
  const auto open = [&] { return client.open({{"model", path}}); };
  std::filesystem::remove(path);
  EXPECT_EQ(open(), CONSORT_BAD_MODEL);
  std::ofstream(path) << "no model at all";
  EXPECT_EQ(open(), CONSORT_BAD_MODEL);
  EXPECT_NE(client.message().find("not a GGUF"), std::string::npos) << client.message();
  const auto whole = std::filesystem::file_size(model_path());
  for (const auto bytes : {std::uintmax_t{20}, std::uintmax_t{3000}, whole / 2, whole - 1}) {
    std::filesystem::copy_file(model_path(), path,
                               std::filesystem::copy_options::overwrite_existing);
    std::filesystem::resize_file(path, bytes);
    EXPECT_EQ(open(), CONSORT_BAD_MODEL) << bytes;
    EXPECT_FALSE(client.message().empty());
  }
  std::filesystem::remove(path);
}

/// As a trainer leaves them: sound, but nothing for this engine.
TEST_F(BadInput, AdaptersOfAnotherFormatAreCalledSo) {
  const auto folder = std::filesystem::path(testing::TempDir()) / "consort_trained";
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "adapter_config.json") << "{}";
  std::ofstream(folder / "adapter_model.safetensors") << std::string(8, '\0');
  for (const auto& path : {folder, folder / "adapter_model.safetensors"}) {
    auto adapters = json::array();
    adapters.push_back({{"name", "tales"}, {"path", path.string()}});
    EXPECT_EQ(client.open({{"model", model_path()}, {"adapters", adapters}}), CONSORT_BAD_MODEL);
    EXPECT_NE(client.message().find("is no GGUF file, and this engine reads adapters of no other"),
              std::string::npos)
        << client.message();
  }
  std::filesystem::remove_all(folder);
}

TEST_F(BadInput, MessagesFitTheBufferTheyAreGiven) {
  char message[8];
  consort_session* session = nullptr;
  const consort_sink sink{sizeof sink, nullptr, [](void*, const consort_event*) {}};
  EXPECT_EQ(client.table().open("{", &sink, &session, message, sizeof message), CONSORT_REFUSED);
  EXPECT_EQ(std::string(message), "the con");
}

} // namespace
} // namespace consort::llama_test
