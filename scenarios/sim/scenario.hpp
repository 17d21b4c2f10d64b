// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A scenario: cluster, workload, network, faults and expectations, as data. Parsed from JSON with
/// comments (scenarios/README.md lists the fields); a parsed scenario is consistent: every name in
/// it resolves and every number is within scenarios/limits.hpp. Plain values.

#include "scenarios/limits.hpp"
#include "scenarios/models/device_model.hpp"
#include "scenarios/models/model_shape.hpp"
#include "scenarios/policy_section.hpp"
#include "scenarios/sim/faults.hpp"
#include "scenarios/sim/random.hpp"
#include "scenarios/sim/slo.hpp"
#include "scenarios/strict_json.hpp"
#include "scenarios/workloads/servegen.hpp"
#include "scenarios/workloads/synthetic.hpp"
#include "scenarios/workloads/trace_reader.hpp"
#include "scheduler/core.hpp"
#include "scheduler/requests.hpp"
#include "scheduler/result.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace consort::sim {

struct fault_names;

struct scenario_node {
  std::string name;
  std::vector<device_model_ptr> devices; ///< Never null; ids are `<name>/<type><n>`.
  double price_per_h = 0; ///< Beside what its devices cost, in the currency of the file.
  bool priced = false;    ///< The file says what it costs, even if that is nothing.
};

struct scenario_model {
  std::string name;
  model_shape shape; ///< Named, or guessed from the sizes below.
  std::uint64_t weight_bytes = 0;
  std::uint32_t kv_bytes_per_token = 0;
  std::uint32_t context_tokens = 0;
  std::uint32_t replicas_min = 0;
  std::uint32_t replicas_max = 0;
  std::uint32_t devices_per_instance = 1;
  policy_name policy{}; ///< Of its requests that name none; empty = the scenario's.
  std::string where{};  ///< `file:line: models.NAME`, for what only a run shows; empty = drawn.
};

/// A stream of arrivals.
struct scenario_workload {
  std::string model;
  double rate_per_s = 1;                ///< Of drawn ones.
  distribution input;                   ///< Prompt tokens, likewise.
  distribution output;                  ///< Tokens generated, likewise.
  synthetic_settings drawn;             ///< The rest of how they are drawn.
  std::vector<std::string> trace_paths; ///< Not empty: recorded, one file behind the other.
  trace_lens lens;                      ///< Of traces.
  std::string servegen_folder;          ///< Not empty: ServeGen's clients.
  double servegen_scale = 1;
  std::string device = "auto";
  priority_class priority = priority_class::standard;
  std::optional<policy_name> policy{}; ///< Its requests name it; nothing = none.
  bool hedge = false;                  ///< request_meta::hedge.
  std::optional<duration_us> deadline_us;
  double cancel_share = 0; ///< Of requests whose client leaves early.
  time_us from = 0;
  time_us until = 0;
  bool ends_early = false; ///< The file says so: `until`, which is not after the run's end.
};

struct scenario_network {
  duration_us latency_us = 200;
  duration_us jitter_us = 100;
  bool plain = false; ///< Values cross it unencoded: faster, and decided the same.
};

/// A bound on one figure of the summary.
struct scenario_expectation {
  std::string metric;
  std::optional<double> min;
  std::optional<double> max;
};

struct scenario {
  std::string name;
  std::string proves;
  std::optional<std::uint64_t> seed;
  duration_us safety_us = 60 * limits::second_us; ///< Safety phase: arrivals and faults.
  duration_us settle_us = limits::settle_us;
  bool engine_only = false;      ///< No scheduler: see engine_replay.hpp.
  std::uint32_t check_every = 0; ///< Steps of the core between two looks at its invariants; 0 = by
                                 ///< how much there is to look at.
  bool gathers_tokens = false;   ///< See token_delivery: fewer frames, the same engine.
  std::vector<scenario_node> nodes;
  std::vector<scenario_model> models;
  std::vector<scenario_workload> workloads;
  scenario_network network;
  std::vector<scenario_fault> faults;
  policy_name policy{"latency"};
  std::vector<core::profile_config> profiles;       ///< Beside the built-in ones.
  core::slo_targets aims = core::core_config{}.slo; ///< Of the scheduler, by class; see `slo`.
  std::uint32_t queue_max = 10'000;
  duration_us lease_us = 3 * limits::second_us;
  duration_us queue_timeout_us = 60 * limits::second_us;
  core::remote_use remote = core::remote_use::free;
  std::uint64_t remote_budget_micros_per_hour = 0; ///< 0 = unbounded.
  scenario_slo slo; ///< What clients are promised, by which runs are judged.
  std::vector<scenario_expectation> expectations;
  std::vector<std::string> notes; ///< On what was left out in reading it, with file and line.
};

/// Ids of a node's devices, in its order. They count per type: cpu0, npu0, npu1.
[[nodiscard]] std::vector<std::string> device_ids(const scenario_node& node);

/// Of all its nodes.
[[nodiscard]] std::size_t device_count(const scenario& plan);
/// What its nodes and devices cost per hour, in the currency of the file.
[[nodiscard]] double cost_per_h(const scenario& plan);
/// Names of its devices that cost_per_h() counts as nothing since neither the file nor their spec
/// sheet says what they or their node cost, each once, in order of the file. A service that is paid
/// by the token is among them unless it has a price by the hour: that is all that cost_per_h()
/// knows.
[[nodiscard]] std::vector<std::string> unpriced_devices(const scenario& plan);

/// Parses and checks. `origin` names the file in errors, which say line and field.
[[nodiscard]] result<scenario> parse_scenario(std::string_view text, std::string_view origin);
[[nodiscard]] result<scenario> load_scenario(const std::string& path);
/// The same in two steps, for those who change values in between.
[[nodiscard]] result<strict_json::value> load_scenario_tree(const std::string& path);
/// `elsewhere`: what other clusters of the same sweep have. A fault on it that this cluster lacks
/// is left out with a note, not refused.
[[nodiscard]] result<scenario> read_scenario(const strict_json::value& root,
                                             std::string_view origin,
                                             const fault_names* elsewhere = nullptr);

} // namespace consort::sim
