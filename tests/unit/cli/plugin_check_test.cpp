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

} // namespace
} // namespace consort::cli
