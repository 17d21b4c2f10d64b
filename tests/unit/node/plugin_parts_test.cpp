// SPDX-License-Identifier: Apache-2.0
// Goal: a device's parts are devices of their own that exclude what they share, models of one
// plugin have their own spec sheets, a runtime that is not installed runs nothing, and folders that
// compilers write are artifacts like any other.
#include "node/inventory.hpp"
#include "node/plugin_json.hpp"
#include "scheduler/attributes.hpp"

#include "tests/unit/node/plugin_samples.hpp"
#include "tests/unit/node/temp_folder.hpp"

#include <boost/asio/io_context.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace consort::node {
namespace {

using test::changed;
using test::fake_plugin;
using test::read_file;
using test::temp_folder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const char* const board_answer = R"(cat <<'END'
{"devices": [{"uuid": "u1", "name": "fake-1", "memory": 16, "power": 4000, "state": "on fire"},
             {"uuid": "u2", "name": "big-2", "memory": 1000}]}
END)";

const std::string halves_json = R"("partitions": { "of": 8, "list": [
  { "name": "low", "first": 0, "last": 3, "text": ":0-3", "model": "fake-half" },
  { "name": "high", "first": 4, "last": 7, "text": ":4-7" },
  { "name": "mid", "first": 2, "last": 4 } ] }, )";

/// A folder of plugins with the fake one in it, changed.
class PluginParts : public ::testing::Test {
protected:
  void write(const std::string& json) {
    folder.write("fake/plugin.json", json);
    folder.script("fake/fake-smi", board_answer);
    folder.script("fake/fake-cc", "echo 'fake-cc 3.1.4'");
    folder.write("fake/libfake.so", "there");
  }
  void probe() {
    EXPECT_TRUE(all.load(folder.path(), plugin_environment{io, nullptr}).empty());
    const auto failures = all.probe();
    ASSERT_TRUE(failures.empty()) << failures.front().message;
  }
  static std::string complaint(const std::string& json) {
    const auto document = parse_plugin_json(json, "x");
    return document ? "accepted" : document.failure().message;
  }
  temp_folder folder;
  boost::asio::io_context io;
  inventory all{node_id("n")};
};

TEST_F(PluginParts, AreDevicesThatExcludeWhatTheyShare) {
  write(changed("\"capability\"", halves_json + "\"capability\""));
  probe();
  const auto devices = all.devices();
  ASSERT_EQ(devices.size(), 8U);
  const auto find = [&](const char* uuid) {
    for (const auto& one : devices)
      if (one.uuid == uuid)
        return one;
    return device_spec{};
  };
  const auto whole = find("u2"), low = find("u2/low"), high = find("u2/high"), mid = find("u2/mid");
  EXPECT_EQ(whole.id.value, "n/npu1");
  EXPECT_TRUE(whole.parent.empty());
  for (const auto* part : {&low, &high, &mid}) {
    EXPECT_EQ(part->parent, whole.id);
    EXPECT_TRUE(part->id.value.starts_with("n/npu1.")) << part->id.value;
  }
  EXPECT_THAT(low.exclusive_siblings, ElementsAre(mid.id));
  EXPECT_THAT(high.exclusive_siblings, ElementsAre(mid.id));
  EXPECT_THAT(mid.exclusive_siblings, ElementsAre(low.id, high.id));
  EXPECT_EQ(low.memory_bytes, 500U << 20U);
  EXPECT_EQ(mid.memory_bytes, 375U << 20U);
  EXPECT_EQ(low.spec.prefill_tokens_per_s, 500U);
  EXPECT_EQ(low.attributes.at("partition"), ":0-3");
  EXPECT_EQ(low.model, "fake-half");
  EXPECT_TRUE(find("u1/low").capability.build_profiles.empty()) << "built for another model";
  EXPECT_EQ(find("u1/high").capability.build_profiles.size(), 1U);
}

/// As devices are by their uuid, and parts that a tool lists.
TEST_F(PluginParts, AreNumberedByNameAtFirstAndKeepTheirNumbers) {
  write(changed("\"capability\"", halves_json + "\"capability\""));
  probe();
  const auto numbered = [&] {
    std::vector<std::string> seen;
    for (const auto& one : all.devices())
      if (one.uuid.starts_with("u1/"))
        seen.push_back(one.id.value + "=" + one.uuid);
    return seen;
  };
  const auto as_named = ElementsAre("n/npu0.0=u1/high", "n/npu0.1=u1/low", "n/npu0.2=u1/mid");
  EXPECT_THAT(numbered(), as_named);
  EXPECT_TRUE(all.probe().empty());
  EXPECT_THAT(numbered(), as_named);
}

TEST_F(PluginParts, AreAsWellAsTheirBoardWhosePowerStaysWithTheWhole) {
  write(changed("\"capability\"", halves_json + "\"capability\""));
  probe();
  const auto readings = all.read("fake");
  ASSERT_TRUE(readings.ok()) << readings.failure().message;
  for (const auto& device : all.devices()) {
    const auto& reading = readings->at(device.id);
    const bool burns = device.uuid.starts_with("u1");
    EXPECT_EQ(reading.health == device_health::unhealthy, burns) << device.uuid;
    EXPECT_EQ(reading.power_mw.has_value(), device.uuid == "u1") << device.uuid;
  }
}

TEST_F(PluginParts, ThatTheToolListsLeaveTheirDeviceNothingToRun) {
  auto text = changed("\"attributes\": { \"pci\": \"/pci\" }", "\"parent\": \"/of\"");
  write(text);
  folder.script("fake/fake-smi", R"(echo '{"devices": [{"uuid": "z", "name": "fake-1"},
    {"uuid": "b", "name": "fake-1", "of": "z"}, {"uuid": "a", "name": "fake-1", "of": "z"},
    {"uuid": "c", "name": "fake-1", "of": "nobody"}]}')");
  probe();
  std::vector<std::string> seen;
  for (const auto& one : all.devices())
    seen.push_back(one.id.value + "=" + one.uuid + (one.parent.empty() ? "" : " of ")
                   + one.parent.value + (one.capability.build_profiles.empty() ? " idle" : ""));
  EXPECT_THAT(seen, ElementsAre("n/npu0=z idle", "n/npu0.0=a of n/npu0", "n/npu0.1=b of n/npu0",
                                "n/npu1=c"));
}

TEST_F(PluginParts, MayBeListedAndNotOffered) {
  write(changed("\"capability\"", changed("\"of\": 8", "\"offer\": false, \"of\": 8", halves_json)
                                      + "\"capability\""));
  probe();
  EXPECT_EQ(all.devices().size(), 2U);
}

TEST_F(PluginParts, AreCheckedAndBounded) {
  const auto with = [](const std::string& list, const std::string& of = "8") {
    return complaint(changed("\"capability\"", "\"partitions\": { \"of\": " + of + ", \"list\": ["
                                                   + list + "] }, \"capability\""));
  };
  const std::string good = R"({ "name": "a", "first": 0, "last": 1 })";
  EXPECT_EQ(with(good), "accepted");
  EXPECT_THAT(with(good + "," + good), HasSubstr("two parts are named a"));
  EXPECT_THAT(with(R"({ "name": "a", "first": 0, "last": 8 })"), HasSubstr("/last"));
  EXPECT_THAT(with(R"({ "name": "a", "first": 3, "last": 2 })"), HasSubstr("/last"));
  EXPECT_THAT(with(R"({ "name": "A/b", "first": 0, "last": 0 })"), HasSubstr("lower-case"));
  EXPECT_THAT(with(good, "0"), HasSubstr("/partitions/of"));
  std::string many;
  for (std::size_t at = 0; at <= limits::partitions_max; ++at)
    many += (at > 0 ? "," : "") + std::string(R"({ "name": "p)") + std::to_string(at)
            + R"(", "first": 0, "last": 1 })";
  EXPECT_THAT(with(many), HasSubstr("at most 64 parts"));
}

TEST_F(PluginParts, EachModelHasItsSpecSheet) {
  write(changed(
      "\"tflops\": { \"int8\": 32 }",
      R"("models": [ { "match": "^big-", "decode_tokens_per_s": 7, "tflops": { "fp8": 9 } } ])"));
  probe();
  const auto devices = all.devices();
  EXPECT_EQ(devices[0].spec.decode_tokens_per_s, 100U);
  EXPECT_EQ(devices[1].spec.decode_tokens_per_s, 7U);
  EXPECT_EQ(devices[1].spec.prefill_tokens_per_s, 0U) << "a sheet is whole";
  EXPECT_EQ(devices[1].attributes.at("tflops_fp8"), "9");
  std::string many;
  for (std::size_t at = 0; at <= limits::spec_models_max; ++at)
    many += (at > 0 ? "," : "") + std::string(R"({ "match": "x" })");
  const auto spec = [](const std::string& list) {
    return complaint(changed("\"tflops\": { \"int8\": 32 }", "\"models\": [" + list + "]"));
  };
  EXPECT_THAT(spec(many), HasSubstr("at most 32 spec sheets"));
  EXPECT_THAT(spec("{}"), HasSubstr("/spec/models/0/match"));
}

TEST_F(PluginParts, ARuntimeThatIsNotInstalledRunsNothing) {
  write(fake_plugin());
  std::filesystem::remove(folder / "fake/libfake.so");
  probe();
  const auto device = all.devices().front();
  EXPECT_TRUE(device.capability.build_profiles.empty());
  EXPECT_THAT(device.attributes.at("runtime"), HasSubstr("missing: "));
  EXPECT_THAT(device.attributes.at("runtime"), HasSubstr("/libfake.so"));
  EXPECT_THAT(device.attributes.at(core::no_compiler_attribute),
              HasSubstr("its runtime's library is not there: "));
  const auto status = all.plugins().front();
  ASSERT_TRUE(status.fault);
  EXPECT_EQ(status.fault->code, "runtime_missing");
  EXPECT_THAT(status.fault->message, HasSubstr("/libfake.so"));
  folder.write("fake/libfake.so", "now it is");
  ASSERT_TRUE(all.probe().empty());
  EXPECT_FALSE(all.devices().front().capability.build_profiles.empty());
}

TEST_F(PluginParts, StartFailuresSayWhatTheyMean) {
  const auto with = [](const std::string& failures) {
    return complaint(
        changed(R"("interface": "c-abi", "library": "libfake.so", "config": { "tiles": 4 })",
                R"("interface": "server", "url": "http://h:1", "failures": )" + failures));
  };
  EXPECT_EQ(with(R"([{ "exit": 4, "class": "rebuild" }, { "match": "SM", "class": "elsewhere" }])"),
            "accepted");
  EXPECT_THAT(with(R"([{ "class": "later" }])"), HasSubstr("expected `exit`, `match`, or both"));
  EXPECT_THAT(with(R"([{ "exit": 4 }])"), HasSubstr("what it means"));
  EXPECT_THAT(with(R"([{ "exit": 4, "class": "perhaps" }])"),
              HasSubstr("/runtime/failures/0/class"));
  std::string many = "[";
  for (std::size_t at = 0; at <= limits::runtime_failures_max; ++at)
    many += (at > 0 ? "," : "") + std::string(R"({ "exit": 4, "class": "later" })");
  EXPECT_THAT(with(many + "]"), HasSubstr("at most 64 rules"));
}

TEST_F(PluginParts, ABuildForSeveralTargetsIsOneForEach) {
  write(changed("\"target\": \"fake-1\"", "\"target\": [\"fake-1\", \"big-2\"]"));
  probe();
  const auto devices = all.devices();
  ASSERT_EQ(devices[1].capability.build_profiles.size(), 1U);
  EXPECT_EQ(devices[0].capability.build_profiles[0].profile.name, "fake-fake-1");
  EXPECT_EQ(devices[1].capability.build_profiles[0].profile.name, "fake-big-2");
  EXPECT_EQ(devices[1].capability.build_profiles[0].profile.target, "big-2");
  EXPECT_EQ(all.toolchains().size(), 2U);
  const auto with = [](const std::string& list) {
    return complaint(changed("\"target\": \"fake-1\"", "\"target\": " + list));
  };
  EXPECT_THAT(with("[]"), HasSubstr("a device model, or a list"));
  EXPECT_THAT(with("[1]"), HasSubstr("/build/0/target/0"));
  std::string many = "[";
  for (std::size_t at = 0; at <= limits::plugin_builds_max; ++at)
    many += (at > 0 ? ",\"t" : "\"t") + std::to_string(at) + "\"";
  EXPECT_THAT(with(many + "]"), HasSubstr("more than 32 builds"));
}

// --- folders ---

TEST(PluginContainer, IsReadWithItsDefaultsAndItsPullCountsAsLoading) {
  const std::string head
      = R"({ "schema": 1, "name": "boxed", "version": "1", "vendor": "v", "type": "npu",
    "probe": { "command": ["smi"], "id": "/id", "model": "/m" },
    "capability": { "max_sequences": 1, "formats": ["gguf"] },
    "runtime": { "interface": "server", "command": ["serve", "{port}"], "container": )";
  const auto read = [&](const std::string& container, const std::string& rest = "") {
    return parse_plugin_json(head + container + rest + " } }", "x");
  };
  const auto plain = read(R"({ "image": "r.example/serve:1" })");
  ASSERT_TRUE(plain.ok()) << plain.failure().message;
  const auto& rule = *plain->runtime.server.container;
  EXPECT_EQ(rule.engine, "docker");
  EXPECT_EQ(rule.image, "r.example/serve:1");
  EXPECT_TRUE(rule.pull);
  EXPECT_FALSE(rule.publish);
  EXPECT_EQ(plain->capability.load_limit_us,
            limits::runtime_start_us_default + limits::container_pull_us_default);
  const auto never
      = read(R"({ "image": "i", "engine": "podman", "pull": "never", "network": "publish",
                               "arguments": ["--device", "/dev/npu{index}"] })");
  ASSERT_TRUE(never.ok()) << never.failure().message;
  EXPECT_EQ(never->runtime.server.container->engine, "podman");
  EXPECT_TRUE(never->runtime.server.container->publish);
  EXPECT_EQ(never->capability.load_limit_us, limits::runtime_start_us_default);
  const auto why = [&](const std::string& container, const std::string& rest = "") {
    const auto bad = read(container, rest);
    return bad ? std::string("accepted") : bad.failure().message;
  };
  EXPECT_THAT(why("{}"), HasSubstr("/runtime/container/image: required, expected"));
  EXPECT_THAT(why(R"({ "image": "--privileged" })"), HasSubstr("expected a name such as"));
  EXPECT_THAT(why(R"({ "image": "i", "engine": "lxc" })"), HasSubstr("is none of docker"));
  EXPECT_THAT(why(R"({ "image": "i", "arguments": ["{secret}"] })"), HasSubstr("{secret}"));
  EXPECT_THAT(why(R"({ "image": "i", "pull_timeout": "3h" })"), HasSubstr("up to 2h"));
  std::string many = "\"-e\"";
  for (std::size_t i = 0; i < limits::container_arguments_max; ++i)
    many += ", \"A\"";
  EXPECT_THAT(why(R"({ "image": "i", "arguments": [)" + many + "] }"), HasSubstr("at most 64"));
}

TEST(PluginLibraryBuild, IsAProgramOfOurOwnThatLoadsIt) {
  auto text
      = changed(R"x("command": ["fake-cc", "{model}", "{output}"],)x",
                R"x("interface": "c-abi", "library": "libcc.so", "library_config": {"a": 1},)x");
  text = changed(R"x("version_command": ["fake-cc", "--version"],)x", "", text);
  text = changed(R"x("progress": "(\\d+)%", )x", "", text);
  text = changed(R"x("quality": { "lines": "^quality (\\w+)=(\\S+)" },)x", "", text);
  auto document = parse_plugin_json(text, "x");
  ASSERT_TRUE(document.ok()) << document.failure().message;
  boost::asio::io_context io;
  plugin_environment environment{io, nullptr};
  environment.executable = "/opt/consort";
  const json_plugin made(*document, "/plugins/fake", environment);
  const auto& rule = made.document().builds.at(0);
  EXPECT_EQ(rule.command.at(0), "/opt/consort");
  EXPECT_THAT(rule.command, ::testing::Contains("/plugins/fake/libcc.so"));
  EXPECT_THAT(rule.command, ::testing::Contains("{output}"));
  EXPECT_THAT(rule.command, ::testing::Contains(R"x({"a":1})x"));
  EXPECT_EQ(rule.version_command.back(), "--version-only");
  const auto why = [&](const std::string& from, const std::string& to) {
    const auto bad = parse_plugin_json(changed(from, to, text), "x");
    return bad ? std::string("accepted") : bad.failure().message;
  };
  EXPECT_THAT(why(R"x("library": "libcc.so",)x", ""), HasSubstr("/build/0/library: required"));
  EXPECT_THAT(why(R"x({"a": 1})x", "[1]"), HasSubstr("/build/0/library_config"));
  EXPECT_THAT(why(R"x("library": "libcc.so",)x", R"x("library": "l.so", "command": ["cc"],)x"),
              HasSubstr("/build/0/command"));
}

TEST(PluginMemoryShare, IsReadAndBounded) {
  const auto read = [](const std::string& share, const std::string& word = "all") {
    return parse_plugin_json(
        R"({ "schema": 1, "name": "served", "version": "1", "vendor": "v", "type": "npu",
    "probe": { "command": ["smi"], "id": "/id", "model": "/m" },
    "capability": { "max_sequences": 1, "formats": ["gguf", "server/*"])"
            + share + R"( }, "runtime": { "interface": "server", "command": ["serve", "{port}", ")"
            + word + R"("] } })",
        "x");
  };
  const auto rules = [&](const std::string& share) { return read(share)->capability.memory_rules; };
  EXPECT_TRUE(rules("").empty());
  ASSERT_EQ(rules(R"(, "memory_share": 0.9)").size(), 1U);
  EXPECT_EQ(rules(R"(, "memory_share": 0.9)")[0].share_pm, 900U);
  EXPECT_EQ(rules(R"(, "memory_share": 1)")[0].formats.size(), 2U);
  for (const auto* wrong : {R"(, "memory_share": 0)", R"(, "memory_share": 1.01)"})
    EXPECT_THAT(read(wrong).failure().message, HasSubstr("above 0 and at most 1"));
  EXPECT_TRUE(read(R"(, "memory_share": 0.9)", "{memory_share}").ok());
  EXPECT_THAT(read("", "{memory_share}").failure().message, HasSubstr("expected `memory_share`"));
}

TEST(PluginAdaptersAndCache, AreReadAndCheckedAgainstTheRest) {
  const auto why = [](const std::string& runtime, const std::string& able = R"("adapters": true)",
                      const std::string& more = "") {
    const auto read = parse_plugin_json(
        R"({ "schema": 1, "name": "served", "version": "1", "vendor": "v", "type": "npu",
    "probe": { "command": ["smi"], "id": "/id", "model": "/m" },
    "capability": { "max_sequences": 1, "formats": ["gguf"])"
            + more + R"(, "runtime": { )" + able
            + R"( } }, "runtime": { "interface": "server", "command": ["serve", "{port}"], )"
            + runtime + " } }",
        "x");
    if (!read)
      return read.failure().message;
    return "read " + std::to_string(read->runtime.server.adapters.each.size()) + " "
           + std::to_string(read->capability.adapters_max) + " "
           + std::to_string(read->capability.adapter_formats.size()) + " "
           + std::to_string(read->runtime.server.cache_bytes_max);
  };
  const std::string told = R"("adapters": { "each": ["--lora", "{adapter}={adapter_path}"] })";
  EXPECT_EQ(why(told), "read 2 0 1 0");
  EXPECT_EQ(why(told, R"("adapters": true)", R"(, "adapters_max": 8)"), "read 2 8 1 0");
  EXPECT_THAT(why(told, R"("cancel": true)"), HasSubstr("must be true"));
  EXPECT_THAT(why(R"("ready": "/health")"), HasSubstr("expected `adapters`"));
  EXPECT_THAT(why(R"("adapters": { "arguments": ["--lora"] })"), HasSubstr("expected `each`"));
  EXPECT_THAT(why(R"("adapters": { "each": ["{adapters}"] })"), HasSubstr("{adapters}"));
  EXPECT_THAT(why(told, R"("cancel": true)", R"(, "adapters_max": 8)"),
              HasSubstr("only with `adapters`"));
  EXPECT_THAT(why(told, R"("adapters": true)", R"(, "adapters_max": 65)"), HasSubstr("64"));
  const std::string plain = R"("cancel": true)";
  EXPECT_EQ(why(R"("cache": {"limit": "1MiB"}, "env": {"C": "{cache}"})", plain),
            "read 0 0 0 1048576");
  EXPECT_THAT(why(R"("cache": {})", plain), HasSubstr("expected `{cache}`"));
  EXPECT_THAT(why(R"("env": {"C": "{cache}"})", plain), HasSubstr("needs `cache`"));
}

} // namespace
} // namespace consort::node
