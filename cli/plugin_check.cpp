// SPDX-License-Identifier: Apache-2.0
#include "cli/plugin_check.hpp"

#include "cli/api.hpp"
#include "cli/config.hpp"
#include "cli/plugin_trial.hpp"
#include "cli/table.hpp"
#include "node/child_process.hpp"
#include "node/placeholders.hpp"
#include "node/plugin_json.hpp"
#include "node/probe_answer.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
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

class report {
public:
  void pass(std::string name, std::string detail) { add(std::move(name), "pass", detail); }
  void fail(std::string name, std::string detail) { add(std::move(name), "FAIL", detail); }
  void skip(std::string name, std::string detail) { add(std::move(name), "skip", detail); }
  void judge(std::string name, const result<std::string>& outcome) {
    outcome ? pass(std::move(name), *outcome) : fail(std::move(name), outcome.failure().message);
  }
  [[nodiscard]] bool failed() const {
    return std::any_of(steps_.begin(), steps_.end(),
                       [](const auto& one) { return one.outcome == "FAIL"; });
  }
  void show(context& env) const {
    if (env.json()) {
      auto all = json::array();
      for (const auto& one : steps_)
        all.push_back({{"step", one.name}, {"outcome", one.outcome}, {"detail", one.detail}});
      env.out << json{{"passed", !failed()}, {"steps", std::move(all)}}.dump(
          2, ' ', false, json::error_handler_t::replace)
              << '\n';
      return;
    }
    table rows({{"STEP"}, {"RESULT", align::left, false, true}, {"DETAIL"}});
    for (const auto& one : steps_)
      rows.add({one.name, one.outcome, printable(one.detail)});
    env.out << rows.render(env.wide(), env.colour);
  }

private:
  void add(std::string name, std::string outcome, std::string detail) {
    steps_.push_back({std::move(name), std::move(outcome), std::move(detail)});
  }
  std::vector<step> steps_;
};

std::string names_of(const std::vector<device_spec>& devices) {
  std::string made;
  for (const auto& device : devices)
    made += (made.empty() ? "" : ", ") + device.uuid + " (" + device.model + ")";
  return made;
}

std::string hosts_of(const node::plugin_document& document) {
  std::string made;
  for (const auto& [name, how] : document.runs_on)
    made += (made.empty() ? "" : ", ") + name;
  return made;
}

/// What a recorded answer is to be read with, by its name: `probe*`, `telemetry*`, and `also1*`,
/// `also2*` ... for the further questions of telemetry. Null: of no question.
const node::tool_query* query_for(const node::plugin_document& document, const std::string& name) {
  if (name.starts_with("probe"))
    return &document.probe;
  if (name.starts_with("telemetry"))
    return document.telemetry ? &*document.telemetry : nullptr;
  for (std::size_t at = 0; at < document.telemetry_also.size(); ++at)
    if (name.starts_with("also" + std::to_string(at + 1)))
      return &document.telemetry_also[at];
  return nullptr;
}

/// Recorded answers of the vendor's tools, in `fixtures/`.
void check_fixtures(report& out, const node::plugin_document& document, const fs::path& folder) {
  std::error_code failed;
  std::vector<fs::path> files;
  for (const auto& one : fs::directory_iterator(folder / "fixtures", failed))
    files.push_back(one.path());
  std::sort(files.begin(), files.end());
  if (files.empty())
    return out.skip("fixtures", "no recorded answers in fixtures/");
  for (const auto& file : files) {
    const auto name = file.filename().string();
    const auto* query = query_for(document, name);
    if (query == nullptr || query->parse == node::answer_format::sysfs)
      continue;
    std::ifstream in(file, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    const auto rows = node::split_answer(*query, text);
    out.judge("fixture " + name,
              rows ? result<std::string>(std::to_string(rows->size()) + " devices")
                   : result<std::string>(rows.failure()));
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
    if (node::find_program(program, folder).empty())
      if (const auto wrong = node::no_executable(program, folder); !wrong.empty())
        out.fail("tool", wrong);
}

void check_tools(report& out, node::json_plugin& plugin, const std::vector<device_spec>& devices) {
  if (plugin.metadata().engine)
    out.skip("telemetry", "its devices' own plugins read them");
  else if (!plugin.document().telemetry)
    out.skip("telemetry", "plugin.json has none: readings are unknown");
  else if (const auto readings = plugin.read(); !readings)
    out.fail("telemetry", readings.failure().message);
  else
    out.pass("telemetry", std::to_string(readings->size()) + " of " + std::to_string(devices.size())
                              + " devices read");
  const auto& builds = plugin.document().builds;
  if (builds.empty())
    return;
  const auto tools = plugin.toolchains();
  const auto faults = plugin.compiler_faults();
  for (const auto& fault : faults)
    out.fail("compiler", fault);
  if (tools.empty() && faults.empty())
    out.skip("compiler", builds.front().profile.compiler + " is not on this host");
  for (const auto& profile : tools)
    out.pass("compiler", profile.compiler + " " + profile.compiler_version + " for "
                             + (profile.target.empty() ? "every device" : profile.target));
}

/// What only a running model shows.
void check_run(report& out, plugin_trial& trial) {
  const auto run = [&](const char* name, result<std::string> (plugin_trial::*act)()) {
    auto outcome = (trial.*act)();
    const bool good = outcome.ok();
    if (!good && outcome.failure().code == "skipped")
      out.skip(name, outcome.failure().message);
    else
      out.judge(name, outcome);
    return good || outcome.failure().code == "skipped";
  };
  const bool serves = run("build", &plugin_trial::build) && run("load", &plugin_trial::load)
                      && run("generate", &plugin_trial::generate);
  if (!serves)
    return;
  run("cancel", &plugin_trial::cancel);
  run("kill", &plugin_trial::kill);
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
  report out;
  plugin_trial trial(*std::move(document), folder, flags.model.empty() ? shipped : flags.model,
                     !flags.model.empty());
  auto& plugin = trial.plugin();
  const auto& about = plugin.metadata();
  out.pass("plugin.json", about.name + " " + about.version + " (" + about.vendor + ")");
  check_fixtures(out, plugin.document(), folder);
  check_modes(out, plugin.document(), folder);
  if (const auto there = plugin.available(); !there) {
    if (there.failure().code == "tool_unusable")
      out.fail("available", there.failure().message);
    else
      out.skip("available", there.failure().message);
    out.show(env);
    return out.failed() ? exit_code::failed : exit_code::done;
  }
  out.pass("available", "on this host");
  const auto devices = trial.probe();
  if (about.engine)
    out.skip("probe", "an engine: it runs on devices of " + hosts_of(plugin.document()));
  else
    out.judge("probe", devices ? result<std::string>(names_of(*devices))
                               : result<std::string>(devices.failure()));
  if (devices) {
    check_tools(out, plugin, *devices);
    if (flags.no_run)
      out.skip("run", "--no-run");
    else
      check_run(out, trial);
  }
  out.show(env);
  return out.failed() ? exit_code::failed : exit_code::done;
}

} // namespace consort::cli
