// SPDX-License-Identifier: Apache-2.0
#include "cli/api.hpp"
#include "cli/commands.hpp"
#include "cli/join_token.hpp"

#include <CLI/App.hpp>

#include <memory>
#include <ostream>

namespace consort::cli {

namespace {

struct token_flags {
  std::string data;
  bool rotate = false;
};

exit_code show_token(context& env, const token_flags& flags) {
  auto folder = flags.data;
  if (folder.empty()) {
    const auto config = configuration(env);
    if (!config)
      return complain(env, config.failure());
    folder = config->data_dir;
  }
  const auto before = read_join_token(folder);
  const auto token = flags.rotate ? rotate_join_token(folder) : ensure_join_token(folder);
  if (!token)
    return complain(env, token.failure());
  if (env.json())
    env.out << json{{"token", *token}, {"rotated", flags.rotate}}.dump(2) << '\n';
  else
    env.out << *token << '\n';
  if (before && before->empty()) // As on any host but the scheduler's.
    env.err
        << "no scheduler has had a token in " << folder
        << ": this one is new, and only a scheduler that is started with this data folder takes "
           "it. Is this the scheduler's host? --data names its folder\n";
  else if (flags.rotate)
    env.err << "links that run stay; restart the scheduler for it to ask for the new token, and "
               "give it to every node and gateway\n";
  return exit_code::done;
}

} // namespace

void add_token(CLI::App& root, context& env) {
  auto* command
      = root.add_subcommand("token", "The cluster's join token; run it on the scheduler's host");
  const auto flags = std::make_shared<token_flags>();
  command->add_option("--data", flags->data, "The scheduler's data folder")->type_name("DIR");
  command->add_flag("--rotate", flags->rotate, "Make a new one");
  command->callback(
      [&env, flags] { env.action = [&env, flags] { return show_token(env, *flags); }; });
}

} // namespace consort::cli
