// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The devices of a simulated node and what is loaded on them: the simulator's engines
/// (scenarios/models/engine.hpp), run by a paced_queue. It says the same as a node of the simulator
/// does (scenarios/sim/node_model.cpp), so that a rehearsal in real time and one in virtual time
/// differ in what lies around the devices alone. Pure: no clock, no thread; its owner, the
/// simulated_runtime, calls it from one thread at a time and tells the time.

#include "node/plugin.hpp"
#include "node/simulated/paced_queue.hpp"
#include "node/simulated/troubles.hpp"
#include "scenarios/models/device_model.hpp"
#include "scenarios/models/engine.hpp"

#include <map>
#include <memory>

namespace consort::node {

/// What a node pretends to be.
struct simulated_settings {
  std::string node; ///< Its name; part of its devices' identities.
  std::vector<sim::device_model_ptr> devices;
  std::map<model_name, sim::model_shape> shapes; ///< Others are guessed from their sizes.
  sim::model_shape usual;                        ///< What the devices' spec sheets speak of.
  std::uint64_t seed = 1;
};

class simulated_devices {
public:
  /// Numbers a loaded, or loading, instance.
  using session_number = std::uint64_t;
  using opened_handler = std::function<void(result<session_number>)>;
  using died_handler = std::function<void(error)>;
  using build_finished = std::function<void(result<compile_outcome>)>;

  explicit simulated_devices(simulated_settings settings);
  ~simulated_devices();

  /// As its plugin finds them; ids are not given yet.
  [[nodiscard]] std::vector<device_spec> specs() const;
  [[nodiscard]] std::vector<build_profile> toolchains() const;
  /// By uuid.
  [[nodiscard]] std::map<std::string, device_reading> read();
  /// Takes up the fault menu. What struck before a call with the same figures strikes no more.
  void trouble(const simulated_troubles& wanted);
  /// Runs what is due.
  void run_until(time_us clock) { queue_.run_until(clock); }
  [[nodiscard]] std::optional<time_us> next() const { return queue_.next(); }

  // --- instances: see node/runtime.hpp. Handlers may come before a call returns ---
  session_number open(const session_request& wanted, opened_handler opened, died_handler died);
  void close(session_number which);
  /// Gives up on a load.
  void abandon(instance_id which);
  void submit(session_number which, const attempt_id& attempt, const attempt_body& body,
              std::shared_ptr<attempt_sink> sink);
  void cancel(session_number which, const attempt_id& attempt);
  [[nodiscard]] session_stats stats(session_number which) const;

  // --- builds ---
  std::uint64_t build(const compile_request& wanted, std::function<void(std::uint32_t)> progress,
                      build_finished finished);
  void cancel_build(std::uint64_t which);

private:
  struct device;
  struct session;
  struct building;

  device& device_of(const std::string& uuid);
  void strike(device& one, const device_trouble& wanted);
  void finish_load(session_number which);
  void end_runtimes(device& on, const error& why);
  [[nodiscard]] sim::engine::callbacks calls_of(session_number which);
  void say_tokens(session_number which, const attempt_id& attempt, std::uint32_t first,
                  std::uint32_t count);
  void say_done(session_number which, const sim::engine_sequence& done);
  [[nodiscard]] std::optional<attempt_aborted> refusal(device& on, const session& in,
                                                       const sim::engine_sequence& asked);
  [[nodiscard]] std::optional<error> over_limit(device& on, std::uint64_t tokens);
  [[nodiscard]] device_reading reading_of(device& one);
  void finish_build(std::uint64_t which);
  void give_up_hung_builds();

  const simulated_settings settings_;
  paced_queue queue_;
  sim::random_source chance_;
  std::vector<device> devices_;
  std::map<session_number, std::unique_ptr<session>> sessions_;
  std::map<std::uint64_t, building> builds_;
  compiler_trouble compilers_ = compiler_trouble::none;
  std::uint64_t numbers_ = 0; ///< Of sessions and builds.
};

} // namespace consort::node
