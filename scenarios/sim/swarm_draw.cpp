// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/swarm.hpp"

#include "scenarios/sim/size_watcher.hpp"
#include "scenarios/sim/swarm_habits.hpp"
#include "scheduler/policy/profile.hpp"
#include "scheduler/units.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>

namespace consort::sim {

namespace {

/// Of both kinds that a first cluster has: one that runs weights, one that needs a build.
constexpr std::array<const char*, 2> device_names{"cpu-local", "refnpu-1"};
/// Of a mixed cluster; `hybrid` is two GPUs, one for each phase.
constexpr std::array<std::string_view, 6> device_kinds{"cpu", "npu",    "gpu",
                                                       "pim", "remote", "hybrid"};
/// From many to a device to one that fills it.
constexpr std::uint64_t mebibyte = 1024 * 1024;
constexpr std::array<std::uint64_t, 4> weight_bytes_drawn{10 * mebibyte, 100 * mebibyte,
                                                          400 * mebibyte, 900 * mebibyte};
constexpr std::uint32_t drawn_nodes_max = 6;
constexpr std::uint32_t drawn_faults_max = 12;

/// One seed's draws, a generator per concern.
class drawer {
public:
  explicit drawer(std::uint64_t seed)
      : cluster_(seed, "swarm cluster"),
        kinds_(seed, "swarm kinds"),
        load_(seed, "swarm load"),
        limits_(seed, "swarm limits"),
        trouble_(seed, "swarm faults"),
        habits_(seed, "swarm habits"),
        ways_(seed, "swarm ways") {}

  scenario draw(std::uint64_t seed) {
    made_.name = "swarm-" + std::to_string(seed);
    made_.proves = "nothing is lost, doubled or misplaced, whatever happens";
    made_.seed = seed;
    made_.safety_us = (10 + whole(limits_, 20)) * limits::second_us;
    draw_limits();
    draw_nodes();
    draw_models();
    draw_workloads();
    let_one_fit();
    // Half the runs have neither.
    if (chance(habits_, 0.35))
      draw_habits(made_, habits_);
    if (chance(ways_, 0.3))
      draw_ways(made_, ways_);
    draw_faults();
    return std::move(made_);
  }

private:
  static bool chance(random_source& from, double share) { return from.unit() < share; }
  /// In [0, bound).
  static std::uint32_t whole(random_source& from, std::uint32_t bound) {
    return static_cast<std::uint32_t>(from.unit() * bound);
  }
  template <class Value, std::size_t Count>
  static Value one_of(random_source& from, const std::array<Value, Count>& values) {
    return values[whole(from, Count)];
  }

  /// Named limits: the default, the least that works, or something odd.
  void draw_limits() {
    const auto& policies = core::policy_words();
    made_.policy
        = policy_name(policies[whole(limits_, static_cast<std::uint32_t>(policies.size()))]);
    made_.queue_max = one_of(limits_, std::array<std::uint32_t, 4>{10'000, 10'000, 37, 3});
    made_.lease_us
        = one_of(limits_, std::array<duration_us, 4>{3'000'000, 3'000'000, 900'000, 10'000'000});
    made_.queue_timeout_us = one_of(
        limits_, std::array<duration_us, 4>{60'000'000, 60'000'000, 20'000'000, 3'000'000});
    made_.network.latency_us = one_of(limits_, std::array<duration_us, 4>{200, 200, 5'000, 60'000});
    made_.network.jitter_us = one_of(limits_, std::array<duration_us, 3>{100, 3'000, 40'000});
  }

  /// Any device of a kind, whatever its vendor.
  device_model device_of_kind(std::string_view kind) {
    const auto wanted = kind == "hybrid" ? "gpu" : kind;
    std::vector<device_model_ptr> found;
    for (const auto& name : device_model_names())
      if (auto one = find_device_model(name); one->type == wanted)
        found.push_back(std::move(one));
    return *found[whole(kinds_, static_cast<std::uint32_t>(found.size()))];
  }

  /// A device as it is, but for times that a run of half a minute would only wait for, and with
  /// limits that bind.
  device_model_ptr draw_device() {
    const auto kind = one_of(kinds_, device_kinds);
    auto made = device_of_kind(kind);
    made.load_us = one_of(kinds_, std::array<duration_us, 3>{60'000, 400'000, 3'000'000});
    made.load_bytes_per_s = 2'000'000'000;
    if (!made.build_profile.empty()) {
      made.compile_us = one_of(kinds_, std::array<duration_us, 2>{1'000'000, 6'000'000});
      made.compile_bytes_per_s = 0;
    }
    if (kind == "remote") {
      made.remote.requests_per_min = one_of(kinds_, std::array<std::uint32_t, 3>{600, 30, 0});
      made.remote.tokens_per_min
          = one_of(kinds_, std::array<std::uint64_t, 3>{1'000'000, 5'000, 0});
    } else {
      made.max_sequences = std::min(made.max_sequences,
                                    one_of(kinds_, std::array<std::uint32_t, 4>{256, 32, 4, 1}));
      made.reserves_output = chance(kinds_, 0.5);
    }
    if (kind == "hybrid") {
      made.type = kind;
      made.prefill.device = std::make_shared<const device_model>(device_of_kind("gpu"));
      made.prefill.transfer_gb_per_s = one_of(kinds_, std::array<double, 2>{40, 0.1});
    }
    return std::make_shared<const device_model>(std::move(made));
  }

  void draw_nodes() {
    const bool mixed = chance(kinds_, 0.6);
    const auto count = 1 + whole(cluster_, drawn_nodes_max);
    for (std::uint32_t number = 0; number < count; ++number) {
      scenario_node node;
      node.name = "node-" + std::to_string(number);
      const auto devices = 1 + whole(cluster_, 3);
      for (std::uint32_t device = 0; device < devices; ++device) {
        const auto* usual = one_of(cluster_, device_names);
        node.devices.push_back(mixed && chance(kinds_, 0.8) ? draw_device()
                                                            : find_device_model(usual));
      }
      made_.nodes.push_back(std::move(node));
    }
  }

  void draw_models() {
    const auto count = 1 + whole(cluster_, 3);
    for (std::uint32_t number = 0; number < count; ++number) {
      scenario_model model;
      model.name = "model-" + std::to_string(number);
      model.weight_bytes = one_of(cluster_, weight_bytes_drawn);
      model.kv_bytes_per_token
          = one_of(cluster_, std::array<std::uint32_t, 3>{3'072, 3'072, 60'000});
      model.shape = shape_of_sizes(model.weight_bytes, model.kv_bytes_per_token);
      model.context_tokens = 512;
      model.replicas_min = whole(cluster_, 4);
      model.replicas_max = chance(cluster_, 0.3) ? model.replicas_min + 1 : 0;
      made_.models.push_back(std::move(model));
    }
  }

  void draw_workloads() {
    const auto count = 1 + whole(load_, 3);
    for (std::uint32_t number = 0; number < count; ++number) {
      scenario_workload work;
      work.model = made_.models[whole(load_, static_cast<std::uint32_t>(made_.models.size()))].name;
      work.rate_per_s = std::round(10 * (0.5 + load_.exponential() * 5)) / 10;
      work.input = {distribution::kind::lognormal, 10.0 + whole(load_, 60), 0.6};
      work.output = {distribution::kind::lognormal, 5.0 + whole(load_, 100), 0.6};
      if (chance(load_, 0.2))
        work.device = one_of(load_, std::array<const char*, 3>{"cpu", "npu", "node=node-0"});
      if (work.device == "npu" && !has_kind("npu")) // Asks for what there is.
        work.device = made_.nodes.front().devices.front()->type;
      work.priority = static_cast<priority_class>(whole(load_, 3));
      if (chance(load_, 0.2))
        work.deadline_us = (1 + whole(load_, 10)) * limits::second_us;
      if (chance(load_, 0.4))
        work.cancel_share = 0.3 * load_.unit();
      work.hedge = chance(load_, 0.3);
      work.until = made_.safety_us;
      made_.workloads.push_back(std::move(work));
    }
  }

  /// A cluster that holds nothing of what is asked for shows nothing: the first model asked for is
  /// then the smallest. One that fits nowhere beside others is welcome.
  void let_one_fit() {
    const auto model_of = [this](const scenario_workload& work) {
      return std::find_if(made_.models.begin(), made_.models.end(),
                          [&](const scenario_model& one) { return one.name == work.model; });
    };
    if (std::any_of(made_.workloads.begin(), made_.workloads.end(), [&](const auto& work) {
          return largest_kv_tokens(made_, *model_of(work)) > 0;
        }))
      return;
    auto& first = *model_of(made_.workloads.front());
    first.weight_bytes = weight_bytes_drawn.front();
    first.shape = shape_of_sizes(first.weight_bytes, first.kv_bytes_per_token);
  }

  bool has_kind(std::string_view type) const {
    for (const auto& node : made_.nodes)
      for (const auto& device : node.devices)
        if (device->type == type)
          return true;
    return false;
  }

  void draw_faults() {
    // Some kinds are off in a run, so that others go undisturbed by them.
    std::vector<fault_kind> kinds;
    for (std::size_t kind = 0; kind < fault_words.size(); ++kind)
      if (static_cast<fault_kind>(kind) != fault_kind::forget && chance(trouble_, 0.35))
        kinds.push_back(static_cast<fault_kind>(kind));
    if (kinds.empty())
      return;
    const auto count = whole(trouble_, drawn_faults_max);
    for (std::uint32_t number = 0; number < count; ++number)
      made_.faults.push_back(
          draw_fault(kinds[whole(trouble_, static_cast<std::uint32_t>(kinds.size()))]));
    std::stable_sort(made_.faults.begin(), made_.faults.end(),
                     [](const auto& left, const auto& right) { return left.at < right.at; });
  }

  scenario_fault draw_fault(fault_kind kind) {
    scenario_fault fault;
    fault.kind = kind;
    fault.at = static_cast<time_us>(trouble_.unit() * static_cast<double>(made_.safety_us));
    const bool lasts = chance(trouble_, 0.15);
    fault.span_us = lasts ? 0 : 50'000 + static_cast<duration_us>(trouble_.exponential() * 3e6);
    fault.factor = 1 + trouble_.exponential() * 10;
    fault.share = kind == fault_kind::loss ? 0.3 * trouble_.unit() : trouble_.unit();
    fault.by_us = static_cast<duration_us>(trouble_.exponential() * 1e6) + 1'000;
    fault.status = one_of(trouble_, std::array<std::uint32_t, 4>{429, 500, 502, 503});
    fault.direction = static_cast<fault_direction>(whole(trouble_, 3));
    fault.transient = chance(trouble_, 0.7);
    if (kind == fault_kind::skew && chance(trouble_, 0.5))
      fault.by_us = -fault.by_us;
    if (kind == fault_kind::reorder)
      fault.by_us = std::min<duration_us>(fault.by_us, limits::second_us);
    if (kind == fault_kind::restart || kind == fault_kind::upgrade)
      fault.span_us = std::max<duration_us>(fault.span_us, 10'000);
    draw_targets(fault);
    return fault;
  }

  void draw_targets(scenario_fault& fault) {
    const auto target = word_of(fault.kind).target;
    if (target == fault_target::nothing)
      return;
    if (target == fault_target::link && chance(trouble_, 0.3))
      fault.targets.emplace_back("gateway");
    // One node mostly, sometimes several, sometimes all.
    const double share = one_of(trouble_, std::array<double, 4>{0, 0, 0.5, 1});
    for (const auto& node : made_.nodes)
      if (trouble_.unit() < share)
        add_target(fault, node, target);
    if (fault.targets.empty())
      add_target(fault,
                 made_.nodes[whole(trouble_, static_cast<std::uint32_t>(made_.nodes.size()))],
                 target);
  }

  void add_target(scenario_fault& fault, const scenario_node& node, fault_target target) {
    if (target != fault_target::device)
      return fault.targets.push_back(node.name);
    const auto ids = device_ids(node);
    fault.targets.push_back(ids[whole(trouble_, static_cast<std::uint32_t>(ids.size()))]);
  }

  random_source cluster_;
  random_source kinds_; ///< Of devices.
  random_source load_;
  random_source limits_;
  random_source trouble_;
  random_source habits_;
  random_source ways_;
  scenario made_;
};

std::string described_fault(const scenario_fault& fault) {
  std::string made = format_duration(fault.at) + " " + std::string(word_of(fault.kind).word);
  for (const auto& target : fault.targets)
    made += " " + target;
  if (fault.span_us > 0)
    made += " for " + format_duration(fault.span_us);
  return made;
}

} // namespace

scenario draw_scenario(std::uint64_t seed) {
  return drawer(seed).draw(seed);
}

std::string describe_scenario(const scenario& plan) {
  std::string made = std::to_string(plan.nodes.size()) + " nodes (";
  for (const auto& node : plan.nodes) {
    made += &node == &plan.nodes.front() ? "" : "; ";
    for (const auto& device : node.devices)
      made += (&device == &node.devices.front() ? "" : ", ") + device->name
              + (device->type == "hybrid" ? " hybrid" : "");
  }
  made += "), " + std::to_string(plan.models.size()) + " models" + described_habits(plan)
          + ", lease " + format_duration(plan.lease_us) + ", queue "
          + std::to_string(plan.queue_max) + " for at most "
          + format_duration(plan.queue_timeout_us) + ", latency "
          + format_duration(plan.network.latency_us) + " + "
          + format_duration(plan.network.jitter_us) + "; faults:";
  for (const auto& fault : plan.faults)
    made += (&fault == &plan.faults.front() ? " " : "; ") + described_fault(fault);
  return made + (plan.faults.empty() ? " none" : "");
}

} // namespace consort::sim
