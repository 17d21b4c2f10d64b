// SPDX-License-Identifier: Apache-2.0
#include "node/json_plugin.hpp"

#include "node/plugin_json.hpp"
#include "node/probe_answer.hpp"
#include "node/tool_compile.hpp"
#include "scheduler/formats.hpp"

#include "tests/unit/node/plugin_samples.hpp"
#include "tests/unit/node/temp_folder.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <thread>

namespace consort::node {
namespace {

using test::changed;
using test::fake_plugin;
using test::read_file;
using test::temp_folder;

const char* const two_devices = R"(cat <<'END'
{"devices": [
 {"uuid": "u1", "name": "fake-1", "memory": 16, "pci": "01:00",
  "power": 4200, "busy": 55.5, "state": "ok"},
 {"uuid": "u2", "name": "fake-2", "memory": null, "pci": null,
  "power": "[N/A]", "busy": "7 %", "state": "on fire"}]}
END)";

/// A plugin folder with fake tools, and the plugin made from it.
class fake_vendor {
public:
  explicit fake_vendor(const std::string& json = fake_plugin()) {
    folder.write("plugin.json", json);
    folder.write("libfake.so", "Without it nothing runs.");
    folder.script("fake-smi", two_devices);
    folder.script("fake-cc",
                  "[ \"$1\" = --version ] && echo 'fake-cc release 3.1.4 (b77)' && exit");
  }
  json_plugin& plugin() {
    if (!made_) {
      auto document = load_plugin_json(folder.path());
      EXPECT_TRUE(document.ok()) << document.failure().message;
      made_ = std::make_unique<json_plugin>(*std::move(document), folder.path(),
                                            plugin_environment{io, nullptr});
    }
    return *made_;
  }
  /// Runs the compiler of the first profile to its end. Returns: what it reported.
  result<compile_outcome> compile(std::vector<std::uint32_t>* progress = nullptr) {
    std::filesystem::create_directories(folder / "work");
    const auto profiles = plugin().toolchains();
    EXPECT_FALSE(profiles.empty());
    compile_request wanted{
        compile_id(1), {}, folder / "model.gguf", folder / "out", folder / "work"};
    wanted.key.profile = profiles.empty() ? build_profile{} : profiles.front();
    std::optional<result<compile_outcome>> ended;
    const auto running = plugin().compile(
        wanted,
        [&](std::uint32_t done_pm) {
          if (progress != nullptr)
            progress->push_back(done_pm);
        },
        [&](result<compile_outcome> outcome) {
          EXPECT_FALSE(ended.has_value()) << "finished twice";
          ended = std::move(outcome);
        });
    io.restart();
    io.run();
    return ended ? *ended : error{recovery::bug, "silent", "finished was not called"};
  }
  /// The compiler: answers --version, else runs `body` ($1 = model, $2 = output).
  void compiler(const std::string& body) {
    folder.script("fake-cc", "[ \"$1\" = --version ] && echo 'fake-cc 3.1.4' && exit\n" + body);
  }

  temp_folder folder;
  boost::asio::io_context io;

private:
  std::unique_ptr<json_plugin> made_;
};

TEST(JsonPlugin, ProbesItsDevices) {
  fake_vendor vendor;
  ASSERT_TRUE(vendor.plugin().available().ok());
  const auto devices = vendor.plugin().probe();
  ASSERT_TRUE(devices.ok()) << devices.failure().message;
  ASSERT_EQ(devices->size(), 2U);
  const auto& first = devices->front();
  EXPECT_EQ(first.uuid, "u1");
  EXPECT_EQ(first.model, "fake-1");
  EXPECT_EQ(first.memory_bytes, 16U * 1024 * 1024);
  EXPECT_EQ(first.attributes.at("pci"), "01:00");
  EXPECT_EQ(first.attributes.at("tflops_int8"), "32");
  EXPECT_TRUE(first.simulated);
  ASSERT_EQ(first.capability.build_profiles.size(), 1U);
  EXPECT_EQ(first.capability.build_profiles[0].profile.compiler_version, "3.1");
  EXPECT_EQ(devices->back().memory_bytes, 0U);
  EXPECT_TRUE(devices->back().capability.build_profiles.empty()) << "built for fake-1 only";
}

TEST(JsonPlugin, PricesOfTokensAreOfItsDevicesAndTheConfigurationStandsOverThem) {
  const temp_folder folder;
  folder.script("fake-smi", R"(echo '{"id": "api", "model": "API"}')");
  boost::asio::io_context io;
  auto document = parse_plugin_json(
      R"json({ "schema": 1, "name": "api", "version": "1", "vendor": "v", "type": "remote",
        "probe": { "command": ["fake-smi"], "id": "/id", "model": "/model" },
        "capability": { "max_sequences": 4, "formats": ["server/*"] },
        "runtime": { "interface": "server", "url": "https://api.example/v1", "prices": {
          "small": { "prompt": 0.15, "cached": 0.075, "completion": 0.6 },
          "large": { "prompt": 2.5, "completion": 10 } } } })json",
      "x");
  ASSERT_TRUE(document.ok()) << document.failure().message;
  plugin_environment environment{io, nullptr};
  environment.prices["api"] = {{"large", {1, 2, 3}}, {"*", {4, 5, 6}}};
  environment.prices["another"] = {{"small", {7, 8, 9}}};
  json_plugin plugin(*std::move(document), folder.path(), environment);
  const auto devices = plugin.probe();
  ASSERT_TRUE(devices.ok()) << devices.failure().message;
  const price_list expected{
      {"*", {4, 5, 6}}, {"large", {1, 2, 3}}, {"small", {150'000, 75'000, 600'000}}};
  EXPECT_EQ(devices->at(0).capability.prices, expected);
}

TEST(JsonPlugin, DevicesAndToolchainsAreOfTheSameLookAtTheCompiler) {
  fake_vendor vendor;
  auto& plugin = vendor.plugin();
  for (const char* version : {"3.1", "3.2", "4.0"}) {
    vendor.folder.script("fake-cc", std::string("echo 'fake-cc release ") + version + ".9'");
    ASSERT_TRUE(plugin.available().ok());
    const auto devices = plugin.probe();
    ASSERT_TRUE(devices.ok()) << devices.failure().message;
    ASSERT_EQ(devices->front().capability.build_profiles.size(), 1U);
    EXPECT_EQ(devices->front().capability.build_profiles[0].profile.compiler_version, version);
    ASSERT_EQ(plugin.toolchains().size(), 1U);
    EXPECT_EQ(plugin.toolchains()[0].compiler_version, version);
  }
}

TEST(JsonPlugin, ProfilesThatShareACommandForTheVersionAskOncePerLook) {
  fake_vendor vendor(changed(R"("target": "fake-1")", R"("target": ["fake-1", "fake-2"])"));
  const std::string asked = vendor.folder / "asked";
  vendor.folder.script("fake-cc", "echo >> '" + asked + "'; echo 'fake-cc 3.1.4'");
  for (const char* looks : {"\n", "\n\n"}) {
    ASSERT_TRUE(vendor.plugin().available().ok());
    EXPECT_EQ(vendor.plugin().toolchains().size(), 2U);
    EXPECT_EQ(read_file(asked), looks);
  }
}

TEST(JsonPlugin, SaysWhichOlderEnginesItsRuntimeRuns) {
  const auto rule_of = [](const std::string& json) {
    fake_vendor vendor(json);
    EXPECT_TRUE(vendor.plugin().available().ok());
    return vendor.plugin().probe()->front().capability.build_profiles.at(0).older;
  };
  EXPECT_EQ(rule_of(fake_plugin()), older_engines::none);
  EXPECT_EQ(rule_of(changed("\"compiler_version:minor\"]",
                            "\"compiler_version:minor\"], \"runs_older\": \"major\"")),
            older_engines::major);
}

TEST(JsonPlugin, ReadsTelemetryAndLeavesTheUnknownUnknown) {
  fake_vendor vendor;
  const auto readings = vendor.plugin().read();
  ASSERT_TRUE(readings.ok()) << readings.failure().message;
  EXPECT_EQ(readings->at("u1").power_mw, 4200U);
  EXPECT_EQ(readings->at("u1").utilization_pm, 555U);
  EXPECT_EQ(readings->at("u1").health, device_health::healthy);
  EXPECT_EQ(readings->at("u2").power_mw, std::nullopt);
  EXPECT_EQ(readings->at("u2").utilization_pm, 70U) << "the unit may stand behind the number";
  EXPECT_EQ(readings->at("u2").health, device_health::unhealthy);
  EXPECT_EQ(readings->at("u1").temperature_mc, std::nullopt);
}

TEST(JsonPlugin, AnEngineAddsToDevicesOfThePluginsItNames) {
  auto document = nlohmann::json::parse(fake_plugin(), nullptr, true, true);
  document["type"] = "engine";
  document["runs_on"] = {{"fake-boards", nlohmann::json::object()}};
  document["capability"] = {{"max_sequences", 9}, {"formats", {"server/*"}}};
  for (const auto* name : {"probe", "telemetry", "tags", "build"})
    document.erase(name);
  fake_vendor vendor(document.dump());
  EXPECT_TRUE(vendor.plugin().metadata().engine);
  EXPECT_TRUE(vendor.plugin().probe()->empty());
  device_spec device;
  device.plugin = "others";
  EXPECT_FALSE(vendor.plugin().adds_to(device));
  device.plugin = "fake-boards";
  const auto adds = vendor.plugin().adds_to(device);
  ASSERT_TRUE(adds);
  EXPECT_EQ(adds->max_sequences, 9U);
}

TEST(JsonPlugin, ItMayNeedAVariableOfTheEnvironment) {
  fake_vendor vendor(changed("{ \"command\": \"fake-smi\" }", R"({ "env": "CONSORT_NO_SUCH" })"));
  const auto there = vendor.plugin().available();
  ASSERT_FALSE(there.ok());
  EXPECT_NE(there.failure().message.find("not on this host: $CONSORT_NO_SUCH"), std::string::npos);
  fake_vendor home(changed("{ \"command\": \"fake-smi\" }", R"({ "env": "PATH" })"));
  EXPECT_TRUE(home.plugin().available().ok());
  fake_vendor pattern(changed("{ \"command\": \"fake-smi\" }", R"({ "path": "/proc/sel[f]" })"));
  EXPECT_TRUE(pattern.plugin().available().ok());
}

TEST(JsonPlugin, ItMayStandAsideForAPlugin) {
  fake_vendor aside(changed("{ \"command\": \"fake-smi\" }", R"({ "no_command": "fake-smi" })"));
  const auto there = aside.plugin().available();
  ASSERT_FALSE(there.ok());
  EXPECT_NE(there.failure().message.find("nothing for who has fake-smi"), std::string::npos);
  fake_vendor alone(
      changed("{ \"command\": \"fake-smi\" }", R"({ "no_command": "no-such-tool" })"));
  EXPECT_TRUE(alone.plugin().available().ok());
}

/// Missing is how most hosts are; there and of no use is a fault.
TEST(JsonPlugin, TellsAToolWithoutItsModeFromAMissingOne) {
  fake_vendor vendor;
  const auto tool = std::filesystem::path(vendor.folder / "fake-smi");
  std::filesystem::permissions(tool, std::filesystem::perms::owner_read);
  EXPECT_EQ(vendor.plugin().available().failure().code, "tool_unusable");
  std::filesystem::remove(tool);
  EXPECT_EQ(vendor.plugin().available().failure().code, "not_available");
}

TEST(JsonPlugin, SaysWhyACompilerThatIsThereCannotBeUsed) {
  fake_vendor vendor;
  auto& plugin = vendor.plugin();
  const auto faults = [&] {
    static_cast<void>(plugin.available()); // A new look.
    const auto found = plugin.compiler_faults();
    EXPECT_EQ(plugin.toolchains().empty(), true);
    return found;
  };
  EXPECT_TRUE(plugin.compiler_faults().empty());
  EXPECT_FALSE(plugin.toolchains().empty());
  vendor.folder.script("fake-cc", "echo 'no license' >&2; exit 5");
  ASSERT_EQ(faults().size(), 1U);
  EXPECT_EQ(faults()[0], "fake-cc does not say its version: fake-cc exited with 5: no license");
  const auto tool = std::filesystem::path(vendor.folder / "fake-cc");
  std::filesystem::permissions(tool, std::filesystem::perms::owner_read);
  ASSERT_EQ(faults().size(), 1U);
  EXPECT_NE(faults()[0].find("fake-cc is there, but is no executable"), std::string::npos);
  std::filesystem::remove(tool);
  EXPECT_TRUE(faults().empty()) << "it is not on this host, which is no fault";
}

TEST(JsonPlugin, ACompilerThatPrintsNoVersionIsOfNoUseAndSaysSo) {
  for (const auto& [script, words] :
       {std::pair("echo hello", "fake-cc printed no version but `hello`"),
        std::pair("exit 0", "fake-cc printed nothing")}) {
    fake_vendor vendor;
    vendor.folder.script("fake-cc", script);
    auto& plugin = vendor.plugin();
    const auto devices = plugin.probe();
    ASSERT_TRUE(devices);
    EXPECT_TRUE(plugin.toolchains().empty());
    const auto fault = plugin.fault();
    ASSERT_TRUE(fault);
    EXPECT_EQ(fault->code, "plugin_fault");
    EXPECT_EQ(fault->message, "fake-cc does not say its version: " + std::string(words));
    EXPECT_EQ(devices->front().attributes.at(core::no_compiler_attribute), fault->message);
  }
}

TEST(JsonPlugin, AMissingCompilerAndATargetThatIsNoDeviceAreToldOfTheDevice) {
  fake_vendor vendor;
  std::filesystem::remove(vendor.folder / "fake-cc");
  ASSERT_TRUE(vendor.plugin().fault());
  EXPECT_EQ(vendor.plugin().fault()->code, "compiler_missing");
  const auto words = vendor.plugin().probe()->front().attributes.at(core::no_compiler_attribute);
  EXPECT_NE(words.find("no program fake-cc"), std::string::npos) << words;

  fake_vendor other;
  other.folder.script("fake-smi", "echo '{\"devices\": [{\"uuid\": \"u\", \"name\": \"X\"}]}'");
  const auto devices = other.plugin().probe();
  ASSERT_TRUE(devices);
  EXPECT_FALSE(other.plugin().fault());
  EXPECT_EQ(devices->front().attributes.at(core::no_compiler_attribute),
            "fake-cc builds for fake-1, and the device is X");
}

TEST(JsonPlugin, ARowWithoutAnIdIsLeftOutAndNamed) {
  fake_vendor vendor;
  vendor.folder.script("fake-smi", "echo '{\"devices\": [{\"uuid\": \"u\", \"name\": \"fake-1\"}, "
                                   "{\"name\": \"x\"}]}'");
  const auto devices = vendor.plugin().probe();
  ASSERT_TRUE(devices);
  ASSERT_EQ(devices->size(), 1U);
  EXPECT_EQ(devices->front().uuid, "u");
  ASSERT_TRUE(vendor.plugin().fault());
  EXPECT_EQ(vendor.plugin().fault()->message, "probe: device 1 has no id, and is left out");
}

/// As after an update of the vendor's tool that calls its columns something else.
TEST(JsonPlugin, DevicesWithoutAModelAreNamed) {
  fake_vendor vendor;
  const auto rows = [&](const std::string& text) {
    vendor.folder.script("fake-smi", "echo '{\"devices\": [" + text + "]}'");
    const auto devices = vendor.plugin().probe();
    EXPECT_TRUE(devices.ok());
    const auto fault = vendor.plugin().fault();
    return fault ? fault->code + ": " + fault->message : "";
  };
  const std::string words = " no model: nothing stands where `model` of the probe points";
  EXPECT_EQ(rows(R"({"uuid": "u", "product": "fake-1"})"), "plugin_fault: probe: u has" + words);
  EXPECT_EQ(rows(R"({"uuid": "t", "name": "fake-1"}, {"uuid": "u"}, {"uuid": "v", "name": "N/A"})"),
            "plugin_fault: probe: u and 1 more have" + words);
  EXPECT_EQ(rows(R"({"name": "fake-1"}, {"uuid": "u"})"),
            "plugin_fault: probe: device 0 has no id, and is left out; probe: u has" + words);
  EXPECT_EQ(rows(R"({"uuid": "u"})"), "plugin_fault: probe: u has" + words);
  const auto unwell = vendor.plugin().read();
  ASSERT_TRUE(unwell.ok()) << unwell.failure().message;
  EXPECT_EQ(unwell->at("u").health, device_health::degraded);
  EXPECT_EQ(unwell->at("u").health_reason, "its plugin's probe: u has" + words);
  EXPECT_EQ(rows(R"({"uuid": "u", "name": "fake-1"})"), "");
  EXPECT_EQ(vendor.plugin().read()->at("u").health, device_health::healthy);
}

TEST(JsonPlugin, SaysWhatIsMissing) {
  fake_vendor vendor(
      changed("{ \"command\": \"fake-smi\" }",
              R"({ "all": [ { "path": "/dev/no-such-npu" }, { "command": "fake-smi" } ] })"));
  const auto there = vendor.plugin().available();
  ASSERT_FALSE(there.ok());
  EXPECT_NE(there.failure().message.find("/dev/no-such-npu"), std::string::npos);
  EXPECT_EQ(there.failure().message.find("fake-smi"), std::string::npos);
  fake_vendor either(
      changed("{ \"command\": \"fake-smi\" }",
              R"({ "any": [ { "path": "/dev/no-such-npu" }, { "command": "fake-smi" } ] })"));
  EXPECT_TRUE(either.plugin().available().ok());
}

TEST(JsonPlugin, ItsVendorsFoldersHaveItsTools) {
  const temp_folder installed;
  installed.script("fake-far-smi", two_devices);
  installed.script("fake-far-cc",
                   "[ \"$1\" = --version ] && echo 3.1.4 && exit\necho made > \"$2\"");
  auto text = fake_plugin();
  for (const std::string name : {"\"fake-smi\"", "\"fake-cc\""})
    for (auto at = text.find(name); at != std::string::npos; at = text.find(name))
      text.replace(at, name.size(), "\"fake-far" + name.substr(5));
  const auto searched = "\"search\": [\"" + installed.path() + "\"], \"priority\": 60";
  EXPECT_FALSE(fake_vendor(text).plugin().available().ok()) << "nobody said where";
  fake_vendor vendor(changed("\"priority\": 60", searched, text));
  ASSERT_TRUE(vendor.plugin().available().ok());
  EXPECT_EQ(vendor.plugin().probe()->size(), 2U);
  EXPECT_EQ(vendor.plugin().read()->size(), 2U);
  const auto built = vendor.compile();
  EXPECT_TRUE(built.ok()) << built.failure().message;
}

TEST(JsonPlugin, SaysThatItsOwnToolIsNoExecutable) {
  fake_vendor vendor;
  EXPECT_TRUE(vendor.plugin().available().ok());
  std::filesystem::permissions(vendor.folder / "fake-smi", std::filesystem::perms::owner_read);
  const auto there = vendor.plugin().available();
  ASSERT_FALSE(there.ok());
  EXPECT_NE(there.failure().message.find("fake-smi is there, but is no executable: chmod +x"),
            std::string::npos);
}

struct bad_tool {
  const char* script;
  const char* complaint;
};

TEST(JsonPlugin, AToolThatMisbehavesIsAnErrorValue) {
  const std::vector<bad_tool> tools{
      {"exit 9", "exited with 9 and printed nothing"},
      {"echo 'driver not loaded' >&2; exit 1", "driver not loaded"},
      {"kill -SEGV $$", "signal 11"},
      {"sleep 60", "fake: probe command fake-smi ran out of time (2s, probe.timeout)"},
      {"echo", "printed nothing"},
      {"echo '{\"devices\": [{\"uuid\": \"u1\"'", "not JSON"},
      {"echo '{\"devices\": [{\"uuid\": \"u1\", \"mem\": 1e999}]}'",
       "not JSON at byte 40, near `1e999`"},
      {"echo '{\"cards\": []}'", "nothing at /devices"},
      {"echo '{\"devices\": [{\"name\": \"x\"}]}'",
       "device 0 has no id: nothing stands at `/uuid`; it has name"},
      {"echo '{\"devices\": [{\"uuid\": \"x\"}, {\"uuid\": \"x\"}]}'", "two devices have the id x"},
      {"head -c 3000000 /dev/zero | tr '\\0' x", "printed more than"},
      {"i=0; while [ $i -lt 70 ]; do printf '['; i=$((i+1)); done", "nested too deep"},
  };
  for (const auto& tool : tools) {
    fake_vendor vendor(changed("\"parse\": \"json\", \"each\"", "\"timeout\": \"2s\", \"each\""));
    vendor.folder.script("fake-smi", tool.script);
    const auto devices = vendor.plugin().probe();
    ASSERT_FALSE(devices.ok()) << tool.script;
    EXPECT_NE(devices.failure().message.find(tool.complaint), std::string::npos)
        << devices.failure().message;
  }
}

TEST(Versions, AreFoundAndCut) {
  EXPECT_EQ(find_version("Cuda12 compiler, release 12.4, V12.4.131"), "12.4");
  EXPECT_EQ(find_version("Habanalabs hl-smi/hlml version hl-1.11.0-fw-45.1.1.1"), "1.11.0");
  EXPECT_EQ(find_version("version 7"), "7");
  EXPECT_EQ(find_version("no digits"), "");
  EXPECT_EQ(cut_version("1.2.3", version_scope::minor), "1.2");
  EXPECT_EQ(cut_version("1.2.3", version_scope::major), "1");
  EXPECT_EQ(cut_version("1", version_scope::minor), "1");
  EXPECT_EQ(cut_version("1.2.3", version_scope::exact), "1.2.3");
  EXPECT_EQ(cut_version("1.2.3", version_scope::none), "");
}

TEST(JsonPluginCompile, ReportsProgressAndQuality) {
  fake_vendor vendor;
  vendor.compiler("echo '10%'; echo '5%'; echo 'quality kl_mean=0.012'; echo '100%' >&2; "
                  "echo 'quality top1=0.97'; echo done > \"$2\"");
  std::vector<std::uint32_t> progress;
  const auto ended = vendor.compile(&progress);
  ASSERT_TRUE(ended.ok()) << ended.failure().message;
  EXPECT_EQ(ended->quality,
            (std::map<std::string, std::string>{{"kl_mean", "0.012"}, {"top1", "0.97"}}));
  EXPECT_TRUE(std::is_sorted(progress.begin(), progress.end()));
  EXPECT_NE(std::find(progress.begin(), progress.end(), 100U), progress.end());
  EXPECT_EQ(read_file(vendor.folder / "out"), "done\n");
}

TEST(JsonPluginCompile, ReadsQualityFromAFileAndMakesTheConfig) {
  auto json
      = changed("{ \"lines\": \"^quality (\\\\w+)=(\\\\S+)\" }", "{ \"file\": \"{output}.json\" }");
  json = changed("[\"fake-cc\", \"{model}\", \"{output}\"]",
                 "[\"fake-cc\", \"{config}\"], \"interface\": \"config\", \"config\": { "
                 "\"template\": \"in.ini\", "
                 "\"name\": \"job.ini\" }",
                 json);
  fake_vendor vendor(json);
  vendor.folder.write("in.ini", "model={model}\nout={output}\ntarget={target}\n");
  vendor.compiler("cp \"$1\" " + (vendor.folder / "seen") + "; echo x > " + (vendor.folder / "out")
                  + "; echo '{\"kl\": 0.5, \"ok\": true, \"deep\": {}}' > "
                  + (vendor.folder / "out.json"));
  const auto ended = vendor.compile();
  ASSERT_TRUE(ended.ok()) << ended.failure().message;
  EXPECT_EQ(ended->quality, (std::map<std::string, std::string>{{"kl", "0.5"}, {"ok", "true"}}));
  EXPECT_EQ(read_file(vendor.folder / "seen"), "model=" + (vendor.folder / "model.gguf") + "\nout="
                                                   + (vendor.folder / "out") + "\ntarget=fake-1\n");
  vendor.compiler("echo x > " + (vendor.folder / "out") + "; echo garbage > "
                  + (vendor.folder / "out.json"));
  EXPECT_EQ(vendor.compile().failure().code, "compiler_bad_output");
  vendor.folder.write("large", "{\"a\": \"" + std::string(limits::quality_bytes_max, 'x') + "\"}");
  vendor.compiler("echo x > " + (vendor.folder / "out") + "; cp " + (vendor.folder / "large") + " "
                  + (vendor.folder / "out.json"));
  EXPECT_EQ(vendor.compile().failure().code, "compiler_bad_output");
}

TEST(JsonPluginCompile, NamesWhatACompilerDidNotWrite) {
  fake_vendor vendor(
      changed("{ \"lines\": \"^quality (\\\\w+)=(\\\\S+)\" }", "{ \"file\": \"{output}.json\" }"));
  vendor.compiler("echo 'wrote 0 kernels'");
  EXPECT_EQ(vendor.compile().failure().message,
            "fake-cc reported success but wrote no output to {output}: wrote 0 kernels");
  vendor.compiler(": > \"$2\"; echo 'wrote 0 kernels'");
  EXPECT_EQ(vendor.compile().failure().message,
            "fake-cc reported success but wrote an empty output to {output}: wrote 0 kernels");
  vendor.compiler("echo x > \"$2\"");
  EXPECT_EQ(vendor.compile().failure().message,
            (vendor.folder / "out.json")
                + ": the compiler wrote no quality figures there (`quality` of its build)");
}

TEST(JsonPluginCompile, PluginSaysWhatItsFailuresMean) {
  fake_vendor vendor(changed("\"timeout\": \"1m\"",
                             "\"timeout\": \"1m\", \"failures\": ["
                             "{\"match\": \"out of HBM\", \"class\": \"resource\"},"
                             "{\"exit\": 77, \"class\": \"transient\"},"
                             "{\"exit\": 5, \"match\": \"E1042\", \"class\": \"deterministic\"}]"));
  const auto action = [&](const std::string& body) {
    vendor.compiler(body);
    return vendor.compile().failure().action;
  };
  EXPECT_EQ(action("echo 'fatal: out of HBM' >&2; exit 1"), recovery::retry_elsewhere);
  EXPECT_EQ(action("exit 77"), recovery::retry_later);
  EXPECT_EQ(action("echo E1042; exit 5"), recovery::refuse);
  EXPECT_EQ(action("exit 5"), recovery::retry_later) << "the table of docs/PLUGINS.md";
  EXPECT_EQ(action("exit 1"), recovery::refuse);
}

TEST(JsonPluginCompile, TellsDeterministicFailuresFromPassingOnes) {
  struct failing {
    const char* body;
    const char* code;
    recovery action;
  };
  const std::vector<failing> compilers{
      {"exit 2", "compiler_usage", recovery::refuse},
      {"echo 'no rotary here' >&2; exit 3", "compiler_unsupported", recovery::refuse},
      {"exit 4", "compiler_quality", recovery::refuse},
      {"exit 5", "compiler_no_room", recovery::retry_later},
      {"exit 77", "compiler_failed", recovery::refuse},
      {"echo 'out: No space left on device' >&2; exit 1", "compiler_disk_full",
       recovery::retry_elsewhere},
      {"echo 'Disk quota exceeded'; exit 3", "compiler_unsupported", recovery::refuse},
      {"kill -KILL $$", "compiler_killed", recovery::retry_later},
      {"exec head -c 3000000 /dev/zero > \"$2\"", "compiler_disk_limit", recovery::retry_later},
      {"head -c 3000000 /dev/zero > \"$2\"; exit 1", "compiler_disk_limit", recovery::retry_later},
      {"echo 'out: File too large' >&2; exit 1", "compiler_disk_limit", recovery::retry_later},
      {"head -c 3000000 /dev/zero > \"$2\"; exit 0", "compiler_disk_limit", recovery::retry_later},
      {"mkdir \"$2\"; head -c 3000000 /dev/zero > \"$2/part\"; exit 0", "compiler_disk_limit",
       recovery::retry_later},
      {"true", "compiler_bad_output", recovery::refuse},
      {": > \"$2\"", "compiler_bad_output", recovery::refuse},
      {"mkdir \"$2\"", "compiler_bad_output", recovery::refuse},
  };
  for (const auto& one : compilers) {
    fake_vendor vendor;
    vendor.compiler(one.body);
    const auto ended = vendor.compile();
    ASSERT_FALSE(ended.ok()) << one.body;
    EXPECT_EQ(ended.failure().code, one.code) << ended.failure().message;
    EXPECT_EQ(ended.failure().action, one.action) << one.body;
    EXPECT_EQ(ended.failure().code == "compiler_disk_limit",
              ended.failure().message.find("`build.disk`") != std::string::npos)
        << ended.failure().message;
  }
}

/// A limit of ours is nothing that the model did: another build of it may fit.
TEST(JsonPluginCompile, WhatDiesOfItsMemoryLimitFailsForNow) {
  const std::string limit = "\"timeout\": \"1m\", \"memory\": \"1TiB\"";
  fake_vendor bounded(changed("\"timeout\": \"1m\"", limit));
  for (const auto* body :
       {"echo MemoryError >&2; exit 1", "echo 'LLVM ERROR: out of memory'; kill -ABRT $$",
        "echo \"terminate called after throwing an instance of 'std::bad_alloc'\" >&2; exit 134"}) {
    bounded.compiler(body);
    const auto ended = bounded.compile();
    ASSERT_FALSE(ended.ok()) << body;
    EXPECT_EQ(ended.failure().code, "compiler_memory_limit") << ended.failure().message;
    EXPECT_EQ(ended.failure().action, recovery::retry_later) << body;
    EXPECT_NE(ended.failure().message.find("`build.memory`"), std::string::npos);
  }
  bounded.compiler("echo MemoryError >&2; exit 3");
  EXPECT_EQ(bounded.compile().failure().code, "compiler_unsupported") << "its own word counts";
  fake_vendor unbounded;
  unbounded.compiler("echo MemoryError >&2; exit 1");
  EXPECT_EQ(unbounded.compile().failure().code, "compiler_failed") << "no limit of ours";
}

TEST(JsonPluginCompile, AnOutputJustBelowItsLimitIsGood) {
  fake_vendor vendor;
  vendor.compiler("head -c 1048575 /dev/zero > \"$2\"");
  EXPECT_TRUE(vendor.compile().ok());
}

TEST(JsonPluginCompile, PutsTheLastLinesIntoTheError) {
  fake_vendor vendor;
  vendor.compiler(
      "head -c 100000 /dev/zero | tr '\\0' x >&2; printf '\\nbad \\033[1mlayer\\n' >&2; exit 3");
  const auto ended = vendor.compile();
  ASSERT_FALSE(ended.ok());
  EXPECT_TRUE(ended.failure().message.ends_with("bad ?[1mlayer")) << ended.failure().message;
  EXPECT_LT(ended.failure().message.size(), limits::compile_message_bytes_max + 200);
}

TEST(JsonPluginCompile, AHangingCompilerRunsOutOfTime) {
  fake_vendor vendor(changed("\"timeout\": \"1m\"", "\"timeout\": \"100ms\""));
  vendor.compiler("exec sleep 600");
  const auto ended = vendor.compile();
  ASSERT_FALSE(ended.ok());
  EXPECT_EQ(ended.failure().code, "compiler_timeout");
  EXPECT_EQ(ended.failure().action, recovery::retry_later);
}

/// It answered when its version was asked; another node may still have it.
TEST(JsonPluginCompile, ACompilerThatIsGoneOrWithoutItsModeIsTriedElsewhere) {
  for (const bool missing : {true, false}) {
    fake_vendor vendor;
    vendor.compiler("echo x > \"$2\"");
    ASSERT_FALSE(vendor.plugin().toolchains().empty());
    const auto tool = std::filesystem::path(vendor.folder / "fake-cc");
    if (missing)
      std::filesystem::remove(tool);
    else
      std::filesystem::permissions(tool, std::filesystem::perms::owner_read);
    const auto ended = vendor.compile();
    ASSERT_FALSE(ended.ok());
    EXPECT_EQ(ended.failure().code, "compiler_missing");
    EXPECT_EQ(ended.failure().action, recovery::retry_elsewhere);
    EXPECT_NE(ended.failure().message.find(missing ? "no program fake-cc in" : "chmod +x"),
              std::string::npos)
        << ended.failure().message;
  }
}

TEST(JsonPluginCompile, AnUnknownProfileIsRefused) {
  fake_vendor vendor;
  bool ended = false;
  compile_request wanted;
  wanted.key.profile.name = "$(reboot)";
  const auto running = vendor.plugin().compile(wanted, nullptr, [&](const auto& outcome) {
    ended = true;
    EXPECT_EQ(outcome.failure().code, "no_compiler");
  });
  EXPECT_TRUE(ended);
  EXPECT_NE(running, nullptr);
}

TEST(JsonPluginCompile, ACompilerWithoutVersionIsNoToolchain) {
  fake_vendor vendor;
  vendor.folder.script("fake-cc", "exit 1");
  EXPECT_TRUE(vendor.plugin().toolchains().empty());
  EXPECT_TRUE(vendor.plugin().probe()->front().capability.build_profiles.empty());
}

TEST(JsonPluginRuntime, IsMadeOnceFromTheFolder) {
  struct no_runtime : runtime {
    void open(const session_request&, std::function<void(result<std::shared_ptr<runtime_session>>)>,
              std::function<void(error)>) override {}
  };
  boost::asio::io_context io;
  auto document = parse_plugin_json(fake_plugin(), "x");
  document->capability.max_context_tokens = 512;
  std::vector<c_abi_spec> asked;
  json_plugin made(*document, "/plugins/fake", {io, [&](const c_abi_spec& spec) {
                                                  asked.push_back(spec);
                                                  return std::make_unique<no_runtime>();
                                                }});
  EXPECT_NE(made.device_runtime(), nullptr);
  EXPECT_EQ(made.device_runtime(), made.device_runtime());
  ASSERT_EQ(asked.size(), 1U);
  EXPECT_EQ(asked[0].library, "/plugins/fake/libfake.so");
  EXPECT_EQ(asked[0].sequences, 4U);
  EXPECT_EQ(asked[0].capabilities.context_tokens, 512U);
  EXPECT_EQ(asked[0].config_json, R"({"tiles":4})");
}

} // namespace
} // namespace consort::node
