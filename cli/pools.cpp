// SPDX-License-Identifier: Apache-2.0
#include "cli/commands.hpp"
#include "cli/list_command.hpp"

namespace consort::cli {

void add_pools(CLI::App& root, context& env) {
  list_command command;
  command.name = "pools";
  command.help = "Named device selectors of the configuration, usable as pool=NAME";
  command.columns = {{"POOL"}, {"SELECTOR"}, {"DEVICES"}};
  command.row = [](const json& pool) -> std::vector<std::string> {
    std::string devices;
    for (const auto& device : pool.value("devices", json::array()))
      devices += (devices.empty() ? "" : " ") + device.get<std::string>();
    return {text_at(pool, "/name"), text_at(pool, "/selector"), devices};
  };
  add_list_command(root, env, std::move(command));
}

} // namespace consort::cli
