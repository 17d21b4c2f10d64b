// SPDX-License-Identifier: Apache-2.0
#include "cli/authority_folder.hpp"
#include "cli/doctor_report.hpp"
#include "cli/executable_commands.hpp"
#include "cli/join_token.hpp"
#include "cli/limits.hpp"
#include "cli/transport.hpp"
#include "gateway/listen.hpp"
#include "node/builtin.hpp"
#include "node/inventory.hpp"

#include <CLI/App.hpp>
#include <spdlog/spdlog.h>

#include <ctime>
#include <filesystem>
#include <memory>

namespace consort::cli {

namespace {

constexpr const char* port_names[] = {"HTTP port", "link port"};

struct doctor_flags {
  std::string join;
  std::string cert;
  std::string token;
  std::string data;
  std::string cluster;
};

/// A plugin that is not for this host is as it should be; a broken one is not.
void check_plugins(const cluster_config& config, std::vector<check>& checks) {
  boost::asio::io_context io; // Tools are run by the calling thread; nothing is started on it.
  node::inventory found(node_id{"here"});
  node::builtin_config builtin;
  builtin.cpu.llama_library = engine_library();
  for (auto& plugin : node::builtin_plugins(std::move(builtin)))
    found.add(std::move(plugin));
  for (const auto& folder : config.plugin_dirs)
    for (const auto& broken : found.load(folder, node::plugin_environment{io, {}}))
      checks.push_back({"plugin", verdict::warn, broken.message, "mend its plugin.json"});
  for (const auto& broken : found.probe())
    checks.push_back({"plugin", verdict::warn, broken.message, "run its probe command by hand"});
  for (const auto& plugin : found.plugins()) {
    std::string devices;
    for (const auto& device : plugin.devices)
      devices += (devices.empty() ? "" : ", ") + device.value;
    checks.push_back({"plugin " + plugin.metadata.name,
                      verdict::ok,
                      !devices.empty()        ? devices
                      : plugin.reason.empty() ? "no device of its own here"
                                              : plugin.reason,
                      {}});
  }
  if (found.devices().empty())
    checks.push_back({"devices", verdict::warn, "this host has none: it can schedule, not serve",
                      "install a vendor's driver, or pass --plugins DIR to the node"});
}

void check_host(const cluster_config& config, std::vector<check>& checks) {
  checks.push_back(check_engine(engine_library()));
  check_plugins(config, checks);
  checks.push_back(check_data_folder(config.data_dir));
  if (config.http_port != 0)
    checks.push_back(
        check_port(port_names[0], config.http_host, config.http_port, gateway::who_listens_on));
  const auto listen = parse_listen(config.links.listen);
  if (listen && listen->second != 0)
    checks.push_back(
        check_port(port_names[1], listen->first, listen->second, gateway::who_listens_on));
}

/// Only where a server is named: this host's own clock is no measure of another's.
void check_server_clock(const context& env, std::vector<check>& checks) {
  if (env.options.server.empty())
    return;
  http_client client(env.options.server, env.options.api_key);
  const auto answer = client.call({"GET", "/healthz", "", {}}, limits::answer_timeout);
  if (!answer) {
    checks.push_back({"server", verdict::fail, answer.failure().message,
                      "start it, or pass --server URL of one that runs"});
    return;
  }
  const auto date = answer->headers.find("date");
  if (date != answer->headers.end())
    if (auto compared = check_clock(date->second, std::time(nullptr)))
      checks.push_back(std::move(*compared));
}

void check_links(const cluster_config& config, std::vector<check>& checks) {
  link_question question{config.links.join, nullptr, config.cluster, config.links.token};
  if (!config.links.cert_dir.empty()) {
    auto judged = check_certificate(config.links.cert_dir, std::time(nullptr));
    for (auto& one : judged.checks)
      checks.push_back(std::move(one));
    if (!judged.credentials)
      return; // Nothing to dial with.
    question.cluster = judged.credentials->self().cluster;
    question.credentials = std::move(judged.credentials);
  }
  if (question.join.empty())
    return;
  if (question.token.empty()) // As a node on the scheduler's own host finds it.
    if (const auto token = read_join_token(config.data_dir))
      question.token = *token;
  for (auto& one : check_link(question))
    checks.push_back(std::move(one));
}

exit_code examine(context& env, const doctor_flags& flags) {
  auto config = configuration(env);
  if (!config)
    return complain(env, config.failure());
  const auto authority = default_authority(config->data_dir);
  auto& links = config->links;
  for (const auto& [given, into] :
       {std::pair(&flags.join, &links.join), std::pair(&flags.cert, &links.cert_dir),
        std::pair(&flags.token, &links.token), std::pair(&flags.data, &config->data_dir),
        std::pair(&flags.cluster, &config->cluster)})
    if (!given->empty())
      *into = *given;
  spdlog::set_level(spdlog::level::off); // The report says it all.
  std::vector<check> checks;
  check_host(*config, checks);
  if (auto found = find_credentials(links.cert_dir, authority)) {
    links.cert_dir = *std::move(found);
    check_links(*config, checks);
  } else {
    checks.push_back({"certificate", verdict::fail, found.failure().message,
                      "consort cert node NAME, where the authority is, and copy the folder here"});
  }
  check_server_clock(env, checks);
  return show_checks(env, checks);
}

} // namespace

void add_doctor(CLI::App& root, context& env) {
  auto* command = root.add_subcommand(
      "doctor", "What this host has, what is wrong with it or its links, what to type next");
  const auto flags = std::make_shared<doctor_flags>();
  command->add_option("--join", flags->join, "Also try the link to this scheduler")
      ->type_name("HOST:PORT");
  command->add_option("--cert", flags->cert, "Folder with this host's certificate")
      ->type_name("DIR");
  command->add_option("--token", flags->token, "The cluster's join token");
  command->add_option("--cluster", flags->cluster,
                      "Name of its cluster, where no certificate says it");
  command->add_option("--data", flags->data, "Data folder")->type_name("DIR");
  command->callback([&env, flags] { env.action = [&env, flags] { return examine(env, *flags); }; });
}

} // namespace consort::cli
