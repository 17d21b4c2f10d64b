// SPDX-License-Identifier: Apache-2.0
#include "actors/limits.hpp"
#include "actors/node_actors.hpp"
#include "actors/spawn.hpp"
#include "scheduler/limits.hpp"
#include "scheduler/weights.hpp"
#include "tests/support/actor_fixture.hpp"
#include "tests/support/fake_plugin.hpp"
#include "tests/unit/node/temp_folder.hpp"

#include <spdlog/sinks/ringbuffer_sink.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <thread>

namespace consort::actors {
namespace {

constexpr std::string_view shipped_model = CONSORT_SOURCE_DIR "/models/storyteller-5m-f16.gguf";

class NodeActors : public actor_fixture {
protected:
  explicit NodeActors(duration_us telemetry_every_us = node::limits::telemetry_every_us,
                      bool simulated = true, bool probe_fails = false, bool telemetry = false) {
    controls_->telemetry = telemetry;
    controls_->telemetry_every_us = telemetry_every_us;
    controls_->probe_fails = probe_fails;
    device_.type = resource_type::npu;
    device_.model = "fake-1";
    device_.uuid = "FAKE-0";
    device_.simulated = simulated;
    device_.memory_bytes = 1'000'000'000;
    profile_.name = "fake";
    profile_.target = "fake-1";
    device_.capability.build_profiles = {{profile_, {}}};
    auto cached = profile_;
    cached.name = "fake-cache";
    device_.capability.caches = {{cached, {"gguf"}, artifact_kind::cache, false}};
    node::agent_options options;
    options.name = node_id{"edge"};
    options.data_path = folder_.path();
    options.clock = [this] { return now_ + scheduler_ahead_; };
    options.steady = clock();
    std::vector<std::unique_ptr<node::plugin>> plugins;
    plugins.push_back(std::make_unique<node::fake_plugin>(controls_, device_, profile_));
    auto started = node::agent::start(io_, std::move(options), std::move(plugins));
    EXPECT_TRUE(started.ok());
    agent_ = std::move(*started);
    variant_ = *node::describe_gguf(std::string(shipped_model), agent_->digests());
  }

  void TearDown() override { stop_all(); }

  /// Starts the node's actors and answers their hello as a scheduler would.
  void join() {
    scheduler_end_ = probe(mail_);
    node_options options;
    options.agent = agent_.get();
    options.cluster = "test";
    options.life = incarnation{7};
    options.scheduler = scheduler_end_;
    options.own_threads = false;
    door_ = remember(spawn_state<door_state>(system_, std::move(options)));
    run();
    messages::hello_answer welcome;
    welcome.ticket_key = std::string(32, 'k');
    send(scheduler_end_, door_, scheduler_envelope(), welcome);
    order(core::grant_lease{node_id{"edge"}, incarnation{7}, epoch{1}, now_ + 3'000'000});
  }
  /// For what another thread has a part in; gives up in the end.
  void run_until(const std::function<bool()>& there) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    do {
      run();
      std::this_thread::yield();
    } while (!there() && std::chrono::steady_clock::now() < end);
  }
  void order(const core::command& wanted) {
    send(scheduler_end_, door_, scheduler_envelope(), wanted);
  }
  static messages::envelope scheduler_envelope() {
    messages::envelope from;
    from.kind = messages::sender_kind::scheduler;
    from.sender = "test";
    return from;
  }
  allocation grant(std::uint64_t bytes, std::uint64_t id = 1) {
    allocation wanted;
    wanted.id = allocation_id{id};
    wanted.fence = epoch{id};
    wanted.owner_instance = instance_id{id};
    wanted.shares = {device_share{device_id{"edge/npu0"}, false, bytes}};
    return wanted;
  }
  core::load_replica load(std::uint64_t id = 1) {
    core::load_replica wanted;
    wanted.node = node_id{"edge"};
    wanted.instance = instance_id{id};
    wanted.grant = grant(1'000, id);
    wanted.model = model_name{"story"};
    wanted.variant = variant_;
    return wanted;
  }
  core::start_compile compile(std::uint64_t id = 1) {
    core::start_compile wanted;
    wanted.node = node_id{"edge"};
    wanted.compile = compile_id{id};
    wanted.key = artifact_key{artifact_kind::engine_weights, variant_.content.value, profile_};
    wanted.model = model_name{"story"};
    wanted.source = variant_;
    return wanted;
  }
  device_reading last_reading() { return mail_.events_of<core::device_reported>().back().reading; }

  duration_us scheduler_ahead_ = 0; ///< Of this process's own clock.
  node::test::temp_folder folder_;
  boost::asio::io_context io_;
  std::shared_ptr<node::fake_controls> controls_ = std::make_shared<node::fake_controls>();
  device_spec device_;
  build_profile profile_;
  model_variant variant_;
  std::unique_ptr<node::agent> agent_;
  inbox& mail_ = open_inbox();
  caf::actor scheduler_end_;
  caf::actor door_;
};

TEST_F(NodeActors, SayHelloThenAdvertiseEverything) {
  join();
  ASSERT_EQ(mail_.hellos.size(), 1u);
  EXPECT_EQ(mail_.hellos[0].cluster, "test");
  const auto joined = mail_.events_of<core::node_joined>();
  ASSERT_EQ(joined.size(), 1u);
  EXPECT_EQ(joined[0].toolchains, (std::vector{profile_, core::weights_profile()}));
  const auto devices = mail_.events_of<core::device_advertised>();
  ASSERT_EQ(devices.size(), 1u);
  EXPECT_EQ(devices[0].spec.id.value, "edge/npu0");
  EXPECT_TRUE(devices[0].spec.simulated);
  EXPECT_TRUE(mail_.undecodable.empty());
}

TEST_F(NodeActors, RepeatTheHelloUntilItIsAnswered) {
  scheduler_end_ = probe(mail_);
  node_options options;
  options.agent = agent_.get();
  options.cluster = "test";
  options.life = incarnation{7};
  options.scheduler = scheduler_end_;
  options.own_threads = false;
  remember(spawn_state<door_state>(system_, std::move(options)));
  run();
  advance(core::limits::lease_us);
  EXPECT_GE(mail_.hellos.size(), 2u);
  EXPECT_TRUE(mail_.events.empty()) << "nothing is advertised to a scheduler that did not answer";
}

TEST_F(NodeActors, SayHelloAgainWhenTheyAreRefusedLater) {
  join();
  messages::hello_answer refused;
  refused.refusal = error{recovery::retry_later, "name_taken", "another agent has this name"};
  send(scheduler_end_, door_, scheduler_envelope(), refused);
  const auto events = mail_.events.size();
  advance(core::limits::lease_us);
  EXPECT_GE(mail_.hellos.size(), 2u);
  EXPECT_EQ(mail_.events.size(), events) << "it says nothing but hello";
}

/// A node that is fenced in the middle of a reload spawns its devices from what was known before.
TEST_F(NodeActors, ReadADeviceThatHasNoActorYet) {
  const std::map<device_id, caf::actor> none;
  const auto door = probe(mail_);
  remember(spawn_state<telemetry_state>(system_, agent_.get(), none, door));
  run();
  const auto before = controls_->reads;
  advance(limits::telemetry_every_us);
  EXPECT_GT(controls_->reads, before) << "its readings go on";
}

TEST_F(NodeActors, LogARefusalOnceUntilItIsAnother) {
  join();
  const auto lines = std::make_shared<spdlog::sinks::ringbuffer_sink_mt>(50);
  spdlog::default_logger()->sinks().push_back(lines);
  for (const auto* why : {"first", "first", "first", "second"}) {
    messages::hello_answer refused;
    refused.refusal = error{recovery::retry_later, "name_taken", why};
    send(scheduler_end_, door_, scheduler_envelope(), refused);
  }
  spdlog::default_logger()->sinks().pop_back();
  const auto said = lines->last_formatted();
  EXPECT_EQ(std::count_if(said.begin(), said.end(),
                          [](const std::string& line) {
                            return line.find("refused it") != std::string::npos;
                          }),
            2);
}

TEST_F(NodeActors, RenewTheLeaseSeveralTimesInIt) {
  join();
  const auto before = mail_.events_of<core::lease_renewed>().size();
  for (int i = 0; i < 30; ++i)
    advance(100'000);
  EXPECT_GE(mail_.events_of<core::lease_renewed>().size() - before, 2u);
}

TEST_F(NodeActors, RenewNoMoreOftenThanTheyMayHoweverShortTheLease) {
  join();
  order(core::grant_lease{node_id{"edge"}, incarnation{7}, epoch{1}, now_ + 3});
  advance(core::limits::lease_us); // The renewal that was due by the first lease.
  const auto before = mail_.events_of<core::lease_renewed>().size();
  for (duration_us passed = 0; passed < 4 * limits::renew_every_us_min; passed += 10'000)
    advance(10'000);
  EXPECT_LE(mail_.events_of<core::lease_renewed>().size() - before, 4u);
}

TEST_F(NodeActors, RefuseAReservationThatDoesNotFit) {
  join();
  core::reserve_allocation reserve{node_id{"edge"}, grant(2'000'000'000)};
  order(reserve);
  const auto refused = mail_.events_of<core::allocation_refused>();
  ASSERT_EQ(refused.size(), 1u);
  EXPECT_EQ(refused[0].reason.code, "device_memory_short");
  order(core::reserve_allocation{node_id{"edge"}, grant(1'000, 2)});
  EXPECT_EQ(mail_.events_of<core::allocation_reserved>().size(), 1u);
}

TEST_F(NodeActors, LoadAnInstanceAndTellItsCapacity) {
  join();
  order(load());
  ASSERT_EQ(controls_->runtime.openings.size(), 1u);
  EXPECT_EQ(controls_->runtime.openings[0].wanted.path, shipped_model);
  advance(5'000);
  controls_->runtime.openings[0].opened(
      std::shared_ptr<node::runtime_session>(std::make_shared<node::fake_session>()));
  run();
  const auto ready = mail_.events_of<core::replica_loaded>();
  ASSERT_EQ(ready.size(), 1u);
  EXPECT_EQ(ready[0].load_us, 5'000);
  EXPECT_EQ(ready[0].endpoints.at(0).sequences.value, 4u);
}

TEST_F(NodeActors, TellWhyALoadFailed) {
  join();
  order(load());
  controls_->runtime.openings.at(0).opened(error{recovery::refuse, "bad_model", "truncated"});
  run();
  const auto failed = mail_.events_of<core::replica_failed>();
  ASSERT_EQ(failed.size(), 1u);
  EXPECT_EQ(failed[0].failure.code, "bad_model");
}

TEST_F(NodeActors, RefuseWeightsOfAnotherDigest) {
  join();
  auto wanted = load();
  wanted.variant.content = digest{std::string(64, 'b')};
  order(wanted);
  EXPECT_TRUE(controls_->runtime.openings.empty()) << "the engine never sees it";
  ASSERT_EQ(mail_.events_of<core::replica_failed>().size(), 1u);
  EXPECT_EQ(mail_.events_of<core::replica_failed>()[0].failure.code, "model_changed");
}

TEST_F(NodeActors, ReportAnArtifactThatIsMissing) {
  join();
  auto wanted = load();
  artifact_record record;
  record.key = compile().key;
  record.content = digest{std::string(64, 'c')};
  record.node = node_id{"edge"};
  wanted.artifact = record;
  order(wanted);
  EXPECT_EQ(mail_.events_of<core::artifact_lost>().size(), 1u);
  EXPECT_EQ(mail_.events_of<core::replica_failed>().size(), 1u);
}

TEST_F(NodeActors, ReportAnInstanceThatDied) {
  join();
  order(load());
  controls_->runtime.openings.at(0).opened(
      std::shared_ptr<node::runtime_session>(std::make_shared<node::fake_session>()));
  run();
  controls_->runtime.openings.at(0).died(
      error{recovery::retry_elsewhere, "runtime_died", "signal 9"});
  run();
  ASSERT_EQ(mail_.events_of<core::replica_failed>().size(), 1u);
  EXPECT_EQ(mail_.events_of<core::replica_failed>()[0].failure.code, "runtime_died");
}

TEST_F(NodeActors, KeepWhatAServerCompiledAtItsStart) {
  controls_->runtime.cache_bytes = 1'000;
  join();
  order(load());
  ASSERT_EQ(controls_->runtime.openings.size(), 1u);
  auto& opening = controls_->runtime.openings[0];
  ASSERT_TRUE(std::filesystem::is_directory(opening.wanted.cache_path));
  std::ofstream(opening.wanted.cache_path + "/graph.bin") << "compiled";
  opening.opened(std::shared_ptr<node::runtime_session>(std::make_shared<node::fake_session>()));
  run();
  const auto found = mail_.events_of<core::artifact_found>();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].record.key.kind, artifact_kind::cache);
  EXPECT_EQ(found[0].record.key.binds, variant_.content.value);
  EXPECT_EQ(found[0].record.key.profile.name, "fake-cache");
  auto next = load(2);
  next.cache = found[0].record;
  order(next);
  ASSERT_EQ(controls_->runtime.openings.size(), 2u);
  const auto& path = controls_->runtime.openings[1].wanted.cache_path;
  EXPECT_EQ(node::test::read_file(path + "/graph.bin"), "compiled");
}

TEST_F(NodeActors, LoadWithTheAdaptersThatWereDeclared) {
  join();
  const auto path = folder_.path() + "/tales.gguf";
  std::ofstream(path) << "adapter";
  auto wanted = load();
  wanted.variant.adapters = {{model_name{"tales"}, path, *node::hash_file(path), 0}};
  order(wanted);
  ASSERT_EQ(controls_->runtime.openings.size(), 1u);
  EXPECT_EQ(controls_->runtime.openings[0].wanted.adapters.at(0).path, path);
  wanted = load(2);
  wanted.variant.adapters = {{model_name{"tales"}, path, digest{std::string(64, '0')}, 0}};
  order(wanted);
  ASSERT_EQ(mail_.events_of<core::replica_failed>().size(), 1u);
  EXPECT_EQ(mail_.events_of<core::replica_failed>()[0].failure.code, "model_changed");
}

TEST_F(NodeActors, UnloadEndsTheSession) {
  join();
  order(load());
  auto session = std::make_shared<node::fake_session>();
  const std::weak_ptr<node::fake_session> watched = session;
  controls_->runtime.openings.at(0).opened(std::shared_ptr<node::runtime_session>(session));
  session.reset();
  run();
  EXPECT_FALSE(watched.expired());
  order(core::unload_replica{node_id{"edge"}, instance_id{1}, "idle"});
  EXPECT_EQ(mail_.events_of<core::replica_unloaded>().size(), 1u);
  EXPECT_TRUE(watched.expired());
}

TEST_F(NodeActors, AnswerForAnUnknownDevice) {
  join();
  auto wanted = load();
  wanted.grant.shares[0].device = device_id{"edge/npu9"};
  order(wanted);
  ASSERT_EQ(mail_.events_of<core::replica_failed>().size(), 1u);
  EXPECT_EQ(mail_.events_of<core::replica_failed>()[0].failure.code, "device_unknown");
}

TEST_F(NodeActors, CompileAndPutTheArtifactIntoTheStore) {
  join();
  order(compile());
  ASSERT_EQ(controls_->compiles.size(), 1u);
  controls_->compiles[0].progress(420);
  run();
  EXPECT_EQ(mail_.events_of<core::compile_progressed>().at(0).done_pm, 420u);
  std::ofstream(controls_->compiles[0].wanted.output_path) << "engine";
  controls_->compiles[0].finished(node::compile_outcome{{{"kl_mean", "0.01"}}, 1'000});
  run_until([this] { return !mail_.events_of<core::compile_finished>().empty(); });
  const auto finished = mail_.events_of<core::compile_finished>();
  ASSERT_EQ(finished.size(), 1u);
  EXPECT_EQ(finished[0].record.key, compile().key);
  EXPECT_EQ(agent_->store().list().size(), 1u);
  EXPECT_EQ(controls_->killed, 1) << "the compile actor ended";
}

TEST_F(NodeActors, PassOnWhyACompileFailed) {
  join();
  order(compile());
  controls_->compiles.at(0).finished(error{recovery::refuse, "compiler_refused", "no such op"});
  run();
  ASSERT_EQ(mail_.events_of<core::compile_failed>().size(), 1u);
  EXPECT_EQ(mail_.events_of<core::compile_failed>()[0].failure.action, recovery::refuse);
}

TEST_F(NodeActors, KillTheToolOfACancelledCompile) {
  join();
  order(compile());
  order(core::cancel_compile{node_id{"edge"}, compile_id{1}});
  EXPECT_EQ(controls_->killed, 1);
  EXPECT_TRUE(agent_->store().list().empty());
}

TEST_F(NodeActors, RunNoMoreCompilesAtOnceThanTheLimit) {
  join();
  for (std::uint64_t id = 1; id <= limits::compiles_max + 1; ++id)
    order(compile(id));
  EXPECT_EQ(controls_->compiles.size(), limits::compiles_max);
  ASSERT_EQ(mail_.events_of<core::compile_failed>().size(), 1u);
  EXPECT_EQ(mail_.events_of<core::compile_failed>()[0].failure.action, recovery::retry_later);
}

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

TEST_F(NodeActors, StartOverUnderANewLifeWhenFenced) {
  join();
  order(core::reserve_allocation{node_id{"edge"}, grant(900'000'000)});
  order(load());
  auto session = std::make_shared<node::fake_session>();
  const std::weak_ptr<node::fake_session> watched = session;
  controls_->runtime.openings.at(0).opened(std::shared_ptr<node::runtime_session>(session));
  session.reset();
  run();
  order(core::fence_node{node_id{"edge"}, incarnation{7}, "lease expired"});
  EXPECT_TRUE(watched.expired()) << "work of the old life is dropped";
  EXPECT_EQ(mail_.hellos.size(), 2u);
  send(scheduler_end_, door_, scheduler_envelope(), messages::hello_answer{});
  const auto joined = mail_.events_of<core::node_joined>();
  ASSERT_EQ(joined.size(), 2u);
  EXPECT_NE(joined[1].life, incarnation{7});
  order(core::reserve_allocation{node_id{"edge"}, grant(900'000'000, 2)});
  EXPECT_EQ(mail_.events_of<core::allocation_reserved>().size(), 2u) << "the ledger was emptied";
}

/// The folder changes while the first look goes on, so whoever asks then is told of another.
TEST_F(NodeActors, TellWhoAskedWhatAReloadChanged) {
  join();
  const auto wish = [&](std::uint64_t number) {
    messages::query wanted;
    wanted.number = number;
    wanted.reload = messages::node_wish{{}, gateway_id{3}};
    auto encoded = to_frame(scheduler_envelope(), wanted);
    ASSERT_TRUE(encoded.ok());
    post_as(scheduler_end_, door_, std::move(*encoded));
  };
  wish(1);
  wish(2);
  post_as(scheduler_end_, door_, reload_wanted{}); // SIGHUP: tells nobody.
  run();
  ASSERT_EQ(mail_.views.size(), 2u);
  for (std::uint64_t at = 0; at < 2; ++at) {
    EXPECT_EQ(mail_.views[at].number, at + 1);
    EXPECT_EQ(mail_.views[at].gateway, gateway_id{3});
    ASSERT_EQ(mail_.views[at].reloads.size(), 1u);
    EXPECT_TRUE(mail_.views[at].reloads[0].answered);
    EXPECT_EQ(mail_.views[at].reloads[0].node, node_id{"edge"});
  }
  wish(3);
  run();
  EXPECT_EQ(mail_.views.size(), 3u) << "and again";
}

/// From what is known: a tool that hangs must not keep anybody from seeing what the others found.
TEST_F(NodeActors, ListTheirPluginsWithoutAskingThem) {
  join();
  controls_->probe_fails = true;
  const auto probes = controls_->probes;
  messages::query wanted;
  wanted.number = 6;
  wanted.plugins = messages::node_wish{{}, gateway_id{3}};
  send(scheduler_end_, door_, scheduler_envelope(), wanted);
  ASSERT_EQ(mail_.views.size(), 1u);
  EXPECT_EQ(mail_.views[0].number, 6u);
  EXPECT_EQ(mail_.views[0].gateway, gateway_id{3});
  ASSERT_EQ(mail_.views[0].plugins.size(), 1u);
  const auto& listed = mail_.views[0].plugins[0];
  EXPECT_EQ(listed.node, node_id{"edge"});
  EXPECT_TRUE(listed.answered);
  const auto fake = std::find_if(listed.plugins.begin(), listed.plugins.end(),
                                 [](const auto& one) { return one.name == "fake"; });
  ASSERT_NE(fake, listed.plugins.end());
  EXPECT_TRUE(fake->available);
  EXPECT_EQ(fake->origin, "test");
  EXPECT_EQ(fake->devices, std::vector<std::string>{"edge/npu0"});
  EXPECT_EQ(controls_->probes, probes);
}

TEST_F(NodeActors, HoldNoMoreWhoWaitForAReloadThanTheLimit) {
  join();
  messages::query wanted;
  wanted.reload = messages::node_wish{{}, gateway_id{3}};
  for (std::size_t i = 0; i <= limits::reloads_waiting_max; ++i) {
    wanted.number = i;
    post_as(scheduler_end_, door_, std::move(*to_frame(scheduler_envelope(), wanted)));
  }
  run();
  // The first began one; the others wait for the next.
  EXPECT_EQ(mail_.views.size(), limits::reloads_waiting_max + 1);
  mail_.views.clear();
  for (std::size_t i = 0; i < limits::reloads_waiting_max + 2; ++i)
    post_as(scheduler_end_, door_, std::move(*to_frame(scheduler_envelope(), wanted)));
  run();
  EXPECT_EQ(mail_.views.size(), limits::reloads_waiting_max + 1) << "one hears nothing";
}

TEST_F(NodeActors, IgnoreAFenceMeantForAnotherLife) {
  join();
  order(core::fence_node{node_id{"edge"}, incarnation{6}, "stale"});
  EXPECT_EQ(mail_.hellos.size(), 1u);
}

} // namespace
} // namespace consort::actors
