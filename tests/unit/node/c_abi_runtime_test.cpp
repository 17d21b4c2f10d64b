// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/node/hosted_runtime.hpp"

#include "messages/limits.hpp"

#include <atomic>

namespace consort::node::test {
namespace {

using ::testing::HasSubstr;

TEST_F(HostedRuntime, StreamsAnAttemptInOrderToItsEnd) {
  const auto loaded = must_open();
  const auto events = submit(loaded, 1, R"({"tokens":3,"text":"é "})")->wait_end();
  ASSERT_EQ(events.size(), 6u);
  EXPECT_EQ(events[0], attempt_event(attempt_opened{7, 0}));
  EXPECT_EQ(events[1], attempt_event(attempt_tokens{0, "é ", {0}, R"({"fake":true})"}));
  EXPECT_EQ(events[3], attempt_event(attempt_tokens{0, "é ", {2}, ""}));
  EXPECT_EQ(events[4], attempt_event(attempt_choice_done{0, "length"}));
  EXPECT_EQ(events[5], attempt_event(attempt_completed{{7, 3, 0}, 1, 5}));
}

TEST_F(HostedRuntime, HandsOverResumeState) {
  const auto loaded = must_open();
  auto sink = std::make_shared<attempt_recorder>();
  loaded->submit(attempt(1), {request_kind::completion, "{}", {"abc", {1, 2, 3, 4}}}, sink);
  EXPECT_EQ(sink->wait_end().at(0), attempt_event(attempt_opened{7, 7}));
}

TEST_F(HostedRuntime, RunsManyAttemptsWithoutMixingThemUp) {
  const auto loaded = must_open();
  std::vector<std::shared_ptr<attempt_recorder>> sinks;
  for (std::uint64_t number = 1; number <= 200; ++number)
    sinks.push_back(
        submit(loaded, number, R"({"tokens":5,"text":"<)" + std::to_string(number) + R"(>"})"));
  for (std::uint64_t number = 1; number <= 200; ++number) {
    ASSERT_EQ(sinks[number - 1]->wait_end().size(), 8u);
    const auto word = "<" + std::to_string(number) + ">";
    EXPECT_EQ(sinks[number - 1]->text(), word + word + word + word + word);
  }
}

TEST_F(HostedRuntime, ReadsCountersAndWhatItCan) {
  options.bounds.stats_us = 1'000;
  const auto loaded = must_open();
  EXPECT_EQ(loaded->stats().capacity.sequences.value, 4u);
  EXPECT_EQ(loaded->stats().capacity.kv_tokens.value, 2048u);
  EXPECT_EQ(loaded->stats().capacity.sequences.source, figure_source::engine);
  EXPECT_EQ(loaded->stats().steps_total, 0u) << "a word is no number";
  EXPECT_TRUE(loaded->capabilities().cancel);
  submit(loaded, 1, R"({"tokens":11})")->wait_end();
  std::uint64_t total = 0;
  for (std::uint64_t number = 2; total < 11 && number < 2'000; ++number) {
    submit(loaded, number, R"({"tokens":0})")->wait_end();
    total = loaded->stats().tokens_generated_total;
  }
  EXPECT_EQ(total, 11u);
}

TEST_F(HostedRuntime, GarbageCountersAreUnknownAndNoReasonToDie) {
  const auto loaded = must_open("stats_garbage");
  EXPECT_EQ(loaded->stats().capacity.sequences.value, std::nullopt);
  EXPECT_EQ(submit(loaded, 1, "{}")->failure().failure.code, "none");
}

// --- what the engine says about a request ---

TEST_F(HostedRuntime, EngineStatusesBecomeRecoveries) {
  const auto loaded = must_open();
  struct expectation {
    const char* fault;
    const char* code;
    recovery action;
    bool device_fault;
  };
  const std::vector<expectation> table{
      {"submit_refused", "request_refused", recovery::refuse, false},
      {"submit_busy", "runtime_busy", recovery::retry_later, false},
      {"submit_failed", "runtime_failed", recovery::retry_elsewhere, true},
      {"fail_refused", "context_overflow", recovery::refuse, false},
      {"fail_busy", "no_slot", recovery::retry_later, false},
      {"fail_device", "ecc", recovery::retry_elsewhere, true},
      {"fail_unasked", "runtime_failed", recovery::retry_elsewhere, true},
  };
  std::uint64_t number = 0;
  for (const auto& row : table) {
    const auto failed
        = submit(loaded, ++number, std::string(R"({"fault":")") + row.fault + "\"}")->failure();
    EXPECT_EQ(failed.failure.code, row.code);
    EXPECT_EQ(failed.failure.action, row.action) << row.fault;
    EXPECT_EQ(failed.device_fault, row.device_fault) << row.fault;
    EXPECT_FALSE(failed.failure.message.empty());
  }
  EXPECT_EQ(submit(loaded, 99, "{not json")->failure().failure.code, "request_refused");
  EXPECT_FALSE(died());
}

TEST_F(HostedRuntime, ACancelIsAcknowledgedAndNobodysFault) {
  const auto loaded = must_open();
  const auto sink = submit(loaded, 1, R"({"fault":"hang","at":3})");
  EXPECT_EQ(sink->wait_count(3).size(), 3u);
  loaded->cancel(attempt(1));
  loaded->cancel(attempt(1));
  loaded->cancel(attempt(77)); // unknown
  EXPECT_EQ(sink->failure().failure.code, "cancelled");
  EXPECT_FALSE(sink->failure().device_fault);
  loaded->cancel(attempt(1)); // over
  EXPECT_EQ(submit(loaded, 2, "{}")->failure().failure.code, "none");
  EXPECT_EQ(sink->terminals(), 1u);
}

// --- death ---

struct Crash : HostedRuntime {
  void crash_with(const std::string& fault, const std::string& words) {
    const auto loaded = must_open();
    const auto waiting = submit(loaded, 1, R"({"fault":"hang","at":2})");
    const auto cancelled = submit(loaded, 2, "{}");
    waiting->wait_count(2);
    loaded->cancel(attempt(2));
    loaded->cancel(attempt(1)); // lets the engine go on to the one that crashes
    const auto victim = submit(loaded, 3, R"({"at":3,"fault":")" + fault + "\"}");
    const auto queued = submit(loaded, 4, "{}");
    const auto why = wait_death();
    EXPECT_EQ(why.code, "runtime_died");
    EXPECT_EQ(why.action, recovery::retry_elsewhere);
    EXPECT_THAT(why.message, HasSubstr(words));
    EXPECT_THAT(why.message, HasSubstr("n/npu0"));
    for (const auto& sink : {victim, queued}) {
      EXPECT_EQ(sink->failure().failure.code, "runtime_died");
      EXPECT_TRUE(sink->failure().device_fault);
      EXPECT_EQ(sink->terminals(), 1u);
    }
    EXPECT_LE(victim->seen().size(), 4u); // what it said before is delivered as far as it got
    const auto late = submit(loaded, 5, "{}")->failure();
    EXPECT_EQ(late.failure.code, "session_closed");
    EXPECT_FALSE(late.device_fault);
  }
};

TEST_F(Crash, ASegmentationFaultAbortsEveryAttemptThenReportsDeath) {
  crash_with("crash", "signal 11");
}

TEST_F(Crash, KillMinusNineIsTheSame) {
  crash_with("kill", "signal 9");
}

TEST_F(Crash, TheLastLinesItPrintedAreInTheMessage) {
  crash_with("print", "fake: out of cheese");
}

TEST_F(HostedRuntime, AbortsComeBeforeTheDeath) {
  const auto loaded = must_open();
  auto sink = std::make_shared<attempt_recorder>();
  std::atomic<bool> died_first = false;
  sink->reaction = [&] { died_first = died_first || died(); };
  loaded->submit(attempt(1), {request_kind::completion, R"({"fault":"crash","at":2})", {}}, sink);
  wait_death();
  EXPECT_EQ(sink->terminals(), 1u);
  EXPECT_FALSE(died_first);
}

TEST_F(HostedRuntime, AHostThatIgnoresACancelIsKilled) {
  options.bounds.cancel_us = 50'000;
  const auto loaded = must_open();
  const auto stuck = submit(loaded, 1, R"({"fault":"ignore_cancel"})");
  const auto other = submit(loaded, 2, "{}");
  stuck->wait_count(1);
  loaded->cancel(attempt(1));
  EXPECT_EQ(stuck->failure().failure.code, "cancelled");
  EXPECT_FALSE(stuck->failure().device_fault);
  EXPECT_EQ(other->failure().failure.code, "runtime_died");
  EXPECT_THAT(wait_death().message, HasSubstr("cancel within 50ms"));
}

TEST_F(HostedRuntime, ACrashInCancelCostsItsInstance) {
  const auto loaded = must_open("crash_cancel");
  const auto sink = submit(loaded, 1, R"({"fault":"hang","at":2})");
  sink->wait_count(2);
  loaded->cancel(attempt(1));
  EXPECT_THAT(wait_death().message, HasSubstr("signal 11"));
  EXPECT_EQ(sink->terminals(), 1u);
}

TEST_F(HostedRuntime, ACrashInStatsCostsItsInstance) {
  options.bounds.stats_us = 5'000;
  const auto loaded = must_open("crash_stats");
  const auto sink = submit(loaded, 1, R"({"fault":"hang","at":2})");
  EXPECT_EQ(sink->failure().failure.code, "runtime_died");
  EXPECT_THAT(wait_death().message, HasSubstr("signal 11"));
}

TEST_F(HostedRuntime, ACrashInCloseIsNobodysLoss) {
  auto loaded = must_open("crash_close");
  const auto sink = submit(loaded, 1, "{}");
  EXPECT_EQ(sink->failure().failure.code, "none");
  loaded.reset();
  finish();
  EXPECT_FALSE(died()) << "it was to go anyway";
}

TEST_F(HostedRuntime, AHostThatLeaksDiesAtItsLimitAndIsLoadedAgain) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer reserves more address space than any limit leaves";
#endif
  options.memory_bytes = std::uint64_t{1} << 30U;
  auto loaded = must_open();
  std::uint64_t number = 0;
  for (; number < 32 && !died(); ++number)
    submit(loaded, number + 1, R"({"fault":"leak"})")->wait_end();
  EXPECT_LT(number, 32u) << "16 of them are the limit";
  EXPECT_EQ(wait_death().code, "runtime_died");
  loaded.reset();
  const auto again = must_open();
  EXPECT_EQ(submit(again, 1, "{}")->failure().failure.code, "none");
}

TEST_F(HostedRuntime, AHostThatAnswersNoMoreIsKilled) {
  options.bounds.stats_us = 5'000;
  options.bounds.silent_us = 100'000;
  const auto loaded = must_open();
  const auto sink = submit(loaded, 1, R"({"fault":"submit_hang"})");
  EXPECT_EQ(sink->failure().failure.code, "runtime_died");
  EXPECT_THAT(wait_death().message, HasSubstr("has not answered for 100ms"));
}

TEST_F(HostedRuntime, AHostThatHangsInACancelOfWhatEndedIsGivenUp) {
  options.env = {"TEST_CALL_US=200000"};
  const auto loaded = must_open("hang_cancel");
  const auto sink = submit(loaded, 1, R"({"fault":"hang","at":2})");
  sink->wait_count(2);
  loaded->cancel(attempt(1));
  EXPECT_EQ(sink->failure().failure.code, "cancelled") << "the engine's thread goes on";
  const auto why = wait_death();
  EXPECT_EQ(why.code, "runtime_died");
  EXPECT_THAT(why.message, HasSubstr("the runtime's `cancel` has not returned for 200ms"));
  EXPECT_THAT(why.message, HasSubstr("n/npu0"));
}

TEST_F(HostedRuntime, AHostThatHangsInStatsWhileIdleIsGivenUp) {
  options.env = {"TEST_CALL_US=200000"};
  options.bounds.stats_us = 5'000;
  const auto loaded = must_open("hang_stats");
  EXPECT_EQ(submit(loaded, 1, "{}")->failure().failure.code, "none");
  const auto why = wait_death();
  EXPECT_EQ(why.code, "runtime_died");
  EXPECT_THAT(why.message, HasSubstr("the runtime's `stats` has not returned for 200ms"));
}

struct Liar : HostedRuntime, ::testing::WithParamInterface<const char*> {};

TEST_P(Liar, IsKilledAndItsAttemptsRetried) {
  const auto loaded = must_open();
  const auto first = submit(loaded, 1, R"({"fault":"hang","at":2})");
  first->wait_count(2);
  const auto sink = submit(loaded, 2, std::string(R"({"fault":")") + GetParam() + "\"}");
  const auto bystander = submit(loaded, 3, "{}");
  loaded->cancel(attempt(1)); // The engine goes on to the one that lies.
  EXPECT_EQ(wait_death().action, recovery::retry_elsewhere);
  EXPECT_EQ(bystander->failure().failure.code, "runtime_died");
  EXPECT_TRUE(bystander->failure().device_fault);
  EXPECT_EQ(sink->terminals(), 1u);
}

INSTANTIATE_TEST_SUITE_P(Faults, Liar,
                         ::testing::Values("unknown_id", "double_terminal", "no_opened", "bad_text",
                                           "null_text", "bad_kind", "bad_choice"),
                         [](const auto& tested) {
                           std::string name;
                           for (const char* at = tested.param; *at != 0; ++at)
                             if (*at != '_')
                               name += *at;
                           return name;
                         });

TEST_F(HostedRuntime, AFloodOfEventsIsCutOff) {
  options.bounds.events_per_attempt_max = 100;
  const auto loaded = must_open();
  EXPECT_EQ(submit(loaded, 1, R"({"tokens":97})")->failure().failure.code, "none");
  const auto sink = submit(loaded, 2, R"({"tokens":98})");
  EXPECT_EQ(sink->failure().failure.code, "runtime_died");
  EXPECT_EQ(sink->seen().size(), 101u);
  EXPECT_THAT(wait_death().message, HasSubstr("more than 100 events"));
}

// --- loading ---

TEST_F(HostedRuntime, LoadFailuresSayWhoseTheyAre) {
  struct expectation {
    const char* fault;
    const char* code;
    recovery action;
  };
  const std::vector<expectation> table{
      {"refuse", "load_refused", recovery::refuse},
      {"bad_model", "bad_model", recovery::refuse},
      {"busy", "runtime_busy", recovery::retry_later},
      {"fail", "load_failed", recovery::retry_elsewhere},
      {"crash", "runtime_died", recovery::retry_elsewhere},
  };
  for (const auto& row : table) {
    const auto opened = open(row.fault);
    runtime.reset();
    ASSERT_FALSE(opened.ok()) << row.fault;
    EXPECT_EQ(opened.failure().code, row.code);
    EXPECT_EQ(opened.failure().action, row.action) << row.fault;
    EXPECT_THAT(opened.failure().message, HasSubstr("n/npu0"));
  }
  EXPECT_FALSE(died());
}

TEST_F(HostedRuntime, ALoadThatHangsTimesOut) {
  options.bounds.start_us = 200'000;
  const auto opened = open("hang");
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.failure().code, "runtime_start_timeout");
}

TEST_F(HostedRuntime, LibrariesThatCannotBeUsedAreNamed) {
  const std::vector<std::pair<const char*, const char*>> table{
      {CONSORT_FAKE_WRONG_ABI, "speaks ABI 2"},
      {CONSORT_FAKE_NO_SYMBOL, "does not export consort_runtime"},
      {"/nowhere/librt.so", "/nowhere/librt.so"}};
  for (const auto& [library, words] : table) {
    options.library = library;
    const auto opened = open();
    runtime.reset();
    ASSERT_FALSE(opened.ok()) << library;
    EXPECT_EQ(opened.failure().code, "runtime_library_bad");
    EXPECT_THAT(opened.failure().message, HasSubstr(words));
  }
}

TEST_F(HostedRuntime, AMissingExecutableAndABadConfigAreErrors) {
  options.executable = "/nowhere/consort";
  EXPECT_EQ(open().failure().code, "runtime_spawn_failed");
  runtime.reset();
  options.config_json = "[1]";
  EXPECT_EQ(open().failure().code, "runtime_config_bad");
}

TEST_F(HostedRuntime, ChatterOnStandardOutputIsNoProtocolAndDoesNotBlock) {
  const auto loaded = must_open("chatter");
  EXPECT_EQ(submit(loaded, 1, "{}")->failure().failure.code, "none");
}

// --- bounds ---

TEST_F(HostedRuntime, TakesNoMoreAttemptsThanItMay) {
  options.bounds.attempts_max = 2;
  const auto loaded = must_open();
  const auto first = submit(loaded, 1, R"({"fault":"hang"})");
  const auto second = submit(loaded, 2, "{}");
  const auto third = submit(loaded, 3, "{}")->failure();
  EXPECT_EQ(third.failure.code, "session_full");
  EXPECT_EQ(third.failure.action, recovery::retry_later) << "it has no room, and costs no attempt";
  EXPECT_FALSE(third.device_fault);
  loaded->cancel(attempt(1));
  EXPECT_EQ(second->failure().failure.code, "none");
  EXPECT_EQ(submit(loaded, 4, "{}")->failure().failure.code, "none");
}

TEST_F(HostedRuntime, RefusesWhatDoesNotFitItsQueueOrAFrame) {
  options.bounds.unsent_bytes_max = 64 * 1024;
  const auto loaded = must_open();
  const auto queue = submit(loaded, 1, "{\"x\":\"" + std::string(70'000, 'x') + "\"}")->failure();
  EXPECT_EQ(queue.failure.code, "runtime_busy");
  EXPECT_FALSE(queue.device_fault);
  const auto frame
      = submit(loaded, 2, std::string(messages::limits::json_bytes_max + 1, ' '))->failure();
  EXPECT_EQ(frame.failure.action, recovery::refuse);
  EXPECT_FALSE(frame.device_fault);
  EXPECT_EQ(submit(loaded, 3, "{}")->failure().failure.code, "none");
}

TEST_F(HostedRuntime, AShortCallQueueInTheHostLosesNothing) {
  options.env = {"TEST_CALLS=1", "TEST_UNSENT_BYTES=2000"};
  const auto loaded = must_open();
  std::vector<std::shared_ptr<attempt_recorder>> sinks;
  for (std::uint64_t number = 1; number <= 100; ++number)
    sinks.push_back(submit(loaded, number, R"({"tokens":20})"));
  for (const auto& sink : sinks)
    EXPECT_EQ(sink->wait_end().size(), 23u);
}

// --- the end ---

TEST_F(HostedRuntime, DestroyingASessionEndsItsAttemptsWithoutBlame) {
  auto loaded = must_open();
  const auto sink = submit(loaded, 1, R"({"fault":"hang"})");
  sink->wait_count(1);
  loaded.reset();
  EXPECT_EQ(sink->failure().failure.code, "session_closed");
  EXPECT_FALSE(sink->failure().device_fault);
  finish(); // the host was asked to close and did
  EXPECT_FALSE(died());
  EXPECT_EQ(sink->terminals(), 1u);
}

TEST_F(HostedRuntime, ASessionWhoseHostHangsIsKilledAfterTheGrace) {
  options.bounds.close_us = 50'000;
  auto loaded = must_open();
  submit(loaded, 1, R"({"fault":"submit_hang"})");
  loaded.reset();
  finish();
  EXPECT_FALSE(died());
}

TEST_F(HostedRuntime, DestroyingTheRuntimeKillsItsHosts) {
  const auto loaded = must_open();
  const auto sink = submit(loaded, 1, R"({"fault":"hang"})");
  sink->wait_count(1);
  runtime.reset();
  EXPECT_EQ(sink->failure().failure.code, "runtime_died");
  EXPECT_EQ(wait_death().code, "runtime_died");
}

TEST_F(HostedRuntime, ASinkMayDestroyItsSession) {
  auto loaded = must_open();
  auto last = std::make_shared<session>(loaded);
  std::promise<void> let_go;
  auto sink = std::make_shared<attempt_recorder>();
  sink->reaction = [last, only_owner = let_go.get_future().share()] {
    only_owner.wait_for(patience);
    last->reset();
  };
  loaded->submit(attempt(1), {request_kind::completion, R"({"tokens":1000})", {}}, sink);
  loaded.reset();
  let_go.set_value();
  EXPECT_EQ(sink->failure().failure.code, "session_closed");
  EXPECT_EQ(sink->terminals(), 1u);
}

} // namespace
} // namespace consort::node::test
