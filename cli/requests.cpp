// SPDX-License-Identifier: Apache-2.0
#include "cli/commands.hpp"
#include "cli/list_command.hpp"
#include "scheduler/limits.hpp"

#include <CLI/App.hpp>

#include <cstdint>
#include <memory>

namespace consort::cli {

namespace {

/// Which of the live requests, as the API's list of them takes it; what is not set is not asked.
struct wanted_requests {
  std::size_t limit = core::limits::snapshot_requests_max;
  std::uint64_t after = 0;
  std::string model, tenant, priority, state;
};

void add_flags(CLI::App& to, wanted_requests& wanted) {
  to.add_option("--limit", wanted.limit, "How many at most")
      ->check(CLI::Range(std::size_t{1}, core::limits::requests_page_max))
      ->capture_default_str();
  to.add_option("--after", wanted.after, "Only those behind this number of `-o wide`")
      ->type_name("NUMBER");
  to.add_option("--model", wanted.model, "Only of this model");
  to.add_option("--tenant", wanted.tenant, "Only of this tenant");
  to.add_option("--priority", wanted.priority, "Only of this class")
      ->check(CLI::IsMember({"interactive", "standard", "batch"}));
  to.add_option("--state", wanted.state, "Only those in this state")
      ->check(CLI::IsMember({"queued", "loading", "compiling", "running"}));
}

std::string query_of(const wanted_requests& wanted) {
  std::string made;
  const auto add = [&](const char* name, const std::string& value) {
    made += (made.empty() ? "?" : "&") + std::string(name) + "=" + escaped(value);
  };
  if (wanted.limit != core::limits::snapshot_requests_max)
    add("limit", std::to_string(wanted.limit));
  if (wanted.after != 0)
    add("after", std::to_string(wanted.after));
  for (const auto& [name, value] :
       {std::pair("model", &wanted.model), std::pair("tenant", &wanted.tenant),
        std::pair("priority", &wanted.priority), std::pair("state", &wanted.state)})
    if (!value->empty())
      add(name, *value);
  return made;
}

/// What was left out is not to look as if it were not there.
std::string footer_of(const json& answer) {
  const auto next = count_at(answer, "/next");
  const auto shown = answer.value("requests", json::array()).size();
  const auto total = answer.value("total", shown);
  if (next.empty() && total <= shown)
    return {};
  return "\n" + std::to_string(shown) + " of " + std::to_string(total) + " requests"
         + (next.empty() ? "" : "; `--after " + next + "` shows those behind") + "\n";
}

} // namespace

void add_requests(CLI::App& root, context& env) {
  list_command command;
  command.name = "requests";
  command.help = "Requests in the cluster now, oldest first; `explain REQUEST` says why each is "
                 "where it is";
  command.columns = {{"REQUEST"},
                     {"MODEL"},
                     {"TENANT"},
                     {"CLASS"},
                     {"STATE", align::left, false, true},
                     {"DEVICE"},
                     {"ATTEMPTS", align::right},
                     {"AGE", align::right},
                     {"DEADLINE", align::right},
                     {"NUMBER", align::right, true},
                     {"ID", align::left, true}};
  command.row = [](const json& request) -> std::vector<std::string> {
    return {text_at(request, "/external_id"),
            text_at(request, "/model"),
            text_at(request, "/tenant"),
            text_at(request, "/priority"),
            text_at(request, "/state"),
            text_at(request, "/device"),
            count_at(request, "/attempts"),
            duration_at(request, "/age_us"),
            duration_at(request, "/deadline_left_us"),
            count_at(request, "/number"),
            text_at(request, "/id")};
  };
  const auto wanted = std::make_shared<wanted_requests>();
  command.add_flags = [wanted](CLI::App& added) { add_flags(added, *wanted); };
  command.query = [wanted] { return query_of(*wanted); };
  command.footer = footer_of;
  add_list_command(root, env, std::move(command));
}

} // namespace consort::cli
