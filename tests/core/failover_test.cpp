// SPDX-License-Identifier: Apache-2.0
// What follows a failed attempt: another one elsewhere, a resume, or an honest end.
#include "tests/support/core_fixture.hpp"

namespace consort::core::testing {

namespace {

/// `devices` CPUs on one node, each with a ready replica.
void ready(core_fixture& t, int devices = 2, std::uint64_t sequences = 4) {
  t.join("local");
  auto model = story_spec();
  model.replicas_min = static_cast<std::uint32_t>(devices);
  t.declare(model);
  for (int i = 0; i < devices; ++i) {
    t.advertise(cpu_spec("local", i));
    t.finish_load(sequences);
  }
}

/// One CPU with a ready replica, and one that could serve but whose load never ends.
void ready_beside_an_endless_load(core_fixture& t) {
  ready(t, 1);
  auto model = story_spec();
  model.replicas_min = 2;
  t.declare(model);
  t.advertise(cpu_spec("local", 1));
  t.grant_next_allocation();
  t.expect<load_replica>();
}

TEST(Failover, RetriesElsewhereAndNeverOnWhatFailed) {
  core_fixture t;
  ready(t);
  t.submit();
  const auto first = t.expect<grant_ticket>();
  t.start(first);
  t.fail(first);
  const auto second_try = t.expect<grant_ticket>();
  EXPECT_NE(second_try.granted.device, first.granted.device);
  EXPECT_FALSE(second_try.resumed);
  t.start(second_try);
  t.fail(second_try);
  const auto end = t.expect<reject_request>();
  EXPECT_EQ(end.http_status, 502);
  EXPECT_EQ(end.reason.code, "device_failed");
  const auto record = t.expect<record_request>();
  EXPECT_EQ(record.outcome, request_outcome::failed);
  EXPECT_EQ(record.attempts, 2U);
}

TEST(Failover, WhatFailedIsAskedAgainWhenNobodyElseTookOver) {
  core_fixture t;
  ready_beside_an_endless_load(t);
  t.submit();
  const auto first = t.expect<grant_ticket>();
  t.start(first);
  t.fail(first);
  t.take_all<queue_notice>();
  t.pass_time_renewing(limits::exclusion_us * 2 - second);
  t.take_all<queue_notice>();
  t.expect_empty();
  t.pass_time(second);
  const auto again = t.expect<grant_ticket>();
  EXPECT_EQ(again.granted.device, first.granted.device);
  EXPECT_EQ(again.granted.attempt.number, 2U);
}

/// What failed it would serve others, and so nothing but it asks for the other device.
TEST(Failover, WhatNothingLoadedMayServeIsLoadedElsewhere) {
  core_fixture t;
  ready(t, 1, 8);
  t.advertise(cpu_spec("local", 1));
  t.submit();
  const auto first = t.expect<grant_ticket>();
  t.start(first);
  t.fail(first);
  t.take_all<queue_notice>();
  t.finish_load();
  const auto again = t.take_all<grant_ticket>();
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(again[0].granted.device.value, "local/cpu1");
  t.drop_all();
}

/// Who was only full soon has room again.
TEST(Failover, WhoWasFullForAMomentIsNoReasonToLoadElsewhere) {
  core_fixture t;
  ready(t, 1, 8);
  t.advertise(cpu_spec("local", 1));
  t.submit();
  t.fail(t.expect<grant_ticket>(), recovery::retry_later);
  t.take_all<queue_notice>();
  t.expect_empty();
  t.pass_time(limits::retry_later_us * 2);
  EXPECT_EQ(t.take_all<grant_ticket>().size(), 1U);
  t.drop_all();
}

TEST(Failover, RefusalEndsTheRequestAndNotTheDevice) {
  core_fixture t;
  ready(t, 1);
  for (std::uint32_t i = 0; i <= limits::breaker_failures; ++i) {
    t.submit();
    const auto ticket = t.expect<grant_ticket>();
    t.start(ticket);
    t.fail(ticket, recovery::refuse);
    EXPECT_EQ(t.expect<reject_request>().http_status, 400);
    t.expect<record_request>();
  }
  EXPECT_EQ(t.view().devices.at(0).breaker, "closed");
}

TEST(Failover, RetryLaterWaitsAndMayReturnToTheSameDevice) {
  core_fixture t;
  ready(t, 1);
  t.submit();
  const auto first = t.expect<grant_ticket>();
  t.fail(first, recovery::retry_later);
  EXPECT_EQ(t.expect<queue_notice>().state, "queued") << "and its client is told";
  t.expect_empty();
  t.pass_time(limits::retry_later_us * 2);
  EXPECT_EQ(t.expect<grant_ticket>().granted.attempt.number, 2U);
}

/// Two CPUs, the first the faster.
void unequal(core_fixture& t, std::uint64_t kv_of_second) {
  t.join("local");
  auto model = story_spec();
  model.replicas_min = 2;
  t.declare(model);
  auto fast = cpu_spec("local", 0);
  fast.spec.decode_tokens_per_s *= 2;
  t.advertise(fast);
  t.finish_load();
  t.advertise(cpu_spec("local", 1));
  t.finish_load(4, kv_of_second);
}

TEST(Failover, WhoWasOnlyFullIsAskedAgainWhenTheOthersHaveNoRoom) {
  core_fixture t;
  unequal(t, 200);
  t.submit("local/cpu1"); // Leaves a sequence free there, and no cache.
  t.expect<grant_ticket>();
  t.submit();
  const auto first = t.expect<grant_ticket>();
  EXPECT_EQ(first.granted.device.value, "local/cpu0");
  t.fail(first, recovery::retry_later);
  EXPECT_TRUE(t.take_all<grant_ticket>().empty()) << "the other has a free sequence, but no room";
  t.pass_time(2 * limits::retry_later_us - 1);
  EXPECT_TRUE(t.take_all<grant_ticket>().empty());
  t.pass_time(1);
  const auto again = t.take_all<grant_ticket>();
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(again[0].granted.device.value, "local/cpu0");
  t.drop_all();
}

TEST(Failover, WhoWasOnlyFullIsLeftWhenTheOthersBreak) {
  core_fixture t;
  unequal(t, 100'000);
  t.submit();
  t.fail(t.expect<grant_ticket>(), recovery::retry_later);
  const auto second = t.take_all<grant_ticket>();
  ASSERT_EQ(second.size(), 1U);
  EXPECT_EQ(second[0].granted.device.value, "local/cpu1");
  t.fail(second[0]);
  EXPECT_TRUE(t.take_all<reject_request>().empty()) << "the first may take it";
  t.drop_all();
  t.pass_time(4 * limits::retry_later_us);
  const auto third = t.take_all<grant_ticket>();
  ASSERT_EQ(third.size(), 1U);
  EXPECT_EQ(third[0].granted.device.value, "local/cpu0");
  t.fail(third[0]);
  const auto ended = t.take_all<reject_request>();
  ASSERT_EQ(ended.size(), 1U) << "nobody is left: at once, and with what happened last";
  EXPECT_EQ(ended[0].http_status, 502);
  EXPECT_NE(ended[0].reason.message.find("it broke"), std::string::npos);
  t.drop_all();
}

TEST(Failover, ResumesAfterTokensAndSaysWhetherExactly) {
  core_fixture t;
  ready(t);
  t.submit();
  const auto first = t.expect<grant_ticket>();
  t.start(first);
  t.progress(first, 12);
  t.fail(first, recovery::retry_elsewhere, 12);
  const auto resumed = t.expect<grant_ticket>();
  EXPECT_TRUE(resumed.resumed);
  EXPECT_TRUE(resumed.exact) << "same weights on the same device model";
  EXPECT_EQ(t.view().counters.resumes, 1U);
}

TEST(Failover, ResumePrefersTheSameArtifactAndMarksAnother) {
  core_fixture t;
  ready(t, 1);
  auto other = cpu_spec("local", 5);
  other.model = "other-cpu";
  t.advertise(other);
  t.submit("local/cpu0|local/cpu5");
  const auto first = t.expect<grant_ticket>();
  t.start(first);
  t.fail(first, recovery::retry_elsewhere, 3);
  t.take_all<queue_notice>();
  t.finish_load();
  const auto resumed = t.expect<grant_ticket>();
  EXPECT_TRUE(resumed.resumed);
  EXPECT_FALSE(resumed.exact);
}

TEST(Failover, WhatCannotBeResumedEndsHonestly) {
  core_fixture t;
  ready(t);
  auto meta = t.request();
  meta.resumable = false;
  t.submit(meta);
  const auto first = t.expect<grant_ticket>();
  t.start(first);
  t.fail(first, recovery::retry_elsewhere, 1);
  const auto end = t.expect<reject_request>();
  EXPECT_EQ(end.http_status, 502);
  EXPECT_EQ(end.reason.code, "not_resumable");
  t.expect<record_request>();
}

/// A CPU that runs the one form of the model, and a GPU that runs the other; an attempt on the
/// first fails after three tokens.
void two_forms(core_fixture& t, const std::string& other_quantization) {
  t.join("local");
  auto model = story_spec();
  model.variants[0].tokenizer = model.variants[0].chat_template = digest{std::string(64, 't')};
  model.variants[0].quantization = "f16";
  model.variants.push_back(model.variants[0]);
  model.variants[1].format = "safetensors";
  model.variants[1].content = digest{std::string(64, 'b')};
  model.variants[1].quantization = other_quantization;
  model.replicas_min = 2;
  t.declare(model);
  t.advertise(cpu_spec());
  t.finish_load();
  auto gpu = cpu_spec("local", 1);
  gpu.type = resource_type::gpu;
  gpu.model = "gpu";
  gpu.capability.formats = {"safetensors"};
  gpu.spec.decode_tokens_per_s /= 2;
  t.advertise(gpu);
  t.finish_load();
  t.submit();
  const auto first = t.expect<grant_ticket>();
  EXPECT_EQ(first.granted.device.value, "local/cpu0");
  t.start(first);
  t.progress(first, 3);
  t.fail(first, recovery::retry_elsewhere, 3);
}

TEST(Failover, AnotherFormOfTheSameModelGoesOn) {
  core_fixture t;
  two_forms(t, "f16");
  const auto resumed = t.expect<grant_ticket>();
  EXPECT_EQ(resumed.granted.device.value, "local/cpu1");
  EXPECT_TRUE(resumed.resumed);
  EXPECT_FALSE(resumed.exact);
}

TEST(Failover, AnotherQuantisationDoesNotGoOn) {
  core_fixture t;
  two_forms(t, "q4_0");
  const auto end = t.expect<reject_request>();
  EXPECT_EQ(end.http_status, 502);
  t.expect<record_request>();
}

TEST(Failover, AttemptsAreBounded) {
  core_fixture t;
  ready(t, static_cast<int>(limits::attempts_max) + 1);
  t.submit();
  for (std::uint32_t i = 0; i < limits::attempts_max; ++i)
    t.fail(t.expect<grant_ticket>());
  EXPECT_EQ(t.expect<reject_request>().reason.code, "attempts_exhausted");
  t.expect<record_request>();
}

/// A request whose every attempt brings one token more and fails, as often as attempts are granted.
void stumble(core_fixture& t, std::uint32_t times, bool fault) {
  ready(t, static_cast<int>(times) + 1);
  t.submit();
  for (std::uint32_t i = 1; i <= times; ++i) {
    const auto granted = t.expect<grant_ticket>();
    t.start(granted);
    t.progress(granted, i);
    t.fail(granted, recovery::retry_elsewhere, i, fault);
  }
  EXPECT_EQ(t.expect<reject_request>().reason.code, "attempts_exhausted");
  EXPECT_EQ(t.expect<record_request>().attempts, times);
}

TEST(Failover, AStreamThatGetsOnIsMovedMoreOften) {
  core_fixture t;
  stumble(t, limits::attempts_total_max, false);
}

TEST(Failover, AStreamThatBreaksItsEnginesIsNot) {
  core_fixture t;
  stumble(t, limits::attempts_max, true);
}

TEST(Failover, RetryBudgetIsBounded) {
  core_fixture t;
  ready(t, 2, 4'096);
  const auto retries = limits::retry_credit_max_pm / limits::retry_cost_pm;
  std::uint32_t refused = 0;
  for (std::uint32_t i = 0; i < 2 * retries && refused == 0; ++i) {
    t.submit();
    const auto first = t.expect<grant_ticket>();
    // Not the device's fault, so that no breaker interferes.
    t.fail(first, recovery::retry_elsewhere, 0, false);
    for (const auto& reject : t.take_all<reject_request>())
      refused += reject.reason.code == "retry_budget" ? 1 : 0;
    for (const auto& again : t.take_all<grant_ticket>())
      t.finish(again);
    t.take_all<record_request>();
  }
  EXPECT_EQ(refused, 1U);
}

TEST(Failover, UnopenedTicketExpires) {
  core_fixture t;
  ready(t, 1);
  t.submit();
  const auto first = t.expect<grant_ticket>();
  EXPECT_EQ(first.granted.expires_at, t.now() + limits::ticket_us);
  t.pass_time_renewing(limits::ticket_us + limits::ticket_grace_us);
  EXPECT_EQ(t.take_all<revoke_attempt>().at(0).attempt, first.granted.attempt);
  EXPECT_EQ(t.take_all<drop_attempt>().at(0).attempt, first.granted.attempt);
  EXPECT_EQ(t.take_all<grant_ticket>().at(0).granted.attempt.number, 2U);
}

TEST(Failover, SilentDeviceIsNoticedBeforeItsLeaseEnds) {
  core_fixture t;
  ready(t);
  t.submit();
  const auto first = t.expect<grant_ticket>();
  t.start(first);
  t.progress(first, 5);
  t.pass_time(limits::stall_floor_us - 1);
  t.expect_empty();
  t.pass_time(1);
  EXPECT_EQ(t.expect<revoke_attempt>().attempt, first.granted.attempt);
  EXPECT_EQ(t.expect<drop_attempt>().attempt, first.granted.attempt);
  const auto resumed = t.expect<grant_ticket>();
  EXPECT_TRUE(resumed.resumed);
  EXPECT_NE(resumed.granted.device, first.granted.device);
}

TEST(Failover, ProgressKeepsTheWatchdogQuiet) {
  core_fixture t;
  ready(t);
  t.submit();
  const auto ticket = t.expect<grant_ticket>();
  t.start(ticket);
  for (std::uint32_t i = 1; i < 8; ++i) {
    t.progress(ticket, i);
    t.pass_time(limits::stall_floor_us - 1);
    t.renew("local");
  }
  t.expect_empty();
}

TEST(Failover, SlowStreamIsJudgedByItsOwnPace) {
  core_fixture t;
  ready(t);
  t.submit();
  const auto ticket = t.expect<grant_ticket>();
  t.start(ticket);
  t.progress(ticket, 1);
  const auto gap = limits::report_period_us; // One token each.
  for (std::uint32_t i = 2; i < 6; ++i) {
    t.pass_time(gap);
    t.progress(ticket, i);
  }
  t.pass_time_renewing(limits::stall_tokens * gap - 1);
  t.take_all<grant_lease>();
  t.expect_empty();
  t.pass_time(1);
  EXPECT_EQ(t.take_all<drop_attempt>().size(), 1U);
  t.drop_all();
}

TEST(Failover, BusyMachineIsGivenMoreTimeThanItsWorstGapLately) {
  core_fixture t;
  ready(t);
  t.submit();
  const auto ticket = t.expect<grant_ticket>();
  t.start(ticket);
  t.progress(ticket, 100);
  t.pass_time(limits::stall_floor_us - 1); // A hiccup, just believed.
  t.progress(ticket, 200);
  t.pass_time(2 * limits::stall_floor_us);
  t.expect_empty();
  t.pass_time_renewing(limits::stall_floor_us);
  EXPECT_EQ(t.take_all<drop_attempt>().size(), 1U);
  t.drop_all();
}

TEST(Failover, NobodyElseToTakeOverBuysTime) {
  core_fixture t;
  ready(t, 1);
  t.submit();
  const auto ticket = t.expect<grant_ticket>();
  t.start(ticket);
  t.progress(ticket, 5);
  t.pass_time(limits::stall_alone_us - 1);
  t.expect_empty();
  t.pass_time(1);
  EXPECT_EQ(t.take_all<revoke_attempt>().size(), 1U);
  t.drop_all();
}

TEST(Failover, GatewayThatStandsStillIsNotTakenForStalledDevices) {
  core_fixture t;
  t.join("a");
  t.join("b");
  auto model = story_spec();
  model.replicas_min = 2;
  t.declare(model);
  for (const char* node : {"a", "b"}) {
    t.advertise(cpu_spec(node));
    t.finish_load(1);
  }
  std::vector<grant_ticket> running;
  for (int i = 0; i < 2; ++i) {
    t.submit();
    running.push_back(t.expect<grant_ticket>());
    t.start(running.back());
    t.progress(running.back(), 1);
  }
  EXPECT_NE(running[0].granted.node, running[1].granted.node);
  t.pass_time(limits::stall_alone_us - 1);
  t.expect_empty();
}

TEST(Failover, BrokenDataLinkFailsOverAtOnceAndSparesItsNode) {
  core_fixture t;
  t.join("a");
  t.join("b");
  auto model = story_spec();
  model.replicas_min = 3;
  t.declare(model);
  for (const auto& spec : {cpu_spec("a", 0), cpu_spec("a", 1), cpu_spec("b")}) {
    t.advertise(spec);
    t.finish_load();
  }
  t.submit();
  const auto first = t.expect<grant_ticket>();
  EXPECT_EQ(first.granted.node.value, "a");
  t.start(first);
  t.progress(first, 7);
  t.feed(attempt_failed{
      first.granted.attempt, {recovery::retry_elsewhere, data_link_lost, "reset"}, 7, true});
  const auto next = t.expect<grant_ticket>();
  EXPECT_EQ(next.granted.node.value, "b") << "its other device is as dead";
  EXPECT_TRUE(next.resumed);
  EXPECT_TRUE(t.view().nodes.at(0).suspect);
  t.renew("a");
  EXPECT_FALSE(t.view().nodes.at(0).suspect);
}

TEST(Failover, DeadProcessOfTheOnlyDeviceIsWaitedFor) {
  core_fixture t;
  ready(t, 1);
  t.submit();
  const auto first = t.expect<grant_ticket>();
  t.start(first);
  t.feed(attempt_failed{
      first.granted.attempt, {recovery::retry_elsewhere, data_link_lost, "reset"}, 0, true});
  t.take_all<queue_notice>();
  t.expect_empty();
  t.feed(node_joined{node_id{"local"}, incarnation{2}, "local:1", {}, {}});
  t.set_life("local", 2);
  t.take_all<grant_lease>();
  t.advertise(cpu_spec("local", 0));
  t.take_all<queue_notice>();
  t.finish_load();
  EXPECT_EQ(t.expect<grant_ticket>().granted.attempt.number, 2U);
}

TEST(Failover, AttemptUnknownToItsDeviceIsLostAfterAGrace) {
  core_fixture t;
  ready(t);
  t.submit();
  const auto first = t.expect<grant_ticket>();
  t.start(first);
  device_reported report;
  report.device = first.granted.device;
  report.life = incarnation{1};
  report.running = {first.granted.attempt};
  t.feed(report);
  t.pass_time(second);
  report.running.clear();
  t.feed(report);
  t.renew("local");
  t.pass_time(limits::orphan_grace_us - 1);
  t.expect_empty();
  t.pass_time(1);
  EXPECT_EQ(t.take_all<drop_attempt>().size(), 1U);
  EXPECT_EQ(t.take_all<grant_ticket>().size(), 1U);
  t.take_all<revoke_attempt>();
}

TEST(Failover, DeviceThatRunsAnOldAttemptIsToldToStop) {
  core_fixture t;
  ready(t);
  t.submit();
  const auto first = t.expect<grant_ticket>();
  t.fail(first);
  t.expect<grant_ticket>();
  device_reported report;
  report.device = first.granted.device;
  report.life = incarnation{1};
  report.running = {first.granted.attempt, {{gateway_id{99}, 5}, 1}};
  t.feed(report);
  EXPECT_EQ(t.expect<revoke_attempt>().attempt, first.granted.attempt);
}

TEST(Failover, BreakerOpensOnFaultsAndOneProbeClosesIt) {
  core_fixture t;
  ready(t, 2);
  for (std::uint32_t i = 0; i < limits::breaker_failures; ++i) {
    t.submit("local/cpu0");
    t.fail(t.expect<grant_ticket>());
    EXPECT_EQ(t.expect<reject_request>().http_status, 502);
    t.expect<record_request>();
  }
  EXPECT_TRUE(t.noted("circuit breaker opened for storyteller: it broke"));
  const std::string words = "the breaker for storyteller on local/cpu0 is open after 3 failures: "
                            "it broke; it is tried again in ";
  EXPECT_EQ(t.view().devices.at(0).reading.health_reason.rfind(words, 0), 0U);
  t.submit("local/cpu0");
  const auto told = t.take_all<queue_notice>();
  ASSERT_FALSE(told.empty());
  EXPECT_EQ(told.back().reason.rfind(words, 0), 0U) << told.back().reason;
  EXPECT_EQ(told.back().eta_us, limits::breaker_open_min_us);
  t.expect_empty();
  t.pass_time(limits::breaker_open_min_us);
  EXPECT_NE(t.view().devices.at(0).reading.health_reason.find("is half-open after 3 failures"),
            std::string::npos);
  const auto probe = t.expect<grant_ticket>();
  t.submit("local/cpu0");
  t.take_all<queue_notice>();
  t.expect_empty();
  t.start(probe);
  t.finish(probe);
  t.expect<record_request>();
  t.expect<grant_ticket>();
  EXPECT_EQ(t.view().devices.at(0).breaker, "closed");
}

/// Nobody is told to wait for a breaker of a device that takes no work.
TEST(Failover, ABreakerOfADrainedDeviceHoldsNobodyUp) {
  core_fixture t;
  ready(t, 2);
  for (std::uint32_t i = 0; i < limits::breaker_failures; ++i) {
    t.submit("local/cpu0");
    auto failed = t.expect<grant_ticket>();
    t.fail(failed);
    t.drop_all();
  }
  t.feed(drain_changed{"local/cpu0", true, ""});
  t.drop_all();
  t.submit("local/cpu0");
  const auto told = t.take_all<queue_notice>();
  ASSERT_FALSE(told.empty());
  for (const auto& one : told)
    EXPECT_EQ(one.reason.find("breaker"), std::string::npos) << one.reason;
  t.drop_all();
}

/// What the runtime of one plugin broke says nothing of another's.
TEST(Failover, ABreakerIsNotInheritedByAnotherPlugin) {
  for (const std::string next : {"vendor", "another"}) {
    core_fixture t;
    t.join("local");
    auto model = story_spec();
    model.replicas_min = 1;
    t.declare(model);
    auto device = cpu_spec();
    device.plugin = "vendor";
    t.advertise(device);
    t.finish_load();
    for (std::uint32_t i = 0; i < limits::breaker_failures; ++i) {
      t.submit();
      t.fail(t.expect<grant_ticket>());
      t.drop_all();
    }
    ASSERT_EQ(t.view().devices.at(0).breaker, "open");
    t.feed(device_lost{device.id, t.life_of("local"), "its plugin was taken out"});
    device.plugin = next;
    t.advertise(device);
    EXPECT_EQ(t.view().devices.at(0).breaker, next == "vendor" ? "open" : "closed");
    t.drop_all();
  }
}

TEST(Failover, CancelRevokesAndRecordsOnce) {
  core_fixture t;
  ready(t, 1);
  const auto id = t.submit();
  const auto ticket = t.expect<grant_ticket>();
  t.start(ticket);
  t.feed(request_cancelled{id, "client left"});
  EXPECT_EQ(t.expect<revoke_attempt>().attempt, ticket.granted.attempt);
  EXPECT_EQ(t.expect<record_request>().outcome, request_outcome::cancelled);
  t.feed(request_cancelled{id, "again"});
  t.finish(ticket);
  t.expect_empty();
  EXPECT_EQ(t.view().replicas.at(0).running, 0U);
}

TEST(Failover, GatewayThatStaysAwayEndsItsRequests) {
  core_fixture t;
  ready(t, 1);
  t.submit();
  t.expect<grant_ticket>();
  t.feed(gateway_lost{gateway_id{7}});
  t.pass_time_renewing(limits::gateway_grace_us - 1);
  t.expect_empty();
  t.pass_time(1);
  t.expect<revoke_attempt>();
  EXPECT_EQ(t.expect<record_request>().code, "gateway_lost");
}

TEST(Failover, DeadlinePassedWhileRunningIs408) {
  core_fixture t;
  ready(t, 1);
  auto meta = t.request();
  meta.deadline_us = second;
  t.submit(meta);
  t.start(t.expect<grant_ticket>());
  t.pass_time(second);
  EXPECT_EQ(t.expect<reject_request>().http_status, 408);
  t.expect<revoke_attempt>();
  EXPECT_EQ(t.expect<record_request>().outcome, request_outcome::expired);
}

TEST(Failover, WhatTookThePlaceOfTheReplicaThatFailedItMayServeAtOnce) {
  core_fixture t;
  ready_beside_an_endless_load(t);
  t.submit();
  t.finish(t.expect<grant_ticket>());
  t.expect<record_request>();
  t.submit();
  const auto cut = t.expect<grant_ticket>();
  t.start(cut);
  t.drop_all();
  t.feed(replica_failed{
      cut.granted.instance, incarnation{1}, {recovery::retry_elsewhere, "crash", "signal 11"}});
  t.take_all<drop_attempt>();
  t.take_all<release_allocation>();
  t.take_all<queue_notice>();
  t.finish_load();
  const auto again = t.take_all<grant_ticket>();
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(again[0].granted.device, cut.granted.device);
  t.drop_all();
}

} // namespace

} // namespace consort::core::testing
