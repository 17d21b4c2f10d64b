// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The clients of a run: pulls requests of every workload as they are due, submits them, and tells
/// closed loops and conversations how theirs ended. Holds one pending request for each workload and
/// those whose end matters; owned by its run, single-threaded.

#include "scenarios/sim/client_port.hpp"
#include "scenarios/sim/event_heap.hpp"
#include "scenarios/sim/observer.hpp"
#include "scenarios/sim/scenario.hpp"

#include <map>
#include <memory>
#include <vector>

namespace consort::sim {

class size_watcher;

/// Opens what a workload describes: a trace, ServeGen's clients, or a generator.
[[nodiscard]] result<arrival_source_ptr> open_workload(const scenario_workload& work,
                                                       std::uint64_t seed, const std::string& name);

/// Why a run ends at limits::requests_max: dropping the rest would be a lie about the workload.
[[nodiscard]] error too_many_requests(std::uint64_t most);

/// What is told of a trace that is longer than the run.
[[nodiscard]] std::string trace_cut_note(const scenario& plan, std::size_t workload);

class arrivals : public observer {
public:
  /// Draws at most `requests_max`. Requires: heap, gateway and plan outlive it.
  arrivals(event_heap& heap, client_port& gateway, const scenario& plan, std::uint64_t seed,
           std::uint64_t requests_max);

  void start();
  /// Whom to tell of answers that the context cuts; must outlive the run.
  void tell_cuts_to(size_watcher& sizes) { sizes_ = &sizes; }
  /// What of recorded arrivals was left out because the run is over before: a line for each trace
  /// whose workload did not ask for that by `until`.
  [[nodiscard]] std::vector<std::string> left_out() const;
  [[nodiscard]] std::uint64_t submitted() const { return submitted_; }
  /// What is wrong with a trace, found while reading it, or too many requests; arrivals stop there.
  [[nodiscard]] const std::optional<error>& failure() const { return failure_; }

  void on_answered(const client_answer& ended, time_us now) override;

private:
  struct workload_state {
    const scenario_workload* work = nullptr;
    const scenario_model* model = nullptr;
    arrival_source_ptr source;
    random_source patience;
    std::uint64_t salt = 0; ///< Keeps prefixes of different workloads apart.
    bool listens = false;   ///< Its source wants to know of ends.
    bool cut = false;       ///< A request of it was due after the workload's end.
  };

  void pull(workload_state& of);
  void schedule(workload_state& of, arrival next, bool then_pull);
  void arrive(workload_state& of, arrival now);
  [[nodiscard]] request_meta meta_of(const workload_state& of, arrival& now);

  event_heap& heap_;
  client_port& gateway_;
  const scenario& plan_;
  size_watcher* sizes_ = nullptr;
  std::vector<std::unique_ptr<workload_state>> workloads_;
  std::map<request_id, std::pair<workload_state*, arrival>> listened_;
  std::uint64_t requests_max_;
  std::uint64_t drawn_ = 0;
  std::uint64_t submitted_ = 0;
  std::optional<error> failure_;
};

} // namespace consort::sim
