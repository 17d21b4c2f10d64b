// SPDX-License-Identifier: Apache-2.0
#include "cli/api.hpp"
#include "cli/commands.hpp"
#include "cli/limits.hpp"
#include "cli/list_command.hpp"
#include "cli/table.hpp"
#include "scheduler/units.hpp"

#include <CLI/App.hpp>

#include <algorithm>
#include <chrono>
#include <memory>
#include <ostream>
#include <thread>

namespace consort::cli {

namespace {

std::string of(const json& cluster, const char* part, const char* whole) {
  return count_at(cluster, part) + " of " + count_at(cluster, whole);
}

void show_table(context& env, const json& cluster) {
  table summary({{"CLUSTER"},
                 {"POLICY"},
                 {"NODES ALIVE", align::right},
                 {"DEVICES ALIVE", align::right},
                 {"MODELS", align::right},
                 {"REPLICAS", align::right},
                 {"RUNNING", align::right},
                 {"QUEUED", align::right}});
  summary.add({text_at(cluster, "/cluster"), text_at(cluster, "/policy"),
               of(cluster, "/totals/nodes_alive", "/totals/nodes"),
               of(cluster, "/totals/devices_alive", "/totals/devices"),
               count_at(cluster, "/totals/models"), count_at(cluster, "/totals/replicas_ready"),
               count_at(cluster, "/totals/requests_running"), count_at(cluster, "/queue_depth")});
  env.out << summary.render(env.wide(), env.colour) << '\n';
  table counters({{"SUBMITTED", align::right},
                  {"FINISHED", align::right},
                  {"FAILED", align::right},
                  {"REJECTED", align::right},
                  {"CANCELLED", align::right},
                  {"EXPIRED", align::right},
                  {"RETRIES", align::right},
                  {"BUILDS", align::right},
                  {"LOADS", align::right},
                  {"RESUMES", align::right, true},
                  {"PREEMPTIONS", align::right, true},
                  {"DECISIONS", align::right, true}});
  std::vector<std::string> cells;
  for (const auto* name :
       {"submitted", "finished", "failed", "rejected", "cancelled", "expired", "retries",
        "builds_started", "loads", "resumes", "preemptions", "decisions"})
    cells.push_back(count_at(cluster, std::string("/counters/") + name));
  counters.add(std::move(cells));
  env.out << counters.render(env.wide(), env.colour);
}

exit_code show_status(context& env) {
  const auto cluster = fetch(env, "/api/v1/cluster");
  if (!cluster)
    return complain(env, cluster.failure());
  if (env.json())
    env.out << cluster->dump(2) << '\n';
  else
    show_table(env, *cluster);
  return exit_code::done;
}

struct status_flags {
  bool watch = false;
  std::string wait; ///< Empty = not at all.
};

/// Until a server answers, or the time is over: then whoever asks it next says so. So a script
/// starts one and goes on once it is there. Errors: `usage`.
result<done> await_start(const context& env, const std::string& wait) {
  const auto span = parse_duration(wait);
  if (!span || *span < 0)
    return error{recovery::refuse, "usage", "--wait `" + wait + "` is not a duration such as 1m"};
  const auto url = server_url(env);
  if (!url)
    return url.failure();
  const auto end = std::chrono::steady_clock::now()
                   + std::min<std::chrono::microseconds>(std::chrono::microseconds(*span),
                                                         limits::server_wait_max);
  while (!answers(*url) && std::chrono::steady_clock::now() < end)
    std::this_thread::sleep_for(limits::server_wait_look);
  return done{};
}

exit_code run_status(context& env, const status_flags& flags) {
  if (!flags.wait.empty())
    if (const auto waited = await_start(env, flags.wait); !waited)
      return complain(env, waited.failure());
  return flags.watch ? repeat(env, show_status, limits::watch_interval) : show_status(env);
}

} // namespace

void add_status(CLI::App& root, context& env) {
  auto* command = root.add_subcommand("status", "The cluster at a glance");
  const auto flags = std::make_shared<status_flags>();
  command->add_flag("--watch", flags->watch, "Repeat every second until interrupted");
  command
      ->add_option("--wait", flags->wait,
                   "First wait so long for a server that is starting (default 0s)")
      ->type_name("DURATION");
  command->callback(
      [&env, flags] { env.action = [&env, flags] { return run_status(env, *flags); }; });
}

} // namespace consort::cli
