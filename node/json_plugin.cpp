// SPDX-License-Identifier: Apache-2.0
#include "node/json_plugin.hpp"

#include "node/child_process.hpp"
#include "node/placeholders.hpp"
#include "node/probe_answer.hpp"
#include "node/tool_compile.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>

namespace consort::node {

namespace {

bool exists(const std::string& path) {
  struct stat found {};
  return ::stat(path.c_str(), &found) == 0;
}

std::string last_line(const std::string& text) {
  const auto end = text.find_last_not_of(" \r\n");
  if (end == std::string::npos)
    return {};
  const auto start = text.find_last_of('\n', end);
  return text.substr(start == std::string::npos ? 0 : start + 1).substr(0, 200);
}

/// Runs a plugin's command: found in its folder first, run there.
result<child_exit> run_tool(const std::vector<std::string>& command, const std::string& folder,
                            duration_us timeout_us) {
  child_spec spec;
  for (const auto& argument : command)
    spec.argv.push_back(replace_placeholders(argument, {{"plugin", folder}}));
  const auto program = find_program(spec.argv.front(), folder);
  if (program.empty())
    return error{recovery::retry_later, "tool_missing",
                 "no program " + spec.argv.front() + " in " + folder + " or in PATH"};
  spec.argv.front() = program;
  spec.work_path = folder;
  spec.timeout_us = timeout_us;
  spec.grace_us = limits::probe_grace_us;
  return run_child(spec);
}

device_reading reading_of(const tool_query& query, const answer_row& row) {
  device_reading reading;
  const auto whole = [&](const char* name) -> std::optional<std::uint64_t> {
    const auto figure = figure_of(query, row, name);
    return figure && *figure >= 0 ? std::optional(static_cast<std::uint64_t>(*figure))
                                  : std::nullopt;
  };
  reading.memory_used_bytes = whole("memory_used_bytes");
  reading.power_mw = whole("power_watts");
  reading.energy_mj = whole("energy_joules");
  if (const auto busy = whole("utilization"))
    reading.utilization_pm = static_cast<std::uint32_t>(std::min<std::uint64_t>(*busy, 1000));
  if (const auto heat = figure_of(query, row, "temperature_celsius");
      heat && std::abs(*heat) < 1'000'000)
    reading.temperature_mc = static_cast<std::int32_t>(*heat);
  // An unknown word is no good sign: only the three known ones are taken at their word.
  const auto health = text_of(row, "health");
  if (health == "degraded")
    reading.health = device_health::degraded;
  else if (!health.empty() && health != "healthy")
    reading.health = device_health::unhealthy;
  return reading;
}

} // namespace

json_plugin::json_plugin(plugin_document document, std::string folder,
                         plugin_environment environment)
    : document_(std::move(document)),
      folder_(std::move(folder)),
      environment_(std::move(environment)) {}

result<done> json_plugin::available() {
  std::string missing;
  bool any = false;
  for (const auto& test : document_.available.tests) {
    const bool there = test.what == availability_test::kind::path
                           ? exists(replace_placeholders(test.name, {{"plugin", folder_}}))
                           : !find_program(test.name, folder_).empty();
    any = any || there;
    if (!there)
      missing += (missing.empty() ? "" : ", ") + test.name;
  }
  const bool good
      = document_.available.tests.empty() || (document_.available.any ? any : missing.empty());
  if (good)
    return done{};
  return error{recovery::retry_later, "not_available", "not on this host: " + missing};
}

result<std::string> json_plugin::ask(const tool_query& query) const {
  if (query.command.empty())
    return std::string{};
  const auto end = run_tool(query.command, folder_, query.timeout_us);
  if (!end)
    return end.failure();
  if (!end->ok())
    return error{recovery::retry_later, "tool_failed",
                 query.command.front() + " " + describe_exit(*end) + ": "
                     + last_line(end->err.tail.empty() ? end->out.tail : end->err.tail)};
  if (end->out.cut())
    return error{recovery::retry_later, "tool_failed",
                 query.command.front() + " printed more than "
                     + std::to_string(end->out.text.size()) + " bytes"};
  return end->out.text;
}

result<std::vector<device_spec>> json_plugin::probe() {
  const auto answer = ask(document_.probe);
  if (!answer)
    return answer.failure();
  const auto rows = split_answer(document_.probe, *answer);
  if (!rows)
    return error{rows.failure().action, rows.failure().code,
                 document_.metadata.name + ": probe: " + rows.failure().message};
  std::vector<device_spec> devices;
  for (const auto& row : *rows) {
    auto device = describe(row.fields, row.attributes);
    const auto memory = figure_of(document_.probe, row, "memory_bytes");
    device.memory_bytes = static_cast<std::uint64_t>(std::max<std::int64_t>(memory.value_or(0), 0));
    // Servers are told their device by its place, as vendors' variables want it.
    if (document_.runtime.interface == runtime_interface::server)
      device.attributes.emplace("index", std::to_string(devices.size()));
    devices.push_back(std::move(device));
  }
  return devices;
}

device_spec json_plugin::describe(const std::map<std::string, std::string>& fields,
                                  std::map<std::string, std::string> attributes) {
  const auto text = [&](const char* name) {
    const auto found = fields.find(name);
    return found == fields.end() ? std::string{} : found->second;
  };
  device_spec device;
  device.type = document_.metadata.type;
  device.vendor = document_.metadata.vendor;
  device.plugin = document_.metadata.name;
  device.uuid = text("id");
  device.model = text("model");
  device.topology_group = text("topology_group");
  device.simulated = document_.simulated;
  device.capability = document_.capability;
  device.spec = document_.spec;
  device.tags = document_.tags;
  device.attributes = document_.attributes;
  device.attributes.merge(attributes);
  for (std::size_t i = 0; i < document_.builds.size(); ++i) {
    const auto& rule = document_.builds[i];
    const auto profile = effective_profile(i);
    // Without a version nothing could ever match, and any artifact might be wrong.
    const bool unknown = profile.compiler_version.empty() && !rule.version_command.empty()
                         && rule.version != version_scope::none;
    if ((rule.profile.target.empty() || rule.profile.target == device.model) && !unknown)
      device.capability.build_profiles.push_back(profile);
  }
  return device;
}

result<std::map<std::string, device_reading>> json_plugin::read() {
  std::map<std::string, device_reading> readings;
  if (!document_.telemetry)
    return readings;
  const auto answer = ask(*document_.telemetry);
  if (!answer)
    return answer.failure();
  const auto rows = split_answer(*document_.telemetry, *answer);
  if (!rows)
    return error{rows.failure().action, rows.failure().code,
                 document_.metadata.name + ": telemetry: " + rows.failure().message};
  for (const auto& row : *rows)
    readings[text_of(row, "id")] = reading_of(*document_.telemetry, row);
  return readings;
}

const json_plugin::known_compiler& json_plugin::compiler(std::size_t rule) {
  const auto known = compilers_.find(rule);
  if (known != compilers_.end())
    return known->second;
  auto& found = compilers_[rule];
  const auto& build = document_.builds[rule];
  const auto program = replace_placeholders(build.command.front(), {{"plugin", folder_}});
  found.installed = !find_program(program, folder_).empty();
  found.version = build.profile.compiler_version;
  if (!found.installed || build.version_command.empty())
    return found;
  const auto end = run_tool(build.version_command, folder_, limits::plugin_call_us_max);
  // A compiler that cannot say its version is as good as absent.
  found.installed = end && end->ok();
  if (found.installed)
    found.version = find_version(end->out.text.empty() ? end->err.text : end->out.text);
  return found;
}

build_profile json_plugin::effective_profile(std::size_t rule) {
  auto profile = document_.builds[rule].profile;
  profile.compiler_version = cut_version(compiler(rule).version, document_.builds[rule].version);
  return profile;
}

std::vector<build_profile> json_plugin::toolchains() {
  compilers_.clear(); // One may have come, gone or changed since it was asked last.
  std::vector<build_profile> profiles;
  for (std::size_t i = 0; i < document_.builds.size(); ++i)
    if (compiler(i).installed)
      profiles.push_back(effective_profile(i));
  return profiles;
}

const build_rule* json_plugin::rule_for(const build_profile& wanted) {
  for (std::size_t i = 0; i < document_.builds.size(); ++i)
    if (compiler(i).installed && effective_profile(i) == wanted)
      return &document_.builds[i];
  return nullptr;
}

std::unique_ptr<running_compile>
json_plugin::compile(const compile_request& wanted, std::function<void(std::uint32_t)> progress,
                     std::function<void(result<compile_outcome>)> finished) {
  const auto* rule = rule_for(wanted.key.profile);
  if (rule == nullptr) {
    finished(error{recovery::retry_elsewhere, "no_compiler",
                   document_.metadata.name + " has no compiler for profile "
                       + wanted.key.profile.name + " on this node"});
    return std::make_unique<running_compile>();
  }
  const auto& formats = rule->formats;
  if (!formats.empty() && !wanted.model_format.empty()
      && std::find(formats.begin(), formats.end(), wanted.model_format) == formats.end()) {
    finished(error{recovery::refuse, "compiler_unsupported",
                   rule->profile.compiler + " does not read " + wanted.model_format});
    return std::make_unique<running_compile>();
  }
  return start_tool_compile(environment_.io, *rule, folder_, wanted, std::move(progress),
                            std::move(finished));
}

runtime* json_plugin::device_runtime() {
  const auto& rule = document_.runtime;
  if (runtime_ == nullptr && rule.present)
    runtime_ = rule.interface == runtime_interface::server ? make_server() : make_c_abi();
  return runtime_.get();
}

std::unique_ptr<runtime> json_plugin::make_c_abi() const {
  if (!environment_.make_c_abi)
    return nullptr;
  const auto& rule = document_.runtime;
  c_abi_spec spec;
  spec.plugin = document_.metadata.name;
  spec.library = rule.library.starts_with('/') ? rule.library : folder_ + "/" + rule.library;
  spec.config_json = rule.config_json;
  spec.start_timeout_us = rule.start_timeout_us;
  spec.memory_bytes = rule.memory_bytes;
  spec.threads = rule.threads;
  spec.sequences = document_.capability.max_sequences;
  spec.env = rule.env;
  spec.work_path = folder_;
  spec.capabilities = document_.capability.runtime;
  return environment_.make_c_abi(spec);
}

std::unique_ptr<runtime> json_plugin::make_server() const {
  if (!environment_.make_server)
    return nullptr;
  const auto& rule = document_.runtime;
  server_spec spec;
  spec.plugin = document_.metadata.name;
  spec.command = rule.command;
  spec.url = rule.url;
  spec.ready = rule.ready;
  spec.model = rule.model;
  spec.key_env = rule.key_env;
  spec.start_timeout_us = rule.start_timeout_us;
  spec.silence_us = rule.silence_us;
  spec.memory_bytes = rule.memory_bytes;
  spec.env = rule.env;
  spec.work_path = folder_;
  spec.sequences = document_.capability.max_sequences;
  spec.capabilities = document_.capability.runtime;
  return environment_.make_server(spec);
}

} // namespace consort::node
