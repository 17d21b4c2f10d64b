// SPDX-License-Identifier: Apache-2.0
#include "cli/api.hpp"
#include "cli/commands.hpp"
#include "cli/limits.hpp"
#include "cli/submission.hpp"
#include "scheduler/served_name.hpp"
#include "scheduler/weights.hpp"

#include <CLI/App.hpp>

namespace consort::cli {

namespace {

/// Runs on a cluster of its own, on any free port, stopped again whatever the outcome.
exit_code run_embedded(context& env, submission& wanted) {
  auto config = configuration(env);
  if (!config)
    return complain(env, config.failure());
  if (core::weights_elsewhere(wanted.model)) {
    model_config named;
    named.source = wanted.model;
    wanted.model = named.name = name_of_source(named.source);
    config->models.push_back(std::move(named));
  }
  config->http_host = "127.0.0.1";
  // Never the configured port: a real cluster may start there at any moment.
  config->http_port = 0;
  auto cluster = env.start(*config);
  if (!cluster)
    return complain(env, cluster.failure());
  const auto code = run_submission(env, (*cluster)->url(), wanted);
  (*cluster)->stop();
  return code;
}

/// A model that is named by where its weights are is served under that name, or that of its file.
exit_code run_on_server(context& env, const std::string& url, submission& wanted) {
  if (core::weights_elsewhere(wanted.model)) {
    const auto name = name_of_source(wanted.model);
    const auto added = send(env, "POST", "/api/v1/models",
                            {{"name", name}, {"source", wanted.model}}, limits::model_add_timeout);
    if (!added)
      return complain(env, added.failure());
    wanted.model = name;
  }
  return run_submission(env, url, wanted);
}

exit_code run(context& env, submission& wanted) {
  const auto url = server_url(env);
  if (!url)
    return complain(env, url.failure());
  if (const auto read = read_prompt(env, wanted); !read)
    return complain(env, read.failure());
  // A server that was named is asked or the command fails; a default one may be absent.
  if (!env.options.server.empty() || answers(*url) || !env.start)
    return run_on_server(env, *url, wanted);
  return run_embedded(env, wanted);
}

} // namespace

void add_run(CLI::App& root, context& env) {
  auto* command = root.add_subcommand(
      "run", "One answer, streamed: from the server if one is up, else from a cluster of its own");
  const auto wanted = add_submission_flags(*command);
  command->callback([&env, wanted] { env.action = [&env, wanted] { return run(env, *wanted); }; });
}

} // namespace consort::cli
