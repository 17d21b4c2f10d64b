// SPDX-License-Identifier: Apache-2.0
#include "node/plugin_json.hpp"

#include "node/json_file.hpp"
#include "node/placeholders.hpp"
#include "scheduler/asks.hpp"

#include "tests/unit/node/plugin_samples.hpp"
#include "tests/unit/node/temp_folder.hpp"

#include <gmock/gmock.h>

#include <sys/stat.h>

namespace consort::node {
namespace {

using test::changed;
using test::fake_plugin;
using test::read_file;
using test::temp_folder;

std::string complaint(const std::string& text) {
  const auto document = parse_plugin_json(text, "x/plugin.json");
  return document ? "accepted" : document.failure().message;
}

TEST(PluginJson, ReadsACompletePlugin) {
  const auto read = parse_plugin_json(fake_plugin(), "x/plugin.json");
  ASSERT_TRUE(read.ok()) << read.failure().message;
  EXPECT_EQ(read->metadata.name, "fake");
  EXPECT_EQ(read->metadata.type, resource_type::npu);
  EXPECT_EQ(read->metadata.priority, 60);
  EXPECT_TRUE(read->simulated);
  EXPECT_EQ(read->probe.fields.at("memory_bytes").multiply, 1024 * 1024);
  EXPECT_EQ(read->telemetry->fields.at("power_watts").multiply, 1);
  EXPECT_EQ(read->metadata.telemetry_every_us, 2 * limits::second_us);
  EXPECT_EQ(read->capability.max_sequences, 4U);
  EXPECT_TRUE(read->capability.formats.empty());
  EXPECT_EQ(read->capability.runtime.resume, resume_support::tokens);
  EXPECT_EQ(read->spec.decode_tokens_per_s, 100U);
  EXPECT_EQ(read->spec.decode_batch_gain_pm, 250U);
  EXPECT_EQ(read->spec.load_us, 50'000);
  EXPECT_EQ(read->spec.tdp_mw, 12'500U);
  EXPECT_EQ(read->attributes.at("tflops_int8"), "32");
  ASSERT_EQ(read->builds.size(), 1U);
  EXPECT_EQ(read->builds[0].version, version_scope::minor);
  EXPECT_EQ(read->builds[0].disk_bytes, 1024U * 1024);
  EXPECT_EQ(read->builds[0].timeout_us, 60 * limits::second_us);
  EXPECT_EQ(read->runtime.library, "libfake.so");
  EXPECT_EQ(read->runtime.config_json, R"({"tiles":4})");
}

TEST(PluginJson, ReadsTheReferencePlugin) {
  const auto read = load_plugin_json(std::string(CONSORT_SOURCE_DIR) + "/node/plugins/reference");
  EXPECT_TRUE(read.ok()) << read.failure().message;
}

/// A request that asks for it is sent to nobody who says so, or whose server has no words for it.
TEST(PluginJson, SaysWhatItsRuntimeRefuses) {
  const auto of = [](const std::string& text) {
    const auto read = parse_plugin_json(text, "x/plugin.json");
    EXPECT_TRUE(read.ok()) << read.failure().message;
    return read.ok() ? read->capability.runtime.refuses : 0U;
  };
  EXPECT_EQ(of(fake_plugin()), 0U);
  const auto with = [](const std::string& words) {
    return changed("\"resume\": \"tokens\"", "\"resume\": \"tokens\", \"refuses\": " + words);
  };
  EXPECT_EQ(of(with(R"(["chats", "forms"])")), asks::chats | asks::forms);
  for (const auto* wrong : {R"(["songs"])", R"(["embeddings"])", R"([""])"})
    EXPECT_THAT(complaint(with(wrong)), testing::HasSubstr("is none of completions, chats"))
        << wrong;
  const auto shipped = [](const char* name) {
    const auto read = load_plugin_json(std::string(CONSORT_SOURCE_DIR) + "/node/plugins/" + name);
    EXPECT_TRUE(read.ok()) << read.failure().message;
    return read.ok() ? read->capability.runtime.refuses : 0U;
  };
  EXPECT_EQ(shipped("hailo"), asks::completions);
  EXPECT_NE(shipped("tgi") & asks::forms, 0U);
  EXPECT_EQ(shipped("tgi") & asks::chats, 0U);
  EXPECT_NE(shipped("deepspeed-mii") & asks::chats, 0U);
  EXPECT_EQ(shipped("vllm"), 0U);
}

struct wrong_case {
  const char* from;
  const char* to;
  const char* complaint; ///< Part of the message after the file's name.
};

TEST(PluginJson, NamesLineColumnFieldAndWhatWasExpected) {
  const std::vector<wrong_case> cases{
      {"\"vendor\": \"Fake\",", "", ":1:1: /vendor: required"},
      {"\"vendor\"", "\"vendr\"", ":2:50: /vendr: unknown key (did you mean vendor"},
      {"\"priority\": 60", "\"priority\": \"60\"", ":3:3: /priority: expected a whole number"},
      {"\"priority\": 60", "\"priority\": 6000",
       ":3:3: /priority: expected a whole number from 0 to 1000"},
      {"\"type\": \"npu\"", "\"type\": \"nup\"",
       ":2:68: /type: `nup` is none of gpu, npu, pim, cpu, remote, hybrid, engine (did you mean "
       "npu"},
      {"\"schema\": 1", "\"schema\": 2", ":2:3: /schema: expected the whole number 1"},
      {"\"name\": \"fake\"", "\"name\": \"../fake\"", "/name: expected up to 64 lower-case"},
      {"\"simulated\": true", "\"simulated\": 1",
       "/simulated: expected true or false, not a number"},
      {"\"tags\": [\"low-latency\"]", "\"tags\": [\"a\", 5]", ":3:52: /tags/1: expected a text"},
      {"{ \"command\": \"fake-smi\" }", "{ \"any\": [] }",
       "/available/any: expected a list of tests"},
      {"{ \"command\": \"fake-smi\" }", "{ \"all\": [ { } ] }",
       "/available/all/0: expected one of `path`, `command`, `env` and `no_command`"},
      {"\"parse\": \"json\"", "\"parse\": \"xml\"", "/probe/parse: `xml` is none of json"},
      {"\"/uuid\", \"model\"", "\"uuid\", \"model\"", "/probe/id: `uuid` is not a JSON pointer"},
      {"\"unit\": \"MiB\"", "\"unit\": \"mib\"", "/probe/memory_bytes/unit: `mib` is none of"},
      {"\"unit\": \"MiB\"", "\"value\": \"5\"",
       "/probe/memory_bytes: expected either `at` or `value`"},
      {"\"unit\": \"mW\"", "\"unit\": \"B\"", "/telemetry/power_watts/unit"},
      {"\"command\": [\"fake-smi\", \"-j\"], \"parse\"", "\"parse\"",
       "/probe: required, expected `command`"},
      {"[\"fake-smi\", \"-j\"], \"parse\"", "[\"fake-smi\", \"{model}\"], \"parse\"",
       "/probe/command: unknown placeholder {model}, expected one of {plugin}"},
      {"\"max_sequences\": 4, ", "", "/capability/max_sequences: required"},
      {"\"max_sequences\": 4", "\"max_sequences\": 5000", "from 1 to 4096"},
      {"\"requires_artifact\": true", "\"requires_artifact\": false",
       "/capability: expected `formats`"},
      {"\"requires_artifact\": true", "\"requires_artifact\": true, \"formats\": [\"gguf\"]",
       "/capability/formats: with requires_artifact"},
      {"\"resume\": \"tokens\"", "\"resume\": \"token\"", "(did you mean tokens"},
      {"\"load\": \"50ms\"", "\"load\": 50", "/spec/load: expected a duration"},
      {"\"tdp_watts\": 12.5", "\"tdp_watts\": -1",
       "/spec/tdp_watts: expected a number that is not negative"},
      {"\"decode_batch_gain\": 0.25", "\"decode_batch_gain\": 11", "expected at most 10"},
      {"[\"fake-cc\", \"{model}\", \"{output}\"]", "[\"fake-cc\", \"{model}\"]",
       "/build/0/command: needs {output}"},
      {"\"{output}\"]", "\"{output}\", \"{secret}\"]", "unknown placeholder {secret}"},
      {"\"(\\\\d+)%\"", "\"(\\\\d+%\"",
       "/build/0/progress: not a regular expression at byte 5: missing closing parenthesis"},
      {"\"(\\\\d+)%\"", "\"\\\\d+%\"", "/build/0/progress: the regular expression needs 1 group"},
      {"\"compiler_version:minor\"]", "\"compiler\"]", "`compiler` is none of"},
      {"[\"target\", \"compiler_version:minor\"]", "[\"compiler_version\"]", "must list target"},
      {"\"timeout\": \"1m\"", "\"timeout\": \"25h\"",
       "/build/0/timeout: expected a duration above 0 and up to"},
      {"\"-j\"], \"parse\"", "\"-j\"], \"timeout\": \"6s\", \"parse\"",
       "/probe/timeout: expected a duration above 0 and up to 5s"},
      {"{ \"tiles\": 4 }", "{}, \"threads\": 1025", "/runtime/threads: expected a whole number"},
      {"{ \"tiles\": 4 }", "{}, \"start_timeout\": \"4h\"",
       "/runtime/start_timeout: expected a duration above 0 and up to 3h"},
      {"\"disk\": \"1MiB\"", "\"disk\": \"1 lot\"", "/build/0/disk: expected a size"},
      {"\"dtype\": \"q8_0\",", "\"dtype\": \"q8_0\", \"interface\": \"config\",",
       "/build/0/command: needs {config}"},
      {"{ \"lines\": \"^quality (\\\\w+)=(\\\\S+)\" }", "{ \"file\": \"/etc/passwd\" }",
       "/build/0/quality/file: must start with {output} or {work}"},
      {"\"c-abi\"", "\"grpc\"", "/runtime/interface: `grpc` is none of c-abi"},
      {"\"c-abi\"", "\"c-abi\", \"interface\": \"c-abi\"", "/runtime/interface: key appears twice"},
      {"{ \"tiles\": 4 }", "4", "/runtime/config: expected an object"},
  };
  for (const auto& one : cases) {
    const auto message = complaint(changed(one.from, one.to));
    EXPECT_TRUE(message.starts_with("x/plugin.json:")) << one.to << ": " << message;
    EXPECT_NE(message.find(one.complaint), std::string::npos) << one.to << "\n" << message;
  }
}

TEST(PluginJson, FoldersOfToolsAreWholePathsAndFew) {
  for (const std::string wrong : {R"(["opt/bin"])", R"(["/opt:/bin"])",
                                  R"(["/1", "/2", "/3", "/4", "/5", "/6", "/7", "/8", "/9"])"}) {
    const auto message
        = complaint(changed("\"priority\": 60", "\"priority\": 60, \"search\": " + wrong));
    EXPECT_NE(message.find("/search: expected up to 8 whole paths of folders"), std::string::npos)
        << message;
  }
}

/// Some take it for none at all, others for no limit.
TEST(PluginJson, ALimitOfNothingIsRefused) {
  for (const auto& [to, field] : std::vector<std::pair<std::string, std::string>>{
           {"\"disk\": 0", "disk"}, {"\"memory\": \"0GiB\"", "memory"}})
    EXPECT_THAT(complaint(changed("\"disk\": \"1MiB\"", to)),
                testing::HasSubstr("/build/0/" + field + ": expected a size above 0"));
}

TEST(PluginJson, TelemetryKnowsOurHealthAndItsPace) {
  EXPECT_NE(complaint(changed("\"ok\": \"healthy\"", "\"ok\": \"fine\""))
                .find("/telemetry/health: `words` makes `ok` of it `fine`, expected healthy, "),
            std::string::npos);
  const auto at = [](const std::string& pace) {
    return complaint(
        changed("\"utilization\": \"/busy\"", "\"utilization\": \"/busy\", \"every\": " + pace));
  };
  EXPECT_NE(at("\"99ms\"").find("/telemetry/every: expected at least 100ms"), std::string::npos);
  EXPECT_EQ(at("\"100ms\""), "accepted");
}

TEST(PluginJson, OlderEnginesAreMoreThanWhatIsCompatibleAnyway) {
  const std::string words = "[\"target\", \"compiler_version:minor\"]";
  const auto said = [&](const std::string& compatible, const std::string& rule) {
    return complaint(changed(words, compatible + ", \"runs_older\": \"" + rule + "\""));
  };
  const std::string needless
      = "/build/0/runs_older: says nothing that compatible_with does not say";
  using testing::HasSubstr;
  EXPECT_THAT(said(words, "minor"), HasSubstr(needless));
  EXPECT_THAT(said("[\"target\", \"compiler_version:major\"]", "major"), HasSubstr(needless));
  EXPECT_THAT(said("[\"target\"]", "any"), HasSubstr(needless));
  EXPECT_THAT(said(words, "mayor"), HasSubstr("`mayor` is none of none"));
}

TEST(PluginJson, WhatACompilerMakesBeginsAsText) {
  const auto text = [](const std::string& begins) {
    return changed("\"disk\": \"1MiB\"", "\"begins\": \"" + begins + "\"");
  };
  const auto begins = [&](const std::string& told) {
    const auto read = parse_plugin_json(text(told), "x/plugin.json");
    return read ? read->builds.at(0).begins : read.failure().message;
  };
  EXPECT_EQ(begins("RNPU"), "RNPU");
  EXPECT_EQ(begins("hex:7f454C46"), "\x7f"
                                    "ELF");
  const std::string longest(limits::begins_bytes_max, 'x');
  EXPECT_EQ(begins(longest), longest);
  using testing::HasSubstr;
  EXPECT_THAT(begins(longest + "x"), HasSubstr("/build/0/begins: at most 64 bytes"));
  for (const auto* bad : {"hex:", "hex:7", "hex:7g"})
    EXPECT_THAT(begins(bad), HasSubstr("/build/0/begins: expected `hex:`")) << bad;
}

TEST(PluginJson, FailuresNeedWhatTheyMeanAndHowTheyLook) {
  const auto with = [](const char* rule) {
    return complaint(changed("\"disk\": \"1MiB\"", std::string("\"failures\": [") + rule + "]"));
  };
  EXPECT_EQ(with(R"({"exit": 9, "match": "x+", "class": "resource"})"), "accepted");
  EXPECT_NE(with(R"({"exit": 1})").find("/build/0/failures/0/class"), std::string::npos);
  EXPECT_NE(with(R"({"class": "transient"})").find("expected `exit`, `match`, or both"),
            std::string::npos);
  EXPECT_NE(with(R"({"exit": 256, "class": "transient"})").find("/build/0/failures/0/exit"),
            std::string::npos);
}

TEST(PluginJson, NamesTheLineOfASyntaxError) {
  EXPECT_NE(complaint("{\n  \"schema\": 1,\n  \"name\" }\n").find("x/plugin.json:3:10: "),
            std::string::npos)
      << complaint("{\n  \"schema\": 1,\n  \"name\" }\n");
  for (const auto* text :
       {"", "[]", "null", "{", "{\"schema\": 1}}", "{\"a\": \"\xff\"}", "// only"})
    EXPECT_TRUE(complaint(text).starts_with("x/plugin.json:")) << text << ": " << complaint(text);
}

TEST(PluginJson, RefusesWhatExceedsItsLimits) {
  EXPECT_NE(complaint(std::string(limits::plugin_json_bytes_max + 1, ' ')).find("larger than"),
            std::string::npos);
  std::string deep;
  for (std::size_t i = 0; i <= limits::plugin_json_depth_max; ++i)
    deep += "{\"a\":";
  EXPECT_NE(complaint(deep).find("nested deeper than"), std::string::npos);
  const auto long_pattern = std::string(limits::plugin_pattern_bytes_max, 'x') + "(.)";
  EXPECT_NE(complaint(changed("(\\\\d+)%", long_pattern)).find("longer than"), std::string::npos);
  std::string attributes;
  for (std::size_t i = 0; i <= limits::plugin_attributes_max; ++i)
    attributes += (i == 0 ? "" : ", ") + ("\"a" + std::to_string(i)) + "\": \"/pci\"";
  EXPECT_NE(
      complaint(changed("\"pci\": \"/pci\"", attributes)).find("/probe/attributes: more than"),
      std::string::npos);
  std::string builds;
  for (std::size_t i = 0; i < limits::plugin_builds_max; ++i)
    builds += "{}, ";
  EXPECT_NE(complaint(changed("\"build\": [ ", "\"build\": [ " + builds)).find("at most 32 builds"),
            std::string::npos);
}

TEST(PluginJson, ServerRuntimeIsStartedOrAttached) {
  auto sample = nlohmann::json::parse(fake_plugin(), nullptr, true, true);
  const auto with = [&](const nlohmann::json& more) {
    sample["runtime"] = {{"interface", "server"}};
    sample["runtime"].update(more);
    return complaint(sample.dump());
  };
  EXPECT_EQ(with({{"command", {"serve", "{artifact}", "--port={port}"}},
                  {"env", {{"BOARDS", "{index}"}}},
                  {"model", "{name}"},
                  {"silence", "30s"}}),
            "accepted");
  EXPECT_EQ(with({{"url", "http://10.0.0.7:8000/v1x/"}, {"ready", "/ready"}, {"key_env", "KEY"}}),
            "accepted");
  EXPECT_EQ(
      with({{"url", "https://api.somewhere.com/v1"},
            {"url_env", "URL"},
            {"prefill_url", "http://h:2"},
            {"encode_url", "http://h:3"},
            {"answers", {"chats"}},
            {"ready", {{"path", "/h"}, {"then", "/info"}, {"every", "5s"}, {"timeout", "25s"}}},
            {"metrics", {{"running", {"a:new", {{"at", "a:old"}, {"label", "n"}, {"unit", "%"}}}}}},
            {"context", {{"path", "/info"}, {"at", "/max_tokens"}, {"prompt_at", "/most"}}},
            {"rates", {{"requests_per_min", 60}}},
            {"prices", {{"*", {{"prompt", 2.5}, {"completion", 10}}}}}}),
      "accepted");
  const std::pair<nlohmann::json, const char*> cases[] = {
      {nlohmann::json::object(), "expected either `command`"},
      {{{"url", "http://h:1"}, {"command", {"x"}}}, "expected either `command`"},
      {{{"url", "ftp://h"}}, "/runtime/url: `ftp://h` is not http://HOST:PORT"},
      {{{"url", "http://h:1/a b"}}, "/runtime/url: "},
      {{{"url", "http://h:1"}, {"ready", "health"}}, "/runtime/ready: expected a path"},
      {{{"url", "http://h:1"}, {"library", "x.so"}}, "/runtime/library: unknown key"},
      {{{"url", "http://h:1"}, {"protocol", "grpc"}},
       "/runtime/protocol: `grpc` is none of openai, tgi, mii"},
      {{{"url_env", "URL"}, {"command", {"x"}}}, "expected either `command`"},
      {{{"url", "http://h:1"}, {"ready", {{"path", "x"}}}}, "/runtime/ready/path: expected a path"},
      {{{"url", "http://h:1"}, {"ready", {{"timeout", "2m"}}}}, "/runtime/ready/timeout"},
      {{{"url", "http://h:1"}, {"metrics", {{"running", nlohmann::json::array()}}}},
       "/runtime/metrics/running: expected one to 16 names"},
      {{{"url", "http://h:1"}, {"metrics", {{"format", "json"}, {"running", "x"}}}},
       "/runtime/metrics/running: expected a JSON pointer"},
      {{{"url", "http://h:1"}, {"context", {{"path", "/info"}}}},
       "/runtime/context/at: expected a JSON pointer"},
      {{{"url", "http://h:1"}, {"context", {{"path", "/info"}, {"at", "max"}}}},
       "/runtime/context/at: expected a JSON pointer"},
      {{{"url", "http://h:1"}, {"context", {{"path", "/i"}, {"at", "/m"}, {"prompt_at", "p"}}}},
       "/runtime/context/prompt_at: expected a JSON pointer"},
      {{{"url", "http://h:1"}, {"rates", {{"requests_per_min", 0}}}},
       "/runtime/rates/requests_per_min: expected a whole number"},
      {{{"url", "http://h:1"}, {"prices", {{"*", {{"prompt", -1}}}}}}, "/runtime/prices/*/prompt"},
      {{{"url", "http://h:1"}, {"silence", "2h"}}, "/runtime/silence: expected a duration"},
      {{{"url", "http://h:1"}, {"encode_url", "h"}}, "/runtime/encode_url: "},
      {{{"url", "http://h:1"}, {"answers", {"chats", "songs"}}}, "/runtime/answers: expected"},
      {{{"url", "http://h:1"}, {"answers", {"chats", "chats"}}}, "/runtime/answers: expected"},
      {{{"url", "http://h:1"}, {"protocol", "tgi"}, {"answers", {"chats"}}},
       "/runtime/answers: only of the protocol `openai`"},
      {{{"command", {"serve", "--port", "8000"}}}, "/runtime/command: expected `{port}`"},
      {{{"command", {"serve", "{secret}"}}}, "unknown placeholder {secret}"},
      {{{"command", {"serve"}}, {"env", {{"A", "{secret}"}}}}, "unknown placeholder {secret}"}};
  for (const auto& [more, wanted] : cases)
    EXPECT_NE(with(more).find(wanted), std::string::npos) << more << "\n" << with(more);
}

TEST(PluginJson, AcceptsOtherWaysToAsk) {
  const auto csv = changed("\"parse\": \"json\", \"each\": \"/devices\",", "\"parse\": \"csv\",");
  EXPECT_EQ(complaint(csv), "accepted");
  EXPECT_NE(
      complaint(changed("\"parse\": \"json\", \"each\": \"/devices\",", "\"parse\": \"text\","))
          .find("`each` is required"),
      std::string::npos);
  EXPECT_NE(complaint(changed("\"command\": [\"fake-smi\", \"-j\"], \"parse\": \"json\"",
                              "\"command\": [\"fake-smi\"], \"parse\": \"sysfs\""))
                .find("/probe/command: not used with parse sysfs"),
            std::string::npos);
}

TEST(PluginJson, AnEngineRunsOnDevicesOfOthers) {
  auto sample = nlohmann::json::parse(fake_plugin(), nullptr, true, true);
  sample["type"] = "engine";
  EXPECT_NE(complaint(sample.dump()).find("/probe: an engine has no devices"), std::string::npos);
  sample.erase("probe");
  sample.erase("telemetry");
  sample.erase("tags");
  EXPECT_NE(complaint(sample.dump()).find("/runs_on: required"), std::string::npos);
  sample["runs_on"] = {{"fake", {{"env", {{"BOARDS", "{uuid}"}}}}}};
  EXPECT_EQ(complaint(sample.dump()), "accepted");
  sample["runs_on"]["fake"]["env"]["BOARDS"] = "{secret}";
  EXPECT_NE(complaint(sample.dump()).find("unknown placeholder {secret}"), std::string::npos);
  sample["runs_on"] = nlohmann::json::object();
  EXPECT_NE(complaint(sample.dump()).find("/runs_on: expected one to 64"), std::string::npos);
  const auto other = changed("\"priority\": 60", "\"runs_on\": {\"a\": {}}");
  EXPECT_NE(complaint(other).find("/runs_on: only with type engine"), std::string::npos);
}

TEST(PluginJson, OnlyAHybridHasStages) {
  auto sample = nlohmann::json::parse(fake_plugin(), nullptr, true, true);
  sample["stages"] = {{"prefill_env", "A"}, {"transfer_per_s", "10GB"}, {"transfer", "5ms"}};
  EXPECT_NE(complaint(sample.dump()).find("/stages: only with type hybrid"), std::string::npos);
  sample["type"] = "hybrid";
  EXPECT_NE(complaint(sample.dump()).find("/stages/decode_env: required"), std::string::npos);
  sample["stages"]["decode_env"] = "B";
  const auto document = parse_plugin_json(sample.dump(), "x");
  ASSERT_TRUE(document.ok()) << document.failure().message;
  EXPECT_EQ(document->stages->prefill_env, "A");
  EXPECT_EQ(document->stages->decode_env, "B");
  EXPECT_EQ(document->stages->transfer_bytes_per_s, 10'000'000'000U);
  EXPECT_EQ(document->stages->transfer_us, 5'000);
  sample["stages"]["transfer"] = "5s";
  EXPECT_NE(complaint(sample.dump()).find("/stages/transfer: "), std::string::npos);
}

TEST(PluginJson, KnowsEveryKeyOfItsSchema) {
  const auto schema = nlohmann::json::parse(
      read_file(std::string(CONSORT_SOURCE_DIR) + "/node/plugins/plugin.schema.json"));
  const auto sample = nlohmann::json::parse(fake_plugin(), nullptr, true, true);
  const auto& root = schema["properties"];
  auto serving = sample;
  serving["runtime"] = {{"interface", "server"}, {"url", "http://h:1"}};
  auto staged = sample;
  staged["type"] = "hybrid";
  staged["stages"] = {{"prefill_env", "A"}, {"decode_env", "B"}};
  struct section {
    std::string pointer;
    nlohmann::json properties;
    const nlohmann::json& in;
  };
  const auto& runtimes = root["runtime"]["oneOf"];
  const std::vector<section> sections{
      {"", root, sample},
      {"/probe", root["probe"]["properties"], sample},
      {"/telemetry", root["telemetry"]["properties"], sample},
      {"/capability", root["capability"]["properties"], sample},
      {"/capability/runtime", root["capability"]["properties"]["runtime"]["properties"], sample},
      {"/spec", root["spec"]["properties"], sample},
      {"/stages", root["stages"]["properties"], staged},
      {"/build/0", root["build"]["items"]["properties"], sample},
      {"/runtime", runtimes[0]["properties"], sample},
      {"/runtime", runtimes[1]["properties"], serving}};
  for (const auto& [pointer, properties, in] : sections) {
    for (const auto& [key, shape] : properties.items()) {
      auto changed_sample = in;
      auto& object = changed_sample[nlohmann::json::json_pointer(pointer)];
      if (!object.contains(key))
        object[key] = nullptr; // Wrong for every key, but a known one.
      EXPECT_EQ(complaint(changed_sample.dump()).find("unknown key"), std::string::npos)
          << pointer << "/" << key;
    }
    auto closed = in;
    closed[nlohmann::json::json_pointer(pointer)]["no_such_key"] = 1;
    EXPECT_NE(complaint(closed.dump()).find(pointer + "/no_such_key: unknown key"),
              std::string::npos);
  }
}

TEST(PluginJson, AMissingFileIsAnErrorValue) {
  const temp_folder folder;
  const auto said
      = [&](const std::string& where) { return load_plugin_json(where).failure().message; };
  EXPECT_EQ(said(folder / "none"), folder / "none/plugin.json: cannot be read");
  EXPECT_EQ(said(folder.path()), folder.path() + ": holds no plugin.json");
  folder.write("notes/README", "");
  EXPECT_EQ(said(folder.path()), folder.path() + ": holds no plugin.json");
}

TEST(PluginJson, ThatIsAFolderIsCalledOne) {
  const test::temp_folder folder;
  std::filesystem::create_directory(folder.path() + "/plugin.json");
  EXPECT_EQ(load_plugin_json(folder.path()).failure().message,
            folder.path() + "/plugin.json is a folder, not a file");
}

TEST(PluginJson, ThatIsAPipeIsNotWaitedFor) {
  const test::temp_folder folder;
  ASSERT_EQ(::mkfifo((folder / "plugin.json").c_str(), 0600), 0);
  EXPECT_EQ(load_plugin_json(folder.path()).failure().message,
            folder.path() + "/plugin.json is no regular file");
}

TEST(PluginJson, TheFolderOfFoldersNamesThoseInIt) {
  const temp_folder folder;
  const auto said = [&] { return load_plugin_json(folder.path()).failure().message; };
  const auto none = folder.path() + ": holds no plugin.json; did you mean ";
  folder.write("far/plugin.json", "{}");
  EXPECT_EQ(said(), none + (folder / "far?"));
  for (const auto* name : {"d", "c", "b"})
    folder.write(std::string(name) + "/plugin.json", "{}");
  EXPECT_EQ(said(),
            none + (folder / "b, ") + (folder / "c, ") + (folder / "d") + " or another of its 4?");
}

TEST(Placeholders, ReplaceInsideOneArgumentOnly) {
  const std::map<std::string, std::string> values{{"model", "/a b/{output}"}, {"output", "/x"}};
  EXPECT_EQ(replace_placeholders("--in={model}", values), "--in=/a b/{output}");
  EXPECT_EQ(replace_placeholders("{\"json\": {}} {Model} {", values), "{\"json\": {}} {Model} {");
  EXPECT_EQ(replace_placeholders("{unknown}{output}", values), "{unknown}/x");
  EXPECT_EQ(unknown_placeholder("{model} {port}", {"model"}), "port");
  EXPECT_EQ(unknown_placeholder("{\"a\":1}", {}), std::nullopt);
}

TEST(JsonFile, FindsPositionsOfValuesOfEveryKind) {
  const std::string text = "{\n  \"a\": [true,\n    null, -12.5e3,\n \"x\\\"y\", {\n\"b/c~\": 1}]}";
  const std::vector<std::pair<std::string, std::string>> places{
      {"", "f:1:1"},      {"/a", "f:2:3"},          {"/a/0", "f:2:9"},
      {"/a/1", "f:3:5"},  {"/a/2", "f:3:11"},       {"/a/3", "f:4:2"},
      {"/a/4", "f:4:10"}, {"/a/4/b~1c~0", "f:5:1"}, {"/a/4/none", "f:4:10"}};
  for (const auto& [pointer, place] : places) {
    auto file = json_file::parse(text, "f");
    ASSERT_TRUE(file.ok()) << file.failure().message;
    file->fail(pointer, "here");
    EXPECT_EQ(file->failure()->message,
              place + ": " + (pointer.empty() ? "/" : pointer) + ": here");
  }
}

} // namespace
} // namespace consort::node
