// SPDX-License-Identifier: Apache-2.0
// Streams whose text was already sent and whom not every device can continue: an honest end at
// once, loads only where they help, and true words while they wait. What nobody saw begins anew.
#include "scheduler/units.hpp"
#include "tests/support/core_fixture.hpp"

#include <set>

namespace consort::core::testing {

namespace {

/// An NPU that runs the weights as they are, and whose runtime cannot continue anything.
device_spec stubborn_spec(int number) {
  auto made = cpu_spec("local", number);
  made.id = device_id{"local/npu" + std::to_string(number)};
  made.type = resource_type::npu;
  made.vendor = "Quokka";
  made.model = "q1";
  made.capability.runtime.resume = resume_support::none;
  made.spec.prefill_tokens_per_s *= 2;
  made.spec.decode_tokens_per_s *= 2;
  return made;
}

class resuming : public core_fixture {
public:
  explicit resuming(std::uint32_t replicas) {
    join("local");
    auto model = story_spec();
    model.replicas_min = replicas;
    declare(model);
  }
  /// Answers the load that follows.
  void load_stubborn(int number) {
    advertise(stubborn_spec(number));
    grant_next_allocation();
    const auto load = expect<load_replica>();
    capacity_vector capacity;
    capacity.sequences.value = 4;
    capacity.kv_tokens.value = 100'000;
    feed(replica_loaded{load.instance, life_of("local"), {capacity}, {}, second / 10});
  }
  void load_cpu(int number, std::uint64_t sequences = 4) {
    advertise(cpu_spec("local", number));
    finish_load(sequences);
  }
  /// A stream that broke after eight tokens.
  request_meta broken(const std::string& selector = "auto") {
    auto meta = request(selector);
    submit(meta);
    const auto granted = expect<grant_ticket>();
    start(granted);
    progress(granted, 8);
    fail(granted, recovery::retry_elsewhere, 8);
    return meta;
  }
  void expect_end(const std::string& code, const std::string& words) {
    const auto end = expect<reject_request>();
    EXPECT_EQ(end.http_status, 502);
    EXPECT_EQ(end.reason.code, code);
    EXPECT_EQ(end.reason.message, words);
    EXPECT_EQ(expect<record_request>().outcome, request_outcome::failed);
    expect_empty();
  }
};

TEST(Resume, WhatNobodyMayContinueEndsAtOnceAndIsLoadedNowhere) {
  resuming t(1);
  t.load_stubborn(0);
  t.advertise(stubborn_spec(1));
  t.broken("vendor=Quokka");
  t.expect_end("not_resumable",
               "text was already sent, and no device that it may use can go on with it (local/npu1 "
               "cannot continue a stream begun elsewhere): local/npu0 failed: it broke");
}

TEST(Resume, IdleReplicasThatCannotContinueDoNotKeepItWaiting) {
  resuming t(2);
  t.load_stubborn(0);
  t.load_stubborn(1);
  t.broken();
  t.expect_end("not_resumable",
               "text was already sent, and no device that it may use can go on with it (local/npu1 "
               "cannot continue a stream begun elsewhere): local/npu0 failed: it broke");
}

TEST(Resume, WhatFailedItIsNotAskedAgainWhenItCannotContinue) {
  resuming t(1);
  t.load_stubborn(0);
  t.broken("local/npu0");
  t.expect_end("not_resumable", "text was already sent, and no device that it may use can go on "
                                "with it: local/npu0 failed: it broke");
}

TEST(Resume, ASilentStreamThatNobodyMayContinueEndsAsWell) {
  resuming t(2);
  t.load_stubborn(0);
  t.load_stubborn(1);
  t.submit();
  const auto granted = t.expect<grant_ticket>();
  t.start(granted);
  t.progress(granted, 1);
  t.pass_time_renewing(limits::first_token_unknown_us + 2 * second);
  EXPECT_EQ(t.take_all<revoke_attempt>().size(), 1U);
  t.expect_end(
      "not_resumable",
      "text was already sent, and no device that it may use can go on with it (local/npu1 "
      "cannot continue a stream begun elsewhere): local/npu0 failed: its device fell silent");
}

TEST(Resume, OnlyTheOneThatCanContinueItIsLoaded) {
  resuming t(1);
  t.load_stubborn(0);
  t.advertise(stubborn_spec(1));
  t.advertise(cpu_spec("local", 5));
  const auto meta = t.broken();
  const auto told = t.take_all<queue_notice>();
  ASSERT_FALSE(told.empty());
  EXPECT_EQ(told.back().state, "loading");
  EXPECT_EQ(told.back().reason, "loading for local/cpu5");
  EXPECT_EQ(t.tested().explain(meta.external_id, t.now())->decisions.back().reason,
            "loading for local/cpu5");
  EXPECT_EQ(t.finish_load().grant.shares.at(0).device.value, "local/cpu5");
  const auto granted = t.expect<grant_ticket>();
  EXPECT_EQ(granted.granted.device.value, "local/cpu5");
  EXPECT_TRUE(granted.resumed);
  t.expect_empty();
  EXPECT_TRUE(t.noted("goes on here after 8 tokens, attempt 2: it broke"));
}

/// A new request that waits beside it has its own needs: each gets what it can use.
TEST(Resume, AStreamIsNotForgottenBesideNewRequests) {
  resuming t(1);
  t.load_stubborn(0);
  for (int i = 0; i < 4; ++i)
    t.submit();
  const auto granted = t.take_all<grant_ticket>();
  ASSERT_EQ(granted.size(), 4U);
  t.start(granted[0]);
  for (int i = 0; i < 3; ++i)
    t.submit(); // One of them in its backlog.
  t.drop_all();
  t.advertise(stubborn_spec(1));
  EXPECT_EQ(t.take_all<reserve_allocation>().at(0).grant.shares.at(0).device.value, "local/npu1");
  t.advertise(cpu_spec("local", 5));
  EXPECT_TRUE(t.take_all<reserve_allocation>().empty()) << "enough is coming for what is new";
  t.fail(granted[0], recovery::retry_elsewhere, 8);
  EXPECT_EQ(t.take_all<reserve_allocation>().at(0).grant.shares.at(0).device.value, "local/cpu5");
  t.drop_all();
}

TEST(Resume, ExplainSaysWhoRemovedWhomWhileItWaits) {
  resuming t(2);
  t.load_stubborn(0);
  t.load_cpu(5, 1);
  t.submit("local/cpu5"); // Full now.
  t.submit("local/cpu5"); // A backlog of one.
  const auto granted = t.take_all<grant_ticket>();
  ASSERT_EQ(granted.size(), 2U);
  const auto meta = t.broken("local/npu0|local/cpu5");
  const auto told = t.expect<queue_notice>();
  EXPECT_EQ(told.state, "queued");
  EXPECT_EQ(told.reason, "every endpoint that may go on with it is busy");
  const auto why = t.tested().explain(meta.external_id, t.now())->decisions.back();
  EXPECT_EQ(why.reason, told.reason);
  std::set<std::string> removed;
  for (const auto& one : why.candidates)
    removed.insert(one.device.value + " " + one.removed_by);
  EXPECT_EQ(removed, (std::set<std::string>{"local/npu0 excluded", "local/cpu5 sequences"}));
  t.feed(device_lost{device_id{"local/cpu5"}, t.life_of("local"), "unplugged"});
  t.drop_all();
  EXPECT_EQ(t.tested().explain(meta.external_id, t.now())->decisions.back().reason,
            "no device that may go on with it is up");
}

TEST(Resume, ADeviceThatIsNotLoadedIsExplainedByWhatItsPluginSays) {
  resuming t(1);
  t.load_stubborn(0);
  t.advertise(stubborn_spec(1));
  t.advertise(cpu_spec("local", 5));
  const auto meta = t.broken();
  std::set<std::string> removed;
  const auto why = t.tested().explain(meta.external_id, t.now())->decisions.back();
  for (const auto& one : why.candidates)
    removed.insert(one.device.value + " " + one.removed_by);
  EXPECT_EQ(removed,
            (std::set<std::string>{"local/npu0 excluded", "local/npu1 resume", "local/cpu5 "}));
  t.drop_all();
}

TEST(Resume, WhenTheLastThatCouldIsGoneForGoodItEnds) {
  resuming t(2);
  t.load_stubborn(0);
  t.load_cpu(5, 1);
  t.submit("local/cpu5");
  t.submit("local/cpu5");
  t.drop_all();
  const auto meta = t.broken("local/npu0|local/cpu5");
  t.feed(device_lost{device_id{"local/cpu5"}, t.life_of("local"), "its plugin is gone"});
  EXPECT_TRUE(t.take_all<reject_request>().empty()) << "it may be back at once";
  t.pass_time_renewing(limits::withdraw_grace_us);
  bool ended = false;
  for (const auto& end : t.take_all<reject_request>())
    ended = ended || (end.request == meta.id && end.reason.code == "not_resumable");
  EXPECT_TRUE(ended);
  t.drop_all();
}

/// The other device could go on with it, but its load never ends.
TEST(Resume, WhatFailedItIsAskedAgainWhenItCanContinue) {
  resuming t(1);
  t.load_cpu(0);
  t.advertise(cpu_spec("local", 1));
  t.broken();
  t.take_all<queue_notice>();
  t.grant_next_allocation();
  t.expect<load_replica>();
  t.pass_time_renewing(limits::exclusion_us * 2);
  const auto again = t.take_all<grant_ticket>();
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(again[0].granted.device.value, "local/cpu0");
  EXPECT_TRUE(again[0].resumed);
  t.drop_all();
}

TEST(Resume, TokensThatOnlyReportsToldOfAreALowerBound) {
  resuming t(2);
  t.load_cpu(0);
  t.load_cpu(1);
  t.submit();
  const auto granted = t.expect<grant_ticket>();
  t.start(granted);
  t.progress(granted, 1);
  t.pass_time_renewing(limits::first_token_unknown_us + 2 * second);
  EXPECT_FALSE(t.take_all<grant_ticket>().empty());
  t.drop_all();
  EXPECT_TRUE(t.noted("goes on here after at least 1 token, attempt 2: its device fell silent"));
}

// --- answers that are sent whole: of one that broke nobody saw anything ---

request_meta whole(core_fixture& t, const std::string& selector = "auto") {
  auto meta = t.request(selector);
  meta.streaming = false;
  return meta;
}

/// Its attempt has eight tokens at its gateway, none of which was sent on, when its device fails.
grant_ticket breaks_unseen(core_fixture& t) {
  const auto granted = t.expect<grant_ticket>();
  t.start(granted);
  t.progress(granted, 8);
  t.fail(granted);
  return granted;
}

TEST(Anew, WhatCannotBeContinuedBeginsAnewElsewhere) {
  resuming t(2);
  t.load_cpu(0);
  t.load_cpu(1);
  auto meta = whole(t);
  meta.resumable = false; // As of tools, log probabilities, several choices.
  t.submit(meta);
  const auto broken = breaks_unseen(t);
  const auto again = t.expect<grant_ticket>();
  EXPECT_NE(again.granted.device, broken.granted.device);
  EXPECT_EQ(again.granted.attempt.number, 2U);
  EXPECT_FALSE(again.resumed) << "its gateway throws the eight tokens away";
  t.start(again);
  t.progress(again, 50);
  t.finish(again);
  const auto record = t.expect<record_request>();
  EXPECT_EQ(record.outcome, request_outcome::finished);
  EXPECT_EQ(record.attempts, 2U);
  EXPECT_EQ(record.usage.completion_tokens, 50U);
  EXPECT_EQ(t.view().counters.resumes, 0U);
  EXPECT_EQ(t.view().counters.retries, 1U);
}

TEST(Anew, WhereNobodyContinuesAnythingItBeginsAnew) {
  resuming t(2);
  t.load_stubborn(0);
  t.load_stubborn(1);
  t.submit(whole(t));
  const auto broken = breaks_unseen(t);
  const auto again = t.expect<grant_ticket>();
  EXPECT_NE(again.granted.device, broken.granted.device);
  EXPECT_FALSE(again.resumed);
  t.finish(again);
  EXPECT_EQ(t.expect<record_request>().attempts, 2U);
}

TEST(Anew, WhatAnotherGoesOnWithIsNotThrownAway) {
  resuming t(2);
  t.load_cpu(0);
  t.load_cpu(1);
  t.submit(whole(t));
  breaks_unseen(t);
  const auto again = t.expect<grant_ticket>();
  EXPECT_TRUE(again.resumed);
  t.finish(again);
  t.expect<record_request>();
}

/// A device that fell silent is asked again where no other serves: one that only cannot go on with
/// the text does.
TEST(Anew, WhoCanBeginItIsBetterThanWhoFellSilentInIt) {
  resuming t(2);
  t.load_cpu(0);
  t.submit(whole(t, "local/cpu0|local/npu1"));
  const auto silent = t.expect<grant_ticket>();
  t.start(silent);
  t.progress(silent, 1);
  t.load_stubborn(1);
  std::vector<grant_ticket> again;
  for (int waited = 0; again.empty() && waited < 12; ++waited) {
    t.pass_time_renewing(second);
    again = t.take_all<grant_ticket>();
  }
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(again[0].granted.device.value, "local/npu1");
  EXPECT_FALSE(again[0].resumed);
  t.drop_all();
}

TEST(Anew, WhereNobodyElseServesTheOneThatFailedIsToldAsForAnyOther) {
  resuming t(1);
  t.load_stubborn(0);
  t.submit(whole(t));
  breaks_unseen(t);
  t.expect_end("device_failed", "local/npu0 failed and no other could take over: it broke");
}

/// However much each of them brought, nothing is left of it.
TEST(Anew, AttemptsAreBoundedAsIfNoneHadBroughtAToken) {
  constexpr auto devices = static_cast<int>(limits::attempts_max) + 1;
  resuming t(devices);
  for (int at = 0; at < devices; ++at)
    t.load_cpu(at);
  auto meta = whole(t);
  meta.resumable = false;
  t.submit(meta);
  for (std::uint32_t i = 0; i < limits::attempts_max; ++i)
    breaks_unseen(t);
  EXPECT_EQ(t.expect<reject_request>().reason.code, "attempts_exhausted");
  t.expect<record_request>();
}

TEST(Anew, WhenTheLastThatCouldGoOnIsGoneForGoodItBeginsAnew) {
  resuming t(3);
  t.load_stubborn(0);
  t.load_stubborn(1);
  t.load_cpu(5, 1);
  t.submit("local/cpu5"); // Full now.
  t.submit("local/cpu5"); // A backlog of one.
  t.drop_all();
  const auto meta = whole(t, "local/npu0|local/npu1|local/cpu5");
  t.submit(meta);
  const auto broken = breaks_unseen(t);
  EXPECT_TRUE(t.take_all<grant_ticket>().empty()) << "the CPU may go on with it";
  t.feed(device_lost{device_id{"local/cpu5"}, t.life_of("local"), "its plugin is gone"});
  t.pass_time_renewing(limits::withdraw_grace_us);
  const auto granted = t.take_all<grant_ticket>();
  ASSERT_EQ(granted.size(), 1U);
  EXPECT_EQ(granted[0].granted.attempt.request, meta.id);
  EXPECT_NE(granted[0].granted.device, broken.granted.device);
  EXPECT_FALSE(granted[0].resumed);
  t.drop_all();
}

TEST(Anew, ALaterSchedulerBeginsItAnewAsWell) {
  for (const bool streaming : {false, true}) {
    resuming t(1);
    t.load_cpu(0);
    auto meta = t.request();
    meta.streaming = streaming;
    meta.resumable = streaming;
    t.feed(request_restored{meta, 1, 8, std::nullopt});
    const auto granted = t.take_all<grant_ticket>();
    ASSERT_EQ(granted.size(), 1U);
    EXPECT_EQ(granted[0].granted.attempt.number, 2U);
    EXPECT_EQ(granted[0].resumed, streaming);
    t.drop_all();
  }
}

// --- loads that fail while somebody waits for them ---

/// Fails the load that was ordered last.
void fail_load(core_fixture& t, const std::string& why) {
  t.grant_next_allocation();
  const auto load = t.expect<load_replica>();
  t.feed(replica_failed{
      load.instance, t.life_of("local"), {recovery::retry_elsewhere, "not_ready", why}});
}

const std::string not_ready = "its model server was not ready (GET /health) within 30 s";

TEST(LoadFailure, WhoWaitedForItIsToldWhy) {
  core_fixture t;
  t.join("local");
  t.declare(story_spec());
  t.advertise(cpu_spec());
  auto meta = t.request();
  meta.wait_us = 4 * second;
  t.submit(meta);
  EXPECT_EQ(t.take_all<queue_notice>().at(0).reason, "loading for local/cpu0");
  fail_load(t, not_ready);
  t.take_all<unload_replica>();
  t.take_all<release_allocation>();
  const auto between = t.take_all<queue_notice>().at(0);
  EXPECT_EQ(between.state, "queued");
  EXPECT_EQ(between.reason, "its load on local/cpu0 is tried again in "
                                + format_duration(limits::load_backoff_min_us)
                                + "; the last try on local/cpu0 failed: " + not_ready);
  t.pass_time_renewing(limits::load_backoff_min_us);
  const auto words = "loading for local/cpu0; the last try on local/cpu0 failed: " + not_ready;
  EXPECT_EQ(t.take_all<queue_notice>().at(0).reason, words);
  EXPECT_EQ(t.tested().explain(meta.external_id, t.now())->decisions.back().reason, words);
  t.take_all<reserve_allocation>();
  t.pass_time_renewing(3 * second);
  const auto end = t.take_all<reject_request>();
  ASSERT_EQ(end.size(), 1U);
  EXPECT_EQ(end[0].http_status, 503);
  EXPECT_EQ(end[0].reason.code, "model_loading");
  EXPECT_EQ(end[0].reason.message, "waited long enough: " + words);
  t.drop_all();
}

TEST(LoadFailure, OfSeveralDevicesTheLatestFailureIsTold) {
  core_fixture t;
  t.join("local");
  t.declare(story_spec());
  t.advertise(cpu_spec("local", 0));
  t.submit();
  t.take_all<queue_notice>();
  fail_load(t, "the first reason");
  t.drop_all();
  auto slower = cpu_spec("local", 1);
  slower.spec.load_us *= 100;
  t.pass_time(second / 2);
  t.advertise(slower);
  t.take_all<queue_notice>();
  fail_load(t, "the second reason");
  const auto told = t.take_all<queue_notice>();
  ASSERT_FALSE(told.empty());
  EXPECT_NE(told.back().reason.find("the last try on local/cpu1 failed: the second reason"),
            std::string::npos)
      << told.back().reason;
  t.drop_all();
}

TEST(LoadFailure, ALoadThatSucceedsIsNotRemindedOfIt) {
  core_fixture t;
  t.join("local");
  t.declare(story_spec());
  t.advertise(cpu_spec());
  t.submit();
  t.take_all<queue_notice>();
  fail_load(t, not_ready);
  t.drop_all();
  t.pass_time_renewing(limits::load_backoff_min_us);
  t.take_all<queue_notice>();
  t.finish_load(1);
  t.submit();
  t.drop_all();
  t.submit();
  const auto told = t.take_all<queue_notice>();
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].reason, "every endpoint that may serve it is busy");
  t.drop_all();
}

} // namespace

} // namespace consort::core::testing
