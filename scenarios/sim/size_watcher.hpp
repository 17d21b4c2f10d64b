// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Which requests of a run are larger than a model's context or than any device's KV cache, ask for
/// a model that no device holds, or have their answers cut by the context, and which of these
/// limits it was, with the line of the file: a trace and a drawn length show only in the run what
/// the check before it cannot know. And on which measured devices steps were far larger than what
/// was measured. Keeps a few numbers per model and file. Single-threaded.

#include "scenarios/sim/observer.hpp"
#include "scenarios/sim/scenario.hpp"
#include "scenarios/sim/summary.hpp"

#include <map>

namespace consort::sim {

/// What the scheduler wants of each device of an instance, in bytes: its share of the weights as
/// the model has them, and of the KV cache of one whole context.
[[nodiscard]] std::uint64_t least_bytes(const scenario_model& model);

/// Whether the model may run there: the scheduler asks for least_bytes(), an engine alone
/// (`engine_only`) for room for the weights. Never where `stages` are: other devices do its work.
[[nodiscard]] bool holds(const scenario& plan, const device_model& device,
                         const scenario_model& model);

/// Most tokens of KV cache that an instance of the model has on any device of the cluster that
/// holds it; not less than an engine will say.
[[nodiscard]] std::uint64_t largest_kv_tokens(const scenario& plan, const scenario_model& model);

/// Instances of the model that the cluster can have at a time, one on each device or group of
/// devices that holds its weights. Other models' are not subtracted.
[[nodiscard]] std::uint64_t most_replicas(const scenario& plan, const scenario_model& model);

/// Tokens of the answer, which ends where the model's context does, as engines end it. A prompt
/// that leaves no room keeps its own: it is refused.
[[nodiscard]] std::uint32_t answer_within(const scenario_model& model, const arrival& asked);

/// Steps of so many times the largest measured size and more are noted: what goes on in a line is a
/// guess there.
inline constexpr double beyond_measured = 2;

class size_watcher : public observer {
public:
  /// Requires: the plan outlives it.
  explicit size_watcher(const scenario& plan);

  void on_submitted(const request_meta& meta, time_us now) override;
  void on_widest(const device_model& on, std::uint32_t sequences, std::uint32_t tokens) override;
  /// Of a request that wants `asked` tokens of answer and gets at most `within`.
  void on_answer_cut(const std::string& model, const std::string& external_id, std::uint32_t asked,
                     std::uint32_t within);

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
    bool held = true; ///< By a device.
    too_large context;
    too_large cache; ///< Or all of them, where no device holds the model.
    too_large answers;
  };
  static void note(too_large& of, const std::string& external_id, std::uint64_t tokens);
  static void explain(const sizes& of, std::vector<std::string>& into);
  static std::string explain_unheld(const sizes& of);
  struct widest {
    double sequences_measured = 0, tokens_measured = 0;
    std::uint32_t sequences = 0, tokens = 0; ///< In one step.
  };
  static void explain(const std::string& file, const widest& of, std::vector<std::string>& into);

  const scenario& plan_;
  std::map<std::string, sizes> models_;
  std::map<std::string, widest> measured_; ///< By file of points.
};

} // namespace consort::sim
