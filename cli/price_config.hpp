// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The part of a configuration that says what models cost by the token at servers of others, over
/// what their plugins say. Pure; errors name file, line and field.

#include "cli/config.hpp"
#include "scenarios/strict_json.hpp"

namespace consort::cli {

/// Reads the section `remotes` into `made`: by plugin, `models` by the server's name, each with a
/// `price` per million tokens.
void read_remotes(const strict_json::value& section, std::string_view origin,
                  std::optional<error>& failure, cluster_config& made);

} // namespace consort::cli
