// SPDX-License-Identifier: Apache-2.0
#include "cli/context.hpp"

#include "cli/table.hpp"

#include <algorithm>
#include <ostream>

namespace consort::cli {

namespace {

/// Names come from files and servers. Lines stay lines: some messages have several.
std::string printable_lines(std::string_view message) {
  std::string made;
  for (std::size_t at = 0; at <= message.size();) {
    const auto end = std::min(message.find('\n', at), message.size());
    made += (at == 0 ? "" : "\n") + printable(message.substr(at, end - at));
    at = end + 1;
  }
  return made;
}

} // namespace

exit_code complain(context& env, const error& failure) {
  env.err << "consort: " << printable_lines(failure.message) << '\n';
  if (failure.code == "usage" || failure.code == "invalid_file" || failure.code == "invalid_json")
    return exit_code::usage;
  if (failure.code == "unreachable")
    return exit_code::unreachable;
  return failure.code == "refused_by_cluster" ? exit_code::refused : exit_code::failed;
}

result<cluster_config> configuration(const context& env) {
  const auto lookup = process_environment();
  cluster_config config;
  if (!env.options.config_path.empty()) {
    auto loaded = load_config(env.options.config_path, lookup);
    if (!loaded)
      return loaded.failure();
    config = std::move(*loaded);
  }
  return with_defaults(std::move(config), executable_path(), lookup);
}

result<std::string> server_url(const context& env) {
  if (!env.options.server.empty())
    return env.options.server;
  if (env.options.config_path.empty())
    return std::string("http://127.0.0.1:8080");
  const auto loaded = load_config(env.options.config_path, process_environment());
  if (!loaded)
    return loaded.failure();
  const bool v6 = loaded->http_host.find(':') != std::string::npos;
  return "http://" + (v6 ? "[" + loaded->http_host + "]" : loaded->http_host) + ":"
         + std::to_string(loaded->http_port);
}

} // namespace consort::cli
