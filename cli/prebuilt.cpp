// SPDX-License-Identifier: Apache-2.0
#include "cli/prebuilt.hpp"

#include "cli/context.hpp"
#include "node/file_digest.hpp"
#include "node/inventory.hpp"
#include "scheduler/artifact_model.hpp"

#include <boost/asio/io_context.hpp>

#include <filesystem>
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

result<build_profile> choose_profile(const prebuilt_import& wanted, const cluster_config& config) {
  std::vector<build_profile> fitting;
  std::string all;
  auto searched = config;
  if (const auto added = add_plugin_dirs(searched, wanted.plugin_dirs); !added)
    return added.failure();
  for (const auto& one : known_profiles(searched.plugin_dirs)) {
    all += (all.empty() ? "" : ", ") + one.name + " for " + one.target;
    if (one.name == wanted.profile && (wanted.target.empty() || one.target == wanted.target))
      fitting.push_back(one);
  }
  if (fitting.size() == 1)
    return fitting.front();
  if (fitting.empty())
    return usage_error("no plugin of this host has profile `" + wanted.profile + "`"
                       + (wanted.target.empty() ? "" : " for " + wanted.target)
                       + (all.empty() ? "" : "; there are: " + all));
  return usage_error("profile `" + wanted.profile
                     + "` has several targets: name one with --target");
}

result<digest> digest_of_weights(const std::string& model) {
  if (node::is_digest(model))
    return digest(model);
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
  for (const auto& one : fs::recursive_directory_iterator(path, failed))
    if (std::error_code ignored; one.is_regular_file(ignored))
      bytes += one.file_size(ignored);
  return bytes;
}

} // namespace

result<artifact_record> import_prebuilt(const prebuilt_import& wanted, const cluster_config& config,
                                        node::artifact_store& store) {
  std::error_code failed;
  if (!fs::exists(wanted.path, failed))
    return usage_error(wanted.path + " cannot be read");
  const auto profile = choose_profile(wanted, config);
  if (!profile)
    return profile.failure();
  const auto weights = digest_of_weights(wanted.model);
  if (!weights)
    return weights.failure();
  const bool folder = fs::is_directory(wanted.path, failed);
  // A folder is there twice while it is packed.
  auto staging = store.stage(size_of(wanted.path) * (folder ? 2 : 1));
  if (!staging)
    return staging.failure();
  fs::copy(wanted.path, staging->output_path(), fs::copy_options::recursive, failed);
  if (failed)
    return error{recovery::retry_later, "failed", wanted.path + ": " + failed.message()};
  std::map<std::string, std::string> quality{{"origin", "prebuilt"}};
  if (auto name = name_of_model(wanted.model, config); !name.empty())
    quality[artifact_model] = std::move(name);
  return store.put(*std::move(staging), {artifact_kind::engine_weights, weights->value, *profile},
                   std::move(quality), 0);
}

} // namespace consort::cli
