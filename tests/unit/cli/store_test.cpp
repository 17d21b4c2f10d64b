// SPDX-License-Identifier: Apache-2.0
// `artifacts` on a folder, where nobody serves.
#include "cli/api.hpp"
#include "node/artifact_store.hpp"
#include "scheduler/artifact_model.hpp"
#include "tests/unit/cli/command_run.hpp"
#include "tests/unit/node/small_disk.hpp"
#include "tests/unit/node/temp_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/stat.h>

#include <filesystem>
#include <fstream>

namespace consort::cli {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

/// Two models whose engines are the same bytes.
class StoreCommands : public testing::Test {
protected:
  void SetUp() override {
    const auto store = node::artifact_store::open(data(), node_id("n"));
    ASSERT_TRUE(store.ok());
    for (const auto* model : {"first", "second"}) {
      auto staging = (*store)->stage(1);
      ASSERT_TRUE(staging.ok());
      std::ofstream(staging->output_path()) << "engine";
      artifact_key key;
      key.binds = std::string(64, model[0]);
      key.profile.name = "refnpu";
      key.profile.compiler = "cc";
      const auto put = (*store)->put(*std::move(staging), key, {{artifact_model, model}}, 1);
      ASSERT_TRUE(put.ok());
      content_ = put->content.value;
    }
  }
  [[nodiscard]] std::string data(const std::string& name = "data") const { return folder_ / name; }
  command_run artifacts(std::vector<std::string> words, const std::string& name = "data") const {
    words.insert(words.begin(), {"--server", "http://127.0.0.1:1", "artifacts"});
    words.insert(words.end(), {"--data", data(name)});
    return run_command(std::move(words));
  }

  node::test::temp_folder folder_;
  std::string content_;
};

TEST_F(StoreCommands, ContentOfTwoKeysIsOneArtifactAndNamesBoth) {
  const auto verified = artifacts({"verify"});
  EXPECT_EQ(verified.code, exit_code::done) << verified.err;
  EXPECT_EQ(verified.out.find("ready"), verified.out.rfind("ready")) << "read once";
  const auto shown = artifacts({"show", content_.substr(0, 8)});
  EXPECT_EQ(shown.code, exit_code::done) << shown.err;
  EXPECT_THAT(shown.out, HasSubstr("ssssssssssss (refnpu, cc)"));
  const auto facts = json::parse(artifacts({"show", content_, "-o", "json"}).out);
  EXPECT_EQ(facts["also_for"][0]["model"], "second");
  const auto listed = artifacts({"ls"});
  EXPECT_THAT(listed.out, HasSubstr("first"));
  EXPECT_THAT(listed.out, HasSubstr("second"));
}

TEST_F(StoreCommands, ForAFileThatWasChangedNoStoreIsMade) {
  const auto file = folder_ / "carried";
  ASSERT_EQ(artifacts({"export", content_, file}).code, exit_code::done);
  fs::permissions(file, fs::perms::owner_write, fs::perm_options::add);
  std::ofstream(file, std::ios::app) << "more";
  const auto refused = artifacts({"import", file}, "other");
  EXPECT_EQ(refused.code, exit_code::failed);
  EXPECT_THAT(refused.err, HasSubstr("carried.json tells of " + content_));
  EXPECT_FALSE(fs::exists(data("other")));
}

TEST_F(StoreCommands, FewerThanNoneAreNotKept) {
  EXPECT_EQ(artifacts({"gc", "--keep-last", "-1"}).code, exit_code::usage);
  EXPECT_EQ(artifacts({"gc", "--keep-last", "1"}).code, exit_code::done);
}

TEST_F(StoreCommands, ContentOfTwoKeysIsCarriedWithBoth) {
  const auto file = folder_ / "carried";
  EXPECT_EQ(artifacts({"export", content_, file}).code, exit_code::done);
  EXPECT_EQ(artifacts({"import", file}, "other").code, exit_code::done);
  const auto store = node::artifact_store::open(data("other"), node_id("n"));
  ASSERT_TRUE(store.ok());
  EXPECT_EQ((*store)->list().size(), 2U);
}

/// The payload is of 6 bytes: it or its manifest finds no room.
TEST_F(StoreCommands, OnAFullDiskNothingIsLeftOfAnExport) {
  const auto file = folder_ / "carried";
  for (const rlim_t room : {3, 64}) {
    command_run full;
    {
      const node::test::small_disk disk(room);
      full = artifacts({"export", content_, file});
    }
    EXPECT_EQ(full.code, exit_code::failed) << room;
    EXPECT_THAT(full.err, HasSubstr("make room or choose another place")) << room;
    EXPECT_FALSE(fs::exists(file)) << room;
    EXPECT_FALSE(fs::exists(file + ".json")) << room;
  }
  EXPECT_EQ(artifacts({"export", content_, file}).code, exit_code::done);
  EXPECT_EQ(fs::file_size(file), 6U);
}

TEST_F(StoreCommands, WhatIsNoArtifactIsNamedAndNoFailure) {
  fs::create_directories(data() + "/artifacts/zzz");
  const auto verified = artifacts({"verify"});
  EXPECT_EQ(verified.code, exit_code::done);
  EXPECT_THAT(verified.err, HasSubstr("zzz: not an artifact; ignored"));
  fs::create_directories(data() + "/artifacts/" + std::string(64, 'a'));
  EXPECT_NE(artifacts({"verify"}).code, exit_code::done);
}

/// `ls` lists what a cluster has, so that a digest of another host's store may be asked for here.
TEST_F(StoreCommands, TheFolderThatWasReadIsNamed) {
  EXPECT_THAT(artifacts({"show", "abcdef"}).err,
              HasSubstr("lists their digests (looked below " + data() + ")"));
  EXPECT_THAT(artifacts({"verify"}).err, HasSubstr("1 read below " + data() + "\n"));
  EXPECT_THAT(artifacts({"gc", "--keep-last", "1"}).out, HasSubstr(", below " + data() + "\n"));
  // Where none is named it is the configuration's.
  const std::string config = folder_ / "consort.json";
  std::ofstream(config) << json{{"data", data()}};
  const auto hint = "below " + data() + "; --data names the data folder of another agent";
  EXPECT_THAT(run_command({"--config", config, "artifacts", "show", "abcdef"}).err,
              HasSubstr("looked " + hint));
  EXPECT_THAT(run_command({"--config", config, "artifacts", "verify"}).err,
              HasSubstr("1 read " + hint));
}

TEST_F(StoreCommands, APipeIsNoFileToImport) {
  const auto pipe = folder_ / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const auto refused = artifacts({"import", pipe});
  EXPECT_EQ(refused.code, exit_code::usage);
  EXPECT_THAT(refused.err, HasSubstr("pipe is no file as export writes it"));
  ASSERT_EQ(::mkfifo((folder_ / "file.json").c_str(), 0600), 0);
  std::ofstream(folder_ / "file") << "engine";
  EXPECT_THAT(artifacts({"import", folder_ / "file"}).err, HasSubstr("file.json, which says"));
}

} // namespace
} // namespace consort::cli
