// SPDX-License-Identifier: Apache-2.0
// Goal: what plugin.json can say about a tool's answer is enough for the shapes that vendors print.
// Method: queries parsed from JSON, applied to answers in those shapes.
#include "node/device_readings.hpp"
#include "node/json_plugin.hpp"
#include "node/plugin_json.hpp"

#include "tests/unit/node/plugin_samples.hpp"
#include "tests/unit/node/temp_folder.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstdlib>
#include <list>
#include <thread>

namespace consort::node {
namespace {

using test::changed;
using test::temp_folder;

/// The document with this probe and telemetry, which both begin with a command.
plugin_document document_of(const nlohmann::json& probe,
                            const nlohmann::json& telemetry = nlohmann::json()) {
  auto plugin = nlohmann::json::parse(test::fake_plugin(), nullptr, true, true);
  plugin["probe"] = probe;
  plugin["telemetry"] = telemetry;
  if (telemetry.is_null())
    plugin.erase("telemetry");
  auto document = parse_plugin_json(plugin.dump(), "x");
  EXPECT_TRUE(document.ok()) << document.failure().message;
  return document ? *std::move(document) : plugin_document{};
}

nlohmann::json query_json(const char* text) {
  auto query = nlohmann::json::parse(text);
  if (query.value("parse", "") != "sysfs")
    query["command"] = {"smi"};
  return query;
}

std::vector<answer_row> rows_of(const tool_query& query, std::string_view answer) {
  auto rows = split_answer(query, answer);
  EXPECT_TRUE(rows.ok()) << rows.failure().message;
  return rows ? *std::move(rows) : std::vector<answer_row>{};
}

std::string refusal_of(const nlohmann::json& probe) {
  auto plugin = nlohmann::json::parse(test::fake_plugin(), nullptr, true, true);
  plugin["probe"] = probe;
  const auto document = parse_plugin_json(plugin.dump(), "x");
  return document ? "accepted" : document.failure().message;
}

TEST(PluginQuery, MatchesPartsOfTextsAndDropsDegreeSigns) {
  const auto document = document_of(query_json(R"({
    "each": "", "id": "/uuid", "model": "/name",
    "memory_bytes": { "at": "/memory", "match": "^of ([0-9]+ GiB)$", "unit": "GiB" },
    "attributes": { "index": { "at": "/device", "match": "^rbln([0-9]+)$", "prefix": "N-" } } })"),
                                    query_json(R"({
    "each": "", "id": "/uuid", "temperature_celsius": "/heat" })"));
  const char* const answer = "[{\"uuid\": \"a\", \"name\": \"n\", \"memory\": \"of 16 GiB\","
                             " \"device\": \"rbln12\", \"heat\": \"29.81\xc2\xb0"
                             "C\"},"
                             " {\"uuid\": \"b\", \"name\": \"n\", \"memory\": \"16 GiB\"}]";
  const auto rows = rows_of(document.probe, answer);
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(figure_of(rows[0], "memory_bytes"), 16LL << 30);
  EXPECT_EQ(rows[0].attributes.at("index"), "N-12");
  EXPECT_EQ(figure_of(rows[1], "memory_bytes"), std::nullopt) << "no match is no value";
  EXPECT_FALSE(rows[1].attributes.contains("index"));
  const auto readings = rows_of(*document.telemetry, answer);
  EXPECT_EQ(figure_of(readings[0], "temperature_celsius"), 29'810);
}

TEST(PluginQuery, AnswersWithoutAMatchAreTold) {
  tool_query query;
  query.parse = answer_format::text;
  query.each = "^npu([0-9]+)";
  EXPECT_EQ(unmatched_words(query, "Cards: 2\n\nCard 0\n"),
            "none of the 2 lines that it printed matches `each`; the first: Cards: 2");
  EXPECT_EQ(unmatched_words(query, "no cards\x1b\n"),
            "the line that it printed does not match `each`: no cards?");
  EXPECT_EQ(unmatched_words(query, "\n \n"), "");
  EXPECT_LT(unmatched_words(query, std::string(10'000, 'x')).size(), 200U);
  query.parse = answer_format::json;
  EXPECT_EQ(unmatched_words(query, "[]"), "");
}

TEST(PluginQuery, FoldsTheValuesAtAStar) {
  const auto document
      = document_of(query_json(R"({ "id": "/id", "model": "/id" })"), query_json(R"({ "id": "/id",
    "utilization": { "at": "/cores/*/busy", "take": "mean" },
    "memory_used_bytes": { "at": "/banks/*/used", "take": "sum" },
    "temperature_celsius": { "at": "/heat/*", "take": "max" },
    "power_watts": { "at": "/nothing/*/here", "take": "sum" },
    "board": { "at": "/heat/*", "take": "join" } })"));
  const auto rows = rows_of(*document.telemetry,
                            R"({"id": "a", "cores": [{"busy": 10}, {"busy": "20 %"}, {"busy": "-"}],
    "banks": {"x": {"used": 4000000000000}, "y": {"used": 96}}, "heat": [31, 44.5, 12],
    "nothing": []})");
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(figure_of(rows[0], "utilization"), 150) << "what cannot be read is left out";
  EXPECT_EQ(figure_of(rows[0], "memory_used_bytes"), 4'000'000'000'096);
  EXPECT_EQ(figure_of(rows[0], "temperature_celsius"), 44'500);
  EXPECT_EQ(figure_of(rows[0], "power_watts"), std::nullopt);
  EXPECT_EQ(text_of(rows[0], "board"), "31,44.5,12");
}

TEST(PluginQuery, TakesTheFirstPlaceThatSaysSomething) {
  const auto document = document_of(query_json(R"({
    "each": ["/gpu_data", ""], "id": ["/uuid", "/serial"], "model": ["/name", { "value": "x" }],
    "memory_bytes": [ { "at": "/vram_mb", "unit": "MB" }, { "at": "/vram", "unit": "MiB" } ] })"));
  for (const auto* answer : {R"([{"uuid": "N/A", "serial": "s", "vram_mb": "[N/A]", "vram": 2}])",
                             R"({"gpu_data": [{"serial": "s", "vram": 2}]})"}) {
    const auto rows = rows_of(document.probe, answer);
    ASSERT_EQ(rows.size(), 1U);
    EXPECT_EQ(text_of(rows[0], "id"), "s");
    EXPECT_EQ(text_of(rows[0], "model"), "x");
    EXPECT_EQ(figure_of(rows[0], "memory_bytes"), 2 << 20) << "with the unit of that place";
  }
}

TEST(PluginQuery, ReadsTablesWithoutHeadAndBlocksOfLines) {
  const auto table
      = document_of(query_json(R"({ "parse": "csv", "columns": ["index", "uuid", "name"],
    "id": "uuid", "model": "name" })"));
  const auto rows = rows_of(table.probe, "0, u1, HL-325L\n1, u2, HL-325L\n");
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(text_of(rows[1], "id"), "u2");
  const auto blocks = document_of(query_json(R"json({ "parse": "blocks", "each": "^QID (\\d+)",
    "id": "^Board serial: *(\\S+)", "model": { "value": "AI 100" },
    "attributes": { "index": "^QID (\\d+)", "free": "Nsp Free: *(\\d+)" } })json"));
  const auto cards = rows_of(blocks.probe, "Devices: 2\nQID 0\n  Status:Ready\n  Board serial:S0\n"
                                           "QID 3\n  Board serial: S1\n  Nsp Free:16\n");
  ASSERT_EQ(cards.size(), 2U);
  EXPECT_EQ(text_of(cards[1], "id"), "S1");
  EXPECT_EQ(cards[1].attributes.at("index"), "3");
  EXPECT_EQ(cards[1].attributes.at("free"), "16");
  EXPECT_FALSE(cards[0].attributes.contains("free")) << "of the next device";
  std::string endless = "QID 1\n";
  for (std::size_t line = 0; line < limits::block_lines_max; ++line)
    endless += "noise\n";
  EXPECT_NE(
      split_answer(blocks.probe, endless + "Board serial: S9\n").failure().message.find("no id"),
      std::string::npos)
      << "what exceeds a block's lines is not read";
}

TEST(PluginQuery, FiltersRowsAndFindsFoldersBelowTheHostsRoot) {
  const temp_folder folder;
  folder.write("sys/bus/pci/devices/0000:05:00.0/vendor", "0x1ae0\n");
  folder.write("sys/bus/pci/devices/0000:05:00.0/uevent", "DRIVER=x\nPCI_ID=1AE0:006F\n");
  folder.write("sys/bus/pci/devices/0000:06:00.0/vendor", "0x8086\n");
  folder.write("sys/bus/pci/devices/0000:05:00.0/rank", "3\n");
  ::setenv("CONSORT_HOST_ROOT", folder.path().c_str(), 1);
  boost::asio::io_context io;
  auto document = document_of(query_json(R"({ "parse": "sysfs", "each": "/sys/bus/pci/devices/*",
    "where": { "vendor": "^0x1ae0$" }, "id": { "at": ".", "match": "([^/]+)$" },
    "model": { "at": "uevent", "match": "^PCI_ID=(.*)$", "words": { "1AE0:006F": "v6e" } },
    "attributes": { "both": "vendor+rank", "half": "vendor+nothing" } })"));
  document.available.tests = {{availability_test::kind::path, "/sys/bus/pci/devices/*/vendor"}};
  json_plugin plugin(std::move(document), folder.path(), plugin_environment{io, nullptr});
  ::unsetenv("CONSORT_HOST_ROOT");
  EXPECT_TRUE(plugin.available().ok()) << "a pattern of names";
  const auto devices = plugin.probe();
  ASSERT_TRUE(devices.ok()) << devices.failure().message;
  ASSERT_EQ(devices->size(), 1U);
  EXPECT_EQ(devices->front().uuid, "0000:05:00.0");
  EXPECT_EQ(devices->front().model, "v6e");
  EXPECT_EQ(devices->front().attributes.at("both"), "0x1ae0:3");
  EXPECT_FALSE(devices->front().attributes.contains("half"));
}

TEST(PluginQuery, AVariableOfTheEnvironmentMayBeWhatMustBeThere) {
  const temp_folder folder;
  boost::asio::io_context io;
  auto document = parse_plugin_json(
      changed("{ \"command\": \"fake-smi\" }", "{ \"env\": \"CONSORT_TEST_WANTED\" }"), "x");
  ASSERT_TRUE(document.ok()) << document.failure().message;
  json_plugin plugin(*std::move(document), folder.path(), plugin_environment{io, nullptr});
  ::unsetenv("CONSORT_TEST_WANTED");
  EXPECT_NE(plugin.available().failure().message.find("$CONSORT_TEST_WANTED"), std::string::npos);
  ::setenv("CONSORT_TEST_WANTED", "1", 1);
  EXPECT_TRUE(plugin.available().ok());
  ::unsetenv("CONSORT_TEST_WANTED");
}

TEST(PluginQuery, VariablesNameTheStagesOfAHybrid) {
  const temp_folder folder;
  folder.script("fake-smi", "echo '{\"devices\": [{\"uuid\": \"F-1\", \"model\": \"pair\"}]}'");
  boost::asio::io_context io;
  auto document = parse_plugin_json(
      R"json({ "schema": 1, "name": "pair", "version": "1", "vendor": "v", "type": "hybrid",
        "probe": { "command": ["fake-smi"], "each": "/devices", "id": "/uuid", "model": "/model" },
        "capability": { "max_sequences": 4 },
        "stages": { "prefill_env": "CONSORT_TEST_READS", "decode_env": "CONSORT_TEST_WRITES",
                    "transfer": "5ms", "transfer_per_s": "1GB" } })json",
      "x");
  ASSERT_TRUE(document.ok()) << document.failure().message;
  json_plugin plugin(*std::move(document), folder.path(), plugin_environment{io, nullptr});
  ::unsetenv("CONSORT_TEST_READS");
  ::unsetenv("CONSORT_TEST_WRITES");
  auto devices = plugin.probe();
  ASSERT_TRUE(devices.ok()) << devices.failure().message;
  EXPECT_TRUE(devices->front().stages.empty()) << "a device by itself";
  ::setenv("CONSORT_TEST_READS", "gpu0", 1);
  EXPECT_NE(plugin.probe().failure().message.find("$CONSORT_TEST_WRITES"), std::string::npos);
  ::setenv("CONSORT_TEST_WRITES", "far/pim0", 1);
  devices = plugin.probe();
  ASSERT_TRUE(devices.ok()) << devices.failure().message;
  EXPECT_EQ(devices->front().stages,
            (stage_plan{device_id{"gpu0"}, device_id{"far/pim0"}, 1'000'000'000, 5'000}));
  ::unsetenv("CONSORT_TEST_READS");
  ::unsetenv("CONSORT_TEST_WRITES");
}

TEST(PluginQuery, SaysWhatIsWrongWithAQuestion) {
  const auto probe = [](const char* text) { return refusal_of(query_json(text)); };
  EXPECT_NE(probe(R"({ "id": "/a", "model": "/b", "memory_bytes": { "at": "/m", "take": "sum" } })")
                .find("/probe/memory_bytes/take: only at a JSON pointer"),
            std::string::npos);
  EXPECT_NE(probe(R"({ "id": "/a", "model": "/b", "memory_bytes": { "at": "/m", "prefix": "x" } })")
                .find("/probe/memory_bytes/prefix: only in front of texts"),
            std::string::npos);
  EXPECT_NE(probe(R"({ "id": [], "model": "/b" })").find("expected 1 to 8 places"),
            std::string::npos);
  EXPECT_NE(
      probe(R"({ "id": ["/a", "/a", "/a", "/a", "/a", "/a", "/a", "/a", "/a"], "model": "/b" })")
          .find("expected 1 to 8 places"),
      std::string::npos);
  EXPECT_NE(probe(R"({ "id": ["/a", { "nope": 1 }], "model": "/b" })").find("/probe/id/1"),
            std::string::npos);
  EXPECT_NE(probe(R"({ "id": "/a", "model": "/b", "columns": ["x"] })").find("only with parse csv"),
            std::string::npos);
  EXPECT_NE(probe(R"({ "id": "/a", "model": "/b", "where": { "/a": "(" } })")
                .find("not a regular expression"),
            std::string::npos);
  const auto* const pattern
      = R"json({ "parse": "blocks", "each": "^x", "id": "no group", "model": "(x)" })json";
  EXPECT_NE(probe(pattern).find("with a group"), std::string::npos);
}

// --- readings ---

class DeviceReadings : public ::testing::Test {
protected:
  void add(const char* query, const char* answer, duration_us now_us = 0) {
    // Rows name places of the query: it stays.
    queries_.push_back(
        *document_of(query_json(R"({ "id": "/id", "model": "/id" })"), query_json(query))
             .telemetry);
    readings_.add(queries_.back(), rows_of(queries_.back(), answer), now_us);
  }
  device_readings readings_;
  std::list<tool_query> queries_;
};

TEST_F(DeviceReadings, ABoardsPowerCountsOnce) {
  add(R"({ "each": "", "id": "/id", "board": "/sid",
           "power_watts": { "at": "/p", "unit": "mW" } })",
      R"([{"id": "d", "sid": "S1", "p": 1000}, {"id": "a", "sid": "S1", "p": "[N/A]"},
          {"id": "b", "sid": "S1", "p": 1000}, {"id": "c", "sid": "S2", "p": 700}])");
  const auto round = readings_.take();
  EXPECT_EQ(round.at("d").power_mw, 334U) << "the first takes what does not divide";
  EXPECT_EQ(round.at("a").power_mw, 333U);
  EXPECT_EQ(round.at("b").power_mw, 333U);
  EXPECT_EQ(round.at("c").power_mw, 700U);
  EXPECT_TRUE(readings_.take().empty());
}

TEST_F(DeviceReadings, JoinsWhatOtherToolsCallADevice) {
  device_spec known;
  known.uuid = "u1";
  known.attributes["dev_name"] = "npu0";
  readings_.devices({known});
  add(R"({ "each": "", "id": "/id", "power_watts": "/p" })", R"([{"id": "u1", "p": 35}])");
  add(R"({ "each": "", "id": "/device", "id_attribute": "dev_name", "utilization": "/busy",
           "health": { "at": "/live", "words": { "alive": "healthy" } } })",
      R"([{"device": "npu0", "busy": 12.5, "live": "dead"}, {"device": "npu9", "busy": 1}])");
  const auto round = readings_.take();
  ASSERT_EQ(round.size(), 1U);
  EXPECT_EQ(round.at("u1").power_mw, 35'000U);
  EXPECT_EQ(round.at("u1").utilization_pm, 125U);
  EXPECT_EQ(round.at("u1").health, device_health::unhealthy);
}

TEST_F(DeviceReadings, BusyTimeBecomesAShareOfTheTimeThatPassed) {
  const auto* const query
      = R"({ "each": "", "id": "/id", "utilization": { "at": "/busy", "unit": "ms" } })";
  const auto round = [&](const char* answer, duration_us now_us) {
    add(query, answer, now_us);
    return readings_.take().at("a").utilization_pm;
  };
  EXPECT_EQ(round(R"([{"id": "a", "busy": 500}])", 1'000'000), std::nullopt)
      << "nothing to compare";
  EXPECT_EQ(round(R"([{"id": "a", "busy": 1000}])", 3'000'000), 250U);
  EXPECT_EQ(round(R"([{"id": "a", "busy": 100}])", 4'000'000), std::nullopt) << "it began anew";
  EXPECT_EQ(round(R"([{"id": "a", "busy": 9100}])", 5'000'000), 1000U) << "never more than all";
}

TEST_F(DeviceReadings, UtilizationIsWhatIsLeftOfIdleTime) {
  const auto* const query
      = R"({ "each": "", "id": "/id", "utilization": { "at": "/idle", "unit": "idle_ms" } })";
  const auto round = [&](const char* answer, duration_us now_us) {
    add(query, answer, now_us);
    return readings_.take().at("a").utilization_pm;
  };
  EXPECT_EQ(round(R"([{"id": "a", "idle": 500}])", 1'000'000), std::nullopt);
  EXPECT_EQ(round(R"([{"id": "a", "idle": 500}])", 3'000'000), std::nullopt)
      << "it may be no counter";
  EXPECT_EQ(round(R"([{"id": "a", "idle": 2000}])", 5'000'000), 250U);
  EXPECT_EQ(round(R"([{"id": "a", "idle": 2000}])", 7'000'000), 1000U) << "it is known to grow";
  EXPECT_EQ(round(R"([{"id": "a", "idle": 4002}])", 9'000'000), 0U) << "never less than nothing";
  EXPECT_EQ(round(R"([{"id": "a", "idle": 10}])", 11'000'000), std::nullopt) << "it began anew";
}

/// From the first round on: no round needs to have been without such a row.
TEST_F(DeviceReadings, WhoWasNamedBesideARowWithoutAnIdIsMissedOnceItIsNot) {
  const auto round = [&](const char* answer, bool nameless) {
    add(R"({ "each": "", "id": "/id", "power_watts": "/p" })", answer);
    if (nameless)
      readings_.leave_out("device 2 has no id, and is left out");
    return readings_.take();
  };
  EXPECT_EQ(round(R"([{"id": "a", "p": 1}, {"id": "b", "p": 1}])", true).size(), 2U);
  const auto missed = round(R"([{"id": "a", "p": 1}])", true);
  ASSERT_EQ(missed.size(), 2U);
  EXPECT_EQ(missed.at("a").health, device_health::healthy);
  EXPECT_EQ(missed.at("b").health, device_health::degraded);
  EXPECT_EQ(missed.at("b").health_reason,
            "its plugin's telemetry: device 2 has no id, and is left out");
  EXPECT_EQ(round(R"([{"id": "a", "p": 1}])", true).size(), 2U) << "it stays missed";
  EXPECT_EQ(round(R"([{"id": "a", "p": 1}])", false).size(), 1U);
  EXPECT_EQ(round(R"([{"id": "a", "p": 1}])", true).size(), 1U) << "no row may be its own";
}

TEST_F(DeviceReadings, HealthOutlivesARoundThatLacksItsDevice) {
  device_spec known;
  known.uuid = "a";
  readings_.devices({known});
  const auto round = [&](const char* answer) {
    add(R"({ "each": "", "id": "/id", "health": "/h" })", answer);
    return readings_.take();
  };
  EXPECT_EQ(round(R"([{"id": "a", "h": "unhealthy"}])").at("a").health, device_health::unhealthy);
  EXPECT_FALSE(round(R"([{"id": "b", "h": "healthy"}])").contains("a"));
  EXPECT_EQ(round(R"([{"id": "a", "h": "-"}])").at("a").health, device_health::unhealthy);
  readings_.devices({});
  EXPECT_FALSE(round(R"([{"id": "b", "h": "healthy"}])").contains("a"));
  EXPECT_EQ(round(R"([{"id": "a", "h": "-"}])").at("a").health, device_health::healthy)
      << "it may be another one";
}

TEST_F(DeviceReadings, AToolMaySayWhyADeviceIsUnwell) {
  const auto said = [&](const char* health, const char* why) {
    const auto answer
        = std::string(R"([{"id": "a", "h": ")") + health + R"(", "why": ")" + why + R"("}])";
    add(R"({ "each": "", "id": "/id", "health": "/h", "health_reason": "/why" })", answer.c_str());
    return readings_.take().at("a").health_reason;
  };
  EXPECT_EQ(said("unhealthy", "XID 79"), "its plugin's telemetry says unhealthy: XID 79");
  EXPECT_EQ(said("degraded", "N/A"), "its plugin's telemetry says degraded");
  EXPECT_EQ(said("healthy", "it was mended"), "") << "a reason is of what is wrong";
}

/// Power by the tool `smi`, utilization by `other`.
nlohmann::json telemetry_of_two_tools() {
  auto made = query_json(R"({ "each": "", "id": "/id", "power_watts": "/p" })");
  made["also"] = {{{"command", {"other"}}, {"each", ""}, {"id", "/id"}, {"utilization", "/u"}}};
  return made;
}

TEST(JsonPluginReadings, ARowWithoutAnIdOfAFurtherToolIsNoDevices) {
  temp_folder folder;
  folder.script("smi", R"(echo '[{"id": "a", "p": 3}, {"id": "b", "p": 3}]')");
  folder.script("other", R"(echo '[{"id": "a", "u": 50}, {"u": 1}]')");
  const auto telemetry = telemetry_of_two_tools();
  boost::asio::io_context io;
  json_plugin plugin(
      document_of(query_json(R"({ "each": "", "id": "/id", "model": "/id" })"), telemetry),
      folder.path(), plugin_environment{io, nullptr});
  auto readings = plugin.read();
  ASSERT_TRUE(readings.ok()) << readings.failure().message;
  EXPECT_EQ(readings->size(), 2U);
  EXPECT_EQ(readings->at("a").utilization_pm, 500U);
  folder.script("smi", R"(echo '[{"id": "a", "p": 3}]')");
  readings = plugin.read();
  ASSERT_TRUE(readings.ok()) << readings.failure().message;
  EXPECT_EQ(readings->size(), 1U) << "the first question's tool names its devices all";
}

TEST(JsonPluginReadings, WhatATelemetryToolKeepsOutlivesItsPlugin) {
  temp_folder folder, data;
  folder.script("smi", R"([ -z "$2" ] && kept=/dev/null || kept="$2/times"
echo x >> "$kept"
echo "[{\"id\": \"a\", \"p\": $(wc -l < "$kept")}]")");
  const auto document = [] {
    auto telemetry = query_json(R"({ "each": "", "id": "/id", "power_watts": "/p" })");
    telemetry["command"] = {"smi", "--keep", "{state}"};
    return document_of(query_json(R"({ "each": "", "id": "/id", "model": "/id" })"), telemetry);
  };
  boost::asio::io_context io;
  for (const auto& [below, watts] : {std::pair(data / "state", 1U), std::pair(data / "state", 2U),
                                     std::pair(std::string(), 0U)}) {
    plugin_environment lent{io, nullptr};
    lent.state_path = below;
    json_plugin plugin(document(), folder.path(), lent);
    const auto readings = plugin.read();
    ASSERT_TRUE(readings.ok()) << readings.failure().message;
    EXPECT_EQ(readings->at("a").power_mw, watts * 1000) << "in `" << below << "`";
  }
  EXPECT_EQ(test::read_file(data / "state/fake/times"), "x\nx\n");
  auto probe = query_json(R"({ "each": "", "id": "/id", "model": "/id" })");
  probe["command"] = {"smi", "{state}"};
  EXPECT_NE(refusal_of(probe).find("unknown placeholder {state}"), std::string::npos)
      << "who only looks asks it as well";
}

TEST(JsonPluginReadings, AFurtherToolThatFailsLeavesItsFieldsUnknown) {
  temp_folder folder;
  folder.script("smi", "echo '[{\"id\": \"a\", \"p\": 3}]'");
  folder.script("other", "exit 1");
  auto telemetry = telemetry_of_two_tools();
  boost::asio::io_context io;
  json_plugin plugin(
      document_of(query_json(R"({ "each": "", "id": "/id", "model": "/id" })"), telemetry),
      folder.path(), plugin_environment{io, nullptr});
  auto readings = plugin.read();
  ASSERT_TRUE(readings.ok()) << readings.failure().message;
  EXPECT_EQ(readings->at("a").power_mw, 3000U);
  EXPECT_EQ(readings->at("a").utilization_pm, std::nullopt);
  folder.script("other", "echo '[{\"id\": \"a\", \"u\": 50}]'");
  readings = plugin.read();
  EXPECT_EQ(readings->at("a").utilization_pm, 500U);
  auto many = telemetry;
  for (std::size_t at = 0; at < limits::telemetry_also_max; ++at)
    many["also"].push_back(telemetry["also"][0]);
  auto text = nlohmann::json::parse(test::fake_plugin(), nullptr, true, true);
  text["telemetry"] = many;
  EXPECT_NE(parse_plugin_json(text.dump(), "x").failure().message.find("at most 4"),
            std::string::npos);
}

// --- tools that go on ---

class ToolStream : public ::testing::Test {
protected:
  ~ToolStream() override {
    work_.reset();
    runner_.join();
  }
  std::unique_ptr<tool_stream> run(const char* script,
                                   duration_us silence_us = limits::stream_silence_us_max) {
    child_spec spec;
    spec.argv = {"sh", "-c", script};
    return std::make_unique<tool_stream>(io_, spec, silence_us);
  }
  boost::asio::io_context io_;
  std::optional<boost::asio::executor_work_guard<boost::asio::io_context::executor_type>> work_{
      io_.get_executor()};
  std::thread runner_{[this] { io_.run(); }};
};

TEST_F(ToolStream, ItsLatestLineCounts) {
  temp_folder folder;
  const auto script = "mkfifo " + folder / "go" + "; echo one; read x < " + folder / "go"
                      + "; head -c 100000 /dev/zero | tr '\\0' y; echo; exec sleep 600";
  const auto stream = run(script.c_str());
  const auto first = stream->latest(5 * limits::second_us);
  ASSERT_TRUE(first.ok()) << first.failure().message;
  EXPECT_EQ(*first, "one");
  folder.write("go", "x\n"); // Waits for its reader.
  for (auto now = first; now && *now == "one"; now = stream->latest(0))
    std::this_thread::yield();
  EXPECT_EQ(stream->latest(0)->size(), 100'000U) << "longer than other tools' lines may be";
}

TEST_F(ToolStream, OneThatEndsOrIsMuteIsAnErrorAndNotStartedAtOnceAgain) {
  temp_folder folder;
  const auto script = "echo x >> " + folder / "starts" + "; echo no driver >&2; exit 4";
  const auto stream = run(script.c_str());
  for (int round = 0; round < 3; ++round) {
    const auto said = stream->latest(5 * limits::second_us);
    ASSERT_FALSE(said.ok());
    EXPECT_NE(said.failure().message.find("exited with 4: no driver"), std::string::npos);
  }
  EXPECT_EQ(test::read_file(folder / "starts"), "x\n");
  EXPECT_NE(run("exec sleep 600")->latest(1000).failure().message.find("prints nothing"),
            std::string::npos);
}

TEST_F(ToolStream, OneThatHangsIsKilledAndStartedAnew) {
  temp_folder folder;
  const auto script = "echo x >> " + folder / "starts" + "; echo said; exec sleep 600";
  const auto stream = run(script.c_str(), limits::second_us / 2);
  auto said = stream->latest(5 * limits::second_us);
  ASSERT_TRUE(said.ok()) << said.failure().message;
  while (said.ok()) {
    std::this_thread::yield();
    said = stream->latest(0);
  }
  EXPECT_NE(said.failure().message.find("prints nothing"), std::string::npos);
  EXPECT_TRUE(stream->latest(5 * limits::second_us).ok()) << "by another one";
  EXPECT_EQ(test::read_file(folder / "starts"), "x\nx\n");
}

TEST_F(ToolStream, SeveralQuestionsShareOneTool) {
  temp_folder folder;
  folder.script(
      "mon",
      "echo x >> starts; echo '{\"d\": [{\"id\": \"a\", \"p\": 3, \"u\": 5}]}'; exec sleep 600");
  auto telemetry = nlohmann::json::parse(
      R"({ "command": ["mon"], "stream": true, "each": "/d", "id": "/id", "power_watts": "/p" })");
  telemetry["also"] = {nlohmann::json::parse(
      R"({ "command": ["mon"], "stream": true, "each": "/d", "id": "/id", "utilization": "/u" })")};
  json_plugin plugin(
      document_of(query_json(R"({ "each": "", "id": "/id", "model": "/id" })"), telemetry),
      folder.path(), plugin_environment{io_, nullptr});
  for (int round = 0; round < 2; ++round) {
    const auto readings = plugin.read();
    ASSERT_TRUE(readings.ok()) << readings.failure().message;
    EXPECT_EQ(readings->at("a").power_mw, 3000U);
    EXPECT_EQ(readings->at("a").utilization_pm, 50U);
  }
  EXPECT_EQ(test::read_file(folder / "starts"), "x\n");
}

} // namespace
} // namespace consort::node
