// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The actors of one node, with a made-up plugin, against a probe that plays the scheduler.

#include "actors/limits.hpp"
#include "actors/node_actors.hpp"
#include "actors/spawn.hpp"
#include "scheduler/limits.hpp"
#include "scheduler/weights.hpp"
#include "tests/support/actor_fixture.hpp"
#include "tests/support/fake_plugin.hpp"
#include "tests/unit/node/temp_folder.hpp"
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <spdlog/sinks/ringbuffer_sink.h>
#include <spdlog/spdlog.h>
#include <thread>

namespace consort::actors {

inline constexpr std::string_view shipped_model
    = CONSORT_SOURCE_DIR "/models/storyteller-5m-f16.gguf";

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

} // namespace consort::actors
