// SPDX-License-Identifier: Apache-2.0
#include "cli/commands.hpp"
#include "cli/list_command.hpp"
#include "cli/store_listing.hpp"

namespace consort::cli {

namespace {

constexpr std::size_t digest_letters_shown = 12;

/// How far a build is, e.g. `42.0% 3.2s left`.
std::string progress(const json& artifact) {
  if (text_at(artifact, "/state") != "building")
    return {};
  const auto left = duration_at(artifact, "/eta_us");
  // A compiler that tells nothing of its progress has not made none; an older gateway says 0.
  const auto told = percent_at(artifact, "/done_pm");
  const auto done = told.empty() || count_at(artifact, "/done_pm") == "0" ? "-" : told;
  return done + (left.empty() ? "" : " " + left + " left");
}

std::string quality(const json& artifact) {
  std::string made;
  const auto measured = artifact.value("quality", json::object());
  for (const auto& [name, figure] : measured.items())
    made += (made.empty() ? "" : " ") + name + "="
            + (figure.is_string() ? figure.get<std::string>() : figure.dump());
  return made;
}

/// What it is good for: one model's weights, an architecture, or the next start of a server.
std::string binds(const json& artifact) {
  const auto kind = text_at(artifact, "/key/kind");
  return kind == "cache"                 ? "start"
         : kind == "engine_architecture" ? text_at(artifact, "/key/binds")
                                         : "weights";
}

/// Of the row's own digest: how many replicas run it, and what was gone back to in its stead.
std::string serves(const json& artifact) {
  const auto content = text_at(artifact, "/content");
  const auto own = text_at(artifact, "/own");
  const auto replicas = artifact.value("replicas", 0U);
  const auto run = replicas == 0   ? std::string()
                   : replicas == 1 ? "1 replica"
                                   : std::to_string(replicas) + " replicas";
  if (own.empty() || own == content)
    return run;
  const auto instead = content.substr(0, digest_letters_shown);
  return run.empty() ? instead + " instead" : run + ", elsewhere " + instead;
}

/// An older scheduler tells one digest only.
std::string digest_of(const json& artifact) {
  const auto own = text_at(artifact, "/own");
  return (own.empty() ? text_at(artifact, "/content") : own).substr(0, digest_letters_shown);
}

} // namespace

void add_artifacts(CLI::App& root, context& env) {
  list_command command;
  command.name = "artifacts";
  command.help = "Engines built for devices, builds under way, what servers compiled";
  command.columns = {{"MODEL"},
                     {"PROFILE"},
                     {"TARGET"},
                     {"STATE", align::left, false, true},
                     {"SIZE", align::right},
                     {"NODES"},
                     {"PROGRESS"},
                     {"BUILDS", align::right},
                     {"DIGEST"},
                     {"SERVES", align::left, true},
                     {"BINDS", align::left, true},
                     {"COMPILER", align::left, true},
                     {"DTYPE", align::left, true},
                     {"QUALITY", align::left, true},
                     {"LAST ERROR"}};
  command.row = [](const json& artifact) -> std::vector<std::string> {
    const bool ready = text_at(artifact, "/state") == "ready";
    const auto compiler = text_at(artifact, "/key/profile/compiler");
    const auto version = text_at(artifact, "/key/profile/compiler_version");
    return {text_at(artifact, "/model"),
            text_at(artifact, "/key/profile/name"),
            text_at(artifact, "/key/profile/target"),
            text_at(artifact, "/state"),
            ready ? size_at(artifact, "/size_bytes") : "",
            list_at(artifact, "/nodes"),
            progress(artifact),
            count_at(artifact, "/builds"),
            digest_of(artifact),
            serves(artifact),
            binds(artifact),
            compiler + (version.empty() ? "" : " " + version),
            text_at(artifact, "/key/profile/dtype"),
            quality(artifact),
            text_at(artifact, "/last_error")};
  };
  command.with_ls = true;
  command.read_store = list_store;
  add_list_command(root, env, std::move(command));
}

} // namespace consort::cli
