// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The actors of one host: a door per link to the scheduler, an actor per physical device, one per
/// running compile, and one that reads telemetry. All use the node::agent, which outlives them.
/// They translate between the scheduler's commands and the agent's calls; what to place, retry or
/// build is decided elsewhere.

#include "actors/interfaces.hpp"
#include "actors/wire.hpp"
#include "node/agent.hpp"
#include "node/artifact_fetch.hpp"
#include "node/device_meter.hpp"
#include "node/use_watch.hpp"

#include <caf/all.hpp>

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>

namespace consort::actors {

struct node_options {
  node::agent* agent = nullptr;
  std::string cluster;
  std::string join_token;   ///< Empty inside one process.
  incarnation life;         ///< Random, never 0.
  caf::actor scheduler;     ///< The scheduler itself, or the uplink that stands for it.
  std::string data_address; ///< Where others reach the data port; empty inside one process.
  /// Pulls artifacts from other nodes; null inside one process. Outlives the actors.
  node::artifact_fetcher* fetcher = nullptr;
  /// Told the scheduler's clock at every welcome; empty where both share one clock.
  std::function<void(time_us)> on_scheduler_time;
  bool own_threads
      = true; ///< Device, compile and telemetry actors block; tests run them on the test scheduler.
};

/// A fresh random incarnation, never 0.
[[nodiscard]] incarnation random_incarnation();

/// Speaks for the node on its link: says hello, renews the lease, advertises, holds the ledger, and
/// hands commands to the device and compile actors that they concern.
class door_state {
public:
  static inline const char* name = "node-door";

  door_state(caf::event_based_actor* self, node_options options);
  ~door_state();
  caf::behavior make_behavior();

private:
  void receive(const frame& incoming);
  void welcomed(const messages::hello_answer& answer, incarnation scheduler_life);
  void say_hello();
  void renew();
  void advertise();
  void leave(const leave_wanted& wanted);
  void tell_leaving(bool gone);
  void forget_old_grants();
  void relay(const device_news& news);
  void hold(const core::event& happened);
  void report(const core::event& happened);
  void spawn_workers();
  void spawn_device(const device_spec& device);
  void spawn_telemetry();
  void stop_workers();
  void want_reload(const messages::query* by);
  void retry_probes();
  void apply(const node::inventory_change& change);
  void end_builds_of_nobody();
  void tell_reloaded(const node::inventory_change& change);
  void tell_plugins(const messages::query& by);
  void answer_query(const frame& incoming);

  void carry_out(const core::grant_lease& lease);
  void carry_out(const core::fence_node& fence);
  void carry_out(const core::reserve_allocation& reserve);
  void carry_out(const core::release_allocation& release);
  void carry_out(const core::load_replica& load);
  void carry_out(const core::unload_replica& unload);
  void carry_out(const core::revoke_attempt& revoke);
  void carry_out(const core::start_compile& start);
  void carry_out(const core::cancel_compile& cancel);
  void carry_out(const core::fetch_artifact& fetch);
  void carry_out(const core::delete_artifact& remove);
  /// Commands for gateways never come here.
  template <class Other>
  void carry_out(const Other&) {}
  void order_device(const device_id& device, const core::command& what);

  /// The device whose actor runs an instance here, or our rank of it, and on what grant.
  struct hosted_instance {
    device_id device;
    allocation_id allocation;
  };

  caf::event_based_actor* self_;
  node_options options_;
  messages::envelope own_;
  bool greeted_ = false;
  bool greeted_before_ = false; ///< In this incarnation, by any scheduler.
  bool leaving_ = false;        ///< The process stops.
  bool gone_ = false;           ///< It said goodbye, and says nothing more.
  std::string refused_;         ///< What the log said of it last; empty = welcome since.
  duration_us renew_every_us_;
  incarnation scheduler_life_; ///< That welcomed it last.
  std::map<device_id, caf::actor> devices_;
  std::map<instance_id, hosted_instance> hosted_;
  std::map<allocation_id, epoch> grants_; ///< Held in the ledger, by fence.
  std::deque<core::event> ends_held_;     ///< Ends that happened while no link was open.
  struct running_build {
    caf::actor worker;
    build_profile by;
  };
  std::map<compile_id, running_build> compiles_;
  caf::actor telemetry_;
  bool reloading_ = false;
  bool reload_again_ = false; ///< Asked for while one was going on, which may have looked already.
  time_us reload_began_ = 0;
  std::vector<messages::query> reload_for_;  ///< Who waits for this one.
  std::vector<messages::query> reload_next_; ///< And for the one after it.
  duration_us probe_retry_us_;
  bool probe_retry_set_ = false;
};

/// One physical device: loads and unloads instances on it and reports what runs.
class device_state {
public:
  static inline const char* name = "device";

  /// `disk`: what blocks on the disk is done by the agent's threads; else at once, as tests want.
  device_state(caf::event_based_actor* self, node::agent* agent, device_spec device,
               incarnation life, caf::actor door, bool disk);
  ~device_state();
  caf::behavior make_behavior();

private:
  void obey(const core::command& what);
  void tell_inventory();
  void load(const core::load_replica& wanted);
  [[nodiscard]] std::optional<artifact_key> cache_key_of(const core::load_replica& wanted) const;
  void prepared(const load_prepared& ready);
  [[nodiscard]] node::session_request request_for(const core::load_replica& wanted,
                                                  const node::prepared_load& found) const;
  void keep_cache(const std::shared_ptr<node::server_cache>& cache);
  void on_disk(std::function<void()> work);
  void opened(const session_opened& outcome);
  void died(const session_died& death);
  void drop(const artifact_record& artifact, const std::string& why);
  void unload(instance_id instance);
  void unload_all();
  void stop_loading(instance_id instance);
  void describe(const device_spec& now);
  [[nodiscard]] std::set<instance_id> open_instances() const;
  void expose();
  void sample(const device_sample& read);
  [[nodiscard]] std::string missed_stage() const;
  void judge(device_reading& reading, bool known);
  void count_into(device_reading& reading);
  void tell(core::event happened);

  struct loaded {
    core::load_replica order;
    std::shared_ptr<node::runtime> runtime;         ///< Outlives its session.
    std::shared_ptr<node::runtime_session> session; ///< Null while loading.
    std::vector<node::artifact_pin> pins;
    std::shared_ptr<node::server_cache> cache; ///< What its server compiles; null = not kept.
    time_us began_at = 0;
    bool opening = false; ///< The runtime was asked.
    bool untold = false;  ///< Was still loading when the inventory was told.
  };
  [[nodiscard]] core::replica_found inventory_of(instance_id instance, const loaded& what) const;

  caf::event_based_actor* self_;
  node::agent* agent_;
  device_spec device_;
  incarnation life_;
  caf::actor door_;
  const bool disk_;
  std::map<instance_id, loaded> instances_;
  node::device_meter meter_;
  bool counts_energy_ = false; ///< The device itself told a counter once.
  node::use_watch use_;
  std::map<const node::runtime*, error> unused_by_; ///< Engines that do not use the device.
  std::optional<time_us> metered_at_;
  /// Its health and the reason for it, as read last, and as the log said last.
  std::pair<device_health, std::string> read_, logged_;
};

/// One build: starts the compiler and passes on how it goes. Ends with it; stopping it kills the
/// tool.
class compile_state {
public:
  static inline const char* name = "compile";

  compile_state(caf::event_based_actor* self, node::agent* agent, core::start_compile order,
                incarnation life, caf::actor door);
  caf::behavior make_behavior();

private:
  void finished(const result<artifact_record>& outcome);

  caf::event_based_actor* self_;
  node::agent* agent_;
  core::start_compile order_;
  incarnation life_;
  caf::actor door_;
  std::unique_ptr<node::running_compile> running_;
};

/// Reads every plugin's devices as often as the plugin asks for, and hands each device its reading;
/// the last one again where a plugin is asked seldom, since what runs is reported with it. Also
/// looks at the plugin folders again when told to, since that blocks as readings do.
class telemetry_state {
public:
  static inline const char* name = "telemetry";

  telemetry_state(caf::event_based_actor* self, node::agent* agent,
                  std::map<device_id, caf::actor> devices, caf::actor door);
  caf::behavior make_behavior();

private:
  /// What one plugin said last.
  struct asked {
    std::map<device_id, device_reading> readings;
    std::optional<time_us> next_at; ///< Nothing before the first.
    std::uint32_t failed = 0;       ///< Readings in a row; logged once.
  };

  void sample(std::size_t plugin);
  static device_sample sample_of(const node::plugin_status& plugin, const asked& last,
                                 const device_id& device, bool due);
  void ask(const node::plugin_status& plugin, asked& last);
  void reload();

  caf::event_based_actor* self_;
  node::agent* agent_;
  std::map<device_id, caf::actor> devices_;
  caf::actor door_;
  std::vector<node::plugin_status> plugins_;
  std::map<std::size_t, asked> asked_;
};

} // namespace consort::actors
