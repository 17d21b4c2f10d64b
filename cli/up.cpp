// SPDX-License-Identifier: Apache-2.0
#include "cli/cluster.hpp"
#include "cli/executable_commands.hpp"
#include "cli/logging.hpp"
#include "cli/table.hpp"
#include "scheduler/units.hpp"

#include <CLI/App.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include <csignal>
#include <filesystem>
#include <ostream>
#include <thread>

namespace consort::cli {

namespace {

struct up_flags {
  std::string listen;
  std::string data;
  std::vector<std::string> plugins;
  std::vector<std::string> models;
  std::string policy;
};

error usage(std::string message) {
  return {recovery::refuse, "usage", std::move(message)};
}

/// `NAME=FILE`, or `FILE` served under its own name without the extension.
model_config model_of(const std::string& text) {
  const auto split = text.find('=');
  const auto path
      = std::filesystem::absolute(split == std::string::npos ? text : text.substr(split + 1));
  model_config model;
  model.name = split == std::string::npos ? path.stem().string() : text.substr(0, split);
  model.source = path.lexically_normal().string();
  return model;
}

result<cluster_config> configured(const context& env, const up_flags& flags) {
  auto config = configuration(env);
  if (!config)
    return config.failure();
  if (!flags.listen.empty()) {
    const auto address = parse_listen(flags.listen);
    if (!address)
      return usage("--listen wants HOST:PORT, e.g. 127.0.0.1:8080, not `" + flags.listen + "`");
    std::tie(config->http_host, config->http_port) = *address;
  }
  if (!flags.data.empty())
    config->data_dir = std::filesystem::absolute(flags.data).string();
  for (const auto& directory : flags.plugins)
    config->plugin_dirs.push_back(std::filesystem::absolute(directory).string());
  if (!flags.models.empty())
    config->models.clear();
  for (const auto& model : flags.models)
    config->models.push_back(model_of(model));
  if (const auto policy = parse_policy(flags.policy))
    config->policy = *policy;
  return config;
}

std::string attribute(const device_spec& device, const std::string& name) {
  const auto found = device.attributes.find(name);
  return found == device.attributes.end() ? std::string{} : found->second;
}

std::string formats_of(const device_spec& device) {
  if (!device.capability.formats.empty())
    return device.capability.formats.front();
  if (!device.capability.build_profiles.empty())
    return "engines of " + device.capability.build_profiles.front().compiler;
  return {};
}

/// What a person wants to see first: the devices, the models, and a line to paste.
void greet(std::ostream& out, const local_cluster& cluster, bool colour) {
  table devices({{"DEVICE"}, {"MODEL"}, {"MEMORY", align::right}, {"RUNS"}, {"PLUGIN"}, {"NOTE"}});
  for (const auto& device : cluster.devices())
    devices.add(
        {device.id.value, printable(device.model),
         device.memory_bytes == 0 ? "" : format_size(device.memory_bytes), formats_of(device),
         device.plugin,
         device.simulated ? "simulated: software, no hardware" : attribute(device, "simd")});
  out << devices.render(true, colour) << '\n';
  std::string first;
  for (const auto& model : cluster.models()) {
    const auto& variant = model.variants.front();
    out << "serving " << model.name.value << " (" << variant.quantization << ", "
        << format_size(variant.weight_bytes) << ", context " << variant.context_tokens << ")\n";
    first = first.empty() ? model.name.value : first;
  }
  out << "listening on " << cluster.url() << "\n\ntry it:\n  curl -N " << cluster.url()
      << "/v1/completions -H 'Content-Type: application/json' \\\n    -d '{\"model\": \"" << first
      << "\", \"prompt\": \"Once upon a time\", \"max_tokens\": 60, \"stream\": true}'\n"
      << "  consort status --server " << cluster.url() << "\n\npress Ctrl-C to stop\n"
      << std::flush;
}

/// Waits for SIGINT or SIGTERM, then drains; a second signal ends running streams at once.
void serve_until_signalled(local_cluster& cluster, std::ostream& err) {
  boost::asio::io_context io;
  boost::asio::signal_set signals(io, SIGINT, SIGTERM);
  std::thread stopping;
  signals.async_wait([&](const boost::system::error_code&, int) {
    err << "stopping; again to stop now\n" << std::flush;
    stopping = std::thread([&] {
      cluster.stop();
      io.stop();
    });
    signals.async_wait([&](const boost::system::error_code& failure, int) {
      if (!failure)
        cluster.stop_now();
    });
  });
  io.run();
  if (stopping.joinable())
    stopping.join();
}

exit_code up(context& env, const up_flags& flags) {
  const auto config = configured(env, flags);
  if (!config)
    return complain(env, config.failure());
  std::signal(SIGPIPE, SIG_IGN);
  set_up_logging(env.options.log_level, env.options.log_format);
  const auto cluster = local_cluster::start(*config);
  if (!cluster)
    return complain(env, cluster.failure());
  greet(env.out, **cluster, env.colour);
  serve_until_signalled(**cluster, env.err);
  return exit_code::done;
}

} // namespace

void add_up(CLI::App& root, context& env) {
  auto* command = root.add_subcommand("up", "A whole cluster in one process, in the foreground");
  const auto flags = std::make_shared<up_flags>();
  command->add_option("--listen", flags->listen, "HTTP address (default 127.0.0.1:8080)")
      ->type_name("HOST:PORT");
  command->add_option("--data", flags->data, "Folder for artifacts and state")->type_name("DIR");
  command->add_option("--plugins", flags->plugins, "Further plugin folders")->type_name("DIR");
  command->add_option("--model", flags->models, "Serve this GGUF file (default: the story model)")
      ->type_name("[NAME=]FILE");
  command->add_option("--policy", flags->policy, "latency, throughput, energy, cost or hybrid")
      ->check(CLI::IsMember(policy_words()));
  command->callback([&env, flags] { env.action = [&env, flags] { return up(env, *flags); }; });
}

} // namespace consort::cli
