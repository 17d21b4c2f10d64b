// SPDX-License-Identifier: Apache-2.0
// The compilers of a plugin.json: which are there, of what version, and what they build.
#include "node/json_plugin.hpp"
#include "node/placeholders.hpp"
#include "node/plugin_tools.hpp"
#include "node/probe_answer.hpp"
#include "node/tool_compile.hpp"
#include "scheduler/formats.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

namespace consort::node {

namespace {

/// As much of it as people need, printable.
std::string first_line(const std::string& text) {
  constexpr std::size_t shown_bytes = 80;
  const auto start = std::min(text.find_first_not_of(" \r\n\t"), text.size());
  auto line = text.substr(start, std::min(text.find_first_of("\r\n", start) - start, shown_bytes));
  std::replace_if(
      line.begin(), line.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return line;
}

/// What tells a file from what it was: where it really is, which one, how long and how old.
/// Returns: nothing of what is no file.
std::string stamp_of(const std::string& path) {
  struct stat is {};
  std::error_code failed;
  const auto real = std::filesystem::canonical(path, failed);
  if (failed || ::stat(real.c_str(), &is) != 0 || !S_ISREG(is.st_mode))
    return {};
  std::string stamp = real.string();
  for (const auto figure : {static_cast<std::int64_t>(is.st_ino), std::int64_t{is.st_size},
                            std::int64_t{is.st_mtim.tv_sec}, std::int64_t{is.st_mtim.tv_nsec}})
    stamp += ' ' + std::to_string(figure);
  return stamp + '\n';
}

/// What the command for the version came to, where none was found in it.
std::string unsaid_version(const std::string& command, const child_exit& end) {
  if (!end.ok())
    return command + " " + end_of(end, limits::plugin_call_us_max, "");
  const auto& said = end.out.text.empty() ? end.err.text : end.out.text;
  const auto line = first_line(said);
  return line.empty() ? command + " printed nothing"
                      : command + " printed no version but `" + line + "`";
}

} // namespace

/// Rules for several targets or degrees share a command, and some take seconds to answer.
const result<child_exit>& json_plugin::version_said(const std::vector<std::string>& command) {
  auto known = versions_said_.find(command);
  if (known == versions_said_.end())
    known = versions_said_.emplace(command, run_tool(command, tools(), limits::plugin_call_us_max))
                .first;
  return known->second;
}

const json_plugin::known_compiler& json_plugin::compiler(std::size_t rule) {
  const auto known = compilers_.find(rule);
  if (known != compilers_.end())
    return known->second;
  auto& found = compilers_[rule];
  const auto& build = document_.builds[rule];
  const auto program = replace_placeholders(build.command.front(), {{"plugin", folder_}});
  found.installed = !find_program(program, tools()).empty();
  found.version = build.profile.compiler_version;
  if (!found.installed)
    found.fault = no_executable(program, folder_);
  if (!found.installed && found.fault.empty())
    found.missing = missing_program(program, tools());
  if (build.interface == build_interface::c_abi && !matches_any(path_of(build.library))) {
    found.installed = false; // Our own program stands in for it.
    found.missing = path_of(build.library) + " is not there";
  }
  if (!found.installed || build.version_command.empty())
    return found;
  const auto& end = version_said(build.version_command);
  // Our own program only loads it.
  const auto shown = build.interface == build_interface::c_abi ? path_of(build.library)
                                                               : build.version_command.front();
  // A compiler that cannot say its version is as good as absent.
  if (end && end->ok())
    found.version = find_version(end->out.text.empty() ? end->err.text : end->out.text);
  found.installed
      = end && end->ok() && (!found.version.empty() || build.version == version_scope::none);
  if (!found.installed)
    found.fault = build.profile.compiler + " does not say its version: "
                  + (end ? unsaid_version(shown, *end) : end.failure().message);
  return found;
}

/// Of each: the program, and what its command names by whole paths, such as a script of the folder
/// that an interpreter runs.
std::string json_plugin::compiler_files() {
  std::string all;
  for (std::size_t at = 0; at < document_.builds.size(); ++at) {
    const auto& rule = document_.builds[at];
    if (!compiler(at).installed)
      continue;
    if (!rule.library.empty())
      all += stamp_of(path_of(rule.library));
    all += stamps_of(rule.command);
  }
  // What loads engines may load another when it was mended.
  if (!document_.runtime.library.empty())
    all += stamp_of(path_of(document_.runtime.library));
  return all + stamps_of(document_.runtime.server.command);
}

std::string json_plugin::stamps_of(const std::vector<std::string>& command) const {
  std::string all;
  for (const auto& word : command) {
    const auto name = replace_placeholders(word, {{"plugin", folder_}});
    if (&word == &command.front())
      all += stamp_of(find_program(name, tools()));
    else if (name.starts_with('/'))
      all += stamp_of(name);
  }
  return all;
}

std::vector<std::string> json_plugin::compiler_faults() {
  std::vector<std::string> faults;
  for (std::size_t at = 0; at < document_.builds.size(); ++at)
    if (auto fault = compiler(at).fault;
        !fault.empty() && std::find(faults.begin(), faults.end(), fault) == faults.end())
      faults.push_back(std::move(fault));
  return faults;
}

std::optional<error> json_plugin::fault() {
  std::string words;
  const auto add = [&](const std::string& one) { words += (words.empty() ? "" : "; ") + one; };
  for (const auto* found : {&left_out_, &modelless_})
    if (!found->empty())
      add("probe: " + *found);
  for (const auto& one : compiler_faults())
    add(one);
  if (!words.empty())
    return error{recovery::retry_later, "plugin_fault", words};
  if (const auto missing = missing_library(); !missing.empty())
    return error{recovery::retry_later, "runtime_missing", no_runtime_words(missing)};
  for (std::size_t at = 0; at < document_.builds.size(); ++at)
    if (const auto& missing = compiler(at).missing; !missing.empty())
      return error{recovery::retry_later, "compiler_missing",
                   document_.builds[at].profile.compiler + ": " + missing};
  return std::nullopt;
}

build_profile json_plugin::effective_profile(std::size_t rule) {
  auto profile = document_.builds[rule].profile;
  profile.compiler_version = cut_version(compiler(rule).version, document_.builds[rule].version);
  return profile;
}

std::vector<build_profile> json_plugin::toolchains() {
  std::vector<build_profile> profiles;
  for (std::size_t i = 0; i < document_.builds.size(); ++i) {
    if (!compiler(i).installed)
      continue;
    auto profile = effective_profile(i);
    if (target_attribute(document_.builds[i]).empty())
      profiles.push_back(profile);
    else
      for (const auto& target : targets_[i]) {
        profile.target = target;
        profiles.push_back(profile);
      }
  }
  return profiles;
}

std::vector<std::pair<build_profile, std::string>> json_plugin::compilers_without_target() {
  std::vector<std::pair<build_profile, std::string>> found;
  for (std::size_t i = 0; i < document_.builds.size(); ++i)
    if (auto attribute = target_attribute(document_.builds[i]);
        !attribute.empty() && compiler(i).installed && targets_[i].empty())
      found.emplace_back(effective_profile(i), std::move(attribute));
  return found;
}

const build_rule* json_plugin::rule_for(const build_profile& wanted) {
  for (std::size_t i = 0; i < document_.builds.size(); ++i) {
    if (!compiler(i).installed)
      continue;
    auto profile = effective_profile(i);
    if (!target_attribute(document_.builds[i]).empty() && targets_[i].contains(wanted.target))
      profile.target = wanted.target;
    if (profile == wanted)
      return &document_.builds[i];
  }
  return nullptr;
}

std::unique_ptr<running_compile>
json_plugin::compile(const compile_request& wanted, std::function<void(std::uint32_t)> progress,
                     std::function<void(result<compile_outcome>)> finished) {
  const auto* rule = rule_for(wanted.key.profile);
  if (rule == nullptr) {
    finished(error{recovery::retry_elsewhere, "no_compiler",
                   document_.metadata.name + " has no compiler for profile "
                       + wanted.key.profile.name + " on this node"});
    return std::make_unique<running_compile>();
  }
  const auto& formats = rule->formats;
  if (!formats.empty() && !wanted.model_format.empty()
      && !core::runs_format(formats, wanted.model_format)) {
    finished(error{recovery::refuse, "compiler_unsupported",
                   rule->profile.compiler + " does not read " + wanted.model_format});
    return std::make_unique<running_compile>();
  }
  return start_tool_compile(environment_.io, *rule, tools(), wanted, std::move(progress),
                            std::move(finished));
}

} // namespace consort::node
