// SPDX-License-Identifier: Apache-2.0
#include "cli/commands.hpp"
#include "cli/list_command.hpp"

namespace consort::cli {

namespace {

std::string model_state(const json& model) {
  if (model.value("replicas_ready", 0) > 0)
    return "ready";
  return model.value("replicas_loading", 0) > 0 ? "loading" : "idle";
}

/// Unknown until a node has seen the file.
std::string weights(const json& model) {
  const auto* const at = "/spec/variants/0/weight_bytes";
  return count_at(model, at) == "0" ? std::string{} : size_at(model, at);
}

/// The model's own, or of one that only servers have what they tell; unknown until one does.
std::string context_tokens(const json& model) {
  for (const auto* at : {"/spec/variants/0/context_tokens", "/context_tokens"})
    if (auto tokens = count_at(model, at); !tokens.empty() && tokens != "0")
      return tokens;
  return {};
}

std::string replica_bounds(const json& model) {
  const auto max = count_at(model, "/spec/replicas_max");
  return count_at(model, "/spec/replicas_min") + ".." + (max == "0" ? "any" : max);
}

std::string idle_ttl(const json& model) {
  const auto* const at = "/spec/idle_ttl_us";
  return count_at(model, at) == "0" ? "never" : duration_at(model, at);
}

std::string adapters(const json& model) {
  std::string names;
  const json::json_pointer at("/spec/variants/0/adapters");
  if (model.contains(at) && model[at].is_array())
    for (const auto& one : model[at])
      names += (names.empty() ? "" : ",") + text_at(one, "/name");
  return names;
}

} // namespace

namespace {

/// Of all its forms, in order of preference.
std::string of_variants(const json& model, const char* field) {
  std::string all;
  for (const auto& one : model.value("/spec/variants"_json_pointer, json::array()))
    all += (all.empty() ? "" : ",") + text_at(one, "/" + std::string(field));
  return all;
}

} // namespace

void add_models(CLI::App& root, context& env) {
  list_command command;
  command.name = "models";
  command.help = "Served models and their replicas";
  command.columns = {{"MODEL"},
                     {"STATE", align::left, false, true},
                     {"REPLICAS", align::right},
                     {"LOADING", align::right},
                     {"WAITING", align::right},
                     {"ALIASES"},
                     {"ADAPTERS", align::left, true},
                     {"CONTEXT", align::right},
                     {"WEIGHTS", align::right},
                     {"BOUNDS", align::left, true},
                     {"TTL", align::right, true},
                     {"POLICY", align::left, true},
                     {"FORMAT", align::left, true},
                     {"SOURCE", align::left, true}};
  command.row = [](const json& model) -> std::vector<std::string> {
    return {text_at(model, "/spec/name"),
            model_state(model),
            count_at(model, "/replicas_ready"),
            count_at(model, "/replicas_loading"),
            count_at(model, "/waiting"),
            list_at(model, "/spec/aliases"),
            adapters(model),
            context_tokens(model),
            weights(model),
            replica_bounds(model),
            idle_ttl(model),
            text_at(model, "/spec/policy"),
            of_variants(model, "format"),
            of_variants(model, "source")};
  };
  add_list_command(root, env, std::move(command));
}

} // namespace consort::cli
