// SPDX-License-Identifier: Apache-2.0
// Goal: every plugin folder that ships loads, every recorded answer in it is read, and the traps of
// particular vendors end in the right figures. No tool is run.
#include "node/device_readings.hpp"
#include "node/plugin_json.hpp"
#include "tests/unit/node/temp_folder.hpp"

#include <gmock/gmock.h>

#include <filesystem>
#include <iterator>
#include <set>

namespace consort::node {
namespace {

namespace fs = std::filesystem;
using ::testing::StartsWith;

const fs::path shipped = fs::path(CONSORT_SOURCE_DIR) / "node/plugins";

plugin_document document_in(const std::string& vendor) {
  auto document = load_plugin_json((shipped / vendor).string());
  EXPECT_TRUE(document.ok()) << document.failure().message;
  return document ? *std::move(document) : plugin_document{};
}

/// One recorded answer, split as `query` says.
std::vector<answer_row> recorded(const std::string& vendor, const std::string& name,
                                 const tool_query& query) {
  const auto text = test::read_file(shipped / vendor / "fixtures" / name);
  EXPECT_FALSE(text.empty()) << vendor << "/" << name;
  auto rows = split_answer(query, text);
  EXPECT_TRUE(rows.ok()) << vendor << "/" << name << ": " << rows.failure().message;
  return rows ? *std::move(rows) : std::vector<answer_row>{};
}

const answer_row& row_of(const std::vector<answer_row>& rows, const std::string& id) {
  static const answer_row none;
  for (const auto& row : rows)
    if (text_of(row, "id") == id)
      return row;
  ADD_FAILURE() << "no row " << id;
  return none;
}

TEST(VendorPlugins, AllThatShipLoad) {
  std::size_t seen = 0;
  for (const auto& folder : fs::directory_iterator(shipped))
    if (fs::exists(folder.path() / "plugin.json")) {
      const auto document = load_plugin_json(folder.path().string());
      EXPECT_TRUE(document.ok()) << (document ? "" : document.failure().message);
      ++seen;
    }
  EXPECT_GE(seen, 15U);
}

TEST(VendorPlugins, TheSchedulerHearsHowLongAnEngineMayLoad) {
  EXPECT_EQ(document_in("vllm").capability.load_limit_us, 2 * 3'600 * limits::second_us);
  EXPECT_EQ(document_in("nvidia-smi").capability.load_limit_us, 0) << "runs nothing itself";
}

/// What takes nearly all of a device whatever its model says so: else a second model is granted
/// what is not there.
TEST(VendorPlugins, ServersThatFillTheirDeviceSayHowFar) {
  for (const auto* name : {"vllm", "sglang", "tensorrt-llm", "tensorrt-llm-pytorch",
                           "deepspeed-mii", "gaudi", "ascend", "google-tpu", "neuron"}) {
    const auto rules = document_in(name).capability.memory_rules;
    ASSERT_EQ(rules.size(), 1U) << name;
    EXPECT_GE(rules[0].share_pm, 850U) << name;
  }
  EXPECT_TRUE(document_in("llama-server").capability.memory_rules.empty());
}

/// A server over several devices is told of all of them.
TEST(VendorPlugins, EnginesAndAcceleratorsSpanDevices) {
  for (const auto* name :
       {"vllm", "sglang", "tensorrt-llm", "tensorrt-llm-pytorch", "deepspeed-mii", "llama-server",
        "gaudi", "ascend", "neuron", "google-tpu", "rebellions"}) {
    const auto document = document_in(name);
    EXPECT_EQ(document.capability.devices_max, 8U) << name;
    const auto& command = document.runtime.server.command;
    const bool by_command = std::find(command.begin(), command.end(), "{indexes}") != command.end();
    auto places = document.runs_on;
    if (places.empty())
      places["itself"] = document.runtime.env;
    for (const auto& [host, env] : places)
      EXPECT_TRUE(by_command
                  || std::any_of(env.begin(), env.end(),
                                 [](const auto& one) {
                                   return one.second == "{indexes}" || one.second == "{devices}";
                                 }))
          << name << " on " << host;
  }
}

TEST(VendorPlugins, BoardsThatNvlinkJoinsAreOneGroup) {
  const auto rows = recorded("nvidia", "probe-h200x2-580.json", document_in("nvidia").probe);
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(text_of(rows[0], "topology_group"), text_of(rows[1], "topology_group"));
  EXPECT_THAT(text_of(rows[0], "topology_group"), StartsWith("GPU-"));
}

TEST(VendorPlugins, AnXidIsNamedAsTheReason) {
  const auto document = document_in("nvidia");
  device_readings readings;
  const auto rows = recorded("nvidia", "telemetry-mig.json", *document.telemetry);
  readings.add(*document.telemetry, rows, 0);
  const auto round = readings.take();
  EXPECT_EQ(round.at("GPU-1").health_reason, "its plugin's telemetry says degraded: XID 63");
  EXPECT_EQ(round.at("MIG-1").health_reason, "its plugin's telemetry says degraded: XID 63");
}

TEST(VendorPlugins, AmdChipsAreNamedAsTheirRuntimeWantsThem) {
  const auto document = document_in("amd");
  const auto rows = recorded("amd", "probe-mi300x-new.json", document.probe);
  ASSERT_FALSE(rows.empty());
  EXPECT_THAT(rows[0].attributes.at("index"), StartsWith("GPU-"));
}

/// Eight dies on two cards, each of which shows its card's power.
TEST(VendorPlugins, PowerOfAnAtomMaxCountsOncePerCard) {
  const auto document = document_in("rebellions");
  const auto name = "telemetry-1.3.73-atom-max.json";
  device_readings readings;
  const auto rows = recorded("rebellions", name, *document.telemetry);
  ASSERT_EQ(rows.size(), 8U);
  readings.add(*document.telemetry, rows, 0);
  std::uint64_t sum_mw = 0;
  std::size_t busy_unknown = 0;
  for (const auto& [uuid, one] : readings.take()) {
    sum_mw += one.power_mw.value_or(0);
    busy_unknown += one.utilization_pm ? 0 : 1;
  }
  EXPECT_EQ(sum_mw, 42'688U + 171'000U);
  EXPECT_EQ(busy_unknown, 1U) << "[N/A] is no zero";
}

TEST(VendorPlugins, IndexOfAnAtomIsTheKernelsWhateverItsGroupSays) {
  const auto document = document_in("rebellions");
  const auto rows = recorded("rebellions", "probe-1.3.73-atom-max.json", document.probe);
  std::set<std::string> indices;
  for (const auto& row : rows)
    indices.insert(row.attributes.at("index"));
  EXPECT_EQ(indices.size(), 8U) << "`npu` repeats, 0 to 3 twice";
  const auto& one = row_of(rows, "ca250000-0000-4000-8000-000000000005");
  EXPECT_EQ(one.attributes.at("index"), "5");
  EXPECT_EQ(text_of(one, "topology_group"), "1");
}

TEST(VendorPlugins, HealthOfAnAtomIsTheWorstOfStatusAndState) {
  const auto document = document_in("rebellions");
  const auto rows = recorded("rebellions", "telemetry-3.0.0-faults.json", *document.telemetry);
  ASSERT_EQ(rows.size(), 5U);
  EXPECT_EQ(text_of(rows[0], "health"), "healthy");
  EXPECT_EQ(text_of(rows[1], "health"), "degraded") << "P10: slowed by its heat";
  EXPECT_EQ(text_of(rows[2], "health"), "unhealthy") << "P12: it hangs";
  EXPECT_EQ(text_of(rows[3], "health"), "FAULT") << "no better than its status";
  EXPECT_EQ(text_of(rows[4], "health"), "degraded") << "INIT";
  const auto grouped = recorded("rebellions", "probe-3.0.0-ca22-groups.json", document.probe);
  EXPECT_EQ(text_of(grouped.at(0), "topology_group"), "3");
  const auto alone = recorded("rebellions", "probe-3.0.0-ca22.json", document.probe);
  EXPECT_EQ(text_of(alone.at(0), "topology_group"), "0000000022513364") << "its card";
}

TEST(VendorPlugins, RngdIsReadByTwoQuestions) {
  const auto document = document_in("furiosa");
  ASSERT_EQ(document.telemetry_also.size(), 1U);
  device_spec card;
  card.uuid = "A76AAD68-6855-40B1-9E86-D080852D1C81";
  card.attributes["dev_name"] = "npu1";
  device_readings readings;
  readings.devices({card});
  const auto info = recorded("furiosa", "telemetry-2025.1.json", *document.telemetry);
  const auto status = recorded("furiosa", "also1-2025.1.json", document.telemetry_also[0]);
  readings.add(*document.telemetry, info, 0);
  readings.add(document.telemetry_also[0], status, 0);
  const auto round = readings.take();
  const auto& one = round.at(card.uuid);
  EXPECT_EQ(one.power_mw, 121'500U);
  EXPECT_EQ(one.temperature_mc, 31'020);
  EXPECT_EQ(one.memory_used_bytes, 17'179'869'184U);
  EXPECT_EQ(one.utilization_pm, 835U) << "the mean of its cores";
}

TEST(VendorPlugins, AmdSmiSpeaksInEveryShape) {
  const auto document = document_in("amd");
  for (const auto* shape : {"old", "new"}) {
    const auto name = "probe-mi300x-" + std::string(shape) + ".json";
    const auto rows = recorded("amd", name, document.probe);
    EXPECT_EQ(figure_of(row_of(rows, "0000:0e:00.0"), "memory_bytes"), 196'592LL << 20) << shape;
  }
  for (const auto* shape : {"old", "new", "bare"}) {
    const auto name = "also1-mi300x-" + std::string(shape) + ".json";
    const auto rows = recorded("amd", name, document.telemetry_also.at(0));
    EXPECT_EQ(figure_of(row_of(rows, "0"), "energy_joules"), 12'345'678) << shape;
    const auto errors = std::string(shape) == "bare";
    EXPECT_EQ(text_of(row_of(rows, "0"), "health") == "degraded", errors) << shape;
  }
}

TEST(VendorPlugins, AmdSmiMayWarnBeforeItsAnswer) {
  const auto document = document_in("amd");
  for (const auto* shape : {"new", "old"}) {
    const auto name = "probe-mi300x-warns-" + std::string(shape) + ".json";
    const auto text = test::read_file(shipped / "amd" / "fixtures" / name);
    std::string words;
    const auto rows = split_answer(document.probe, text, nullptr, &words);
    ASSERT_TRUE(rows.ok()) << shape << ": " << rows.failure().message;
    EXPECT_EQ(figure_of(row_of(*rows, "0000:0e:00.0"), "memory_bytes"), 196'592LL << 20) << shape;
    EXPECT_EQ(words.rfind("WARNING: User is missing", 0), 0U) << words;
  }
}

TEST(VendorPlugins, AscendTablesOfBothShapes) {
  const auto document = document_in("ascend");
  const auto with_hbm = recorded("ascend", "telemetry-24.1.0-910b.txt", *document.telemetry);
  ASSERT_EQ(with_hbm.size(), 2U) << "the table of processes lists no chips";
  const auto& busy = row_of(with_hbm, "0000:81:00.0");
  EXPECT_EQ(figure_of(busy, "memory_used_bytes"), 51'233LL << 20);
  EXPECT_EQ(figure_of(busy, "power_watts"), 256'400);
  EXPECT_EQ(text_of(busy, "health"), "degraded");
  const auto without = recorded("ascend", "telemetry-25.3.rc1-310p3.txt", *document.telemetry);
  const auto& card = row_of(without, "0000:84:00.0");
  EXPECT_EQ(figure_of(card, "power_watts"), std::nullopt) << "NA is no zero";
  EXPECT_EQ(figure_of(card, "memory_used_bytes"), 1'839LL << 20);
  EXPECT_EQ(figure_of(card, "temperature_celsius"), 50'000);
  const auto found = recorded("ascend", "probe-25.3.rc1-310p3.txt", document.probe);
  EXPECT_EQ(found.at(0).attributes.at("index"), "0") << "`Device`, whatever its NPU is called";
  EXPECT_EQ(text_of(found.at(0), "model"), "310P3");
}

TEST(VendorPlugins, AscendNamesMayHaveADash) {
  const auto document = document_in("ascend");
  const auto name = std::string("25.0.rc1.1-910b4-1.txt");
  const auto found = recorded("ascend", "probe-" + name, document.probe);
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(text_of(found[1], "model"), "910B4-1");
  EXPECT_EQ(found[1].attributes.at("index"), "1");
  const auto read = recorded("ascend", "telemetry-" + name, *document.telemetry);
  const auto& card = row_of(read, "0000:C2:00.0");
  EXPECT_EQ(text_of(card, "health"), "healthy");
  EXPECT_EQ(figure_of(card, "power_watts"), 93'700);
}

/// An A3's NPU has two dies: its number repeats, and its power stands beside the first.
TEST(VendorPlugins, DiesOfAnAscendNpuAreToldApart) {
  const auto document = document_in("ascend");
  const auto name = std::string("24.1.rc3.7-a3.txt");
  std::vector<std::string> indices;
  for (const auto& die : recorded("ascend", "probe-" + name, document.probe))
    indices.push_back(die.attributes.at("index"));
  EXPECT_EQ(indices, (std::vector<std::string>{"0", "1", "12", "13", "14", "15"}));
  const auto rows = recorded("ascend", "telemetry-" + name, *document.telemetry);
  device_readings readings;
  readings.add(*document.telemetry, rows, 0);
  const auto round = readings.take();
  ASSERT_EQ(round.size(), 6U);
  EXPECT_EQ(round.at("0000:83:00.0").temperature_mc, 38'000);
  EXPECT_EQ(round.at("0000:83:00.0").power_mw, 93'300U) << "half of its NPU's";
  EXPECT_EQ(round.at("0000:81:00.0").power_mw, 93'300U);
  EXPECT_EQ(round.at("0000:83:00.0").memory_used_bytes, 35'651ULL << 20);
}

TEST(VendorPlugins, NeuronDevicesAreTheirCores) {
  const auto document = document_in("neuron");
  const auto rows = recorded("neuron", "probe-2.x.json", document.probe);
  EXPECT_EQ(row_of(rows, "00:1e.0").attributes.at("index"), "2,3");
  EXPECT_EQ(text_of(row_of(rows, "00:1e.0"), "model"), "neuroncore-v2");
  const auto trainium = recorded("neuron", "probe-2.x-trn2.json", document.probe);
  const auto& joined = row_of(trainium, "0000:e1:00.0");
  EXPECT_EQ(text_of(joined, "model"), "neuroncore-v3") << "four cores, of two each";
  EXPECT_EQ(joined.attributes.at("index"), "0,1,2,3");
  ASSERT_TRUE(document.telemetry->stream);
  const auto health = recorded("neuron", "telemetry-2.x.json", *document.telemetry);
  EXPECT_EQ(text_of(row_of(health, "0"), "health"), "healthy");
  EXPECT_NE(text_of(row_of(health, "1"), "health"), "healthy");
}

TEST(VendorPlugins, CardsWithoutASerialAreStillTold) {
  const auto qualcomm = document_in("qualcomm");
  const auto cards = recorded("qualcomm", "probe-1.5.6.txt", qualcomm.probe);
  ASSERT_EQ(cards.size(), 2U);
  EXPECT_EQ(figure_of(cards[1], "memory_bytes"), 32'692LL << 20);
  EXPECT_EQ(cards[1].attributes.at("index"), "1");
  const auto used = recorded("qualcomm", "telemetry-1.5.6.txt", *qualcomm.telemetry);
  EXPECT_EQ(figure_of(used.at(0), "memory_used_bytes"), 0);
  EXPECT_EQ(figure_of(used.at(1), "memory_used_bytes"), 12'288LL << 20);
  const auto hailo = document_in("hailo");
  const auto modules = recorded("hailo", "probe-5.1.1-hailo10h.txt", hailo.probe);
  EXPECT_EQ(text_of(modules.at(0), "model"), "HAILO10H");
  EXPECT_FALSE(modules.at(0).attributes.contains("serial"));
  const auto gaudi = document_in("gaudi");
  const auto cells = recorded("gaudi", "telemetry-1.22.1.csv", *gaudi.telemetry);
  EXPECT_EQ(figure_of(cells.at(0), "power_watts"), 226'000) << "the unit stands in the cell";
  EXPECT_EQ(figure_of(cells.at(1), "power_watts"), std::nullopt);
  const auto errors = recorded("gaudi", "also1-1.22.1.csv", gaudi.telemetry_also.at(0));
  EXPECT_EQ(text_of(errors.at(0), "health"), "healthy");
  EXPECT_EQ(text_of(errors.at(1), "health"), "degraded");
  const auto boards = recorded("gaudi", "probe-1.22.1.csv", gaudi.probe);
  EXPECT_EQ(boards.at(0).attributes.at("index"), "3") << "its module, not its place";
}

TEST(VendorPlugins, WhatIsSimulatedSaysSo) {
  const auto document = document_in("pim-sim");
  EXPECT_TRUE(document.simulated);
  EXPECT_EQ(document.available.tests.at(0).what, availability_test::kind::variable);
  for (const auto* vendor : {"upmem", "samsung-pim", "aim"}) {
    const auto slot = document_in(vendor);
    EXPECT_FALSE(slot.simulated);
    EXPECT_EQ(slot.runtime.interface, runtime_interface::c_abi);
    EXPECT_THAT(slot.runtime.library, StartsWith("lib"));
  }
}

} // namespace
} // namespace consort::node
