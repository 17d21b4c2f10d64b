// SPDX-License-Identifier: Apache-2.0
#include "cli/config.hpp"

#include "cli/limits.hpp"
#include "cli/policy_config.hpp"
#include "cli/price_config.hpp"
#include "gateway/limits.hpp"
#include "node/gguf.hpp"
#include "node/small_file.hpp"
#include "scenarios/remote_section.hpp"
#include "scheduler/nearest_name.hpp"
#include "scheduler/served_name.hpp"
#include "scheduler/units.hpp"
#include "scheduler/weights.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <tuple>

namespace consort::cli {

namespace fs = std::filesystem;
using strict_json::object_reader;
using strict_json::value;

namespace {

// The model that comes with the source and with an installation.
constexpr std::string_view shipped_model = "models/storyteller-5m-f16.gguf";
constexpr std::string_view shipped_name = "storyteller";
/// From build/<preset>/cli/consort up to the source tree.
constexpr int folders_above_max = 4;

/// Replaces `${env.NAME}`.
result<std::string> interpolate(const std::string& text, const environment& lookup) {
  std::string made;
  for (std::size_t at = 0; at < text.size();) {
    if (text.compare(at, 3, "$${") == 0) {
      made += "${";
      at += 3;
      continue;
    }
    if (text.compare(at, 2, "${") != 0) {
      made += text[at++];
      continue;
    }
    const auto end = text.find('}', at);
    const auto inside = text.substr(at + 2, end == std::string::npos ? end : end - at - 2);
    if (end == std::string::npos || inside.rfind("env.", 0) != 0)
      return error{recovery::refuse, "usage",
                   "only ${env.NAME} can be substituted (write $${ for a literal ${)"};
    const auto found = lookup(inside.substr(4));
    if (!found)
      return error{recovery::refuse, "usage",
                   "environment variable " + inside.substr(4) + " is not set"};
    made += *found;
    at = end + 1;
  }
  return made;
}

/// Paths in a file are relative to the file, not to where the command happens to run.
std::string absolute_path(const std::string& path, const std::string& base_dir) {
  if (path.empty() || fs::path(path).is_absolute())
    return path;
  return (fs::path(base_dir) / path).lexically_normal().string();
}

bool is_reference(const std::string& source) {
  return core::weights_elsewhere(source) || source.starts_with("server:");
}

/// One parse: the file's name, its base folder, the first error.
class config_reader {
public:
  config_reader(std::string_view origin, const std::string& base_dir)
      : origin_(origin), base_dir_(base_dir) {}

  result<cluster_config> read(const value& root) {
    object_reader reader(root, origin_, failure_);
    made_.cluster = name(reader, "cluster", made_.cluster);
    if (const auto* section = reader.object("scheduler"))
      read_scheduler(*section);
    if (const auto* section = reader.object("models"))
      read_models(*section);
    if (const auto* section = reader.object("remotes"))
      read_remotes(*section, origin_, failure_, made_);
    if (const auto* section = reader.object("pools"))
      read_pools(*section);
    if (const auto* section = reader.object("http"))
      read_http(*section);
    if (const auto* section = reader.object("link"))
      read_link(*section);
    made_.data_dir = absolute_path(reader.text("data"), base_dir_);
    for (const auto& folder : reader.texts("plugins"))
      made_.plugin_dirs.push_back(absolute_path(folder, base_dir_));
    reader.finish();
    if (failure_)
      return *failure_;
    return std::move(made_);
  }

private:
  std::string name(object_reader& reader, std::string_view field, const std::string& fallback) {
    auto given = reader.text(field, fallback);
    if (given.empty() || given.size() > limits::name_bytes_max)
      reader.fail(field, "must have 1 to " + std::to_string(limits::name_bytes_max) + " bytes");
    return given;
  }

  void read_scheduler(const value& section) {
    object_reader reader(section, origin_, failure_);
    read_policies(reader, origin_, failure_, made_);
    made_.queue_max = static_cast<std::uint32_t>(
        reader.integer("queue_max", made_.queue_max, 1, limits::queue_max));
    made_.lease_us = positive(reader, "lease", made_.lease_us, limits::lease_us_min);
    made_.queue_timeout_us = positive(reader, "queue_timeout", made_.queue_timeout_us);
    if (const auto* weights = reader.object("tenant_weights"))
      read_weights(*weights);
    if (const auto* remote = reader.object("remote")) {
      const auto read = strict_json::read_remote(*remote, origin_, failure_);
      made_.remote = read.use;
      made_.remote_budget_micros_per_hour = read.budget_micros_per_hour;
    }
    reader.finish();
  }

  void read_weights(const value& section) {
    object_reader reader(section, origin_, failure_);
    for (const auto& [tenant, weight] : section.members) {
      check_tenant(reader, tenant);
      made_.tenant_weights[tenant]
          = static_cast<std::uint32_t>(reader.integer(tenant, 1, 1, limits::tenant_weight_max));
    }
    reader.finish();
  }

  duration_us positive(object_reader& reader, std::string_view field, duration_us fallback,
                       duration_us least = 1) {
    const auto given = reader.duration(field, fallback);
    if (given < least)
      reader.fail(field,
                  least == 1 ? "must be above 0" : "must be at least " + format_duration(least));
    return given;
  }

  void read_http(const value& section) {
    object_reader reader(section, origin_, failure_);
    const auto text = reader.text("listen", "127.0.0.1:8080");
    if (const auto listen = parse_listen(text))
      std::tie(made_.http_host, made_.http_port) = *listen;
    else
      reader.fail("listen", "`" + text + "` is not HOST:PORT");
    reader.finish();
  }

  /// Whether an address may reach beyond this machine is judged where it is used.
  void read_link(const value& section) {
    object_reader reader(section, origin_, failure_);
    auto& links = made_.links;
    links.listen = address(reader, "listen", links.listen);
    links.join = address(reader, "join", links.join);
    links.data_listen = address(reader, "data_listen", links.data_listen);
    links.advertise = reader.text("advertise");
    links.cert_dir = absolute_path(reader.text("cert"), base_dir_);
    links.token = reader.text("token");
    links.name = reader.text("name");
    reader.finish();
  }

  std::string address(object_reader& reader, std::string_view field, std::string fallback) {
    auto given = reader.text(field, fallback);
    if (given != fallback && !parse_listen(given))
      reader.fail(field, "`" + given + "` is not HOST:PORT");
    return given;
  }

  /// All are read before any is checked: one may name another that follows.
  void read_pools(const value& section) {
    object_reader reader(section, origin_, failure_);
    if (section.members.size() > core::limits::pools_max)
      reader.fail("", "more than " + std::to_string(core::limits::pools_max) + " pools");
    for (const auto& [pool, entry] : section.members) {
      made_.pools[pool] = reader.text(pool);
      const bool plain = !pool.empty() && pool.size() <= limits::name_bytes_max
                         && pool.find_first_of(",|!= ") == std::string::npos;
      if (!plain)
        reader.fail(pool, "a pool's name has 1 to " + std::to_string(limits::name_bytes_max)
                              + " bytes and none of `,|!=` or blanks");
    }
    for (const auto& [pool, meaning] : made_.pools)
      if (const auto parsed = core::selector::parse("pool=" + pool, made_.pools); !parsed)
        reader.fail(pool, parsed.failure().message);
  }

  void read_models(const value& section) {
    if (section.members.size() > limits::config_models_max && !failure_)
      failure_ = strict_json::error_at(
          origin_, section, "more than " + std::to_string(limits::config_models_max) + " models");
    for (const auto& [model, entry] : section.members)
      read_model(model, entry);
  }

  void read_model(const std::string& model, const value& entry) {
    object_reader reader(entry, origin_, failure_);
    model_config made;
    made.name = model;
    claim_name(model, entry);
    read_sources(reader, entry, made);
    made.aliases = reader.texts("aliases");
    if (made.aliases.size() > limits::config_aliases_max)
      reader.fail("aliases", "more than " + std::to_string(limits::config_aliases_max));
    for (const auto& alias : made.aliases)
      claim_name(alias, *entry.find("aliases"));
    made.idle_ttl_us = reader.duration("ttl", made.idle_ttl_us);
    if (const auto* replicas = reader.object("replicas"))
      read_replicas(*replicas, made);
    made.context_tokens
        = static_cast<std::uint32_t>(reader.integer("context", 0, 0, 16 * 1024 * 1024));
    made.devices_per_instance = static_cast<std::uint32_t>(
        reader.integer("devices_per_instance", 1, 1, core::limits::devices_per_instance_max));
    made.policy = read_policy_name(reader, "policy", {}, made_);
    if (const auto* adapters = reader.object("adapters"))
      read_adapters(*adapters, made);
    reader.finish();
    made_.models.push_back(std::move(made));
  }

  /// One source, or a list of them: other forms of the same model for other devices.
  void read_sources(object_reader& reader, const value& entry, model_config& made) {
    reader.require("source");
    const auto* given = entry.find("source");
    const bool several = given != nullptr && given->type == strict_json::kind::array;
    auto sources = several ? reader.texts("source") : std::vector{reader.text("source")};
    if (sources.size() > gateway::limits::model_variants_max)
      reader.fail("source", "more than " + std::to_string(gateway::limits::model_variants_max));
    if (sources.empty() || std::count(sources.begin(), sources.end(), "") != 0)
      reader.fail("source", "must not be empty");
    for (auto& source : sources) // A reference is resolved by the node that needs it.
      if (!is_reference(source))
        source = absolute_path(source, base_dir_);
    if (!sources.empty())
      made.source = std::move(sources.front());
    if (sources.size() > 1)
      made.further.assign(std::next(sources.begin()), sources.end());
  }

  void read_adapters(const value& section, model_config& made) {
    object_reader reader(section, origin_, failure_);
    if (section.members.size() > core::limits::adapters_max)
      reader.fail("", "more than " + std::to_string(core::limits::adapters_max) + " adapters");
    for (const auto& [adapter, entry] : section.members) {
      claim_name(adapter, entry);
      auto& source = made.adapters[adapter] = reader.text(adapter);
      if (source.empty())
        reader.fail(adapter, "expected a path, hf: or https:, or server:NAME of one that the "
                             "server knows");
      if (!is_reference(source))
        source = absolute_path(source, base_dir_);
    }
    reader.finish();
  }

  void read_replicas(const value& section, model_config& made) {
    object_reader reader(section, origin_, failure_);
    made.replicas_min = static_cast<std::uint32_t>(reader.integer("min", 0, 0, 100'000));
    made.replicas_max = static_cast<std::uint32_t>(reader.integer("max", 0, 0, 100'000));
    if (made.replicas_max != 0 && made.replicas_min > made.replicas_max)
      reader.fail("min", "must not be above max");
    reader.finish();
  }

  /// Names and aliases share one space: a request must mean one model.
  void claim_name(const std::string& taken, const value& where) {
    if (failure_)
      return;
    if (const auto wrong = objection_to_name(taken))
      failure_ = strict_json::error_at(origin_, where, "a model name " + *wrong);
    else if (!names_.insert(taken).second)
      failure_ = strict_json::error_at(origin_, where, "`" + taken + "` names two models");
  }

  std::string_view origin_;
  const std::string& base_dir_;
  std::optional<error> failure_;
  std::set<std::string> names_;
  cluster_config made_;
};

std::optional<std::string> first_existing(const std::vector<fs::path>& places) {
  std::error_code ignored;
  for (const auto& place : places)
    if (fs::exists(place, ignored))
      return place.lexically_normal().string();
  return std::nullopt;
}

std::optional<std::string> find_shipped_model(const fs::path& executable) {
  const auto prefix = executable.parent_path().parent_path();
  std::vector<fs::path> places{prefix / "share/consort" / shipped_model};
  // Lets a build tree serve the model of its source tree, with no path compiled in.
  auto folder = executable.parent_path();
  for (int up = 0; up < folders_above_max; ++up, folder = folder.parent_path())
    places.push_back(folder / shipped_model);
  return first_existing(places);
}

std::optional<std::string> default_data_dir(const environment& lookup) {
  // The specification tells readers to ignore a relative path here.
  if (const auto state = lookup("XDG_STATE_HOME"); state && fs::path(*state).is_absolute())
    return (fs::path(*state) / "consort").string();
  if (const auto home = lookup("HOME"); home && !home->empty())
    return (fs::path(*home) / ".local/state/consort").string();
  return std::nullopt;
}

} // namespace

link_config no_links() {
  link_config none;
  none.listen.clear();
  none.data_listen.clear();
  return none;
}

result<done> add_plugin_dirs(cluster_config& config, const std::vector<std::string>& given) {
  for (const auto& folder : given) {
    std::error_code failed;
    const auto path = fs::absolute(folder, failed).lexically_normal();
    if (failed || !fs::is_directory(path, failed))
      return error{recovery::refuse, "usage", "--plugins " + folder + " is no folder"};
    config.plugin_dirs.push_back(path.string());
  }
  return done{};
}

link_config overlaid(link_config file, const link_config& flags) {
  for (const auto field :
       {&link_config::listen, &link_config::join, &link_config::cert_dir, &link_config::token,
        &link_config::name, &link_config::data_listen, &link_config::advertise})
    if (!(flags.*field).empty())
      file.*field = flags.*field;
  return file;
}

environment process_environment() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* found = std::getenv(name.c_str());
    return found ? std::optional<std::string>(found) : std::nullopt;
  };
}

result<cluster_config> parse_config(std::string_view text, std::string_view origin,
                                    const std::string& base_dir, const environment& lookup) {
  auto root = strict_json::parse(text, origin);
  if (!root)
    return root.failure();
  const auto change = [&](const std::string& given) { return interpolate(given, lookup); };
  if (auto mapped = strict_json::map_strings(*root, origin, change); !mapped)
    return mapped.failure();
  return config_reader(origin, base_dir).read(*root);
}

result<cluster_config> load_config(const std::string& path, const environment& lookup) {
  const auto text = node::read_whole_file(path);
  std::error_code ignored;
  const bool no_file = fs::exists(path, ignored) && !fs::is_regular_file(path, ignored);
  if (!text)
    return error{recovery::refuse, "usage",
                 "cannot read configuration " + path + ": "
                     + (no_file ? "it is no regular file" : "check the path and its permissions")};
  // Before any later change of the working directory.
  const auto base = fs::absolute(path, ignored).parent_path().string();
  return parse_config(*text, path, base, lookup);
}

namespace {

/// Where a field of a model stands in the file; where the model does, for want of it.
const value& place_of(const value& model, std::initializer_list<std::string_view> field) {
  const auto* at = &model;
  for (const auto& name : field)
    if (const auto* inner = at->find(name))
      at = inner;
  return *at;
}

/// Tokens that the forms of a model were made for at most; nothing unless all say so here.
std::optional<std::uint32_t> context_of(const std::vector<std::string>& sources) {
  std::uint32_t most = 0;
  for (const auto& source : sources) {
    const auto known
        = is_reference(source) ? result<node::gguf_info>(error{}) : node::inspect_gguf_file(source);
    if (!known || known->context_tokens == 0)
      return std::nullopt;
    most = std::max(most, known->context_tokens);
  }
  return most;
}

} // namespace

result<done> check_sources(const std::string& path, const environment& lookup) {
  const auto config = load_config(path, lookup);
  if (!config)
    return config.failure();
  const auto text = node::read_whole_file(path).value_or("");
  const auto root = strict_json::parse(text, path);
  if (!root)
    return root.failure();
  const auto there = [&](const std::string& source) {
    std::error_code failed;
    return is_reference(source) || fs::exists(source, failed);
  };
  const auto absent = [&](const value& where, const std::string& source) {
    return strict_json::error_at(path, where,
                                 source
                                     + " is not on this host: mend the path, which is relative "
                                       "to this file, or name hf:, https: or server:");
  };
  for (const auto& model : config->models) {
    const auto& entry = place_of(*root, {"models", model.name});
    auto sources = model.further;
    sources.insert(sources.begin(), model.source);
    for (const auto& source : sources)
      if (!there(source))
        return absent(place_of(entry, {"source"}), source);
    for (const auto& [adapter, source] : model.adapters)
      if (!there(source))
        return absent(place_of(entry, {"adapters", adapter}), source);
    if (const auto most = context_of(sources); most && model.context_tokens > *most)
      return strict_json::error_at(path, place_of(entry, {"context"}),
                                   std::to_string(model.context_tokens)
                                       + " tokens are more than the " + std::to_string(*most)
                                       + " that the model was made for");
  }
  return done{};
}

result<cluster_config> with_defaults(cluster_config config, const std::string& executable,
                                     const environment& lookup) {
  if (config.data_dir.empty()) {
    const auto folder = default_data_dir(lookup);
    if (!folder)
      return error{recovery::refuse, "usage",
                   "neither XDG_STATE_HOME nor HOME is set: say where data goes with --data DIR"};
    config.data_dir = *folder;
  }
  const auto prefix = fs::path(executable).parent_path().parent_path();
  if (config.plugin_dirs.empty())
    for (const auto& folder :
         {prefix / "share/consort/plugins", fs::path("/etc/consort/plugins.d")})
      if (const auto found = first_existing({folder}))
        config.plugin_dirs.push_back(*found);
  if (config.models.empty())
    if (const auto model = find_shipped_model(executable)) {
      model_config made;
      made.name = shipped_name;
      made.source = *model;
      made.aliases = {"default"};
      config.models.push_back(std::move(made));
    }
  return config;
}

std::string executable_path() {
  std::error_code failed;
  const auto path = fs::read_symlink("/proc/self/exe", failed);
  return failed ? std::string{} : path.string();
}

std::string engine_library() {
  const auto prefix = fs::path(executable_path()).parent_path().parent_path();
  return (prefix / "lib" / "consort" / "libconsort-llama.so").string();
}

std::optional<std::pair<std::string, std::uint16_t>> parse_listen(std::string_view text) {
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos)
    return std::nullopt;
  auto host = text.substr(0, colon);
  const auto digits = text.substr(colon + 1);
  // Brackets are how an IPv6 address keeps its colons apart from the port.
  const bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (bracketed)
    host = host.substr(1, host.size() - 2);
  else if (host.find(':') != std::string_view::npos)
    return std::nullopt;
  std::uint16_t port = 0;
  const auto [stop, status] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (status != std::errc{} || stop != digits.data() + digits.size())
    return std::nullopt;
  return std::pair{host.empty() ? std::string("127.0.0.1") : std::string(host), port};
}

core::core_config core_settings(const cluster_config& config, std::uint64_t seed) {
  core::core_config made;
  made.minima_settle_us = core::limits::minima_settle_us;
  made.cluster = config.cluster;
  made.seed = seed;
  made.policy = config.policy;
  made.pools = config.pools;
  made.profiles = config.profiles;
  made.tenant_policy = config.tenant_policy;
  made.slo = config.slo;
  made.queue_max = config.queue_max;
  made.lease_us = config.lease_us;
  made.queue_timeout_us = config.queue_timeout_us;
  made.tenant_weights = config.tenant_weights;
  made.remote = config.remote;
  made.remote_budget_micros_per_hour = config.remote_budget_micros_per_hour;
  return made;
}

} // namespace consort::cli
