// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A scenario: cluster, workload, network, faults and expectations, as data. Parsed from JSON with
/// comments (scenarios/README.md lists the fields); a parsed scenario is consistent: every name in
/// it resolves and every number is within scenarios/limits.hpp. Plain values.

#include "scenarios/limits.hpp"
#include "scenarios/models/device_model.hpp"
#include "scenarios/policy_words.hpp"
#include "scenarios/sim/random.hpp"
#include "scheduler/requests.hpp"
#include "scheduler/result.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace consort::sim {

struct scenario_node {
  std::string name;
  std::vector<const device_model*> devices; ///< Never null; ids are `<name>/<type><n>`.
};

struct scenario_model {
  std::string name;
  std::uint64_t weight_bytes = 0;
  std::uint32_t kv_bytes_per_token = 0;
  std::uint32_t context_tokens = 0;
  std::uint32_t replicas_min = 0;
  std::uint32_t replicas_max = 0;
};

/// A stream of arrivals.
struct scenario_workload {
  std::string model;
  double rate_per_s = 1; ///< Poisson.
  distribution input;    ///< Prompt tokens.
  distribution output;   ///< Tokens generated.
  std::string device = "auto";
  priority_class priority = priority_class::standard;
  std::optional<duration_us> deadline_us;
  double cancel_share = 0; ///< Of requests whose client leaves early.
  time_us from = 0;
  time_us until = 0;
};

struct scenario_network {
  duration_us latency_us = 200;
  duration_us jitter_us = 100;
};

enum class fault_kind : std::uint8_t {
  kill,      ///< A node's process dies; it returns, with its store, after `span_us` if that is set.
  pause,     ///< A node's process stands still, as by SIGSTOP.
  partition, ///< Nodes are cut off from everyone.
  slow,      ///< A device runs slower by `factor`.
  forget,    ///< The gateway drops a request: a bug that the checkers must find.
  cut,       ///< The link of a node, or of the gateway, to the scheduler breaks; streams go on.
  restart,   ///< The scheduler dies, and another takes its place after `span_us`.
};

struct scenario_fault {
  fault_kind kind = fault_kind::kill;
  time_us at = 0;
  std::vector<std::string> targets; ///< Nodes; a device for `slow`; `gateway` for `cut`.
  duration_us span_us = 0;          ///< 0 = until the liveness phase.
  double factor = 1;
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
  std::vector<scenario_node> nodes;
  std::vector<scenario_model> models;
  std::vector<scenario_workload> workloads;
  scenario_network network;
  std::vector<scenario_fault> faults;
  policy_name policy{"latency"};
  std::uint32_t queue_max = 10'000;
  duration_us lease_us = 3 * limits::second_us;
  duration_us queue_timeout_us = 60 * limits::second_us;
  std::vector<scenario_expectation> expectations;
};

/// Parses and checks. `origin` names the file in errors, which say line and field.
[[nodiscard]] result<scenario> parse_scenario(std::string_view text, std::string_view origin);
[[nodiscard]] result<scenario> load_scenario(const std::string& path);

} // namespace consort::sim
