// SPDX-License-Identifier: Apache-2.0
// Devices that fail without dying: slow ones, nodes that come and go, storms of retries.
#include "tests/support/core_fixture.hpp"

namespace consort::core::testing {

namespace {

void fleet_of(core_fixture& t, int devices) {
  t.join("local");
  auto model = story_spec();
  model.replicas_min = static_cast<std::uint32_t>(devices);
  t.declare(model);
  for (int at = 0; at < devices; ++at) {
    auto spec = cpu_spec("local", at);
    spec.model += std::to_string(at); // Each a kind of its own, the first the fastest.
    spec.spec.decode_tokens_per_s /= static_cast<std::uint64_t>(at + 1);
    t.advertise(spec);
    t.finish_load();
  }
}

/// As its device's spec sheet says: 10 ms between tokens, 20 on the second device.
void finish_as_specified(core_fixture& t, const grant_ticket& one) {
  const duration_us gap = one.granted.device.value == "local/cpu0" ? 10'000 : 20'000;
  attempt_measurement seen;
  seen.usage = {100, 51, 0};
  seen.first_token_us = 50'000;
  seen.total_us = seen.first_token_us + 50 * gap;
  seen.batch = 1;
  t.feed(attempt_finished{one.granted.attempt, seen});
  t.take_all<record_request>();
}

/// The device's model is known.
void measured(core_fixture& t, const std::string& selector) {
  for (std::uint32_t i = 0; i < limits::explore_samples; ++i) {
    t.submit(selector);
    finish_as_specified(t, t.expect<grant_ticket>());
  }
}

/// Tokens come at `per_report` each quarter of a second. Returns: whether the attempt was moved.
bool moved(core_fixture& t, const grant_ticket& running, std::uint32_t per_report, int reports) {
  for (int at = 1; at <= reports; ++at) {
    t.pass_time(limits::report_period_us);
    t.renew("local");
    t.progress(running, static_cast<std::uint32_t>(at) * per_report);
    if (!t.take_all<drop_attempt>().empty())
      return true;
  }
  return false;
}

TEST(SlowDevice, TenTimesSlowerThanItWasIsTreatedAsFailing) {
  core_fixture t;
  fleet_of(t, 2);
  measured(t, "local/cpu0");
  t.submit("local/cpu0|local/cpu1");
  const auto running = t.expect<grant_ticket>();
  ASSERT_EQ(running.granted.device.value, "local/cpu0");
  t.start(running);
  EXPECT_TRUE(moved(t, running, 1, 20)) << "250 ms a token; it is never silent";
  EXPECT_EQ(t.take_all<revoke_attempt>().at(0).reason,
            "its device is ten times slower than it was");
  const auto resumed = t.expect<grant_ticket>();
  EXPECT_TRUE(resumed.resumed);
  EXPECT_EQ(resumed.granted.device.value, "local/cpu1");
  t.drop_all();
}

TEST(SlowDevice, ThatStaysSlowLosesItsPlace) {
  core_fixture t;
  fleet_of(t, 2);
  measured(t, "local/cpu0");
  for (std::uint32_t i = 0; i < limits::breaker_failures; ++i) {
    t.submit("local/cpu0|local/cpu1");
    auto running = t.expect<grant_ticket>();
    ASSERT_EQ(running.granted.device.value, "local/cpu0");
    t.start(running);
    ASSERT_TRUE(moved(t, running, 1, 20));
    finish_as_specified(t, t.take_all<grant_ticket>().at(0));
    t.drop_all();
  }
  EXPECT_EQ(t.view().devices.at(0).breaker, "open");
}

TEST(SlowDevice, SomewhatSlowerIsNot) {
  core_fixture t;
  fleet_of(t, 2);
  measured(t, "local/cpu0");
  t.submit("local/cpu0|local/cpu1");
  const auto running = t.expect<grant_ticket>();
  t.start(running);
  EXPECT_FALSE(moved(t, running, 5, 20)) << "50 ms a token";
  t.drop_all();
}

TEST(SlowDevice, IsKeptWhereNobodyCouldTakeOver) {
  core_fixture t;
  fleet_of(t, 1);
  measured(t, "auto");
  t.submit();
  const auto running = t.expect<grant_ticket>();
  t.start(running);
  EXPECT_FALSE(moved(t, running, 1, 20));
  t.drop_all();
}

// --- long steps ---

/// Two devices that read 10,000 tokens a second, in steps of `step_tokens`; the first is the faster
/// to write.
void readers(core_fixture& t, std::optional<std::uint64_t> step_tokens,
             std::uint64_t decode_tokens_per_s = 100) {
  t.join("local");
  auto model = story_spec();
  model.variants[0].context_tokens = 0;
  model.replicas_min = 2;
  t.declare(model);
  for (int at = 0; at < 2; ++at) {
    auto spec = cpu_spec("local", at);
    spec.model += std::to_string(at);
    spec.spec.prefill_tokens_per_s = 10'000;
    spec.spec.decode_tokens_per_s = decode_tokens_per_s / static_cast<std::uint64_t>(at + 1);
    t.advertise(spec);
    t.grant_next_allocation();
    capacity_vector capacity;
    capacity.sequences.value = 8;
    capacity.kv_tokens.value = 1'000'000;
    capacity.step_tokens.value = step_tokens;
    runtime_capabilities runtime;
    runtime.resume = resume_support::tokens;
    const auto load = t.expect<load_replica>();
    t.feed(replica_loaded{load.instance, t.life_of("local"), {capacity}, runtime, second});
  }
}

/// A stream on the first device, beside which `prompts` of 30,000 tokens are to be read there.
grant_ticket stream_beside_prompts(core_fixture& t, int prompts, duration_us gap = 10'000) {
  for (std::uint32_t i = 0; i < limits::explore_samples; ++i) {
    t.submit("local/cpu0");
    attempt_measurement seen;
    seen.usage = {100, 51, 0};
    seen.first_token_us = 10'000;
    seen.total_us = seen.first_token_us + 50 * gap;
    seen.batch = 1;
    t.feed(attempt_finished{t.expect<grant_ticket>().granted.attempt, seen});
    t.expect<record_request>();
  }
  t.submit("local/cpu0|local/cpu1");
  const auto stream = t.expect<grant_ticket>();
  EXPECT_EQ(stream.granted.device.value, "local/cpu0");
  t.start(stream);
  t.progress(stream, 1);
  for (int at = 0; at < prompts; ++at) {
    auto meta = t.request("local/cpu0");
    meta.prompt_tokens = 30'000;
    t.submit(meta);
    t.start(t.expect<grant_ticket>());
  }
  return stream;
}

/// One token with each step. Returns: whether the stream was moved or ended.
bool lost_beside_steps(core_fixture& t, const grant_ticket& stream, duration_us step, int steps) {
  for (int at = 1; at <= steps; ++at) {
    t.pass_time(step);
    t.renew("local");
    t.progress(stream, 1 + static_cast<std::uint32_t>(at));
    if (!t.take_all<drop_attempt>().empty())
      return true;
  }
  return false;
}

TEST(LongSteps, AreNoSilence) {
  core_fixture t;
  readers(t, 8'192);
  const auto stream = stream_beside_prompts(t, 1);
  EXPECT_FALSE(lost_beside_steps(t, stream, 820'000, 3))
      << "8,192 tokens at 10,000 a second; without prompts beside it a stall";
  t.drop_all();
}

TEST(LongSteps, OfAnEngineThatDoesNotSayAreGuessed) {
  core_fixture t;
  readers(t, std::nullopt);
  const auto stream = stream_beside_prompts(t, 1);
  EXPECT_FALSE(lost_beside_steps(t, stream, 820'000, 3));
  t.drop_all();
}

/// Its gaps were five hundred times as long while a prompt was read, and it takes the mean of them
/// seconds to forget that: by then it ran at its full pace long since.
TEST(LongSteps, AreNotHeldAgainstAStreamOnceTheyAreOver) {
  core_fixture t;
  readers(t, 8'192, 1'000);
  const auto stream = stream_beside_prompts(t, 0, 1'000);
  auto meta = t.request("local/cpu0");
  meta.prompt_tokens = 30'000;
  t.submit(meta);
  const auto prompt = t.expect<grant_ticket>();
  t.start(prompt);
  ASSERT_FALSE(lost_beside_steps(t, stream, 820'000, 4));
  t.progress(prompt, 1);
  for (std::uint32_t report = 1; report <= 40; ++report) {
    t.pass_time(limits::report_period_us);
    t.renew("local");
    t.progress(prompt, 1 + report * 200);
    t.progress(stream, 5 + report * 200);
    ASSERT_TRUE(t.take_all<drop_attempt>().empty()) << "after " << report << " reports";
  }
  t.drop_all();
}

/// As slow afterwards as it was beside the prompt, it is failing.
TEST(LongSteps, ThatNothingExplainsAnyMoreAreHeldAgainstTheDevice) {
  core_fixture t;
  readers(t, 8'192, 1'000);
  const auto stream = stream_beside_prompts(t, 0, 1'000);
  EXPECT_TRUE(moved(t, stream, 2, 20)) << "125 ms a token";
  t.drop_all();
}

TEST(LongSteps, DoNotHideADeviceThatFellSilent) {
  core_fixture t;
  readers(t, 8'192);
  stream_beside_prompts(t, 2);
  t.pass_time_renewing(limits::stall_steps * 820'000 + second / 10);
  EXPECT_GE(t.take_all<drop_attempt>().size(), 1U);
  t.drop_all();
}

TEST(LongSteps, OfWhichThereAreNoneExcuseNobody) {
  core_fixture t;
  readers(t, 8'192);
  const auto stream = stream_beside_prompts(t, 0);
  EXPECT_TRUE(lost_beside_steps(t, stream, 820'000, 1)) << "nothing is read there";
  t.drop_all();
}

// --- prompts that a cache was believed to hold ---

/// A prompt of 60,000 tokens, six seconds of reading, whose blocks the first device has read
/// before: it is thought to take next to none there. Returns: its ticket.
grant_ticket prompt_believed_cached(core_fixture& t) {
  stream_beside_prompts(t, 0);
  auto meta = t.request("local/cpu0|local/cpu1");
  meta.prompt_tokens = 60'000;
  for (std::uint64_t block = 1; block <= 100; ++block)
    meta.prefix_blocks.push_back(block);
  auto first = meta;
  first.selector = "local/cpu0";
  t.submit(first);
  const auto reader = t.expect<grant_ticket>();
  t.start(reader);
  t.progress(reader, 1);
  t.drop_all();
  meta.id.sequence = first.id.sequence + 1;
  t.submit(meta);
  const auto ticket = t.expect<grant_ticket>();
  EXPECT_EQ(ticket.granted.device.value, "local/cpu0") << "it follows what it has read there";
  t.start(ticket);
  return ticket;
}

bool dropped(core_fixture& t, const grant_ticket& ticket) {
  for (const auto& each : t.take_all<drop_attempt>())
    if (each.attempt == ticket.granted.attempt)
      return true;
  return false;
}

/// Engines forget what was used longest ago without a word.
TEST(ForgottenPrefix, IsReadAgainWithoutBeingTakenForAStall) {
  core_fixture t;
  readers(t, 8'192);
  const auto ticket = prompt_believed_cached(t);
  t.pass_time_renewing(2 * limits::first_token_floor_us + second / 2);
  EXPECT_FALSE(dropped(t, ticket)) << "60,000 tokens at 10,000 a second";
  t.drop_all();
}

/// What waited behind it is read only now.
TEST(ForgottenPrefix, IsNoStallOfThoseBehindItOnceItIsRead) {
  core_fixture t;
  readers(t, 8'192);
  const auto ticket = prompt_believed_cached(t);
  auto meta = t.request("local/cpu0|local/cpu1");
  meta.id.sequence += 1'000;
  meta.prompt_tokens = 20'000;
  meta.prefix_blocks = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
  meta.selector = "local/cpu0";
  t.submit(meta);
  const auto behind = t.expect<grant_ticket>();
  t.start(behind);
  t.pass_time_renewing(9 * second);
  t.progress(ticket, 1);
  t.pass_time_renewing(2 * second);
  EXPECT_FALSE(dropped(t, behind)) << "two seconds of reading";
  t.drop_all();
}

TEST(ForgottenPrefix, DoesNotHideADeviceThatSaysNothing) {
  core_fixture t;
  readers(t, 8'192);
  const auto ticket = prompt_believed_cached(t);
  t.pass_time_renewing(limits::stall_steps * 6'500'000);
  EXPECT_TRUE(dropped(t, ticket));
  t.drop_all();
}

/// One that came later was read before it: that shows no progress of the first, even when the later
/// request is over and its row is another's.
TEST(ForgottenPrefix, IsPassedOverByWhatCameLaterAndIsOver) {
  core_fixture t;
  readers(t, 8'192);
  const auto ticket = prompt_believed_cached(t);
  t.pass_time(second / 1'000);
  t.drop_all();
  auto meta = t.request("local/cpu0");
  meta.id.sequence += 1'000;
  t.submit(meta);
  const auto later = t.expect<grant_ticket>();
  t.start(later);
  t.pass_time_renewing(20 * second);
  ASSERT_FALSE(dropped(t, ticket));
  t.progress(later, 1);
  t.feed(request_cancelled{meta.id, "gone"});
  t.pass_time_renewing(limits::stall_steps * 6'500'000 - 20 * second);
  EXPECT_TRUE(dropped(t, ticket));
  t.drop_all();
}

// --- nodes that come and go ---

void lose_and_return(core_fixture& t, std::uint64_t life) {
  t.feed(node_lost{node_id{"a"}, t.life_of("a"), true, "crashed"});
  t.drop_all();
  t.join("a", life);
  t.advertise(cpu_spec("a"));
}

/// A model that keeps a replica is loaded on a node whenever that takes work.
model_spec kept_story() {
  auto made = story_spec();
  made.replicas_min = 1;
  return made;
}

TEST(Flapping, NodeIsGivenWorkAgainAfterAPauseThatDoubles) {
  core_fixture t;
  t.join("a");
  t.advertise(cpu_spec("a"));
  t.declare(kept_story());
  t.drop_all();
  lose_and_return(t, 2);
  EXPECT_EQ(t.take_all<reserve_allocation>().size(), 1U) << "once is an accident";
  duration_us pause = limits::flap_pause_min_us;
  for (std::uint64_t life = 3; life < 6; ++life, pause *= 2) {
    lose_and_return(t, life);
    t.drop_all();
    EXPECT_EQ(t.view().nodes.front().held_off_us, pause);
    t.pass_time_renewing(pause - 1, {"a"});
    EXPECT_TRUE(t.take_all<reserve_allocation>().empty()) << "life " << life;
    EXPECT_EQ(t.view().nodes.front().held_off_us, 1);
    t.pass_time(1);
    EXPECT_EQ(t.view().nodes.front().held_off_us, 0);
    EXPECT_EQ(t.take_all<reserve_allocation>().size(), 1U) << "life " << life;
  }
  EXPECT_TRUE(t.noted("a: was lost 4 times lately: takes work in 4s"));
  t.drop_all();
}

TEST(Flapping, IsForgottenAfterAQuietTime) {
  core_fixture t;
  t.join("a");
  t.advertise(cpu_spec("a"));
  t.declare(story_spec());
  lose_and_return(t, 2);
  t.pass_time_renewing(limits::flap_window_us + second, {"a"});
  lose_and_return(t, 3);
  t.submit();
  EXPECT_EQ(t.take_all<reserve_allocation>().size(), 1U);
  t.drop_all();
}

TEST(Flapping, PauseIsBounded) {
  core_fixture t;
  t.join("a");
  t.advertise(cpu_spec("a"));
  t.declare(kept_story());
  for (std::uint64_t life = 2; life < 30; ++life)
    lose_and_return(t, life);
  t.drop_all();
  t.pass_time_renewing(limits::flap_pause_max_us - second, {"a"});
  EXPECT_TRUE(t.take_all<reserve_allocation>().empty());
  t.pass_time_renewing(2 * second, {"a"});
  t.drop_all();
  EXPECT_EQ(t.view().replicas.size(), 1U) << "it is loaded there again";
  t.drop_all();
}

/// Lost so often that it would rest for eight seconds.
void rest(core_fixture& t, const std::string& node, std::uint64_t losses = 5) {
  t.join(node);
  t.advertise(cpu_spec(node));
  for (std::uint64_t life = 2; life < 2 + losses; ++life) {
    t.feed(node_lost{node_id{node}, t.life_of(node), true, "crashed"});
    t.drop_all();
    t.join(node, life);
    t.advertise(cpu_spec(node));
  }
  t.drop_all();
}

duration_us rest_of(core_fixture& t, const std::string& node) {
  for (const auto& one : t.view().nodes)
    if (one.node == node_id{node})
      return one.held_off_us;
  return -1;
}

TEST(Flapping, OneThatRestsIsBetterThanNobody) {
  core_fixture t;
  rest(t, "a");
  t.declare(story_spec());
  t.submit();
  t.take_all<queue_notice>();
  t.pass_time_renewing(limits::flap_patience_us - 1, {"a"});
  EXPECT_TRUE(t.take_all<reserve_allocation>().empty());
  EXPECT_GT(rest_of(t, "a"), 0);
  t.pass_time(1);
  EXPECT_TRUE(t.noted("a: takes work before its pause is over: nobody else serves storyteller"));
  EXPECT_EQ(rest_of(t, "a"), 0);
  t.take_all<queue_notice>();
  t.finish_load();
  EXPECT_EQ(t.take_all<grant_ticket>().size(), 1U);
  t.drop_all();
}

TEST(Flapping, NobodyIsCalledBackWhomNobodyWaitsFor) {
  core_fixture t;
  rest(t, "a");
  t.declare(kept_story());
  t.pass_time_renewing(limits::flap_patience_us + second, {"a"});
  EXPECT_GT(rest_of(t, "a"), 0);
  EXPECT_TRUE(t.take_all<reserve_allocation>().empty());
  t.drop_all();
}

TEST(Flapping, NobodyIsCalledBackWhileAnotherServesOrLoads) {
  core_fixture t;
  rest(t, "a");
  t.join("b");
  t.advertise(cpu_spec("b"));
  t.declare(story_spec());
  t.submit();
  t.pass_time_renewing(limits::flap_patience_us + second, {"a", "b"});
  EXPECT_GT(rest_of(t, "a"), 0) << "b loads it";
  t.take_all<queue_notice>();
  t.finish_load(1);
  t.start(t.expect<grant_ticket>());
  t.submit();
  t.take_all<queue_notice>();
  t.pass_time_renewing(second, {"a", "b"});
  EXPECT_GT(rest_of(t, "a"), 0) << "b serves, busy as it is";
  t.feed(node_lost{node_id{"b"}, t.life_of("b"), true, "crashed"});
  EXPECT_EQ(rest_of(t, "a"), 0) << "nobody is left";
  t.drop_all();
}

TEST(Flapping, OneAtATimeIsCalledBackTheLeastLostFirst) {
  core_fixture t;
  rest(t, "a", 6);
  rest(t, "b", 5);
  t.declare(story_spec());
  for (int i = 0; i < 12; ++i)
    t.submit();
  t.pass_time_renewing(limits::flap_patience_us + second, {"a", "b"});
  EXPECT_EQ(rest_of(t, "b"), 0);
  EXPECT_GT(rest_of(t, "a"), 0) << "b loads it now";
  t.take_all<queue_notice>();
  t.finish_load(8);
  EXPECT_EQ(t.take_all<grant_ticket>().size(), 8U / limits::ramp_share)
      << "whoever returns is not given all that waits at once";
  t.drop_all();
}

/// A stopped node was stopped by somebody who knows better.
TEST(Flapping, WhoIsCordonedIsNotCalledBack) {
  core_fixture t;
  rest(t, "a");
  t.declare(story_spec());
  t.feed(drain_changed{"a", true, "", 0, hold_kind::cordon});
  t.submit();
  t.pass_time_renewing(limits::flap_patience_us + second, {"a"});
  EXPECT_GT(rest_of(t, "a"), 0);
  t.drop_all();
}

// --- storms ---

TEST(RetryStorm, OfAWholeClusterEndsWithItsBudget) {
  core_fixture t;
  fleet_of(t, 4);
  const auto budget = limits::retry_credit_max_pm / limits::retry_cost_pm;
  std::uint32_t attempts = 0;
  std::uint32_t requests = 0;
  for (; requests < 400; ++requests) {
    t.submit();
    for (auto granted = t.take_all<grant_ticket>(); !granted.empty();
         granted = t.take_all<grant_ticket>())
      for (const auto& one : granted) {
        ++attempts;
        t.fail(one, recovery::retry_elsewhere, 0, false);
      }
    t.drop_all();
  }
  const auto retries = attempts - requests;
  EXPECT_LE(retries, budget + requests * limits::retry_credit_pm / limits::retry_cost_pm + 1)
      << "what was saved, and a fifth of what comes in";
  EXPECT_GT(retries, budget / 2);
}

/// Ten tokens a second, and an engine that took a request and says nothing.
bool given_up(bool streams, duration_us silence) {
  core_fixture t;
  t.join("local");
  auto slow = cpu_spec();
  slow.spec.decode_tokens_per_s = 10;
  slow.capability.runtime.streaming = streams;
  t.advertise(slow);
  t.declare(story_spec());
  t.drop_all();
  t.submit();
  t.take_all<queue_notice>();
  t.finish_load();
  const auto granted = t.take_all<grant_ticket>().at(0);
  t.start(granted);
  t.pass_time_renewing(silence);
  const bool ended = !t.take_all<revoke_attempt>().empty();
  t.drop_all();
  return ended;
}

TEST(FirstToken, OneThatNeverComesIsTheDevicesFault) {
  EXPECT_FALSE(given_up(true, limits::first_token_unknown_us - second));
  EXPECT_TRUE(given_up(true, limits::first_token_unknown_us + second));
}

TEST(FirstToken, AnAnswerThatComesWholeIsWaitedForAsAWhole) {
  EXPECT_FALSE(given_up(false, limits::first_token_unknown_us + second));
  EXPECT_TRUE(given_up(false, limits::stall_max_us + second)) << "not for ever";
}

} // namespace

} // namespace consort::core::testing
