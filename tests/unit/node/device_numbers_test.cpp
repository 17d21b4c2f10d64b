// SPDX-License-Identifier: Apache-2.0
#include "node/device_numbers.hpp"

#include "node/inventory.hpp"

#include "tests/unit/node/plugin_samples.hpp"
#include "tests/unit/node/temp_folder.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace consort::node {
namespace {

using test::changed;
using test::temp_folder;

/// One look at hardware that consists of these npus. Returns: their names, in that order.
std::vector<std::string> look(device_numbers& numbers, const std::vector<std::string>& identities) {
  numbers.begin();
  std::vector<std::string> names;
  for (const auto& one : identities)
    names.push_back(numbers.name_of(one, "npu"));
  EXPECT_FALSE(numbers.settle());
  return names;
}

using names = std::vector<std::string>;

TEST(DeviceNumbers, OutliveTheAgentAndTheAbsenceOfADevice) {
  const temp_folder folder;
  const auto path = folder.path() + "/devices.json";
  {
    device_numbers first(path);
    EXPECT_EQ(look(first, {"a", "b"}), (names{"npu0", "npu1"}));
    first.begin();
    EXPECT_EQ(first.name_of("a", "npu"), "npu0");
    EXPECT_EQ(first.name_of("a-part", "npu0."), "npu0.0") << "a part counts by itself";
    EXPECT_EQ(first.name_of("a", "gpu"), "gpu0") << "another plugin takes it for another kind";
    EXPECT_FALSE(first.settle());
  }
  device_numbers second(path);
  EXPECT_EQ(look(second, {"c"}), names{"npu2"}) << "npu0 and npu1 are only away";
  device_numbers third(path);
  EXPECT_EQ(look(third, {"b", "c", "a"}), (names{"npu1", "npu2", "npu0"}));
  EXPECT_EQ(third.name_of("a-part", "npu0."), "npu0.0");
  EXPECT_EQ(third.name_of("a", "gpu"), "gpu0");
}

TEST(DeviceNumbers, OfMoreThanItsLimitTheLongestAwayAreForgotten) {
  const temp_folder folder;
  const auto path = folder.path() + "/devices.json";
  {
    device_numbers numbers(path, 3);
    look(numbers, {"a", "b", "c"});
    look(numbers, {"b", "c"}); // a goes first,
    look(numbers, {"c"});      // then b.
    EXPECT_EQ(look(numbers, {"c", "d"}), (names{"npu2", "npu3"})) << "a was known until now";
    EXPECT_EQ(look(numbers, {"c", "e"}), (names{"npu2", "npu0"})) << "a is not; b was until now";
  }
  device_numbers again(path, 3);
  EXPECT_EQ(look(again, {"c", "d", "e"}), (names{"npu2", "npu3", "npu0"}));
  EXPECT_EQ(look(again, {"c", "d", "e", "f"}), (names{"npu2", "npu3", "npu0", "npu1"}))
      << "who is here has a number, however many they are";
  device_numbers wide(path, 3);
  EXPECT_EQ(look(wide, {"f", "e", "d"}), (names{"npu1", "npu0", "npu3"})) << "the last are kept";
  static_assert(limits::device_numbers_max >= limits::plugin_devices_max);
}

TEST(DeviceNumbers, AFileOfSomebodyElseIsSaidOnceAndBegunAnew) {
  const std::vector<std::string> broken{
      "",
      "{ \"format\": 1, \"devices\": [[\"a\", \"npu0\"]",
      "[]",
      "null",
      R"({"format": 2, "devices": []})",
      R"({"format": "1", "devices": []})",
      R"({"format": 1, "devices": {"a": "npu0"}})",
      R"({"format": 1, "devices": [["a"]]})",
      R"({"format": 1, "devices": [["a", 7]]})",
      R"({"format": 1, "devices": [["", "npu0"]]})",
      R"({"format": 1, "devices": [["a", "npu"]]})",
      R"({"format": 1, "devices": [["a", "7"]]})",
      R"({"format": 1, "devices": [["a", "npu0"], ["b", "npu0"]]})",
      R"({"format": 1, "devices": [["a", "npu0"], ["a", "npu1"]]})",
      std::string(limits::device_numbers_bytes_max + 1, ' '),
      std::string(4'096, '\0'),
  };
  for (const auto& text : broken) {
    const temp_folder folder;
    const auto path = folder.path() + "/devices.json";
    std::ofstream(path, std::ios::binary) << text;
    device_numbers numbers(path);
    numbers.begin();
    EXPECT_EQ(numbers.name_of("z", "npu"), "npu0") << text.substr(0, 80);
    const auto said = numbers.settle();
    ASSERT_TRUE(said) << text.substr(0, 80);
    EXPECT_NE(said->message.find(path), std::string::npos);
    EXPECT_NE(said->message.find("begun anew"), std::string::npos);
    EXPECT_FALSE(numbers.settle()) << "once";
    device_numbers next(path);
    EXPECT_EQ(look(next, {"y", "z"}), (names{"npu1", "npu0"})) << "it is whole again";
  }
}

TEST(DeviceNumbers, AFolderThatCannotBeWrittenIsSaidAndCostsNoDevice) {
  device_numbers numbers("/no/such/folder/devices.json");
  numbers.begin();
  EXPECT_EQ(numbers.name_of("a", "npu"), "npu0");
  const auto said = numbers.settle();
  ASSERT_TRUE(said);
  EXPECT_NE(said->message.find("cannot be written"), std::string::npos) << said->message;
}

// --- in the inventory ---

/// Plugins of a made-up vendor in a folder, and an agent's memory beside them.
class numbered_host : public ::testing::Test {
protected:
  void vendor(const std::string& name, const std::string& uuid, const std::string& more = "") {
    folder.write("plugins/" + name + "/plugin.json",
                 changed("\"name\": \"fake\",", "\"name\": \"" + name + "\"," + more));
    folder.script("plugins/" + name + "/fake-smi",
                  "echo '{\"devices\": [{\"uuid\": \"" + uuid + "\", \"name\": \"fake-1\"}]}'");
    folder.script("plugins/" + name + "/fake-cc", "echo 1.2.3");
  }
  /// What an agent that starts now finds.
  std::vector<std::string> started() {
    inventory all(node_id("n"), folder.path() + "/devices.json");
    EXPECT_TRUE(all.load(folder.path() + "/plugins", environment).empty());
    EXPECT_TRUE(all.probe().empty());
    std::vector<std::string> ids;
    for (const auto& device : all.devices())
      ids.push_back(device.id.value + "=" + device.uuid);
    return ids;
  }

  const temp_folder folder;
  boost::asio::io_context io;
  const plugin_environment environment{io, nullptr};
};

using NumberedHost = numbered_host;

TEST_F(NumberedHost, APluginThatIsAwayDuringARestartKeepsItsNumber) {
  vendor("a", "u1");
  vendor("b", "u2");
  EXPECT_EQ(started(), (names{"n/npu0=u1", "n/npu1=u2"}));
  std::filesystem::rename(folder.path() + "/plugins/a", folder.path() + "/a");
  EXPECT_EQ(started(), names{"n/npu1=u2"});
  vendor("0-new", "u3");
  EXPECT_EQ(started(), (names{"n/npu1=u2", "n/npu2=u3"}));
  std::filesystem::rename(folder.path() + "/a", folder.path() + "/plugins/a");
  EXPECT_EQ(started(), (names{"n/npu0=u1", "n/npu1=u2", "n/npu2=u3"}));
}

TEST_F(NumberedHost, ABoardKeepsItsNumberWhicheverPluginClaimsIt) {
  vendor("a", "u1");
  vendor("b", "u2");
  EXPECT_EQ(started(), (names{"n/npu0=u1", "n/npu1=u2"}));
  std::filesystem::remove_all(folder.path() + "/plugins/a");
  std::filesystem::remove_all(folder.path() + "/plugins/b");
  vendor("generic", "u2");
  EXPECT_EQ(started(), names{"n/npu1=u2"});
}

TEST_F(NumberedHost, PartsKeepTheirNumbersWithTheirDevice) {
  const std::string parts = R"("partitions": {"of": 2, "list": [
      {"name": "low", "first": 0, "last": 0}, {"name": "high", "first": 1, "last": 1}]},)";
  vendor("a", "u0");
  vendor("b", "u1", parts);
  const names all{"n/npu0=u0", "n/npu1=u1", "n/npu1.0=u1/high", "n/npu1.1=u1/low"};
  EXPECT_EQ(started(), all);
  std::filesystem::rename(folder.path() + "/plugins/a", folder.path() + "/a");
  EXPECT_EQ(started(), (names{all.begin() + 1, all.end()}));
  std::filesystem::rename(folder.path() + "/a", folder.path() + "/plugins/a");
  EXPECT_EQ(started(), all);
}

} // namespace
} // namespace consort::node
