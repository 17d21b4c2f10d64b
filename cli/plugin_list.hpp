// SPDX-License-Identifier: Apache-2.0
#pragma once
/// `consort plugins` of a running cluster: what each node knows of its plugins, through the admin
/// API. The listing of this host alone is in plugins.cpp, which needs the vendors' libraries.

#include "cli/context.hpp"

#include <string>

namespace consort::cli {

struct plugin_list_flags {
  std::string node;   ///< Only that one's; empty = every node's.
  bool all = false;   ///< Those too that are not on their hosts.
  bool local = false; ///< This host, whether a server is up or not.
};

/// Whether to ask a server: a named one always, the default one if it answers. Says on stderr when
/// it shows this host for want of one. Returns: an error when the configuration cannot be read.
[[nodiscard]] result<bool> asks_cluster(context& env, const plugin_list_flags& flags);

/// A table of all nodes; a silent one is a row that says so. With `-o json` the answer itself.
exit_code list_cluster_plugins(context& env, const plugin_list_flags& flags);

} // namespace consort::cli
