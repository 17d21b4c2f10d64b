// SPDX-License-Identifier: Apache-2.0
#include "node/plugin_json_parts.hpp"

#include <algorithm>

namespace consort::node {

namespace {

const std::vector<std::string>& build_placeholders() {
  static const std::vector<std::string> names{"plugin", "model", "output", "work",    "target",
                                              "dtype",  "flags", "degree", "devices", "indexes"};
  return names;
}

std::vector<std::string> with_config() {
  auto names = build_placeholders();
  names.emplace_back("config");
  return names;
}

/// A file name that stays in its folder.
bool plain_file_name(const std::string& name) {
  return !name.empty() && name.front() != '.' && name.find('/') == std::string::npos;
}

void read_config(json_file& file, json_section& section, build_rule& rule) {
  const auto* object = section.find("config");
  if (rule.interface == build_interface::cli) {
    if (object != nullptr)
      section.fail("config", "only with interface config");
    return;
  }
  if (object == nullptr) {
    section.fail("", "interface config needs `config`: {\"template\": FILE, \"name\": FILE}");
    return;
  }
  json_section config(file, section.at("config"), *object);
  config.require("template", "a file in the plugin's folder");
  rule.config_template = config.text("template");
  rule.config_name = config.text("name", rule.config_template);
  for (const auto* name : {"template", "name"})
    if (config.has(name) && !plain_file_name(config.text(name)))
      config.fail(name, "expected a plain file name");
  config.finish();
}

void read_command(json_section& section, build_rule& rule) {
  section.require("command", "a list of a program and its arguments");
  rule.command = section.texts("command");
  const bool by_config = rule.interface == build_interface::config;
  check_placeholders(section, "command", rule.command,
                     by_config ? with_config() : build_placeholders());
  std::vector<std::string> wanted{"{model}", "{output}"};
  if (by_config)
    wanted = {"{config}"}; // The template names model and output.
  for (const auto& placeholder : wanted)
    if (std::none_of(rule.command.begin(), rule.command.end(), [&](const auto& argument) {
          return argument.find(placeholder) != std::string::npos;
        }))
      section.fail("command", "needs " + placeholder + " in one of its arguments");
  rule.version_command = section.texts("version_command");
  check_placeholders(section, "version_command", rule.version_command, {"plugin"});
}

void read_compatibility(json_section& section, build_rule& rule) {
  if (!section.has("compatible_with"))
    return;
  rule.version = version_scope::none;
  bool binds_target = false;
  for (const auto& word : section.texts("compatible_with")) {
    if (word == "target")
      binds_target = true;
    else if (word == "compiler_version")
      rule.version = version_scope::exact;
    else if (word == "compiler_version:minor")
      rule.version = version_scope::minor;
    else if (word == "compiler_version:major")
      rule.version = version_scope::major;
    else
      section.fail("compatible_with", "`" + word
                                          + "` is none of target, compiler_version, "
                                            "compiler_version:major, compiler_version:minor");
  }
  if (!binds_target && section.has("target"))
    section.fail("compatible_with", "a build for one target must list target");
}

/// Says more than `compatible_with`, or is a mistake: engines that agree in that much of the
/// version are the same to it already.
void read_older(json_section& section, build_rule& rule) {
  rule.older = static_cast<older_engines>(
      section.word("runs_older", {"none", "minor", "major", "any"}, 0));
  const bool said = rule.version == version_scope::none
                    || (rule.version == version_scope::major && rule.older != older_engines::any)
                    || (rule.version == version_scope::minor && rule.older == older_engines::minor);
  if (rule.older != older_engines::none && said)
    section.fail("runs_older", "says nothing that compatible_with does not say");
}

/// The command line is made once the agent's own program is known.
void read_compiler_library(json_section& section, build_rule& rule) {
  section.require("library", "the shared object's file name");
  rule.library = section.text("library");
  rule.library_config = "{}";
  if (const auto* config = section.find("library_config")) {
    if (config->is_object())
      rule.library_config = config->dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    else
      section.fail("library_config", "expected an object");
  }
}

void read_quality(json_file& file, json_section& section, build_rule& rule) {
  const auto* object = section.find("quality");
  if (object == nullptr)
    return;
  json_section quality(file, section.at("quality"), *object);
  const auto name = quality.text("file");
  const auto lines = quality.pattern("lines", 2);
  if (name.empty() == lines.empty())
    quality.fail("", "expected either `file` or `lines`");
  check_placeholders(quality, "file", {name}, build_placeholders());
  if (!name.empty() && !name.starts_with("{output}") && !name.starts_with("{work}"))
    quality.fail("file", "must start with {output} or {work}");
  rule.quality.what = name.empty() ? quality_source::kind::lines : quality_source::kind::file;
  rule.quality.text = name.empty() ? lines : name;
  quality.finish();
}

/// Text, or `hex:` and digits for bytes that text cannot hold.
void read_begins(json_section& section, build_rule& rule) {
  constexpr std::string_view hex = "hex:";
  rule.begins = section.text("begins");
  if (rule.begins.starts_with(hex)) {
    const auto digits = rule.begins.substr(hex.size());
    const bool good = !digits.empty() && digits.size() % 2 == 0
                      && digits.find_first_not_of("0123456789abcdefABCDEF") == std::string::npos;
    if (!good)
      return section.fail("begins", "expected `hex:` and two digits for each byte");
    rule.begins.clear();
    for (std::size_t at = 0; at < digits.size(); at += 2)
      rule.begins += static_cast<char>(std::stoi(digits.substr(at, 2), nullptr, 16));
  }
  if (rule.begins.size() > limits::begins_bytes_max)
    section.fail("begins",
                 "at most " + std::to_string(limits::begins_bytes_max) + " bytes can be told");
}

void read_profile(json_section& section, build_profile& profile) {
  section.require("profile", "a name");
  section.require("compiler", "the compiler's name");
  profile.name = section.text("profile");
  profile.compiler = section.text("compiler");
  if (const auto* target = section.find("target"); target == nullptr || !target->is_array())
    profile.target = section.text("target");
  profile.compiler_version = section.text("compiler_version");
  profile.flags = section.text("flags");
  profile.dtype = section.text("dtype");
  profile.degree = static_cast<std::uint32_t>(section.whole("degree", 1, 1, 1024));
  profile.needs_device = section.boolean("needs_device", false);
}

void read_buckets(json_section& section, build_profile& profile) {
  const auto* list = section.find("shape_buckets");
  if (list == nullptr)
    return;
  constexpr std::size_t buckets_max = 64;
  const bool good
      = list->is_array() && list->size() <= buckets_max
        && std::all_of(list->begin(), list->end(), [](const auto& item) {
             return item.is_number_unsigned() && item.template get<std::uint64_t>() <= 1U << 28U;
           });
  if (!good)
    return section.fail("shape_buckets", "expected a list of up to 64 prompt lengths in tokens");
  for (const auto& item : *list)
    profile.shape_buckets.push_back(item.get<std::uint32_t>());
  std::sort(profile.shape_buckets.begin(), profile.shape_buckets.end());
}

void read_failures(json_file& file, json_section& section, build_rule& rule) {
  const auto* list = section.find("failures");
  if (list == nullptr)
    return;
  if (!list->is_array() || list->size() > limits::build_failures_max)
    return section.fail("failures", "expected a list of at most "
                                        + std::to_string(limits::build_failures_max) + " rules");
  for (std::size_t at = 0; at < list->size(); ++at) {
    json_section inner(file, section.at("failures") + "/" + std::to_string(at), (*list)[at]);
    failure_rule one;
    read_failure(inner, one, {"deterministic", "resource", "transient"});
    rule.failures.push_back(std::move(one));
  }
}

/// One rule per target, where an entry has a list of them: `NAME-TARGET` for each.
std::vector<build_rule> for_each_target(json_section& section, const build_rule& rule) {
  const auto* list = section.find("target");
  if (list == nullptr || !list->is_array())
    return {rule};
  std::vector<build_rule> rules;
  for (const auto& target : section.texts("target")) {
    rules.push_back(rule);
    rules.back().profile.name += "-" + target;
    rules.back().profile.target = target;
  }
  if (rules.empty())
    section.fail("target", "expected a device model, or a list of them");
  return rules;
}

std::vector<build_rule> read_build(json_file& file, const std::string& pointer,
                                   const nlohmann::json& object) {
  json_section section(file, pointer, object);
  build_rule rule;
  read_profile(section, rule.profile);
  read_buckets(section, rule.profile);
  rule.interface = static_cast<build_interface>(
      section.word("interface", {"cli", "config", "c-abi"}, 0));
  rule.binds = static_cast<artifact_kind>(section.word("binds", {"weights", "architecture"}, 0));
  rule.formats = section.texts("formats");
  if (rule.interface == build_interface::c_abi) {
    read_compiler_library(section, rule);
  } else {
    read_command(section, rule);
    read_config(file, section, rule);
    for (const auto* name : {"library", "library_config"})
      if (section.find(name) != nullptr)
        section.fail(name, "only with interface c-abi");
  }
  read_compatibility(section, rule);
  read_older(section, rule);
  read_begins(section, rule);
  if (rule.interface != build_interface::c_abi) { // Its library says them in calls.
    rule.progress = section.pattern("progress", 1);
    read_quality(file, section, rule);
  }
  read_failures(file, section, rule);
  rule.timeout_us = section.duration("timeout", limits::compile_us_default, limits::compile_us_max);
  rule.memory_bytes = section.size("memory", 0);
  rule.disk_bytes = section.size("disk", 0);
  auto rules = for_each_target(section, rule);
  section.finish();
  return rules;
}

} // namespace

std::vector<build_rule> read_builds(json_file& file, const std::string& pointer,
                                    const nlohmann::json& list) {
  std::vector<build_rule> rules;
  if (!list.is_array() || list.size() > limits::plugin_builds_max) {
    file.fail(pointer, "expected a list of at most " + std::to_string(limits::plugin_builds_max)
                           + " builds");
    return rules;
  }
  for (std::size_t i = 0; i < list.size(); ++i)
    for (auto& one : read_build(file, pointer + "/" + std::to_string(i), list[i]))
      rules.push_back(std::move(one));
  if (rules.size() > limits::plugin_builds_max)
    file.fail(pointer, "more than " + std::to_string(limits::plugin_builds_max)
                           + " builds, those for each target counted");
  return rules;
}

} // namespace consort::node
