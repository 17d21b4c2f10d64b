// SPDX-License-Identifier: Apache-2.0
// `plugins` lists the plugins of a running cluster's nodes, or of this host: what its folders hold
// and who claimed what. `plugin check` exercises one folder, on this host and without a server: a
// plugin runs where its hardware is. `plugins reload` has running nodes look at theirs again.
#include "cli/api.hpp"
#include "cli/commands.hpp"
#include "cli/plugin_check.hpp"
#include "cli/plugin_init.hpp"
#include "cli/plugin_list.hpp"
#include "cli/table.hpp"
#include "node/builtin.hpp"
#include "node/inventory.hpp"
#include "scheduler/units.hpp"

#include <CLI/App.hpp>

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
  for (const auto* list : {&plugin.devices, &plugin.hosts})
    for (const auto& device : *list)
      devices.push_back(device.value);
  const auto& about = plugin.metadata;
  return {{"name", about.name},
          {"version", about.version},
          {"vendor", about.vendor},
          {"priority", about.priority},
          {"origin", about.origin},
          {"available", plugin.available},
          {"failed", plugin.probe_failed},
          {"reason", plugin.reason},
          {"devices", std::move(devices)}};
}

void show_json(context& env, const local_plugins& seen) {
  json whole{{"plugins", json::array()}, {"claims", json::array()}, {"broken", json::array()}};
  for (const auto& plugin : seen.found.plugins())
    whole["plugins"].push_back(plugin_json(plugin));
  for (const auto& claim : seen.found.claims())
    whole["claims"].push_back({{"uuid", claim.uuid},
                               {"device", claim.device.value},
                               {"winner", claim.winner},
                               {"losers", claim.losers},
                               {"reason", claim.reason}});
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
              plugin.probe_failed ? "failed"
              : plugin.available  ? "ready"
                                  : "absent",
              joined(plugin.metadata.engine ? plugin.hosts : plugin.devices),
              printable(plugin.reason), std::to_string(plugin.metadata.priority),
              plugin.metadata.origin});
  env.out << rows.render(env.wide(), env.colour);
  for (const auto& claim : seen.found.claims())
    if (!claim.losers.empty())
      env.out << printable(claim.uuid) << ": " << claim.winner << " has it as "
              << claim.device.value << ": " << claim.reason << '\n';
  for (const auto& one : seen.broken)
    env.err << "consort: " << printable(one.message) << '\n';
}

struct list_flags : plugin_list_flags {
  std::vector<std::string> further; ///< Plugin folders, beside those of the configuration.
};

exit_code list(context& env, list_flags& flags) {
  // Running nodes were told theirs when they started.
  flags.local = flags.local || (!flags.further.empty() && flags.node.empty());
  const auto cluster = asks_cluster(env, flags);
  if (!cluster)
    return complain(env, cluster.failure());
  if (*cluster)
    return list_cluster_plugins(env, flags);
  auto config = configuration(env);
  if (!config)
    return complain(env, config.failure());
  if (const auto added = add_plugin_dirs(*config, flags.further); !added)
    return complain(env, added.failure());
  local_plugins seen;
  load(seen, config->plugin_dirs);
  env.json() ? show_json(env, seen) : show_table(env, seen);
  return exit_code::done;
}

struct reload_flags {
  std::string node;
  std::string timeout = "60s";
};

/// `+a,b -c`, or nothing.
std::string change_of(const json& report, const std::string& what) {
  const auto came = list_at(report, "/" + what + "_came");
  const auto gone = list_at(report, "/" + what + "_gone");
  return (came.empty() ? "" : "+" + came) + (came.empty() || gone.empty() ? "" : " ")
         + (gone.empty() ? "" : "-" + gone);
}

/// Returns: whether the node looked and had nothing to complain of.
bool show_reload(context& env, table& rows, const json& report) {
  const auto node = text_at(report, "/node");
  const bool answered = true_at(report, "/answered");
  rows.add({node, answered ? "reloaded" : "silent", change_of(report, "plugins"),
            change_of(report, "devices"), true_at(report, "/compilers") ? "changed" : "",
            answered ? duration_at(report, "/took_us") : ""});
  const auto complaints = report.value("complaints", std::vector<std::string>());
  for (const auto& complaint : complaints)
    env.err << "consort: " << printable(node) << ": " << printable(complaint) << '\n';
  return answered && complaints.empty();
}

exit_code reload(context& env, const reload_flags& flags) {
  const auto span = parse_duration(flags.timeout);
  if (!span || *span <= 0)
    return complain(env, {recovery::refuse, "usage",
                          "--timeout `" + flags.timeout + "` is not a duration such as 30s"});
  json body{{"timeout", flags.timeout}};
  if (!flags.node.empty())
    body["node"] = flags.node;
  const auto wait = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::microseconds(*span) + limits::reload_grace);
  const auto answer = send(env, "POST", "/api/v1/plugins/reload", body, wait);
  if (!answer)
    return complain(env, answer.failure());
  table rows({{"NODE"},
              {"STATE", align::left, false, true},
              {"PLUGINS"},
              {"DEVICES"},
              {"COMPILERS"},
              {"TOOK", align::right}});
  bool good = true;
  for (const auto& report : answer->value("nodes", json::array()))
    good = show_reload(env, rows, report) && good;
  if (env.json())
    env.out << answer->dump(2) << '\n';
  else
    env.out << rows.render(env.wide(), env.colour);
  return good ? exit_code::done : exit_code::failed;
}

void add_reload(CLI::App& plugins, context& env) {
  auto* again = plugins.add_subcommand("reload", "Have running nodes look at their folders again");
  const auto flags = std::make_shared<reload_flags>();
  again->add_option("NODE", flags->node, "Only that one; default: all");
  again->add_option("--timeout", flags->timeout, "For their answers");
  again->callback([&env, flags] { env.action = [&env, flags] { return reload(env, *flags); }; });
}

void add_listing(CLI::App& root, context& env) {
  auto* listing = root.add_subcommand(
      "plugins", "Plugins of the nodes, or of this host, and the devices that they found");
  const auto flags = std::make_shared<list_flags>();
  auto* node = listing->add_option("--node", flags->node, "Only that one's; default: all");
  listing->add_flag("--all", flags->all, "Those too that are not on their hosts");
  auto* local = listing->add_flag("--local", flags->local, "Of this host, as it is found now");
  listing->add_option("--plugins", flags->further, "Further plugin folders; of this host")
      ->type_name("DIR");
  node->excludes(local);
  listing->callback([&env, flags, listing] {
    if (listing->get_subcommands().empty()) // Theirs were called before.
      env.action = [&env, flags] { return list(env, *flags); };
  });
  add_reload(*listing, env);
}

} // namespace

void add_plugins(CLI::App& root, context& env) {
  add_listing(root, env);
  auto* plugin = root.add_subcommand("plugin", "One plugin folder");
  plugin->require_subcommand(1);
  auto* checking = plugin->add_subcommand("check", "Validate a folder and try it on this host");
  const auto flags = std::make_shared<plugin_check_flags>();
  checking->add_option("DIR", flags->folder, "Folder with a plugin.json")->required();
  checking->add_option("--model", flags->model, "Model to build and run (default: the shipped one)")
      ->type_name("FILE");
  checking->add_flag("--no-run", flags->no_run, "Start neither its compiler nor its runtime");
  checking->callback(
      [&env, flags] { env.action = [&env, flags] { return check_plugin(env, *flags); }; });
  auto* making = plugin->add_subcommand("init", "Write a plugin folder, new or around a server");
  const auto wanted = std::make_shared<plugin_init_flags>();
  making->add_option("NAME", wanted->name, "Name of the plugin and its folder");
  making
      ->add_option(
          "--type", wanted->type,
          "gpu, npu, pim, cpu, hybrid or remote (default gpu; remote for a URL of another host)")
      ->type_name("TYPE");
  making->add_option("--from-url", wanted->from_url, "A model server that runs already")
      ->type_name("URL");
  making
      ->add_option("--key-env", wanted->key_env,
                   "Environment variable that holds its API key, which is read from there alone")
      ->type_name("NAME");
  making
      ->add_option("--from-command", wanted->from_command,
                   "A command that starts one, with {port} where it is told its port")
      ->each([wanted](const std::string&) { wanted->wraps_command = true; });
  making
      ->add_option("--timeout", wanted->timeout,
                   "How long that command may take to serve (default 10m, at most 3h)")
      ->type_name("DURATION");
  making->add_option("--dir", wanted->directory, "Where to make the folder")->type_name("DIR");
  making->callback(
      [&env, wanted] { env.action = [&env, wanted] { return init_plugin(env, *wanted); }; });
}

} // namespace consort::cli
