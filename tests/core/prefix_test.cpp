// SPDX-License-Identifier: Apache-2.0
// Prefix awareness as time saved: it is followed where it pays, and cannot make a hot spot. Others'
// routers fell into these spirals: a cache that everybody shares drew all requests to one device,
// and on a miss the device with the smallest cache drew them.
#include "tests/support/loaded_cluster.hpp"

namespace consort::core::testing {

namespace {

std::vector<device_spec> roomy(int count) {
  auto made = alike(count);
  for (auto& one : made) {
    one.capability.max_sequences = 64;
    one.spec.decode_batch_gain_pm = 50;
  }
  return made;
}

request_meta about(loaded_cluster& t, std::vector<std::uint64_t> blocks) {
  auto meta = t.request();
  meta.prefix_blocks = std::move(blocks);
  meta.prompt_tokens = 1'000;
  return meta;
}

int heaviest(const std::map<std::string, int>& counts) {
  int most = 0;
  for (const auto& [device, count] : counts)
    most = std::max(most, count);
  return most;
}

TEST(Prefix, IsFollowedWhereItSavesTime) {
  loaded_cluster t(roomy(4));
  t.ask(t.request("local/cpu0"));
  const auto first = t.ask(about(t, {1, 2, 3, 4}));
  EXPECT_EQ(first.granted.device.value, "local/cpu1");
  t.start(first);
  t.progress(first, 1);
  EXPECT_EQ(t.device_for(about(t, {1, 2, 3, 9})), "local/cpu1");
}

TEST(Prefix, IsLeftWhereTheWaitIsLongerThanWhatIsSaved) {
  loaded_cluster t(roomy(2));
  EXPECT_EQ(t.device_for(about(t, {1, 2, 3, 4})), "local/cpu0");
  // Its prompt is still being read there: a whole prefill against three quarters of one saved.
  EXPECT_EQ(t.device_for(about(t, {1, 2, 3, 5})), "local/cpu1");
}

TEST(Prefix, OneThatEverybodySharesMakesNoHotSpot) {
  for (const auto* policy : {"latency", "throughput"}) {
    loaded_cluster t(roomy(4));
    std::map<std::string, int> counts;
    for (std::uint64_t i = 0; i < 64; ++i) {
      auto meta = about(t, {1, 2, 3, 100 + i});
      meta.policy = policy_name{policy};
      ++counts[t.device_for(meta)];
      t.pass_time(1'000);
    }
    EXPECT_LE(heaviest(counts), 28) << policy << ": fair would be 16";
    EXPECT_EQ(counts.size(), 4U) << policy;
  }
}

TEST(Prefix, MissesSpreadWhateverTheCachesHold) {
  loaded_cluster t(roomy(4));
  // All but the last hold much.
  for (std::uint64_t i = 0; i < 30; ++i)
    t.finish(t.ask([&] {
      auto meta = about(t, {1'000 + i, 2'000 + i, 3'000 + i});
      meta.selector = "local/cpu" + std::to_string(i % 3);
      return meta;
    }()));
  t.drop_all();
  std::map<std::string, int> counts;
  for (std::uint64_t i = 0; i < 32; ++i)
    ++counts[t.device_for(about(t, {9'000 + i}))];
  EXPECT_LE(heaviest(counts), 12) << "fair would be 8";
}

TEST(Prefix, RestartedInstanceHoldsNothing) {
  loaded_cluster t(roomy(2));
  const auto first = t.ask(about(t, {1, 2, 3, 4}));
  t.finish(first);
  t.drop_all();
  t.feed(replica_failed{first.granted.instance,
                        t.life_of("local"),
                        {recovery::retry_elsewhere, "host_died", "its host died"}});
  t.drop_all();
  const auto again = about(t, {1, 2, 3, 4});
  t.ask(again);
  const auto told = t.tested().explain(again.external_id, t.now());
  for (const auto& one : told->decisions.back().candidates)
    for (const auto& term : one.terms)
      EXPECT_NE(term.name, "prefix") << one.device.value;
}

} // namespace

} // namespace consort::core::testing
