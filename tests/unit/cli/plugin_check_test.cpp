// SPDX-License-Identifier: Apache-2.0
// `plugin check` of folders whose tools are not on this host: what was recorded is left to look at.
#include "tests/unit/cli/command_run.hpp"
#include "tests/unit/node/temp_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

namespace consort::cli {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;

class PluginCheck : public testing::Test {
protected:
  void SetUp() override {
    folder_.write("plugin.json", R"({"schema": 1, "name": "a", "version": "1", "vendor": "V",
      "type": "npu", "available": {"command": "consort-no-such-tool"},
      "probe": {"command": ["consort-no-such-tool"], "parse": "csv", "id": "uuid",
                "model": "model"},
      "telemetry": {"command": ["consort-no-such-tool"], "parse": "csv", "id": "uuid",
                    "power_watts": "watts"},
      "capability": {"max_sequences": 1}})");
  }
  void TearDown() override { spdlog::set_level(level_); } // The command quiets the log.
  command_run check() { return run_command({"plugin", "check", "--no-run", folder_.path()}); }

  node::test::temp_folder folder_;
  const spdlog::level::level_enum level_ = spdlog::get_level();
};

TEST_F(PluginCheck, ARecordedAnswerWithoutModelsFailsAsTheToolsOwnWould) {
  folder_.write("fixtures/probe-new.csv", "uuid,model\nZ-1,z\n");
  folder_.write("fixtures/telemetry.csv", "uuid,watts\nZ-1,5\n");
  const auto good = check();
  EXPECT_EQ(good.code, exit_code::done) << good.out << good.err;
  EXPECT_THAT(good.out, ContainsRegex("fixture probe-new.csv +pass +1 devices"));
  EXPECT_THAT(good.out, ContainsRegex("fixture telemetry.csv +pass +1 devices"));
  folder_.write("fixtures/probe-old.csv", "index,uuid\n0,Z-1\n");
  const auto bad = check();
  EXPECT_EQ(bad.code, exit_code::failed);
  EXPECT_THAT(bad.out, ContainsRegex("fixture probe-old.csv +FAIL +Z-1 has no model: "));
  EXPECT_THAT(bad.out, HasSubstr("not on this host: consort-no-such-tool"));
}

TEST_F(PluginCheck, WhatItsToolsPrintAsTheyFailIsJudged) {
  const auto text = node::test::read_file(folder_ / "plugin.json");
  const auto runs = R"("capability": {"max_sequences": 1, "formats": ["gguf"]},
    "runtime": {"interface": "server", "command": ["consort-no-such-server", "{port}"],
                "failures": [{"match": "no room", "class": "elsewhere"}]}})";
  folder_.write("plugin.json", text.substr(0, text.find("\"capability\"")) + runs);
  folder_.write("fixtures/failures.json", R"({"runtime": {"elsewhere": ["there is no room"]}})");
  const auto good = check();
  EXPECT_EQ(good.code, exit_code::done) << good.out << good.err;
  EXPECT_THAT(good.out, ContainsRegex("fixture failures.json +pass +1 samples mean what"));
  folder_.write("fixtures/failures.json", R"({"runtime": {"refuse": ["there is no room"]}})");
  const auto bad = check();
  EXPECT_EQ(bad.code, exit_code::failed);
  EXPECT_THAT(bad.out, ContainsRegex("fixture failures.json +FAIL .*elsewhere, expected refuse"));
}

TEST_F(PluginCheck, AServerThatKeepsACacheIsGivenAFolderForIt) {
  folder_.script("server", "[ -d \"$1\" ] && echo \"$1\" > '" + folder_ / "seen" + "'; exit 9");
  folder_.write("plugin.json", R"({"schema": 1, "name": "a", "version": "1", "vendor": "V",
    "type": "npu", "probe": {"command": ["echo", "{\"id\": \"Z\", \"model\": \"z\"}"], "id": "/id",
                             "model": "/model"},
    "capability": {"max_sequences": 1, "formats": ["server/m"]},
    "runtime": {"interface": "server", "command": ["server", "{cache}", "{port}"], "cache": {}}})");
  const auto done = run_command({"plugin", "check", folder_.path()});
  EXPECT_THAT(done.out, ContainsRegex("load +FAIL +.*exited with 9"));
  const auto seen = node::test::read_file(folder_ / "seen");
  EXPECT_THAT(seen, ContainsRegex("^/.*consort-check-.*/cache\n$"));
  EXPECT_FALSE(std::filesystem::exists(seen.substr(0, seen.find('\n')))) << "left behind";
}

} // namespace
} // namespace consort::cli
