// SPDX-License-Identifier: Apache-2.0
#include "cli/prebuilt.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <unistd.h>

namespace consort::cli {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

/// An accelerator whose engines begin with RNPU, or of which nothing is said.
class Prebuilt : public testing::Test {
protected:
  void SetUp() override {
    fs::remove_all(folder_);
    config_.plugin_dirs = {folder_};
    plugin(R"(, "begins": "RNPU")");
    wanted_.profile = "p";
    wanted_.model = file("weights.gguf", "GGUF and so on");
  }
  void TearDown() override { fs::remove_all(folder_); }

  void plugin(const std::string& begins, const std::string& name = "a") {
    fs::create_directories(folder_ + "/" + name);
    std::ofstream(folder_ + "/" + name + "/plugin.json")
        << R"({"schema": 1, "name": ")" << name << R"(",
      "version": "1", "vendor": "V", "type": "npu",
      "probe": {"command": ["echo", "{\"id\":\"x)"
        << name << R"(\",\"model\":\"t\"}"],
                "id": "/id", "model": "/model"},
      "capability": {"max_sequences": 1, "requires_artifact": true},
      "build": [{"profile": "p", "compiler": "cc", "compiler_version": "1",
                 "command": ["cc", "{model}", "{output}"])"
        << begins << "}]}";
  }
  std::string file(const std::string& name, const std::string& text) const {
    const auto path = folder_ + "/" + name;
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }
  /// Why it is not taken; empty = it is.
  std::string objection(const std::string& path) {
    wanted_.path = path;
    const auto chosen = choose_prebuilt(wanted_, config_);
    if (!chosen) {
      EXPECT_EQ(chosen.failure().code, "usage");
    }
    return chosen ? std::string() : chosen.failure().message;
  }

  const std::string folder_
      = (fs::temp_directory_path() / ("consort-prebuilt-" + std::to_string(::getpid()))).string();
  cluster_config config_;
  prebuilt_import wanted_;
};

TEST_F(Prebuilt, IsTakenWhenItBeginsAsItsProfileSays) {
  EXPECT_EQ(objection(file("engine", "RNPU and so on")), "");
  EXPECT_EQ(choose_prebuilt(wanted_, config_)->key.profile.compiler, "cc");
}

TEST_F(Prebuilt, IsRefusedWhenItIsSomethingElse) {
  EXPECT_THAT(objection(file("engine", "\x7f"
                                       "ELF")),
              HasSubstr("engine begins with hex:7f454c46, and what cc makes for profile `p` with "
                        "`RNPU`: it is something else, or not whole"));
  EXPECT_THAT(objection(file("short", "RN")), HasSubstr("short begins with `RN`"));
  fs::create_directories(folder_ + "/whole");
  file("whole/RNPU", "RNPU");
  EXPECT_THAT(objection(folder_ + "/whole"), HasSubstr("is a folder, and what cc makes"));
}

/// One profile may be made in another form for each target, also by plugins of one compiler.
TEST_F(Prebuilt, BeginsAsItsTargetsDoAndNotAsAnothers) {
  plugin(R"(, "target": "t", "begins": "RNPU")");
  plugin(R"(, "target": "u", "begins": "OTHER")", "0");
  wanted_.target = "t";
  EXPECT_EQ(objection(file("engine", "RNPU and so on")), "");
  EXPECT_THAT(objection(file("other", "OTHER")), HasSubstr("makes for profile `p` with `RNPU`"));
}

/// As what its compiler would make of it is.
TEST_F(Prebuilt, IsOfAllWeightsOfAShapeWhereItsProfileBindsThat) {
  plugin(R"(, "begins": "RNPU", "binds": "architecture")");
  wanted_.path = file("engine", "RNPU and so on");
  wanted_.model = CONSORT_SOURCE_DIR "/models/storyteller-5m-f16.gguf";
  const auto chosen = choose_prebuilt(wanted_, config_);
  ASSERT_TRUE(chosen) << chosen.failure().message;
  EXPECT_EQ(chosen->key.kind, artifact_kind::engine_architecture);
  EXPECT_THAT(chosen->key.binds, testing::StartsWith("llama-"));
  wanted_.model = std::string(64, 'a');
  EXPECT_THAT(objection(wanted_.path), HasSubstr("--model wants the file"));
}

TEST_F(Prebuilt, OfAnUnknownProfileIsToldWhereToLook) {
  wanted_.profile = "q";
  EXPECT_THAT(objection(file("engine", "RNPU")),
              HasSubstr("no plugin of this host has profile `q`; there are: p for "));
  EXPECT_THAT(objection(file("engine", "RNPU")),
              HasSubstr("; plugins of another folder are named by --plugins"));
}

TEST_F(Prebuilt, IsRefusedWhenThereIsNothingInIt) {
  EXPECT_THAT(objection(file("empty", "")), HasSubstr("empty is empty: is it whole?"));
  EXPECT_THAT(objection(folder_ + "/none"), HasSubstr("none cannot be read"));
  EXPECT_THAT(objection("/dev/null"), HasSubstr("is neither a file nor a folder"));
}

TEST_F(Prebuilt, WithoutWeightsIsToldWhatIsMissing) {
  wanted_.model.clear();
  EXPECT_EQ(objection(file("engine", "RNPU")), "--profile wants --model beside it: the weights "
                                               "that it was built from, or their SHA-256");
}

TEST_F(Prebuilt, OfUnknownFormIsAnythingButTheWeights) {
  plugin("");
  EXPECT_EQ(objection(file("engine", "anything")), "");
  EXPECT_THAT(objection(wanted_.model), HasSubstr("is the weights themselves, not what cc makes"));
  fs::create_directories(folder_ + "/folder");
  EXPECT_THAT(objection(folder_ + "/folder"), HasSubstr("holds no bytes"));
  file("folder/part", "x");
  EXPECT_EQ(objection(folder_ + "/folder"), "");
}

} // namespace
} // namespace consort::cli
