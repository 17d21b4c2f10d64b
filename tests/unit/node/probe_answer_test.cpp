// SPDX-License-Identifier: Apache-2.0
// Goal: what vendors' tools print is split into devices, and what is none is a bad answer.
#include "node/probe_answer.hpp"

#include "node/plugin_json.hpp"
#include "tests/unit/node/plugin_samples.hpp"
#include "tests/unit/node/temp_folder.hpp"

#include <gtest/gtest.h>

namespace consort::node {
namespace {

using test::changed;
using test::temp_folder;

tool_query query_of(const std::string& parse_and_each, const std::string& id,
                    const std::string& model) {
  auto text = changed("\"parse\": \"json\", \"each\": \"/devices\",", parse_and_each);
  text = changed(
      "\"id\": \"/uuid\", \"model\": \"/name\", \"memory_bytes\": { \"at\": \"/memory\", \"unit\": "
      "\"MiB\" },\n             \"attributes\": { \"pci\": \"/pci\" } },",
      "\"id\": " + id + ", \"model\": " + model + " },", text);
  auto document = parse_plugin_json(text, "x");
  EXPECT_TRUE(document.ok()) << document.failure().message;
  return document ? document->probe : tool_query{};
}

TEST(ProbeAnswer, SplitsCsv) {
  const auto rows
      = split_answer(query_of("\"parse\": \"csv\",", "\"uuid\"", "\"name\""),
                     "index, uuid, name,\n0, u1, \"A, \"\"big\"\" one\"\r\n\n1, u2,,\n");
  ASSERT_TRUE(rows.ok()) << rows.failure().message;
  ASSERT_EQ(rows->size(), 2U);
  EXPECT_EQ(text_of((*rows)[0], "model"), "A, \"big\" one");
  EXPECT_EQ(text_of((*rows)[1], "model"), "");
}

/// A complaint of the tool's, its new format, or a list that was cut is no list of no devices.
TEST(ProbeAnswer, ATableWithoutItsColumnsIsABadAnswer) {
  auto query = query_of("\"parse\": \"csv\", \"where\": { \"state\": \"^on\" },",
                        "[\"uuid\", \"serial\"]", "\"name\"");
  const auto said = [&](const char* answer) {
    const auto rows = split_answer(query, answer);
    return rows ? std::to_string(rows->size()) + " rows" : rows.failure().message;
  };
  EXPECT_EQ(said("smi: Driver version mismatch\n"),
            "no column `uuid` or `serial`; columns are smi: Driver version mismatch");
  EXPECT_EQ(said("[{\"uuid\": \"u1\", \"name\": \"n\"}]"),
            "no column `uuid` or `serial`; columns are [{uuid: u1, name: n}]");
  EXPECT_EQ(said("serail,name,state\ns,n,on\n"),
            "no column `uuid` or `serial`; columns are serail, name, state");
  EXPECT_EQ(said("uuid,name\ns,n\n"),
            "no column `state`, which `where` goes by; columns are uuid, name");
  EXPECT_EQ(said("serial,name,state\ns,n,on\nt,n"), "row 2 has 2 of 3 columns: t, n");
  EXPECT_EQ(said("serial,name,state\n"), "0 rows") << "no devices are none";
  EXPECT_EQ(said("serial,state\ns,on\nt,off\n"), "1 rows") << "its model may be unknown";
  EXPECT_EQ(said("serial,state\n,on\n"),
            "device 0 has no id: nothing stands at `uuid` or `serial`; columns are serial, state");
  EXPECT_LT(said(("x" + std::string(10'000, ',') + "y\n").c_str()).size(), 200U);
  query.columns = {"serial", "name", "state"};
  EXPECT_EQ(said("s,n,on\nsmi: card 1 is lost\n"), "1 rows");
}

TEST(ProbeAnswer, MatchesLinesOfText) {
  const auto query
      = query_of(R"json("parse": "text", "each": "^card (\\d+): (\\w+)",)json", "\"1\"", "\"2\"");
  const auto rows = split_answer(query, "driver 3\ncard 7: alpha\nnoise\ncard 9: b\xc3\xa9ta\n");
  ASSERT_TRUE(rows.ok());
  ASSERT_EQ(rows->size(), 2U);
  EXPECT_EQ(text_of((*rows)[0], "id"), "7");
  EXPECT_EQ(text_of((*rows)[1], "model"), "b");
  // A line beyond the matcher's bound is cut, not recursed into.
  const auto long_line = "card 1: " + std::string(1'000'000, 'x');
  EXPECT_EQ(text_of((*split_answer(query, long_line))[0], "model").size(),
            limits::plugin_text_bytes_max);
}

TEST(ProbeAnswer, APatternThatBacktracksWithoutEndIsNamedWithItsLine) {
  const auto bad = "dev1 M1 " + std::string(44, 'a') + "!\n";
  std::string many;
  for (int i = 0; i < 1'000; ++i)
    many += bad; // One is enough: the answer costs no more than its first such line.
  const auto each = query_of(R"json("parse": "text", "each": "^(dev[0-9]+) (M1) (a+)+$",)json",
                             "\"1\"", "\"2\"");
  const auto said = split_answer(each, many).failure().message;
  EXPECT_EQ(said.rfind("each: its regular expression needs more than", 0), 0U) << said;
  EXPECT_NE(said.find("`dev1 M1 aaa"), std::string::npos) << said;
  const auto field = query_of("", R"({"at": "/id", "match": "^(a+)+$"})", "\"/id\"");
  const auto json = R"([{"id": ")" + std::string(44, 'a') + "!\"}]";
  const auto named = split_answer(field, json);
  ASSERT_FALSE(named.ok());
  EXPECT_EQ(named.failure().message.rfind("id: its regular", 0), 0U) << named.failure().message;
}

TEST(ProbeAnswer, PassesOverWordsInFrontOfJson) {
  const auto query = query_of("", "\"/id\"", "\"/id\"");
  const auto words_of = [&](const std::string& answer) {
    std::string words;
    const auto rows = split_answer(query, answer, nullptr, &words);
    return rows ? std::to_string(rows->size()) + ": " + words : rows.failure().message;
  };
  const std::string list = "[{\"id\": \"a\"}]";
  EXPECT_EQ(words_of(list), "1: ");
  EXPECT_EQ(words_of("WARNING: no group\n" + list), "1: WARNING: no group");
  EXPECT_EQ(words_of("[WARN] no group\n" + list), "1: [WARN] no group");
  EXPECT_NE(words_of("no group " + list).find("not JSON"), std::string::npos)
      << "a line of its own, or it is none";
  EXPECT_NE(words_of("WARNING\n{\"id\": ").find("not JSON at byte 1"), std::string::npos);
  const auto lines = [](std::size_t count) {
    std::string made;
    for (std::size_t i = 0; i < count; ++i)
      made += "[WARN]\n";
    return made;
  };
  EXPECT_EQ(words_of(lines(limits::json_beginnings_max - 1) + list).substr(0, 3), "1: ");
  EXPECT_NE(words_of(lines(limits::json_beginnings_max) + list).find("not JSON"),
            std::string::npos);
  const auto preface = [](std::size_t bytes) { return std::string(bytes - 1, 'w') + "\n"; };
  EXPECT_EQ(words_of(preface(limits::json_preface_bytes_max - 1) + list).substr(0, 3), "1: ");
  EXPECT_NE(words_of(preface(limits::json_preface_bytes_max) + list).find("not JSON"),
            std::string::npos);
}

TEST(ProbeAnswer, ReadsFilesOfFolders) {
  const temp_folder folder;
  folder.write("card0/serial", "S0\nmore\n");
  folder.write("card1/serial", "S1");
  folder.write("other/serial", "S2");
  auto query = query_of("\"parse\": \"json\",", "\"/serial\"", "{ \"value\": \"fixed\" }");
  query.parse = answer_format::sysfs;
  query.each = folder / "card*";
  query.fields["id"].at = "serial";
  const auto rows = split_answer(query, "");
  ASSERT_TRUE(rows.ok()) << rows.failure().message;
  ASSERT_EQ(rows->size(), 2U);
  EXPECT_EQ(text_of((*rows)[0], "id"), "S0");
  EXPECT_EQ(text_of((*rows)[1], "model"), "fixed");
  folder.write("card0/hwmon/hwmon7/power", "42");
  query.fields["topology_group"].at = "hwmon/hwmon*/power";
  const auto numbered = split_answer(query, "");
  EXPECT_EQ(text_of((*numbered)[0], "topology_group"), "42");
  EXPECT_EQ(text_of((*numbered)[1], "topology_group"), "");
}

TEST(ProbeAnswer, FoldersComeByTheirNumber) {
  const temp_folder folder;
  for (const char* number : {"10", "2", "1"})
    folder.write(std::string("card") + number + "/serial", number);
  auto query = query_of("\"parse\": \"json\",", "\"/serial\"", "{ \"value\": \"fixed\" }");
  query.parse = answer_format::sysfs;
  query.each = folder / "card*";
  query.fields["id"].at = "serial";
  const auto rows = split_answer(query, "");
  ASSERT_TRUE(rows.ok()) << rows.failure().message;
  ASSERT_EQ(rows->size(), 3U);
  EXPECT_EQ(text_of((*rows)[0], "id"), "1");
  EXPECT_EQ(text_of((*rows)[1], "id"), "2");
  EXPECT_EQ(text_of((*rows)[2], "id"), "10");
}

TEST(ProbeAnswer, BoundsDevicesAndCleansTexts) {
  const auto query = query_of("\"parse\": \"csv\",", "\"id\"", "\"m\"");
  std::string answer = "id,m\n";
  for (std::size_t i = 0; i <= limits::plugin_devices_max; ++i)
    answer += std::to_string(i) + ",x\n";
  EXPECT_NE(split_answer(query, answer).failure().message.find("more than"), std::string::npos);
  const auto rows = split_answer(query, "id,m\na\x1b[2J,\xff" + std::string(1000, 'y'));
  EXPECT_EQ(text_of((*rows)[0], "id"), "a?[2J");
  EXPECT_EQ(text_of((*rows)[0], "model").size(), limits::plugin_text_bytes_max);
}

} // namespace
} // namespace consort::node
