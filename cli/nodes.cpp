// SPDX-License-Identifier: Apache-2.0
#include "cli/commands.hpp"
#include "cli/list_command.hpp"

namespace consort::cli {

void add_nodes(CLI::App& root, context& env) {
  list_command command;
  command.name = "nodes";
  command.help = "Hosts that run an agent";
  command.columns = {{"NODE"},
                     {"STATE", align::left, false, true},
                     {"LEASE", align::right},
                     {"TOOLCHAINS"},
                     {"HELD OFF", align::right, true},
                     {"EPOCH", align::right, true},
                     {"INCARNATION", align::left, true},
                     {"DATA ADDRESS", align::left, true}};
  command.row = [](const json& node) -> std::vector<std::string> {
    const bool alive = true_at(node, "/alive");
    const auto held_off_us = node.value("held_off_us", std::int64_t{0});
    const auto* const state = held_off_us > 0              ? "held-off"
                              : !alive                     ? "lost"
                              : true_at(node, "/suspect")  ? "suspect"
                              : true_at(node, "/draining") ? "draining"
                              : true_at(node, "/cordoned") ? "cordoned"
                                                           : "alive";
    std::string toolchains;
    for (const auto& profile : node.value("toolchains", json::array()))
      toolchains += (toolchains.empty() ? "" : ",") + text_at(profile, "/name");
    return {text_at(node, "/node"),
            state,
            alive ? duration_at(node, "/lease_left_us") : "",
            toolchains,
            held_off_us > 0 ? duration_at(node, "/held_off_us") : "",
            count_at(node, "/lease_epoch"),
            text_at(node, "/life"),
            text_at(node, "/data_address")};
  };
  add_list_command(root, env, std::move(command));
}

} // namespace consort::cli
