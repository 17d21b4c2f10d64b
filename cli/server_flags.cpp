// SPDX-License-Identifier: Apache-2.0
#include "cli/server_flags.hpp"

#include "cli/authority_folder.hpp"
#include "cli/config_changes.hpp"
#include "cli/foreground.hpp"
#include "cli/join_token.hpp"
#include "cli/limits.hpp"
#include "cli/logging.hpp"
#include "cli/policy_config.hpp"
#include "cli/table.hpp"
#include "links/credentials.hpp"
#include "scheduler/nearest_name.hpp"
#include "scheduler/served_name.hpp"
#include "scheduler/units.hpp"
#include "scheduler/weights.hpp"

#include <CLI/App.hpp>

#include <boost/asio/ip/address.hpp>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <ostream>
#include <tuple>
#include <unistd.h>

namespace consort::cli {

namespace {

/// `NAME=FILE`, `NAME=server:NAME`, or `FILE` served under its own name without the extension.
model_config model_of(const std::string& text) {
  model_config model;
  if (core::weights_elsewhere(text)) { // An address may have a `=` of its own.
    model.name = name_of_source(text);
    model.source = text;
    return model;
  }
  const auto split = text.find('=');
  const auto source = split == std::string::npos ? text : text.substr(split + 1);
  if (split != std::string::npos
      && (source.starts_with("server:") || core::weights_elsewhere(source))) {
    model.name = text.substr(0, split);
    model.source = source;
    return model;
  }
  const auto path = std::filesystem::absolute(source);
  model.name = split == std::string::npos ? name_of_source(path.string()) : text.substr(0, split);
  model.source = path.lexically_normal().string();
  return model;
}

std::string host_name() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 && name[0] != '\0' ? name : "node";
}

result<done> apply_cluster_flags(cluster_config& config, const server_flags& flags) {
  if (!flags.listen.empty()) {
    const auto address = parse_listen(flags.listen);
    if (!address)
      return usage_error("--listen wants HOST:PORT, e.g. 127.0.0.1:8080, not `" + flags.listen
                         + "`");
    std::tie(config.http_host, config.http_port) = *address;
  }
  if (!flags.cluster.empty())
    config.cluster = flags.cluster;
  if (!flags.data.empty())
    config.data_dir = std::filesystem::absolute(flags.data).string();
  if (const auto added = add_plugin_dirs(config, flags.plugins); !added)
    return added;
  config.simulate = flags.simulate;
  if (!flags.models.empty())
    config.models.clear();
  for (const auto& model : flags.models) {
    auto made = model_of(model);
    if (const auto wrong = objection_to_name(made.name))
      return usage_error("--model " + model + ": the model's name " + *wrong);
    if (std::any_of(config.models.begin(), config.models.end(),
                    [&](const auto& other) { return other.name == made.name; }))
      return usage_error("--model " + model + ": `" + made.name
                         + "` names two models; --model NAME=SOURCE chooses a name");
    config.models.push_back(std::move(made));
  }
  if (!flags.policy.empty()) {
    const auto known = known_policies(config);
    if (std::find(known.begin(), known.end(), flags.policy) == known.end())
      return usage_error("--policy: unknown policy `" + flags.policy + "`"
                         + did_you_mean(flags.policy, known));
    config.policy = policy_name{flags.policy};
  }
  config.http_insecure = config.http_insecure || flags.insecure;
  config.http_sites.insert(config.http_sites.end(), flags.sites.begin(), flags.sites.end());
  return done{};
}

/// A link address that others can reach needs certificates on both ends.
result<done> check_exposed(const std::string& flag, const std::string& address,
                           const link_config& links) {
  const auto parsed = parse_listen(address);
  if (!parsed)
    return usage_error(flag + " wants HOST:PORT, not `" + address + "`");
  if (is_loopback(parsed->first) || !links.cert_dir.empty())
    return done{};
  return usage_error(
      flag + " " + address
      + " reaches beyond this machine and needs certificates: run `consort cert init`, "
        "then `consort cert node NAME` (or scheduler, gateway), and pass --cert FOLDER; or "
        "stay on 127.0.0.1");
}

/// HTTP has neither TLS nor keys of its own.
result<done> check_http(const cluster_config& config, const process_roles& roles) {
  boost::system::error_code failed;
  const auto address = boost::asio::ip::make_address(config.http_host, failed);
  if (!roles.gateway || config.http_insecure || failed || address.is_loopback())
    return done{};
  return usage_error("--listen " + config.http_host + ":" + std::to_string(config.http_port)
                     + " would let others in, and nothing checks who they are: listen on "
                       "127.0.0.1 (a proxy of yours can let them in), or pass --insecure to "
                       "accept that");
}

result<done> check_links(const link_config& links, const process_roles& roles) {
  if (roles.listens)
    if (const auto fine = check_exposed("--link-listen", links.listen, links); !fine)
      return fine;
  if (roles.scheduler)
    return done{};
  if (links.join.empty())
    return usage_error(
        "no scheduler to join: pass --join HOST:PORT as `consort scheduler` prints it, or "
        "set link.join in the configuration");
  if (const auto fine = check_exposed("--join", links.join, links); !fine)
    return fine;
  return roles.node ? check_exposed("--data-listen", links.data_listen, links)
                    : result<done>(done{});
}

/// The scheduler makes the token; others were given it, or share the scheduler's data folder.
result<done> find_token(link_config& links, const std::string& data_dir,
                        const process_roles& roles) {
  if (!links.token.empty() || (roles.scheduler && !roles.listens))
    return done{};
  const auto token = roles.scheduler ? ensure_join_token(data_dir) : read_join_token(data_dir);
  if (!token)
    return token.failure();
  if (token->empty())
    return usage_error(
        "no join token: run `consort token` on the scheduler's host and pass it with "
        "--token (or CONSORT_TOKEN)");
  links.token = *token;
  return done{};
}

links::peer_role role_of(const process_roles& roles) {
  return roles.scheduler ? links::peer_role::scheduler
         : roles.node    ? links::peer_role::node
                         : links::peer_role::gateway;
}

/// A certificate says who this process is; a name given beside it must agree.
result<done> load_credentials(process_config& made, const std::string& name_given,
                              const std::string& cluster_given) {
  if (made.links.cert_dir.empty())
    return done{};
  auto loaded = links::credentials::load(made.links.cert_dir);
  if (!loaded)
    return loaded.failure();
  const auto self = (*loaded)->self();
  const auto role = role_of(made.roles);
  if (self.role != role)
    return usage_error("the certificate in " + made.links.cert_dir + " is a "
                       + std::string(links::name_of(self.role))
                       + "'s; this command needs one made by `consort cert "
                       + std::string(links::name_of(role)) + " NAME`");
  if (!name_given.empty() && name_given != self.name)
    return usage_error("--name " + name_given + " is not the certificate's name, " + self.name);
  if (!cluster_given.empty() && cluster_given != self.cluster)
    return usage_error("--cluster " + cluster_given + " is not the certificate's cluster, "
                       + self.cluster);
  made.links.name = self.name;
  made.cluster.cluster = self.cluster;
  made.credentials = std::move(*loaded);
  return done{};
}

} // namespace

bool is_loopback(const std::string& host) {
  if (host == "localhost")
    return true;
  boost::system::error_code failed;
  const auto address = boost::asio::ip::make_address(host, failed);
  return !failed && address.is_loopback();
}

void add_http_flags(CLI::App& command, server_flags& flags) {
  command.add_option("--listen", flags.listen, "HTTP address (default 127.0.0.1:8080)")
      ->type_name("HOST:PORT");
  command.add_flag("--insecure", flags.insecure,
                   "Listen for HTTP beyond loopback although nothing checks keys");
  command
      .add_option("--site", flags.sites,
                  "Public name under which a proxy shows this: pages there may command it")
      ->type_name("NAME");
}

void add_data_flag(CLI::App& command, server_flags& flags) {
  command.add_option("--data", flags.data, "Folder for artifacts and state")->type_name("DIR");
}

void add_model_flags(CLI::App& command, server_flags& flags) {
  command
      .add_option("--model", flags.models,
                  "Serve this file, hf:ORG/REPO or https:... (default: the story model)")
      ->type_name("[NAME=]SOURCE");
  command.add_option("--policy", flags.policy,
                     "Profile of requests that name none: latency, energy, hybrid ...");
}

void add_plugin_flag(CLI::App& command, server_flags& flags) {
  command.add_option("--plugins", flags.plugins, "Further plugin folders")->type_name("DIR");
  command
      .add_option("--simulate", flags.simulate,
                  "Instead of real devices those of this node (--name) in a scenario, in real time")
      ->type_name("SCENARIO");
}

void add_join_flags(CLI::App& command, server_flags& flags) {
  command.add_option("--join", flags.links.join, "The scheduler's link address")
      ->type_name("HOST:PORT");
  const auto check = [](const std::string& given) {
    const bool fits = !given.empty() && given.size() <= limits::name_bytes_max;
    return fits ? std::string()
                : "must have 1 to " + std::to_string(limits::name_bytes_max) + " bytes";
  };
  command
      .add_option("--cluster", flags.cluster,
                  "Name of the scheduler's cluster (default: the certificate's, else the "
                  "configuration's)")
      ->check(CLI::Validator(check, "NAME"));
}

void add_link_flags(CLI::App& command, server_flags& flags) {
  command
      .add_option(
          "--cert", flags.links.cert_dir,
          "Folder with this process's certificate, or its NAME where `consort cert` made it; "
          "without it links stay on loopback")
      ->type_name("DIR");
  command.add_option("--token", flags.links.token, "The cluster's join token (`consort token`)");
}

result<process_config> configured(const context& env, const server_flags& flags,
                                  const process_roles& roles) {
  auto config = configuration(env);
  if (!config)
    return config.failure();
  const auto authority = default_authority(config->data_dir); // Which --data does not move.
  if (const auto applied = apply_cluster_flags(*config, flags); !applied)
    return applied.failure();
  auto links = overlaid(config->links, flags.links);
  const auto name_given = links.name;
  process_config made{std::move(*config), std::move(links), roles, nullptr};
  if (made.links.name.empty())
    made.links.name = roles.listens ? "scheduler" : roles.scheduler ? "local" : host_name();
  if (!links::valid_name(made.links.name))
    return usage_error("--name `" + made.links.name
                       + "` may have only letters, digits, `.`, `_` and `-`");
  if (const auto fine = check_http(made.cluster, roles); !fine)
    return fine.failure();
  if (const auto fine = check_links(made.links, roles); !fine)
    return fine.failure();
  auto credentials = find_credentials(made.links.cert_dir, authority);
  if (!credentials)
    return credentials.failure();
  made.links.cert_dir = *std::move(credentials);
  if (const auto loaded = load_credentials(made, name_given, flags.cluster); !loaded)
    return loaded.failure();
  if (const auto found = find_token(made.links, made.cluster.data_dir, roles); !found)
    return found.failure();
  // Several agents of one host keep their stores apart.
  if (!roles.scheduler && roles.node && flags.data.empty())
    made.cluster.data_dir += "/nodes/" + made.links.name;
  return made;
}

namespace {

void tell_of_reread(const cluster_config& running, const cluster_config& fresh) {
  const auto waiting = keys_that_need_a_restart(running, fresh);
  spdlog::log(waiting.empty() ? spdlog::level::info : spdlog::level::warn, "{}",
              reread_words(waiting));
}

} // namespace

exit_code serve(context& env, const result<process_config>& config,
                const std::function<void(std::ostream&, const cluster_process&)>& greet,
                const std::function<result<process_config>()>& again) {
  if (!config)
    return complain(env, config.failure());
  std::signal(SIGPIPE, SIG_IGN);
  set_up_logging(env.options.log_level, env.options.log_format);
  const auto process = cluster_process::start(*config);
  if (!process)
    return complain(env, process.failure());
  greet(env.out, **process);
  env.out << "\npress Ctrl-C to stop\n" << std::flush;
  const auto reload = [&] {
    (*process)->reload();
    const auto fresh = again ? again() : config;
    if (!fresh)
      return spdlog::error("kept the old configuration: {}", fresh.failure().message);
    if (again)
      tell_of_reread(config->cluster, fresh->cluster);
    (*process)->take_models(fresh->cluster.models);
  };
  serve_until_signalled({[&] { (*process)->stop(); }, [&] { (*process)->stop_now(); }, reload},
                        env.err);
  return exit_code::done;
}

namespace {

std::string attribute(const device_spec& device, const std::string& name) {
  const auto found = device.attributes.find(name);
  return found == device.attributes.end() ? std::string{} : found->second;
}

std::string formats_of(const device_spec& device) {
  if (!device.capability.formats.empty())
    return device.capability.formats.front();
  if (!device.capability.build_profiles.empty())
    return "engines of " + device.capability.build_profiles.front().profile.compiler;
  return {};
}

} // namespace

void show_devices(std::ostream& out, const cluster_process& process, bool colour) {
  table devices({{"DEVICE"}, {"MODEL"}, {"MEMORY", align::right}, {"RUNS"}, {"PLUGIN"}, {"NOTE"}});
  for (const auto& device : process.devices())
    devices.add(
        {device.id.value, printable(device.model),
         device.memory_bytes == 0 ? "" : format_size(device.memory_bytes), formats_of(device),
         device.plugin,
         device.simulated ? "simulated: software, no hardware" : attribute(device, "simd")});
  out << devices.render(true, colour) << '\n';
}

void show_models(std::ostream& out, const cluster_process& process) {
  if (process.models().empty())
    out << "no model is served yet; add one with: consort model add NAME FILE (or hf:ORG/REPO) "
           "--server "
        << process.url() << '\n';
  for (const auto& model : process.models()) {
    const auto& variant = model.variants.front();
    out << "serving " << model.name.value << " (";
    if (variant.weight_bytes == 0) // A server's own: only the server knows more.
      out << printable(variant.format);
    else
      out << variant.quantization << ", " << format_size(variant.weight_bytes) << ", context "
          << variant.context_tokens;
    out << ")\n";
  }
}

void show_curl(std::ostream& out, const cluster_process& process) {
  const auto& models = process.models();
  out << "listening on " << process.url() << "\n\ntry it:\n";
  if (models.empty()) // A further gateway hears of them from the scheduler.
    out << "  curl " << process.url() << "/v1/models\n";
  else
    out << "  curl -N " << process.url()
        << "/v1/completions -H 'Content-Type: application/json' \\\n    -d '{\"model\": \""
        << models.front().name.value
        << "\", \"prompt\": \"Once upon a time\", \"max_tokens\": 60, \"stream\": true}'\n";
  out << "  consort status --server " << process.url() << "\n";
}

} // namespace consort::cli
