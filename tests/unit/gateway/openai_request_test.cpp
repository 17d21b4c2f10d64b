// SPDX-License-Identifier: Apache-2.0
#include "gateway/openai_request.hpp"

#include "gateway/limits.hpp"
#include "gateway/prompt_blocks.hpp"
#include "scheduler/asks.hpp"
#include "scheduler/limits.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace consort::gateway {
namespace {

struct bad_case {
  const char* name;
  request_kind kind;
  std::string body;
  std::string param;
  std::string code;
};

void PrintTo(const bad_case& one, std::ostream* out) {
  *out << one.name;
}

class BadBody : public ::testing::TestWithParam<bad_case> {};

TEST_P(BadBody, IsRefusedNamingTheField) {
  const auto got = parse_body(GetParam().kind, GetParam().body);
  const auto* failure = std::get_if<api_error>(&got);
  ASSERT_NE(failure, nullptr);
  EXPECT_EQ(failure->status, 400U);
  EXPECT_EQ(failure->param, GetParam().param) << failure->message;
  EXPECT_EQ(failure->code, GetParam().code) << failure->message;
}

const auto chat = request_kind::chat;
const auto text = request_kind::completion;

INSTANTIATE_TEST_SUITE_P(
    Inputs, BadBody,
    ::testing::Values(
        bad_case{"Empty", chat, "", "", "invalid_json"},
        bad_case{"NotJson", chat, "{\"model\":", "", "invalid_json"},
        bad_case{"NotAnObject", chat, "[1]", "", "invalid_type"},
        bad_case{"NumberOutOfRange", chat, R"({"model":"m","messages":[],"x":1e999})", "",
                 "invalid_json"},
        bad_case{"InvalidUtf8", chat, "{\"model\":\"\xFF\"}", "", "invalid_utf8"},
        bad_case{"TooDeep", chat, std::string(100, '[') + std::string(100, ']'), "",
                 "json_too_deep"},
        bad_case{"NoModel", chat, R"({"messages":[{"role":"user"}]})", "model", "missing_field"},
        bad_case{"ModelNotText", chat, R"({"model":1})", "model", "invalid_type"},
        bad_case{"ModelEmpty", chat, R"({"model":""})", "model", "invalid_value"},
        bad_case{"ModelTooLong", chat, R"({"model":")" + std::string(257, 'm') + R"("})", "model",
                 "invalid_value"},
        bad_case{"ModelWithALineOfALog", text,
                 R"({"model":"x\n13:00:00.000 error FAKE \u001b[31mred","prompt":"x"})", "model",
                 "invalid_value"},
        bad_case{"ModelWithANul", text, R"({"model":"x\u0000","prompt":"x"})", "model",
                 "invalid_value"},
        bad_case{"ModelWithADelete", chat, R"({"model":"x\u007f","messages":[]})", "model",
                 "invalid_value"},
        bad_case{"NoMessages", chat, R"({"model":"m"})", "messages", "missing_field"},
        bad_case{"MessagesNull", chat, R"({"model":"m","messages":null})", "messages",
                 "missing_field"},
        bad_case{"MessagesText", chat, R"({"model":"m","messages":"hi"})", "messages",
                 "invalid_type"},
        bad_case{"MessagesEmpty", chat, R"({"model":"m","messages":[]})", "messages",
                 "invalid_value"},
        bad_case{"MessageNotObject", chat, R"({"model":"m","messages":["hi"]})", "messages[0]",
                 "invalid_type"},
        bad_case{"NoRole", chat, R"({"model":"m","messages":[{"content":"x"}]})",
                 "messages[0].role", "missing_field"},
        bad_case{"RoleNotText", chat, R"({"model":"m","messages":[{"role":1}]})",
                 "messages[0].role", "invalid_type"},
        bad_case{"ContentNumber", chat,
                 R"({"model":"m","messages":[{"role":"user","content":"a"},)"
                 R"({"role":"user","content":5}]})",
                 "messages[1].content", "invalid_type"},
        bad_case{"NoPrompt", text, R"({"model":"m"})", "prompt", "missing_field"},
        bad_case{"PromptNumber", text, R"({"model":"m","prompt":1})", "prompt", "invalid_type"},
        bad_case{"PromptEmptyArray", text, R"({"model":"m","prompt":[]})", "prompt",
                 "invalid_value"},
        bad_case{"PromptMixed", text, R"({"model":"m","prompt":["a",1]})", "prompt",
                 "invalid_type"},
        bad_case{"StreamText", text, R"({"model":"m","prompt":"x","stream":"yes"})", "stream",
                 "invalid_type"},
        bad_case{"StreamOptionsAlone", text,
                 R"({"model":"m","prompt":"x","stream_options":{"include_usage":true}})",
                 "stream_options", "invalid_value"},
        bad_case{"IncludeUsageText", text,
                 R"({"model":"m","prompt":"x","stream":true,)"
                 R"("stream_options":{"include_usage":1}})",
                 "stream_options.include_usage", "invalid_type"},
        bad_case{"NZero", text, R"({"model":"m","prompt":"x","n":0})", "n", "invalid_value"},
        bad_case{"NNegative", text, R"({"model":"m","prompt":"x","n":-1})", "n", "invalid_value"},
        bad_case{"NTooLarge", text, R"({"model":"m","prompt":"x","n":17})", "n", "invalid_value"},
        bad_case{"PromptsTooMany", text,
                 R"({"model":"m","prompt":["","","","","","","","","","","","","","","","",""]})",
                 "prompt", "invalid_value"},
        bad_case{"NTimesPrompts", text, R"({"model":"m","prompt":["a","b","c"],"n":6})", "n",
                 "invalid_value"},
        bad_case{"NFraction", text, R"({"model":"m","prompt":"x","n":1.5})", "n", "invalid_type"},
        bad_case{"MaxTokensOverTheLimit", text,
                 R"({"model":"m","prompt":"x","max_tokens":)"
                     + std::to_string(limits::max_tokens_max + 1) + "}",
                 "max_tokens", "invalid_value"},
        bad_case{"MaxTokensZero", text, R"({"model":"m","prompt":"x","max_tokens":0})",
                 "max_tokens", "invalid_value"},
        bad_case{"MaxTokensHuge", text,
                 R"({"model":"m","prompt":"x","max_tokens":99999999999999999999})", "max_tokens",
                 "invalid_type"}),
    [](const auto& one) { return std::string(one.param.name); });

parsed_body good(request_kind kind, const std::string& body) {
  auto got = parse_body(kind, body);
  if (const auto* failure = std::get_if<api_error>(&got)) {
    ADD_FAILURE() << failure->message;
    return {};
  }
  return std::get<parsed_body>(std::move(got));
}

TEST(OpenaiRequest, NamesTheByteOfInvalidUtf8) {
  const auto got = parse_body(chat, "{\"model\":\"m\xFF\"}");
  EXPECT_NE(std::get<api_error>(got).message.find("byte 11"), std::string::npos)
      << std::get<api_error>(got).message;
}

TEST(OpenaiRequest, ReadsWhatTheGatewayMustKnow) {
  const auto got
      = good(chat, R"({"model":"m","stream":true,"stream_options":{"include_usage":true},"n":2,)"
                   R"("max_completion_tokens":9,"unknown":{"deep":[1]},"temperature":"left alone",)"
                   R"("messages":[{"role":"user","content":[{"type":"text","text":"Hi"}]},)"
                   R"({"role":"assistant","content":null}]})");
  EXPECT_EQ(got.model.value, "m");
  EXPECT_TRUE(got.stream);
  EXPECT_TRUE(got.include_usage);
  EXPECT_EQ(got.choices, 2U);
  EXPECT_EQ(got.max_tokens, 9U);
  EXPECT_FALSE(got.resumable) << "two choices";
}

TEST(OpenaiRequest, LabelsOfItsDataAreReadFromMetadata) {
  const auto labels = [](const std::string& value) {
    return parse_body(text, R"({"model":"m","prompt":"p","metadata":{"user":"u","consort_labels":)"
                                + value + "}}");
  };
  EXPECT_EQ(std::get<parsed_body>(labels(R"("local-only,pii")")).labels,
            (std::vector<std::string>{"local-only", "pii"}));
  EXPECT_TRUE(std::get<parsed_body>(labels("null")).labels.empty());
  for (const auto* bad : {R"("Local")", "[\"pii\"]", R"("")"})
    EXPECT_EQ(std::get<api_error>(labels(bad)).param, "metadata.consort_labels");
}

/// Whoever mistypes a label relies on it, in the body as in a header; other keys are the client's.
TEST(OpenaiRequest, AMistypedKeyOfOursInMetadataIsRefusedWithWhatWasMeant) {
  const auto refused = [](const std::string& key) {
    const auto got = parse_body(text, R"({"model":"m","prompt":"p","metadata":{"user":"u",")" + key
                                          + R"(":"local-only"}})");
    return std::holds_alternative<api_error>(got) ? std::get<api_error>(got) : api_error{};
  };
  for (const auto* typo : {"consort_label", "Consort_Labels", "consort-labels", "consort_lables"}) {
    const auto one = refused(typo);
    EXPECT_EQ(one.status, 400U) << typo;
    EXPECT_EQ(one.code, "unknown_field") << typo;
    EXPECT_EQ(one.param, std::string("metadata.") + typo);
    EXPECT_NE(one.message.find("did you mean consort_labels?"), std::string::npos) << one.message;
  }
  EXPECT_NE(refused("consort_policy").message.find("the header X-Consort-Policy says that"),
            std::string::npos);
  EXPECT_NE(refused("consort_xyzzyx").message.find("there is consort_labels"), std::string::npos);
  EXPECT_LE(refused("consort_" + std::string(5'000, 'x')).param.size(), 100U);
  EXPECT_TRUE(refused("labels").code.empty());
  EXPECT_TRUE(refused("consorts").code.empty());
}

TEST(OpenaiRequest, TokenPromptsCountAsTheyAre) {
  EXPECT_EQ(good(text, R"({"model":"m","prompt":[1,2,3,4]})").prompt_tokens, 5U);
  EXPECT_EQ(good(text, R"({"model":"m","prompt":[[1,2],[3]],"n":2})").choices, 4U);
  const auto estimate
      = good(text, R"({"model":"m","prompt":")" + std::string(400, 'x') + "\"}").prompt_tokens;
  EXPECT_EQ(estimate, 101U) << "four bytes a token";
}

/// Of several prompts the longest is what must fit. Nothing is certain of a chat, which a template
/// changes, nor where the runtime is asked to cut.
TEST(OpenaiRequest, KnowsWhatIsCertainOfTheLongestPrompt) {
  const auto sizes
      = [](const parsed_body& one) { return std::pair(one.prompt_ids, one.prompt_bytes); };
  using both = std::pair<std::uint32_t, std::uint32_t>;
  EXPECT_EQ(sizes(good(text, R"({"model":"m","prompt":[1,2,3,4]})")), both(4, 0));
  EXPECT_EQ(sizes(good(text, R"({"model":"m","prompt":"hello"})")), both(0, 5));
  EXPECT_EQ(sizes(good(text, R"({"model":"m","prompt":[[1,2],[3],"four","seven"]})")), both(2, 5));
  EXPECT_EQ(sizes(good(chat, R"({"model":"m","messages":[{"role":"user","content":"Hi"}]})")),
            both(0, 0));
  for (const auto* field : {"truncate_prompt_tokens", "truncate", "truncation"})
    EXPECT_EQ(
        sizes(good(text, R"({"model":"m","prompt":"hello",")" + std::string(field) + "\":7}")),
        both(0, 0))
        << field;
}

/// The scheduler sends it to nobody who declares that he refuses that.
TEST(OpenaiRequest, SaysWhatACompletionAsksForBesideText) {
  const auto with = [](const std::string& field) {
    return good(text, R"({"model":"m","prompt":"x")" + field + "}").asks;
  };
  EXPECT_EQ(with(R"(,"n":1,"best_of":1,"tools":[],"logprobs":null,"echo":false,"logit_bias":{})"),
            0U);
  EXPECT_EQ(with(R"(,"frequency_penalty":0,"presence_penalty":0.0,"repetition_penalty":1)"), 0U);
  EXPECT_EQ(with(R"(,"response_format":{"type":"text"})"), 0U);
  EXPECT_EQ(with(R"(,"response_format":{"type":"json_object"})"), asks::forms);
  EXPECT_EQ(with(R"(,"tools":[{}])"), asks::forms);
  EXPECT_EQ(with(R"(,"guided_regex":"a+")"), asks::forms);
  EXPECT_EQ(with(R"(,"best_of":2)"), asks::choices);
  EXPECT_EQ(with(R"(,"logprobs":0)"), asks::logprobs);
  EXPECT_EQ(with(R"(,"echo":true)"), asks::echo);
  EXPECT_EQ(with(R"(,"frequency_penalty":-1)"), asks::penalties);
  EXPECT_EQ(with(R"(,"repetition_penalty":1.2)"), asks::penalties);
  EXPECT_EQ(with(R"(,"presence_penalty":1)"), asks::biases);
  EXPECT_EQ(with(R"(,"logit_bias":{"5":1})"), asks::biases);
  EXPECT_EQ(good(text, R"({"model":"m","prompt":[1,2]})").asks, asks::token_prompts);
  EXPECT_EQ(
      good(chat, R"({"model":"m","messages":[{"role":"user","content":"Hi"}],"logprobs":true})")
          .asks,
      0U)
      << "chats go to routes that know it";
}

TEST(OpenaiRequest, OnlyPlainTextMayBeResumed) {
  const auto with = [](const std::string& field) {
    return good(text, R"({"model":"m","prompt":"x")" + field + "}").resumable;
  };
  EXPECT_TRUE(with(""));
  EXPECT_TRUE(with(R"(,"tools":[],"logprobs":false,"response_format":{"type":"text"})"));
  EXPECT_FALSE(with(R"(,"tools":[{}])"));
  EXPECT_FALSE(with(R"(,"logprobs":2)"));
  EXPECT_FALSE(with(R"(,"echo":true)"));
  EXPECT_FALSE(with(R"(,"best_of":2)"));
  EXPECT_FALSE(with(R"(,"response_format":{"type":"json_object"})"));
  EXPECT_FALSE(with(R"(,"response_format":{"type":7})"));
}

TEST(PromptBlocks, SharedPrefixesShareHashes) {
  const auto hash = [](const std::string& model, const std::string& prompt) {
    prompt_hasher hasher(model);
    hasher.add(prompt);
    return hasher.take();
  };
  const std::string base(3 * limits::prefix_block_bytes, 'a');
  const auto one = hash("m", base + std::string(300, 'b'));
  const auto two = hash("m", base + std::string(300, 'c'));
  ASSERT_EQ(one.size(), 4U);
  EXPECT_TRUE(std::equal(one.begin(), one.begin() + 3, two.begin()));
  EXPECT_NE(one[3], two[3]);
  EXPECT_NE(hash("other", base)[0], one[0]) << "another model shares no cache";
  EXPECT_TRUE(hash("m", "short").empty()) << "only whole blocks count";
}

TEST(PromptBlocks, TextInPiecesHashesAsInOne) {
  std::string long_text;
  for (int at = 0; at < 2'000; ++at)
    long_text += static_cast<char>('a' + at % 26);
  prompt_hasher whole("m");
  prompt_hasher pieces("m");
  whole.add(long_text);
  for (std::size_t at = 0; at < long_text.size(); at += 37)
    pieces.add(std::string_view(long_text).substr(at, 37));
  EXPECT_EQ(whole.take(), pieces.take());
}

TEST(PromptBlocks, AreBounded) {
  prompt_hasher hasher("m");
  hasher.add(std::string((core::limits::prefix_blocks_max + 5) * limits::prefix_block_bytes, 'x'));
  EXPECT_EQ(hasher.take().size(), core::limits::prefix_blocks_max);
}

} // namespace
} // namespace consort::gateway
