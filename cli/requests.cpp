// SPDX-License-Identifier: Apache-2.0
#include "cli/commands.hpp"
#include "cli/list_command.hpp"

namespace consort::cli {

void add_requests(CLI::App& root, context& env) {
  list_command command;
  command.name = "requests";
  command.help = "Requests in the cluster now; `explain REQUEST` says why each is where it is";
  command.columns = {{"REQUEST"},
                     {"MODEL"},
                     {"STATE", align::left, false, true},
                     {"DEVICE"},
                     {"ATTEMPTS", align::right},
                     {"AGE", align::right},
                     {"ID", align::left, true}};
  command.row = [](const json& request) -> std::vector<std::string> {
    return {text_at(request, "/external_id"), text_at(request, "/model"),
            text_at(request, "/state"),       text_at(request, "/device"),
            count_at(request, "/attempts"),   duration_at(request, "/age_us"),
            text_at(request, "/id")};
  };
  add_list_command(root, env, std::move(command));
}

} // namespace consort::cli
