// SPDX-License-Identifier: Apache-2.0
#include "cli/api.hpp"
#include "cli/commands.hpp"
#include "cli/limits.hpp"
#include "cli/table.hpp"
#include "gateway/limits.hpp"
#include "scheduler/formats.hpp"
#include "scheduler/units.hpp"
#include "scheduler/weights.hpp"

#include <CLI/App.hpp>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <ostream>

namespace consort::cli {

namespace {

struct model_options {
  std::string name;
  std::vector<std::string> sources; ///< Forms of it, in order of preference.
  std::vector<std::string> aliases;
  std::vector<std::string> adapters; ///< `NAME=SOURCE` each.
  std::string ttl;
  std::string policy;
  std::uint32_t replicas_min = 0;
  std::uint32_t replicas_max = 0;
};

/// A local path is relative to where the command runs; the server may run elsewhere.
std::string resolved(const std::string& source) {
  if (core::weights_elsewhere(source) || source.starts_with("server:"))
    return source;
  std::error_code failed;
  const auto path = std::filesystem::absolute(source, failed);
  return failed ? source : path.lexically_normal().string();
}

/// What only a server has is served once a plugin lists it, which nothing else tells for hours.
void hint_listing(context& env, const std::string& format) {
  const auto seen = fetch(env, "/api/v1/devices");
  if (!seen)
    return;
  for (const auto& device : seen->value("devices", json::array())) {
    const auto formats = device.value("/spec/capability/formats"_json_pointer, json::array());
    for (const auto& one : formats)
      if (one.is_string() && core::runs_format({one.get<std::string>()}, format))
        return;
  }
  env.out << "no plugin lists it: put `" << format
          << "` in `formats` of the one whose server has it, then `consort plugins reload`\n";
}

/// `added`, or what it takes the place of: the name is served otherwise from now on.
std::string added_words(const json& answer) {
  if (!answer.is_object() || !answer.contains("replaced"))
    return "added";
  const auto before = list_at(answer, "/replaced");
  return before.empty() ? "replaced" : "replaced; it was " + printable(before);
}

exit_code add(context& env, const model_options& wanted) {
  json body{{"name", wanted.name},
            {"aliases", wanted.aliases},
            {"replicas_min", wanted.replicas_min},
            {"replicas_max", wanted.replicas_max}};
  json adapters;
  for (const auto& given : wanted.adapters) {
    const auto equals = given.find('=');
    if (equals == 0 || equals == std::string::npos || equals + 1 == given.size())
      return complain(env, {recovery::refuse, "usage",
                            "--adapter `" + given + "` is not NAME=SOURCE, such as tales=/l/t"});
    adapters[given.substr(0, equals)] = resolved(given.substr(equals + 1));
  }
  if (!wanted.ttl.empty()) {
    const auto ttl = parse_duration(wanted.ttl);
    if (!ttl)
      return complain(env, {recovery::refuse, "usage",
                            "--ttl `" + wanted.ttl + "` is not a duration such as 10m"});
    body["idle_ttl_us"] = *ttl;
  }
  if (!wanted.policy.empty())
    body["policy"] = wanted.policy;
  for (const auto& source : wanted.sources) {
    auto& form = wanted.sources.size() == 1 ? body : body["variants"].emplace_back();
    form["source"] = resolved(source);
    if (!adapters.is_null()) // Whichever form serves, a request gets the adapter that it named.
      form["adapters"] = adapters;
  }
  const auto answer = send(env, "POST", "/api/v1/models", body, limits::model_add_timeout);
  if (!answer)
    return complain(env, answer.failure());
  env.out << wanted.name << ": " << added_words(*answer) << '\n';
  if (std::any_of(wanted.sources.begin(), wanted.sources.end(),
                  [](const auto& source) { return core::weights_elsewhere(source); }))
    env.out << "its weights are fetched when they are first needed; `consort artifacts` shows how "
               "far, `consort compile "
            << wanted.name << " --for auto` begins now\n";
  constexpr std::string_view server = "server:";
  for (const auto& source : wanted.sources)
    if (source.starts_with(server))
      hint_listing(env, "server/" + source.substr(server.size()));
  return tell_kept(env, *answer);
}

exit_code remove(context& env, const model_options& wanted) {
  const auto answer = send(env, "DELETE", "/api/v1/models/" + escaped(wanted.name), nullptr);
  if (!answer)
    return complain(env, answer.failure());
  env.out << wanted.name << ": removed\n";
  return tell_kept(env, *answer);
}

} // namespace

void add_model(CLI::App& root, context& env) {
  auto* model = root.add_subcommand("model", "Add or remove a served model");
  model->require_subcommand(1);
  auto wanted = std::make_shared<model_options>();
  auto* adding = model->add_subcommand("add", "Serve a model");
  adding->add_option("NAME", wanted->name, "Name to serve it under; what had it is replaced")
      ->required();
  adding
      ->add_option("SOURCE", wanted->sources,
                   "A file, hf:ORG/REPO[@REVISION][/FILE], https://HOST/FILE#sha256=HEX, or "
                   "server:NAME; several are forms of it for different devices, the best first")
      ->required()
      ->expected(1, gateway::limits::model_variants_max);
  adding->add_option("--alias", wanted->aliases, "Further name; may be repeated");
  adding->add_option("--adapter", wanted->adapters,
                     "NAME=SOURCE of a LoRA adapter, served as NAME; may be repeated");
  adding->add_option("--ttl", wanted->ttl,
                     "Unload a replica idle this long; 0 = never, 10m unless given");
  adding->add_option("--policy", wanted->policy,
                     "Profile of its requests that name none; the cluster's unless given");
  adding->add_option("--replicas-min", wanted->replicas_min, "Replicas kept loaded");
  adding->add_option("--replicas-max", wanted->replicas_max, "Most replicas; 0 = any");
  adding->callback([&env, wanted] { env.action = [&env, wanted] { return add(env, *wanted); }; });
  auto* removing = model->add_subcommand("rm", "Stop serving a model");
  removing->add_option("NAME", wanted->name, "Model name; aliases and adapters go with it")
      ->required();
  removing->callback(
      [&env, wanted] { env.action = [&env, wanted] { return remove(env, *wanted); }; });
}

} // namespace consort::cli
