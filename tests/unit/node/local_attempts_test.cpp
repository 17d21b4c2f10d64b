// SPDX-License-Identifier: Apache-2.0
#include "messages/ticket_seal.hpp"
#include "node/admission_limits.hpp"
#include "node/local_attempts.hpp"
#include "tests/unit/node/attempt_recorder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace consort::node::test {
namespace {

using ::testing::ElementsAre;

/// Keeps its attempts until a test says what happens to them.
class held_session final : public runtime_session {
public:
  void submit(const attempt_id& id, attempt_body, std::shared_ptr<attempt_sink> sink) override {
    const std::lock_guard lock(mutex_);
    sinks_[id] = std::move(sink);
  }
  void cancel(const attempt_id& id) override {
    const std::lock_guard lock(mutex_);
    cancelled_.push_back(id);
  }
  [[nodiscard]] session_stats stats() const override { return {}; }
  [[nodiscard]] runtime_capabilities capabilities() const override { return {}; }

  void say(const attempt_id& id, attempt_event event) {
    std::shared_ptr<attempt_sink> sink;
    {
      const std::lock_guard lock(mutex_);
      sink = sinks_.at(id);
      if (is_terminal(event))
        sinks_.erase(id);
    }
    sink->on_event(std::move(event));
  }
  std::vector<attempt_id> cancelled() {
    const std::lock_guard lock(mutex_);
    return cancelled_;
  }

private:
  std::mutex mutex_;
  std::map<attempt_id, std::shared_ptr<attempt_sink>> sinks_;
  std::vector<attempt_id> cancelled_;
};

struct LocalAttempts : ::testing::Test {
  LocalAttempts() {
    gate.set_key("key");
    gate.set_lease(incarnation(7), epoch(3), 1'000'000);
    service.attach(instance_id(5), session, npu);
  }

  ticket permit(std::uint64_t sequence) const {
    ticket made;
    made.attempt = attempt(sequence);
    made.instance = instance_id(5);
    made.device = npu;
    made.node = node_id("n");
    made.node_incarnation = incarnation(7);
    made.lease_epoch = epoch(3);
    made.expires_at = 1'000;
    return sealed(made);
  }
  static ticket sealed(ticket made) {
    made.mac = messages::seal(made, "key");
    return made;
  }
  std::string refusal(const ticket& shown) {
    auto refused = std::make_shared<attempt_recorder>();
    const auto stream = service.open(shown, {}, refused);
    EXPECT_NE(stream, nullptr);
    EXPECT_EQ(refused->terminals(), 1u);
    EXPECT_FALSE(refused->failure().device_fault);
    return refused->failure().failure.code;
  }

  const device_id npu{"n/npu0"};
  const device_spec counting = [this] {
    device_spec made;
    made.id = npu;
    made.spec.idle_mw = 5'000;
    return made;
  }();
  std::shared_ptr<held_session> session = std::make_shared<held_session>();
  std::shared_ptr<attempt_recorder> sink = std::make_shared<attempt_recorder>();
  ticket_gate gate;
  std::atomic<time_us> now = 100;
  std::atomic<time_us> steady = 100;
  local_attempt_service service{gate, [this] { return now.load(); },
                                [this] { return steady.load(); }};
};

TEST_F(LocalAttempts, TellsWhatAnAttemptDrewHoweverItEnds) {
  constexpr time_us second = 1'000'000;
  gate.set_lease(incarnation(7), epoch(3), 100 * second);
  service.attach(instance_id(5), session, npu, {npu});
  device_reading read;
  const auto meter = [&](time_us at, std::uint64_t energy_mj) {
    steady = at * second;
    read.energy_mj = energy_mj;
    service.charge(counting, read);
  };
  const auto begin = [&](std::uint64_t number, std::shared_ptr<attempt_recorder> to) {
    auto shown = permit(number);
    shown.expires_at = 100 * second;
    return service.open(sealed(shown), {}, std::move(to));
  };
  auto failed = std::make_shared<attempt_recorder>();
  meter(1, 1'000);
  EXPECT_EQ(read.charged_mj, std::nullopt);
  const auto first = begin(1, sink), second_one = begin(2, failed);
  auto left = begin(3, std::make_shared<attempt_recorder>());
  meter(3, 1'000 + 2 * 5'000 + 6'000);
  left.reset(); // Its client left: it draws until its engine has dropped it.
  meter(4, 1'000 + 3 * 5'000 + 9'000);
  session->say(attempt(3), attempt_aborted{{recovery::refuse, "cancelled", ""}, false});
  session->say(attempt(1), attempt_completed{});
  session->say(attempt(2), attempt_aborted{});
  EXPECT_EQ(std::get<attempt_completed>(sink->seen().back()).energy_mj, 3'000U);
  EXPECT_EQ(failed->failure().energy_mj, 3'000U);
  EXPECT_EQ(read.charged_mj, 9'000U) << "of which the third is the client's that left";
  EXPECT_EQ(read.idle_mj, 15'000U);
  auto repeated = std::make_shared<attempt_recorder>();
  begin(1, repeated);
  EXPECT_EQ(repeated->failure().energy_mj, 0U) << "it never reached the engine";
}

TEST_F(LocalAttempts, NobodyKnowsWhatAnAttemptDrewWithoutAMeter) {
  device_reading read;
  service.charge(counting, read);
  EXPECT_EQ(read, device_reading{});
  const auto stream = service.open(permit(1), {}, sink);
  session->say(attempt(1), attempt_completed{});
  EXPECT_EQ(std::get<attempt_completed>(sink->seen().back()).energy_mj, std::nullopt);
}

/// Goal: joules are shared by this process's own time. Method: the scheduler's goes an hour forward
/// while one attempt runs, as at a join, and back again while the next one does.
TEST_F(LocalAttempts, TheSchedulersClockMovesNoJoules) {
  constexpr time_us second = 1'000'000, hour = 3'600 * second;
  gate.set_lease(incarnation(7), epoch(3), 3 * hour);
  service.attach(instance_id(5), session, npu, {npu});
  device_reading read;
  std::uint64_t energy_mj = 0;
  const auto pass = [&](time_us scheduler_says, std::uint64_t drawn_mj) {
    now = scheduler_says;
    steady = steady + second;
    read.energy_mj = energy_mj += drawn_mj;
    service.charge(counting, read);
  };
  pass(hour, 1'000);
  std::uint64_t number = 0;
  for (const auto scheduler_says : {2 * hour, hour}) {
    auto shown = permit(++number);
    shown.expires_at = 3 * hour;
    auto ended = std::make_shared<attempt_recorder>();
    const auto stream = service.open(sealed(shown), {}, ended);
    pass(scheduler_says, 5'000 + 7'000);
    session->say(attempt(number), attempt_completed{});
    EXPECT_EQ(std::get<attempt_completed>(ended->seen().back()).energy_mj, 7'000U);
  }
  EXPECT_EQ(read.charged_mj, 14'000U);
  EXPECT_EQ(read.idle_mj, 10'000U);
}

TEST_F(LocalAttempts, WhatAPartitionOrAPlanCountsItselfIsNobodys) {
  auto part = counting, plan = counting;
  part.parent = device_id("n/gpu0");
  plan.stages.prefill = device_id("n/gpu0");
  plan.stages.decode = device_id("n/npu1");
  for (const auto& one : {part, plan}) {
    device_reading read;
    for (time_us second = 1; second < 4; ++second) {
      steady = second * 1'000'000;
      read.energy_mj = static_cast<std::uint64_t>(second) * 20'000;
      service.charge(one, read);
    }
    EXPECT_EQ(read.idle_mj, std::nullopt) << "else all that its attempts draw would be idle";
    EXPECT_EQ(read.charged_mj, std::nullopt);
  }
}

/// Goal: what was charged of a counter is never more than it says. Method: one that begins anew at
/// 0, as a device's actor does, while an attempt runs.
TEST_F(LocalAttempts, ACounterThatBeginsAnewIsChargedAnew) {
  constexpr time_us second = 1'000'000;
  gate.set_lease(incarnation(7), epoch(3), 100 * second);
  service.attach(instance_id(5), session, npu, {npu});
  device_reading read;
  const auto meter = [&](time_us at, std::uint64_t energy_mj) {
    steady = at * second;
    read = {};
    read.energy_mj = energy_mj;
    service.charge(counting, read);
  };
  meter(1, 0);
  meter(2, 60'000);
  EXPECT_EQ(read.idle_mj, 60'000U);
  auto shown = permit(1);
  shown.expires_at = 100 * second;
  const auto stream = service.open(sealed(shown), {}, sink);
  service.forget_charges(npu);
  meter(3, 0);
  meter(4, 9'000);
  EXPECT_EQ(read.idle_mj.value_or(0) + read.charged_mj.value_or(0), 9'000U);
  session->say(attempt(1), attempt_completed{});
  EXPECT_EQ(std::get<attempt_completed>(sink->seen().back()).energy_mj, std::nullopt);
}

TEST_F(LocalAttempts, RunsAnAdmittedAttemptAndListsItUntilItsEnd) {
  const auto stream = service.open(permit(1), {}, sink);
  EXPECT_THAT(service.running(npu), ElementsAre(attempt(1)));
  EXPECT_TRUE(service.running(device_id("n/npu1")).empty());
  session->say(attempt(1), attempt_opened{3, 0});
  session->say(attempt(1), attempt_completed{});
  EXPECT_EQ(sink->seen().size(), 2u);
  EXPECT_TRUE(service.running(npu).empty());
}

TEST_F(LocalAttempts, IsUnlistedBeforeItsEndIsSeen) {
  std::size_t running_at_end = 99;
  sink->reaction = [&] { running_at_end = service.running(npu).size(); };
  const auto stream = service.open(permit(1), {}, sink);
  session->say(attempt(1), attempt_completed{});
  EXPECT_EQ(running_at_end, 0u);
}

TEST_F(LocalAttempts, RefusalsComeThroughTheSink) {
  auto forged = permit(1);
  forged.mac = "0";
  EXPECT_EQ(refusal(forged), "ticket_forged");
  auto elsewhere = permit(2);
  elsewhere.device = device_id("n/npu1");
  EXPECT_EQ(refusal(sealed(elsewhere)), "ticket_wrong_device");
  auto unknown = permit(3);
  unknown.instance = instance_id(6);
  EXPECT_EQ(refusal(sealed(unknown)), "instance_unknown");
  now = 1'001;
  EXPECT_EQ(refusal(permit(4)), "ticket_expired");
}

TEST_F(LocalAttempts, ARepeatedTicketIsRefusedAndDoesNotDisturbTheFirst) {
  const auto stream = service.open(permit(1), {}, sink);
  EXPECT_EQ(refusal(permit(1)), "ticket_used");
  EXPECT_THAT(service.running(npu), ElementsAre(attempt(1)));
  EXPECT_TRUE(session->cancelled().empty());
  session->say(attempt(1), attempt_completed{});
  EXPECT_EQ(sink->terminals(), 1u);
}

TEST_F(LocalAttempts, ADetachedInstanceRefusesAndLetsItsSessionGo) {
  const auto stream = service.open(permit(1), {}, sink);
  const std::weak_ptr<runtime_session> gone = session;
  service.detach(instance_id(5));
  session.reset();
  EXPECT_TRUE(gone.expired());
  stream->cancel(); // nothing to cancel any more
  service.revoke(attempt(1));
  EXPECT_EQ(refusal(permit(2)), "instance_unknown");
}

TEST_F(LocalAttempts, AttachingAgainReplacesTheSession) {
  const auto newer = std::make_shared<held_session>();
  service.attach(instance_id(5), newer, npu);
  const auto stream = service.open(permit(1), {}, sink);
  newer->say(attempt(1), attempt_completed{});
  EXPECT_EQ(sink->terminals(), 1u);
}

TEST_F(LocalAttempts, CancelAndRevokeReachTheSessionAndTheEndIsDelivered) {
  const auto stream = service.open(permit(1), {}, sink);
  stream->cancel();
  service.revoke(attempt(1));
  service.revoke(attempt(9));
  EXPECT_THAT(session->cancelled(), ElementsAre(attempt(1), attempt(1)));
  session->say(attempt(1), attempt_aborted{{recovery::refuse, "cancelled", ""}, false});
  EXPECT_EQ(sink->failure().failure.code, "cancelled");
  stream->cancel();
  EXPECT_EQ(session->cancelled().size(), 2u) << "it is over";
}

TEST_F(LocalAttempts, DestroyingTheStreamCancelsAndSilencesButStaysListed) {
  auto stream = service.open(permit(1), {}, sink);
  session->say(attempt(1), attempt_opened{});
  stream.reset();
  EXPECT_THAT(session->cancelled(), ElementsAre(attempt(1)));
  EXPECT_THAT(service.running(npu), ElementsAre(attempt(1))) << "the engine still works on it";
  EXPECT_EQ(sink.use_count(), 1) << "the sink is let go at once";
  session->say(attempt(1), attempt_aborted{});
  EXPECT_EQ(sink->seen().size(), 1u);
  EXPECT_TRUE(service.running(npu).empty());
}

TEST_F(LocalAttempts, ASinkMayDestroyItsOwnStream) {
  std::unique_ptr<attempt_stream> stream;
  sink->reaction = [&] { stream.reset(); };
  stream = service.open(permit(1), {}, sink);
  session->say(attempt(1), attempt_opened{});
  session->say(attempt(1), attempt_tokens{});
  EXPECT_EQ(sink->seen().size(), 1u);
}

/// Goal: nothing is delivered once destruction returned, however the two race. Method: a sink that
/// notes deliveries after a flag that is set right after destruction.
TEST_F(LocalAttempts, DestructionWaitsForADeliveryInProgress) {
  for (std::uint64_t sequence = 1; sequence <= 300; ++sequence) {
    std::atomic<bool> destroyed = false, late = false;
    auto racing = std::make_shared<attempt_recorder>();
    racing->reaction = [&] { late = late || destroyed; };
    auto stream = service.open(permit(sequence), {}, racing);
    std::thread engine([&] {
      for (int token = 0; token < 20; ++token)
        session->say(attempt(sequence), attempt_tokens{});
      session->say(attempt(sequence), attempt_completed{});
    });
    racing->wait_count(1);
    stream.reset();
    destroyed = true;
    engine.join();
    ASSERT_FALSE(late);
  }
  EXPECT_TRUE(service.running(npu).empty());
}

TEST_F(LocalAttempts, RunsNoMoreThanANodeMay) {
  std::vector<std::unique_ptr<attempt_stream>> streams;
  for (std::uint64_t sequence = 1; sequence <= limits::attempts_running_max; ++sequence)
    streams.push_back(service.open(permit(sequence), {}, sink));
  EXPECT_EQ(sink->seen().size(), 0u);
  EXPECT_EQ(refusal(permit(999'999)), "node_full");
  session->say(attempt(1), attempt_completed{});
  const auto one_more = service.open(permit(1'000'000), {}, sink);
  EXPECT_EQ(sink->seen().size(), 1u);
}

TEST_F(LocalAttempts, StreamsMayOutliveTheService) {
  const auto still = [] { return time_us{100}; };
  auto own = std::make_unique<local_attempt_service>(gate, still, still);
  own->attach(instance_id(5), session, npu);
  const auto stream = own->open(permit(1), {}, sink);
  own.reset();
  session->say(attempt(1), attempt_completed{});
  EXPECT_EQ(sink->terminals(), 1u);
}

} // namespace
} // namespace consort::node::test
