// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A simulated node: an agent with its devices, engines, compiler and artifact store. It obeys the
/// core's commands and judges tickets as a production node does: incarnation, lease epoch, expiry,
/// single use, capacity of its own memory. Its store outlives its process; nothing else does.
/// Single-threaded.

#include "messages/codec.hpp"
#include "scenarios/models/engine.hpp"
#include "scenarios/sim/network.hpp"
#include "scenarios/sim/observer.hpp"

#include <deque>
#include <map>
#include <memory>
#include <set>

namespace consort::sim {

class node_model;

/// What a node shares with the rest of its run.
struct node_world {
  event_heap& heap;
  network& links;
  const observer_list& watchers;
  duration_us lease_us;
  std::function<node_model*(const node_id&)> find_node; ///< Null when there is none.
  const std::vector<scenario_model>& models;
  token_delivery delivery = token_delivery::each;
};

/// What is wrong with a node's compilers.
enum class compiler_trouble : std::uint8_t {
  none,
  fails,   ///< Worth another try.
  refuses, ///< The same every time.
  hangs,
};

class node_model : public network_peer {
public:
  node_model(node_world world, scenario_node description, address at, random_source chance);
  ~node_model() override;

  /// Starts a process under a new incarnation and says hello.
  void start();
  /// The process dies at once; its store stays.
  void kill();
  /// The process stands still: it neither hears nor speaks until resume().
  void pause();
  void resume();
  /// A fresh link to the scheduler: the same process says hello again and tells what it has.
  void reconnect();
  /// Its link to the scheduler is gone: nothing more is said before reconnect().
  void lose_link() { linked_ = false; }

  // --- faults (node_faults.cpp). Requires: `device` is one of its ids ---
  /// `hot` = it says so in its telemetry.
  void set_slowness(const device_id& device, double factor, bool hot);
  /// The runtimes on it die; with `again`, each later one does so on loading, until let_run().
  void crash(const device_id& device, bool again);
  void let_run(const device_id& device);
  /// Its memory is taken by somebody else, or given back.
  void exhaust(const device_id& device, bool full);
  /// A `share` of attempts is answered with HTTP `status` from now on; 0 = none.
  void set_storm(const device_id& device, std::uint32_t status, double share);
  void set_compilers(compiler_trouble trouble);
  /// All artifacts in its store rot; whoever looks finds out.
  void corrupt_store();
  /// Its idea of the scheduler's time is off by so much.
  void set_skew(duration_us by) { skew_us_ = by; }

  /// Nothing runs for anybody.
  [[nodiscard]] bool idle() const { return streams_.empty() && compiling_.empty(); }
  /// A copy of an artifact, as another node asks for it; nothing when there is no good one.
  [[nodiscard]] std::optional<artifact_record> hand_out(const digest& content);

  [[nodiscard]] bool running() const { return running_; }
  [[nodiscard]] bool paused() const { return paused_; }
  [[nodiscard]] const std::string& name() const { return description_.name; }

  void on_frame(address from, channel stream, const messages::frame& received) override;
  void on_parcel(address from, channel stream, const parcel& received) override;
  void on_closed(address from, channel stream) override;

private:
  struct device;
  struct instance;
  struct staged_work;

  // --- its process ---
  /// Later, when the process is not paused, unless it is another one by then: a timer of a dead or
  /// fenced process must not act in the name of its successor.
  template <class What>
  void after(duration_us delay, What what) {
    auto guarded = [this, process = process_, what = std::move(what)]() mutable {
      if (process == process_)
        what();
    };
    world_.heap.after(delay, [this, guarded = std::move(guarded)]() mutable {
      if (paused_)
        deferred_.emplace_back(std::move(guarded));
      else
        guarded();
    });
  }
  void drop_all_work();
  void say_hello();
  void advertise(bool returning);
  void renew_lease();
  void report_devices();
  void tell(core::event happened);

  // --- commands; one per kind that nodes get ---
  void obey(const core::command& wanted);
  void on(const core::grant_lease& granted);
  void on(const core::fence_node& fenced);
  void on(const core::reserve_allocation& wanted);
  void on(const core::release_allocation& released);
  void on(const core::load_replica& wanted);
  void on(const core::unload_replica& wanted);
  void on(const core::revoke_attempt& revoked);
  void on(const core::start_compile& wanted);
  void on(const core::cancel_compile& cancelled);
  void on(const core::fetch_artifact& wanted);
  void on(const core::delete_artifact& wanted);
  [[nodiscard]] std::optional<std::string> why_not(const allocation& grant) const;
  [[nodiscard]] engine::callbacks engine_calls(const device_id& leader);
  [[nodiscard]] device_model_ptr joined_devices(const allocation& grant) const;
  void finish_load(const core::load_replica& wanted, duration_us load_us);
  /// Its devices are awake until now, however long nobody asked them for anything.
  void keep_awake(const allocation& grant);
  void finish_compile(const core::start_compile& wanted, duration_us took_us);
  void count_builds(device& one);
  /// Returns: whether it was under way.
  bool end_build(compile_id which);
  void keep(const artifact_record& record);

  // --- attempts ---
  void open(channel stream, const ticket& permission, engine_sequence sequence);
  /// Notes that the ticket was used.
  void honour(const ticket& permission);
  [[nodiscard]] std::optional<error> refusal(const ticket& permission) const;
  /// Of a remote service's rate limits; counts the request against them if it passes.
  [[nodiscard]] std::optional<error> over_limit(const ticket& permission, std::uint64_t tokens);
  void send_event(channel stream, attempt_event happened);
  void abort_attempts(instance_id which, const error& why, bool device_fault);
  /// Returns: what it drew, as a node tells; nothing when that is unknown.
  std::optional<std::uint64_t> forget_attempt(const attempt_id& attempt);
  void tell_drawn(const attempt_id& attempt, std::optional<std::uint64_t> energy_mj) const;

  // --- plans (node_stages.cpp) ---
  /// The instance of the model on a device of this node that a stage names; none = 0.
  [[nodiscard]] instance_id stage_of(const instance& plan, const std::string& name) const;
  /// Whose engine takes the attempt's tokens in the end, whether its ticket is for a plan or not;
  /// null when a stage of a plan is not there.
  [[nodiscard]] engine* decodes_at(instance_id which);
  void begin_work(instance_id which, engine_sequence sequence);
  /// Returns: whether another engine goes on with it. `drawn_uj` on this one becomes what it drew
  /// on both.
  [[nodiscard]] bool hand_on(const engine_sequence& done, std::optional<std::uint64_t>& drawn_uj);
  /// Into the engine of an instance, and the books of its leader's meter.
  void add_to(instance& one, engine_sequence sequence);
  void arrive(const attempt_id& attempt);
  [[nodiscard]] std::vector<attempt_id> attempts_of(instance_id which) const;
  device& device_of(const device_id& id);
  [[nodiscard]] time_us own_time() const { return world_.heap.now() + skew_us_; }

  // --- faults ---
  void end_runtimes(const device_id& id, const char* code, const std::string& why);
  void give_up_compile(compile_id which, const char* why);
  [[nodiscard]] bool verify(const digest& content);
  [[nodiscard]] std::optional<attempt_aborted> stormed(const device& on);
  [[nodiscard]] static std::optional<std::int32_t> temperature_of(const device& one);
  [[nodiscard]] const scenario_model& model_of(const model_name& name) const;
  [[nodiscard]] core::device_reported report_of(device& one);

  node_world world_;
  scenario_node description_;
  address at_;
  random_source chance_;
  std::vector<device> devices_;
  std::map<digest, artifact_record> store_; ///< Survives the process.

  bool running_ = false;
  bool linked_ = true; ///< Nothing is said to a scheduler before hello.
  bool paused_ = false;
  std::uint64_t process_ = 0; ///< Counts processes and fences; timers of an earlier one are void.
  std::vector<inline_action> deferred_; ///< What a paused process has yet to notice.
  incarnation life_;
  bool greeted_ = false; ///< This life was given a lease.
  epoch lease_epoch_;
  time_us lease_until_ = 0;
  duration_us skew_us_ = 0;
  compiler_trouble compilers_ = compiler_trouble::none;
  std::set<digest> rotten_;
  std::set<compile_id> hanging_; ///< Of compiling_.
  std::uint64_t sequence_ = 0;
  std::map<allocation_id, allocation> allocations_;
  std::map<instance_id, instance> instances_;
  std::map<instance_id, allocation> loading_; ///< With what it is loaded on.
  std::map<attempt_id, channel> streams_;
  std::map<attempt_id, staged_work> staged_; ///< Those of plans, until they end.
  /// Used since then, ascending by expiry; what expired long ago is forgotten.
  std::deque<std::pair<time_us, attempt_id>> honoured_;
  std::set<compile_id> compiling_;
};

} // namespace consort::sim
