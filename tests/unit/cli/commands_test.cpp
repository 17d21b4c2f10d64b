// SPDX-License-Identifier: Apache-2.0
// The operator's commands against canned answers in the admin API's shapes.
#include "cli/api.hpp"
#include "cli/events.hpp"
#include "node/artifact_store.hpp"
#include "scheduler/artifact_model.hpp"
#include "tests/unit/cli/command_run.hpp"
#include "tests/unit/cli/test_server.hpp"
#include "tests/unit/node/temp_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <fstream>
#include <sstream>

namespace consort::cli {
namespace {

using testing::HasSubstr;

canned_answer answer(std::string body, int status = 200) {
  canned_answer made;
  made.status = status;
  made.body = std::move(body);
  return made;
}

const std::string devices = R"({"devices":[
  {"spec":{"id":"n/cpu0","node":"n","type":"cpu","model":"x86","memory_bytes":4294967296,
           "simulated":false,"uuid":"serial-0"},
   "reading":{"memory_used_bytes":null,"utilization_pm":425,"power_mw":12500,"health":"healthy"},
   "alive":true,"draining":false,"breaker":"closed","running":0,"loaded":["m","o"]},
  {"spec":{"id":"n/npu0","node":"n","type":"npu","model":"refnpu-1","memory_bytes":0,
           "simulated":true,"uuid":"u1"},
   "reading":{"memory_used_bytes":null,"utilization_pm":null,"power_mw":null,"health":"healthy"},
   "alive":true,"draining":false,"breaker":"open","running":3,"loaded":[]}]})";

class CommandsTest : public testing::Test {
protected:
  command_run ask(const test_server& server, std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--server", server.url()});
    return run_command(std::move(arguments));
  }
  /// `events -f --last 3` without pauses, against a server that ends it.
  static command_run follow(const canned_answer& events,
                            std::vector<seen_request>* seen = nullptr) {
    const test_server server({{"GET /api/v1/events?last=3&follow=true", events}});
    bare_context run;
    run.env.options.server = server.url();
    const auto code = follow_events(run.env, 3, std::chrono::milliseconds(0));
    if (seen != nullptr)
      *seen = server.seen();
    return {code, run.out.str(), run.err.str()};
  }
};

TEST_F(CommandsTest, DevicesShowWhatIsKnownAndWhatIsSimulated) {
  const test_server server({{"GET /api/v1/devices", answer(devices)}});
  const auto done = ask(server, {"devices"});
  EXPECT_EQ(done.code, exit_code::done) << done.err;
  EXPECT_THAT(done.out, HasSubstr("n/cpu0"));
  EXPECT_THAT(done.out, HasSubstr("- / 4GiB"));
  EXPECT_THAT(done.out, HasSubstr("42.5%"));
  EXPECT_THAT(done.out, HasSubstr("12.5W"));
  EXPECT_THAT(done.out, HasSubstr("m,o"));
  EXPECT_THAT(done.out, HasSubstr("simulated"));
  EXPECT_THAT(done.out, HasSubstr("open"));
  EXPECT_EQ(done.out.find("serial-0"), std::string::npos);
  EXPECT_THAT(ask(server, {"devices", "-o", "wide"}).out, HasSubstr("serial-0"));
}

TEST_F(CommandsTest, JsonIsTheAnswerItself) {
  const test_server server({{"GET /api/v1/devices", answer(devices)}});
  EXPECT_EQ(json::parse(ask(server, {"devices", "-o", "json"}).out), json::parse(devices));
}

struct list_case {
  const char* command;
  const char* body;
  std::vector<const char*> expected;
};

class ListCommand : public testing::TestWithParam<list_case> {};

TEST_P(ListCommand, ShowsItsRowsAsATable) {
  const auto& [command, body, expected] = GetParam();
  const test_server server({{std::string("GET /api/v1/") + command, answer(body)}});
  const auto done = run_command({"--server", server.url(), command, "-o", "wide"});
  EXPECT_EQ(done.code, exit_code::done) << done.err;
  for (const auto* part : expected)
    EXPECT_THAT(done.out, HasSubstr(part));
}

INSTANTIATE_TEST_SUITE_P(
    Lists, ListCommand,
    testing::Values(
        list_case{"nodes",
                  R"({"nodes":[{"node":"edge","life":"00ab","alive":true,"draining":true,
                  "lease_epoch":3,"lease_left_us":2500000,"data_address":"",
                  "toolchains":[{"name":"refnpu"}]},{"node":"gone","alive":false},
                  {"node":"mute","alive":true,"suspect":true,"draining":true},
                  {"node":"flaps","alive":true,"held_off_us":4500000}]})",
                  {"edge", "draining", "2.5s", "refnpu", "00ab", "gone", "lost", "suspect",
                   "held-off", "4.5s"}},
        list_case{"models",
                  R"({"models":[{"spec":{"name":"m","aliases":["default"],"replicas_min":0,
                  "replicas_max":0,"idle_ttl_us":600000000,"variants":[{"context_tokens":512,
                  "weight_bytes":1048576,"format":"gguf","source":"/m.gguf"},
                  {"format":"safetensors","source":"hf:o/n"}]},
                  "replicas_ready":0,"replicas_loading":1,"waiting":2,"context_tokens":null},
                  {"spec":{"name":"n","idle_ttl_us":0,"policy":"cost",
                  "variants":[{"context_tokens":0}]},"context_tokens":4096}]})",
                  {"loading", "default", "512", "4096", "1MiB", "0..any", "10m", "gguf,safetensors",
                   "/m.gguf,hf:o/n", "never", "cost"}},
        list_case{"artifacts",
                  R"({"artifacts":[{"key":{"profile":{"name":"refnpu","target":"refnpu-1",
                  "compiler":"refnpu-cc","compiler_version":"1.0","dtype":"q8_0"}},"model":"m",
                  "state":"building","content":"","size_bytes":0,"nodes":["n"],"done_pm":420,
                  "eta_us":3000000,"builds":1,"last_error":"","quality":{"kl_mean":"0.01"}}]})",
                  {"refnpu-1", "building", "42.0% 3s left", "refnpu-cc 1.0", "kl_mean=0.01"}},
        list_case{"artifacts",
                  R"({"artifacts":[{"key":{"profile":{"compiler":"cc","compiler_version":"7.2"}},
                  "state":"ready","content":"62b95c223ac4ff","own":"62b95c223ac4ff","replicas":2},
                  {"key":{"profile":{"compiler":"cc","compiler_version":"7.3"}},"state":"ready",
                  "content":"62b95c223ac4ff","own":"509d00000000ff","replicas":0}]})",
                  {"2 replicas", "509d00000000", "62b95c223ac4 instead", "cc 7.3"}},
        list_case{"requests",
                  R"({"requests":[{"id":"00-1","external_id":"r1","model":"m","state":"queued",
                  "device":"","attempts":0,"age_us":1500}]})",
                  {"r1", "queued", "1.5ms", "00-1"}}));

TEST_F(CommandsTest, RequestsSayHowManyAreNotShownAndGoOnThere) {
  const test_server server(
      {{"GET /api/v1/requests",
        answer(R"({"requests":[{"external_id":"r1","model":"m","state":"queued","tenant":"team-a",
               "priority":"batch","deadline_left_us":2500000,"number":7}],"total":330,"next":7})")},
       {"GET /api/v1/requests?limit=10&after=7&model=a%2Fb&tenant=t&priority=batch&state=queued",
        answer(R"({"requests":[{"external_id":"r2"}],"total":1,"next":null})")}});
  const auto first = ask(server, {"requests"});
  EXPECT_EQ(first.code, exit_code::done) << first.err;
  for (const auto* part : {"TENANT", "CLASS", "DEADLINE", "team-a", "batch", "2.5s",
                           "\n1 of 330 requests; `--after 7` shows those behind\n"})
    EXPECT_THAT(first.out, HasSubstr(part));
  const auto rest = ask(server, {"requests", "--limit", "10", "--after", "7", "--model", "a/b",
                                 "--tenant", "t", "--priority", "batch", "--state", "queued"});
  EXPECT_EQ(rest.code, exit_code::done) << rest.err;
  EXPECT_THAT(rest.out, HasSubstr("r2"));
  EXPECT_THAT(rest.out, testing::Not(HasSubstr(" of 1"))) << "all are shown";
  EXPECT_EQ(ask(server, {"requests", "--limit", "1001"}).code, exit_code::usage);
  EXPECT_EQ(ask(server, {"requests", "--priority", "high"}).code, exit_code::usage);
}

TEST_F(CommandsTest, ArtifactsAreListedByLsToo) {
  const test_server server({{"GET /api/v1/artifacts", answer(R"({"artifacts":[]})")}});
  const auto plain = ask(server, {"artifacts"});
  const auto ls = ask(server, {"artifacts", "ls"});
  EXPECT_EQ(ls.code, exit_code::done) << ls.err;
  EXPECT_THAT(ls.out, testing::StartsWith("MODEL"));
  EXPECT_EQ(ls.out, plain.out);
}

/// Whether anybody runs on it or not; it names the model that the engine was made for.
TEST_F(CommandsTest, ArtifactsOfADataFolderAreListedWithoutACluster) {
  const node::test::temp_folder folder;
  {
    auto store = node::artifact_store::open(folder / "data", node_id("n"));
    ASSERT_TRUE(store.ok());
    auto staging = (*store)->stage(1);
    ASSERT_TRUE(staging.ok());
    std::ofstream(staging->output_path()) << "engine";
    artifact_key key;
    key.binds = std::string(64, 'a');
    key.profile.name = "refnpu";
    key.profile.target = "refnpu-1";
    ASSERT_TRUE((*store)->put(*std::move(staging), key, {{artifact_model, "story"}}, 0).ok());
  }
  const test_server nobody({});
  const auto listed = ask(nobody, {"artifacts", "ls", "--data", folder / "data"});
  EXPECT_EQ(listed.code, exit_code::done) << listed.err;
  EXPECT_THAT(listed.out, testing::ContainsRegex("story +refnpu +refnpu-1 +ready +6B"));
  EXPECT_TRUE(nobody.seen().empty());
  const auto none = ask(nobody, {"artifacts", "ls", "--data", folder / "nowhere"});
  EXPECT_EQ(none.code, exit_code::usage);
  EXPECT_THAT(none.err, testing::HasSubstr("no artifacts below"));
}

TEST_F(CommandsTest, AModelOfAServerThatNoPluginListsIsAddedWithAHint) {
  const test_server server(
      {{"POST /api/v1/models", answer("{}")},
       {"GET /api/v1/devices",
        answer(R"({"devices":[{"spec":{"capability":{"formats":["gguf","server/known-*"]}}}]})")}});
  const auto unknown = ask(server, {"model", "add", "m", "server:other"});
  EXPECT_EQ(unknown.code, exit_code::done) << unknown.err;
  EXPECT_THAT(unknown.out, HasSubstr("no plugin lists it: put `server/other` in `formats`"));
  EXPECT_EQ(ask(server, {"model", "add", "m", "server:known-7b"}).out, "m: added\n");
}

TEST_F(CommandsTest, AModelInThePlaceOfAnotherIsSaidToReplaceIt) {
  const test_server server(
      {{"POST /api/v1/models", answer(R"({"accepted":true,"replaced":["/a.gguf","hf:o/n"]})")}});
  EXPECT_EQ(ask(server, {"model", "add", "m", "/m.gguf"}).out,
            "m: replaced; it was /a.gguf,hf:o/n\n");
}

TEST_F(CommandsTest, AnEmptyListIsATableOfTitles) {
  const test_server server({{"GET /api/v1/nodes", answer(R"({"nodes":[]})")}});
  EXPECT_THAT(ask(server, {"nodes"}).out, testing::StartsWith("NODE"));
}

TEST_F(CommandsTest, StatusShowsTotalsAndCounters) {
  const test_server server(
      {{"GET /api/v1/cluster", answer(R"({"cluster":"lab","policy":"latency","queue_depth":4,
        "totals":{"nodes":2,"nodes_alive":1,"devices":3,"devices_alive":3,"models":1,
        "replicas_ready":2,"requests_running":5},"counters":{"submitted":123,"finished":99}})")}});
  const auto done = ask(server, {"status"});
  for (const auto* part : {"lab", "latency", "1 of 2", "3 of 3", "123", "99"})
    EXPECT_THAT(done.out, HasSubstr(part));
}

/// What is pasted as a block goes on once the server is there.
TEST_F(CommandsTest, StatusWaitsForAServerThatStarts) {
  const test_server server({{"GET /healthz", answer("ok")}, {"GET /api/v1/cluster", answer("{}")}});
  EXPECT_EQ(ask(server, {"status", "--wait", "1m"}).code, exit_code::done);
  EXPECT_EQ(server.seen().at(0).target, "/healthz");
  const auto began = std::chrono::steady_clock::now();
  const auto nobody = run_command({"--server", dead_url(), "status", "--wait", "50ms"});
  EXPECT_GE(std::chrono::steady_clock::now() - began, std::chrono::milliseconds(50));
  EXPECT_EQ(nobody.code, exit_code::unreachable);
  EXPECT_THAT(nobody.err, HasSubstr("cannot reach"));
  for (const auto* wrong : {"soon", "-1s"}) {
    const auto refused = ask(server, {"status", std::string("--wait=") + wrong});
    EXPECT_EQ(refused.code, exit_code::usage) << wrong;
    EXPECT_THAT(refused.err, HasSubstr("is not a duration such as 1m"));
  }
}

TEST_F(CommandsTest, ExplainAsksForTheRequestByName) {
  const test_server server({{"GET /api/v1/explain/why%20me", answer("{}")}});
  EXPECT_EQ(ask(server, {"explain", "why me"}).code, exit_code::done);
  const auto unknown = ask(server, {"explain", "other"});
  EXPECT_EQ(unknown.code, exit_code::refused);
  EXPECT_THAT(unknown.err, HasSubstr("request other: no such thing"));
}

TEST_F(CommandsTest, DrainStopsNewWorkAndWaitsForTheRest) {
  const test_server server(
      {{"POST /api/v1/drain", answer("{}", 202)},
       {"POST /api/v1/cordon", answer("{}", 202)},
       {"POST /api/v1/uncordon", answer("{}", 202)},
       {"GET /api/v1/nodes", answer(R"({"nodes":[{"node":"n"}]})")},
       {"GET /api/v1/replicas", answer(R"({"replicas":[{"devices":["n/npu0","n/npu1"],"running":3},
                                                    {"devices":["nn/cpu0"],"running":5}]})")},
       {"GET /api/v1/devices", answer(devices)}});
  const auto idle = ask(server, {"drain", "n/cpu0", "--reason", "upgrade"});
  EXPECT_EQ(idle.code, exit_code::done) << idle.err;
  const auto body = json::parse(server.seen().at(1).body);
  EXPECT_EQ(body["target"], "n/cpu0");
  EXPECT_EQ(body["reason"], "upgrade");
  EXPECT_EQ(body["deadline"], "2m");
  const auto typo = ask(server, {"drain", "n/cpu7"});
  EXPECT_EQ(typo.code, exit_code::usage);
  EXPECT_THAT(typo.err, HasSubstr("n/cpu7"));
  const auto busy = ask(server, {"drain", "n", "--deadline", "0s"});
  EXPECT_EQ(busy.code, exit_code::failed);
  EXPECT_THAT(busy.err, HasSubstr("still runs 3"));
  EXPECT_EQ(ask(server, {"cordon", "n"}).code, exit_code::done);
  EXPECT_EQ(ask(server, {"uncordon", "n"}).code, exit_code::done);
  EXPECT_EQ(ask(server, {"drain", "n", "--deadline", "soon"}).code, exit_code::usage);
}

/// New firmware is not for a device on which engines are still open.
TEST_F(CommandsTest, DrainWaitsForWhatIsUnloaded) {
  auto loaded = answer(R"({"replicas":[{"devices":["n/npu0"],"running":0}]})");
  loaded.times = 1;
  const test_server server({{"POST /api/v1/drain", answer("{}", 202)},
                            {"GET /api/v1/nodes", answer(R"({"nodes":[{"node":"n"}]})")},
                            {"GET /api/v1/replicas", loaded}});
  const auto asked = ask(server, {"drain", "n"});
  EXPECT_NE(asked.code, exit_code::done) << "it looked again";
  EXPECT_EQ(asked.out, "n: 1 loaded, being unloaded\n");
}

/// The scheduler's disk is full: what was asked for is done, and the answer says the rest.
TEST_F(CommandsTest, WhatIsNotKeptOverARestartFailsTheCommandThatDidIt) {
  const auto unkept = answer(
      R"({"accepted":true,"kept":false,"kept_error":"s.db: cannot write: disk is full"})", 202);
  const test_server server({{"POST /api/v1/drain", unkept},
                            {"POST /api/v1/cordon", unkept},
                            {"POST /api/v1/uncordon", answer(R"({"accepted":true,"kept":true})")},
                            {"POST /api/v1/models", unkept},
                            {"DELETE /api/v1/models/m", unkept},
                            {"GET /api/v1/nodes", answer(R"({"nodes":[{"node":"n"}]})")},
                            {"GET /api/v1/replicas", answer(R"({"replicas":[]})")}});
  for (const auto& [words, says] : std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{"drain", "n"}, "n: drained"},
           {{"cordon", "n"}, "n: takes no new work"},
           {{"model", "add", "m", "/m.gguf"}, "m: added"},
           {{"model", "rm", "m"}, "m: removed"}}) {
    const auto done = ask(server, words);
    EXPECT_EQ(done.code, exit_code::failed) << says;
    EXPECT_THAT(done.out, HasSubstr(says));
    EXPECT_EQ(done.err, "consort: in effect now, but not kept over a restart of the scheduler: "
                        "s.db: cannot write: disk is full; say it again when that is mended\n");
  }
  const auto kept = ask(server, {"uncordon", "n"});
  EXPECT_EQ(kept.code, exit_code::done);
  EXPECT_EQ(kept.err, "");
}

TEST_F(CommandsTest, CompileAndModelSendWhatWasAsked) {
  const test_server server({{"POST /api/v1/compile", answer("{}", 202)},
                            {"POST /api/v1/models", answer("{}", 202)},
                            {"DELETE /api/v1/models/m", answer("{}", 202)}});
  EXPECT_EQ(ask(server, {"compile", "m", "--for", "npu"}).code, exit_code::done);
  EXPECT_EQ(ask(server,
                {"model", "add", "m", "hf:o/n", "--alias", "a", "--ttl", "5s", "--policy", "cost"})
                .code,
            exit_code::done);
  EXPECT_EQ(ask(server, {"model", "rm", "m"}).code, exit_code::done);
  const auto seen = server.seen();
  EXPECT_EQ(seen.at(0).target, "/api/v1/compile/plan");
  EXPECT_EQ(json::parse(seen.at(1).body)["for"], "npu");
  const auto model = json::parse(seen.at(2).body);
  EXPECT_EQ(model["source"], "hf:o/n");
  EXPECT_EQ(model["aliases"][0], "a");
  EXPECT_EQ(model["idle_ttl_us"], 5'000'000);
  EXPECT_EQ(model["policy"], "cost");
  EXPECT_EQ(seen.at(3).method, "DELETE");
}

TEST_F(CommandsTest, ModelAddTakesSeveralFormsOfIt) {
  const test_server server({{"POST /api/v1/models", answer("{}", 202)}});
  const auto done = ask(server, {"model", "add", "m", "/m.gguf", "hf:o/n", "--adapter", "t=/t"});
  EXPECT_EQ(done.code, exit_code::done) << done.err;
  EXPECT_THAT(done.out, HasSubstr("weights are fetched when they are first needed"));
  const auto body = json::parse(server.seen().at(0).body);
  EXPECT_FALSE(body.contains("source"));
  ASSERT_EQ(body["variants"].size(), 2U);
  EXPECT_EQ(body["variants"][0]["source"], "/m.gguf");
  EXPECT_EQ(body["variants"][1]["source"], "hf:o/n");
  EXPECT_EQ(body["variants"][1]["adapters"]["t"], "/t");
}

TEST_F(CommandsTest, CompileShowsABuildOfManyDevicesOnce) {
  const std::string build = R"("state":"build","profile":"p","compiler":"cc",
      "compiler_version":"1","target":"t","node":"n","detail":""})";
  std::string all = R"({"builds":[)";
  for (const auto* device : {"n/npu0", "n/npu1", "n/npu2", "n/npu3"})
    all += R"({"device":")" + std::string(device) + "\"," + build + ",";
  all += R"({"device":"n/cpu0","state":"as-is","detail":"runs gguf"}]})";
  const test_server server({{"POST /api/v1/compile/plan", answer(all)}});
  const auto shown = ask(server, {"compile", "m", "--for", "auto", "--dry-run"});
  EXPECT_EQ(shown.code, exit_code::done) << shown.err;
  EXPECT_EQ(std::count(shown.out.begin(), shown.out.end(), '\n'), 3) << shown.out;
  EXPECT_THAT(shown.out, HasSubstr("n/npu0, n/npu1 and 2 others  build"));
  EXPECT_THAT(shown.out, HasSubstr("n/cpu0"));
  const auto exact = ask(server, {"-o", "json", "compile", "m", "--for", "auto", "--dry-run"});
  EXPECT_EQ(json::parse(exact.out)["builds"].size(), 5U);
}

TEST_F(CommandsTest, CompileSaysThatNothingIsLeftToBuild) {
  const test_server server(
      {{"POST /api/v1/compile/plan", answer(R"({"builds": [{"state": "ready"}]})")},
       {"POST /api/v1/compile", answer("{}", 202)}});
  const auto done = ask(server, {"compile", "m", "--for", "npu"});
  EXPECT_EQ(done.code, exit_code::done);
  EXPECT_THAT(done.out, HasSubstr("nothing to build: m is ready for npu"));
  ASSERT_EQ(server.seen().size(), 2U);
  EXPECT_EQ(server.seen().at(1).target, "/api/v1/compile") << "which lets go of what is held";
}

TEST_F(CommandsTest, EventsShowNotesAndEndedRequests) {
  canned_answer events;
  events.type = "text/event-stream";
  events.body = "event: note\ndata: {\"level\":\"warning\",\"subject\":\"n\",\"text\":\"lost\"}\n\n"
                "event: request\ndata: {\"external_id\":\"r1\",\"outcome\":\"finished\","
                "\"device\":\"n/cpu0\",\"total_us\":2000000,\"usage\":{\"completion_tokens\":7},"
                "\"code\":\"\"}\n\n"
                "event: request\ndata: {\"external_id\":\"r2\",\"outcome\":\"finished\","
                "\"device\":\"m/cpu0\",\"total_us\":3000000,\"usage\":{\"completion_tokens\":9},"
                "\"attempts\":2,\"code\":\"\"}\n\n"
                "event: request\ndata: {\"external_id\":\"r3\",\"outcome\":\"cancelled\","
                "\"device\":\"m/cpu0\",\"total_us\":4000000,\"usage\":{\"completion_tokens\":0},"
                "\"code\":\"\"}\n\n";
  const auto* lines = "warning n: lost\nrequest r1 finished on n/cpu0 after 2s, 7 tokens\n"
                      "request r2 finished on m/cpu0 after 3s, 9 tokens, 2 attempts\n"
                      "request r3 cancelled on m/cpu0 after 4s\n";
  const test_server server({{"GET /api/v1/events?last=100&follow=false", events},
                            {"GET /api/v1/events?last=7&follow=false", events}});
  EXPECT_EQ(ask(server, {"events"}).out, lines);
  EXPECT_EQ(ask(server, {"events", "-n", "7"}).out, lines);
  EXPECT_EQ(ask(server, {"events", "-n", "1001"}).code, exit_code::usage);
  events.times = 1;
  EXPECT_EQ(follow(events).out, lines);
}

TEST_F(CommandsTest, EventsSayWhenTheyHappened) {
  canned_answer events;
  events.type = "text/event-stream";
  events.body = "event: note\ndata: {\"level\":\"info\",\"subject\":\"n\",\"text\":\"up\","
                "\"unix_ms\":1795896122370}\n\n";
  const test_server server({{"GET /api/v1/events?last=100&follow=false", events}});
  EXPECT_THAT(ask(server, {"events"}).out,
              testing::MatchesRegex("2026-11-2[78] [0-9:]+:02 info n: up\n"));
}

TEST_F(CommandsTest, EventsGoOnBehindTheLastOneShown) {
  canned_answer events;
  events.type = "text/event-stream";
  events.body = "id: 9-4\nevent: note\n"
                "data: {\"id\":\"9-4\",\"level\":\"info\",\"subject\":\"n\",\"text\":\"up\"}\n\n";
  events.times = 2;
  std::vector<seen_request> seen;
  (void)follow(events, &seen);
  ASSERT_GE(seen.size(), 2U);
  EXPECT_EQ(seen.at(0).headers.count("last-event-id"), 0U);
  EXPECT_EQ(seen.at(1).headers.at("last-event-id"), "9-4");
}

TEST_F(CommandsTest, EventsGoOnWhenTheServerComesBack) {
  canned_answer events;
  events.type = "text/event-stream";
  events.body = "event: note\ndata: {\"level\":\"info\",\"subject\":\"n\",\"text\":\"up\"}\n\n";
  events.times = 3;
  for (const bool cut : {false, true}) { // As it ends after a signal, and after kill -9.
    events.cut_short = cut;
    const auto followed = follow(events);
    EXPECT_EQ(followed.code, exit_code::refused) << "what answers then is another program";
    EXPECT_EQ(followed.out, "info n: up\ninfo n: up\ninfo n: up\n") << cut;
    EXPECT_THAT(followed.err, HasSubstr("waiting for the server to come back"));
  }
}

TEST_F(CommandsTest, EventsOfAServerThatNeverAnsweredEnd) {
  EXPECT_EQ(run_command({"--server", dead_url(), "events", "-f"}).code, exit_code::unreachable);
}

TEST_F(CommandsTest, AServerThatIsNoConsortIsSaidSo) {
  const test_server server({{"GET /api/v1/nodes", answer("<html>")}});
  const auto done = ask(server, {"nodes"});
  EXPECT_EQ(done.code, exit_code::failed);
  EXPECT_THAT(done.err, HasSubstr("is it a consort server?"));
}

} // namespace
} // namespace consort::cli
