// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/scenario_check.hpp"

#include "scenarios/models/device_claims.hpp"
#include "scenarios/sim/size_watcher.hpp"
#include "scheduler/nearest_name.hpp"
#include "scheduler/selector.hpp"
#include "scheduler/units.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

namespace consort::sim {

namespace {

using strict_json::value;

class impossible_finder {
public:
  impossible_finder(const scenario& plan, const value& root, std::string_view origin)
      : plan_(plan), root_(root), origin_(origin) {}

  std::optional<error> find() {
    for (const auto& [name, entry] : root_.find("models")->members)
      if (!found_)
        look_at_model(name, entry);
    for (std::size_t number = 0; number < plan_.workloads.size() && !found_; ++number)
      look_at_workload(plan_.workloads[number], root_.find("workload")->items[number]);
    return found_;
  }

private:
  /// About a member of `object`, or about all of it when it does not have that member.
  void wrong(const value& object, const char* member, const std::string& message) {
    if (found_)
      return;
    const auto* named = object.find(member);
    found_ = strict_json::error_at(origin_, named ? *named : object, message);
  }

  void look_at_model(const std::string& name, const value& entry) {
    const auto& model = *std::find_if(plan_.models.begin(), plan_.models.end(),
                                      [&](const scenario_model& one) { return one.name == name; });
    if (model.devices_per_instance > 1 && alike(model.devices_per_instance) == nullptr)
      return wrong(entry, "devices_per_instance",
                   "no " + std::to_string(model.devices_per_instance)
                       + " chips of one spec are in the cluster");
    if (!any_device([&](const device_model& one) { return holds(plan_, one, model); }))
      return unheld(model, entry);
    const auto ready = least_start_us(model);
    if (ready >= plan_.safety_us + plan_.settle_us)
      wrong(entry, "",
            "runs nowhere before the run is over: building and loading it takes "
                + format_duration(ready) + " at least, duration and settle are "
                + format_duration(plan_.safety_us + plan_.settle_us));
  }

  template <class Test>
  [[nodiscard]] bool any_device(const Test& test) const {
    return std::any_of(plan_.nodes.begin(), plan_.nodes.end(), [&](const scenario_node& node) {
      return std::any_of(node.devices.begin(), node.devices.end(),
                         [&](const auto& one) { return test(*one); });
    });
  }

  /// Why no device holds it: its weights alone, or the KV cache beside them.
  void unheld(const scenario_model& model, const value& entry) {
    std::uint64_t most = 0;
    for (const auto& node : plan_.nodes)
      for (const auto& device : node.devices)
        most = std::max(most, device->memory_bytes * model.devices_per_instance);
    const auto largest = ", and the largest has room for " + format_size(most);
    if (plan_.engine_only || model.weight_bytes > most)
      return wrong(entry, "weights",
                   "fits on no device: it takes " + format_size(model.weight_bytes) + largest);
    const auto all = least_bytes(model) * model.devices_per_instance;
    wrong(entry, "context",
          "fits on no device with the KV cache of its context of "
              + std::to_string(model.context_tokens) + " tokens: it takes " + format_size(all)
              + largest + "; lower `context`, or use larger devices or several as one");
  }

  /// Until an instance runs where that is soonest.
  duration_us least_start_us(const scenario_model& model) const {
    auto least = std::numeric_limits<duration_us>::max();
    for (const auto& node : plan_.nodes)
      for (const auto& device : node.devices)
        if (holds(plan_, *device, model))
          // Each node of an instance loads its own part, which may be one device's.
          least
              = std::min(least, load_us_of(*device, model.weight_bytes / model.devices_per_instance)
                                    + (device->build_profile.empty()
                                           ? 0
                                           : compile_us_of(*device, model.weight_bytes)));
    return least;
  }

  /// The name of a chip that there are at least `count` devices of; null when there is none.
  const std::string* alike(std::uint32_t count) const {
    std::map<std::string, std::uint32_t> numbers;
    for (const auto& node : plan_.nodes)
      for (const auto& device : node.devices)
        if (device->fidelity != fidelity_kind::rates && ++numbers[device->name] >= count)
          return &device->name;
    return nullptr;
  }

  void look_at_workload(const scenario_workload& work, const value& item) {
    if (work.from >= plan_.safety_us)
      return wrong(item, "from", "is not before the scenario's duration");
    if (work.until <= work.from)
      return wrong(item, "until", "is not after `from`");
    if (const auto selector = core::selector::parse(work.device); !selector)
      wrong(item, "device", selector.failure().message);
    else if (!selector->everything())
      look_at_selector(work, item, *selector);
    look_at_sizes(work, item);
    const double requests
        = rate_of(work) * static_cast<double>(work.until - work.from) / double(limits::second_us);
    if (requests > static_cast<double>(limits::requests_max))
      wrong(item, "",
            "asks for about " + std::to_string(std::llround(requests))
                + " requests; a run has at most " + std::to_string(limits::requests_max));
  }

  /// What is half of its requests or more fits nowhere. What a trace asks for is seen in the run.
  void look_at_sizes(const scenario_workload& work, const value& item) {
    if (!work.trace_paths.empty() || !work.servegen_folder.empty())
      return;
    const auto& model = model_of(work);
    const auto common = work.drawn.prefix_groups > 0 ? work.drawn.prefix_tokens : 0U;
    const auto prompt = static_cast<std::uint64_t>(std::max(work.input.median(), 1.0)) + common;
    if (prompt >= model.context_tokens)
      return wrong(item, "input",
                   "half of its prompts have " + std::to_string(prompt)
                       + " tokens or more, and the context of `" + model.name + "` is "
                       + std::to_string(model.context_tokens) + ": raise models." + model.name
                       + ".context, or ask for less");
    const auto answer = static_cast<std::uint64_t>(std::max(work.output.median(), 1.0));
    const auto tokens = std::min<std::uint64_t>(prompt + answer, model.context_tokens);
    const auto most = largest_kv_tokens(plan_, model);
    if (tokens > most)
      wrong(item, "input",
            "half of its requests take " + std::to_string(tokens)
                + " tokens of KV cache or more, and no device has more than " + std::to_string(most)
                + " for `" + model.name + "`: more memory or `kv_blocks`, or ask for less");
  }

  void look_at_selector(const scenario_workload& work, const value& item,
                        const core::selector& wanted) {
    const auto& model = model_of(work);
    bool any = false;
    bool any_holds = false;
    each_match(wanted, [&](const device_model& device) {
      any = true;
      // Of stages the members hold it, which are devices themselves.
      any_holds = any_holds || !device.stages.empty() || holds(plan_, device, model);
    });
    if (!any)
      wrong(item, "device",
            "`" + work.device + "` names no device of the cluster" + near_selector(work.device));
    else if (!any_holds)
      wrong(item, "device",
            "no device that `" + work.device + "` names has room for `" + model.name
                + "`, which takes "
                + format_size(plan_.engine_only ? model.weight_bytes
                                                : least_bytes(model) * model.devices_per_instance));
  }

  /// What `node=`, `vendor=` or `model=` may say here.
  [[nodiscard]] std::vector<std::string> values_of(std::string_view key) const {
    std::set<std::string> found;
    for (const auto& node : plan_.nodes)
      for (const auto& device : node.devices)
        found.insert(std::string(key)
                     + (key == "node="     ? node.name
                        : key == "vendor=" ? device->vendor
                                           : device->name));
    return {found.begin(), found.end()};
  }

  /// Of kinds and devices the nearest ones, or the kinds that there are.
  [[nodiscard]] std::string near_selector(const std::string& wanted) const {
    for (const std::string_view key : {"node=", "vendor=", "model="})
      if (wanted.starts_with(key))
        return did_you_mean_or_list(wanted, values_of(key));
    std::set<std::string> kinds;
    std::vector<std::string> known;
    for (const auto& node : plan_.nodes) {
      for (const auto& device : node.devices)
        kinds.insert(device->type);
      for (auto& id : device_ids(node))
        known.push_back(std::move(id));
    }
    const std::vector<std::string> words(kinds.begin(), kinds.end());
    if (auto near = did_you_mean(wanted, words); !near.empty())
      return near;
    const auto near = did_you_mean(wanted, known);
    return near.empty() ? did_you_mean_or_list(wanted, words) : near;
  }

  const scenario_model& model_of(const scenario_workload& work) const {
    return *std::find_if(plan_.models.begin(), plan_.models.end(),
                         [&](const scenario_model& one) { return one.name == work.model; });
  }

  template <class See>
  void each_match(const core::selector& wanted, const See& see) const {
    for (const auto& node : plan_.nodes) {
      const auto ids = device_ids(node);
      for (std::size_t at = 0; at < ids.size(); ++at) {
        device_spec spec;
        spec.id = device_id(ids[at]);
        spec.node = node_id(node.name);
        spec.type = resource_type_of(node.devices[at]->type);
        spec.vendor = node.devices[at]->vendor;
        spec.model = node.devices[at]->name;
        if (wanted.matches(spec))
          see(*node.devices[at]);
      }
    }
  }

  /// Arrivals per second on average; 0 where something else decides.
  static double rate_of(const scenario_workload& work) {
    const auto& drawn = work.drawn;
    if (!work.trace_paths.empty() || !work.servegen_folder.empty())
      return 0;
    double sum = 0;
    double span = 0;
    switch (drawn.process) {
    case arrival_process::closed: return 0;
    case arrival_process::bursts:
      return (drawn.peak_rate * double(drawn.on_us) + work.rate_per_s * double(drawn.off_us))
             / double(drawn.on_us + drawn.off_us);
    case arrival_process::stages:
      for (const auto& [rate, stage_us] : drawn.stages) {
        sum += rate * double(stage_us);
        span += double(stage_us);
      }
      return sum / std::max(span, double(work.until - work.from));
    case arrival_process::poisson:
    case arrival_process::gamma:
    case arrival_process::diurnal: break;
    }
    return work.rate_per_s;
  }

  const scenario& plan_;
  const value& root_;
  std::string_view origin_;
  std::optional<error> found_;
};

} // namespace

std::optional<error> find_impossible(const scenario& plan, const value& root,
                                     std::string_view origin) {
  return impossible_finder(plan, root, origin).find();
}

} // namespace consort::sim
