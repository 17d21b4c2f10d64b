// SPDX-License-Identifier: Apache-2.0
#include "node/rank_place.hpp"

#include <gtest/gtest.h>

namespace consort::node {

namespace {

device_spec device(const std::string& id, const std::string& index) {
  device_spec made;
  made.id = device_id{id};
  made.uuid = "U-" + id;
  made.attributes["index"] = index;
  return made;
}

allocation over_two_nodes() {
  allocation grant;
  for (const auto* id : {"a/npu0", "a/npu1", "b/npu0", "b/npu3"})
    grant.shares.push_back({device_id{id}, true, 0});
  grant.master = "10.0.0.1:4242";
  return grant;
}

TEST(RankPlace, NodeGetsItsOwnDevicesAndWhereTheyStand) {
  const std::vector<device_spec> local{device("b/npu0", "0"), device("b/npu1", "1"),
                                       device("b/npu3", "3")};
  const auto place = place_of(over_two_nodes(), local, 1, 2);
  EXPECT_EQ(place.devices.size(), 2U);
  EXPECT_EQ(place.first, 2U);
  EXPECT_EQ(place.degree, 4U);
  EXPECT_FALSE(place.leads());
  const auto values = rank_values(place, local.front());
  EXPECT_EQ(values.at("devices"), "U-b/npu0,U-b/npu3");
  EXPECT_EQ(values.at("indexes"), "0,3");
  EXPECT_EQ(values.at("places"), "0,1");
  EXPECT_EQ(values.at("tp"), "4");
  EXPECT_EQ(values.at("rank"), "1");
  EXPECT_EQ(values.at("ranks"), "2");
  EXPECT_EQ(values.at("master"), "10.0.0.1:4242");
  EXPECT_EQ(values.at("masterhost"), "10.0.0.1");
  EXPECT_EQ(values.at("masterport"), "4242");
}

TEST(RankPlace, IndexesThatAreNumbersAscend) {
  EXPECT_EQ(joined_indexes({device("a", "10"), device("b", "9"), device("c", "0")}), "0,9,10");
  EXPECT_EQ(joined_uuids({device("a", "10"), device("b", "9")}), "U-a,U-b");
}

TEST(RankPlace, IndexesOfAnotherKindKeepTheirOrder) {
  EXPECT_EQ(joined_indexes({device("a", "2,3"), device("b", "0,1")}), "2,3,0,1");
  EXPECT_EQ(joined_indexes({device("a", "MIG-2"), device("b", "1")}), "MIG-2,1");
  EXPECT_EQ(joined_indexes({device("a", "3"), device("b", "")}), "3,");
}

TEST(RankPlace, MasterThatIsNoAddressBreaksNothing) {
  for (const auto* odd : {":5000", "nowhere", ":"}) {
    rank_place place;
    place.master = odd;
    EXPECT_EQ(rank_values(place, {}).at("masterhost"), "127.0.0.1") << odd;
  }
}

TEST(RankPlace, SingleDeviceStandsForItself) {
  const auto values = rank_values({}, device("a/npu1", "1"));
  EXPECT_EQ(values.at("devices"), "U-a/npu1");
  EXPECT_EQ(values.at("indexes"), "1");
  EXPECT_EQ(values.at("tp"), "1");
  EXPECT_EQ(values.at("master"), "");
  EXPECT_EQ(values.at("masterport"), "");
}

TEST(RankPlace, RendezvousIsOnTheHostOfTheDataPort) {
  const auto local = rendezvous_address("");
  ASSERT_TRUE(local);
  EXPECT_TRUE(local->starts_with("127.0.0.1:"));
  const auto far = rendezvous_address("[fd00::1]:7000");
  ASSERT_TRUE(far);
  EXPECT_TRUE(far->starts_with("[fd00::1]:"));
  EXPECT_FALSE(far->ends_with(":0"));
}

} // namespace

} // namespace consort::node
