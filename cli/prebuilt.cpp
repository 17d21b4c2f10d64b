// SPDX-License-Identifier: Apache-2.0
#include "cli/prebuilt.hpp"

#include "cli/context.hpp"
#include "node/file_digest.hpp"
#include "node/inventory.hpp"
#include "node/model_files.hpp"
#include "node/plugin_json.hpp"
#include "node/small_file.hpp"
#include "scheduler/artifact_model.hpp"
#include "scheduler/models.hpp"

#include <boost/asio/io_context.hpp>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <set>

namespace consort::cli {

namespace {

namespace fs = std::filesystem;

/// What the devices of this host run, and what its compilers make.
std::set<build_profile> known_profiles(const std::vector<std::string>& folders) {
  boost::asio::io_context io; // Tools are run by the calling thread; nothing is started on it.
  node::inventory found(node_id{"local"});
  // Broken plugins are the agent's to complain about.
  for (const auto& folder : folders)
    static_cast<void>(found.load(folder, node::plugin_environment{io, {}}));
  static_cast<void>(found.probe());
  std::set<build_profile> known;
  for (const auto& profile : found.toolchains())
    known.insert(profile);
  for (const auto& device : found.devices())
    for (const auto& by : device.capability.build_profiles)
      known.insert(by.profile);
  return known;
}

result<build_profile> choose_profile(const prebuilt_import& wanted,
                                     const std::vector<std::string>& folders) {
  std::vector<build_profile> fitting;
  std::string all;
  for (const auto& one : known_profiles(folders)) {
    all += (all.empty() ? "" : ", ") + one.name + " for " + one.target;
    if (one.name == wanted.profile && (wanted.target.empty() || one.target == wanted.target))
      fitting.push_back(one);
  }
  if (fitting.size() == 1)
    return fitting.front();
  if (fitting.empty())
    return usage_error("no plugin of this host has profile `" + wanted.profile + "`"
                       + (wanted.target.empty() ? "" : " for " + wanted.target)
                       + (all.empty() ? "" : "; there are: " + all)
                       + "; plugins of another folder are named by --plugins");
  return usage_error("profile `" + wanted.profile
                     + "` has several targets: name one with --target");
}

result<digest> digest_of_weights(const std::string& model) {
  if (node::is_digest(model))
    return digest(model);
  if (model.empty())
    return usage_error("--profile wants --model beside it: the weights that it was built from, or "
                       "their SHA-256");
  const auto content = node::hash_file(model);
  if (!content)
    return usage_error("--model wants the weights that it was built from, or their SHA-256: "
                       + content.failure().message);
  return content;
}

/// As the configuration calls the file, else the file's own name; empty where a digest was given.
std::string name_of_model(const std::string& model, const cluster_config& config) {
  if (node::is_digest(model))
    return {};
  std::error_code failed;
  for (const auto& one : config.models)
    if (fs::equivalent(one.source, model, failed))
      return one.name;
  return fs::path(model).filename().string();
}

std::uint64_t size_of(const fs::path& path) {
  std::error_code failed;
  if (!fs::is_directory(path, failed))
    return fs::file_size(path, failed);
  std::uint64_t bytes = 0;
  fs::recursive_directory_iterator entries(path, failed);
  for (const auto end = fs::recursive_directory_iterator(); !failed && entries != end;
       entries.increment(failed))
    if (std::error_code ignored; entries->is_regular_file(ignored))
      if (const auto size = entries->file_size(ignored); !ignored)
        bytes += size;
  return bytes;
}

/// In order of name, as inventory::load() takes them; of a folder that cannot be read none.
std::vector<std::string> plugins_in(const std::string& folder) {
  std::vector<std::string> plugins;
  std::error_code failed;
  fs::directory_iterator entries(folder, failed);
  for (const auto end = fs::directory_iterator(); !failed && entries != end;
       entries.increment(failed))
    if (std::error_code ignored; fs::exists(entries->path() / "plugin.json", ignored))
      plugins.push_back(entries->path().string());
  std::sort(plugins.begin(), plugins.end());
  return plugins;
}

/// A target that the device names may be any.
bool makes(const node::build_rule& rule, const build_profile& profile) {
  return rule.profile.name == profile.name && rule.profile.compiler == profile.compiler
         && (rule.profile.target == profile.target || rule.profile.target.starts_with('{'));
}

/// How the profile is built, as the first plugin that has it says; of a plugin in C++ nothing is
/// said. Requires: what inventory::load() takes.
node::build_rule rule_of(const build_profile& profile, const std::vector<std::string>& folders) {
  std::optional<node::build_rule> first;
  for (const auto& folder : folders)
    for (const auto& plugin : plugins_in(folder)) {
      const auto document = node::load_plugin_json(plugin);
      if (!document)
        continue;
      for (const auto& rule : document->builds)
        if (makes(rule, profile) && (!first || (first->begins.empty() && !rule.begins.empty())))
          first = rule;
    }
  return first.value_or(node::build_rule{});
}

/// What the engine is of: the weights, or all weights of their shape where the profile says so.
result<artifact_key> key_of(const prebuilt_import& wanted, const node::build_rule& rule,
                            const build_profile& profile, const digest& weights) {
  model_variant variant;
  variant.content = weights;
  if (rule.binds == artifact_kind::engine_architecture) {
    if (node::is_digest(wanted.model))
      return usage_error("profile `" + profile.name
                         + "` makes engines for all weights of one shape: --model wants the file, "
                           "a digest does not tell its shape");
    node::digest_cache digests;
    auto described = node::describe_here(wanted.model, digests);
    if (!described)
      return described.failure();
    variant = *std::move(described);
  }
  runnable_build by;
  by.profile = profile;
  by.binds = rule.binds;
  return engine_key(variant, by);
}

/// What can be wrong with it before anything loads it.
std::optional<error> objection_to(const prebuilt_import& wanted, const build_profile& profile,
                                  const digest& weights, const std::string& begins) {
  std::error_code failed;
  const bool folder = fs::is_directory(wanted.path, failed);
  if (!folder && !fs::is_regular_file(wanted.path, failed))
    return usage_error(wanted.path + " is neither a file nor a folder");
  if (size_of(wanted.path) == 0)
    return usage_error(wanted.path + (folder ? " holds no bytes" : " is empty") + ": is it whole?");
  if (folder)
    return begins.empty() ? std::nullopt
                          : std::optional(
                              usage_error(wanted.path + " is a folder, and what " + profile.compiler
                                          + " makes for profile `" + profile.name
                                          + "` is a file that begins with " + in_words(begins)));
  const auto head = node::read_file_head(wanted.path, std::max(begins.size(), std::size_t{1}));
  if (!head)
    return usage_error(wanted.path + " cannot be read");
  if (!head->starts_with(begins))
    return usage_error(wanted.path + " begins with " + in_words(*head) + ", and what "
                       + profile.compiler + " makes for profile `" + profile.name + "` with "
                       + in_words(begins) + ": it is something else, or not whole");
  const auto content = node::hash_file(wanted.path);
  if (content && *content == weights)
    return usage_error(wanted.path + " is the weights themselves, not what " + profile.compiler
                       + " makes of them");
  return std::nullopt;
}

} // namespace

std::string in_words(const std::string& bytes) {
  const bool text
      = std::all_of(bytes.begin(), bytes.end(), [](char c) { return c > ' ' && c < 0x7f; });
  if (text)
    return "`" + bytes + "`";
  constexpr std::string_view digits = "0123456789abcdef";
  std::string hex = "hex:";
  for (const unsigned char c : bytes)
    hex.append({digits[c >> 4U], digits[c & 15U]});
  return hex;
}

result<prebuilt_choice> choose_prebuilt(const prebuilt_import& wanted,
                                        const cluster_config& config) {
  std::error_code failed;
  if (!fs::exists(wanted.path, failed))
    return usage_error(wanted.path + " cannot be read");
  auto searched = config;
  if (const auto added = add_plugin_dirs(searched, wanted.plugin_dirs); !added)
    return added.failure();
  const auto profile = choose_profile(wanted, searched.plugin_dirs);
  if (!profile)
    return profile.failure();
  const auto weights = digest_of_weights(wanted.model);
  if (!weights)
    return weights.failure();
  const auto rule = rule_of(*profile, searched.plugin_dirs);
  if (auto wrong = objection_to(wanted, *profile, *weights, rule.begins))
    return *std::move(wrong);
  const auto key = key_of(wanted, rule, *profile, *weights);
  if (!key)
    return key.failure();
  prebuilt_choice chosen{wanted.path, *key, {{"origin", "prebuilt"}}};
  if (auto name = name_of_model(wanted.model, config); !name.empty())
    chosen.quality[artifact_model] = std::move(name);
  return chosen;
}

result<artifact_record> import_prebuilt(const prebuilt_choice& chosen,
                                        node::artifact_store& store) {
  std::error_code failed;
  const bool folder = fs::is_directory(chosen.path, failed);
  // A folder is there twice while it is packed.
  auto staging = store.stage(size_of(chosen.path) * (folder ? 2 : 1));
  if (!staging)
    return staging.failure();
  fs::copy(chosen.path, staging->output_path(), fs::copy_options::recursive, failed);
  if (failed)
    return error{recovery::retry_later, "failed", chosen.path + ": " + failed.message()};
  return store.put(*std::move(staging), chosen.key, chosen.quality, 0);
}

} // namespace consort::cli
