// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Which requests of a run are larger than a model's context or than any device's KV cache, and
/// which of these limits it was, with the line of the file: a trace and a drawn length show only in
/// the run what the check before it cannot know. Keeps a few numbers per model. Single-threaded.

#include "scenarios/sim/observer.hpp"
#include "scenarios/sim/scenario.hpp"
#include "scenarios/sim/summary.hpp"

#include <map>

namespace consort::sim {

/// Most tokens of KV cache that an instance of the model has on any device of the cluster; not
/// less than an engine will say.
[[nodiscard]] std::uint64_t largest_kv_tokens(const scenario& plan, const scenario_model& model);

/// Instances of the model that the cluster can have at a time, one on each device or group of
/// devices that holds its weights. Other models' are not subtracted.
[[nodiscard]] std::uint64_t most_replicas(const scenario& plan, const scenario_model& model);

/// Tokens of the answer, which ends where the model's context does, as engines end it. A prompt
/// that leaves no room keeps its own: it is refused.
[[nodiscard]] std::uint32_t answer_within(const scenario_model& model, const arrival& asked);

class size_watcher : public observer {
public:
  /// Requires: the plan outlives it.
  explicit size_watcher(const scenario& plan);

  void on_submitted(const request_meta& meta, time_us now) override;

  /// Adds a note for each limit that was met, and for a `replicas_min` beyond what the cluster
  /// holds; where nothing at all could be served, a violation.
  void tell(run_summary& summary) const;

private:
  struct too_large {
    std::uint64_t count = 0;
    std::uint64_t most_tokens = 0;
    std::string first; ///< Its external id.
  };
  struct sizes {
    const scenario_model* model = nullptr;
    std::uint64_t kv_tokens = 0;
    std::uint64_t requests = 0;
    too_large context;
    too_large cache;
  };
  static void note(too_large& of, const request_meta& meta, std::uint64_t tokens);
  static void explain(const sizes& of, std::vector<std::string>& into);

  const scenario& plan_;
  std::map<std::string, sizes> models_;
};

} // namespace consort::sim
