// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/scenario_workloads.hpp"

#include "scheduler/nearest_name.hpp"
#include "scheduler/units.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>

namespace consort::sim {

using strict_json::object_reader;
using strict_json::value;

namespace {

const std::vector<std::string> priority_words{"interactive", "standard", "batch"};
/// What a workload's requests come from; exactly one of them.
constexpr std::array<const char*, 8> origins{"poisson", "gamma",  "bursts", "diurnal",
                                             "stages",  "closed", "trace",  "servegen"};

/// `20/s`, `0.5/s` or `30/m`: arrivals per second, whatever they are.
std::optional<double> parse_rate(std::string_view text) {
  double number = 0;
  const auto [stop, status]
      = std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  const auto unit = text.substr(static_cast<std::size_t>(stop - text.data()));
  if (status != std::errc{} || (unit != "/s" && unit != "/m"))
    return std::nullopt;
  return unit == "/m" ? number / 60 : number;
}

class workload_reader {
public:
  workload_reader(const value& item, std::string_view origin, std::optional<error>& failure)
      : item_(item), origin_(origin), failure_(failure), reader_(item, origin, failure) {}

  scenario_workload read(const scenario& plan) {
    read_origin();
    std::vector<std::string> models;
    for (const auto& model : plan.models)
      models.push_back(model.name);
    // With one model there is nothing to choose, so naming it is optional.
    made_.model = reader_.text("model", models.empty() ? "" : models.front());
    if (std::find(models.begin(), models.end(), made_.model) == models.end())
      reader_.fail("model", "unknown model `" + made_.model + "`"
                                + did_you_mean_or_list(made_.model, models));
    if (made_.trace_paths.empty() && made_.servegen_folder.empty())
      read_drawn();
    made_.device = reader_.text("device", made_.device);
    made_.priority = priority();
    if (reader_.member("deadline"))
      made_.deadline_us = span(reader_, "deadline", 0);
    made_.cancel_share = reader_.number("cancel", 0, 0, 1);
    made_.hedge = reader_.boolean("hedge", false);
    if (reader_.member("policy"))
      made_.policy = strict_json::read_policy_name(reader_, "policy", plan.policy, plan.profiles);
    made_.from = reader_.duration("from", 0);
    // Arrivals belong to the safety phase, whatever `until` says.
    const auto until = reader_.duration("until", plan.safety_us);
    made_.until = std::min(until, plan.safety_us);
    made_.ends_early = item_.find("until") != nullptr && until <= plan.safety_us;
    reader_.finish();
    return std::move(made_);
  }

private:
  duration_us span(object_reader& reader, std::string_view name, duration_us fallback) {
    const auto given = reader.duration(name, fallback);
    if (given <= 0 || given > limits::duration_us_max)
      reader.fail(name, "must be above 0 and at most " + format_duration(limits::duration_us_max));
    return given;
  }

  double rate(object_reader& reader, std::string_view name) {
    reader.require(name);
    const auto text = reader.text(name, "1/s");
    const auto parsed = parse_rate(text);
    if (parsed && *parsed > 0 && *parsed <= limits::rate_per_s_max)
      return *parsed;
    reader.fail(name, "`" + text + "` is not a rate such as 20/s or 30/m, above 0 and at most "
                          + std::to_string(static_cast<int>(limits::rate_per_s_max)) + "/s");
    return 1;
  }

  /// A number, or a distribution in words.
  distribution quantity(object_reader& reader, std::string_view name, double fallback,
                        double least) {
    const auto* found = reader.member(name);
    if (!found)
      return {distribution::kind::constant, fallback, 0};
    if (found->type == strict_json::kind::number)
      return {distribution::kind::constant, reader.number(name, 1, least, limits::tokens_max), 0};
    const auto text = reader.text(name, "1");
    auto parsed = parse_distribution(text, limits::tokens_max);
    if (parsed && parsed->largest() < least)
      reader.fail(name, "`" + text + "` is never 1 or more");
    if (parsed)
      return *parsed;
    reader.fail(name, parsed.failure().message);
    return {};
  }

  void read_origin() {
    const auto given = [&](const char* name) { return item_.find(name) != nullptr; };
    std::string words;
    for (const auto* name : origins) {
      static_cast<void>(reader_.member(name)); // Else it is no name that a misspelt one is near to.
      words += (words.empty() ? "" : ", ") + std::string(name);
    }
    if (std::none_of(origins.begin(), origins.end(), given))
      return reader_.fail_missing("needs one of " + words);
    if (std::count_if(origins.begin(), origins.end(), given) > 1)
      return reader_.fail("", "needs exactly one of " + words);
    if (given("poisson"))
      made_.rate_per_s = rate(reader_, "poisson");
    else if (given("trace"))
      read_trace();
    else if (given("servegen"))
      read_servegen();
    else if (given("stages"))
      read_stages();
    else
      read_process();
  }

  void read_stages() {
    auto& drawn = made_.drawn;
    drawn.process = arrival_process::stages;
    const auto* list = reader_.array("stages");
    if (!list)
      return;
    if (list->items.empty() || list->items.size() > limits::stages_max)
      reader_.fail("stages", "must be 1 to " + std::to_string(limits::stages_max) + " stages");
    for (const auto& item : list->items) {
      object_reader reader(item, origin_, failure_);
      reader.require("for");
      const auto each = rate(reader, "rate");
      drawn.stages.emplace_back(each, span(reader, "for", limits::second_us));
      reader.finish();
    }
  }

  void read_process() {
    auto& drawn = made_.drawn;
    if (const auto* section = reader_.object("gamma")) {
      object_reader reader(*section, origin_, failure_);
      drawn.process = arrival_process::gamma;
      made_.rate_per_s = rate(reader, "rate");
      drawn.cv = reader.number("cv", 1, 0.05, 100);
      reader.finish();
    } else if (const auto* bursts = reader_.object("bursts")) {
      object_reader reader(*bursts, origin_, failure_);
      drawn.process = arrival_process::bursts;
      made_.rate_per_s = rate(reader, "rate");
      drawn.peak_rate = rate(reader, "peak");
      drawn.on_us = span(reader, "on", limits::second_us);
      drawn.off_us = span(reader, "off", limits::second_us);
      reader.finish();
    } else if (const auto* wave = reader_.object("diurnal")) {
      object_reader reader(*wave, origin_, failure_);
      drawn.process = arrival_process::diurnal;
      made_.rate_per_s = rate(reader, "rate");
      drawn.depth = reader.number("depth", 0.8, 0, 1);
      drawn.period_us = span(reader, "period", 24 * 3'600 * limits::second_us);
      reader.finish();
    } else if (const auto* closed = reader_.object("closed")) {
      object_reader reader(*closed, origin_, failure_);
      drawn.process = arrival_process::closed;
      reader.require("clients");
      drawn.clients = static_cast<std::uint32_t>(reader.integer("clients", 1, 1, 1'000'000));
      drawn.think_s = quantity(reader, "think_s", 0, 0);
      reader.finish();
    }
  }

  std::string beside(const std::string& path) const {
    return (std::filesystem::path(origin_).parent_path() / path).string();
  }

  void read_trace() {
    const auto* given = reader_.member("trace");
    if (given->type == strict_json::kind::string)
      made_.trace_paths = {reader_.text("trace")};
    else
      made_.trace_paths = reader_.texts("trace");
    if (made_.trace_paths.empty() || made_.trace_paths.size() > limits::traces_max)
      return reader_.fail("trace",
                          "must name 1 to " + std::to_string(limits::traces_max) + " files");
    for (auto& path : made_.trace_paths)
      path = beside(path);
    auto& lens = made_.lens;
    lens.skip_us = reader_.duration("skip", 0);
    if (reader_.member("take"))
      lens.take_us = span(reader_, "take", 0);
    lens.speed = reader_.number("speed", 1, 1e-3, 1e6);
    lens.repeat = static_cast<std::uint32_t>(reader_.integer("repeat", 1, 1, 1'000'000));
    lens.input_scale = reader_.number("input_scale", 1, 1e-3, 1e3);
    lens.output_scale = reader_.number("output_scale", 1, 1e-3, 1e3);
    for (const auto& path : made_.trace_paths) {
      auto opened = trace_reader::open(path);
      if (!opened)
        return reader_.fail("trace", opened.failure().message);
      const auto first = (*opened)->next();
      if (!first)
        return reader_.fail("trace", first.failure().message);
      if (!*first)
        return reader_.fail("trace", path + ": holds no request");
    }
    if (lens.skip_us > 0)
      check_skip();
  }

  void check_skip() {
    auto once = made_.lens;
    once.repeat = 1;
    auto opened = open_traces(made_.trace_paths, once);
    if (!opened)
      return reader_.fail("trace", opened.failure().message);
    const auto first = (*opened)->next();
    if (!first)
      reader_.fail("trace", first.failure().message);
    else if (!*first)
      reader_.fail("skip", "leaves nothing: the trace is over before");
  }

  void read_servegen() {
    made_.servegen_folder = beside(reader_.text("servegen"));
    made_.servegen_scale = reader_.number("scale", 1, 1e-6, 1e6);
    made_.lens.skip_us = reader_.duration("skip", 0);
    servegen_settings settings;
    settings.folder = made_.servegen_folder;
    if (auto opened = open_servegen(settings); !opened)
      reader_.fail("servegen", opened.failure().message);
  }

  void read_drawn() {
    made_.input = quantity(reader_, "input", 64, 1);
    made_.output = quantity(reader_, "output", 32, 1);
    auto& drawn = made_.drawn;
    if (const auto* section = reader_.object("sessions")) {
      object_reader reader(*section, origin_, failure_);
      reader.require("turns");
      drawn.turns = static_cast<std::uint32_t>(reader.integer("turns", 1, 1, 10'000));
      drawn.think_s = quantity(reader, "think_s", 0, 0);
      reader.finish();
    }
    if (const auto* section = reader_.object("shared_prefix")) {
      object_reader reader(*section, origin_, failure_);
      reader.require("groups");
      reader.require("tokens");
      const auto whole = [&](const char* name, std::int64_t fallback) {
        return static_cast<std::uint32_t>(reader.integer(name, fallback, 1, 1'000'000));
      };
      drawn.prefix_groups = whole("groups", 1);
      drawn.prefix_tokens = whole("tokens", 1);
      drawn.prefix_prompts = static_cast<std::uint32_t>(reader.integer("prompts", 0, 0, 1'000'000));
      drawn.block_tokens = whole("block_tokens", drawn.block_tokens);
      drawn.prefix_skew = reader.number("skew", 0, 0, 10);
      reader.finish();
    }
  }

  priority_class priority() {
    const auto word = reader_.text("priority", "standard");
    const auto found = std::find(priority_words.begin(), priority_words.end(), word);
    if (found == priority_words.end()) {
      reader_.fail("priority",
                   "unknown class `" + word + "`" + did_you_mean_or_list(word, priority_words));
      return priority_class::standard;
    }
    return static_cast<priority_class>(found - priority_words.begin());
  }

  const value& item_;
  std::string_view origin_;
  std::optional<error>& failure_;
  object_reader reader_;
  scenario_workload made_;
};

} // namespace

scenario_workload read_workload(const value& item, std::string_view origin, const scenario& plan,
                                std::optional<error>& failure) {
  return workload_reader(item, origin, failure).read(plan);
}

} // namespace consort::sim
