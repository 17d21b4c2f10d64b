// SPDX-License-Identifier: Apache-2.0
// The hybrid profile: cheapest within the SLO, the fastest when nobody meets it, and no flapping.
#include "scheduler/prng.hpp"
#include "tests/support/loaded_cluster.hpp"

namespace consort::core::testing {

namespace {

std::vector<device_spec> fast_and_frugal() {
  return {fast_spec(), frugal_spec()};
}

/// 100 prompt tokens take 25 ms on the frugal one and 5 ms on the fast one.
core_config promising(duration_us ttft_us, duration_us itl_us) {
  auto config = core_fixture::quiet();
  config.policy = policy_name{"hybrid"};
  config.slo = {slo_target{ttft_us, 0, itl_us}, slo_target{ttft_us, 0, itl_us},
                slo_target{60 * second, 0, second}};
  return config;
}

TEST(Hybrid, TakesTheCheapestThatMeetsTheSlo) {
  loaded_cluster relaxed(fast_and_frugal(), promising(second, second));
  EXPECT_EQ(relaxed.device_for(relaxed.request()), "local/npu0");
  loaded_cluster first_token(fast_and_frugal(), promising(10'000, second));
  EXPECT_EQ(first_token.device_for(first_token.request()), "local/gpu0");
  loaded_cluster gaps(fast_and_frugal(), promising(second, 20'000));
  EXPECT_EQ(gaps.device_for(gaps.request()), "local/gpu0") << "25 ms between tokens";
}

TEST(Hybrid, LeavesRoomForThoseWhoJoinLater) {
  // The frugal one has 25 ms between tokens, and a promise that it just keeps is soon broken.
  loaded_cluster tight(fast_and_frugal(), promising(second, 30'000));
  EXPECT_EQ(tight.device_for(tight.request()), "local/gpu0") << "25 of 30 ms is above 0.8";
  loaded_cluster roomy(fast_and_frugal(), promising(second, 33'000));
  EXPECT_EQ(roomy.device_for(roomy.request()), "local/npu0") << "25 of 33 ms is below 0.8";
}

TEST(Hybrid, TakesTheFastestWhenNobodyMeetsIt) {
  loaded_cluster t(fast_and_frugal(), promising(1'000, 1'000));
  EXPECT_EQ(t.device_for(t.request()), "local/gpu0");
}

/// It goes by another profile's scores then, and shows those.
TEST(Hybrid, ExplainsByWhatScoresItWentWhenNobodyMeetsIt) {
  loaded_cluster t(fast_and_frugal(), promising(1'000, 1'000));
  const auto meta = t.request();
  t.ask(meta);
  const auto dry = t.request();
  for (const auto& told :
       {*t.tested().explain(meta.external_id, t.now()), *t.tested().explain(dry, t.now())}) {
    const auto& decision = told.decisions.at(0);
    EXPECT_EQ(decision.policy, "hybrid");
    EXPECT_EQ(decision.reason, "nobody is predicted to meet the SLO: scored by latency");
    ASSERT_EQ(decision.candidates.size(), 2U);
    for (const auto& one : decision.candidates) {
      std::int64_t sum = 0;
      for (const auto& term : one.terms)
        sum += term.value;
      EXPECT_NEAR(static_cast<double>(sum), static_cast<double>(one.score), 10) << one.device.value;
    }
  }
}

TEST(Hybrid, ClassesHaveTheirOwnSlo) {
  loaded_cluster t(fast_and_frugal(), promising(10'000, second));
  auto meta = t.request();
  EXPECT_EQ(t.device_for(meta), "local/gpu0");
  meta = t.request();
  meta.priority = priority_class::batch;
  EXPECT_EQ(t.device_for(meta), "local/npu0");
}

TEST(Hybrid, LongerPromptsMayTakeLonger) {
  auto config = promising(10'000, second);
  for (auto& target : config.slo)
    target.ttft_per_1000_us = 400'000;
  loaded_cluster t(fast_and_frugal(), config);
  EXPECT_EQ(t.device_for(t.request()), "local/npu0") << "50 ms for 100 tokens";
}

TEST(Hybrid, WhatWaitedHasLessTimeLeft) {
  loaded_cluster t(fast_and_frugal(), promising(100'000, second));
  t.feed(drain_changed{"local", true, "", 0, hold_kind::cordon});
  t.submit(t.request());
  t.drop_all();
  t.pass_time(90'000);
  t.feed(drain_changed{"local", false, "", 0});
  const auto granted = t.take_all<grant_ticket>();
  ASSERT_EQ(granted.size(), 1U);
  EXPECT_EQ(granted[0].granted.device.value, "local/gpu0") << "25 ms is more than is left";
  t.drop_all();
}

TEST(Hybrid, OverflowGoesToTheNextCheapestInTime) {
  auto frugal = frugal_spec();
  frugal.capability.max_sequences = 1;
  loaded_cluster t({fast_spec(), frugal}, promising(60'000, second));
  EXPECT_EQ(t.device_for(t.request()), "local/npu0");
  // Its backlog would start too late.
  EXPECT_EQ(t.device_for(t.request()), "local/gpu0");
}

/// So many requests one after the other, each as fast as its device is said to be.
void keep_promises(loaded_cluster& t, int count) {
  for (int i = 0; i < count; ++i) {
    const auto ticket = t.ask(t.request());
    EXPECT_EQ(ticket.granted.device.value, "local/npu0");
    attempt_measurement measured;
    measured.usage = {100, 50, 0};
    measured.first_token_us = 25'000;
    measured.total_us = 25'000 + 49 * 25'000;
    measured.batch = 1;
    t.feed(attempt_finished{ticket.granted.attempt, measured});
    t.drop_all();
    t.pass_time(20'000);
    t.feed(lease_renewed{node_id{"local"}, t.life_of("local")});
    t.drop_all();
  }
}

/// Where three that come at once go: the frugal one reads 25 ms for each.
std::vector<std::string> devices_of_three(loaded_cluster& t) {
  std::vector<std::string> devices;
  for (int i = 0; i < 3; ++i)
    devices.push_back(t.device_for(t.request()));
  return devices;
}

TEST(Hybrid, ComesLateByChoiceWhereMorePromisesWereKeptThanAreAimedAt) {
  const std::vector<std::string> in_time{"local/npu0", "local/npu0", "local/gpu0"};
  const std::vector<std::string> one_late{"local/npu0", "local/npu0", "local/npu0"};
  constexpr int for_one = 1000 / (1000 - limits::slo_kept_pm);
  loaded_cluster few(fast_and_frugal(), promising(60'000, second));
  keep_promises(few, for_one - 1);
  EXPECT_EQ(devices_of_three(few), in_time) << "75 ms is above 60";
  loaded_cluster enough(fast_and_frugal(), promising(60'000, second));
  keep_promises(enough, for_one);
  EXPECT_EQ(devices_of_three(enough), one_late);
  EXPECT_EQ(enough.device_for(enough.request()), "local/gpu0") << "there was one to let off";
}

TEST(Hybrid, IsNeverMuchTooLateByChoice) {
  constexpr int for_one = 1000 / (1000 - limits::slo_kept_pm);
  // Of 26 ms, thrice as much is above the third one's 75, and not above the fourth one's 100.
  loaded_cluster t(fast_and_frugal(), promising(26'000, second));
  keep_promises(t, 3 * for_one);
  EXPECT_EQ(t.device_for(t.request()), "local/npu0");
  EXPECT_EQ(t.device_for(t.request()), "local/npu0") << "50 ms";
  EXPECT_EQ(t.device_for(t.request()), "local/npu0") << "75 ms";
  EXPECT_EQ(t.device_for(t.request()), "local/gpu0") << "100 ms";
}

TEST(Hybrid, SaysThatItComesLateByChoice) {
  loaded_cluster t(fast_and_frugal(), promising(60'000, second));
  keep_promises(t, 1000 / (1000 - limits::slo_kept_pm));
  t.device_for(t.request());
  t.device_for(t.request());
  const auto meta = t.request();
  EXPECT_EQ(t.device_for(meta), "local/npu0");
  const auto told = t.tested().explain(meta.external_id, t.now());
  ASSERT_TRUE(told);
  EXPECT_EQ(told->decisions.back().reason.substr(0, 15), "late by choice:");
}

/// Two kinds that cost about the same, whose learned speeds move by chance.
struct noisy_run {
  int switches = 0;
  duration_us span_us = 0;
};

noisy_run play(std::uint64_t seed) {
  auto one = frugal_spec(), other = frugal_spec();
  other.id = device_id{"local/npu1"};
  other.model = "rival";
  loaded_cluster t({one, other}, promising(second, second));
  prng chance(seed);
  noisy_run seen;
  std::string last;
  const auto began = t.now();
  for (int i = 0; i < 600; ++i) {
    const auto ticket = t.ask(t.request());
    const auto& device = ticket.granted.device.value;
    seen.switches += !last.empty() && device != last ? 1 : 0;
    last = device;
    attempt_measurement measured;
    measured.usage = {100, 50, 0};
    measured.first_token_us = static_cast<duration_us>(15'000 + chance.below(20'000));
    measured.total_us
        = measured.first_token_us + static_cast<duration_us>(49 * (15'000 + chance.below(20'000)));
    measured.batch = 1;
    t.feed(attempt_finished{ticket.granted.attempt, measured});
    t.drop_all();
    t.pass_time(20'000);
    if (i % 50 == 0)
      t.feed(lease_renewed{node_id{"local"}, t.life_of("local")});
    t.drop_all();
  }
  seen.span_us = t.now() - began;
  return seen;
}

TEST(Hybrid, NeverFlapsBeyondItsBound) {
  for (const auto seed : {1U, 2U, 3U}) {
    const auto seen = play(seed);
    EXPECT_LE(seen.switches, seen.span_us / limits::hybrid_hold_us + 1) << "seed " << seed;
  }
}

} // namespace

} // namespace consort::core::testing
