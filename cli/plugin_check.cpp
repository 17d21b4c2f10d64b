// SPDX-License-Identifier: Apache-2.0
#include "cli/plugin_check.hpp"

#include "cli/api.hpp"
#include "cli/config.hpp"
#include "cli/plugin_trial.hpp"
#include "cli/recorded_answers.hpp"
#include "cli/table.hpp"
#include "node/child_process.hpp"
#include "node/device_readings.hpp"
#include "node/placeholders.hpp"
#include "node/plugin_json.hpp"
#include "node/probe_answer.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <filesystem>
#include <ostream>
#include <set>

namespace consort::cli {

namespace {

namespace fs = std::filesystem;

struct step {
  std::string name;
  std::string outcome; ///< `pass`, `FAIL` or `skip`.
  std::string detail;
};

/// Rows go out as they come, since some steps take very long; JSON goes out whole.
class report {
public:
  /// `name_width`: of the longest name that is known to come.
  report(context& env, std::size_t name_width)
      : env_(env),
        rows_({{"STEP", align::left, false, false, name_width},
               {"RESULT", align::left, false, true},
               {"DETAIL"}}) {}

  void pass(std::string name, std::string detail) { add(std::move(name), "pass", detail); }
  void fail(std::string name, std::string detail) { add(std::move(name), "FAIL", detail); }
  void skip(std::string name, std::string detail) { add(std::move(name), "skip", detail); }
  void judge(std::string name, const result<std::string>& outcome) {
    outcome ? pass(std::move(name), *outcome) : fail(std::move(name), outcome.failure().message);
  }
  /// What is under way, on a terminal only and until the next row.
  void under_way(const std::string& what) {
    if (env_.colour && !env_.json())
      env_.out << "\r\x1b[K" << what << " ..." << std::flush;
  }
  [[nodiscard]] exit_code finish() {
    const bool failed = std::any_of(steps_.begin(), steps_.end(),
                                    [](const auto& one) { return one.outcome == "FAIL"; });
    if (env_.json()) {
      auto all = json::array();
      for (const auto& one : steps_)
        all.push_back({{"step", one.name}, {"outcome", one.outcome}, {"detail", one.detail}});
      env_.out << json{{"passed", !failed}, {"steps", std::move(all)}}.dump(
          2, ' ', false, json::error_handler_t::replace)
               << '\n';
    }
    return failed ? exit_code::failed : exit_code::done;
  }

private:
  void add(std::string name, std::string outcome, std::string detail) {
    rows_.add({name, outcome, printable(detail)});
    if (!env_.json())
      env_.out << (env_.colour ? "\r\x1b[K" : "") << rows_.render_further(env_.wide(), env_.colour)
               << std::flush;
    steps_.push_back({std::move(name), std::move(outcome), std::move(detail)});
  }
  context& env_;
  table rows_;
  std::vector<step> steps_;
};

std::string names_of(const std::vector<device_spec>& devices) {
  std::string made;
  for (const auto& device : devices)
    made += (made.empty() ? "" : ", ") + device.uuid + " (" + device.model + ")";
  return made;
}

error without_model(const std::string& id) {
  return {recovery::refuse, "plugin_probe",
          id + " has no model: nothing stands where `model` of the probe points"};
}

/// What the probe is to find and no device has.
std::string unknown_facts(const node::tool_query& probe, const std::vector<device_spec>& devices) {
  std::string made;
  const auto miss = [&](const std::string& name, const auto& known) {
    if (std::none_of(devices.begin(), devices.end(), known))
      made += (made.empty() ? "; unknown: " : ", ") + name;
  };
  if (probe.fields.contains("memory_bytes"))
    miss("memory_bytes", [](const auto& device) { return device.memory_bytes > 0; });
  if (probe.fields.contains("topology_group"))
    miss("topology_group",
         [](const auto& device) { return node::says_something(device.topology_group); });
  for (const auto& [name, source] : probe.attributes)
    miss("attributes." + name, [&name = name](const auto& device) {
      const auto found = device.attributes.find(name);
      return found != device.attributes.end() && node::says_something(found->second);
    });
  return made;
}

/// Devices with their models, which compilers and spec sheets go by.
result<std::string> judge_devices(const node::tool_query& probe,
                                  const std::vector<device_spec>& devices) {
  for (const auto& device : devices)
    if (device.model.empty())
      return without_model(device.uuid);
  return names_of(devices) + unknown_facts(probe, devices);
}

/// With what the probe's tool printed in front of its answer: it is passed over, and may be why
/// something is unknown.
result<std::string> with_preface(const node::json_plugin& plugin, result<std::string> judged) {
  const auto words = plugin.preface("probe");
  if (judged && !words.empty())
    judged = *judged + "; passed over in front of its answer: " + words;
  return judged;
}

/// Of the longest name among the steps.
std::size_t name_width(const fs::path& folder) {
  auto longest = std::string_view("plugin.json").size();
  for (const auto& file : fixtures_in(folder))
    longest = std::max(longest, ("fixture " + file.filename().string()).size());
  return longest;
}

/// Recorded answers of the vendor's tools, in `fixtures/`.
void check_fixtures(report& out, const node::plugin_document& document, const fs::path& folder) {
  const auto files = fixtures_in(folder);
  if (files.empty())
    return out.skip("fixtures", "no recorded answers in fixtures/");
  for (const auto& file : files) {
    const auto name = "fixture " + file.filename().string();
    const auto judged = judge_fixture(document, file);
    if (judged && !judged->ok() && judged->failure().code == "skipped")
      out.skip(name, judged->failure().message);
    else if (judged)
      out.judge(name, *judged);
  }
}

/// A tool of the plugin's own that lost its mode is a fault of the folder, wherever it is looked
/// at.
void check_modes(report& out, const node::plugin_document& document, const std::string& folder) {
  std::set<std::string> programs;
  const auto add = [&](const std::vector<std::string>& command) {
    if (!command.empty())
      programs.insert(node::replace_placeholders(command.front(), {{"plugin", folder}}));
  };
  add(document.probe.command);
  if (document.telemetry)
    add(document.telemetry->command);
  for (const auto& query : document.telemetry_also)
    add(query.command);
  for (const auto& build : document.builds) {
    add(build.command);
    add(build.version_command);
  }
  if (!document.runtime.server.container) // Its command is a path in the image.
    add(document.runtime.server.command);
  if (document.runtime.cache)
    add(document.runtime.cache->version_command);
  for (const auto& program : programs)
    if (node::find_program(program, node::tool_place{folder, document.search}).empty())
      if (const auto wrong = node::no_executable(program, folder); !wrong.empty())
        out.fail("tool", wrong);
}

/// What the compilers' configurations are made of is a part of the folder, as tools are.
void check_templates(report& out, const node::plugin_document& document,
                     const std::string& folder) {
  std::error_code failed;
  for (const auto& build : document.builds)
    if (build.interface == node::build_interface::config)
      if (const auto path = folder + "/" + build.config_template;
          !fs::is_regular_file(path, failed))
        out.fail("template",
                 path + " is not there: `config.template` of " + build.profile.name + " names it");
}

/// Whether a tool said it in words; a count of errors may well be left to be unhealthy.
bool is_word(const std::string& said) {
  return std::any_of(said.begin(), said.end(),
                     [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); });
}

/// Health in a word of the tool's that the plugin makes nothing of.
std::optional<error> unmapped(const std::map<std::string, device_reading>& readings) {
  for (const auto& [id, reading] : readings)
    if (const auto word = node::unmapped_word(reading); word && is_word(*word))
      return error{recovery::refuse, "plugin_telemetry",
                   id + " is unhealthy: " + reading.health_reason};
  return std::nullopt;
}

/// What is declared and no device's reading has.
std::string unknown_figures(const node::plugin_document& document, bool health_told,
                            const std::map<std::string, device_reading>& readings) {
  const auto known = [&](auto figure) {
    return std::any_of(readings.begin(), readings.end(),
                       [&](const auto& one) { return (one.second.*figure).has_value(); });
  };
  const std::map<std::string, bool> figures{
      {"memory_used_bytes", known(&device_reading::memory_used_bytes)},
      {"utilization", known(&device_reading::utilization_pm)},
      {"power_watts", known(&device_reading::power_mw)},
      {"energy_joules", known(&device_reading::energy_mj)},
      {"temperature_celsius", known(&device_reading::temperature_mc)},
      {"health", health_told}};
  const auto& also = document.telemetry_also;
  std::string made;
  for (const auto& [name, is_known] : figures)
    if (!is_known
        && (document.telemetry->fields.contains(name)
            || std::any_of(also.begin(), also.end(), [&name = name](const auto& query) {
                 return query.fields.contains(name);
               })))
      made += (made.empty() ? "; unknown: " : ", ") + name;
  return made;
}

/// Every device needs a reading under its own id; parts of one may have theirs or not.
result<std::string> judge_readings(const node::plugin_document& document, bool health_told,
                                   const std::map<std::string, device_reading>& readings,
                                   const std::vector<device_spec>& devices) {
  std::string unread, others;
  std::size_t read = 0;
  for (const auto& device : devices) {
    read += readings.contains(device.uuid) ? 1 : 0;
    if (!readings.contains(device.uuid) && device.parent.empty())
      unread += (unread.empty() ? "" : ", ") + device.uuid;
  }
  for (const auto& [id, reading] : readings)
    if (std::none_of(devices.begin(), devices.end(),
                     [&id = id](const auto& device) { return device.uuid == id; }))
      others += (others.empty() ? "" : ", ") + id;
  if (!unread.empty())
    return error{recovery::refuse, "plugin_telemetry",
                 "no row of it is of " + unread
                     + (others.empty() ? "" : "; its rows are of " + others)};
  if (auto odd = unmapped(readings))
    return *std::move(odd);
  return std::to_string(read) + " of " + std::to_string(devices.size()) + " devices read"
         + unknown_figures(document, health_told, readings);
}

void check_telemetry(report& out, node::json_plugin& plugin,
                     const std::vector<device_spec>& devices) {
  const auto& document = plugin.document();
  if (plugin.metadata().engine)
    return out.skip("telemetry", "its devices' own plugins read them");
  if (!document.telemetry)
    return out.skip("telemetry", "plugin.json has none: readings are unknown");
  out.under_way("telemetry");
  const auto readings = plugin.read();
  out.judge("telemetry", readings
                             ? judge_readings(document, plugin.health_told(), *readings, devices)
                             : result<std::string>(readings.failure()));
}

void check_compilers(report& out, node::json_plugin& plugin,
                     const std::vector<device_spec>& devices) {
  const auto& builds = plugin.document().builds;
  if (builds.empty())
    return;
  out.under_way("compiler");
  const auto tools = plugin.toolchains();
  const auto faults = plugin.compiler_faults();
  for (const auto& fault : faults)
    out.fail("compiler", fault);
  const auto idle = plugin.compilers_without_target();
  if (tools.empty() && faults.empty() && idle.empty())
    out.skip("compiler", builds.front().profile.compiler + " is not on this host");
  std::vector<std::string> rows; // Profiles may differ in what no row says.
  const auto add = [&](const build_profile& by, const std::string& target) {
    auto row = by.compiler + " " + by.compiler_version + " for " + target;
    if (std::find(rows.begin(), rows.end(), row) == rows.end())
      rows.push_back(std::move(row));
  };
  for (const auto& profile : tools)
    add(profile, profile.target.empty() ? "every device" : profile.target);
  for (const auto& [profile, attribute] : idle)
    add(profile, "the " + attribute + " of a device, which none says here");
  for (const auto& row : rows)
    out.pass("compiler", row);
  // Devices whose runtime is not there name no profile of their own.
  const bool runs = plugin.missing_library().empty();
  const bool wanted = std::any_of(devices.begin(), devices.end(), [](const auto& device) {
    return !device.capability.build_profiles.empty();
  });
  // An engine's devices are others', who may have such as it does not build for.
  if (runs && faults.empty() && !tools.empty() && !devices.empty() && !wanted
      && !plugin.metadata().engine)
    out.fail("compiler", "it builds for " + tools.front().target
                             + ", which is no device here: " + names_of(devices));
}

/// Which device an engine is tried on.
void tell_host(report& out, const plugin_trial& trial, const device_spec& device) {
  if (trial.hostless().empty())
    out.pass("probe", "an engine: tried on " + device.uuid + " (" + device.model + "), which "
                          + device.plugin + " finds");
  else
    out.skip("probe", "an engine, and " + trial.hostless());
}

/// What only a running model shows.
void check_run(report& out, plugin_trial& trial) {
  trial.on_progress([&out](std::uint32_t done_pm) {
    out.under_way("build " + std::to_string(done_pm / 10) + " %");
  });
  const auto run = [&](const char* name, result<std::string> (plugin_trial::*act)()) {
    out.under_way(name);
    trial.stay_if_interrupted();
    auto outcome = (trial.*act)();
    trial.stay_if_interrupted();
    const bool good = outcome.ok();
    if (!good && outcome.failure().code == "skipped")
      out.skip(name, outcome.failure().message);
    else
      out.judge(name, outcome);
    return good || outcome.failure().code == "skipped";
  };
  const bool serves = run("build", &plugin_trial::build) && run("load", &plugin_trial::load)
                      && run("generate", &plugin_trial::generate);
  if (serves) {
    run("cancel", &plugin_trial::cancel);
    run("kill", &plugin_trial::kill);
  }
  if (trial.contained())
    run("remove", &plugin_trial::remove);
}

} // namespace

exit_code check_plugin(context& env, const plugin_check_flags& flags) {
  std::error_code failed; // A path that cannot be made absolute is refused by the loader.
  const auto folder = fs::absolute(flags.folder, failed).lexically_normal().string();
  auto document = node::load_plugin_json(folder);
  if (!document)
    return complain(env, document.failure());
  auto config = configuration(env);
  if (!config)
    return complain(env, config.failure());
  const auto shipped = config->models.empty() ? std::string() : config->models.front().source;
  spdlog::set_level(spdlog::level::err); // The table says it.
  report out(env, name_width(folder));
  auto model = flags.model.empty() ? shipped : flags.model;
  if (fs::exists(model, failed)) // Compilers and runtimes run in folders of their own.
    model = fs::absolute(model, failed).string();
  auto hosts_in = config->plugin_dirs; // And beside one that is not installed yet.
  hosts_in.push_back((fs::path(folder) / "..").lexically_normal().string());
  plugin_trial trial(*std::move(document), folder, model, !flags.model.empty(),
                     std::move(hosts_in));
  auto& plugin = trial.plugin();
  const auto& about = plugin.metadata();
  out.pass("plugin.json", about.name + " " + about.version + " (" + about.vendor + ")");
  check_fixtures(out, plugin.document(), folder);
  check_modes(out, plugin.document(), folder);
  check_templates(out, plugin.document(), folder);
  if (const auto there = plugin.available(); !there) {
    if (there.failure().code == "tool_unusable")
      out.fail("available", there.failure().message);
    else
      out.skip("available", there.failure().message);
    return out.finish();
  }
  out.pass("available", "on this host");
  out.under_way("probe");
  const auto devices = trial.probe();
  if (about.engine && devices)
    tell_host(out, trial, devices->front());
  else if (!devices && devices.failure().code == "skipped")
    out.skip("probe", devices.failure().message);
  else
    out.judge("probe", devices
                           ? with_preface(plugin, judge_devices(plugin.document().probe, *devices))
                           : result<std::string>(devices.failure()));
  if (devices) {
    check_telemetry(out, plugin, *devices);
    check_compilers(out, plugin, *devices);
    if (const auto library = plugin.missing_library(); !library.empty())
      out.skip("runtime", "its library is not on this host: " + library);
    if (flags.no_run)
      out.skip("run", "--no-run");
    else
      check_run(out, trial);
  }
  return out.finish();
}

} // namespace consort::cli
