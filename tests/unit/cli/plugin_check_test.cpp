// SPDX-License-Identifier: Apache-2.0
// `plugin check` of folders whose tools are not on this host: what was recorded is left to look at.
#include "tests/unit/cli/command_run.hpp"
#include "tests/unit/cli/test_server.hpp"
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

/// Such an answer is what a newer version of the tool prints: a renamed column is its very use.
TEST_F(PluginCheck, ARecordedAnswerSaysWhatIsNotInIt) {
  folder_.write("plugin.json", R"({"schema": 1, "name": "a", "version": "1", "vendor": "V",
    "type": "npu", "available": {"command": "consort-no-such-tool"},
    "probe": {"command": ["consort-no-such-tool"], "parse": "csv", "id": "uuid", "model": "model",
              "memory_bytes": {"at": "mem", "unit": "MiB"}, "attributes": {"slot": "slot"}},
    "telemetry": {"command": ["consort-no-such-tool"], "parse": "csv", "id": "uuid",
                  "power_watts": "watts",
                  "health": {"at": "state", "words": {"ok": "healthy"}}},
    "capability": {"max_sequences": 1}})");
  folder_.write("fixtures/probe-1.csv", "uuid,model,mem,slot\nZ-1,z,8,1\n");
  folder_.write("fixtures/probe-2.csv", "uuid,model,memory\nZ-1,z,8\n");
  folder_.write("fixtures/telemetry-1.csv", "uuid,watts,state\nZ-1,5,ok\n");
  folder_.write("fixtures/telemetry-2.csv", "uuid,power,status\nZ-1,5,ok\n");
  folder_.write("fixtures/telemetry-3.csv", "uuid,watts,state\nZ-1,5,THROTTLED\n");
  folder_.write("fixtures/proble-3.csv", "uuid,model\nZ-1,z\n");
  folder_.write("fixtures/README.md", "where they are from\n");
  folder_.write("fixtures/version-1.txt", "1.0\n");
  const auto good = check();
  EXPECT_EQ(good.code, exit_code::done) << good.out << good.err;
  EXPECT_THAT(good.out, ContainsRegex("probe-1.csv +pass +1 devices\n"));
  EXPECT_THAT(good.out, ContainsRegex("probe-2.csv +pass +1 devices; unknown: memory_bytes, "
                                      "attributes.slot\n"));
  EXPECT_THAT(good.out, ContainsRegex("telemetry-1.csv +pass +1 devices\n"));
  EXPECT_THAT(good.out,
              ContainsRegex("telemetry-2.csv +pass +1 devices; unknown: health, power_watts\n"));
  EXPECT_THAT(good.out, ContainsRegex("telemetry-3.csv +pass +1 devices; unhealthy, since "
                                      "health.words has no `THROTTLED`\n"));
  EXPECT_THAT(good.out, ContainsRegex("proble-3.csv +skip +no question of plugin.json has that "
                                      "name"));
  EXPECT_THAT(good.out, testing::Not(HasSubstr("README")));
  EXPECT_THAT(good.out, testing::Not(HasSubstr("version-1")));
  folder_.write("fixtures/probe-err.csv", "zeta-smi: no device\n");
  const auto bad = check();
  EXPECT_EQ(bad.code, exit_code::failed);
  EXPECT_THAT(bad.out, ContainsRegex("probe-err.csv +FAIL +no column `uuid`; columns are "
                                     "zeta-smi: no device"));
}

TEST_F(PluginCheck, ARecordedAnswerOfWhichNoLineMatchesFails) {
  folder_.write("plugin.json", R"json({"schema": 1, "name": "a", "version": "1", "vendor": "V",
    "type": "npu", "available": {"command": "consort-no-such-tool"},
    "probe": {"command": ["consort-no-such-tool"], "parse": "text", "each": "^dev ([0-9]+)",
              "id": "1", "model": "1"},
    "capability": {"max_sequences": 1}})json");
  folder_.write("fixtures/probe.txt", "zeta-smi: no device\n");
  const auto bad = check();
  EXPECT_EQ(bad.code, exit_code::failed);
  EXPECT_THAT(bad.out, ContainsRegex("probe.txt +FAIL +it lists no device: the line that it "
                                     "printed does not match `each`: zeta-smi: no device"));
}

TEST_F(PluginCheck, WhatTheToolsSayNowIsJudgedToo) {
  folder_.write("plugin.json", R"({"schema": 1, "name": "a", "version": "1", "vendor": "V",
    "type": "npu",
    "probe": {"command": ["smi"], "parse": "csv", "id": "uuid", "model": "model",
              "memory_bytes": {"at": "mem", "unit": "MiB"}},
    "telemetry": {"command": ["smi"], "parse": "csv", "id": "uuid", "power_watts": "watts",
                  "health": {"at": "state", "words": {"ok": "healthy"}}},
    "build": [{"profile": "p", "compiler": "cc", "interface": "config",
               "command": ["consort-no-such-cc", "{config}"], "config": {"template": "nope.in"}}],
    "capability": {"max_sequences": 1}})");
  folder_.script("smi", "echo uuid,model,watts,state; echo Z-1,z,5,$(cat says)");
  const auto says = [&](const char* word) {
    folder_.write("says", word);
    return check().out;
  };
  EXPECT_THAT(says("ok"), ContainsRegex("telemetry +pass +1 of 1 devices read\n"));
  const auto odd = says("THROTTLED");
  EXPECT_THAT(odd, ContainsRegex("probe +pass +Z-1 \\(z\\); unknown: memory_bytes\n"));
  EXPECT_THAT(odd, ContainsRegex("telemetry +FAIL +Z-1 is unhealthy: .*says THROTTLED: none of"));
  EXPECT_THAT(odd, ContainsRegex("template +FAIL +.*/nope.in is not there"));
  EXPECT_THAT(says("3"), ContainsRegex("telemetry +pass")) << "a count of errors";
  EXPECT_THAT(says("N/A"), ContainsRegex("telemetry +pass +1 of 1 devices read; unknown: health"));
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

TEST_F(PluginCheck, WhatTheCompilerMakesBeginsAsTheFolderSays) {
  const auto builds = [&](const std::string& begins) {
    folder_.write("plugin.json", R"({"schema": 1, "name": "a", "version": "1", "vendor": "V",
      "type": "npu", "probe": {"command": ["echo", "{\"id\": \"Z\", \"model\": \"z\"}"],
                               "id": "/id", "model": "/model"},
      "capability": {"max_sequences": 1},
      "build": [{"profile": "p", "compiler": "zc", "command": ["zc", "{model}", "{output}"],
                 "begins": ")" + begins
                                     + "\"}]}");
    return run_command({"plugin", "check", "--model", folder_ / "kernel.cl", folder_.path()}).out;
  };
  folder_.write("kernel.cl", "__kernel");
  folder_.script("zc", "printf 'ZETA engine' > \"$2\"");
  EXPECT_THAT(builds("ZETA"), ContainsRegex("build +pass +p: 11 bytes"));
  EXPECT_THAT(builds("XETA"), ContainsRegex("build +FAIL +what it made begins with `ZETA`, and "
                                            "`begins` says `XETA`"));
  folder_.script("zc", "mkdir -p \"$2\"; echo x > \"$2/engine\"");
  EXPECT_THAT(builds("ZETA"), ContainsRegex("build +FAIL +it made a folder"));
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

/// Its answers come in one piece, and are answers of chats.
TEST_F(PluginCheck, AServerIsAskedForWhatItAnswers) {
  canned_answer chat;
  chat.body = R"({"choices": [{"index": 0, "message": {"role": "assistant", "content": "once"},
                               "finish_reason": "stop"}]})";
  const test_server server({{"GET /health", {}}, {"POST /v1/chat/completions", chat}});
  folder_.write("plugin.json", R"({"schema": 1, "name": "a", "version": "1", "vendor": "V",
    "type": "npu", "probe": {"command": ["echo", "{\"id\": \"Z\", \"model\": \"z\"}"], "id": "/id",
                             "model": "/model"},
    "capability": {"max_sequences": 1, "formats": ["server/m"], "runtime": {"streaming": false}},
    "runtime": {"interface": "server", "answers": ["chats"], "url": ")"
                                   + server.url() + "\"}}");
  const auto done = run_command({"plugin", "check", folder_.path()});
  EXPECT_EQ(done.code, exit_code::done) << done.out << done.err;
  EXPECT_THAT(done.out, ContainsRegex("generate +pass +[0-9]+ tokens"));
  EXPECT_THAT(done.out, ContainsRegex("cancel +skip +the answer was complete before"));
  EXPECT_THAT(server.seen().back().body, HasSubstr("messages"));
}

/// A bus has devices on every host: of those of other vendors nothing follows.
TEST_F(PluginCheck, ABusWithoutItsDevicesIsAHostWithoutThem) {
  const auto bus = folder_ / "bus";
  folder_.write("bus/0/vendor", "0x8086\n");
  folder_.write("plugin.json", R"({"schema": 1, "name": "a", "version": "1", "vendor": "V",
    "type": "pim", "available": {"path": ")"
                                   + bus + R"(/*"},
    "probe": {"parse": "sysfs", "each": ")"
                                   + bus + R"(/*", "where": {"vendor": "^0x1ae0$"},
              "id": "serial", "model": {"value": "z"}},
    "capability": {"max_sequences": 1}})");
  const auto others = check();
  EXPECT_EQ(others.code, exit_code::done) << others.out << others.err;
  EXPECT_THAT(others.out, ContainsRegex("probe +skip +not on this host: no device of its among "));
  folder_.write("bus/1/vendor", "0x1ae0\n");
  const auto unnamed = check();
  EXPECT_EQ(unnamed.code, exit_code::failed) << "it is there, and has no id: " << unnamed.out;
  folder_.write("bus/1/serial", "Z-1\n");
  EXPECT_THAT(check().out, ContainsRegex("probe +pass +Z-1 \\(z\\)"));
}

/// An engine's devices are on no bus of the check's: its compiler is there all the same.
TEST_F(PluginCheck, ACompilerForWhatADeviceSaysIsNotMissing) {
  folder_.script("zc", "echo zc 1.2.3");
  folder_.write("plugin.json", R"({"schema": 1, "name": "a", "version": "1", "vendor": "V",
    "type": "engine", "runs_on": {"host": {"env": {}}},
    "capability": {"max_sequences": 1, "requires_artifact": true},
    "build": [{"profile": "p", "target": "{cap}", "compiler": "zc",
               "command": ["zc", "{model}", "{output}"], "version_command": ["zc", "--version"]},
              {"profile": "p2", "degree": 2, "target": "{cap}", "compiler": "zc",
               "command": ["zc", "{model}", "{output}"], "version_command": ["zc", "--version"]}],
    "runtime": {"interface": "server", "command": ["serve", "{artifact}", "{port}"]}})");
  const auto done = run_command({"plugin", "check", folder_.path()});
  EXPECT_EQ(done.code, exit_code::done) << done.out << done.err;
  EXPECT_THAT(done.out, ContainsRegex("compiler +pass +zc 1.2.3 for the cap of a device, which "
                                      "none says here"));
  EXPECT_THAT(done.out, ContainsRegex("probe +skip +an engine, and no device of host is on this "
                                      "host"));
  EXPECT_THAT(done.out, ContainsRegex("build +skip +no device of host is on this host, so that "
                                      "nobody says its cap, for which zc builds"));
  EXPECT_EQ(done.out.find("compiler "), done.out.rfind("compiler ")) << "one row says it all";
}

/// The plugin whose device it is lies beside it, as it does in a folder of several.
TEST_F(PluginCheck, AnEnginesCompilerIsTriedOnADeviceOfItsHost) {
  const auto host_says = [&](const std::string& cap) {
    folder_.write("host/plugin.json", R"({"schema": 1, "name": "host", "version": "1",
      "vendor": "V", "type": "gpu", "capability": {"max_sequences": 1},
      "probe": {"command": ["echo", "{\"id\": \"Z-7\", \"model\": \"zeta\", \"c\": )"
                                          + cap + R"(}"], "id": "/id", "model": "/model",
                "attributes": {"cap": "/c"}}})");
    return run_command({"plugin", "check", "--model", folder_ / "kernel.cl", folder_ / "engine"});
  };
  folder_.write("kernel.cl", "__kernel");
  folder_.script("engine/zc", R"([ "$1" = --version ] && echo zc 1.2.3 && exit
printf 'for %s on %s' "$3" "$4" > "$2")");
  folder_.write("engine/plugin.json", R"({"schema": 1, "name": "a", "version": "1", "vendor": "V",
    "type": "engine", "runs_on": {"host": {"env": {}}},
    "capability": {"max_sequences": 1, "requires_artifact": true},
    "build": [{"profile": "p", "target": "{cap}", "compiler": "zc", "needs_device": true,
               "command": ["zc", "{model}", "{output}", "{target}", "{devices}"],
               "version_command": ["zc", "--version"]}]})");
  const auto good = host_says("\\\"9.0\\\"");
  EXPECT_EQ(good.code, exit_code::done) << good.out << good.err;
  EXPECT_THAT(good.out, ContainsRegex("probe +pass +an engine: tried on Z-7 \\(zeta\\), which host "
                                      "finds"));
  EXPECT_THAT(good.out, ContainsRegex("compiler +pass +zc 1.2.3 for 9.0"));
  EXPECT_THAT(good.out, ContainsRegex("build +pass +p: 14 bytes")) << "for 9.0 on Z-7";
  EXPECT_THAT(host_says("null").out,
              ContainsRegex("build +skip +no device here says its cap, for which zc builds: Z-7 "
                            "\\(zeta\\) does not"));
}

} // namespace
} // namespace consort::cli
