// SPDX-License-Identifier: Apache-2.0
#include "cli/config.hpp"

#include "cli/limits.hpp"
#include "gateway/limits.hpp"
#include "scheduler/policy/scorers.hpp"
#include "scheduler/served_name.hpp"
#include "tests/unit/cli/command_run.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace consort::cli {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

environment variables(std::map<std::string, std::string> known) {
  return [known = std::move(known)](const std::string& name) -> std::optional<std::string> {
    const auto found = known.find(name);
    return found == known.end() ? std::nullopt : std::optional(found->second);
  };
}

result<cluster_config> parsed(const std::string& text) {
  return parse_config(text, "c.json", "/base", variables({{"WHERE", "/models"}}));
}

TEST(Config, AnEmptyObjectIsTheDefaults) {
  const auto config = parsed("{ /* nothing */ }");
  ASSERT_TRUE(config.ok()) << config.failure().message;
  EXPECT_EQ(*config, cluster_config{});
}

TEST(Config, ReadsEveryField) {
  const auto config = parsed(R"({
    "cluster": "lab", // a comment
    "scheduler": { "policy": "hybrid", "slo": { "ttft": "1s", "itl": "20ms",
                   "batch": { "ttft": "9s", "ttft_per_1000_tokens": "0" } }, "queue_max": 5,
      "tenant_weights": { "gold": 3 },
      "remote": { "use": "overflow", "budget_milli_per_hour": 2500 },
                   "profiles": { "night": { "weights": { "energy": 7 }, "filters": ["local"],
                                            "pick": "slo", "waits": false } },
                   "tenant_policy": { "t": "night" },
                   "lease": "2s", "queue_timeout": "9s" },
    "models": { "m": { "source": "${env.WHERE}/m.gguf", "aliases": ["n"], "ttl": "0",
                       "replicas": { "min": 1, "max": 4 }, "context": 512,
                       "devices_per_instance": 2, "policy": "cost" },
                "h": { "source": "hf:org/name" }, "r": { "source": "m/r.gguf" } },
    "http": { "listen": "127.0.0.1:0" },
    "link": { "listen": "[::1]:1", "join": "10.0.0.1:4280", "cert": "certs/n",
              "token": "t${env.WHERE}",
              "name": "n", "data_listen": "10.0.0.2:0", "advertise": "n.lan" },
    "data": "state", "plugins": ["p", "/q"]
  })");
  ASSERT_TRUE(config.ok()) << config.failure().message;
  EXPECT_EQ(config->cluster, "lab");
  EXPECT_EQ(config->policy, policy_name{"hybrid"});
  const core::slo_target near{1'000'000, 200'000, 20'000};
  EXPECT_EQ(config->slo, (core::slo_targets{near, near, {9'000'000, 0, 1'000'000}}));
  const core::profile_config night{policy_name{"night"}, {{"energy", 7}}, {"local"}, "slo", false};
  EXPECT_EQ(config->profiles, std::vector{night});
  EXPECT_EQ(config->tenant_policy.at(tenant_id{"t"}), policy_name{"night"});
  EXPECT_EQ(config->queue_max, 5U);
  EXPECT_EQ(core_settings(*config, 4).tenant_weights.at("gold"), 3U);
  EXPECT_EQ(core_settings(*config, 4).remote, core::remote_use::overflow);
  EXPECT_EQ(core_settings(*config, 4).remote_budget_micros_per_hour, 2'500'000U);
  EXPECT_EQ(config->lease_us, 2'000'000);
  EXPECT_EQ(config->queue_timeout_us, 9'000'000);
  ASSERT_EQ(config->models.size(), 3U);
  const model_config full{"m", "/models/m.gguf", {"n"}, 0, 1, 4, 512, 2, policy_name{"cost"}, {}};
  EXPECT_EQ(config->models[0], full);
  EXPECT_EQ(config->models[1].source, "hf:org/name");
  EXPECT_EQ(config->models[2].source, "/base/m/r.gguf");
  EXPECT_EQ(config->http_port, 0);
  EXPECT_EQ(config->data_dir, "/base/state");
  EXPECT_EQ(config->plugin_dirs, (std::vector<std::string>{"/base/p", "/q"}));
  const link_config links{"[::1]:1", "10.0.0.1:4280", "/base/certs/n", "t/models",
                          "n",       "10.0.0.2:0",    "n.lan"};
  EXPECT_EQ(config->links, links);
  EXPECT_EQ(core_settings(*config, 4).queue_max, 5U);
  EXPECT_EQ(core_settings(*config, 4).policy, policy_name{"hybrid"});
}

TEST(Config, PricesOfTokensAreByPluginAndModel) {
  const auto config = parsed(R"({ "remotes": { "openai": { "models": {
    "gpt-4o": { "price": { "in_per_mtok": 2.5, "cached_per_mtok": 1.25, "out_per_mtok": 10 } },
    "*": { "price": { "in_per_mtok": 0.15, "out_per_mtok": 0.6 } } } } } })");
  ASSERT_TRUE(config.ok()) << config.failure().message;
  const price_list expected{{"gpt-4o", {2'500'000, 1'250'000, 10'000'000}},
                            {"*", {150'000, 150'000, 600'000}}};
  EXPECT_EQ(config->prices.at("openai"), expected);
}

struct complaint_case {
  const char* text;
  const char* expected;
};

class ConfigComplaint : public testing::TestWithParam<complaint_case> {};

TEST_P(ConfigComplaint, NamesLineAndField) {
  const auto config = parsed(GetParam().text);
  ASSERT_FALSE(config.ok());
  EXPECT_THAT(config.failure().message, HasSubstr(GetParam().expected));
}

INSTANTIATE_TEST_SUITE_P(
    Fields, ConfigComplaint,
    testing::Values(
        complaint_case{"{\"scheduler\": {\"tenant_weights\": {\"\xc3\xbcn\": 2}}}",
                       "a tenant's name must be one that a header can carry"},
        complaint_case{"{\"scheduler\": {\"tenant_policy\": {\" a\": \"cost\"}}}",
                       "a tenant's name must be one that a header can carry"},
        complaint_case{"{\"scheduler\": {\"profiles\":\n{\"p\": {\"filters\": [\"local\"]}}}}",
                       "profile `p` weighs nothing"},
        complaint_case{"{\n\"schedular\": {}}",
                       "c.json:2: schedular: unknown key (did you mean sch"},
        complaint_case{"{\"remotse\": {}}", "remotse: unknown key (did you mean remotes"},
        complaint_case{"{\"remotes\": {\"openai\": {\"models\":\n{\"m\": {\"price\": "
                       "{\"in_per_mtok\": 1}}}}}}",
                       "c.json:2: remotes.openai.models.m.price: `out_per_mtok` is missing"},
        complaint_case{"{\"remotes\": {\"openai\": {\"models\": {\"m\": {}}}}}",
                       "remotes.openai.models.m: `price` is missing"},
        complaint_case{"{\"remotes\": {\"openai\": {\"models\": {\"m\": {\"price\": "
                       "{\"in_per_mtok\": 1001, \"out_per_mtok\": 1}}}}}}",
                       "between 0 and 1000"},
        complaint_case{"{\"scheduler\":\n{\"policy\": \"hybird\"}}",
                       "c.json:2: scheduler.policy: unknown policy `hybird` (did you mean hybrid"},
        complaint_case{
            "{\"scheduler\": {\"profiles\":\n{\"p\": {\"weights\": {\"enrgy\": 1}}}}}",
            "c.json:2: scheduler.profiles.p.weights.enrgy: unknown key (did you mean energy"},
        complaint_case{"{\"scheduler\": {\"profiles\": {\"p\": {\"filters\": [\"loca\"]}}}}",
                       "unknown filter `loca` (did you mean local"},
        complaint_case{"{\"scheduler\": {\"tenant_policy\": {\"t\": \"cots\"}}}",
                       "scheduler.tenant_policy.t: unknown policy `cots` (did you mean cost"},
        complaint_case{"{\"scheduler\": {\"slo\": {\"itl\": \"0\"}}}", "slo.itl: must be above 0"},
        complaint_case{"{\"scheduler\": {\"lease\": \"999ms\"}}",
                       "scheduler.lease: must be at least 1s"},
        complaint_case{"{\"scheduler\": {\"queue_timeout\": \"0\"}}",
                       "scheduler.queue_timeout: must be above 0"},
        complaint_case{"{\"scheduler\": {\"queue_timeout\": \"36000d\"}}", "at most ten years"},
        complaint_case{"{\"models\": {\"m\": {\"source\": \"a\", \"devices_per_instance\": 65}}}",
                       "between 1 and 64"},
        complaint_case{"{\"scheduler\": {\"slo\": {\"ttft\": 5}}}", "expected a string"},
        complaint_case{"{\"scheduler\": {\"queue_max\": 1000001}}", "between 1 and 1000000"},
        complaint_case{"{\"scheduler\": {\"tenant_weights\": {\"a\": 0}}}",
                       "between 1 and 1000000"},
        complaint_case{"{\"scheduler\": {\"remote\": {\"use\": \"overflw\"}}}",
                       "did you mean overflow?"},
        complaint_case{"{\"http\": {\"listen\": \"8080\"}}", "is not HOST:PORT"},
        complaint_case{"{\"link\": {\"join\":\n\"host\"}}",
                       "c.json:1: link.join: `host` is not HOST:PORT"},
        complaint_case{"{\"link\": {\"data-listen\": \"\"}}",
                       "unknown key (did you mean data_listen"},
        complaint_case{"{\"models\": {\"m\": {}}}", "models.m: `source` is missing"},
        complaint_case{"{\"models\": {\"m\": {\"source\": \"\"}}}", "must not be empty"},
        complaint_case{"{\"models\": {\"m\": {\"source\": []}}}", "must not be empty"},
        complaint_case{"{\"models\": {\"m\": {\"source\": [\"a\", \"\"]}}}", "must not be empty"},
        complaint_case{
            "{\"models\": {\"m\": {\"source\": [\"1\", \"2\", \"3\", \"4\", \"5\", \"6\", "
            "\"7\", \"8\", \"9\"]}}}",
            "source: more than 8"},
        complaint_case{"{\"models\": {\"m\": {\"source\": \"a\", \"replicas\": {\"min\": 3, "
                       "\"max\": 2}}}}",
                       "must not be above max"},
        complaint_case{"{\"models\": {\"m\": {\"source\": \"a\", \"aliases\": [\"m\"]}}}",
                       "`m` names two models"},
        complaint_case{"{\"models\": {\"m\": {\"source\": \"a\", \"adapters\": {\"m\": \"b\"}}}}",
                       "`m` names two models"},
        complaint_case{"{\"models\": {\"m\": {\"source\": \"a\", \"adapters\": {\"t\": \"\"}}}}",
                       "expected a path, hf: or https:, or server:NAME"},
        complaint_case{"{\"models\": {\"m\": {\"source\": \"a\"},\n\"n\": {\"source\": \"b\", "
                       "\"aliases\": [\"m\"]}}}",
                       "c.json:2: models.n.aliases: `m` names two models"},
        complaint_case{"{\"models\": {\"a b\": {\"source\": \"a\"}}}",
                       "models.a b: a model name must be of letters, digits and ._:/@+- only"},
        complaint_case{"{\"models\": {\"m\": {\"source\": \"a\", \"aliases\": [\"-m\"]}}}",
                       "a model name must not begin with `-`"},
        complaint_case{"{\"data\": \"${env.NOWHERE}\"}", "data: environment variable NOWHERE"},
        complaint_case{"{\"data\": \"${home}\"}", "only ${env.NAME}"},
        complaint_case{"{\"data\": \"${env.WHERE\"}", "only ${env.NAME}"},
        complaint_case{"{\"plugins\": [1]}", "plugins[0]: expected a string"},
        complaint_case{"{\"cluster\": \"\"}", "cluster: must have 1 to 128 bytes"}));

/// Whether the parser knows a key of an object that is otherwise `rest`.
bool knows(const std::string& before, const std::string& key, const std::string& after) {
  const auto config = parsed(before + "\"" + key + "\": null" + after);
  EXPECT_FALSE(config.ok()) << key; // null is right nowhere.
  return config.failure().message.find("unknown key") == std::string::npos;
}

TEST(Config, TheSchemaForEditorsNamesKeysThatTheParserKnows) {
  std::ifstream file(CONSORT_SOURCE_DIR "/cli/config.schema.json");
  const auto schema = nlohmann::json::parse(file);
  for (const auto& [key, shape] : schema["properties"].items())
    EXPECT_TRUE(knows("{", key, "}")) << key;
  for (const auto& [key, shape] : schema["properties"]["scheduler"]["properties"].items())
    EXPECT_TRUE(knows("{\"scheduler\": {", key, "}}")) << key;
  for (const auto& [key, shape] : schema["properties"]["link"]["properties"].items())
    EXPECT_TRUE(knows("{\"link\": {", key, "}}")) << key;
  for (const auto& [key, shape] : schema["definitions"]["model"]["properties"].items())
    EXPECT_TRUE(knows("{\"models\": {\"m\": {", key, "}}}")) << key;
}

/// An editor that underlines what `config check` takes is switched off.
TEST(Config, TheSchemaForEditorsHasWhatTheParserTakes) {
  std::ifstream file(CONSORT_SOURCE_DIR "/cli/config.schema.json");
  const auto schema = nlohmann::json::parse(file);
  const auto& model = schema["definitions"]["model"]["properties"];
  EXPECT_TRUE(model.contains("adapters"));
  EXPECT_EQ(model["source"]["anyOf"].back()["maxItems"], gateway::limits::model_variants_max);
  EXPECT_EQ(model["devices_per_instance"]["maximum"], core::limits::devices_per_instance_max);
  const auto scorers
      = schema["definitions"]["profile"]["properties"]["weights"]["description"].get<std::string>();
  for (const auto& scorer : core::all_scorers())
    EXPECT_THAT(scorers, HasSubstr(std::string(scorer.name)));
}

TEST(Config, LinkFlagsWinOverTheFileFieldByField) {
  const link_config file{"h:1", "h:2", "c", "t", "n", "h:3", "a"};
  const link_config flags{"H:1", "H:2", "C", "T", "N", "H:3", "A"};
  EXPECT_EQ(overlaid(file, flags), flags);
  EXPECT_EQ(overlaid(file, no_links()), file);
  auto one = no_links();
  one.token = "T";
  EXPECT_EQ(overlaid(link_config{}, one).listen, "127.0.0.1:4280");
  EXPECT_EQ(overlaid(file, one).token, "T");
  EXPECT_EQ(overlaid(file, one).join, "h:2");
}

TEST(Config, ADoubledDollarIsLiteral) {
  const auto config = parsed("{\"cluster\": \"a$${b}\"}");
  ASSERT_TRUE(config.ok());
  EXPECT_EQ(config->cluster, "a${b}");
}

TEST(Config, StopsAtItsLimits) {
  EXPECT_TRUE(parsed(R"({"scheduler": {"lease": "1s"}})").ok()) << "as short as it may be";
  const std::string long_name(served_name_bytes_max + 1, 'x');
  EXPECT_FALSE(parsed("{\"models\": {\"" + long_name + "\": {\"source\": \"a\"}}}").ok());
  std::string aliases;
  for (std::size_t at = 0; at <= limits::config_aliases_max; ++at)
    aliases += (at == 0 ? "\"a" : ",\"a") + std::to_string(at) + "\"";
  EXPECT_FALSE(
      parsed("{\"models\": {\"m\": {\"source\": \"a\", \"aliases\": [" + aliases + "]}}}").ok());
  std::string models;
  for (std::size_t at = 0; at <= limits::config_models_max; ++at)
    models += (at == 0 ? "\"m" : ",\"m") + std::to_string(at) + "\":{\"source\":\"a\"}";
  const auto many = parsed("{\"models\":{" + models + "}}");
  ASSERT_FALSE(many.ok());
  EXPECT_THAT(many.failure().message, HasSubstr("more than 10000 models"));
}

TEST(Config, ParsesListenAddresses) {
  const auto v6 = parse_listen("[::1]:80");
  ASSERT_TRUE(v6);
  EXPECT_EQ(v6->first, "::1");
  EXPECT_EQ(v6->second, 80);
  EXPECT_EQ(parse_listen(":9")->first, "127.0.0.1");
  for (const auto* wrong : {"", "host", "host:", "host:65536", "::1:80", "host:8x"})
    EXPECT_FALSE(parse_listen(wrong)) << wrong;
}

/// A prefix as an installation or a build tree lays it out.
class ConfigDefaults : public testing::Test {
protected:
  ConfigDefaults() {
    char pattern[] = "/tmp/consort-config-XXXXXX";
    prefix_ = mkdtemp(pattern);
    fs::create_directories(prefix_ / "bin");
  }
  ~ConfigDefaults() override { fs::remove_all(prefix_); }
  void touch(const fs::path& relative) {
    fs::create_directories((prefix_ / relative).parent_path());
    std::ofstream(prefix_ / relative) << "x";
  }
  result<cluster_config> defaults(std::map<std::string, std::string> known,
                                  const std::string& executable = "bin/consort") {
    return with_defaults({}, (prefix_ / executable).string(), variables(std::move(known)));
  }
  fs::path prefix_;
};

TEST_F(ConfigDefaults, DataFollowsXdgThenHomeElseAsksForIt) {
  EXPECT_EQ(defaults({{"XDG_STATE_HOME", "/s"}, {"HOME", "/h"}})->data_dir, "/s/consort");
  EXPECT_EQ(defaults({{"XDG_STATE_HOME", "relative"}, {"HOME", "/h"}})->data_dir,
            "/h/.local/state/consort");
  const auto none = defaults({});
  ASSERT_FALSE(none.ok());
  EXPECT_THAT(none.failure().message, HasSubstr("--data"));
}

TEST_F(ConfigDefaults, FindsTheShippedModelUnderThePrefix) {
  touch("share/consort/models/storyteller-5m-f16.gguf");
  const auto config = defaults({{"HOME", "/h"}});
  ASSERT_EQ(config->models.size(), 1U);
  EXPECT_EQ(config->models[0].name, "storyteller");
  EXPECT_EQ(config->models[0].source,
            (prefix_ / "share/consort/models/storyteller-5m-f16.gguf").string());
}

TEST_F(ConfigDefaults, FindsTheShippedModelAboveABuildTree) {
  touch("models/storyteller-5m-f16.gguf");
  const auto config = defaults({{"HOME", "/h"}}, "build/dev/cli/consort");
  ASSERT_EQ(config->models.size(), 1U);
  EXPECT_EQ(config->models[0].source, (prefix_ / "models/storyteller-5m-f16.gguf").string());
}

TEST_F(ConfigDefaults, FindsThePluginFolderBesideTheExecutablesFolder) {
  fs::create_directories(prefix_ / "share/consort/plugins");
  const auto config = defaults({{"HOME", "/h"}});
  EXPECT_THAT(config->plugin_dirs, testing::Contains((prefix_ / "share/consort/plugins").string()));
}

TEST_F(ConfigDefaults, FurtherPluginFoldersAreMadeAbsoluteAndMustBeThere) {
  fs::create_directories(fs::path(prefix_) / "mine");
  cluster_config config;
  config.plugin_dirs = {"/first"};
  const auto relative = fs::relative(fs::path(prefix_) / "mine").string();
  ASSERT_TRUE(add_plugin_dirs(config, {relative}));
  ASSERT_EQ(config.plugin_dirs.size(), 2U);
  EXPECT_TRUE(fs::path(config.plugin_dirs[1]).is_absolute());
  EXPECT_TRUE(fs::equivalent(config.plugin_dirs[1], fs::path(prefix_) / "mine"));
  const auto absent = add_plugin_dirs(config, {"/nonexist"});
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.failure().code, "usage");
  EXPECT_EQ(absent.failure().message, "--plugins /nonexist is no folder");
}

/// `up` would not start with it.
TEST_F(ConfigDefaults, CheckCommandRefusesModelsWhoseFilesAreNotThere) {
  const auto file = (prefix_ / "models.json").string();
  const auto check = [&](const std::string& models) {
    std::ofstream(file) << "{\n\"models\": {\n" << models << "}}";
    return run_command({"config", "check", file});
  };
  std::ofstream(prefix_ / "here.gguf") << "GGUF";
  const auto good = check(R"("a": {"source": "here.gguf", "adapters": {"t": "here.gguf"}},
    "b": {"source": "hf:o/n"}, "c": {"source": "server:x", "adapters": {"u": "server:y"}}, "d": {
    "source": "https://h/f#sha256=0"})");
  EXPECT_EQ(good.code, exit_code::done) << good.err;
  const auto gone = check("\"a\": {\"source\": \"here.gguf\"},\n\"b\": {\n\"source\": \"x/y\"}");
  EXPECT_EQ(gone.code, exit_code::usage);
  EXPECT_THAT(gone.err, HasSubstr("models.json:5: models.b.source: " + (prefix_ / "x/y").string()
                                  + " is not on this host"));
  const auto part = check("\"a\": {\"source\": \"here.gguf\",\n\"adapters\": {\"t\": \"z\"}}");
  EXPECT_EQ(part.code, exit_code::usage);
  EXPECT_THAT(part.err, HasSubstr("models.json:4: models.a.adapters.t: "));
}

/// The model would be served with its own context, and nobody told.
TEST_F(ConfigDefaults, CheckCommandRefusesAContextThatTheModelWasNotMadeFor) {
  const auto file = (prefix_ / "context.json").string();
  const std::string model = CONSORT_SOURCE_DIR "/models/storyteller-5m-f16.gguf";
  const auto check = [&](const std::string& context) {
    std::ofstream(file) << "{\"models\": {\"m\": {\"source\": \"" << model
                        << "\",\n\"context\": " << context << "}}}";
    return run_command({"config", "check", file});
  };
  EXPECT_EQ(check("512").code, exit_code::done);
  const auto refused = check("100000");
  EXPECT_EQ(refused.code, exit_code::usage);
  EXPECT_THAT(refused.err,
              HasSubstr("context.json:2: models.m.context: 100000 tokens are more than "
                        "the 512 that the model was made for"));
}

TEST_F(ConfigDefaults, AModelMayHaveSeveralForms) {
  const auto file = (prefix_ / "forms.json").string();
  std::ofstream(prefix_ / "here.gguf") << "GGUF";
  std::ofstream(file) << R"({"models": {"m": {"source": ["here.gguf", "hf:o/n", "gone/"]}}})";
  const auto config = load_config(file, process_environment());
  ASSERT_TRUE(config.ok()) << config.failure().message;
  EXPECT_EQ(config->models[0].source, (prefix_ / "here.gguf").string());
  EXPECT_THAT(config->models[0].further,
              testing::ElementsAre("hf:o/n", (prefix_ / "gone/").string()));
  const auto checked = run_command({"config", "check", file});
  EXPECT_EQ(checked.code, exit_code::usage);
  EXPECT_THAT(checked.err, HasSubstr("gone/ is not on this host"));
}

TEST_F(ConfigDefaults, CheckCommandAcceptsAGoodFileAndRefusesABadOne) {
  std::ofstream(prefix_ / "good.json") << "{\"cluster\": \"lab\"}";
  std::ofstream(prefix_ / "bad.json") << "{\n\"clustr\": \"lab\"}";
  const auto good = run_command({"config", "check", (prefix_ / "good.json").string()});
  EXPECT_EQ(good.code, exit_code::done) << good.err;
  EXPECT_THAT(good.out, HasSubstr("ok (cluster lab"));
  const auto bad = run_command({"config", "check", (prefix_ / "bad.json").string()});
  EXPECT_EQ(bad.code, exit_code::usage);
  EXPECT_THAT(bad.err, HasSubstr("bad.json:2: clustr: unknown key (did you mean cluster?)"));
  const auto absent = run_command({"config", "check", (prefix_ / "none.json").string()});
  EXPECT_EQ(absent.code, exit_code::usage);
  // To open a pipe waits for whoever writes it.
  ASSERT_EQ(::mkfifo((prefix_ / "pipe.json").c_str(), 0600), 0);
  const auto pipe = run_command({"config", "check", (prefix_ / "pipe.json").string()});
  EXPECT_EQ(pipe.code, exit_code::usage);
  EXPECT_THAT(pipe.err, HasSubstr("pipe.json: it is no regular file"));
}

} // namespace
} // namespace consort::cli
