// SPDX-License-Identifier: Apache-2.0
// Embeddings of the llama runtime through its C ABI, on the shipped model, against what the library
// itself makes of the same tokens when it does the pooling.
#include "node/plugins/llama/backend.hpp"
#include "node/plugins/llama/embedding_job.hpp"
#include "node/plugins/llama/limits.hpp"
#include "node/plugins/llama/vocabulary.hpp"
#include "tests/unit/engine/runtime_client.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace consort::llama_test {
namespace {

using json = nlohmann::json;

const std::string sea = "The sea was calm and the old king slept";
const std::string knight = "A knight rode out at dawn";

std::string long_text() {
  std::string text;
  for (int line = 0; line < 20; ++line)
    text += "The king said that the sea was " + std::to_string(line) + " miles away. ";
  return text;
}

std::vector<float> vector_of(const json& one) {
  return one.get<std::vector<float>>();
}

double cosine(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (std::size_t at = 0; at < a.size(); ++at)
    sum += static_cast<double>(a[at]) * b[at];
  return sum;
}

double length_of(const std::vector<float>& vector) {
  return std::sqrt(cosine(vector, vector));
}

class Embedding : public testing::Test {
protected:
  void SetUp() override {
    ASSERT_EQ(client.open({{"model", model_path()}, {"sequences", 2}}), CONSORT_OK)
        << client.message();
  }
  /// What one request came to; its text is a list of embeddings.
  answer ask(const json& input, json more = json::object()) {
    more["input"] = input;
    return client.run(CONSORT_EMBEDDING, more);
  }
  std::vector<std::vector<float>> vectors(const json& input) {
    const auto got = ask(input);
    EXPECT_TRUE(got.completed) << got.message;
    std::vector<std::vector<float>> all;
    if (got.completed)
      for (const auto& one : json::parse(got.text.at(0)))
        all.push_back(vector_of(one));
    return all;
  }
  void refuses(const json& body, const std::string& words, const std::string& code = "submit") {
    const auto got = client.run(CONSORT_EMBEDDING, body);
    EXPECT_TRUE(got.failed) << body;
    EXPECT_EQ(got.code, code);
    EXPECT_EQ(got.status, CONSORT_REFUSED);
    EXPECT_NE(got.message.find(words), std::string::npos) << got.message;
  }
  runtime_client client{llama_library()};
};

/// The library's own mean over a context whose step holds the whole text.
std::vector<float> pooled_by_the_library(const std::string& text, std::uint32_t& tokens_out) {
  EXPECT_TRUE(llama::load_backends("").ok());
  auto model = llama::load_model(model_path());
  EXPECT_TRUE(model.ok());
  auto params = llama_context_default_params();
  params.n_ctx = params.n_batch = params.n_ubatch = 512;
  params.n_seq_max = 1;
  params.embeddings = true;
  params.pooling_type = LLAMA_POOLING_TYPE_MEAN;
  const llama::context_ptr context(llama_init_from_model(model->get(), params));
  const auto tokens = llama::vocabulary(**model).tokenize(text, true);
  tokens_out = static_cast<std::uint32_t>(tokens.size());
  llama::token_batch batch(512);
  for (std::size_t at = 0; at < tokens.size(); ++at)
    batch.add(tokens[at], static_cast<llama_pos>(at), 0, true);
  EXPECT_EQ(llama_decode(context.get(), batch.raw()), 0);
  const float* pooled = llama_get_embeddings_seq(context.get(), 0);
  std::vector<float> vector(pooled, pooled + llama_model_n_embd_out(model->get()));
  llama::normalize(vector);
  return vector;
}

TEST_F(Embedding, IsTheMeanThatTheLibraryMakes) {
  for (const auto& text : {sea, long_text()}) {
    std::uint32_t tokens = 0;
    const auto expected = pooled_by_the_library(text, tokens);
    const auto got = ask(text);
    ASSERT_TRUE(got.completed) << got.message;
    const auto vector = vector_of(json::parse(got.text.at(0)).at(0));
    ASSERT_EQ(vector.size(), expected.size());
    EXPECT_GT(cosine(vector, expected), 0.99999) << text;
    EXPECT_NEAR(length_of(vector), 1.0, 1e-5);
    EXPECT_EQ(got.prompt_tokens, tokens);
    EXPECT_EQ(got.completion_tokens, 0U);
    EXPECT_EQ(got.finish.at(0), "stop");
    if (text != sea) {
      EXPECT_GT(tokens, llama::limits::embedding_step_tokens) << "it is more than one step";
    }
  }
}

TEST_F(Embedding, OfManyTextsAreThoseOfEach) {
  const auto both = vectors({sea, knight, sea});
  ASSERT_EQ(both.size(), 3U);
  EXPECT_EQ(both[0], vectors(sea).at(0)) << "bit for bit";
  EXPECT_EQ(both[1], vectors(knight).at(0));
  EXPECT_EQ(both[2], both[0]);
  EXPECT_LT(cosine(both[0], both[1]), 0.9999) << "texts differ";
  EXPECT_EQ(ask({sea, knight}).prompt_tokens, ask(sea).prompt_tokens + ask(knight).prompt_tokens);
}

TEST_F(Embedding, IsTheSameWhoeverIsServedBesideIt) {
  const auto alone = vectors(long_text()).at(0);
  const json story = {{"prompt", "Once upon a time"}, {"max_tokens", 200}, {"temperature", 0}};
  const auto text_alone = client.complete(story).text.at(0);
  ASSERT_EQ(client.submit(7, CONSORT_COMPLETION, story.dump()), CONSORT_OK);
  client.wait_for_tokens(7, 5);
  EXPECT_EQ(vectors(long_text()).at(0), alone);
  EXPECT_EQ(client.wait(7).text.at(0), text_alone);
  EXPECT_EQ(client.stats()["requests_waiting"], 0);
}

TEST_F(Embedding, AsBase64IsTheSameNumbers) {
  const auto numbers = vectors(sea).at(0);
  const auto got = ask(sea, {{"encoding_format", "base64"}});
  ASSERT_TRUE(got.completed) << got.message;
  EXPECT_EQ(json::parse(got.text.at(0)).at(0).get<std::string>(),
            json::parse(llama::embedding_json(numbers, true)).get<std::string>());
}

TEST_F(Embedding, RefusesWhatItCannotDoByTheFieldsName) {
  refuses(json::object(), "'input'");
  refuses({{"input", json::array()}}, "'input'");
  refuses({{"input", ""}}, "'input'");
  refuses({{"input", {sea, 5}}}, "'input'");
  refuses({{"input", sea}, {"encoding_format", "hex"}}, "'encoding_format'");
  const auto width = vectors(sea).at(0).size();
  refuses({{"input", sea}, {"dimensions", width / 2}},
          "'dimensions' can only be " + std::to_string(width));
  refuses({{"input", sea}, {"dimensions", llama::limits::embedding_width_max + 1}}, "'dimensions'");
  EXPECT_TRUE(ask(sea, {{"dimensions", width}}).completed);
  json many = json::array();
  for (std::size_t at = 0; at <= llama::limits::embedding_inputs_max; ++at)
    many.push_back("x");
  refuses({{"input", many}}, "'input'");
  many.erase(0);
  ASSERT_EQ(client.submit(1, CONSORT_EMBEDDING, json{{"input", many}}.dump()), CONSORT_OK);
  client.cancel(1);
  EXPECT_EQ(client.wait(1).code, "cancelled");
}

TEST_F(Embedding, OfATextThatIsTooLongIsRefusedWithItsPlace) {
  std::string text = long_text();
  while (text.size() < 1'000'000)
    text += text;
  refuses({{"input", {sea, text}}}, "input[1]", "context_length_exceeded");
  refuses({{"input", {sea, text.substr(0, 8'000)}}}, "input[1]", "context_length_exceeded");
  EXPECT_EQ(vectors(sea).size(), 1U);
}

TEST_F(Embedding, IsCancelledBeforeItsEnd) {
  json many = json::array();
  for (int at = 0; at < 300; ++at)
    many.push_back(long_text());
  ASSERT_EQ(client.submit(1, CONSORT_EMBEDDING, json{{"input", many}}.dump()), CONSORT_OK);
  ASSERT_EQ(client.submit(2, CONSORT_EMBEDDING, json{{"input", many}}.dump()), CONSORT_OK);
  client.cancel(2);
  client.cancel(1);
  for (const std::uint64_t id : {1, 2}) {
    const auto got = client.wait(id);
    EXPECT_TRUE(got.failed);
    EXPECT_EQ(got.code, "cancelled");
  }
  EXPECT_EQ(client.stats()["requests_waiting"], 0);
  EXPECT_EQ(vectors(sea).size(), 1U) << "and others go on";
}

TEST(EmbeddingJson, ReadsBackAsTheSameNumbers) {
  const std::vector<float> numbers{0.1F, -2.5e-7F, 1.0F / 3.0F, 0.0F};
  EXPECT_EQ(json::parse(llama::embedding_json(numbers, false)).get<std::vector<float>>(), numbers);
  EXPECT_EQ(llama::embedding_json(std::vector{1.0F}, true), "\"AACAPw==\"");
  EXPECT_EQ(llama::embedding_json(std::vector{1.0F, -2.0F}, true), "\"AACAPwAAAMA=\"");
  EXPECT_EQ(llama::embedding_json(std::vector{1.0F, -2.0F, 0.5F}, true), "\"AACAPwAAAMAAAAA/\"");
}

TEST(EmbeddingVector, HasTheLengthOneUnlessItIsNone) {
  std::vector<float> vector{3.0F, -4.0F};
  llama::normalize(vector);
  EXPECT_EQ(vector, (std::vector{0.6F, -0.8F}));
  std::vector<float> zero(4);
  llama::normalize(zero);
  EXPECT_EQ(zero, std::vector<float>(4));
}

} // namespace
} // namespace consort::llama_test
