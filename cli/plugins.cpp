// SPDX-License-Identifier: Apache-2.0
// `plugins` lists what this host's plugin folders hold; `plugin check` exercises one folder. Both
// work on this host without a server: a plugin runs where its hardware is.
#include "cli/api.hpp"
#include "cli/executable_commands.hpp"
#include "cli/table.hpp"
#include "node/builtin.hpp"
#include "node/inventory.hpp"
#include "node/plugin_json.hpp"

#include <CLI/App.hpp>

#include <filesystem>
#include <memory>
#include <ostream>

namespace consort::cli {

namespace {

/// What an agent on this host would have loaded, and what it would have complained of.
struct local_plugins {
  boost::asio::io_context io; ///< Tools are run by the calling thread; nothing is started on it.
  node::inventory found{node_id{"local"}};
  std::vector<error> broken;
};

void load(local_plugins& into, const std::vector<std::string>& folders) {
  node::builtin_config builtin;
  builtin.cpu.llama_library = engine_library();
  for (auto& plugin : node::builtin_plugins(std::move(builtin)))
    into.found.add(std::move(plugin));
  const auto keep = [&into](std::vector<error> complaints) {
    for (auto& one : complaints)
      into.broken.push_back(std::move(one));
  };
  for (const auto& folder : folders)
    keep(into.found.load(folder, node::plugin_environment{into.io, {}}));
  keep(into.found.probe());
}

std::string joined(const std::vector<device_id>& devices) {
  std::string made;
  for (const auto& device : devices)
    made += (made.empty() ? "" : ",") + device.value;
  return made;
}

json plugin_json(const node::plugin_status& plugin) {
  auto devices = json::array();
  for (const auto& device : plugin.devices)
    devices.push_back(device.value);
  const auto& about = plugin.metadata;
  return {{"name", about.name},      {"version", about.version},
          {"vendor", about.vendor},  {"priority", about.priority},
          {"origin", about.origin},  {"available", plugin.available},
          {"reason", plugin.reason}, {"devices", std::move(devices)}};
}

void show_json(context& env, const local_plugins& seen) {
  json whole{{"plugins", json::array()}, {"broken", json::array()}};
  for (const auto& plugin : seen.found.plugins())
    whole["plugins"].push_back(plugin_json(plugin));
  for (const auto& one : seen.broken)
    whole["broken"].push_back(one.message);
  env.out << whole.dump(2) << '\n';
}

void show_table(context& env, const local_plugins& seen) {
  table rows({{"PLUGIN"},
              {"VERSION"},
              {"VENDOR"},
              {"STATE", align::left, false, true},
              {"DEVICES"},
              {"REASON"},
              {"PRIORITY", align::right, true},
              {"ORIGIN", align::left, true}});
  for (const auto& plugin : seen.found.plugins())
    rows.add({plugin.metadata.name, plugin.metadata.version, plugin.metadata.vendor,
              plugin.available ? "ready" : "absent", joined(plugin.devices),
              printable(plugin.reason), std::to_string(plugin.metadata.priority),
              plugin.metadata.origin});
  env.out << rows.render(env.wide(), env.colour);
  for (const auto& one : seen.broken)
    env.err << "consort: " << printable(one.message) << '\n';
}

exit_code list(context& env, const std::vector<std::string>& further) {
  auto config = configuration(env);
  if (!config)
    return complain(env, config.failure());
  for (const auto& folder : further)
    config->plugin_dirs.push_back(folder);
  local_plugins seen;
  load(seen, config->plugin_dirs);
  env.json() ? show_json(env, seen) : show_table(env, seen);
  return exit_code::done;
}

exit_code check(context& env, const std::string& given) {
  std::error_code failed; // A path that cannot be made absolute is refused by the loader.
  const auto folder = std::filesystem::absolute(given, failed).lexically_normal().string();
  auto document = node::load_plugin_json(folder);
  if (!document)
    return complain(env, document.failure());
  boost::asio::io_context io;
  node::json_plugin plugin(std::move(*document), folder, node::plugin_environment{io, {}});
  const auto& about = plugin.metadata();
  env.out << about.name << " " << about.version << " (" << about.vendor
          << "): plugin.json is good\n";
  if (const auto there = plugin.available(); !there) {
    env.out << "not available on this host: " << printable(there.failure().message) << '\n';
    return exit_code::done;
  }
  const auto devices = plugin.probe();
  if (!devices)
    return complain(env, devices.failure());
  for (const auto& device : *devices)
    env.out << "device " << printable(device.uuid) << ": " << printable(device.model) << '\n';
  if (const auto readings = plugin.read(); !readings)
    return complain(env, readings.failure());
  else
    env.out << "telemetry: " << readings->size() << " of " << devices->size() << " devices read\n";
  for (const auto& profile : plugin.toolchains())
    env.out << "compiler " << printable(profile.compiler) << " "
            << printable(profile.compiler_version) << " for " << printable(profile.target) << '\n';
  return exit_code::done;
}

} // namespace

void add_plugins(CLI::App& root, context& env) {
  auto* listing = root.add_subcommand("plugins", "Plugins of this host and the devices they found");
  const auto further = std::make_shared<std::vector<std::string>>();
  listing->add_option("--plugins", *further, "Further plugin folders")->type_name("DIR");
  listing->callback(
      [&env, further] { env.action = [&env, further] { return list(env, *further); }; });
  auto* plugin = root.add_subcommand("plugin", "One plugin folder");
  plugin->require_subcommand(1);
  auto* checking = plugin->add_subcommand("check", "Validate a folder and try it on this host");
  const auto folder = std::make_shared<std::string>();
  checking->add_option("DIR", *folder, "Folder with a plugin.json")->required();
  checking->callback(
      [&env, folder] { env.action = [&env, folder] { return check(env, *folder); }; });
}

} // namespace consort::cli
