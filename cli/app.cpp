// SPDX-License-Identifier: Apache-2.0
#include "cli/app.hpp"

#include "cli/commands.hpp"
#include "cli/version.hpp"
#include "scheduler/nearest_name.hpp"

#include <algorithm>
#include <cctype>
#include <exception>
#include <ostream>
#include <set>
#include <string_view>

namespace consort::cli {

namespace {

void add_global_flags(CLI::App& app, global_options& options) {
  app.add_option("--config", options.config_path, "Configuration file (JSON with comments)")
      ->type_name("FILE");
  app.add_option("-o,--output", options.output, "table, wide or json")
      ->check(CLI::IsMember({"table", "wide", "json"}))
      ->type_name("FORMAT");
  app.add_option("--server", options.server, "Server to ask (default http://127.0.0.1:8080)")
      ->type_name("URL");
  app.add_option("--api-key", options.api_key, "API key to present")->type_name("KEY");
  app.add_option("--log-level", options.log_level, "trace, debug, info, warn, error or off")
      ->check(CLI::IsMember({"trace", "debug", "info", "warn", "error", "off"}))
      ->type_name("LEVEL");
  app.add_option("--log-format", options.log_format, "text or json")
      ->check(CLI::IsMember({"text", "json"}))
      ->type_name("FORMAT");
}

/// Gives every long flag of a command that is called its environment variable; the library lets
/// flags win. It would read the environment for commands that are not called, too, and some share
/// what their flags fill with one that is. `given`: long flags of the command line; what excludes
/// one of them is not taken from the environment, which nobody may have thought of.
void bind_environment(CLI::App& app, const std::set<std::string>& given) {
  app.preparse_callback([&app, &given](std::size_t) {
    for (auto* option : app.get_options()) {
      const auto name = option->get_lnames().empty() ? "help" : option->get_lnames().front();
      const auto excluded = option->get_excludes();
      const bool barred = std::any_of(excluded.begin(), excluded.end(), [&](const auto* other) {
        return !other->get_lnames().empty() && given.contains(other->get_lnames().front());
      });
      if (name != "help" && name != "version" && !barred)
        option->envname(environment_name(name));
    }
  });
  for (auto* command : app.get_subcommands([](const CLI::App*) { return true; }))
    bind_environment(*command, given);
}

std::set<std::string> long_flags(int argc, const char* const* argv) {
  std::set<std::string> flags;
  for (int at = 1; at < argc; ++at)
    if (const std::string_view word = argv[at]; word.starts_with("--"))
      flags.emplace(word.substr(2, word.find('=') - 2));
  return flags;
}

std::vector<std::string> command_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const auto* command : app.get_subcommands([](const CLI::App*) { return true; }))
    if (!command->get_group().empty()) // Commands of the empty group are hidden.
      names.push_back(command->get_name());
  return names;
}

/// The innermost command that was recognised; errors and suggestions are about its children.
const CLI::App& deepest(const CLI::App& app) {
  const auto parsed = app.get_subcommands();
  return parsed.empty() ? app : deepest(*parsed.front());
}

std::string full_name(const CLI::App& command) {
  const auto* parent = command.get_parent();
  return parent ? full_name(*parent) + " " + command.get_name() : "consort";
}

std::string one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

/// What was typed where a command was expected, if anything was.
std::string stray_word(const CLI::App& app) {
  for (const auto& word : app.remaining(true))
    if (!word.empty() && word.front() != '-')
      return word;
  return {};
}

/// What the parser blames by its long name alone, by both: `-n,--last: ...`.
std::string with_short_name(const CLI::App& command, const std::string& complaint) {
  const auto* option = command.get_option_no_throw(complaint.substr(0, complaint.find(':')));
  if (option == nullptr || option->get_snames().empty() || !complaint.starts_with("--"))
    return complaint;
  return "-" + option->get_snames().front() + "," + complaint;
}

error usage_error(const CLI::App& app, const CLI::ParseError& failure) {
  const auto& command = deepest(app);
  const auto names = command_names(command);
  const auto word = stray_word(app);
  const auto help = "; see " + full_name(command) + " --help";
  // A mistyped command reaches here as a stray word, which is worth more than the raw complaint.
  if (!names.empty() && !word.empty())
    return {recovery::refuse, "usage",
            "unknown command `" + word + "`" + did_you_mean(word, names) + help};
  if (!names.empty() && failure.get_name() == "RequiredError")
    return {recovery::refuse, "usage", "a command is missing" + help};
  return {recovery::refuse, "usage", with_short_name(command, one_line(failure.what())) + help};
}

} // namespace

std::string environment_name(const std::string& flag) {
  std::string name = "CONSORT_";
  for (const char letter : flag)
    name += letter == '-' ? '_'
                          : static_cast<char>(std::toupper(static_cast<unsigned char>(letter)));
  return name;
}

std::unique_ptr<CLI::App> make_app(context& env) {
  auto app = std::make_unique<CLI::App>(
      "One cluster of GPUs, NPUs, PIM, CPUs and remote APIs that serves language models.",
      "consort");
  app->set_version_flag("--version", std::string("consort ") + version_text());
  app->require_subcommand(1);
  app->fallthrough();
  add_global_flags(*app, env.options);
  for (auto* add : {add_run,    add_submit,    add_status,   add_nodes,   add_devices, add_pools,
                    add_models, add_artifacts, add_requests, add_explain, add_events,  add_drain,
                    add_plan,   add_compile,   add_model,    add_bench,   add_sim,     add_config,
                    add_cert,   add_token,     add_plugins,  add_store})
    add(*app, env);
  return app;
}

exit_code parse_and_run(CLI::App& app, context& env, int argc, const char* const* argv) {
  const auto given = long_flags(argc, argv);
  // Here, not in make_app: by now the executable has added its own commands.
  bind_environment(app, given);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& asked) { // --help and --version
    return app.exit(asked, env.out, env.err) == 0 ? exit_code::done : exit_code::failed;
  } catch (const CLI::ParseError& failure) {
    return complain(env, usage_error(app, failure));
  }
  try {
    return env.action ? env.action() : exit_code::usage;
  } catch (const std::exception& thrown) { // The file system, mostly: a folder that went away.
    return complain(env, {recovery::bug, "failed", thrown.what()});
  }
}

} // namespace consort::cli
