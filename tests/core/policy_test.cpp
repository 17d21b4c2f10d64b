// SPDX-License-Identifier: Apache-2.0
// What each profile chooses, as seen from outside: devices in tickets.
#include "scheduler/prng.hpp"
#include "tests/support/loaded_cluster.hpp"

#include <gmock/gmock.h>

#include <algorithm>

namespace consort::core::testing {

namespace {

using ::testing::HasSubstr;

std::vector<device_spec> fast_and_frugal() {
  return {fast_spec(), frugal_spec()};
}

TEST(Policies, LatencyTakesTheFastestAndEnergyAndCostTheFrugal) {
  for (const auto& [policy, device] : std::map<std::string, std::string>{
           {"latency", "local/gpu0"}, {"energy", "local/npu0"}, {"cost", "local/npu0"}}) {
    loaded_cluster t(fast_and_frugal());
    EXPECT_EQ(t.device_for(t.by(policy)), device) << policy;
  }
}

/// More devices than are all looked at, each with speeds of its own, fast at one thing or another.
std::vector<device_spec> unlike(int count) {
  prng chance(5);
  std::vector<device_spec> made;
  for (int number = 0; number < count; ++number) {
    auto& one = made.emplace_back(fast_spec());
    one.id = device_id{"local/gpu" + std::to_string(number)};
    one.model = "kind" + std::to_string(number);
    one.spec.prefill_tokens_per_s = 2'000 + chance.below(20'000);
    one.spec.decode_tokens_per_s = 20 + chance.below(200);
  }
  return made;
}

TEST(Policies, LatencyFindsTheFastestOfManyUnlikeDevicesWithoutALookAtEach) {
  const auto devices = unlike(100);
  ASSERT_GT(devices.size(), limits::explain_candidates_max);
  for (const auto& [prompt, output] :
       std::vector<std::pair<std::uint32_t, std::uint32_t>>{{4'000, 1}, {16, 60}, {1'000, 20}}) {
    const auto ns = [&, prompt = prompt, output = output](const device_spec& one) {
      return prompt * 1'000'000'000LL / static_cast<std::int64_t>(one.spec.prefill_tokens_per_s)
             + output * 1'000'000'000LL / static_cast<std::int64_t>(one.spec.decode_tokens_per_s);
    };
    loaded_cluster t(devices);
    auto meta = t.by("latency");
    meta.prompt_tokens = prompt;
    meta.max_tokens = output;
    const auto sent = t.device_for(meta);
    const auto chosen = std::find_if(devices.begin(), devices.end(),
                                     [&](const device_spec& one) { return one.id.value == sent; });
    ASSERT_NE(chosen, devices.end()) << prompt;
    for (const auto& one : devices) // A hundredth is the grain of a device's own pace.
      EXPECT_LE(ns(*chosen), ns(one) + ns(one) / 100) << prompt << " on " << one.id.value;
  }
}

/// Engines that are frugal once they are full, and one that is frugal alone. Requests of 50 tokens
/// come twice a second and run for as long as their device takes.
class energy_fleet : public loaded_cluster {
public:
  energy_fleet() : loaded_cluster(devices()) {}

  /// Returns: how many of the last `counted` each device got.
  std::map<std::string, int> serve(int requests, int counted, duration_us apart) {
    std::map<std::string, int> sent;
    for (int at = 0; at < requests; ++at) {
      finish_due();
      const auto granted = ask(by("energy"));
      if (at >= requests - counted)
        ++sent[granted.granted.device.value];
      if (!granted.granted.device.empty())
        running_.push_back({granted, now()});
      pass_time_renewing(apart);
      drop_all();
    }
    return sent;
  }

private:
  static constexpr duration_us slow_gap = 50'000, quick_gap = 12'500;
  static std::vector<device_spec> devices() {
    auto quick = fast_spec();
    quick.model = "quick";
    quick.spec.decode_tokens_per_s = 80;
    quick.spec.decode_batch_gain_pm = 0;
    quick.spec.tdp_mw = 180'000;
    quick.spec.idle_mw = 30'000;
    std::vector<device_spec> made{quick};
    for (int number = 0; number < 2; ++number) {
      auto slow = quick;
      slow.id = device_id{"local/slow" + std::to_string(number)};
      slow.model = "slow";
      slow.spec.decode_tokens_per_s = 20;
      slow.spec.tdp_mw = 75'000;
      slow.spec.idle_mw = 15'000;
      made.push_back(slow);
    }
    return made;
  }
  struct under_way {
    grant_ticket granted;
    time_us since = 0;
  };
  void finish_due() {
    std::erase_if(running_, [&](const under_way& one) {
      const auto gap = one.granted.granted.device.value == "local/gpu0" ? quick_gap : slow_gap;
      if (now() - one.since < 50 * gap)
        return false;
      attempt_measurement measured;
      measured.usage = {100, 50, 0};
      measured.first_token_us = 5'000;
      measured.total_us = 5'000 + 49 * gap;
      measured.batch = 1;
      feed(attempt_finished{one.granted.granted.attempt, measured});
      drop_all();
      return true;
    });
  }

  std::vector<under_way> running_;
};

TEST(Policies, EnergyTakesTheFrugalOneWhileLittleComes) {
  energy_fleet t;
  EXPECT_EQ(t.serve(8, 8, 20 * second), (std::map<std::string, int>{{"local/gpu0", 8}}))
      << "1.9 J a token alone, against 3";
}

TEST(Policies, EnergyGathersALoadWhereItIsFrugalTogether) {
  energy_fleet t;
  const auto sent = t.serve(160, 40, second / 2);
  ASSERT_EQ(sent.size(), 1U) << "the other may rest";
  EXPECT_EQ(sent.begin()->first, "local/slow0") << "0.5 J a token in sixes, against 0.9 in twos";
}

TEST(Policies, ThroughputCountsTheDelayOfThoseWhoRunThere) {
  // Alone the first is a little faster; beside three others it would hold all of them up.
  auto first = cpu_spec("local", 0), second = cpu_spec("local", 1);
  first.spec.decode_tokens_per_s = 110;
  first.spec.decode_batch_gain_pm = second.spec.decode_batch_gain_pm = 10;
  loaded_cluster t({first, second});
  for (int i = 0; i < 3; ++i)
    t.ask(t.request("local/cpu0"));
  EXPECT_EQ(t.device_for(t.by("throughput")), "local/cpu1");
}

TEST(Policies, ThroughputKeepsPromptsThatAnEngineCannotReadYet) {
  auto roomy = cpu_spec("local", 0);
  roomy.capability.max_sequences = 64;
  loaded_cluster t({roomy});
  const auto long_one = [&](const std::string& policy) {
    auto meta = t.by(policy);
    meta.prompt_tokens = 9'000;
    return meta;
  };
  const auto first = t.ask(long_one("throughput"));
  const auto second = t.ask(long_one("throughput"));
  EXPECT_EQ(second.granted.device.value, "local/cpu0") << "it must not run dry";
  const auto other = t.ask(long_one("latency"));
  EXPECT_EQ(other.granted.device.value, "local/cpu0") << "it goes where its end is earliest";
  EXPECT_EQ(t.device_for(long_one("throughput")), "") << "two steps' worth are there";
  EXPECT_EQ(t.tested().explain(t.by("latency"), t.now())->decisions.at(0).winner.value,
            "local/cpu0")
      << "of which whoever asks what would happen is told as well";
  EXPECT_EQ(t.device_for(t.by("latency")), "local/cpu0") << "who waits so holds up nobody else";
  auto now_or_never = long_one("throughput");
  now_or_never.wait_us = 0;
  EXPECT_EQ(t.device_for(now_or_never), "local/cpu0") << "and it has no place behind who waits";
  t.pass_time_renewing(limits::starvation_us + 1);
  EXPECT_EQ(t.device_for(t.by("latency")), "local/cpu0") << "however long they wait";
  for (const auto& read : {first, second}) {
    t.start(read);
    t.progress(read, 1);
    EXPECT_TRUE(t.take_all<grant_ticket>().empty()) << "two are still to be read";
  }
  t.start(other);
  t.progress(other, 1);
  EXPECT_EQ(t.take_all<grant_ticket>().size(), 1U);
}

TEST(Policies, NoPromptIsSentToMeasureAnEngineThatCannotReadItYet) {
  auto config = core_fixture::quiet();
  config.explore_pm = 1'000;
  auto roomy = cpu_spec("local", 0);
  roomy.capability.max_sequences = 64;
  loaded_cluster t({roomy, cpu_spec("local", 1)}, config);
  for (int at = 0; at < 3; ++at) {
    auto meta = t.request("local/cpu0");
    meta.prompt_tokens = 9'000;
    t.ask(meta);
  }
  EXPECT_EQ(t.device_for(t.by("throughput")), "local/cpu1");
}

TEST(Policies, RoundRobinTakesOneAfterTheOther) {
  loaded_cluster t(alike(3));
  std::vector<std::string> seen;
  for (int i = 0; i < 6; ++i)
    seen.push_back(t.device_for(t.by("round-robin")));
  EXPECT_EQ(seen, (std::vector<std::string>{"local/cpu0", "local/cpu1", "local/cpu2", "local/cpu0",
                                            "local/cpu1", "local/cpu2"}));
}

TEST(Policies, RoundRobinPassesOverWhoIsFull) {
  loaded_cluster t(alike(3));
  for (int i = 0; i < 5; ++i)
    t.ask(t.request("local/cpu1"));
  std::vector<std::string> seen;
  for (int i = 0; i < 3; ++i)
    seen.push_back(t.device_for(t.by("round-robin")));
  EXPECT_EQ(seen, (std::vector<std::string>{"local/cpu0", "local/cpu2", "local/cpu0"}));
}

TEST(Policies, RandomReachesEveryDeviceAndRepeatsWithItsSeed) {
  const auto run = [](std::uint64_t seed) {
    auto config = core_fixture::quiet();
    config.seed = seed;
    loaded_cluster t(alike(4), config);
    std::vector<std::string> seen;
    for (int i = 0; i < 40; ++i) {
      const auto ticket = t.ask(t.by("random"));
      seen.push_back(ticket.granted.device.value);
      t.finish(ticket);
      t.drop_all();
    }
    return seen;
  };
  const auto seen = run(3);
  EXPECT_EQ(std::set<std::string>(seen.begin(), seen.end()).size(), 4U);
  EXPECT_EQ(run(3), seen);
  EXPECT_NE(run(4), seen);
}

TEST(Policies, LeastLoadedCountsSequencesWhateverTheSpeed) {
  auto slow = frugal_spec();
  slow.spec.prefill_tokens_per_s = 10;
  loaded_cluster t({fast_spec(), slow});
  EXPECT_EQ(t.device_for(t.by("least-loaded")), "local/gpu0");
  EXPECT_EQ(t.device_for(t.by("least-loaded")), "local/npu0");
  EXPECT_EQ(t.device_for(t.by("least-loaded")), "local/gpu0");
}

TEST(Policies, PowerOfTwoBalancesBetterThanRandom) {
  const auto heaviest = [](const std::string& policy) {
    auto devices = alike(16);
    for (auto& one : devices)
      one.capability.max_sequences = 64;
    loaded_cluster t(devices);
    std::map<std::string, int> counts;
    int most = 0;
    for (int i = 0; i < 160; ++i)
      most = std::max(most, ++counts[t.device_for(t.by(policy))]);
    return most;
  };
  EXPECT_LT(heaviest("power-of-two"), heaviest("random"));
  EXPECT_LE(heaviest("power-of-two"), 13);
}

TEST(Policies, PrefixOnlyFollowsTheCacheAndElseTheLeastLoaded) {
  loaded_cluster t(alike(3));
  auto first = t.by("prefix-only");
  first.prefix_blocks = {1, 2, 3};
  EXPECT_EQ(t.device_for(first), "local/cpu0");
  auto second = t.by("prefix-only");
  second.prefix_blocks = {9};
  EXPECT_EQ(t.device_for(second), "local/cpu1");
  auto again = t.by("prefix-only");
  again.prefix_blocks = {1, 2, 7};
  EXPECT_EQ(t.device_for(again), "local/cpu0");
}

TEST(Policies, ClosedAndFullDevicesAreNobodysChoice) {
  for (const auto& policy : policy_words()) {
    loaded_cluster t(alike(3));
    t.feed(drain_changed{"local/cpu0", true, "", 0});
    t.drop_all();
    for (int i = 0; i < 10; ++i)
      EXPECT_NE(t.device_for(t.by(policy)), "local/cpu0") << policy;
    EXPECT_EQ(t.device_for(t.by(policy)), "") << policy << ": both are full, so it waits";
  }
}

TEST(Policies, UnknownOneIsRefusedWithTheNearest) {
  loaded_cluster t(alike(1));
  t.submit(t.by("latncy"));
  const auto refused = t.expect<reject_request>();
  EXPECT_EQ(refused.http_status, 400);
  EXPECT_EQ(refused.reason.code, "policy_not_found");
  EXPECT_THAT(refused.reason.message, HasSubstr("did you mean latency"));
  t.expect<record_request>();
}

TEST(Policies, RequestGoesBeforeTenantBeforeModelBeforeCluster) {
  auto config = core_fixture::quiet();
  config.policy = policy_name{"latency"};
  config.tenant_policy[tenant_id{"thrifty"}] = policy_name{"cost"};
  loaded_cluster t(fast_and_frugal(), config);
  EXPECT_EQ(t.device_for(t.request()), "local/gpu0");
  auto model = story_spec();
  model.variants[0].context_tokens = 0;
  model.replicas_min = 2;
  model.policy = policy_name{"energy"};
  t.declare(model);
  t.drop_all();
  EXPECT_EQ(t.device_for(t.request()), "local/npu0") << "the model's";
  auto tenants = t.request();
  tenants.tenant = tenant_id{"thrifty"};
  EXPECT_EQ(t.device_for(tenants), "local/npu0");
  EXPECT_EQ(t.tested().explain(tenants.external_id, t.now())->decisions.at(0).policy, "cost");
  tenants = t.by("latency");
  tenants.tenant = tenant_id{"thrifty"};
  EXPECT_EQ(t.device_for(tenants), "local/gpu0");
}

/// With a policy of that name, which stays on the cluster's own devices.
core_config at_home() {
  auto config = core_fixture::quiet();
  profile_config mine;
  mine.name = policy_name{"at-home"};
  mine.weights = {{"decode", 1}};
  mine.filters = {"local"};
  config.profiles = {mine};
  return config;
}

device_spec remote_spec() {
  auto remote = fast_spec();
  remote.id = device_id{"local/remote0"};
  remote.type = resource_type::remote;
  return remote;
}

TEST(Policies, ConfiguredProfileWeighsAndFilters) {
  loaded_cluster t({remote_spec(), frugal_spec()}, at_home());
  const auto meta = t.by("at-home");
  EXPECT_EQ(t.device_for(meta), "local/npu0");
  const auto told = t.tested().explain(meta.external_id, t.now());
  ASSERT_TRUE(told);
  const auto& decision = told->decisions.at(0);
  EXPECT_EQ(decision.policy, "at-home");
  ASSERT_EQ(decision.candidates.size(), 2U);
  EXPECT_EQ(decision.candidates[0].terms.size(), 1U) << "decode alone has a weight";
  EXPECT_EQ(decision.candidates[1].removed_by, "local");
}

TEST(Policies, ExplanationAddsUpForEveryProfile) {
  for (const auto& policy : policy_words()) {
    loaded_cluster t(fast_and_frugal());
    auto meta = t.by(policy);
    meta.prefix_blocks = {1, 2, 3, 4};
    t.ask(meta);
    meta = t.by(policy);
    meta.prefix_blocks = {1, 2, 3, 5};
    t.ask(meta);
    const auto told = t.tested().explain(meta.external_id, t.now());
    ASSERT_TRUE(told) << policy;
    for (const auto& one : told->decisions.at(0).candidates) {
      std::int64_t sum = 0;
      for (const auto& term : one.terms)
        sum += term.value;
      EXPECT_NEAR(static_cast<double>(sum), static_cast<double>(one.score), 10)
          << policy << ' ' << one.device.value;
    }
  }
}

TEST(DryRun, SaysWhatWouldBeDecidedAndChangesNothing) {
  for (const auto& policy : policy_words()) {
    loaded_cluster t(fast_and_frugal());
    const auto before = t.tested().digest();
    const auto meta = t.by(policy);
    const auto told = t.tested().explain(meta, t.now());
    ASSERT_TRUE(told) << policy;
    EXPECT_EQ(t.tested().digest(), before) << policy;
    ASSERT_EQ(told->decisions.size(), 1U);
    EXPECT_EQ(told->decisions[0].outcome, "ticket");
    EXPECT_EQ(told->decisions[0].candidates_total, 2U);
    EXPECT_EQ(told->starts_in_us, 0);
    EXPECT_EQ(told->decisions[0].winner.value, t.device_for(meta)) << policy;
  }
}

TEST(DryRun, SaysWhyItWouldBeTurnedAway) {
  loaded_cluster t(alike(1));
  auto meta = t.request();
  meta.model = model_name{"storyteler"};
  EXPECT_EQ(t.tested().explain(meta, t.now()).failure().code, "model_not_found");
  EXPECT_EQ(t.tested().explain(t.by("fast"), t.now()).failure().code, "policy_not_found");
  const auto told = t.tested().explain(t.request("npu"), t.now());
  ASSERT_TRUE(told);
  EXPECT_EQ(told->decisions[0].outcome, "rejected");
  EXPECT_EQ(told->decisions[0].candidates.at(0).removed_by, "selector");
  EXPECT_FALSE(told->starts_in_us);
  EXPECT_EQ(told->http_status, 422);
  EXPECT_EQ(t.tested().explain(t.request(), t.now())->http_status, 0);
}

TEST(DryRun, KnowsThatAPromptFitsNowhere) {
  loaded_cluster t(alike(1), core_fixture::quiet(), 1'000);
  auto meta = t.request();
  meta.prompt_tokens = 2'000;
  const auto told = t.tested().explain(meta, t.now());
  ASSERT_TRUE(told);
  EXPECT_EQ(told->decisions.at(0).outcome, "rejected");
  EXPECT_EQ(told->decisions[0].candidates.at(0).reason,
            "its prompt needs 2001 KV tokens, it has 1000 in all");
  t.submit(meta);
  EXPECT_EQ(t.expect<reject_request>().http_status, 422);
  t.drop_all();
}

/// A CPU that could start a long prompt at once, and a GPU that is loading, far sooner done with
/// it.
request_meta held_for_a_load(core_fixture& t) {
  t.join("local");
  auto model = story_spec();
  model.variants[0].context_tokens = 0;
  model.replicas_min = 2;
  t.declare(model);
  t.advertise(cpu_spec());
  t.finish_load();
  t.advertise(fast_spec());
  auto meta = t.request();
  meta.prompt_tokens = 10'000;
  meta.max_tokens = 1;
  t.submit(meta);
  EXPECT_TRUE(t.take_all<grant_ticket>().empty());
  return meta;
}

TEST(Waiting, ByChoiceIsToldForWhatAndUntilWhen) {
  core_fixture t;
  const auto meta = held_for_a_load(t);
  const std::string words = "waits for local/gpu0, which is loading: sooner done there than by "
                            "whoever could begin now";
  auto told = t.take_all<queue_notice>();
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].state, "queued");
  EXPECT_EQ(told[0].reason, words);
  ASSERT_TRUE(told[0].eta_us);
  EXPECT_GT(*told[0].eta_us, 0);
  EXPECT_EQ(t.tested().explain(meta.external_id, t.now())->decisions.back().reason, words);
  auto behind = meta;
  behind.id.sequence += 1'000;
  t.submit(behind);
  told = t.take_all<queue_notice>();
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].reason, "behind others, of whom the first " + words);
  t.drop_all();
}

TEST(Waiting, ByChoiceIsExplainedByWhatWasWaitedForThen) {
  core_fixture t;
  const auto meta = held_for_a_load(t);
  EXPECT_EQ(t.take_all<queue_notice>().size(), 1U);
  t.finish_load();
  EXPECT_EQ(t.take_all<grant_ticket>().size(), 1U);
  const auto told = t.tested().explain(meta.external_id, t.now());
  ASSERT_EQ(told->decisions.size(), 2U);
  EXPECT_EQ(told->decisions[0].reason, "waits for local/gpu0, which is loading: sooner done there "
                                       "than by whoever could begin now");
  EXPECT_EQ(told->decisions[1].winner.value, "local/gpu0");
  EXPECT_EQ(told->decisions[1].reason, "");
  t.drop_all();
}

/// Of eight requests that find the fast device full and a slow one idle, how many begin at once.
int begin_on_the_slow(const std::string& policy, int came_before) {
  auto slow = cpu_spec("local", 0);
  slow.capability.max_sequences = 64;
  slow.spec.decode_tokens_per_s = 10;
  slow.spec.prefill_tokens_per_s = 20'000;
  slow.spec.tdp_mw = 1'000'000; // So that `energy` would rather wait, too.
  loaded_cluster t({fast_spec(), slow});
  for (int at = 0; at < came_before; ++at) {
    const auto meta = t.request("local/cpu0");
    t.ask(meta);
    t.feed(request_cancelled{meta.id, "left"});
    t.drop_all();
  }
  while (!t.device_for(t.request("local/gpu0")).empty())
    continue;
  int begun = 0;
  for (int at = 0; at < 8; ++at)
    begun += t.device_for(t.by(policy)) == "local/cpu0" ? 1 : 0;
  return begun;
}

TEST(Waiting, ALineForAFastEngineGrowsOnlyWhileItEndsSoon) {
  for (const auto* policy : {"latency", "throughput"}) {
    EXPECT_LE(begin_on_the_slow(policy, 0), 1) << policy << ": it is over in a moment";
    EXPECT_GE(begin_on_the_slow(policy, 2'000), 6) << policy << ": as many others are coming";
  }
  EXPECT_LE(begin_on_the_slow("energy", 2'000), 1) << "which is what it saves";
}

TEST(Explain, WhoWasNotWeighedHasNoScoreAndIsNoFirst) {
  core_fixture t;
  const auto meta = held_for_a_load(t);
  const auto told = t.tested().explain(meta.external_id, t.now());
  const auto& those = told->decisions.at(0).candidates;
  ASSERT_EQ(those.size(), 2U);
  EXPECT_EQ(those[0].device.value, "local/gpu0");
  EXPECT_EQ(those[0].reason, "needs a load");
  EXPECT_GT(those[0].score, 0);
  EXPECT_EQ(those[1].device.value, "local/cpu0");
  EXPECT_EQ(those[1].removed_by, "");
  EXPECT_EQ(those[1].reason, "not weighed in this decision");
  EXPECT_TRUE(those[1].terms.empty());
  t.drop_all();
}

TEST(Explain, SaysHowFullADeviceWas) {
  loaded_cluster t(alike(1), core_fixture::quiet(), 1'000);
  std::vector<grant_ticket> running;
  for (int i = 0; i < 5; ++i)
    running.push_back(t.ask(t.request()));
  const auto waits = t.request();
  t.ask(waits);
  for (const auto& one : running)
    t.finish(one);
  const auto told = t.tested().explain(waits.external_id, t.now());
  const auto& queued = told->decisions.at(0).candidates.at(0);
  EXPECT_EQ(queued.removed_by, "sequences");
  EXPECT_EQ(queued.reason, "5 of 5 sequences in use") << "as it was then, backlog included";
  t.drop_all();
}

TEST(Explain, SaysHowMuchCacheWasMissing) {
  loaded_cluster t(alike(1), core_fixture::quiet(), 400);
  t.ask(t.request());
  t.ask(t.request());
  const auto waits = t.request();
  t.ask(waits);
  const auto told = t.tested().explain(waits.external_id, t.now());
  const auto& queued = told->decisions.at(0).candidates.at(0);
  EXPECT_EQ(queued.removed_by, "kv");
  EXPECT_EQ(queued.reason, "needs 150 KV tokens, has 100");
}

TEST(Explain, KeepsAsManyRequestsAsAreConfigured) {
  auto config = core_fixture::quiet();
  config.explained_max = 2;
  loaded_cluster t(alike(1), config);
  const auto first = t.request(), second = t.request(), third = t.request();
  for (const auto& one : {first, second, third})
    t.finish(t.ask(one));
  EXPECT_FALSE(t.tested().explain(first.external_id, t.now()));
  EXPECT_TRUE(t.tested().explain(second.external_id, t.now()));
  EXPECT_TRUE(t.tested().explain(third.external_id, t.now()));
  t.drop_all();
}

TEST(Explain, KeepsNothingWhereNothingIsToBeKept) {
  auto config = core_fixture::quiet();
  config.explained_max = 0;
  loaded_cluster t(alike(1), config);
  std::vector<grant_ticket> running;
  for (int i = 0; i < 5; ++i)
    running.push_back(t.ask(t.request()));
  const auto waits = t.request();
  t.ask(waits);
  for (const auto& one : running)
    t.finish(one);
  EXPECT_FALSE(t.tested().explain(waits.external_id, t.now()));
  EXPECT_EQ(t.tested().check_invariants(), std::nullopt);
  t.drop_all();
}

TEST(Explain, WaitingRequestIsToldWhenItMayStart) {
  loaded_cluster t(alike(1));
  for (int i = 0; i < 5; ++i)
    t.ask(t.request());
  const auto first = t.request(), second = t.request();
  EXPECT_EQ(t.device_for(first), "");
  EXPECT_EQ(t.device_for(second), "");
  const auto told = t.tested().explain(first.external_id, t.now());
  const auto later = t.tested().explain(second.external_id, t.now());
  ASSERT_TRUE(told->starts_in_us && later->starts_in_us);
  EXPECT_GT(*told->starts_in_us, 0);
  EXPECT_GT(*later->starts_in_us, *told->starts_in_us);
  const auto dry = t.tested().explain(t.request(), t.now());
  EXPECT_GT(*dry->starts_in_us, *later->starts_in_us);
  EXPECT_EQ(dry->decisions[0].outcome, "queued");
}

/// Of a crowd only what a decision weighed is kept; who asks while it waits is told of the others.
TEST(Explain, OfACrowdTellsWhoWaitsHowItIsNow) {
  const auto devices = unlike(static_cast<int>(limits::explain_candidates_max) + 8);
  loaded_cluster t(devices, core_fixture::quiet(), 200);
  std::vector<grant_ticket> running;
  for (std::size_t each = 0; each < devices.size(); ++each) {
    auto meta = t.by("least-loaded");
    meta.prompt_tokens = 150;
    running.push_back(t.ask(meta));
    ASSERT_FALSE(running.back().granted.device.empty()) << each;
  }
  auto waits = t.by("least-loaded");
  waits.prompt_tokens = 150;
  ASSERT_EQ(t.device_for(waits), "");
  const auto told = t.tested().explain(waits.external_id, t.now());
  ASSERT_EQ(told->decisions.size(), 1U);
  EXPECT_EQ(told->decisions[0].outcome, "queued");
  EXPECT_EQ(told->decisions[0].candidates_total, devices.size());
  ASSERT_EQ(told->decisions[0].candidates.size(), limits::explain_candidates_max);
  EXPECT_EQ(told->decisions[0].candidates[0].removed_by, "kv");
  for (const auto& one : running)
    t.finish(one);
  t.drop_all();
  const auto later = t.tested().explain(waits.external_id, t.now());
  ASSERT_EQ(later->decisions.size(), 2U);
  const auto& ticket = later->decisions[1];
  EXPECT_LE(ticket.candidates.size(), limits::explain_crowd_max);
  ASSERT_FALSE(ticket.candidates.empty());
  EXPECT_EQ(ticket.candidates[0].device, ticket.winner);
}

} // namespace

} // namespace consort::core::testing
