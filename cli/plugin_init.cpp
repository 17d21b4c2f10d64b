// SPDX-License-Identifier: Apache-2.0
#include "cli/plugin_init.hpp"

#include "cli/api.hpp"
#include "cli/config.hpp"
#include "cli/context.hpp"
#include "cli/host_address.hpp"
#include "cli/known_server.hpp"
#include "cli/limits.hpp"
#include "cli/shell_word.hpp"
#include "cli/table.hpp"
#include "cli/wrapped_server.hpp"
#include "node/child_process.hpp"
#include "node/placeholders.hpp"
#include "node/plugin_json.hpp"
#include "node/runtimes/server_http.hpp"
#include "scheduler/served_name.hpp"
#include "scheduler/units.hpp"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <ostream>
#include <thread>

namespace consort::cli {

namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;
using std::chrono::steady_clock;

constexpr auto wrapped_end_time = std::chrono::seconds(3); ///< For what it started to end.
constexpr auto look_every = std::chrono::milliseconds(200);
constexpr int served_sequences = 16;
constexpr std::uint16_t https_port = 443;

/// The shipped plugins of this program's build tree or prefix.
fs::path shipped_plugins() {
  return fs::path(executable_path()).parent_path().parent_path() / "share/consort/plugins";
}

/// Where editors find the JSON Schema of plugin.json: beside the shipped plugins. Empty when it is
/// not there: what points nowhere is an error to editors.
std::string schema_address() {
  const auto file = shipped_plugins() / "plugin.schema.json";
  std::error_code failed;
  if (!fs::is_regular_file(file, failed))
    return {};
  std::string address = "file://";
  constexpr std::string_view digits = "0123456789ABCDEF";
  for (const unsigned char c : file.lexically_normal().string())
    if (std::isalnum(c) != 0
        || std::string_view("/-_.~").find(static_cast<char>(c)) != std::string_view::npos)
      address += static_cast<char>(c);
    else
      (address += '%').append({digits[c >> 4U], digits[c & 15U]});
  return address;
}

ordered_json capability_of(const std::optional<known_server>& known, ordered_json formats) {
  const int sequences = known ? known->max_sequences.value_or(served_sequences) : served_sequences;
  ordered_json can{{"cancel", true}};
  if (known && known->can.is_object())
    can = known->can;
  return {
      {"max_sequences", sequences}, {"formats", std::move(formats)}, {"runtime", std::move(can)}};
}

ordered_json document_of(const plugin_init_flags& flags, const std::string& name,
                         const wrapped_server& server, const std::optional<known_server>& known) {
  auto formats = ordered_json::array();
  if (server.more) // Whether it has a model is asked when that is loaded.
    formats.push_back("server/*");
  else
    for (const auto& model : server.models)
      formats.push_back("server/" + model);
  const ordered_json device{{"id", name}, {"model", "server"}};
  ordered_json made;
  if (const auto schema = schema_address(); !schema.empty())
    made["$schema"] = schema;
  made.update({{"schema", 1},
               {"name", name},
               {"version", "0.1"},
               {"vendor", "unknown"},
               {"type", flags.type}});
  if (!server.key_env.empty())
    made["available"] = {{"env", server.key_env}};
  made.update(
      {{"probe", {{"command", {"echo", device.dump()}}, {"id", "/id"}, {"model", "/model"}}},
       {"capability", capability_of(known, std::move(formats))}});
  return made;
}

result<done> write_file(const fs::path& path, const std::string& text, bool program = false) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  std::error_code failed;
  if (file && program)
    fs::permissions(path,
                    fs::perms::owner_all | fs::perms::group_read | fs::perms::group_exec
                        | fs::perms::others_read | fs::perms::others_exec,
                    failed);
  if (file && !failed)
    return done{};
  return error{recovery::refuse, "failed", path.string() + " cannot be written"};
}

/// A new folder; refuses one that is there.
result<fs::path> make_folder(const plugin_init_flags& flags, const std::string& name) {
  const auto folder = fs::absolute(flags.directory).lexically_normal() / name;
  std::error_code failed;
  if (fs::exists(folder, failed))
    return usage_error(folder.string() + " is there already; choose another name");
  fs::create_directories(folder, failed);
  if (failed)
    return error{recovery::refuse, "failed", folder.string() + ": " + failed.message()};
  return folder;
}

exit_code write_around(context& env, const plugin_init_flags& flags, const wrapped_server& server,
                       ordered_json runtime, const std::string& default_name) {
  const auto name = flags.name.empty() ? default_name : flags.name;
  const auto known = know_by_gauges(server.gauges, server.protocol, shipped_plugins());
  auto document = document_of(flags, name, server, known);
  document["runtime"] = std::move(runtime);
  if (known)
    document["runtime"]["metrics"] = known->metrics;
  const auto text = document.dump(2) + "\n";
  // Whatever was typed must be as good as what people write by hand.
  if (const auto checked = node::parse_plugin_json(text, name + "/plugin.json"); !checked)
    return complain(env, checked.failure());
  const auto folder = make_folder(flags, name);
  if (!folder)
    return complain(env, folder.failure());
  if (const auto written = write_file(*folder / "plugin.json", text); !written)
    return complain(env, written.failure());
  env.out << "wrote " << (*folder / "plugin.json").string() << ", ready when GET " << server.ready
          << " says 200\n";
  if (known)
    env.out << "its gauges are those of the plugin " << known->plugin
            << ": its load is read from /metrics, and what that plugin says its server can do was "
               "taken over\n";
  env.out << "\nnext:\n  consort plugin check " << shell_word(folder->string())
          << "\n  consort up --plugins " << shell_word(folder->parent_path().string())
          << "   # or `consort plugins reload`, where one runs with that folder\n"
          << declaring_commands(server);
  if (!server.models.empty())
    env.out << "  # a name that is served already (`consort models`) is replaced: choose another\n";
  if (!server.key_env.empty())
    env.out << "\nIts tokens count as free until `prices` of `runtime` in that file says what they "
               "cost; "
            << server.key_env << " has to be set where the agent runs.\n";
  return exit_code::done;
}

ordered_json runtime_of(const wrapped_server& server) {
  ordered_json runtime{{"interface", "server"}, {"protocol", server.protocol}};
  if (!server.base.empty())
    runtime["base"] = server.base;
  if (server.key_env.empty()) {
    runtime["ready"] = server.ready;
    return runtime;
  }
  // Each look is a request that a provider counts.
  runtime["key_env"] = server.key_env;
  runtime["ready"] = {{"path", server.ready}, {"every", "60s"}, {"timeout", "20s"}};
  return runtime;
}

exit_code wrap_url(context& env, const plugin_init_flags& flags) {
  const auto server = look_at_server(flags.from_url, flags.key_env);
  if (!server)
    return complain(env, server.failure());
  const auto target = node::parse_server_url(server->url);
  if (!target)
    return complain(env, target.failure());
  auto runtime = runtime_of(*server);
  runtime["url"] = server->url;
  auto wanted = flags;
  if (wanted.type.empty())
    wanted.type = type_of_server(target->host);
  return write_around(env, wanted, *server, std::move(runtime),
                      derived_name(target->tls && target->port == https_port
                                       ? target->host
                                       : target->host + "-" + std::to_string(target->port)));
}

/// How long a command may take to serve.
result<duration_us> wrap_time(const plugin_init_flags& flags) {
  using std::chrono::microseconds;
  if (flags.timeout.empty())
    return duration_us{microseconds(limits::wrap_time_default).count()};
  const duration_us most = microseconds(limits::wrap_time_max).count();
  const auto given = parse_duration(flags.timeout);
  if (!given || *given <= 0 || *given > most)
    return usage_error("--timeout `" + flags.timeout
                       + "` is not a duration such as 90s, above 0 and at most "
                       + format_duration(most));
  return *given;
}

/// A command that was started to see what it serves, and what became of it.
struct trial {
  std::string url;
  std::string last; ///< Line that it wrote.
  std::optional<node::child_exit> ended = {};
};

/// It may listen, and answer with anything, long before it has loaded. Returns: what it is once it
/// serves, has ended, can be no better, or `limit_us` are over. Says now and then that it waits.
result<wrapped_server> await_server(context& env, boost::asio::io_context& io, const trial& tried,
                                    duration_us limit_us) {
  const auto began = steady_clock::now();
  auto told_at = began;
  auto found = look_at_server(tried.url);
  while (!found && !is_final(found.failure()) && !tried.ended) {
    const auto now = steady_clock::now();
    if (now - began >= std::chrono::microseconds(limit_us))
      break;
    if (now - told_at >= limits::wrap_told_every) {
      told_at = now;
      const auto waited = std::chrono::duration_cast<std::chrono::seconds>(now - began);
      env.err << "still waiting, " << waited.count() << "s of " << format_duration(limit_us) << ": "
              << found.failure().message << (tried.last.empty() ? "" : "; it said: ")
              << printable(tried.last) << '\n'
              << std::flush;
    }
    io.run_for(look_every);
    found = look_at_server(tried.url);
  }
  return found;
}

/// Runs the command once, to see what it serves.
result<wrapped_server> try_command(context& env, const std::vector<std::string>& words,
                                   duration_us limit_us) {
  boost::asio::io_context io;
  const auto port = node::free_loopback_port(io);
  if (!port)
    return port.failure();
  node::child_spec child;
  for (const auto& word : words)
    child.argv.push_back(
        node::replace_placeholders(word, {{"port", std::to_string(*port)}, {"index", "0"}}));
  // Ended by us before: what it was asked last is then in the error.
  child.timeout_us = limit_us + std::chrono::microseconds(wrapped_end_time).count();
  trial tried{"http://127.0.0.1:" + std::to_string(*port), {}};
  auto started = node::child_process::start(
      io, child, [&tried](std::string_view line, bool) { tried.last = line; },
      [&tried](node::child_exit end) { tried.ended = std::move(end); });
  if (!started)
    return started.failure();
  const auto limit = format_duration(limit_us);
  env.err << "starting it once, to see what it serves: it is given " << limit
          << " (--timeout) ...\n"
          << std::flush;
  const auto found = await_server(env, io, tried, limit_us);
  if (tried.ended)
    return error{
        recovery::refuse, "failed",
        words.front() + " "
            + node::with_last_words(node::describe_exit(*tried.ended), printable(tried.last))};
  (*started)->cancel();
  io.run_for(wrapped_end_time);
  if (found || is_final(found.failure()))
    return found;
  return error{recovery::refuse, "failed",
               words.front() + " was no model server within " + limit
                   + ", longer with --timeout: " + found.failure().message
                   + (tried.last.empty() ? "" : "; it said: ") + printable(tried.last)};
}

exit_code wrap_command(context& env, const plugin_init_flags& flags) {
  const auto words = split_words(flags.from_command);
  if (!words)
    return complain(env, words.failure());
  if (flags.from_command.find("{port}") == std::string::npos)
    return complain(env,
                    usage_error("--from-command must say {port} where the server is told its port, "
                                "e.g. --from-command \"serve --port {port}\""));
  const auto limit = wrap_time(flags);
  if (!limit)
    return complain(env, limit.failure());
  const auto server = try_command(env, *words, *limit);
  if (!server)
    return complain(env, server.failure());
  auto runtime = runtime_of(*server);
  runtime["command"] = *words;
  runtime["start_timeout"] = flags.timeout.empty() ? "10m" : flags.timeout;
  return write_around(env, flags, *server, std::move(runtime),
                      derived_name(fs::path(words->front()).filename().string()));
}

// --- a skeleton ---

std::string skeleton(const plugin_init_flags& flags) {
  const auto schema = schema_address();
  return R"(// How this accelerator is found, read, compiled for and run: docs/PLUGINS.md.
// After each change: consort plugin check .
{)" + (schema.empty() ? "" : "\n  \"$schema\": " + json(schema).dump() + ",")
         + R"(
  "schema": 1,
  "name": ")"
         + flags.name + R"(", "version": "0.1", "vendor": "Unknown", "type": ")" + flags.type
         + R"(", "priority": 50,
  // Whether it is on this host: a device file, or the vendor's tool.
  "available": { "command": "probe" },
  // One question that lists the devices. `probe` beside this file answers in the vendor's place.
  "probe": {
    "command": ["probe"], "parse": "json", "each": "/devices",
    "id": "/uuid", "model": "/name", "memory_bytes": { "at": "/memory_mib", "unit": "MiB" }
  },
  "telemetry": {
    "every": "2s", "command": ["probe"], "parse": "json", "each": "/devices", "id": "/uuid",
    "power_watts": { "at": "/power", "unit": "W" }
  },
  // Runs GGUF files as they are. With a compiler: "requires_artifact": true in the place of
  // "formats", and `build`.
  "capability": { "max_sequences": 8, "formats": ["gguf"], "runtime": { "cancel": true } },
  // "build": [ { "profile": ")"
         + flags.name + R"(", "compiler": "vendor-cc", "formats": ["gguf"],
  //   "command": ["vendor-cc", "{model}", "-o", "{output}"],
  //   "version_command": ["vendor-cc", "--version"] } ],
  // A server that speaks OpenAI's protocol; or "interface": "c-abi" with the vendor's "library".
  "runtime": {
    "interface": "server", "protocol": "openai",
    "command": ["vendor-serve", "--model", "{model}", "--port", "{port}"],
    "ready": "/health", "start_timeout": "10m", "env": { "VENDOR_VISIBLE_DEVICES": "{index}" }
  }
}
)";
}

constexpr const char* probe_script = R"(#!/bin/sh
# Stands for the vendor's monitor. Replace it by the real tool in plugin.json.
cat "$(dirname "$0")/fixtures/probe.json"
)";

constexpr const char* probe_fixture = R"({"devices": [
  {"uuid": "EXAMPLE-0001", "name": "example-1", "memory_mib": 8192, "power": 11.5}
]}
)";

exit_code write_skeleton(context& env, const plugin_init_flags& flags) {
  if (flags.name.empty())
    return complain(env,
                    usage_error("how is the plugin called? e.g. consort plugin init --type npu "
                                "my-npu; or wrap a server: --from-url, --from-command"));
  const auto text = skeleton(flags);
  if (const auto checked = node::parse_plugin_json(text, flags.name + "/plugin.json"); !checked)
    return complain(env, checked.failure());
  const auto folder = make_folder(flags, flags.name);
  if (!folder)
    return complain(env, folder.failure());
  std::error_code failed;
  fs::create_directories(*folder / "fixtures", failed);
  for (const auto& written : {write_file(*folder / "plugin.json", text),
                              write_file(*folder / "probe", probe_script, true),
                              write_file(*folder / "fixtures/probe.json", probe_fixture)})
    if (!written)
      return complain(env, written.failure());
  env.out << "wrote " << folder->string()
          << ": plugin.json, probe, fixtures/probe.json\n\nnext:\n  consort plugin check --no-run "
          << folder->string() << "\n  then replace the example by the vendor's tools and server\n";
  return exit_code::done;
}

} // namespace

result<std::vector<std::string>> split_words(const std::string& text) {
  std::vector<std::string> words;
  bool inside = false; // A word has begun, be it empty.
  char quote = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    const bool blank = c == ' ' || c == '\t' || c == '\n';
    if (quote == 0 && blank) {
      inside = false;
      continue;
    }
    if (!inside) {
      words.emplace_back();
      inside = true;
    }
    if (quote != 0 && c == quote)
      quote = 0;
    else if (quote == 0 && (c == '"' || c == '\''))
      quote = c;
    else if (c == '\\' && quote != '\'' && at + 1 < text.size())
      words.back() += text[++at];
    else
      words.back() += c;
  }
  if (quote != 0)
    return usage_error("a quote is not closed in: " + text);
  if (words.empty())
    return usage_error("an empty command");
  return words;
}

exit_code init_plugin(context& env, const plugin_init_flags& flags) {
  if (!flags.from_url.empty() && flags.wraps_command)
    return complain(env, usage_error("either --from-url or --from-command"));
  if (!flags.key_env.empty() && flags.from_url.empty())
    return complain(env, usage_error("--key-env is of --from-url only"));
  if (!flags.timeout.empty() && !flags.wraps_command)
    return complain(env, usage_error("--timeout is of --from-command only"));
  if (!flags.from_url.empty())
    return wrap_url(env, flags);
  auto wanted = flags;
  if (wanted.type.empty())
    wanted.type = "gpu";
  return wanted.wraps_command ? wrap_command(env, wanted) : write_skeleton(env, wanted);
}

} // namespace consort::cli
