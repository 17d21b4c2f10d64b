// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Engines that a vendor built: what they are is not written beside them, so it is taken from the
/// plugin that is to run them. Private to `artifacts import`, but for in_words().

#include "cli/config.hpp"
#include "node/artifact_store.hpp"

#include <map>
#include <string>
#include <vector>

namespace consort::cli {

struct prebuilt_import {
  std::string path;                     ///< A file or a folder; stays as it is.
  std::string profile;                  ///< Of a plugin of this host.
  std::string target;                   ///< Empty = the profile's only one.
  std::vector<std::string> plugin_dirs; ///< Beside the configuration's.
  std::string model; ///< The weights that it was built from: their file, or their SHA-256.
};

/// What it is, after all checks that need no store.
struct prebuilt_choice {
  std::string path;
  artifact_key key;
  std::map<std::string, std::string> quality;
};

/// Bytes as people read them, and as `begins` of plugin.json has them.
[[nodiscard]] std::string in_words(const std::string& bytes);

/// Asks the plugins of this host, which may take seconds. Errors: `usage`, which says what is wrong
/// or what there is to choose from: no such profile, nothing in the file, not what the profile's
/// compiler makes, or the weights themselves.
[[nodiscard]] result<prebuilt_choice> choose_prebuilt(const prebuilt_import& wanted,
                                                      const cluster_config& config);

/// Puts it into the store as if it had been built here. Errors: the store's.
[[nodiscard]] result<artifact_record> import_prebuilt(const prebuilt_choice& chosen,
                                                      node::artifact_store& store);

} // namespace consort::cli
