// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Engines that a vendor built: what they are is not written beside them, so it is taken from the
/// plugin that is to run them. Private to `artifacts import`.

#include "cli/config.hpp"
#include "node/artifact_store.hpp"

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

/// Puts it into the store as if it had been built here. Asks the plugins of this host, which may
/// take seconds. Errors: `usage`, which says what is wrong or what there is to choose from, and the
/// store's.
[[nodiscard]] result<artifact_record> import_prebuilt(const prebuilt_import& wanted,
                                                      const cluster_config& config,
                                                      node::artifact_store& store);

} // namespace consort::cli
