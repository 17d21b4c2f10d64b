// SPDX-License-Identifier: Apache-2.0
// The reference accelerator at both levels of the C ABI: one engine, the same tokens.
#include "tests/unit/engine/runtime_client.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <unistd.h>

namespace consort::llama_test {
namespace {

using json = nlohmann::json;
namespace fs = std::filesystem;

std::string reference_file(const std::string& name) {
  return std::string(CONSORT_BINARY_DIR) + "/share/consort/plugins/reference/" + name;
}

/// Both levels on one engine, compiled once for all tests.
class BothLevels : public testing::Test {
protected:
  static void SetUpTestSuite() {
    folder() = testing::TempDir() + "consort_step." + std::to_string(getpid());
    fs::create_directories(folder());
    const auto command = reference_file("refnpu-cc") + " --model " + model_path() + " --output "
                         + engine() + " >/dev/null";
    ASSERT_EQ(std::system(command.c_str()), 0);
  }
  static void TearDownTestSuite() { fs::remove_all(folder()); }
  void SetUp() override {
    setenv("REFNPU_STATE", (folder() + "/state").c_str(), 1);
    ASSERT_EQ(generate.open({{"model", engine()}}), CONSORT_OK) << generate.message();
    ASSERT_EQ(
        step.open({{"model", engine()}, {"step_library", reference_file("librefnpu-step.so")}}),
        CONSORT_OK)
        << step.message();
  }
  static std::string& folder() {
    static std::string path;
    return path;
  }
  static std::string engine() { return folder() + "/story.rnpu"; }

  void expect_same(const json& body) {
    const auto one = generate.complete(body);
    const auto other = step.complete(body);
    ASSERT_TRUE(one.completed) << one.message;
    ASSERT_TRUE(other.completed) << other.message;
    EXPECT_EQ(one.ids, other.ids) << body;
    EXPECT_EQ(one.text, other.text) << body;
    EXPECT_EQ(one.finish, other.finish);
    EXPECT_EQ(one.prompt_tokens, other.prompt_tokens);
    EXPECT_EQ(one.extra, other.extra);
  }

  runtime_client generate{reference_file("librefnpu.so")};
  runtime_client step{std::string(CONSORT_BINARY_DIR) + "/lib/consort/libconsort-step.so"};
};

TEST_F(BothLevels, StepsOfSomebodyElseMakeNoEmbeddings) {
  const auto got = step.run(CONSORT_EMBEDDING, {{"input", "The sea"}});
  EXPECT_TRUE(got.failed);
  EXPECT_EQ(got.code, "unsupported_parameter");
  EXPECT_EQ(got.status, CONSORT_REFUSED);
}

TEST_F(BothLevels, GiveTheSameTokens) {
  for (const json& entry : golden())
    expect_same({{"prompt", entry["prompt"]}, {"temperature", 0}, {"max_tokens", 48}});
}

TEST_F(BothLevels, HeedTheSameParameters) {
  const std::string opening = "Once upon a time there was a king who";
  for (const json& sampling :
       {json{{"temperature", 0.8}, {"seed", 7}},
        json{{"temperature", 1.2}, {"seed", 8}, {"top_p", 0.7}, {"top_k", 40}},
        json{{"temperature", 0}, {"frequency_penalty", 1.5}},
        json{{"temperature", 0}, {"stop", {"."}}}, json{{"temperature", 0}, {"logprobs", 3}},
        json{{"temperature", 0.9}, {"seed", 3}, {"n", 3}}}) {
    json body{{"prompt", opening}, {"max_tokens", 40}};
    body.update(sampling);
    expect_same(body);
  }
  const json chat{{"messages", {{{"role", "user"}, {"content", "Tell me of a fox"}}}},
                  {"temperature", 0},
                  {"max_tokens", 16}};
  EXPECT_EQ(generate.run(CONSORT_CHAT, chat).ids, step.run(CONSORT_CHAT, chat).ids);
}

TEST_F(BothLevels, StayTheSameSideBySide) {
  for (auto* client : {&generate, &step})
    for (std::size_t at = 0; at < golden().size(); ++at)
      ASSERT_EQ(client->submit(
                    at, CONSORT_COMPLETION,
                    json{{"prompt", golden()[at]["prompt"]}, {"temperature", 0}, {"max_tokens", 32}}
                        .dump()),
                CONSORT_OK);
  std::uint32_t batch = 0;
  for (std::size_t at = 0; at < golden().size(); ++at) {
    const auto other = step.wait(at);
    EXPECT_EQ(generate.wait(at).ids, other.ids);
    batch = std::max(batch, other.batch);
  }
  EXPECT_GE(batch, 2U);
}

TEST_F(BothLevels, CancelAndResumeAlike) {
  const json body{{"prompt", golden()[0]["prompt"]}, {"temperature", 0}, {"max_tokens", 40}};
  const auto whole = step.complete(body).ids.at(0);
  ASSERT_EQ(step.submit(1, CONSORT_COMPLETION, body.dump()), CONSORT_OK);
  const auto part = step.wait_for_tokens(1, 5).ids.at(0);
  step.cancel(1);
  EXPECT_TRUE(step.wait(1).ended());
  const std::vector<std::int32_t> first(part.begin(), part.begin() + 5);
  auto rest = step.run(CONSORT_COMPLETION, body, first).ids.at(0);
  rest.insert(rest.begin(), first.begin(), first.end());
  EXPECT_EQ(rest, whole);
}

TEST_F(BothLevels, RefuseTheSameEngines) {
  runtime_client other(std::string(CONSORT_BINARY_DIR) + "/lib/consort/libconsort-step.so");
  EXPECT_EQ(
      other.open({{"model", model_path()}, {"step_library", reference_file("librefnpu-step.so")}}),
      CONSORT_BAD_MODEL);
  EXPECT_EQ(other.open({{"model", engine()}}), CONSORT_REFUSED);
  EXPECT_NE(other.message().find("step_library"), std::string::npos);
}

} // namespace
} // namespace consort::llama_test
