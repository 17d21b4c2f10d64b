// SPDX-License-Identifier: Apache-2.0
#include "cli/commands.hpp"
#include "cli/submission.hpp"

#include <CLI/App.hpp>

namespace consort::cli {

namespace {

exit_code submit(context& env, submission& wanted) {
  const auto url = server_url(env);
  if (!url)
    return complain(env, url.failure());
  if (const auto read = read_prompt(env, wanted); !read)
    return complain(env, read.failure());
  return run_submission(env, *url, wanted);
}

} // namespace

void add_submit(CLI::App& root, context& env) {
  auto* command = root.add_subcommand("submit", "Submit one request and stream its answer");
  const auto wanted = add_submission_flags(*command);
  command->callback(
      [&env, wanted] { env.action = [&env, wanted] { return submit(env, *wanted); }; });
}

} // namespace consort::cli
