// SPDX-License-Identifier: Apache-2.0
// Contended models: who is served when, between tenants and classes, who makes room for whom, and
// what those hear who are turned away.
#include "tests/support/core_fixture.hpp"

namespace consort::core::testing {

namespace {

/// Its replica takes `sequences` at once; its backlog holds one more.
void loaded(core_fixture& t, const load_replica& load, std::uint64_t sequences, bool cancels) {
  capacity_vector capacity;
  capacity.sequences.value = sequences;
  capacity.kv_tokens.value = 1'000'000;
  runtime_capabilities runtime;
  runtime.resume = resume_support::tokens;
  runtime.cancel = cancels;
  t.feed(replica_loaded{load.instance, t.life_of("local"), {capacity}, runtime, second / 10});
}

/// One CPU with such a replica.
void one_device(core_fixture& t, std::uint64_t sequences, bool cancels = true) {
  t.join("local");
  t.advertise(cpu_spec());
  auto model = story_spec();
  model.replicas_min = 1;
  t.declare(model);
  t.grant_next_allocation();
  loaded(t, t.expect<load_replica>(), sequences, cancels);
}

request_meta from(core_fixture& t, const std::string& tenant,
                  priority_class priority = priority_class::standard) {
  auto meta = t.request();
  meta.tenant = tenant_id{tenant};
  meta.priority = priority;
  return meta;
}

void finish_with(core_fixture& t, const grant_ticket& granted, std::uint32_t prompt,
                 std::uint32_t completion) {
  attempt_measurement measured;
  measured.usage = {prompt, completion, 0};
  measured.first_token_us = 5'000;
  measured.total_us = 55'000;
  t.feed(attempt_finished{granted.granted.attempt, measured});
}

/// Ends the oldest of those that run. Returns: whose it was.
std::uint64_t serve_next(core_fixture& t, std::deque<grant_ticket>& running) {
  for (const auto& one : t.take_all<grant_ticket>())
    running.push_back(one);
  const auto next = running.front();
  running.pop_front();
  t.finish(next);
  t.take_all<record_request>();
  return next.granted.attempt.request.sequence;
}

TEST(Fairness, ByTokensAndNotByRequests) {
  auto config = core_fixture::quiet();
  config.tenant_weights["heavy"] = 3;
  core_fixture t(config);
  one_device(t, 1);
  std::map<request_id, std::string> owner;
  for (int i = 0; i < 400; ++i)
    for (const std::string tenant : {"heavy", "light"}) {
      const auto meta = from(t, tenant);
      owner[meta.id] = tenant;
      t.submit(meta);
    }
  t.take_all<queue_notice>();
  std::map<std::string, std::int64_t> used;
  std::deque<grant_ticket> running;
  for (int served = 0; served < 200; ++served) {
    for (const auto& one : t.take_all<grant_ticket>())
      running.push_back(one);
    const auto next = running.front();
    running.pop_front();
    const auto tenant = owner.at(next.granted.attempt.request);
    // What one tenant's requests really take is four times what the other's do.
    const std::uint32_t completion = tenant == "light" ? 700 : 100;
    finish_with(t, next, 100, completion);
    used[tenant] += 100 + completion;
    t.take_all<record_request>();
    if (served > 20) {
      // One request of each, and those under way.
      EXPECT_LE(std::abs(used["heavy"] / 3 - used["light"]), 3 * 800);
    }
  }
  EXPECT_NEAR(static_cast<double>(used["heavy"]) / static_cast<double>(used["light"]), 3.0, 0.3);
  t.drop_all();
}

TEST(Fairness, ALateTenantIsServedAtOnceAndNotAlone) {
  core_fixture t;
  one_device(t, 1);
  for (int i = 0; i < 20; ++i)
    t.submit(from(t, "early"));
  t.take_all<queue_notice>();
  const auto late = from(t, "late");
  t.submit(late);
  const auto later = from(t, "late");
  t.submit(later);
  t.take_all<queue_notice>();
  std::deque<grant_ticket> running;
  std::vector<std::uint64_t> order;
  for (int i = 0; i < 8; ++i)
    order.push_back(serve_next(t, running));
  const auto at = [&](std::uint64_t sequence) {
    return std::find(order.begin(), order.end(), sequence) - order.begin();
  };
  EXPECT_LE(at(late.id.sequence), 3) << "behind those under way and one of the other's";
  EXPECT_GE(at(later.id.sequence), at(late.id.sequence) + 2) << "the other has its turn between";
  EXPECT_LT(at(later.id.sequence), 8);
  t.drop_all();
}

TEST(Fairness, BatchIsServedUnderASteadyStreamOfInteractiveWork) {
  core_fixture t;
  one_device(t, 1);
  std::deque<grant_ticket> running;
  for (int i = 0; i < 3; ++i)
    t.submit(from(t, "", priority_class::interactive));
  const auto batch = from(t, "", priority_class::batch);
  t.submit(batch);
  std::uint32_t grants = 0;
  std::uint32_t after_aging = 0;
  for (bool served = false; !served && grants < 500; ++grants) {
    t.submit(from(t, "", priority_class::interactive));
    t.pass_time_renewing(second / 10);
    after_aging += t.now() > limits::starvation_us + 1 ? 1 : 0;
    t.take_all<queue_notice>();
    served = serve_next(t, running) == batch.id.sequence;
  }
  EXPECT_LE(after_aging, 2 * limits::aged_every) << "of those submitted since, few went before it";
  EXPECT_GT(t.now(), limits::starvation_us) << "not before it aged";
  t.drop_all();
}

/// The oldest of all waits for an accelerator that has nothing built; its turn goes to the next.
TEST(Fairness, WhoCanBeServedAgesBesideSomebodyWhoCannot) {
  core_fixture t;
  one_device(t, 1);
  t.join("other", 2, {refnpu_profile()});
  t.advertise(npu_spec("other"));
  auto elsewhere = from(t, "", priority_class::batch);
  elsewhere.selector = "npu";
  t.submit(elsewhere);
  std::deque<grant_ticket> running;
  for (int i = 0; i < 3; ++i)
    t.submit(from(t, "", priority_class::interactive));
  const auto waits = from(t, "");
  t.submit(waits);
  std::uint32_t after_aging = 0;
  bool served = false;
  for (int grants = 0; !served && grants < 500; ++grants) {
    t.submit(from(t, "", priority_class::interactive));
    t.pass_time_renewing(second / 10);
    after_aging += t.now() > limits::starvation_us + 1 ? 1 : 0;
    t.take_all<queue_notice>();
    served = serve_next(t, running) == waits.id.sequence;
  }
  EXPECT_TRUE(served);
  EXPECT_LE(after_aging, 2 * limits::aged_every);
  t.drop_all();
}

/// Those whose engine died keep their age: of four grants one is of the oldest, and theirs come
/// before that of who came later and never had an attempt.
TEST(Fairness, WhoHadAnAttemptHasItsTurnsByAgeToo) {
  core_fixture t;
  one_device(t, 4);
  std::vector<std::uint64_t> old;
  for (int i = 0; i < 4; ++i)
    old.push_back(t.submit(from(t, "")).sequence);
  for (const auto& one : t.take_all<grant_ticket>())
    t.start(one);
  t.feed(replica_failed{t.view().replicas.at(0).instance,
                        t.life_of("local"),
                        {recovery::retry_elsewhere, "runtime_died", "it exited with 3"}});
  EXPECT_EQ(t.take_all<drop_attempt>().size(), old.size());
  old.push_back(t.submit(from(t, "")).sequence);
  t.pass_time_renewing(second);
  t.take_all<queue_notice>();
  t.take_all<release_allocation>();
  t.grant_next_allocation();
  const auto load = t.expect<load_replica>();
  t.pass_time_renewing(limits::starvation_us + second);
  for (int i = 0; i < 40; ++i)
    t.submit(from(t, "", priority_class::interactive));
  t.take_all<queue_notice>();
  loaded(t, load, 1, true);
  std::deque<grant_ticket> running;
  std::vector<std::uint64_t> turns;
  for (std::size_t served = 0; served < old.size() * limits::aged_every; ++served) {
    const auto whose = serve_next(t, running);
    if (whose <= old.back())
      turns.push_back(whose);
    EXPECT_GE(turns.size(), (served + 1) / limits::aged_every) << "one of four at least";
    t.take_all<queue_notice>();
  }
  EXPECT_EQ(turns, old);
  t.drop_all();
}

// --- preemption ---

/// A long answer of batch work under way, the only one that its device takes.
grant_ticket long_batch(core_fixture& t) {
  auto bulk = from(t, "", priority_class::batch);
  bulk.max_tokens = 4'000;
  t.submit(bulk);
  const auto running = t.expect<grant_ticket>();
  t.start(running);
  t.progress(running, 40);
  return running;
}

TEST(Preemption, BatchMakesRoomAndGoesOnLater) {
  core_fixture t;
  one_device(t, 1);
  const auto running = long_batch(t);
  const auto urgent = t.submit(from(t, "", priority_class::interactive));
  EXPECT_EQ(t.expect<revoke_attempt>().attempt, running.granted.attempt);
  EXPECT_EQ(t.expect<drop_attempt>().attempt, running.granted.attempt);
  const auto first = t.expect<grant_ticket>();
  EXPECT_EQ(first.granted.attempt.request, urgent);
  EXPECT_EQ(t.view().counters.preemptions, 1U);
  // Its engine's backlog takes it again; there it goes on where it was.
  const auto again = t.expect<grant_ticket>();
  EXPECT_EQ(again.granted.attempt.request, running.granted.attempt.request);
  EXPECT_TRUE(again.resumed);
  EXPECT_TRUE(again.exact);
}

/// The news was under way when it was told to make room.
TEST(Preemption, WhatHadAllOfItsAnswerIsOverAndNotServedAgain) {
  core_fixture t;
  one_device(t, 1);
  const auto running = long_batch(t);
  t.submit(from(t, "", priority_class::interactive));
  EXPECT_EQ(t.expect<revoke_attempt>().attempt, running.granted.attempt);
  t.drop_all();
  t.feed(attempt_finished{running.granted.attempt, {}});
  EXPECT_EQ(t.view().counters.finished, 1U);
  EXPECT_EQ(t.view().requests.size(), 1U);
  t.drop_all();
}

TEST(Preemption, LeastWorkIsLost) {
  core_fixture t;
  one_device(t, 2);
  std::vector<grant_ticket> running;
  for (int i = 0; i < 2; ++i) {
    auto bulk = from(t, "", priority_class::batch);
    bulk.max_tokens = 4'000;
    t.submit(bulk);
    running.push_back(t.expect<grant_ticket>());
    t.start(running.back());
  }
  t.progress(running[0], 10);
  t.progress(running[1], 300);
  t.submit(from(t, "", priority_class::interactive));
  EXPECT_EQ(t.expect<revoke_attempt>().attempt, running[0].granted.attempt);
  t.drop_all();
}

TEST(Preemption, NobodyElseIsStoppedAndNothingThatWouldBeLost) {
  for (const bool resumable : {true, false}) {
    core_fixture t;
    one_device(t, 1, resumable);
    auto bulk = from(t, "", resumable ? priority_class::standard : priority_class::batch);
    bulk.resumable = resumable;
    bulk.max_tokens = 4'000;
    t.submit(bulk);
    const auto running = t.expect<grant_ticket>();
    t.start(running);
    t.progress(running, 40);
    t.submit(from(t, "", priority_class::interactive));
    t.submit(from(t, "", priority_class::interactive));
    EXPECT_TRUE(t.take_all<revoke_attempt>().empty());
    EXPECT_EQ(t.view().counters.preemptions, 0U);
    t.drop_all();
  }
}

TEST(Preemption, ARuntimeThatCannotCancelIsLeftAlone) {
  core_fixture t;
  one_device(t, 1, false);
  auto bulk = from(t, "", priority_class::batch);
  bulk.max_tokens = 4'000;
  t.submit(bulk);
  t.start(t.expect<grant_ticket>());
  t.submit(from(t, "", priority_class::interactive));
  EXPECT_TRUE(t.take_all<revoke_attempt>().empty());
  t.drop_all();
}

TEST(Preemption, AShortWaitStopsNobody) {
  for (const std::uint32_t tokens : {4U, 200U}) {
    core_fixture t;
    one_device(t, 1);
    auto bulk = from(t, "", priority_class::batch);
    bulk.prompt_tokens = 1;
    bulk.max_tokens = tokens; // 10 ms each.
    t.submit(bulk);
    t.start(t.expect<grant_ticket>());
    t.submit(from(t, "", priority_class::interactive));
    EXPECT_EQ(t.take_all<revoke_attempt>().size(), tokens == 4 ? 0U : 1U)
        << limits::preempt_wait_us_min;
    t.drop_all();
  }
}

/// It was granted before every class for its age, which it keeps where its gateway was away.
TEST(Preemption, WhoWaitedTooLongMakesNoRoomThoughItsGatewayWasAwayMeanwhile) {
  core_fixture t;
  t.join("local");
  t.declare(story_spec());
  auto bulk = from(t, "", priority_class::batch);
  bulk.max_tokens = 4'000;
  t.submit(bulk);
  t.pass_time_renewing(limits::starvation_us);
  t.feed(gateway_lost{bulk.id.gateway});
  t.feed(request_restored{bulk, 0, 0, {}});
  t.feed(gateway_restored{bulk.id.gateway});
  t.pass_time_renewing(second);
  t.take_all<queue_notice>();
  t.advertise(cpu_spec());
  t.take_all<queue_notice>();
  t.grant_next_allocation();
  loaded(t, t.expect<load_replica>(), 1, true);
  t.take_all<queue_notice>();
  const auto running = t.expect<grant_ticket>();
  t.start(running);
  t.progress(running, 40);
  t.submit(from(t, "", priority_class::interactive));
  EXPECT_TRUE(t.take_all<revoke_attempt>().empty());
  EXPECT_EQ(t.view().counters.preemptions, 0U);
  t.drop_all();
}

TEST(Preemption, OfOneRequestIsBounded) {
  core_fixture t;
  one_device(t, 1);
  auto bulk = from(t, "", priority_class::batch);
  bulk.max_tokens = 4'000;
  t.submit(bulk);
  std::uint32_t stopped = 0;
  for (std::uint32_t i = 1; i < 3 * limits::preemptions_max; ++i) {
    auto granted = t.take_all<grant_ticket>();
    for (const auto& one : granted) {
      t.start(one);
      if (one.granted.attempt.request != bulk.id) {
        t.finish(one);
        continue;
      }
      t.progress(one, 10 * i);
    }
    t.submit(from(t, "", priority_class::interactive));
    stopped += static_cast<std::uint32_t>(t.take_all<revoke_attempt>().size());
  }
  EXPECT_EQ(stopped, limits::preemptions_max);
  EXPECT_EQ(t.view().counters.preemptions, limits::preemptions_max);
  t.drop_all();
}

/// Whom one stopped and for whom another was stopped; what the winner scored is what its terms say,
/// without the queue that is no more.
TEST(Preemption, BothSidesAreToldOfIt) {
  core_fixture t;
  one_device(t, 1);
  long_batch(t);
  const auto urgent = from(t, "", priority_class::interactive);
  t.submit(urgent);
  const auto told = t.tested().explain(urgent.external_id, t.now());
  ASSERT_TRUE(told && told->decisions.size() == 1);
  EXPECT_EQ(told->decisions[0].reason,
            "stopped 1 batch request on local/cpu0 to begin at once, to go on later: r1");
  ASSERT_EQ(told->decisions[0].candidates.size(), 1U);
  const auto& winner = told->decisions[0].candidates[0];
  std::int64_t sum = 0;
  for (const auto& term : winner.terms) {
    sum += term.value;
    EXPECT_NE(term.name, "queue");
  }
  EXPECT_NEAR(static_cast<double>(sum), static_cast<double>(winner.score), 10);
  const auto stopped = t.tested().explain("r1", t.now());
  ASSERT_TRUE(stopped && stopped->decisions.size() == 3);
  EXPECT_EQ(stopped->decisions[1].outcome, "preempted");
  EXPECT_EQ(stopped->decisions[1].attempt, 0U);
  EXPECT_EQ(stopped->decisions[1].reason,
            "attempt 1 on local/cpu0 was stopped for request r2, which is interactive and would "
            "have waited; it goes on later");
  EXPECT_EQ(stopped->decisions[2].attempt, 2U);
  t.drop_all();
}

TEST(Preemption, IsNoRetry) {
  core_fixture t;
  one_device(t, 1);
  const auto running = long_batch(t);
  t.submit(from(t, "", priority_class::interactive));
  const auto granted = t.take_all<grant_ticket>();
  ASSERT_EQ(granted.size(), 2U);
  EXPECT_EQ(granted[1].granted.attempt, (attempt_id{running.granted.attempt.request, 2}));
  EXPECT_EQ(t.view().counters.preemptions, 1U);
  EXPECT_EQ(t.view().counters.retries, 0U);
  t.drop_all();
}

TEST(Preemption, OfManySomeAreNamed) {
  constexpr auto count = 2 * limits::preempted_told_max;
  core_fixture t;
  one_device(t, count);
  for (std::size_t each = 0; each < count; ++each) {
    auto bulk = from(t, "", priority_class::batch);
    bulk.max_tokens = 4'000;
    t.submit(bulk);
  }
  ASSERT_EQ(t.take_all<grant_ticket>().size(), count);
  auto urgent = from(t, "", priority_class::interactive);
  urgent.choices = count;
  t.submit(urgent);
  EXPECT_EQ(t.take_all<revoke_attempt>().size(), count);
  const auto told = t.tested().explain(urgent.external_id, t.now());
  ASSERT_TRUE(told && told->decisions.size() == 1);
  const auto& words = told->decisions[0].reason;
  EXPECT_TRUE(
      words.ends_with("and " + std::to_string(count - limits::preempted_told_max) + " more"))
      << words;
  EXPECT_EQ(static_cast<std::size_t>(std::count(words.begin(), words.end(), ',')),
            limits::preempted_told_max)
      << "one of them before `to go on later`";
  t.drop_all();
}

// --- back-pressure ---

TEST(BackPressure, RetryAfterIsWhenTheQueueWillHaveDrained) {
  auto config = core_fixture::quiet();
  config.queue_max = 20;
  core_fixture t(config);
  one_device(t, 1);
  std::deque<grant_ticket> running;
  for (int i = 0; i < 22; ++i)
    t.submit(from(t, ""));
  // One ends every two seconds, and another takes its place.
  for (int i = 0; i < 12; ++i) {
    t.pass_time_renewing(2 * second);
    serve_next(t, running);
    t.submit(from(t, ""));
  }
  t.drop_all();
  t.submit(from(t, ""));
  const auto refused = t.expect<reject_request>();
  EXPECT_EQ(refused.http_status, 429);
  EXPECT_EQ(refused.reason.code, "queue_full");
  ASSERT_TRUE(refused.retry_after_us);
  EXPECT_GE(*refused.retry_after_us, 21 * 2 * second * 8 / 10);
  EXPECT_LE(*refused.retry_after_us, 21 * 2 * second * 12 / 10);
  t.drop_all();
}

/// Who would be turned away at once is told so, as the request itself is, and not when it would
/// start; whoever has a place kept for it is not.
TEST(BackPressure, ADryRunIsTurnedAwayAsTheRequestWouldBe) {
  auto config = core_fixture::quiet();
  config.queue_max = 20;
  core_fixture t(config);
  one_device(t, 1);
  for (int i = 0; i < 22; ++i)
    t.submit(from(t, "flood"));
  t.drop_all();
  const auto before = t.tested().digest();
  const auto dry
      = [&](const char* tenant) { return *t.tested().explain(from(t, tenant), t.now()); };
  const auto kept = dry("flood");
  EXPECT_EQ(kept.http_status, 429);
  EXPECT_EQ(kept.decisions.at(0).outcome, "rejected");
  EXPECT_TRUE(kept.retry_after_us);
  EXPECT_FALSE(kept.starts_in_us);
  EXPECT_EQ(dry("other").http_status, 0);
  EXPECT_TRUE(dry("other").starts_in_us);
  EXPECT_EQ(t.tested().digest(), before);
  t.submit(from(t, "flood"));
  const auto refused = t.take_all<reject_request>().at(0);
  EXPECT_EQ(refused.http_status, kept.http_status);
  EXPECT_EQ(refused.retry_after_us, kept.retry_after_us);
  EXPECT_EQ(refused.reason.message, kept.decisions[0].reason);
  t.submit(from(t, "other"));
  EXPECT_TRUE(t.take_all<reject_request>().empty());
  EXPECT_EQ(dry("third").http_status, 429);
  EXPECT_EQ(dry("third").decisions.at(0).reason, "20 requests are waiting: the queue is full");
  t.drop_all();
}

TEST(BackPressure, OneTenantCannotFillTheQueue) {
  auto config = core_fixture::quiet();
  config.queue_max = 32;
  core_fixture t(config);
  one_device(t, 1);
  for (int i = 0; i < 40; ++i)
    t.submit(from(t, "flood"));
  EXPECT_EQ(t.view().queue_depth, 32U - 32U / limits::queue_reserve_share);
  EXPECT_NE(t.take_all<reject_request>().back().reason.message.find("kept for others"),
            std::string::npos);
  t.submit(from(t, "other"));
  EXPECT_TRUE(t.take_all<reject_request>().empty());
  t.submit(from(t, "third"));
  EXPECT_TRUE(t.take_all<reject_request>().empty());
  t.submit(from(t, "fourth"));
  EXPECT_EQ(t.take_all<reject_request>().size(), 1U) << "every place is taken";
  t.drop_all();
}

TEST(Tenants, MoreThanAreRememberedShareARow) {
  core_fixture t;
  t.declare(story_spec());
  t.join("local");
  for (std::size_t i = 0; i < limits::tenants_max + 10; ++i)
    t.submit(from(t, "t" + std::to_string(i)));
  EXPECT_EQ(t.view().queue_depth, limits::tenants_max + 10);
  t.drop_all();
}

} // namespace

} // namespace consort::core::testing
