// SPDX-License-Identifier: Apache-2.0
// What the actors of a node read of devices, count and report.
#include "tests/actors/node_actors_fixture.hpp"

namespace consort::actors {
namespace {

TEST_F(NodeActors, ReportReadingsAndWhatRuns) {
  controls_->reading.power_mw = 12'000;
  join();
  advance(limits::telemetry_every_us);
  const auto reports = mail_.events_of<core::device_reported>();
  ASSERT_FALSE(reports.empty());
  EXPECT_EQ(reports.back().device.value, "edge/npu0");
  EXPECT_EQ(reports.back().reading.power_mw, 12'000u);
}

class SlowProbe : public NodeActors {
protected:
  SlowProbe() : NodeActors(node::limits::telemetry_every_us, true, true) {}
};

TEST_F(SlowProbe, IsTriedAgainEverLaterUntilItAnswers) {
  join();
  EXPECT_TRUE(mail_.events_of<core::device_advertised>().empty());
  EXPECT_EQ(controls_->probes, 1);
  advance(limits::probe_retry_us_min);
  EXPECT_EQ(controls_->probes, 2);
  advance(limits::probe_retry_us_min);
  EXPECT_EQ(controls_->probes, 2) << "twice as long the second time";
  controls_->probe_fails = false;
  advance(limits::probe_retry_us_min);
  EXPECT_EQ(controls_->probes, 3);
  ASSERT_EQ(mail_.events_of<core::device_advertised>().size(), 1u);
  for (int i = 0; i < 8; ++i)
    advance(limits::probe_retry_us_min);
  EXPECT_EQ(controls_->probes, 3) << "what answers is left alone";
}

TEST_F(SlowProbe, IsAskedNoLessOftenThanTheLimit) {
  join();
  duration_us spent = 0;
  while (spent < 4 * limits::probe_retry_us_max) {
    advance(limits::probe_retry_us_min);
    spent += limits::probe_retry_us_min;
  }
  const auto before = controls_->probes;
  for (duration_us more = 0; more < limits::probe_retry_us_max; more += limits::probe_retry_us_min)
    advance(limits::probe_retry_us_min);
  EXPECT_EQ(controls_->probes, before + 1);
}

class SlowTelemetry : public NodeActors {
protected:
  SlowTelemetry() : NodeActors(3 * limits::telemetry_every_us) {}
};

TEST_F(SlowTelemetry, IsAskedAsSeldomAsThePluginWantsAndReportedMeanwhile) {
  controls_->reading.power_mw = 12'000;
  join();
  EXPECT_EQ(controls_->reads, 1);
  for (int i = 0; i < 2; ++i)
    advance(limits::telemetry_every_us);
  EXPECT_EQ(controls_->reads, 1);
  const auto reports = mail_.events_of<core::device_reported>();
  EXPECT_EQ(reports.size(), 2u) << "what runs is told all the same";
  EXPECT_EQ(reports.back().reading.power_mw, 12'000u);
  advance(limits::telemetry_every_us);
  EXPECT_EQ(controls_->reads, 2);
}

class QuickTelemetry : public NodeActors {
protected:
  QuickTelemetry() : NodeActors(1) {}
};

TEST_F(QuickTelemetry, IsBoundedWhateverThePluginWants) {
  join();
  const auto before = controls_->reads;
  for (int i = 0; i < 4; ++i)
    advance(limits::telemetry_every_us_min);
  EXPECT_EQ(controls_->reads - before, 4);
}

TEST_F(NodeActors, ReportWhatTheEnginesDidAfterTheyAreGone) {
  controls_->reading.power_mw = 12'000;
  join();
  order(load());
  const auto session = std::make_shared<node::fake_session>();
  session->tokens = 40;
  controls_->runtime.openings.at(0).opened(std::shared_ptr<node::runtime_session>(session));
  advance(limits::telemetry_every_us);
  order(core::unload_replica{node_id{"edge"}, instance_id{1}, "idle"});
  advance(limits::telemetry_every_us);
  const auto last = mail_.events_of<core::device_reported>().back().reading;
  ASSERT_TRUE(last.engine);
  EXPECT_EQ(last.engine->tokens, 40u);
  EXPECT_EQ(last.energy_mj, 12u * limits::telemetry_every_us / 1'000 * 2) << "12 W, two rounds";
  EXPECT_EQ(last.idle_mj, last.energy_mj) << "no attempt ran";
  EXPECT_EQ(last.charged_mj, 0u);
}

TEST_F(NodeActors, DoNotPutACounterOfTheirOwnInThePlaceOfTheDevices) {
  controls_->reading.power_mw = 12'000;
  controls_->reading.energy_mj = 5'000'000;
  join();
  advance(limits::telemetry_every_us);
  EXPECT_EQ(mail_.events_of<core::device_reported>().back().reading.energy_mj, 5'000'000u);
  controls_->reading.energy_mj.reset(); // A tool that fails once.
  advance(limits::telemetry_every_us);
  EXPECT_EQ(mail_.events_of<core::device_reported>().back().reading.energy_mj, std::nullopt);
}

/// Goal: nothing is measured on the scheduler's axis. Method: it jumps by an hour between readings,
/// as at a join, and back as when the scheduler was started anew.
TEST_F(NodeActors, MeasureByAClockThatNoSchedulerMoves) {
  controls_->reading.power_mw = 60'000;
  join();
  const auto reads = controls_->reads;
  int rounds = 0;
  for (const duration_us ahead : {3'600, 0, -3'600, 0}) {
    scheduler_ahead_ = ahead * 1'000'000;
    advance(limits::telemetry_every_us);
    ++rounds;
    EXPECT_EQ(controls_->reads, reads + rounds) << "its devices are read as ever";
    const auto now = last_reading();
    const auto drawn = 60u * limits::telemetry_every_us / 1'000 * static_cast<unsigned>(rounds);
    EXPECT_EQ(now.energy_mj, drawn);
    EXPECT_EQ(now.idle_mj, drawn) << "nobody ran";
  }
}

TEST_F(NodeActors, CountNoEnergyWhilePowerIsNotReadAndLearnNothingOfIt) {
  controls_->reading.power_mw = 60'000;
  join();
  advance(limits::telemetry_every_us);
  const auto round = last_reading().energy_mj.value();
  for (const std::optional<std::uint64_t> unread : {std::optional<std::uint64_t>(), {0}}) {
    controls_->reading.power_mw = unread;
    for (int i = 0; i < 5; ++i)
      advance(limits::telemetry_every_us);
    EXPECT_EQ(last_reading().energy_mj, std::nullopt);
  }
  controls_->reading.power_mw = 60'000;
  advance(limits::telemetry_every_us);
  EXPECT_EQ(last_reading().energy_mj, 2 * round);
  EXPECT_EQ(last_reading().idle_mj, 2 * round);
}

TEST_F(NodeActors, ChargeNoMoreThanTheMeterSaysThatBeganAnew) {
  controls_->reading.power_mw = 60'000;
  join();
  for (int i = 0; i < 5; ++i)
    advance(limits::telemetry_every_us);
  order(core::fence_node{node_id{"edge"}, incarnation{7}, "lease expired"});
  messages::hello_answer welcome;
  welcome.ticket_key = std::string(32, 'k');
  send(scheduler_end_, door_, scheduler_envelope(), welcome);
  advance(limits::telemetry_every_us);
  const auto now = last_reading();
  EXPECT_EQ(now.energy_mj, 60u * limits::telemetry_every_us / 1'000);
  EXPECT_EQ(now.idle_mj.value_or(0) + now.charged_mj.value_or(0), now.energy_mj);
}

class RealDevice : public NodeActors {
protected:
  RealDevice() : NodeActors(node::limits::telemetry_every_us, false) {}

  /// A session whose engine generates for so many readings.
  void generate(int readings) {
    const auto session = std::make_shared<node::fake_session>();
    controls_->runtime.openings.back().opened(std::shared_ptr<node::runtime_session>(session));
    session->running = 1;
    for (int i = 0; i < readings; ++i) {
      session->tokens += 100;
      advance(limits::telemetry_every_us);
    }
  }
};

TEST_F(RealDevice, AnEngineThatDoesNotUseItIsEndedNamedAndNotTriedAgain) {
  controls_->reading.utilization_pm = 0;
  controls_->reading.power_mw = 75'000;
  join();
  order(load());
  generate(8);
  auto failed = mail_.events_of<core::replica_failed>();
  ASSERT_EQ(failed.size(), 1u);
  EXPECT_EQ(failed[0].failure.code, "device_unused");
  EXPECT_NE(failed[0].failure.message.find("edge/npu0"), std::string::npos);
  EXPECT_EQ(mail_.events_of<core::device_reported>().back().reading.health,
            device_health::degraded);
  order(load(2));
  run();
  failed = mail_.events_of<core::replica_failed>();
  ASSERT_EQ(failed.size(), 2u);
  EXPECT_EQ(failed[1].failure.code, "device_unused");
  EXPECT_EQ(controls_->runtime.openings.size(), 1u);
}

TEST_F(RealDevice, AStageThatIsGivenUpDegradesIt) {
  controls_->reading.utilization_pm = 400;
  join();
  order(load());
  const auto session = std::make_shared<node::fake_session>();
  controls_->runtime.openings.back().opened(std::shared_ptr<node::runtime_session>(session));
  session->stage_missed = "prefill server h:1 not reached: answers come without it (refused)";
  advance(limits::telemetry_every_us);
  EXPECT_EQ(last_reading().health, device_health::degraded);
  EXPECT_EQ(last_reading().health_reason, session->stage_missed);
  session->stage_missed.clear();
  advance(limits::telemetry_every_us);
  EXPECT_EQ(last_reading().health, device_health::healthy);
}

TEST_F(RealDevice, AnEngineThatUsesItIsLeftAlone) {
  controls_->reading.utilization_pm = 400;
  join();
  order(load());
  generate(8);
  EXPECT_TRUE(mail_.events_of<core::replica_failed>().empty());
}

TEST_F(NodeActors, ReadingsOfWhatIsSimulatedProveNothing) {
  controls_->reading.utilization_pm = 0;
  join();
  order(load());
  const auto session = std::make_shared<node::fake_session>();
  controls_->runtime.openings.back().opened(std::shared_ptr<node::runtime_session>(session));
  session->running = 1;
  for (int i = 0; i < 8; ++i) {
    session->tokens += 100;
    advance(limits::telemetry_every_us);
  }
  EXPECT_TRUE(mail_.events_of<core::replica_failed>().empty());
}

TEST_F(NodeActors, ReportDevicesWhoseReadingsFailAsUnknown) {
  controls_->reading_fails = true;
  join();
  advance(limits::telemetry_every_us);
  const auto reports = mail_.events_of<core::device_reported>();
  ASSERT_FALSE(reports.empty());
  EXPECT_FALSE(reports.back().reading.power_mw);
}

TEST_F(NodeActors, DevicesWhoseReadingsFailTimeAndAgainAreDegraded) {
  controls_->reading_fails = true;
  join();
  advance(limits::telemetry_every_us);
  const auto health
      = [&] { return mail_.events_of<core::device_reported>().back().reading.health; };
  for (int more = 2 * static_cast<int>(limits::readings_failed_max);
       more > 0 && health() != device_health::degraded; --more) {
    EXPECT_LT(controls_->reads, static_cast<int>(limits::readings_failed_max)) << "not yet told";
    advance(limits::telemetry_every_us);
  }
  EXPECT_EQ(health(), device_health::degraded);
  EXPECT_GE(controls_->reads, static_cast<int>(limits::readings_failed_max));
  controls_->reading_fails = false;
  advance(limits::telemetry_every_us);
  EXPECT_EQ(health(), device_health::healthy);
}

class ReadDevices : public NodeActors {
protected:
  ReadDevices() : NodeActors(node::limits::telemetry_every_us, true, false, true) {}
};

TEST_F(ReadDevices, AreWellAgainOnlyOnceAReadingSaysSo) {
  controls_->reading_fails = true;
  join();
  advance(limits::telemetry_every_us);
  const auto last = [&] { return mail_.events_of<core::device_reported>().back().reading; };
  for (int more = 2 * static_cast<int>(limits::readings_failed_max);
       more > 0 && last().health != device_health::degraded; --more)
    advance(limits::telemetry_every_us);
  EXPECT_NE(last().health_reason.find("in a row: the tool hung"), std::string::npos)
      << last().health_reason;
  const auto reports = mail_.events_of<core::device_reported>().size();
  post_as(scheduler_end_, door_, reload_wanted{});
  advance(limits::telemetry_every_us);
  const auto since = mail_.events_of<core::device_reported>();
  ASSERT_GT(since.size(), reports);
  for (auto at = reports; at < since.size(); ++at)
    EXPECT_EQ(since[at].reading.health, device_health::degraded) << "nothing was read";
  controls_->reading_fails = false;
  advance(limits::telemetry_every_us);
  EXPECT_EQ(last().health, device_health::healthy);
  EXPECT_EQ(last().health_reason, "");
}

TEST_F(ReadDevices, SendNoMoreOfAReasonThanTheWireTakes) {
  controls_->reading.health = device_health::degraded;
  controls_->reading.health_reason
      = "\xff hot\n" + std::string(2 * limits::health_reason_bytes_max, 'x');
  join();
  advance(limits::telemetry_every_us);
  const auto reports = mail_.events_of<core::device_reported>();
  ASSERT_FALSE(reports.empty());
  const auto& said = reports.back().reading.health_reason;
  EXPECT_EQ(said.substr(0, 7), "? hot?x");
  EXPECT_EQ(said.size(), limits::health_reason_bytes_max);
}

} // namespace
} // namespace consort::actors
