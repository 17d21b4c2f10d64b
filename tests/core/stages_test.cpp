// SPDX-License-Identifier: Apache-2.0
// Plans: prefill on one device and decode on another, as one candidate among the devices that do
// both themselves.
#include "tests/support/loaded_cluster.hpp"

namespace consort::core::testing {

namespace {

constexpr duration_us transfer_us = 50'000;

/// Reads 20,000 tokens a second and writes 20.
device_spec reader(const std::string& node = "local") {
  auto made = fast_spec();
  made.id = device_id{node + "/gpu0"};
  made.node = node_id{node};
  made.model = "reader";
  made.spec.prefill_tokens_per_s = 20'000;
  made.spec.decode_tokens_per_s = 20;
  return made;
}

/// Reads 500 tokens a second and writes 200.
device_spec writer(const std::string& node = "local") {
  auto made = frugal_spec();
  made.id = device_id{node + "/pim0"};
  made.node = node_id{node};
  made.type = resource_type::pim;
  made.model = "writer";
  made.spec.prefill_tokens_per_s = 500;
  made.spec.decode_tokens_per_s = 200;
  return made;
}

device_spec plan_of(const device_spec& prefill, const device_spec& decode) {
  auto made = cpu_spec("local", 9);
  made.id = device_id{"local/hybrid0"};
  made.type = resource_type::hybrid;
  made.model = "pair";
  made.memory_bytes = 0;
  made.capability.max_sequences = 64;
  made.spec = {};
  made.stages = {prefill.id, decode.id, 0, transfer_us};
  return made;
}

std::vector<device_spec> pair_and_plan() {
  return {reader(), writer(), plan_of(reader(), writer())};
}

request_meta sized(core_fixture& t, std::uint32_t prompt, std::uint32_t output,
                   const std::string& selector = "auto") {
  auto meta = t.request(selector);
  meta.prompt_tokens = prompt;
  meta.max_tokens = output;
  return meta;
}

request_meta long_prompt(core_fixture& t, const std::string& selector = "auto") {
  return sized(t, 4'000, 200, selector);
}

std::uint64_t reserved_at(const core_fixture& t, const std::string& device) {
  for (const auto& one : t.view().replicas)
    if (one.leader.value == device)
      return one.kv_tokens_reserved;
  ADD_FAILURE() << "no replica on " << device;
  return 0;
}

std::uint32_t running_on(const core_fixture& t, const std::string& device) {
  for (const auto& one : t.view().devices)
    if (one.spec.id.value == device)
      return one.running;
  return 99;
}

candidate_view candidate(core_fixture& t, const request_meta& meta, const std::string& device) {
  const auto told = t.tested().explain(meta, t.now());
  EXPECT_TRUE(told.ok());
  if (told)
    for (const auto& one : told->decisions.at(0).candidates)
      if (one.device.value == device)
        return one;
  ADD_FAILURE() << "no candidate " << device;
  return {};
}

std::int64_t term(const candidate_view& one, const std::string& name) {
  for (const auto& each : one.terms)
    if (each.name == name)
      return each.value;
  return 0;
}

void expect_nothing_reserved(const core_fixture& t) {
  for (const auto& one : t.view().replicas) {
    EXPECT_EQ(one.kv_tokens_reserved, 0U) << one.leader.value;
    EXPECT_EQ(one.running, 0U) << one.leader.value;
  }
}

TEST(Stages, ThePlanWinsWhereItsSumIsLowest) {
  loaded_cluster t(pair_and_plan());
  // 0.2 s + 6.4 s, 8 s + 0.6 s, 0.2 s + 0.05 s + 0.6 s: an answer is thought to have 128 tokens.
  EXPECT_EQ(t.device_for(long_prompt(t)), "local/hybrid0");
}

TEST(Stages, AShortPromptIsNotWorthTheTransfer) {
  loaded_cluster t(pair_and_plan());
  // 0.02 s against 0.0005 s + 0.05 s until it is written.
  EXPECT_EQ(t.device_for(sized(t, 10, 50)), "local/pim0");
}

TEST(Stages, ExplainShowsThePlanAsOneCandidateWithItsTerms) {
  loaded_cluster t(pair_and_plan());
  const auto plan = candidate(t, long_prompt(t), "local/hybrid0");
  EXPECT_EQ(plan.removed_by, "");
  EXPECT_EQ(plan.reason, "prefill on local/gpu0, decode on local/pim0");
  EXPECT_EQ(term(plan, "prefill"), 200'000);
  EXPECT_EQ(term(plan, "transfer"), transfer_us);
  EXPECT_EQ(term(plan, "decode"), limits::output_guess_tokens * 5'000);
  EXPECT_EQ(plan.score, 200'000 + transfer_us + limits::output_guess_tokens * 5'000);
}

TEST(Stages, TheTransferGrowsWithThePrompt) {
  auto devices = pair_and_plan();
  devices[2].stages.transfer_bytes_per_s = 1'024'000; // A thousand tokens of 1 KiB each second.
  loaded_cluster t(devices);
  const auto plan = candidate(t, sized(t, 500, 10), "local/hybrid0");
  EXPECT_EQ(term(plan, "transfer"), transfer_us + 500'000);
}

TEST(Stages, ExplanationsOfPlansAddUpForEveryProfile) {
  for (const auto& policy : policy_words()) {
    loaded_cluster t(pair_and_plan());
    auto meta = long_prompt(t);
    meta.policy = policy_name{policy};
    t.ask(meta);
    const auto told = t.tested().explain(meta.external_id, t.now());
    ASSERT_TRUE(told) << policy;
    for (const auto& one : told->decisions.at(0).candidates) {
      std::int64_t sum = 0;
      for (const auto& each : one.terms)
        sum += each.value;
      EXPECT_NEAR(static_cast<double>(sum), static_cast<double>(one.score), 10)
          << policy << ' ' << one.device.value;
    }
  }
}

TEST(Stages, EachStageIsChargedItsOwnPowerAndPrice) {
  loaded_cluster t(pair_and_plan());
  auto meta = long_prompt(t);
  meta.policy = policy_name{"energy"};
  const auto plan = candidate(t, meta, "local/hybrid0");
  const auto reads = candidate(t, meta, "local/gpu0");
  const auto writes = candidate(t, meta, "local/pim0");
  // 600 W for 0.25 s, 60 W for 5 ms a token; in nanojoules, weighed by ten.
  EXPECT_EQ(term(plan, "energy"),
            10'000 * (600 * 250'000 + std::int64_t{limits::output_guess_tokens} * 60 * 5'000)
                / 1'000);
  EXPECT_LT(term(plan, "energy"), term(reads, "energy"));
  EXPECT_LT(term(plan, "energy"), term(writes, "energy"));
}

TEST(Stages, AnAttemptIsReservedAtBothStagesUntilEachIsOver) {
  loaded_cluster t(pair_and_plan());
  const auto granted = t.ask(long_prompt(t));
  ASSERT_EQ(granted.granted.device.value, "local/hybrid0");
  EXPECT_EQ(reserved_at(t, "local/hybrid0"), 4'200U);
  EXPECT_EQ(reserved_at(t, "local/gpu0"), 4'000U);
  EXPECT_EQ(reserved_at(t, "local/pim0"), 4'200U);
  t.start(granted);
  t.progress(granted, 1);
  EXPECT_EQ(reserved_at(t, "local/gpu0"), 0U) << "its prompt is read";
  EXPECT_EQ(reserved_at(t, "local/pim0"), 4'200U);
  EXPECT_EQ(running_on(t, "local/pim0"), 1U);
  t.finish(granted);
  t.drop_all();
  expect_nothing_reserved(t);
}

TEST(Stages, WhatAMemberDoesForItselfCountsForThePlan) {
  loaded_cluster t(pair_and_plan());
  for (int each = 0; each < 8; ++each)
    t.ask(long_prompt(t, "gpu"));
  // 8 prompts of 0.2 s are read before it.
  const auto plan = candidate(t, long_prompt(t), "local/hybrid0");
  EXPECT_GE(term(plan, "queue"), 1'600'000);
  EXPECT_GT(term(plan, "prefill"), 0);
}

TEST(Stages, WhatThePlanDoesCountsForItsMembers) {
  loaded_cluster t(pair_and_plan());
  const auto before = candidate(t, long_prompt(t, "gpu"), "local/gpu0");
  const auto alone = candidate(t, long_prompt(t, "pim"), "local/pim0");
  EXPECT_EQ(term(before, "queue"), 0);
  for (int each = 0; each < 4; ++each)
    ASSERT_EQ(t.device_for(long_prompt(t, "hybrid")), "local/hybrid0");
  EXPECT_EQ(term(candidate(t, long_prompt(t, "gpu"), "local/gpu0"), "queue"), 800'000);
  EXPECT_GT(term(candidate(t, long_prompt(t, "pim"), "local/pim0"), "decode"),
            term(alone, "decode"))
      << "five are decoded together";
}

TEST(Stages, ThePlanHasTheRoomOfItsTightestStage) {
  auto devices = pair_and_plan();
  devices[1].capability.max_sequences = 1;
  loaded_cluster t(devices);
  // One runs, one is its backlog.
  EXPECT_EQ(t.device_for(long_prompt(t, "pim")), "local/pim0");
  EXPECT_EQ(t.device_for(long_prompt(t, "hybrid")), "local/hybrid0");
  t.submit(long_prompt(t, "hybrid"));
  EXPECT_TRUE(t.take_all<grant_ticket>().empty()) << "its decode stage is full";
  t.drop_all();
  t.submit(long_prompt(t, "pim"));
  EXPECT_TRUE(t.take_all<grant_ticket>().empty()) << "the plan has its place";
  t.drop_all();
}

TEST(Stages, AMembersEngineCountsThePlansWorkOnce) {
  auto devices = pair_and_plan();
  devices[1].capability.max_sequences = 1;
  loaded_cluster t(devices);
  instance_id there;
  for (const auto& one : t.view().replicas)
    if (one.leader.value == "local/pim0")
      there = one.instance;
  const auto granted = t.ask(long_prompt(t, "hybrid"));
  t.start(granted);
  t.progress(granted, 1);
  capacity_vector told;
  told.foreign_sequences.value = 1; // Its agent knows nothing of the plan's attempt.
  t.feed(device_reported{device_id{"local/pim0"}, t.life_of("local"), {}, {}, {{there, told}}});
  t.drop_all();
  EXPECT_EQ(t.device_for(long_prompt(t, "pim")), "local/pim0") << "one place is left";
}

TEST(Stages, AHeldMemberTakesThePlanWithIt) {
  for (const auto* member : {"local/gpu0", "local/pim0"})
    for (const auto kind : {hold_kind::drain, hold_kind::cordon}) {
      loaded_cluster t(pair_and_plan());
      t.feed(drain_changed{member, true, "", 0, kind});
      t.drop_all();
      const auto plan = candidate(t, long_prompt(t), "local/hybrid0");
      EXPECT_EQ(plan.removed_by, "stages");
      EXPECT_NE(plan.reason.find(member), std::string::npos) << plan.reason;
      EXPECT_NE(plan.reason.find(kind == hold_kind::drain ? "is draining" : "is cordoned"),
                std::string::npos)
          << plan.reason;
      EXPECT_NE(t.device_for(long_prompt(t)), "local/hybrid0");
      t.feed(drain_changed{member, false, "", 0, kind});
      t.drop_all();
      EXPECT_EQ(candidate(t, long_prompt(t), "local/hybrid0").removed_by,
                kind == hold_kind::drain ? "stages" : "")
          << "after a drain the member is loaded first";
    }
}

TEST(Stages, ADrainWithADeadlineMovesThePlansAttemptsToo) {
  loaded_cluster t(pair_and_plan());
  const auto granted = t.ask(long_prompt(t));
  t.start(granted);
  t.progress(granted, 3);
  t.feed(drain_changed{"local/pim0", true, "", second, hold_kind::drain});
  t.drop_all();
  t.pass_time(second);
  EXPECT_EQ(t.take_all<drop_attempt>().size(), 1U);
  EXPECT_EQ(t.take_all<revoke_attempt>().at(0).device.value, "local/hybrid0");
  const auto moved = t.take_all<grant_ticket>();
  ASSERT_EQ(moved.size(), 1U);
  EXPECT_EQ(moved[0].granted.device.value, "local/gpu0");
  EXPECT_TRUE(moved[0].resumed);
  t.drop_all();
  EXPECT_EQ(reserved_at(t, "local/pim0"), 0U);
}

/// The members on nodes of their own.
class spread_plan : public core_fixture {
public:
  spread_plan() : core_fixture(quiet()) {
    const auto first = reader("a"), last = writer("b");
    auto model = story_spec();
    model.variants[0].context_tokens = 0;
    model.replicas_min = 3;
    declare(model);
    join("a", 11);
    advertise(first);
    finish_load(16, 1'000'000);
    join("b", 22);
    advertise(last);
    finish_load(16, 1'000'000);
    join("local", 33);
    advertise(plan_of(first, last));
    finish_load(64, 0);
    expect_empty();
  }
  grant_ticket run(std::uint32_t tokens) {
    submit(long_prompt(*this));
    const auto granted = expect<grant_ticket>();
    EXPECT_EQ(granted.granted.device.value, "local/hybrid0");
    start(granted);
    if (tokens > 0)
      progress(granted, tokens);
    expect_empty();
    return granted;
  }
  void lose(const std::string& node) {
    feed(node_lost{node_id{node}, life_of(node), true, "killed"});
  }
};

TEST(Stages, ADeadDecodeStageMovesTheStream) {
  spread_plan t;
  const auto granted = t.run(5);
  t.lose("b");
  const auto stopped = t.expect<revoke_attempt>();
  EXPECT_EQ(stopped.device.value, "local/hybrid0");
  EXPECT_EQ(t.expect<drop_attempt>().attempt, granted.granted.attempt);
  const auto next = t.expect<grant_ticket>();
  EXPECT_EQ(next.granted.device.value, "a/gpu0");
  EXPECT_TRUE(next.resumed);
  t.expect_empty();
  EXPECT_EQ(candidate(t, long_prompt(t), "local/hybrid0").reason, "decode stage b/pim0 is not up");
  t.start(next);
  t.finish(next);
  t.drop_all();
  expect_nothing_reserved(t);
}

TEST(Stages, ADeadPrefillStageMovesOnlyWhatItStillReads) {
  spread_plan t;
  const auto decodes = t.run(5);
  const auto reads = t.run(0);
  t.lose("a");
  EXPECT_EQ(t.expect<revoke_attempt>().attempt, reads.granted.attempt);
  EXPECT_EQ(t.expect<drop_attempt>().attempt, reads.granted.attempt);
  const auto next = t.expect<grant_ticket>();
  EXPECT_EQ(next.granted.device.value, "b/pim0");
  t.expect_empty();
  t.progress(decodes, 6);
  t.finish(decodes);
  EXPECT_EQ(t.expect<record_request>().outcome, request_outcome::finished);
  t.drop_all();
}

TEST(Stages, AMembersExpiredLeaseRemovesThePlanAndItsReturnBringsItBack) {
  spread_plan t;
  t.pass_time_renewing(5 * second, {"a", "local"});
  t.drop_all();
  auto meta = long_prompt(t);
  EXPECT_EQ(candidate(t, meta, "local/hybrid0").removed_by, "stages");
  t.join("b", 23);
  t.advertise(writer("b"));
  EXPECT_EQ(candidate(t, meta, "local/hybrid0").reason,
            "decode stage b/pim0 has no replica of the model yet");
  t.finish_load(16, 1'000'000);
  t.drop_all();
  EXPECT_EQ(candidate(t, meta, "local/hybrid0").removed_by, "");
}

TEST(Stages, NothingIsLoadedForAPlanBeforeItsMembersAreReady) {
  core_fixture t;
  t.join("local");
  auto model = story_spec();
  model.replicas_min = 1;
  t.declare(model);
  t.advertise(plan_of(reader("a"), writer("b")));
  t.expect_empty();
  const auto waits = t.submit();
  t.pass_time(second / 2);
  EXPECT_TRUE(t.take_all<reserve_allocation>().empty());
  EXPECT_TRUE(t.take_all<grant_ticket>().empty());
  t.feed(request_cancelled{waits, "enough"});
  t.drop_all();
}

TEST(Stages, APlanOfPlansOrOfOneDeviceServesNothing) {
  auto devices = pair_and_plan();
  devices[2].stages.decode = devices[2].stages.prefill;
  loaded_cluster one({devices[0], devices[1]});
  one.advertise(devices[2]);
  one.drop_all();
  EXPECT_EQ(candidate(one, long_prompt(one), "local/hybrid0").reason,
            "both of its stages are local/gpu0");
  loaded_cluster two(pair_and_plan());
  auto outer = plan_of(reader(), devices[2]);
  outer.id = device_id{"local/hybrid1"};
  two.advertise(outer);
  two.drop_all();
  EXPECT_EQ(candidate(two, long_prompt(two), "local/hybrid1").reason,
            "decode stage local/hybrid0 has stages itself");
}

TEST(Stages, DataThatMayNotLeaveGoesToNoPlanWithARemoteMember) {
  auto devices = pair_and_plan();
  devices[1].type = resource_type::remote;
  loaded_cluster t(devices);
  auto meta = long_prompt(t);
  EXPECT_EQ(t.device_for(meta), "local/hybrid0");
  meta = long_prompt(t);
  meta.labels = {"local-only"};
  EXPECT_EQ(t.device_for(meta), "local/gpu0");
}

TEST(Stages, WhatItIsMeasuredToTakeReplacesWhatItsStagesSay) {
  loaded_cluster t(pair_and_plan());
  for (std::uint32_t each = 0; each < 4 * limits::explore_samples; ++each) {
    const auto granted = t.ask(long_prompt(t, "hybrid"));
    t.start(granted);
    t.progress(granted, 1);
    attempt_measurement measured;
    measured.usage = {4'000, 200, 0};
    measured.first_token_us = 700'000; // The transfer takes ten times what was said.
    measured.total_us = 1'700'000;
    measured.batch = 1;
    t.feed(attempt_finished{granted.granted.attempt, measured});
    t.drop_all();
    t.pass_time(second / 10);
    t.renew("local");
  }
  const auto plan = candidate(t, long_prompt(t), "local/hybrid0");
  EXPECT_NEAR(static_cast<double>(term(plan, "prefill") + term(plan, "transfer")), 700'000,
              100'000);
  EXPECT_EQ(term(plan, "prefill"), 200'000) << "as its stage by itself";
}

TEST(Stages, AHedgeGoesToNoneThatWaitsForTheSameDevice) {
  spread_plan t;
  auto meta = long_prompt(t, "hybrid|pim|gpu");
  meta.hedge = true;
  t.submit(meta);
  const auto granted = t.expect<grant_ticket>();
  ASSERT_EQ(granted.granted.device.value, "local/hybrid0");
  t.start(granted);
  t.pass_time_renewing(4 * second, {"a", "b", "local"});
  for (const auto& hedge : t.take_all<grant_ticket>())
    EXPECT_FALSE(hedge.hedge) << hedge.granted.device.value;
  t.feed(request_cancelled{meta.id, "enough"});
  t.drop_all();
  expect_nothing_reserved(t);
}

TEST(Stages, AttemptsOfAnEarlierSchedulerAreCountedOnceTheMembersAreKnown) {
  spread_plan before;
  const auto granted = before.run(5);
  spread_plan t;
  request_meta meta;
  meta = long_prompt(t);
  auto running = granted.granted;
  for (const auto& one : t.view().replicas)
    if (one.leader.value == "local/hybrid0")
      running.instance = one.instance;
  running.attempt = {meta.id, 1};
  t.feed(request_restored{meta, 1, 5, running});
  t.drop_all();
  EXPECT_EQ(reserved_at(t, "b/pim0"), 4'200U);
  t.feed(attempt_progressed{running.attempt, 6});
  EXPECT_EQ(reserved_at(t, "a/gpu0"), 0U);
  before.finish(granted);
  before.drop_all();
}

} // namespace

} // namespace consort::core::testing
