// SPDX-License-Identifier: Apache-2.0
#include "cli/list_command.hpp"

#include "cli/interrupt.hpp"
#include "cli/limits.hpp"

#include <CLI/App.hpp>

#include <memory>
#include <ostream>
#include <sstream>
#include <thread>

namespace consort::cli {

namespace {

exit_code show_list(context& env, const list_command& command, const std::string& data) {
  const auto query = command.query ? command.query() : std::string{};
  const auto answer
      = data.empty() ? fetch(env, "/api/v1/" + command.name + query) : command.read_store(data);
  if (!answer)
    return complain(env, answer.failure());
  if (env.json()) {
    env.out << answer->dump(2) << '\n';
    return exit_code::done;
  }
  table rows(command.columns);
  for (const auto& item : answer->value(command.name, json::array()))
    rows.add(command.row(item));
  env.out << rows.render(env.wide(), env.colour)
          << (command.footer ? command.footer(*answer) : std::string{});
  return exit_code::done;
}

struct shown {
  exit_code code = exit_code::done;
  std::string text;
};

/// Renders into a string, so that a terminal shows whole pictures only.
shown render(context& env, const show_once& show) {
  std::ostringstream text;
  context apart{.in = env.in,
                .out = text,
                .err = env.out_is_tty ? text : env.err,
                .out_is_tty = env.out_is_tty,
                .colour = env.colour,
                .start = {},
                .options = env.options,
                .action = {}};
  const auto code = show(apart);
  return {code, text.str()};
}

} // namespace

void add_list_command(CLI::App& root, context& env, list_command command) {
  auto* added = root.add_subcommand(command.name, command.help);
  auto watch = std::make_shared<bool>(false);
  added->add_flag("--watch", *watch, "Repeat every second until interrupted");
  if (command.add_flags)
    command.add_flags(*added);
  auto data = std::make_shared<std::string>();
  CLI::App* ls = nullptr;
  if (command.with_ls) {
    ls = added->add_subcommand("ls", command.help);
    ls->add_flag("--watch", *watch, "Repeat every second until interrupted");
    if (command.read_store)
      ls->add_option("--data", *data, "Data folder of an agent, instead of the cluster")
          ->type_name("DIR");
  }
  const auto chosen = [&env, watch, data, command = std::move(command)] {
    env.action = [&env, watch, data, command] {
      const auto show = [&](context& with) { return show_list(with, command, *data); };
      return *watch ? repeat(env, show, limits::watch_interval) : show(env);
    };
  };
  if (ls != nullptr)
    ls->callback(chosen);
  added->callback([added, chosen] {
    if (added->get_subcommands().empty()) // Else something below it was meant.
      chosen();
  });
}

std::string in_place(const std::string& text) {
  constexpr auto to_top = "\x1b[H";
  constexpr auto clear_line_rest = "\x1b[K";
  constexpr auto clear_below = "\x1b[J";
  std::string made = to_top;
  for (const char letter : text) {
    if (letter == '\n')
      made += clear_line_rest;
    made += letter;
  }
  return made + clear_below;
}

exit_code repeat(context& env, const show_once& show, std::chrono::milliseconds interval) {
  const interrupt_ends_well scope;
  bool seen = false;
  if (env.out_is_tty)
    env.out << "\x1b[2J";
  for (;;) {
    const auto [code, text] = render(env, show);
    env.out << (env.out_is_tty ? in_place(text) : text) << std::flush;
    seen = seen || code == exit_code::done;
    // A server that was there and restarts comes back; one that never answered, or a reader that
    // left, ends it.
    if ((code != exit_code::done && !(seen && code == exit_code::unreachable)) || !env.out)
      return code;
    std::this_thread::sleep_for(interval);
  }
}

} // namespace consort::cli
