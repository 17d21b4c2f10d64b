// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/fault_parser.hpp"
#include "scenarios/sim/scenario.hpp"
#include "scenarios/sim/summary.hpp"
#include "scenarios/strict_json.hpp"
#include "scheduler/nearest_name.hpp"
#include "scheduler/units.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

namespace consort::sim {

using strict_json::object_reader;
using strict_json::value;

namespace {

const std::vector<std::string> priority_words{"interactive", "standard", "batch"};

/// `20/s`, `0.5/s` or `30/m`: arrivals per second.
std::optional<double> parse_rate(std::string_view text) {
  double number = 0;
  const auto [stop, status]
      = std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  const auto unit = text.substr(static_cast<std::size_t>(stop - text.data()));
  if (status != std::errc{} || (unit != "/s" && unit != "/m"))
    return std::nullopt;
  const double rate = unit == "/m" ? number / 60 : number;
  return rate > 0 && rate <= limits::rate_per_s_max ? std::optional(rate) : std::nullopt;
}

/// One parse. Order matters in one place: models and nodes come before what names them.
class scenario_reader {
public:
  explicit scenario_reader(std::string_view origin) : origin_(origin) {}

  result<scenario> read(const value& root) {
    object_reader reader(root, origin_, failure_);
    reader.require("name");
    made_.name = reader.text("name");
    made_.proves = reader.text("proves");
    if (reader.member("seed"))
      made_.seed = static_cast<std::uint64_t>(reader.integer("seed", 0, 0, 1LL << 53));
    made_.safety_us = span(reader, "duration", made_.safety_us);
    made_.settle_us = span(reader, "settle", made_.settle_us);
    read_policy(reader);
    read_scheduler(reader);
    each(reader, "nodes", true, [&](const value& item) { read_nodes(item); });
    read_models(reader);
    each(reader, "workload", true, [&](const value& item) { read_workload(item); });
    if (const auto* section = reader.object("network"))
      read_network(*section);
    read_faults(reader);
    if (const auto* section = reader.object("expect"))
      read_expectations(*section);
    reader.finish();
    if (failure_)
      return *failure_;
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

  void read_policy(object_reader& reader) {
    const auto word = reader.text("policy", "latency");
    if (const auto policy = parse_policy(word))
      made_.policy = *policy;
    else
      reader.fail("policy", "unknown policy `" + word + "`" + did_you_mean(word, policy_words()));
  }

  void read_scheduler(object_reader& outer) {
    const auto* section = outer.object("scheduler");
    if (!section)
      return;
    object_reader reader(*section, origin_, failure_);
    made_.queue_max
        = static_cast<std::uint32_t>(reader.integer("queue_max", made_.queue_max, 1, 1'000'000));
    made_.lease_us = span(reader, "lease", made_.lease_us);
    made_.queue_timeout_us = span(reader, "queue_timeout", made_.queue_timeout_us);
    reader.finish();
  }

  /// One entry stands for `count` nodes; `{n}` in its name counts from 0.
  void read_nodes(const value& item) {
    object_reader reader(item, origin_, failure_);
    reader.require("name");
    reader.require("devices");
    const auto pattern = reader.text("name");
    const auto count = reader.integer("count", 1, 1, limits::nodes_max);
    std::vector<const device_model*> devices;
    if (const auto* list = reader.array("devices"))
      for (const auto& device : list->items)
        devices.push_back(device_named(device));
    if (devices.empty() || devices.size() > limits::devices_per_node_max)
      reader.fail("devices",
                  "must name 1 to " + std::to_string(limits::devices_per_node_max) + " devices");
    const auto place = pattern.find("{n}");
    if (count > 1 && place == std::string::npos)
      reader.fail("name", "needs `{n}` when count is above 1");
    for (std::int64_t number = 0; number < count; ++number)
      add_node(item, pattern, place, number, devices);
    reader.finish();
  }

  void add_node(const value& item, const std::string& pattern, std::size_t place,
                std::int64_t number, const std::vector<const device_model*>& devices) {
    auto name = pattern;
    if (place != std::string::npos)
      name.replace(place, 3, std::to_string(number));
    if (name.empty() || name.size() > limits::name_bytes_max
        || name.find_first_of("/*") != std::string::npos || name == gateway_word)
      fail(item, "a node name has 1 to " + std::to_string(limits::name_bytes_max)
                     + " bytes, no slash and no star, and is not `gateway`");
    if (!node_names_.insert(name).second)
      fail(item, "two nodes are named `" + name + "`");
    if (made_.nodes.size() >= limits::nodes_max)
      fail(item, "more than " + std::to_string(limits::nodes_max) + " nodes");
    made_.nodes.push_back({std::move(name), devices});
  }

  const device_model* device_named(const value& item) {
    const auto* found
        = item.type == strict_json::kind::string ? find_device_model(item.text) : nullptr;
    if (!found)
      fail(item,
           "unknown device `" + item.text + "`" + did_you_mean(item.text, device_model_names()));
    return found;
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
      reader.require("weights");
      model.weight_bytes = reader.size("weights", 0);
      model.kv_bytes_per_token
          = static_cast<std::uint32_t>(reader.integer("kv_bytes_per_token", 0, 0, 1LL << 31));
      model.context_tokens
          = static_cast<std::uint32_t>(reader.integer("context", 4096, 1, 1 << 24));
      model.replicas_min
          = static_cast<std::uint32_t>(reader.integer("replicas_min", 0, 0, 100'000));
      model.replicas_max
          = static_cast<std::uint32_t>(reader.integer("replicas_max", 0, 0, 100'000));
      reader.finish();
      model_names_.push_back(name);
      made_.models.push_back(std::move(model));
    }
  }

  void read_workload(const value& item) {
    if (made_.workloads.size() >= limits::workloads_max)
      fail(item, "more than " + std::to_string(limits::workloads_max) + " workloads");
    object_reader reader(item, origin_, failure_);
    scenario_workload work;
    reader.require("poisson");
    const auto rate = reader.text("poisson", "1/s");
    if (const auto parsed = parse_rate(rate))
      work.rate_per_s = *parsed;
    else
      reader.fail("poisson", "`" + rate + "` is not a rate such as 20/s or 30/m");
    // With one model there is nothing to choose, so naming it is optional.
    work.model = reader.text("model", model_names_.empty() ? "" : model_names_.front());
    if (std::find(model_names_.begin(), model_names_.end(), work.model) == model_names_.end())
      reader.fail("model",
                  "unknown model `" + work.model + "`" + did_you_mean(work.model, model_names_));
    work.input = quantity(reader, "input", 64);
    work.output = quantity(reader, "output", 32);
    work.device = reader.text("device", work.device);
    work.priority = priority(reader);
    if (reader.member("deadline"))
      work.deadline_us = span(reader, "deadline", 0);
    work.cancel_share = reader.number("cancel", 0, 0, 1);
    work.from = reader.duration("from", 0);
    // Arrivals belong to the safety phase, whatever `until` says.
    work.until = std::min(reader.duration("until", made_.safety_us), made_.safety_us);
    reader.finish();
    made_.workloads.push_back(std::move(work));
  }

  priority_class priority(object_reader& reader) {
    const auto word = reader.text("priority", "standard");
    const auto found = std::find(priority_words.begin(), priority_words.end(), word);
    if (found == priority_words.end()) {
      reader.fail("priority", "unknown class `" + word + "`" + did_you_mean(word, priority_words));
      return priority_class::standard;
    }
    return static_cast<priority_class>(found - priority_words.begin());
  }

  /// A number, or a distribution in words.
  distribution quantity(object_reader& reader, std::string_view name, double fallback) {
    const auto* found = reader.member(name);
    if (!found)
      return {distribution::kind::constant, fallback, 0};
    if (found->type == strict_json::kind::number)
      return {distribution::kind::constant, reader.number(name, 1, 1, limits::tokens_max), 0};
    auto parsed = parse_distribution(reader.text(name, "1"), limits::tokens_max);
    if (parsed)
      return *parsed;
    reader.fail(name, parsed.failure().message);
    return {};
  }

  void read_network(const value& section) {
    object_reader reader(section, origin_, failure_);
    made_.network.latency_us = reader.duration("latency", made_.network.latency_us);
    made_.network.jitter_us = reader.duration("jitter", made_.network.jitter_us);
    reader.finish();
  }

  void read_faults(object_reader& outer) {
    if (outer.member("faults") == nullptr)
      return;
    const auto names = names_for_faults();
    each(outer, "faults", false, [&](const value& item) {
      if (made_.faults.size() >= limits::faults_max)
        fail(item, "more than " + std::to_string(limits::faults_max) + " faults");
      made_.faults.push_back(read_fault(item, origin_, names, failure_));
    });
  }

  fault_names names_for_faults() const {
    fault_names names;
    names.safety_us = made_.safety_us;
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
      }
      made_.expectations.push_back(std::move(made));
    }
  }

  std::string_view origin_;
  std::optional<error> failure_;
  std::set<std::string> node_names_;
  std::vector<std::string> model_names_;
  scenario made_;
};

} // namespace

std::vector<std::string> device_ids(const scenario_node& node) {
  std::vector<std::string> made;
  std::map<std::string_view, std::size_t> numbers;
  for (const auto* model : node.devices)
    made.push_back(node.name + "/" + std::string(model->type)
                   + std::to_string(numbers[model->type]++));
  return made;
}

result<scenario> parse_scenario(std::string_view text, std::string_view origin) {
  const auto root = strict_json::parse(text, origin);
  if (!root)
    return root.failure();
  return scenario_reader(origin).read(*root);
}

result<scenario> load_scenario(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (file)
    text << file.rdbuf();
  if (!file)
    return error{recovery::refuse, "usage",
                 "cannot read scenario " + path + ": check the path and its permissions"};
  return parse_scenario(text.str(), path);
}

} // namespace consort::sim
