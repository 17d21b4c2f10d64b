// SPDX-License-Identifier: Apache-2.0
// Goal: what a tool's end means is the first rule that it fits, the same for compilers, servers and
// samples; and every sample that ships is judged as its folder says.
#include "node/failure_samples.hpp"

#include "node/failure_rules.hpp"
#include "node/plugin_json.hpp"
#include "tests/unit/node/temp_folder.hpp"

#include <gmock/gmock.h>

#include <filesystem>

namespace consort::node {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

child_exit ended(int code, int signal = 0) {
  child_exit end;
  end.code = code;
  end.signal = signal;
  return end;
}

TEST(FailureRules, TheFirstThatFitsCounts) {
  const std::vector<start_failure_rule> rules{{std::nullopt, "stale", start_failure::rebuild},
                                              {139, "", start_failure::elsewhere},
                                              {7, "license", start_failure::refuse}};
  const auto means = [&](const char* line, const child_exit* end) {
    failure_rules<start_failure_rule> heard(rules);
    heard.hear("loading");
    heard.hear(line);
    const auto* rule = heard.fits(end);
    return rule == nullptr ? -1 : static_cast<int>(rule - rules.data());
  };
  const auto one = ended(1), seven = ended(7), crashed = ended(139), by_signal = ended(0, 11);
  EXPECT_EQ(means("it is stale", &one), 0);
  EXPECT_EQ(means("it is stale", nullptr), 0) << "not ready in time";
  EXPECT_EQ(means("it is stale", &crashed), 0);
  EXPECT_EQ(means("", &crashed), 1);
  EXPECT_EQ(means("", &by_signal), 1) << "139 is what shells make of SIGSEGV";
  EXPECT_EQ(means("", nullptr), -1);
  EXPECT_EQ(means("no license", &seven), 2);
  EXPECT_EQ(means("no license", &one), -1);
  EXPECT_EQ(means("no license", nullptr), -1) << "nobody knows with what it would end";
  const auto cut = std::string(limits::pattern_line_bytes_max, '.') + "stale";
  EXPECT_EQ(means(cut.c_str(), &one), -1) << "of a line no more than that is looked at";
}

TEST(FailureRules, OneThatIsGivenUpIsSaidOnceAndTheOthersCount) {
  const std::vector<start_failure_rule> rules{{std::nullopt, "^(a+)+$", start_failure::rebuild},
                                              {std::nullopt, "stale", start_failure::refuse}};
  failure_rules<start_failure_rule> heard(rules);
  const auto endless = std::string(44, 'a') + "!";
  EXPECT_EQ(heard.hear(endless).rfind("failures/0/match: its regular expression", 0), 0U);
  EXPECT_EQ(heard.hear(endless), "");
  EXPECT_EQ(heard.hear("stale"), "");
  const auto one = ended(1);
  EXPECT_EQ(heard.fits(&one), &rules[1]);
}

plugin_document document_of(const std::string& vendor) {
  auto document
      = load_plugin_json((fs::path(CONSORT_SOURCE_DIR) / "node/plugins" / vendor).string());
  EXPECT_TRUE(document.ok()) << (document ? "" : document.failure().message);
  return document ? *std::move(document) : plugin_document{};
}

std::string complaint(const plugin_document& document, const char* text) {
  const auto judged = check_failure_samples(document, text);
  return judged ? "judged " + std::to_string(*judged) : judged.failure().message;
}

TEST(FailureSamples, AreJudgedByTheRulesOfTheirSection) {
  const auto furiosa = document_of("furiosa"); // Two builds, with the same rules.
  EXPECT_EQ(complaint(furiosa, R"({"runtime": {"rebuild": ["first\nis stale"]},
                                   "build": {"resource": [{"line": "No space left"}]}})"),
            "judged 2");
  EXPECT_THAT(complaint(furiosa, R"({"runtime": {"refuse": ["is stale"]}})"),
              HasSubstr("\"is stale\": rebuild, expected refuse"));
  EXPECT_THAT(complaint(furiosa, R"({"build": {"resource": ["what"]}})"),
              HasSubstr("\"what\": no rule fits, expected resource"));
  EXPECT_EQ(complaint(document_of("rebellions"), R"({"runtime": {"elsewhere": [{"exit": 139}]}})"),
            "judged 1");
}

TEST(FailureSamples, WhatIsNoneOfThemIsSaid) {
  const auto furiosa = document_of("furiosa");
  EXPECT_THAT(complaint(furiosa, "[]"), HasSubstr("expected a JSON object"));
  EXPECT_THAT(complaint(furiosa, R"({"server": {}})"), HasSubstr("server: expected `runtime`"));
  EXPECT_THAT(complaint(furiosa, R"({"runtime": {"rebuilt": []}})"),
              HasSubstr("runtime/rebuilt: expected a list under one of"));
  EXPECT_THAT(complaint(furiosa, R"({"runtime": {"rebuild": [5]}})"),
              HasSubstr("expected lists of what was printed"));
  EXPECT_THAT(complaint(furiosa, R"({"runtime": {"rebuild": [{"exit": "1"}]}})"),
              HasSubstr("expected lists of what was printed"));
  EXPECT_THAT(complaint(furiosa, R"({"runtime": {"rebuild": []}})"),
              HasSubstr("nothing was judged"));
  EXPECT_THAT(complaint(document_of("vllm"), R"({"build": {"resource": ["out of memory"]}})"),
              HasSubstr("nothing was judged"))
      << "it builds nothing";
}

TEST(FailureSamples, ThatShipMeanWhatTheirFoldersSay) {
  std::size_t folders = 0;
  for (const auto& folder : fs::directory_iterator(fs::path(CONSORT_SOURCE_DIR) / "node/plugins")) {
    const auto file = folder.path() / "fixtures/failures.json";
    if (!fs::exists(file))
      continue;
    ++folders;
    const auto judged = check_failure_samples(document_of(folder.path().filename().string()),
                                              test::read_file(file));
    EXPECT_TRUE(judged.ok()) << file << ": " << (judged ? "" : judged.failure().message);
  }
  EXPECT_GE(folders, 14U);
}

} // namespace
} // namespace consort::node
