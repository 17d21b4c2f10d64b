// SPDX-License-Identifier: Apache-2.0
// What the actors of a node do for its scheduler: hello, leases, loads, builds, fences, reloads.
#include "actors/link_actors.hpp"
#include "tests/actors/node_actors_fixture.hpp"

namespace consort::actors {
namespace {

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

/// Whose name is misspelt would be as dear as its plugin says.
TEST_F(NodeActors, PricesOfPluginsThatAreNotThereAreWarnedOfAndOthersNot) {
  const auto lines = std::make_shared<spdlog::sinks::ringbuffer_sink_mt>(50);
  spdlog::default_logger()->sinks().push_back(lines);
  const node::test::temp_folder other;
  node::agent_options options;
  options.name = node_id{"priced"};
  options.data_path = other.path();
  options.clock = options.steady = clock();
  options.prices = {{"fake", {}}, {"fkae", {}}};
  std::vector<std::unique_ptr<node::plugin>> plugins;
  plugins.push_back(std::make_unique<node::fake_plugin>(controls_, device_, profile_));
  EXPECT_TRUE(node::agent::start(io_, std::move(options), std::move(plugins)).ok());
  spdlog::default_logger()->sinks().pop_back();
  std::string said;
  for (const auto& line : lines->last_formatted())
    said += line;
  EXPECT_NE(said.find("prices of the plugin fkae"), std::string::npos) << said;
  EXPECT_EQ(said.find("prices of the plugin fake"), std::string::npos) << said;
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

TEST_F(NodeActors, SayThatTheyLeaveThenGoodbyeAndNothingMore) {
  join();
  const auto leave = [this](bool gone) {
    post_from_outside(door_, leave_wanted{gone, nullptr});
    run();
  };
  leave(false);
  auto said = mail_.events_of<core::node_lost>();
  ASSERT_EQ(said.size(), 1u);
  EXPECT_EQ(said[0].node.value, "edge");
  EXPECT_EQ(said[0].life, incarnation{7});
  EXPECT_TRUE(said[0].leaving);
  EXPECT_FALSE(said[0].process_ended);
  advance(core::limits::lease_us);
  EXPECT_FALSE(mail_.events_of<core::lease_renewed>().empty()) << "what runs goes on";
  leave(true);
  said = mail_.events_of<core::node_lost>();
  ASSERT_EQ(said.size(), 2u);
  EXPECT_TRUE(said[1].leaving);
  EXPECT_TRUE(said[1].process_ended);
  const auto events = mail_.events.size();
  const auto hellos = mail_.hellos.size();
  leave(true);
  order(core::fence_node{node_id{"edge"}, incarnation{7}, "its lease ended"});
  advance(core::limits::lease_us);
  EXPECT_EQ(mail_.events.size(), events);
  EXPECT_EQ(mail_.hellos.size(), hellos) << "it would be taken in again";
}

TEST_F(NodeActors, SayAgainThatTheyLeaveOnAFreshLink) {
  join();
  post_from_outside(door_, leave_wanted{false, nullptr});
  post_from_outside(door_, link_restored{});
  run();
  messages::hello_answer welcome;
  welcome.ticket_key = std::string(32, 'k');
  send(scheduler_end_, door_, scheduler_envelope(), welcome);
  EXPECT_EQ(mail_.events_of<core::node_lost>().size(), 2u);
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

/// Who waits for a device of this node would have its engine built anew, were it told of later.
TEST_F(NodeActors, TellOfTheirArtifactsBeforeTheDevicesThatLoadThem) {
  join();
  order(compile());
  std::ofstream(controls_->compiles.at(0).wanted.output_path) << "engine";
  controls_->compiles[0].finished(node::compile_outcome{{}, 1'000});
  run_until([this] { return !mail_.events_of<core::compile_finished>().empty(); });
  mail_.events.clear();
  messages::hello_answer welcome; // Of another scheduler, which knows nothing of this node.
  welcome.ticket_key = std::string(32, 'k');
  auto other = scheduler_envelope();
  other.life = incarnation{99};
  send(scheduler_end_, door_, other, welcome);
  const auto& told = mail_.events;
  const auto artifact = std::find_if(told.begin(), told.end(), [](const auto& one) {
    return std::holds_alternative<core::artifact_found>(one);
  });
  const auto device = std::find_if(told.begin(), told.end(), [](const auto& one) {
    return std::holds_alternative<core::device_advertised>(one);
  });
  EXPECT_LT(artifact, device);
  EXPECT_NE(device, told.end());
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
