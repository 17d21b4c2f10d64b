// SPDX-License-Identifier: Apache-2.0
// Filters that a policy adds may keep out everybody: what never changes is refused at once, what
// may change is waited for, and nobody waits for what comes of being served only.
#include "tests/support/loaded_cluster.hpp"

#include <gmock/gmock.h>

namespace consort::core::testing {

namespace {

using ::testing::HasSubstr;

/// With a policy of that name and filter, which goes by the speed of decoding.
core_config filtered(const std::string& filter) {
  auto config = core_fixture::quiet();
  profile_config mine;
  mine.name = policy_name{"mine"};
  mine.weights = {{"decode", 1}};
  mine.filters = {filter};
  config.profiles = {mine};
  return config;
}

device_spec api_spec() {
  auto remote = fast_spec();
  remote.id = device_id{"local/remote0"};
  remote.type = resource_type::remote;
  return remote;
}

constexpr const char* told_of_local
    = "no device can serve 'storyteller' for 'auto': local/remote0 local (is a remote API, and the "
      "profile keeps requests here); the policy mine has the filter local: ask by another policy "
      "(X-Consort-Policy), add a device of the cluster, or take that filter out of mine";

request_meta by_mine(core_fixture& t) {
  auto meta = t.request();
  meta.policy = policy_name{"mine"};
  return meta;
}

TEST(PolicyBars, WhatOnlyARemoteCouldServeIsRefusedAtOnceAndLoadsNothing) {
  core_fixture t(filtered("local"));
  t.join("local");
  t.advertise(api_spec());
  t.declare(story_spec());
  t.submit(by_mine(t));
  const auto refused = t.expect<reject_request>();
  EXPECT_EQ(refused.http_status, 422);
  EXPECT_EQ(refused.reason.message, told_of_local);
  t.expect<record_request>();
  t.expect_empty();
  t.submit();
  EXPECT_EQ(t.take_all<reserve_allocation>().size(), 1U) << "by another policy it is served";
  t.drop_all();
}

TEST(PolicyBars, AlsoWhereTheRemoteServesOthersAlready) {
  loaded_cluster t({api_spec()}, filtered("local"));
  t.submit(by_mine(t));
  EXPECT_EQ(t.expect<reject_request>().http_status, 422);
  t.expect<record_request>();
  EXPECT_EQ(t.device_for(t.request()), "local/remote0");
}

TEST(PolicyBars, ThePolicyOfTheTenantCountsLikeThatOfTheRequest) {
  auto config = filtered("local");
  config.tenant_policy[tenant_id{"careful"}] = policy_name{"mine"};
  loaded_cluster t({api_spec()}, config);
  auto meta = t.request();
  meta.tenant = tenant_id{"careful"};
  t.submit(meta);
  EXPECT_EQ(t.expect<reject_request>().reason.message, told_of_local);
  t.expect<record_request>();
}

TEST(PolicyBars, ADeviceOfTheClusterIsLoadedForThemNotTheFasterRemote) {
  core_fixture t(filtered("local"));
  t.join("local");
  t.advertise(api_spec());
  t.advertise(cpu_spec());
  t.declare(story_spec());
  t.submit(by_mine(t));
  const auto asked = t.take_all<reserve_allocation>();
  ASSERT_EQ(asked.size(), 1U);
  EXPECT_EQ(asked[0].grant.shares.at(0).device.value, "local/cpu0");
  t.drop_all();
}

TEST(PolicyBars, DryRunAndPlanSayTheSame) {
  auto config = filtered("local");
  config.policy = policy_name{"mine"};
  loaded_cluster t({api_spec()}, config);
  const auto told = t.tested().explain(t.request(), t.now());
  ASSERT_TRUE(told);
  EXPECT_EQ(told->decisions.at(0).outcome, "rejected");
  EXPECT_EQ(told->decisions[0].reason, told_of_local);
  EXPECT_EQ(told->decisions[0].candidates.at(0).removed_by, "local");
  const auto planned = t.tested().plan({model_name{"storyteller"}, "auto", {}}, t.now());
  ASSERT_TRUE(planned);
  ASSERT_EQ(planned->decisions.size(), 1U);
  EXPECT_EQ(planned->decisions[0].outcome, "refuse");
  EXPECT_EQ(planned->decisions[0].reason, told_of_local);
  t.expect_empty();
}

/// Ends as many there as it takes to have been measured.
void measure_there(loaded_cluster& t, const std::string& device) {
  for (std::uint32_t each = 0; each < limits::explore_samples; ++each) {
    t.submit(t.request(device));
    const auto granted = t.take_all<grant_ticket>();
    ASSERT_EQ(granted.size(), 1U);
    t.start(granted[0]);
    t.finish(granted[0]);
    t.drop_all();
  }
}

TEST(PolicyBars, MeasuredIsAskedOnlyWhileItLeavesSomebody) {
  loaded_cluster t({fast_spec(), frugal_spec()}, filtered("measured"));
  EXPECT_EQ(t.device_for(t.by("mine")), "local/gpu0") << "nobody was measured: all may serve";
  measure_there(t, "local/npu0");
  const auto meta = t.by("mine");
  EXPECT_EQ(t.device_for(meta), "local/npu0") << "the only one that was";
  const auto told = t.tested().explain(meta.external_id, t.now());
  ASSERT_TRUE(told);
  EXPECT_EQ(told->decisions.at(0).candidates.at(1).removed_by, "measured");
  t.feed(drain_changed{"local/npu0", true, "", 0, hold_kind::cordon});
  EXPECT_EQ(t.device_for(t.by("mine")), "local/gpu0") << "who takes no work leaves nobody";
}

TEST(PolicyBars, MeasuredAsTheClustersPolicyServesFromTheFirstRequest) {
  auto config = filtered("measured");
  config.policy = policy_name{"mine"};
  loaded_cluster t({fast_spec(), frugal_spec()}, config);
  const auto planned = t.tested().plan({model_name{"storyteller"}, "auto", {}}, t.now());
  ASSERT_TRUE(planned);
  EXPECT_EQ(planned->decisions.at(0).outcome, "serve");
  EXPECT_EQ(t.device_for(t.request()), "local/gpu0");
}

/// A measured one whose KV cache is too small for the prompt would be waited for in vain.
TEST(PolicyBars, WhoCannotTakeThePromptCountsForNobodyAsMeasured) {
  loaded_cluster t({frugal_spec()}, filtered("measured"), 1'000);
  measure_there(t, "local/npu0");
  t.advertise(fast_spec());
  auto large = t.by("mine");
  large.prompt_tokens = 5'000;
  t.submit(large);
  const auto asked = t.take_all<reserve_allocation>();
  ASSERT_EQ(asked.size(), 1U);
  t.feed(t.reserved(asked[0]));
  const auto load = t.take_all<load_replica>();
  ASSERT_EQ(load.size(), 1U);
  t.loaded(load[0]);
  const auto granted = t.take_all<grant_ticket>();
  ASSERT_EQ(granted.size(), 1U);
  EXPECT_EQ(granted[0].granted.device.value, "local/gpu0");
  t.drop_all();
}

device_reported in_health(const core_fixture& t, const std::string& device, device_health health) {
  device_reported said;
  said.device = device_id{device};
  said.life = t.life_of("local");
  said.reading.health = health;
  said.reading.health_reason = health == device_health::healthy ? "" : "hot";
  return said;
}

TEST(PolicyBars, SteadyHasTheModelLoadedOnAHealthyDevice) {
  loaded_cluster t({fast_spec()}, filtered("steady"));
  t.feed(in_health(t, "local/gpu0", device_health::degraded));
  t.advertise(cpu_spec());
  t.submit(by_mine(t));
  const auto asked = t.take_all<reserve_allocation>();
  ASSERT_EQ(asked.size(), 1U) << "what is degraded serves others";
  EXPECT_EQ(asked[0].grant.shares.at(0).device.value, "local/cpu0");
  EXPECT_EQ(t.device_for(t.request()), "local/gpu0");
}

TEST(PolicyBars, WhoMayNotWaitForHealthIsToldWhatKeepsItOut) {
  loaded_cluster t({fast_spec()}, filtered("steady"));
  t.feed(in_health(t, "local/gpu0", device_health::degraded));
  auto meta = by_mine(t);
  meta.wait_us = 0;
  t.submit(meta);
  t.take_all<queue_notice>();
  const auto refused = t.expect<reject_request>();
  EXPECT_EQ(refused.http_status, 503);
  EXPECT_EQ(
      refused.reason.message,
      "not available now: its policy mine keeps it from all who could serve it: local/gpu0 is "
      "degraded, and the profile wants healthy devices: hot");
  EXPECT_FALSE(refused.eta_us);
  t.expect<record_request>();
}

TEST(PolicyBars, SteadyWaitsForHealthAndIsToldSo) {
  loaded_cluster t({fast_spec()}, filtered("steady"));
  t.feed(in_health(t, "local/gpu0", device_health::degraded));
  t.submit(by_mine(t));
  const auto told = t.take_all<queue_notice>();
  ASSERT_EQ(told.size(), 1U) << "it may be healthy again: no 422";
  EXPECT_THAT(told[0].reason, HasSubstr("is degraded, and the profile wants healthy devices: hot"));
  EXPECT_FALSE(told[0].eta_us);
  t.feed(in_health(t, "local/gpu0", device_health::healthy));
  EXPECT_EQ(t.take_all<grant_ticket>().size(), 1U);
  t.drop_all();
}

} // namespace

} // namespace consort::core::testing
