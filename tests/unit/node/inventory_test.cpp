// SPDX-License-Identifier: Apache-2.0
#include "node/inventory.hpp"

#include "node/builtin.hpp"
#include "node/cpu_readings.hpp"
#include "node/host_topology.hpp"

#include "tests/unit/node/plugin_samples.hpp"
#include "tests/unit/node/temp_folder.hpp"

namespace consort::node {
namespace {

using test::changed;
using test::fake_plugin;
using test::temp_folder;

/// A plugin whose answers are given by the test.
class scripted_plugin : public plugin {
public:
  scripted_plugin(std::string name, int priority, std::vector<std::string> uuids,
                  resource_type type = resource_type::npu)
      : uuids_(std::move(uuids)) {
    metadata_.name = std::move(name);
    metadata_.priority = priority;
    metadata_.type = type;
  }
  [[nodiscard]] const plugin_metadata& metadata() const override { return metadata_; }
  [[nodiscard]] result<done> available() override {
    if (uuids_.empty())
      return error{recovery::retry_later, "not_available", "nothing here"};
    return done{};
  }
  [[nodiscard]] result<std::vector<device_spec>> probe() override {
    if (metadata_.engine)
      return std::vector<device_spec>{};
    if (uuids_.front() == "broken")
      return error{recovery::retry_later, "tool_failed", "the tool burns"};
    std::vector<device_spec> devices;
    for (const auto& uuid : uuids_) {
      device_spec device;
      device.uuid = uuid;
      device.type = metadata_.type;
      device.plugin = metadata_.name;
      device.stages = stages;
      devices.push_back(device);
    }
    return devices;
  }
  [[nodiscard]] result<std::map<std::string, device_reading>> read() override {
    std::map<std::string, device_reading> readings;
    for (const auto& uuid : uuids_)
      readings[uuid].power_mw = uuid.size();
    return readings;
  }
  [[nodiscard]] std::vector<build_profile> toolchains() override { return {}; }
  std::unique_ptr<running_compile>
  compile(const compile_request&, std::function<void(std::uint32_t)>,
          std::function<void(result<compile_outcome>)> finished) override {
    finished(error{});
    return std::make_unique<running_compile>();
  }
  [[nodiscard]] std::optional<device_capability> adds_to(const device_spec& device) override {
    if (device.plugin != hosts_)
      return std::nullopt;
    device_capability can;
    can.max_sequences = 7;
    can.formats = {metadata_.name + "/*"};
    can.memory_rules = {{{"shared", metadata_.name + "/*"}, 900}};
    can.formats.emplace_back("shared");
    can.load_limit_us = (100 - metadata_.priority) * limits::second_us;
    return can;
  }
  [[nodiscard]] runtime* device_runtime() override { return runs_ ? &runtime_ : nullptr; }

  /// From now on an engine that runs on that plugin's devices.
  void become_engine(std::string hosts) {
    hosts_ = std::move(hosts);
    runs_ = metadata_.engine = true;
  }
  stage_plan stages; ///< Of each of its devices.

private:
  struct idle_runtime final : runtime {
    void open(const session_request&, std::function<void(result<std::shared_ptr<runtime_session>>)>,
              std::function<void(error)>) override {}
  };
  std::string hosts_;
  bool runs_ = false;
  idle_runtime runtime_;
  plugin_metadata metadata_;
  std::vector<std::string> uuids_;
};

std::unique_ptr<plugin> scripted(const char* name, int priority, std::vector<std::string> uuids,
                                 resource_type type = resource_type::npu) {
  return std::make_unique<scripted_plugin>(name, priority, std::move(uuids), type);
}

std::vector<std::string> ids_of(const inventory& all) {
  std::vector<std::string> ids;
  for (const auto& device : all.devices())
    ids.push_back(device.id.value + "=" + device.uuid);
  return ids;
}

TEST(Inventory, NamesDevicesByPluginThenUuidWhateverTheOrderOfLoading) {
  for (const bool swapped : {false, true}) {
    inventory all(node_id("edge-3"));
    auto a = scripted("a", 1, {"z", "m"}), b = scripted("b", 9, {"c"});
    all.add(swapped ? std::move(b) : std::move(a));
    all.add(swapped ? std::move(a) : std::move(b));
    all.add(scripted("cpu", 1, {"host"}, resource_type::cpu));
    EXPECT_TRUE(all.probe().empty());
    EXPECT_EQ(ids_of(all), (std::vector<std::string>{"edge-3/cpu0=host", "edge-3/npu0=m",
                                                     "edge-3/npu1=z", "edge-3/npu2=c"}));
    EXPECT_EQ(all.devices()[0].node, node_id("edge-3"));
  }
}

TEST(Inventory, AStageWithoutANodeIsADeviceOfThisOne) {
  inventory all(node_id("edge-3"));
  auto pair = std::make_unique<scripted_plugin>("pair", 1, std::vector<std::string>{"p"},
                                                resource_type::hybrid);
  pair->stages = {device_id("gpu0"), device_id("far/pim0"), 0, 0};
  all.add(std::move(pair));
  EXPECT_TRUE(all.probe().empty());
  EXPECT_EQ(all.devices().at(0).stages.prefill, device_id("edge-3/gpu0"));
  EXPECT_EQ(all.devices().at(0).stages.decode, device_id("far/pim0"));
}

TEST(Inventory, GivesADeviceToTheHighestPriorityAndSaysWhy) {
  inventory all(node_id("n"));
  all.add(scripted("generic", 10, {"u", "only"}));
  all.add(scripted("vendor", 80, {"u", "tie"}));
  all.add(scripted("rival", 80, {"tie"}));
  EXPECT_TRUE(all.probe().empty());
  ASSERT_EQ(all.claims().size(), 3U);
  EXPECT_EQ(all.claims()[0].winner, "generic");
  EXPECT_EQ(all.claims()[0].reason, "only claim");
  EXPECT_EQ(all.claims()[1].winner, "rival");
  EXPECT_EQ(all.claims()[1].reason, "equal priority 80, first by name before vendor");
  EXPECT_EQ(all.claims()[2].winner, "vendor");
  EXPECT_EQ(all.claims()[2].reason, "priority 80 over 10 (generic)");
  EXPECT_EQ(all.claims()[2].losers, std::vector<std::string>{"generic"});
  EXPECT_EQ(all.find(all.claims()[2].device)->plugin, "vendor");
  EXPECT_EQ(all.plugins()[0].devices.size(), 1U);
}

TEST(Inventory, EnginesRunOnDevicesOfOthers) {
  inventory all(node_id("n"));
  std::vector<runtime*> runtimes;
  for (const auto* name : {"slow", "swift"}) {
    auto engine = std::make_unique<scripted_plugin>(name, name == std::string("swift") ? 60 : 50,
                                                    std::vector<std::string>{"unused"});
    engine->become_engine("boards");
    runtimes.push_back(engine->device_runtime());
    all.add(std::move(engine));
  }
  all.add(scripted("boards", 50, {"b1"}));
  all.add(scripted("others", 50, {"o1"}));
  ASSERT_TRUE(all.probe().empty());
  const auto board = all.find(device_id("n/npu0"));
  ASSERT_TRUE(board);
  EXPECT_EQ(board->plugin, "boards");
  EXPECT_EQ(board->capability.formats, (std::vector<std::string>{"swift/*", "shared", "slow/*"}));
  ASSERT_EQ(board->capability.memory_rules.size(), 2U);
  EXPECT_EQ(board->capability.memory_rules[1].formats, std::vector<std::string>{"slow/*"})
      << "what both run is the first one's";
  EXPECT_EQ(board->capability.max_sequences, 7U);
  EXPECT_EQ(board->capability.load_limit_us, 50 * limits::second_us) << "the slowest one's";
  EXPECT_EQ(all.runtime_of(board->id, "slow/x").get(), runtimes[0]);
  EXPECT_EQ(all.runtime_of(board->id, "swift/x").get(), runtimes[1]);
  EXPECT_EQ(all.runtime_of(board->id, "swift/"), nullptr) << "a name must follow";
  EXPECT_EQ(all.runtime_of(board->id, "gguf"), nullptr);
  EXPECT_EQ(all.runtime_of(device_id("n/npu1"), "slow/x"), nullptr) << "not its device";
  for (const auto& status : all.plugins())
    if (status.metadata.engine) {
      EXPECT_EQ(status.hosts, std::vector<device_id>{board->id});
    }
}

TEST(Inventory, ABrokenPluginDoesNotStopTheOthers) {
  inventory all(node_id("n"));
  all.add(scripted("a-broken", 1, {"broken"}));
  all.add(scripted("b-absent", 1, {}));
  all.add(scripted("c-good", 1, {"u"}));
  const auto failures = all.probe();
  ASSERT_EQ(failures.size(), 1U);
  EXPECT_EQ(all.devices().size(), 1U);
  EXPECT_EQ(all.plugins()[0].reason, "the tool burns");
  EXPECT_TRUE(all.plugins()[0].available);
  EXPECT_FALSE(all.plugins()[1].available);
  EXPECT_EQ(all.plugins()[1].reason, "nothing here");
  EXPECT_TRUE(all.plugins()[2].reason.empty());
}

TEST(Inventory, LoadsFoldersAndReportsBrokenOnes) {
  const temp_folder folder;
  folder.write("a/plugin.json", fake_plugin());
  folder.script("a/fake-smi", "echo '{\"devices\": [{\"uuid\": \"u1\", \"name\": \"fake-1\"}]}'");
  folder.script("a/fake-cc", "echo 1.2.3");
  folder.write("b/plugin.json", "{ \"schema\": 1,\n \"nmae\": \"x\" }");
  folder.write("c/plugin.json", fake_plugin());
  folder.write("d/readme", "no plugin");
  boost::asio::io_context io;
  inventory all(node_id("n"));
  const auto failures = all.load(folder.path(), {io, nullptr});
  ASSERT_EQ(failures.size(), 2U);
  EXPECT_NE(failures[0].message.find("b/plugin.json:"), std::string::npos) << failures[0].message;
  EXPECT_EQ(failures[1].code, "plugin_duplicate");
  EXPECT_TRUE(all.probe().empty());
  EXPECT_EQ(ids_of(all), std::vector<std::string>{"n/npu0=u1"});
  ASSERT_EQ(all.toolchains().size(), 1U);
  EXPECT_EQ(all.toolchains()[0].compiler_version, "1.2");
  EXPECT_TRUE(all.load(folder / "missing", {io, nullptr}).empty());
}

/// A folder of plugins with the made-up vendor in it, that can be changed.
class reload_fixture : public ::testing::Test {
protected:
  void SetUp() override {
    vendor("a", "u1");
    ASSERT_TRUE(all.load(folder.path(), environment).empty());
    ASSERT_TRUE(all.probe().empty());
  }
  /// A plugin that finds these devices; its name is the folder's.
  void vendor(const std::string& name, const std::string& uuid) {
    folder.write(name + "/plugin.json",
                 changed("\"name\": \"fake\"", "\"name\": \"" + name + "\""));
    monitor(name, "echo '{\"devices\": [{\"uuid\": \"" + uuid + "\", \"name\": \"fake-1\"}]}'");
    folder.script(name + "/fake-cc", "echo 1.2.3");
  }
  void monitor(const std::string& name, const std::string& body) {
    folder.script(name + "/fake-smi", body);
  }
  inventory_change reload() { return all.reload({folder.path()}, environment); }

  const temp_folder folder;
  boost::asio::io_context io;
  const plugin_environment environment{io, nullptr};
  inventory all{node_id("n")};
};

using InventoryReload = reload_fixture;

TEST_F(InventoryReload, NewPluginsComeAndIdsStay) {
  vendor("0-first", "u0"); // Would have been npu0, had it been there at the start.
  const auto change = reload();
  ASSERT_EQ(change.appeared.size(), 1U);
  EXPECT_EQ(change.appeared[0].uuid, "u0");
  EXPECT_TRUE(change.gone.empty());
  EXPECT_TRUE(change.toolchains);
  EXPECT_EQ(change.plugins_came, std::vector<std::string>{"0-first"});
  EXPECT_EQ(ids_of(all), (std::vector<std::string>{"n/npu0=u1", "n/npu1=u0"}));
  const auto nothing = reload();
  EXPECT_TRUE(nothing.appeared.empty() && nothing.gone.empty() && !nothing.toolchains);
  EXPECT_TRUE(nothing.plugins_came.empty() && nothing.plugins_gone.empty());
}

TEST_F(InventoryReload, ACompilerThatIsAnotherFileIsToldOfUnderTheSameVersionToo) {
  EXPECT_FALSE(reload().toolchains);
  const auto before = all.compiler_files();
  folder.script("a/fake-cc", "echo 1.2.3 # mended");
  const auto mended = reload();
  EXPECT_TRUE(mended.toolchains);
  EXPECT_TRUE(mended.gone.empty() && mended.appeared.empty()) << "what runs goes on";
  EXPECT_NE(all.compiler_files(), before);
  EXPECT_FALSE(reload().toolchains);
  // Nor does it matter what runs the script, or that it is a link's end.
  const auto script = folder.write("lowering.py", "first");
  std::filesystem::create_symlink(script, folder / "a/lower");
  folder.write("a/plugin.json",
               changed("[\"fake-cc\", \"{model}\"", "[\"fake-cc\", \"{plugin}/lower\", \"{model}\"",
                       changed("\"name\": \"fake\"", "\"name\": \"a\"")));
  EXPECT_TRUE(reload().toolchains);
  folder.write("lowering.py", "second");
  EXPECT_TRUE(reload().toolchains);
  EXPECT_FALSE(reload().toolchains);
}

TEST_F(InventoryReload, MissingPluginsGoAndTheirIdsAreRemembered) {
  vendor("b", "u2");
  EXPECT_EQ(reload().appeared.size(), 1U);
  std::filesystem::remove_all(folder / "a");
  const auto change = reload();
  EXPECT_EQ(change.gone, std::vector<device_id>{device_id("n/npu0")});
  EXPECT_EQ(change.plugins_gone, std::vector<std::string>{"a"});
  EXPECT_EQ(ids_of(all), std::vector<std::string>{"n/npu1=u2"});
  EXPECT_FALSE(all.find(device_id("n/npu0")));
  EXPECT_EQ(all.runtime_of(device_id("n/npu0")), nullptr);
  vendor("a", "u1");
  EXPECT_EQ(reload().appeared.size(), 1U);
  EXPECT_EQ(ids_of(all), (std::vector<std::string>{"n/npu0=u1", "n/npu1=u2"}));
}

TEST_F(InventoryReload, ChangedPluginTakesOverItsDevices) {
  folder.write("a/plugin.json", changed("\"name\": \"fake\"", "\"name\": \"renamed\""));
  const auto change = reload();
  EXPECT_EQ(change.gone.size(), 1U);
  ASSERT_EQ(change.appeared.size(), 1U);
  EXPECT_EQ(change.appeared[0].plugin, "renamed");
  EXPECT_EQ(change.why_gone.at(device_id("n/npu0")), "plugin renamed has it now, no longer a");
  EXPECT_EQ(ids_of(all), std::vector<std::string>{"n/npu0=u1"});
}

TEST_F(InventoryReload, WhatRunsGoesOnUnderAFileThatRunsModelsAlike) {
  auto text = changed("\"name\": \"fake\"", "\"name\": \"a\"");
  for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
           {"\"tags\": [\"low-latency\"]", "\"tags\": [\"mended\"]"},
           {"\"power_watts\": { \"at\": \"/power\"", "\"power_watts\": { \"at\": \"/watts\""},
           {"\"pci\": \"/pci\"", "\"pci\": \"/address\""},
           {"\"timeout\": \"1m\"", "\"timeout\": \"2m\""},
           {"// comment", "// another"}}) {
    text = changed(from, to, text);
    folder.write("a/plugin.json", text);
    const auto change = reload();
    EXPECT_TRUE(change.gone.empty() && change.appeared.empty()) << to;
    EXPECT_EQ(change.plugins_came, std::vector<std::string>{"a"}) << to;
  }
  EXPECT_EQ(all.devices().at(0).tags, std::vector<std::string>{"mended"})
      << "it is read all the same";
}

TEST_F(InventoryReload, WhatRanOtherwiseBeginsAnewAndSaysSo) {
  const auto text = changed("\"name\": \"fake\"", "\"name\": \"a\"");
  for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
           {"\"tiles\": 4", "\"tiles\": 8"},
           {"\"max_sequences\": 4", "\"max_sequences\": 2"},
           {"\"version\": \"1.0\"", "\"version\": \"1.1\""}}) {
    folder.write("a/plugin.json", changed(from, to, text));
    const auto change = reload();
    ASSERT_EQ(change.gone, std::vector<device_id>{device_id("n/npu0")}) << to;
    EXPECT_EQ(change.why_gone.at(device_id("n/npu0")),
              "its plugin a changed, and what ran there begins anew");
    EXPECT_EQ(change.appeared.size(), 1U) << to;
  }
  monitor("a", "echo '{\"devices\": [{\"uuid\": \"u1\", \"name\": \"fake-2\"}]}'");
  EXPECT_TRUE(reload().gone.empty()) << "of an unchanged plugin as ever";
  monitor("a", "echo '{\"devices\": []}'");
  EXPECT_EQ(reload().why_gone.at(device_id("n/npu0")), "its plugin a no longer finds it");
}

TEST_F(InventoryReload, OtherHardwareUnderAChangedFileBeginsAnew) {
  monitor("a", "echo '{\"devices\": [{\"uuid\": \"u1\", \"name\": \"fake-2\"}]}'");
  folder.write("a/plugin.json",
               changed("low-latency", "mended", changed("\"name\": \"fake\"", "\"name\": \"a\"")));
  EXPECT_EQ(reload().gone.size(), 1U);
}

// --- readings of devices that telemetry does not name ---

TEST_F(InventoryReload, ADeviceThatTelemetryNeverNamedIsWellAndItsReadingsAreUnknown) {
  folder.write("a/plugin.json", changed("\"id\": \"/uuid\",\n                 \"power_watts\"",
                                        "\"id\": \"/serial\", \"power_watts\"",
                                        changed("\"name\": \"fake\"", "\"name\": \"a\"")));
  monitor("a", "echo '{\"devices\": [{\"uuid\": \"u1\", \"name\": \"fake-1\", \"serial\": \"S7\", "
               "\"power\": 4200}]}'");
  ASSERT_TRUE(reload().complaints.empty());
  const auto readings = all.read("a");
  ASSERT_TRUE(readings.ok()) << readings.failure().message;
  const auto& reading = readings->at(device_id("n/npu0"));
  EXPECT_EQ(reading.health, device_health::healthy);
  EXPECT_EQ(reading.power_mw, std::nullopt);
  EXPECT_EQ(reading.health_reason, "its readings are unknown: its plugin's telemetry has no row "
                                   "with id u1; rows: S7");
}

TEST_F(InventoryReload, ADeviceThatTelemetryNamesNoLongerIsUnhealthy) {
  EXPECT_EQ(all.read("a")->at(device_id("n/npu0")).health, device_health::healthy);
  EXPECT_EQ(all.read("a")->at(device_id("n/npu0")).health_reason, "");
  std::string rows;
  for (std::size_t at = 0; at < limits::rows_named_max + 2; ++at)
    rows += std::string(at == 0 ? "" : ", ") + "{\"uuid\": \"x" + std::to_string(at) + "\"}";
  monitor("a", "echo '{\"devices\": [" + rows + "]}'");
  const auto gone = all.read("a")->at(device_id("n/npu0"));
  EXPECT_EQ(gone.health, device_health::unhealthy);
  EXPECT_EQ(gone.health_reason,
            "was read before, and now its plugin's telemetry has no row with id u1; rows: x0, x1, "
            "x2, x3, x4, x5, x6, x7 and 2 more");
  monitor("a", "echo '{\"devices\": [{\"uuid\": \"u1\"}]}'");
  EXPECT_EQ(all.read("a")->at(device_id("n/npu0")).health, device_health::healthy);
}

/// Whoever reads it hears of the reload a moment later.
TEST_F(InventoryReload, OfAPluginWhoseDevicesWentNothingIsRead) {
  monitor("a", "echo '{\"devices\": []}'");
  ASSERT_EQ(reload().gone.size(), 1U);
  const auto readings = all.read("a");
  ASSERT_TRUE(readings.ok()) << readings.failure().message;
  EXPECT_TRUE(readings->empty());
}

TEST_F(InventoryReload, AHealthWordThatMeansNothingIsNamed) {
  const auto says = [&](const std::string& word) {
    monitor("a",
            R"(echo '{"devices": [{"uuid": "u1", "name": "fake-1", "state": ")" + word + "\"}]}'");
    return all.read("a")->at(device_id("n/npu0"));
  };
  EXPECT_EQ(says("ok").health_reason, "");
  EXPECT_EQ(says("degraded").health_reason, "its plugin's telemetry says degraded");
  const auto odd = says("ERR 7");
  EXPECT_EQ(odd.health, device_health::unhealthy);
  EXPECT_EQ(
      odd.health_reason,
      "its plugin's telemetry says ERR 7: none of healthy, degraded, unhealthy; map it in the "
      "telemetry's health.words");
  folder.write("a/plugin.json", changed("\"ok\": \"healthy\"", "\"OK\": \"fine\"",
                                        changed("\"name\": \"fake\"", "\"name\": \"a\"")));
  const auto refused = reload().complaints; // Refused by its file, so the old one stays.
  ASSERT_EQ(refused.size(), 1U);
  EXPECT_NE(refused.front().message.find("`words` makes `OK` of it `fine`"), std::string::npos);
}

/// It may be anybody's: who is named is read, and of who is not nothing is known.
TEST_F(InventoryReload, ARowWithoutAnIdIsLeftOutOfTheReadings) {
  const std::string first = R"({"uuid": "u1", "name": "fake-1", "power": 4200})";
  const auto both = "echo '{\"devices\": [" + first + R"(, {"uuid": "u2", "name": "fake-1"}]}')";
  monitor("a", both);
  reload();
  ASSERT_EQ(all.devices().size(), 2U);
  EXPECT_EQ(all.read("a")->at(device_id("n/npu1")).health, device_health::healthy);
  monitor("a", "echo '{\"devices\": [" + first + R"(, {"name": "fake-1", "power": 1}]}')");
  const auto readings = all.read("a");
  ASSERT_TRUE(readings.ok()) << readings.failure().message;
  EXPECT_EQ(readings->at(device_id("n/npu0")).health, device_health::healthy);
  EXPECT_TRUE(readings->at(device_id("n/npu0")).power_mw);
  EXPECT_EQ(readings->at(device_id("n/npu1")).health, device_health::degraded);
  EXPECT_EQ(readings->at(device_id("n/npu1")).health_reason,
            "its plugin's telemetry: device 1 has no id, and is left out");
  monitor("a", both);
  EXPECT_EQ(all.read("a")->at(device_id("n/npu1")).health, device_health::healthy);
}

/// Neither good news nor bad: what was read last counts.
TEST_F(InventoryReload, AHealthThatCannotBeReadIsAsItWasReadLast) {
  const auto says = [&](const std::string& state) {
    monitor("a", "echo '{\"devices\": [{\"uuid\": \"u1\", \"state\": " + state + "}]}'");
    return all.read("a")->at(device_id("n/npu0"));
  };
  for (const char* nothing : {"\"N/A\"", "\"-\"", "\"\"", "null"}) {
    EXPECT_EQ(says("\"ok\"").health, device_health::healthy);
    EXPECT_EQ(says(nothing).health, device_health::healthy) << nothing;
    EXPECT_EQ(says(nothing).health_reason, "") << nothing;
    EXPECT_EQ(says("\"unhealthy\"").health, device_health::unhealthy);
    EXPECT_EQ(says(nothing).health, device_health::unhealthy) << nothing;
    EXPECT_EQ(says(nothing).health_reason, "its plugin's telemetry says unhealthy") << nothing;
  }
  EXPECT_EQ(says("\"ok\"").health, device_health::healthy);
}

TEST_F(InventoryReload, ANewPluginOfNoUseHereSaysWhyAndComesOnceItIs) {
  vendor("b", "u2");
  monitor("b", "echo '{\"devices\": []}'");
  const auto change = reload();
  EXPECT_EQ(change.plugins_came, std::vector<std::string>{"b"});
  ASSERT_EQ(change.complaints.size(), 1U);
  EXPECT_EQ(change.complaints[0].message, "b: no device found");
  EXPECT_TRUE(reload().complaints.empty()) << "said once";
  monitor("b", "echo '{\"devices\": [{\"uuid\": \"u2\", \"name\": \"fake-1\"}]}'");
  EXPECT_EQ(reload().plugins_came, std::vector<std::string>{"b"});
}

/// Such as a copy of the folder that was made before a change.
TEST_F(InventoryReload, ACopyThatSortsFirstDoesNotTakeOver) {
  folder.write("0-copy/plugin.json", changed("\"name\": \"fake\"", "\"name\": \"a\""));
  folder.script("0-copy/fake-smi",
                "echo '{\"devices\": [{\"uuid\": \"u1\", \"name\": \"fake-1\"}]}'");
  const auto expect_refused = [&](const inventory_change& change) {
    ASSERT_EQ(change.complaints.size(), 1U);
    EXPECT_EQ(change.complaints[0].message,
              folder / "0-copy" + ": plugin a is already loaded from " + folder / "a");
    EXPECT_TRUE(change.gone.empty() && change.appeared.empty());
  };
  expect_refused(reload());
  expect_refused(reload());
  folder.write("a/plugin.json",
               changed("low-latency", "mended", changed("\"name\": \"fake\"", "\"name\": \"a\"")));
  const auto change = reload();
  expect_refused(change);
  EXPECT_EQ(change.plugins_came, std::vector<std::string>{"a"}) << "as it is written now";
  EXPECT_EQ(all.devices().at(0).tags, std::vector<std::string>{"mended"});
  std::filesystem::remove_all(folder / "a");
  EXPECT_TRUE(reload().complaints.empty()) << "its name is free";
  EXPECT_EQ(ids_of(all), std::vector<std::string>{"n/npu0=u1"});
}

TEST_F(InventoryReload, APluginThatBecomesOfNoUseSaysWhyOnce) {
  monitor("a", "echo '{\"devices\": []}'");
  const auto change = reload();
  ASSERT_EQ(change.complaints.size(), 1U);
  EXPECT_EQ(change.complaints[0].message, "a is of no use any more: no device found");
  EXPECT_TRUE(change.plugins_came.empty());
  EXPECT_TRUE(reload().complaints.empty()) << "said once";
}

TEST_F(InventoryReload, APluginWhoseDevicesAnotherOneHasNowIsNoLoss) {
  vendor("b", "u1");
  EXPECT_TRUE(reload().complaints.empty());
  monitor("a", "echo '{\"devices\": []}'");
  const auto change = reload();
  EXPECT_TRUE(change.complaints.empty());
  EXPECT_EQ(change.why_gone.at(device_id("n/npu0")), "plugin b has it now, no longer a");
}

/// As after an update of the vendor's tool.
TEST_F(InventoryReload, AProbeThatPrintsOtherLinesSaysSo) {
  folder.write("a/plugin.json",
               changed(R"("parse": "json", "each": "/devices",
             "id": "/uuid", "model": "/name", "memory_bytes": { "at": "/memory", "unit": "MiB" },
             "attributes": { "pci": "/pci" } })",
                       R"x("parse": "text", "each": "^dev (.*)", "id": "1", "model": "1" })x",
                       changed("\"name\": \"fake\"", "\"name\": \"a\"")));
  monitor("a", "echo 'Card 0'; echo 'Card 1'");
  EXPECT_EQ(reload().gone.size(), 1U);
  const auto seen = all.plugins();
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].reason, "no device found: none of the 2 lines that it printed matches `each`; "
                            "the first: Card 0");
}

TEST_F(InventoryReload, WhatIsBrokenLeavesThingsAsTheyAre) {
  folder.write("a/plugin.json", "{ \"schema\": 1,");
  const auto broken = reload();
  ASSERT_EQ(broken.complaints.size(), 1U);
  EXPECT_TRUE(broken.gone.empty() && broken.appeared.empty());
  vendor("a", "u1");
  EXPECT_TRUE(reload().gone.empty());
  monitor("a", "exit 3");
  const auto silent = reload();
  EXPECT_EQ(silent.complaints.size(), 1U);
  EXPECT_TRUE(silent.gone.empty());
  EXPECT_EQ(all.devices().size(), 1U);
  monitor("a", "echo '{\"devices\": []}'");
  EXPECT_EQ(reload().gone.size(), 1U);
}

TEST(Inventory, RefusesMoreFoldersThanItsLimit) {
  const temp_folder folder;
  for (std::size_t i = 0; i <= limits::plugin_folders_max; ++i)
    folder.write("p" + std::to_string(i) + "/plugin.json", "");
  boost::asio::io_context io;
  inventory all(node_id("n"));
  const auto failures = all.load(folder.path(), {io, nullptr});
  EXPECT_EQ(failures.size(), limits::plugin_folders_max + 1);
  EXPECT_EQ(failures.front().code, "plugin_folder");
}

TEST(Inventory, ReadsByDevice) {
  inventory all(node_id("n"));
  all.add(scripted("generic", 10, {"u", "four"}));
  all.add(scripted("vendor", 80, {"u"}));
  ASSERT_TRUE(all.probe().empty());
  const auto readings = all.read("generic");
  ASSERT_TRUE(readings.ok());
  ASSERT_EQ(readings->size(), 1U) << "the other device is another plugin's";
  EXPECT_EQ(readings->begin()->second.power_mw, 4U);
  const auto none = all.read("nobody");
  ASSERT_TRUE(none.ok()) << none.failure().message;
  EXPECT_TRUE(none->empty());
  EXPECT_EQ(all.runtime_of(device_id("n/npu9")), nullptr);
}

/// A fake root with the files that the cpu plugin reads.
class fake_host {
public:
  fake_host() {
    root.write("proc/cpuinfo",
               "processor\t: 0\nmodel name\t: Test CPU\nflags\t\t: fpu avx2 fma avx512f\n");
    root.write("proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 800 kB\n");
    root.write("proc/stat", "cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 ...\n");
    root.write("proc/self/cgroup", "0::/a/b\n");
    root.write("etc/machine-id", "0123456789abcdef\n");
  }
  temp_folder root;
};

class idle_runtime final : public runtime {
  void open(const session_request&, std::function<void(result<std::shared_ptr<runtime_session>>)>,
            std::function<void(error)>) override {}
};

TEST(CpuPlugin, DescribesTheHostAsOneDevice) {
  const fake_host host;
  const auto library = host.root.write("lib.so", "");
  std::vector<c_abi_spec> asked;
  builtin_config config;
  config.cpu.llama_library = library;
  config.cpu.root = host.root.path();
  config.cpu.make_c_abi = [&](const c_abi_spec& spec) {
    asked.push_back(spec);
    return std::make_unique<idle_runtime>();
  };
  inventory all(node_id("local"));
  for (auto& one : builtin_plugins(config))
    all.add(std::move(one));
  ASSERT_TRUE(all.probe().empty());
  ASSERT_EQ(all.devices().size(), 1U);
  const auto cpu = all.devices()[0];
  EXPECT_EQ(cpu.id, device_id("local/cpu0"));
  EXPECT_EQ(cpu.model, "Test CPU");
  EXPECT_EQ(cpu.attributes.at("simd"), "avx2 fma avx512f");
  EXPECT_EQ(cpu.memory_bytes, 800U * 1024 / 1000 * limits::cpu_memory_share_pm);
  EXPECT_EQ(cpu.capability.formats, std::vector<std::string>{"gguf"});
  EXPECT_LE(cpu.capability.max_sequences, limits::cpu_sequences_max);
  EXPECT_GE(cpu.spec.decode_tokens_per_s, 1U);
  EXPECT_EQ(cpu.uuid.find("0123456789abcdef"), std::string::npos) << "the machine id is private";
  [[maybe_unused]] const auto runtime = all.runtime_of(cpu.id);
  ASSERT_EQ(asked.size(), 1U) << "one runtime, however often it is asked for";
  EXPECT_EQ(asked[0].library, library);
  EXPECT_GE(asked[0].threads, 1U);
  const auto reading = all.read("cpu");
  ASSERT_TRUE(reading.ok());
  EXPECT_EQ(reading->at(cpu.id).memory_used_bytes, 200U * 1024);
  EXPECT_EQ(reading->at(cpu.id).power_mw, std::nullopt);
}

TEST(CpuPlugin, IsNotAvailableWithoutItsEngine) {
  auto made = make_cpu_plugin({"/no/such/library.so", nullptr, 0, 0, {}});
  ASSERT_FALSE(made->available().ok());
  EXPECT_NE(made->available().failure().message.find("/no/such/library.so"), std::string::npos);
}

TEST(HostTopology, AgreesWithThisHost) {
  const auto host = read_topology("");
  EXPECT_GE(host.processors, host.cores);
  EXPECT_GE(read_available_memory(""), 1024U * 1024);
  EXPECT_EQ(read_host_identity(""), read_host_identity(""));
}

TEST(HostTopology, TakesTheTightestMemoryLimit) {
  const fake_host host;
  const auto& root = host.root;
  EXPECT_EQ(read_available_memory(root.path()), 800U * 1024);
  root.write("sys/fs/cgroup/a/b/memory.max", "max\n");
  EXPECT_EQ(read_available_memory(root.path()), 800U * 1024);
  root.write("sys/fs/cgroup/a/memory.max", "600000\n");
  root.write("sys/fs/cgroup/a/memory.current", "100000\n");
  EXPECT_EQ(read_available_memory(root.path()), 500'000U);
  root.write("proc/self/cgroup", "4:memory:/v1\n0::/a/b\n");
  root.write("sys/fs/cgroup/memory/v1/memory.limit_in_bytes", "300000\n");
  root.write("sys/fs/cgroup/memory/v1/memory.usage_in_bytes", "400000\n");
  EXPECT_EQ(read_available_memory(root.path()), 0U);
}

TEST(HostTopology, ReadsTheProcessorQuota) {
  const fake_host host;
  EXPECT_EQ(read_processor_quota(host.root.path()), std::nullopt);
  host.root.write("sys/fs/cgroup/a/cpu.max", "250000 100000\n");
  EXPECT_EQ(read_processor_quota(host.root.path()), 2U);
  host.root.write("sys/fs/cgroup/a/b/cpu.max", "50000 100000\n");
  EXPECT_EQ(read_processor_quota(host.root.path()), 1U);
}

TEST(CpuReadings, RatesCoverTheTimeBetweenTwoReadings) {
  const fake_host host;
  host.root.write("sys/class/powercap/intel-rapl:0/energy_uj", "1000000\n");
  cpu_readings readings(host.root.path());
  EXPECT_EQ(readings.read(0).utilization_pm, std::nullopt);
  host.root.write("proc/stat", "cpu  125 0 100 875 0 0 0 0 0 0\n");
  host.root.write("sys/class/powercap/intel-rapl:0/energy_uj", "21000000\n");
  const auto second = readings.read(2'000'000);
  EXPECT_EQ(second.utilization_pm, 250U);
  EXPECT_EQ(second.power_mw, 10'000U);
  EXPECT_EQ(second.energy_mj, 20'000U);
  host.root.write("sys/class/powercap/intel-rapl:0/energy_uj", "5\n");
  EXPECT_EQ(readings.read(4'000'000).power_mw, std::nullopt) << "the counter wrapped";
}

} // namespace
} // namespace consort::node
