// SPDX-License-Identifier: Apache-2.0
#include "node/weights/adapter_folder.hpp"

#include "node/file_digest.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>

namespace consort::node {

namespace {

constexpr std::uint32_t rank_most = 512;
constexpr std::string_view weights_file = "adapter_model.safetensors";
constexpr std::string_view pickled_file = "adapter_model.bin";
/// In order of name; the settings and the weights must be there.
constexpr std::array<std::string_view, 4> wanted_files{
    adapter_settings_file, weights_file, "added_tokens.json", "new_embeddings.safetensors"};

} // namespace

bool names_adapter_folder(std::string_view file) {
  return file == adapter_settings_file
         || (file.ends_with(adapter_settings_file)
             && file[file.size() - adapter_settings_file.size() - 1] == '/');
}

std::string adapter_folder_of(std::string_view file) {
  return std::string(file.substr(0, file.size() - adapter_settings_file.size()));
}

result<std::vector<std::string>> adapter_files(const std::vector<std::string>& repository,
                                               const std::string& folder,
                                               const std::string& where) {
  const auto there = [&](std::string_view name) {
    return std::find(repository.begin(), repository.end(), folder + std::string(name))
           != repository.end();
  };
  if (!there(adapter_settings_file))
    return error{recovery::refuse, "weights_missing",
                 where + " has no " + folder + std::string(adapter_settings_file)};
  if (!there(weights_file))
    return there(pickled_file)
               ? error{recovery::refuse, "source_unsupported",
                       where + " has its weights as " + folder + std::string(pickled_file)
                           + ", which is code where it is read: they are to be converted to "
                           + std::string(weights_file)}
               : error{recovery::refuse, "weights_missing",
                       where + " has no " + folder + std::string(weights_file)};
  std::vector<std::string> found;
  for (const auto name : wanted_files)
    if (there(name))
      found.emplace_back(name);
  return found;
}

std::uint32_t adapter_rank(std::string_view settings) {
  const auto config = nlohmann::json::parse(settings, nullptr, false);
  const auto rank = config.is_object() ? config.find("r") : config.end();
  return config.is_object() && rank != config.end() && rank->is_number_unsigned()
             ? static_cast<std::uint32_t>(
                 std::min<std::uint64_t>(rank->get<std::uint64_t>(), rank_most))
             : 0;
}

digest folder_digest(const std::map<std::string, digest>& files) {
  std::string contents;
  for (const auto& [name, content] : files)
    contents += content.value + " " + name + "\n";
  return hash_text(contents);
}

} // namespace consort::node
