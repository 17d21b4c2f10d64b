// SPDX-License-Identifier: Apache-2.0
#pragma once
/// LoRA adapters as trainers write them, a folder: which of a repository's files are such an
/// adapter, what its settings say, and which digest the folder has. Pure.

#include "scheduler/ids.hpp"
#include "scheduler/result.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace consort::node {

/// The file that makes a folder an adapter; a source that ends with it means the folder.
inline constexpr std::string_view adapter_settings_file = "adapter_config.json";

[[nodiscard]] bool names_adapter_folder(std::string_view file);
/// What stands before the settings' own name: empty, or a path that ends with a slash.
[[nodiscard]] std::string adapter_folder_of(std::string_view file);

/// Of the files of a repository those that are the adapter in `folder` (as adapter_folder_of()), by
/// their names in it, in order. What else lies there is for people, or of the training. Errors
/// (refuse): `weights_missing`, `source_unsupported` (weights that are code where they are read).
[[nodiscard]] result<std::vector<std::string>>
adapter_files(const std::vector<std::string>& repository, const std::string& folder,
              const std::string& where);

/// `r` of the settings, at most 512; 0 when it does not say.
[[nodiscard]] std::uint32_t adapter_rank(std::string_view settings);

/// Of a folder's files, by name: the same for a folder on a disk and one of a hub.
[[nodiscard]] digest folder_digest(const std::map<std::string, digest>& files);

} // namespace consort::node
