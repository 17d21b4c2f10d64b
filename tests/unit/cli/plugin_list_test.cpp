// SPDX-License-Identifier: Apache-2.0
// `consort plugins` of a running cluster against canned answers, and when it asks one at all.
#include "cli/api.hpp"
#include "cli/plugin_list.hpp"
#include "tests/unit/cli/command_run.hpp"
#include "tests/unit/cli/test_server.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

namespace consort::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

const std::string two_nodes = R"json({"nodes":[
  {"node":"a","answered":true,"left_out":0},{"node":"b","answered":false,"left_out":0},
  {"node":"c","answered":true,"left_out":7}],
 "plugins":[
  {"node":"a","name":"cpu","version":"1","vendor":"Consort","priority":0,"origin":"built-in",
   "available":true,"reason":"","devices":["a/cpu0"]},
  {"node":"a","name":"nvidia","version":"1.0","vendor":"NVIDIA","priority":60,"origin":"/p/nvidia",
   "available":false,"reason":"not on this host: consort-nvml","devices":[]},
  {"node":"c","name":"far","version":"2.1","vendor":"Far","priority":50,"origin":"/x/far",
   "available":true,"reason":"its probe\u001b[2J failed","devices":["c/npu0","c/npu1"]}],
 "claims":[{"node":"c","uuid":"U-1","device":"c/npu0","winner":"far","losers":["near"],
            "reason":"priority 50 over 10 (near)"}]})json";

canned_answer answering(std::string body) {
  canned_answer made;
  made.body = std::move(body);
  return made;
}

class PluginList : public testing::Test {
protected:
  command_run list(const plugin_list_flags& flags, const std::string& output = "table") {
    bare_context run;
    run.env.options.server = server_.url();
    run.env.options.output = output;
    const auto code = list_cluster_plugins(run.env, flags);
    return {code, run.out.str(), run.err.str()};
  }
  /// With a configuration whose address is `url`, and no server named.
  static std::pair<bool, std::string> asks(const std::string& url, const plugin_list_flags& flags) {
    const auto path = testing::TempDir() + "plugin-list.json";
    std::ofstream(path) << R"({"http": {"listen": ")" << url.substr(url.find("//") + 2) << "\"}}";
    bare_context run;
    run.env.options.config_path = path;
    const auto cluster = asks_cluster(run.env, flags);
    EXPECT_TRUE(cluster.ok());
    return {cluster.ok() && *cluster, run.err.str()};
  }

  test_server server_{
      {{"GET /api/v1/plugins", answering(two_nodes)}, {"GET /healthz", answering("ok")}}};
};

TEST(PluginsReload, ANodeThatDoesNotAnswerIsNamedAndTheOthersAreTold) {
  const test_server server({{"POST /api/v1/plugins/reload", answering(R"json({"nodes":[
    {"node":"a","answered":false},
    {"node":"b","answered":true,"took_us":1500,"plugins_came":["far"],"complaints":[]}]})json")}});
  const auto done = run_command({"--server", server.url(), "plugins", "reload"});
  EXPECT_EQ(done.code, exit_code::failed);
  EXPECT_THAT(done.out, testing::ContainsRegex("a +silent"));
  EXPECT_THAT(done.out, testing::ContainsRegex("b +reloaded +\\+far"));
}

TEST_F(PluginList, ShowsEveryNodesAndCountsWhatIsNotOnItsHost) {
  const auto done = list({});
  EXPECT_EQ(done.code, exit_code::done) << done.err;
  EXPECT_THAT(done.out, testing::ContainsRegex("a +cpu +1 +Consort +ready +a/cpu0"));
  EXPECT_THAT(done.out, testing::ContainsRegex("b +- +- +- +silent"));
  EXPECT_THAT(done.out, testing::ContainsRegex("c +far +2.1 +Far +ready +c/npu0,c/npu1"));
  EXPECT_THAT(done.out, Not(HasSubstr("nvidia")));
  EXPECT_THAT(done.out, HasSubstr("c: U-1: far has it as c/npu0: priority 50 over 10 (near)\n"));
  EXPECT_THAT(done.out, HasSubstr("1 plugin is not on its host: --all shows it, and why\n"));
  EXPECT_THAT(done.out, Not(HasSubstr("\x1b")));
  EXPECT_EQ(done.err, "consort: c: 7 more plugins or devices found no room in its list\n");
}

TEST_F(PluginList, AllAndWideShowWhatIsNotThereAndWhy) {
  plugin_list_flags all;
  all.all = true;
  for (const auto& done : {list(all), list({}, "wide")}) {
    EXPECT_THAT(done.out, testing::ContainsRegex("a +nvidia +1.0 +NVIDIA +absent +- +not on this"));
    EXPECT_THAT(done.out, Not(HasSubstr("--all")));
  }
  EXPECT_THAT(list({}, "wide").out, HasSubstr("/p/nvidia"));
  EXPECT_EQ(json::parse(list({}, "json").out), json::parse(two_nodes));
}

TEST_F(PluginList, ANodeIsNamedToTheServer) {
  const test_server one({{"GET /api/v1/plugins?node=a%2Fb", answering(two_nodes)}});
  bare_context run;
  run.env.options.server = one.url();
  plugin_list_flags flags;
  flags.node = "a/b";
  EXPECT_EQ(list_cluster_plugins(run.env, flags), exit_code::done) << run.err.str();
  flags.node = "z";
  EXPECT_EQ(list_cluster_plugins(run.env, flags), exit_code::refused);
}

TEST_F(PluginList, ThisHostIsShownWhereNoServerWasNamedAndNoneAnswers) {
  EXPECT_EQ(asks(server_.url(), {}), std::pair(true, std::string()));
  const auto dead = dead_url();
  const auto [cluster, said] = asks(dead, {});
  EXPECT_FALSE(cluster);
  EXPECT_EQ(said,
            "consort: no server answers at " + dead + ": these are the plugins of this host\n");
  plugin_list_flags flags;
  flags.node = "b";
  EXPECT_TRUE(asks(dead, flags).first) << "which fails then: this host is not that node";
  flags = {};
  flags.local = true;
  EXPECT_EQ(asks(server_.url(), flags), std::pair(false, std::string()));
  bare_context named;
  named.env.options.server = dead;
  const auto asked = asks_cluster(named.env, {});
  ASSERT_TRUE(asked.ok());
  EXPECT_TRUE(*asked);
  EXPECT_EQ(list_cluster_plugins(named.env, {}), exit_code::unreachable);
}

} // namespace
} // namespace consort::cli
