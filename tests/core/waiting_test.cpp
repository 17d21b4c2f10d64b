// SPDX-License-Identifier: Apache-2.0
// What a request waits for has words of its own: each cause is played, and what is told of it read.
#include "tests/support/core_fixture.hpp"

namespace consort::core::testing {

namespace {

/// Of which a CPU of 8 GiB holds one.
model_spec large(const std::string& name) {
  auto made = story_spec(name);
  made.variants[0].weight_bytes = std::uint64_t{5} << 30U;
  return made;
}

request_meta of_model(core_fixture& t, const std::string& name) {
  auto meta = t.request();
  meta.model = model_name{name};
  return meta;
}

queue_notice told(core_fixture& t) {
  auto all = t.take_all<queue_notice>();
  EXPECT_FALSE(all.empty());
  return all.empty() ? queue_notice{} : all.back();
}

/// One CPU, which holds `tales`, and nobody asks for that.
void holding_tales(core_fixture& t, std::uint32_t replicas_min) {
  t.join("local");
  t.advertise(cpu_spec());
  auto tales = large("tales");
  tales.replicas_min = replicas_min;
  t.declare(tales);
  t.declare(large("storyteller"));
  if (replicas_min == 0)
    t.submit(of_model(t, "tales"));
  t.take_all<queue_notice>();
  t.finish_load();
  for (const auto& one : t.take_all<grant_ticket>())
    t.finish(one);
  t.take_all<record_request>();
}

TEST(WaitsFor, AsManyReplicasAsThereMayBe) {
  core_fixture t;
  t.join("local");
  t.advertise(cpu_spec());
  auto model = story_spec();
  model.replicas_min = model.replicas_max = 1;
  t.declare(model);
  t.finish_load();
  t.advertise(cpu_spec("local", 1));
  t.submit("local/cpu0");
  const auto running = t.expect<grant_ticket>();
  t.start(running);
  t.submit("local/cpu1");
  EXPECT_EQ(told(t).reason,
            "storyteller has as many replicas as it may (1), on local/cpu0: none of "
            "these may serve it now");
  t.drop_all();
}

TEST(WaitsFor, ADeviceThatAKeptReplicaHas) {
  core_fixture t;
  holding_tales(t, 1);
  t.submit();
  EXPECT_EQ(told(t).reason, "waits for room on local/cpu0 (tales is kept there)");
  t.drop_all();
}

TEST(WaitsFor, ADeviceThatOthersWorkOn) {
  core_fixture t;
  holding_tales(t, 0);
  t.submit(of_model(t, "tales"));
  t.start(t.expect<grant_ticket>());
  t.submit();
  EXPECT_EQ(told(t).reason, "waits for room on local/cpu0 (tales is busy)");
  t.drop_all();
}

TEST(WaitsFor, RoomThatIsMadeAndThenForALoadOfKnownLength) {
  core_fixture t;
  holding_tales(t, 0);
  t.submit();
  EXPECT_EQ(t.take_all<unload_replica>().size(), 1U);
  const auto notice = told(t);
  EXPECT_EQ(notice.state, "queued");
  EXPECT_EQ(notice.reason, "room is made on local/cpu0: tales leaves");
  ASSERT_TRUE(notice.eta_us);
  EXPECT_GT(*notice.eta_us, 0);
  t.drop_all();
}

TEST(WaitsFor, ADeviceThatWorksForAnotherLeader) {
  core_fixture t;
  t.join("local");
  for (const int number : {0, 1}) {
    auto device = cpu_spec("local", number);
    device.capability.devices_max = 2;
    t.advertise(device);
  }
  auto model = story_spec();
  model.devices_per_instance = 2;
  model.replicas_min = 1;
  t.declare(model);
  const auto leader = t.finish_load().grant.shares.at(0).device.value;
  const std::string other = leader == "local/cpu0" ? "local/cpu1" : "local/cpu0";
  t.submit(other);
  EXPECT_EQ(told(t).reason,
            other + " works for an instance that is asked for by its leader, " + leader);
  t.drop_all();
}

} // namespace

} // namespace consort::core::testing
