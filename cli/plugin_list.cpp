// SPDX-License-Identifier: Apache-2.0
#include "cli/plugin_list.hpp"

#include "cli/api.hpp"
#include "cli/table.hpp"

#include <ostream>

namespace consort::cli {

namespace {

json member(const json& answer, const char* name) {
  return answer.value(name, json::array());
}

/// The plugins of one node. Returns: how many were left out as not on that host.
std::size_t add_rows(table& rows, const json& answer, const std::string& node, bool all) {
  std::size_t hidden = 0;
  for (const auto& one : member(answer, "plugins")) {
    if (text_at(one, "/node") != node)
      continue;
    const bool available = true_at(one, "/available");
    if (!available && !all) {
      ++hidden;
      continue;
    }
    rows.add({printable(node), printable(text_at(one, "/name")),
              printable(text_at(one, "/version")), printable(text_at(one, "/vendor")),
              true_at(one, "/failed") ? "failed"
              : available             ? "ready"
                                      : "absent",
              printable(list_at(one, "/devices")), printable(text_at(one, "/reason")),
              count_at(one, "/priority"), printable(text_at(one, "/origin"))});
  }
  return hidden;
}

/// Of devices that more than one plugin found.
void show_claims(context& env, const json& answer) {
  for (const auto& one : member(answer, "claims"))
    env.out << printable(text_at(one, "/node") + ": " + text_at(one, "/uuid") + ": "
                         + text_at(one, "/winner") + " has it as " + text_at(one, "/device") + ": "
                         + text_at(one, "/reason"))
            << '\n';
}

void show_plugins(context& env, const json& answer, bool all) {
  table rows({{"NODE"},
              {"PLUGIN"},
              {"VERSION"},
              {"VENDOR"},
              {"STATE", align::left, false, true},
              {"DEVICES"},
              {"REASON"},
              {"PRIORITY", align::right, true},
              {"ORIGIN", align::left, true}});
  std::size_t hidden = 0;
  for (const auto& one : member(answer, "nodes")) {
    const auto node = text_at(one, "/node");
    if (!true_at(one, "/answered"))
      rows.add({printable(node), "", "", "", "silent", "", "did not answer in time", "", ""});
    hidden += add_rows(rows, answer, node, all);
    if (const auto more = count_at(one, "/left_out"); !more.empty() && more != "0")
      env.err << "consort: " << printable(node) << ": " << more
              << " more plugins or devices found no room in its list\n";
  }
  env.out << rows.render(env.wide(), env.colour);
  show_claims(env, answer);
  if (hidden != 0)
    env.out << (hidden == 1 ? "1 plugin is not on its host: --all shows it, and why\n"
                            : std::to_string(hidden)
                                  + " plugins are not on their hosts: --all shows them, and why\n");
}

} // namespace

result<bool> asks_cluster(context& env, const plugin_list_flags& flags) {
  if (flags.local)
    return false;
  const auto url = server_url(env);
  if (!url)
    return url.failure();
  if (!env.options.server.empty() || answers(*url))
    return true;
  if (!flags.node.empty()) // Which no listing of this host could show.
    return true;
  env.err << "consort: no server answers at " << *url << ": these are the plugins of this host\n";
  return false;
}

exit_code list_cluster_plugins(context& env, const plugin_list_flags& flags) {
  const auto answer
      = fetch(env, "/api/v1/plugins" + (flags.node.empty() ? "" : "?node=" + escaped(flags.node)));
  if (!answer)
    return complain(env, answer.failure());
  if (env.json())
    env.out << answer->dump(2) << '\n';
  else
    show_plugins(env, *answer, flags.all || env.wide());
  return exit_code::done;
}

} // namespace consort::cli
