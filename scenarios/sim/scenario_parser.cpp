// SPDX-License-Identifier: Apache-2.0
#include "messages/wire_check.hpp"
#include "scenarios/remote_section.hpp"
#include "scenarios/sim/fault_parser.hpp"
#include "scenarios/sim/measured_notes.hpp"
#include "scenarios/sim/scenario.hpp"
#include "scenarios/sim/scenario_check.hpp"
#include "scenarios/sim/scenario_devices.hpp"
#include "scenarios/sim/scenario_workloads.hpp"
#include "scenarios/sim/summary.hpp"
#include "scenarios/strict_json.hpp"
#include "scheduler/nearest_name.hpp"
#include "scheduler/policy/profile.hpp"
#include "scheduler/units.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

namespace consort::sim {

using strict_json::object_reader;
using strict_json::value;

namespace {

/// One parse. Order matters in one place: models and nodes come before what names them.
class scenario_reader {
public:
  scenario_reader(std::string_view origin, const fault_names* elsewhere)
      : origin_(origin), elsewhere_(elsewhere) {}

  result<scenario> read(const value& root) {
    object_reader reader(root, origin_, failure_);
    reader.require("name");
    made_.name = reader.text("name");
    if (root.find("name") && made_.name.empty())
      reader.fail("name", "must not be empty");
    made_.proves = reader.text("proves");
    if (reader.member("seed"))
      made_.seed = static_cast<std::uint64_t>(reader.integer("seed", 0, 0, 1LL << 53));
    made_.safety_us = span(reader, "duration", made_.safety_us);
    made_.settle_us = span(reader, "settle", made_.settle_us);
    read_tokens(reader);
    made_.check_every
        = static_cast<std::uint32_t>(reader.integer("check_every", 0, 1, 1'000'000'000));
    made_.engine_only = reader.boolean("engine_only", false);
    read_scheduler(reader);
    read_policy(reader, root); // May name a profile of `scheduler`.
    each(reader, "nodes", true, [&](const value& item) { read_nodes(item); });
    read_models(reader);
    each(reader, "workload", true, [&](const value& item) {
      if (made_.workloads.size() >= limits::workloads_max)
        fail(item, "more than " + std::to_string(limits::workloads_max) + " workloads");
      made_.workloads.push_back(read_workload(item, origin_, made_, failure_));
    });
    if (const auto* section = reader.object("network"))
      read_network(*section);
    read_faults(reader);
    if (const auto* section = reader.object("slo"))
      read_slo(*section);
    if (const auto* section = reader.object("expect"))
      read_expectations(*section);
    if (made_.engine_only)
      check_engine_only(root);
    reader.finish();
    if (failure_)
      return *failure_;
    for (auto& note : measured_notes(made_))
      made_.notes.push_back(std::move(note));
    return std::move(made_);
  }

private:
  template <class Reader>
  void each(object_reader& reader, std::string_view name, bool required, const Reader& read_one) {
    if (required)
      reader.require(name);
    const auto* list = reader.array(name);
    if (!list)
      return;
    if (required && list->items.empty())
      reader.fail(name, "must not be empty");
    for (const auto& item : list->items)
      read_one(item);
  }

  /// A duration above 0 and within a run.
  duration_us span(object_reader& reader, std::string_view name, duration_us fallback) {
    const auto given = reader.duration(name, fallback);
    if (given <= 0 || given > limits::duration_us_max)
      reader.fail(name, "must be above 0 and at most " + format_duration(limits::duration_us_max));
    return given;
  }

  /// Only the first error is kept: later ones are often its consequences.
  void fail(const value& where, const std::string& message) {
    if (!failure_)
      failure_ = strict_json::error_at(origin_, where, message);
  }

  void read_tokens(object_reader& reader) {
    const auto word = reader.text("tokens", "each");
    made_.gathers_tokens = word == "gathered";
    if (word != "each" && word != "gathered")
      reader.fail("tokens", "unknown word `" + word + "`: expected each or gathered");
  }

  /// One engine serves one model to clients who wait, and nothing strikes it.
  void check_engine_only(const value& root) {
    const auto refuse = [&](const value& section, const char* what) {
      fail(section, std::string("an `engine_only` run has no ") + what);
    };
    if (made_.models.size() > 1)
      refuse(*root.find("models"), "second model");
    if (const auto* faults = root.find("faults"); faults && !made_.faults.empty())
      refuse(*faults, "faults");
    if (const auto* policy = root.find("policy"))
      refuse(*policy, "scheduler, so no policy");
    for (std::size_t number = 0; number < made_.workloads.size(); ++number) {
      const auto& item = root.find("workload")->items[number];
      for (const auto* name : {"deadline", "cancel", "device", "priority", "hedge", "policy"})
        if (const auto* given = item.find(name))
          refuse(*given, "scheduler that would mind it");
    }
    if (const auto* models = root.find("models"))
      for (const auto& [name, model] : models->members)
        if (const auto* policy = model.find("policy"))
          refuse(*policy, "scheduler, so no policy");
    if (const auto* section = root.find("scheduler"))
      for (const auto* name : {"policy", "profiles", "slo"})
        if (const auto* given = section->find(name))
          refuse(*given, "scheduler that would mind it");
  }

  /// Of a scenario, or of its `scheduler`, which may have been copied from a configuration file.
  void read_policy(object_reader& reader, const value& root) {
    const auto* section = root.find("scheduler");
    if (const auto* twice = root.find("policy"); twice && section && section->find("policy"))
      fail(*twice, "stands in `scheduler`, too: leave one of them out");
    made_.policy = strict_json::read_policy_name(reader, "policy", made_.policy, made_.profiles);
  }

  /// As in a configuration file, but for tenants.
  void read_placing(object_reader& reader, const value& section) {
    strict_json::policy_settings read{made_.policy, made_.aims, {}};
    strict_json::read_policies(reader, origin_, failure_, read);
    made_.policy = read.policy;
    made_.aims = read.slo;
    made_.profiles = std::move(read.profiles);
    for (const auto* name : {"tenant_policy", "tenant_weights"})
      if (const auto* given = section.find(name))
        fail(*given, "requests of a scenario have no tenant: leave it out, and name the policy of "
                     "a workload by its `policy`");
  }

  void read_scheduler(object_reader& outer) {
    const auto* section = outer.object("scheduler");
    if (!section)
      return;
    object_reader reader(*section, origin_, failure_);
    read_placing(reader, *section);
    made_.queue_max
        = static_cast<std::uint32_t>(reader.integer("queue_max", made_.queue_max, 1, 1'000'000));
    made_.lease_us = span(reader, "lease", made_.lease_us);
    if (made_.lease_us < limits::lease_us_min)
      reader.fail("lease", "must be at least " + format_duration(limits::lease_us_min)
                               + ": a node renews it three times in that");
    made_.queue_timeout_us = span(reader, "queue_timeout", made_.queue_timeout_us);
    if (const auto* remote = reader.object("remote")) {
      const auto read = strict_json::read_remote(*remote, origin_, failure_);
      made_.remote = read.use;
      made_.remote_budget_micros_per_hour = read.budget_micros_per_hour;
    }
    reader.finish();
  }

  /// One entry stands for `count` nodes; `{n}` in its name counts from 0.
  void read_nodes(const value& item) {
    object_reader reader(item, origin_, failure_);
    reader.require("name");
    reader.require("devices");
    const auto pattern = reader.text("name");
    const auto count = reader.integer("count", 1, 1, limits::nodes_max);
    const auto price = reader.number("price_per_hour", 0, 0, 1e6);
    const bool priced = item.find("price_per_hour") != nullptr;
    std::vector<device_model_ptr> devices;
    if (const auto* list = reader.array("devices"))
      for (const auto& device : list->items)
        for (const auto& made : read_devices(device, origin_, failure_))
          if (made) // Else the error is noted.
            devices.push_back(made);
    if (devices.empty() || devices.size() > limits::devices_per_node_max)
      reader.fail("devices",
                  "must name 1 to " + std::to_string(limits::devices_per_node_max) + " devices");
    check_stages(reader, {"", devices, price, priced});
    const auto place = pattern.find("{n}");
    if (count > 1 && place == std::string::npos)
      reader.fail("name", "needs `{n}` when count is above 1");
    for (std::int64_t number = 0; number < count && !failure_; ++number)
      add_node(item, pattern, place, number, {"", devices, price, priced});
    reader.finish();
  }

  /// Stages are worked by two devices of the node that work themselves.
  void check_stages(object_reader& reader, const scenario_node& node) {
    const auto ids = device_ids(node);
    const auto works = [&](const std::string& name) {
      const auto found = std::find(ids.begin(), ids.end(), "/" + name);
      return found != ids.end()
             && node.devices[static_cast<std::size_t>(found - ids.begin())]->stages.empty();
    };
    for (const auto& device : node.devices) {
      const auto& members = device->stages;
      if (!members.empty()
          && (!works(members.prefill) || !works(members.decode)
              || members.prefill == members.decode))
        reader.fail("devices", "`stages` must name two devices of the node, `gpu0` and the like, "
                               "that have no stages themselves");
    }
  }

  void add_node(const value& item, const std::string& pattern, std::size_t place,
                std::int64_t number, scenario_node made) {
    auto name = pattern;
    if (place != std::string::npos)
      name.replace(place, 3, std::to_string(number));
    messages::wire_check wire;
    if (!wire.check_name(name, "name") || name.size() > limits::name_bytes_max
        || name.find('/') != std::string::npos || name == gateway_word)
      fail(item, "a node name has 1 to " + std::to_string(limits::name_bytes_max)
                     + " letters, digits and signs of `._:@+-`, no slash, and is not `gateway`");
    if (!node_names_.insert(name).second)
      fail(item, "two nodes are named `" + name + "`");
    if (made_.nodes.size() >= limits::nodes_max)
      fail(item, "more than " + std::to_string(limits::nodes_max) + " nodes");
    devices_ += made.devices.size();
    if (devices_ > limits::devices_max)
      fail(item, "more than " + std::to_string(limits::devices_max) + " devices in all");
    made.name = std::move(name);
    made_.nodes.push_back(std::move(made));
  }

  void read_models(object_reader& outer) {
    outer.require("models");
    const auto* section = outer.object("models");
    if (!section)
      return;
    if (section->members.empty() || section->members.size() > limits::models_max)
      outer.fail("models", "must name 1 to " + std::to_string(limits::models_max) + " models");
    for (const auto& [name, entry] : section->members) {
      object_reader reader(entry, origin_, failure_);
      scenario_model model;
      model.name = name;
      messages::wire_check wire;
      if (name.empty() || !wire.check_label(name, "model"))
        fail(entry, "a model name has 1 to " + std::to_string(messages::limits::label_bytes_max)
                        + " bytes of UTF-8 and no control characters");
      model.where = strict_json::error_at(origin_, entry, "").message;
      model.where.erase(model.where.find_last_not_of(": ") + 1);
      const auto shape = read_shape(reader);
      if (!shape)
        reader.require("weights");
      model.weight_bytes = reader.size("weights", shape ? shape->weight_bytes() : 0);
      if (model.weight_bytes == 0)
        reader.fail("weights", "must be above 0");
      model.kv_bytes_per_token = static_cast<std::uint32_t>(reader.integer(
          "kv_bytes_per_token", shape ? shape->kv_bytes_per_token() : 0, 0, 1LL << 31));
      model.context_tokens = static_cast<std::uint32_t>(
          reader.integer("context", shape ? shape->context : 4096, 1, 1 << 24));
      model.shape = shape ? *shape : shape_of_sizes(model.weight_bytes, model.kv_bytes_per_token);
      model.devices_per_instance = static_cast<std::uint32_t>(
          reader.integer("devices_per_instance", 1, 1, limits::chips_max));
      model.replicas_min
          = static_cast<std::uint32_t>(reader.integer("replicas_min", 0, 0, 100'000));
      model.replicas_max
          = static_cast<std::uint32_t>(reader.integer("replicas_max", 0, 0, 100'000));
      if (model.replicas_max > 0 && model.replicas_max < model.replicas_min)
        reader.fail("replicas_max", "is below `replicas_min`");
      model.policy = strict_json::read_policy_name(reader, "policy", {}, made_.profiles);
      reader.finish();
      made_.models.push_back(std::move(model));
    }
  }

  void read_network(const value& section) {
    object_reader reader(section, origin_, failure_);
    for (const auto& [name, into] :
         {std::pair{"latency", &made_.network.latency_us}, {"jitter", &made_.network.jitter_us}}) {
      *into = reader.duration(name, *into);
      if (*into > limits::network_us_max)
        reader.fail(name, "must be at most " + format_duration(limits::network_us_max));
    }
    made_.network.plain = !reader.boolean("encoded", true);
    reader.finish();
  }

  void read_slo(const value& section) {
    object_reader reader(section, origin_, failure_);
    auto& slo = made_.slo;
    slo.ttft_us = reader.duration("ttft", 0);
    slo.ttft_per_1k_us = reader.duration("ttft_per_1k", 0);
    slo.itl_us = reader.duration("itl", 0);
    slo.gap_us = reader.duration("gap", 0);
    if (slo.ttft_per_1k_us > 0 && slo.ttft_us == 0)
      reader.fail("ttft_per_1k", "goes on top of `ttft`, which is missing");
    reader.finish();
    if (!slo.given())
      fail(section, "needs one of ttft, itl, gap");
  }

  void read_faults(object_reader& outer) {
    if (outer.member("faults") == nullptr || failure_)
      return; // After an error nodes may lack devices, and only the first error is told.
    const auto names = names_for_faults();
    each(outer, "faults", false, [&](const value& item) {
      if (made_.faults.size() >= limits::faults_max)
        fail(item, "more than " + std::to_string(limits::faults_max) + " faults");
      auto made = read_fault(item, origin_, names, failure_);
      for (const auto& name : made.absent)
        made_.notes.push_back(
            strict_json::error_at(origin_, item,
                                  "this cluster of the sweep has no `" + name + "` to strike")
                .message);
      if (made.absent.empty() || !made.targets.empty())
        made_.faults.push_back(std::move(made));
    });
  }

  fault_names names_for_faults() const {
    fault_names names;
    names.safety_us = made_.safety_us;
    names.elsewhere = elsewhere_;
    for (const auto& node : made_.nodes) {
      names.nodes.push_back(node.name);
      for (auto& id : device_ids(node))
        names.devices.push_back(std::move(id));
    }
    return names;
  }

  void read_expectations(const value& section) {
    for (const auto& [metric, bound] : section.members) {
      const auto& known = summary_metrics();
      if (std::find(known.begin(), known.end(), metric) == known.end())
        fail(bound, "unknown figure" + did_you_mean(metric, known));
      if (metric == "slo_attainment" && !made_.slo.given())
        fail(bound, "nothing was promised: add `slo`");
      scenario_expectation made{metric, {}, {}};
      // A bare number means exactly that.
      if (bound.type == strict_json::kind::number) {
        made.min = made.max = bound.number;
      } else {
        object_reader reader(bound, origin_, failure_);
        if (reader.member("min"))
          made.min = reader.number("min", 0, -1e15, 1e15);
        if (reader.member("max"))
          made.max = reader.number("max", 0, -1e15, 1e15);
        reader.finish();
        if (!made.min && !made.max)
          fail(bound, "needs a number, `min` or `max`");
        if (made.min && made.max && *made.min > *made.max)
          fail(bound, "`min` is above `max`");
      }
      if (const auto why = never_kept(made))
        fail(bound, *why);
      made_.expectations.push_back(std::move(made));
    }
  }

  std::string_view origin_;
  const fault_names* elsewhere_; ///< May be null.
  std::optional<error> failure_;
  std::set<std::string> node_names_;
  std::size_t devices_ = 0;
  scenario made_;
};

} // namespace

std::vector<std::string> device_ids(const scenario_node& node) {
  std::vector<std::string> made;
  std::map<std::string_view, std::size_t> numbers;
  for (const auto& model : node.devices)
    made.push_back(node.name + "/" + std::string(model->type)
                   + std::to_string(numbers[model->type]++));
  return made;
}

std::size_t device_count(const scenario& plan) {
  std::size_t made = 0;
  for (const auto& node : plan.nodes)
    made += node.devices.size();
  return made;
}

double cost_per_h(const scenario& plan) {
  double made = 0;
  for (const auto& node : plan.nodes) {
    made += node.price_per_h;
    for (const auto& device : node.devices)
      made += static_cast<double>(device->cost_micros_per_hour) / 1e6;
  }
  return made;
}

std::vector<std::string> unpriced_devices(const scenario& plan) {
  std::vector<std::string> made;
  for (const auto& node : plan.nodes)
    for (const auto& device : node.devices) {
      const bool known = node.priced || device->priced || !device->stages.empty();
      if (!known && std::find(made.begin(), made.end(), device->name) == made.end())
        made.push_back(device->name);
    }
  return made;
}

result<scenario> read_scenario(const value& root, std::string_view origin,
                               const fault_names* elsewhere) {
  return scenario_reader(origin, elsewhere).read(root);
}

namespace {

result<scenario> read_possible(const value& root, std::string_view origin) {
  auto plan = read_scenario(root, origin);
  if (plan)
    if (auto wrong = find_impossible(*plan, root, origin))
      return *wrong;
  return plan;
}

} // namespace

result<scenario> parse_scenario(std::string_view text, std::string_view origin) {
  const auto root = strict_json::parse(text, origin);
  if (!root)
    return root.failure();
  return read_possible(*root, origin);
}

result<value> load_scenario_tree(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  std::error_code unknown;
  if (std::filesystem::is_directory(path, unknown))
    return error{recovery::refuse, "usage", path + " is a folder: name a scenario file in it"};
  if (file)
    text << file.rdbuf();
  if (!file)
    return error{recovery::refuse, "usage",
                 "cannot read scenario " + path + ": check the path and its permissions"};
  return strict_json::parse(text.str(), path);
}

result<scenario> load_scenario(const std::string& path) {
  const auto root = load_scenario_tree(path);
  if (!root)
    return root.failure();
  return read_possible(*root, path);
}

} // namespace consort::sim
