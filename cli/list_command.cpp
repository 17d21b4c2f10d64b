// SPDX-License-Identifier: Apache-2.0
#include "cli/list_command.hpp"

#include "cli/limits.hpp"

#include <CLI/App.hpp>

#include <memory>
#include <ostream>
#include <thread>

namespace consort::cli {

namespace {

exit_code show_list(context& env, const list_command& command) {
  const auto answer = fetch(env, "/api/v1/" + command.name);
  if (!answer)
    return complain(env, answer.failure());
  if (env.json()) {
    env.out << answer->dump(2) << '\n';
    return exit_code::done;
  }
  table rows(command.columns);
  for (const auto& item : answer->value(command.name, json::array()))
    rows.add(command.row(item));
  env.out << rows.render(env.wide(), env.colour);
  return exit_code::done;
}

} // namespace

void add_list_command(CLI::App& root, context& env, list_command command) {
  auto* added = root.add_subcommand(command.name, command.help);
  auto watch = std::make_shared<bool>(false);
  added->add_flag("--watch", *watch, "Repeat every second until interrupted");
  added->callback([&env, watch, command = std::move(command)] {
    env.action = [&env, watch, command] {
      return repeat(env, *watch, [&] { return show_list(env, command); });
    };
  });
}

exit_code repeat(context& env, bool watch, const std::function<exit_code()>& show) {
  for (;;) {
    if (watch && env.out_is_tty)
      env.out << "\x1b[H\x1b[2J";
    const auto code = show();
    env.out.flush();
    // A broken pipe ends a watch as surely as an error.
    if (!watch || code != exit_code::done || !env.out)
      return code;
    std::this_thread::sleep_for(limits::watch_interval);
  }
}

} // namespace consort::cli
