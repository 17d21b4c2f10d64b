// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Subcommands that need actors or vendor libraries and so live in the executable only, not in the
/// library of the others.

#include "cli/context.hpp"

namespace CLI {
class App;
}

namespace consort::cli {

/// A whole cluster in the foreground.
void add_up(CLI::App& root, context& env);
/// The scheduler with its gateway, taking links of nodes and further gateways.
void add_scheduler(CLI::App& root, context& env);
/// The agent of one host.
void add_node(CLI::App& root, context& env);
/// A further gateway.
void add_gateway(CLI::App& root, context& env);
/// What this host has and what its links lack.
void add_doctor(CLI::App& root, context& env);
/// The host process of one vendor library; hidden.
void add_host(CLI::App& root, context& env);

} // namespace consort::cli
