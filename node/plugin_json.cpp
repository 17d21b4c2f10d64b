// SPDX-License-Identifier: Apache-2.0
#include "node/plugin_json.hpp"

#include "node/plugin_json_parts.hpp"
#include "node/runtimes/server_dialect.hpp"
#include "node/server_spec.hpp"
#include "node/small_file.hpp"
#include "scheduler/asks.hpp"
#include "scheduler/limits.hpp"
#include "scheduler/units.hpp"

#include <algorithm>
#include <array>
#include <filesystem>

namespace consort::node {

namespace {

constexpr std::size_t engine_word = 6; ///< Of the words that `type` may be.

bool plain_name(const std::string& name) {
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
}

void read_metadata(json_section& section, plugin_document& document) {
  section.require("schema", "1");
  [[maybe_unused]] const auto schema = section.whole("schema", 1, 1, 1);
  for (const auto* name : {"name", "version", "vendor", "type", "capability"})
    section.require(name, "a value as docs/PLUGINS.md says");
  auto& metadata = document.metadata;
  metadata.name = section.text("name");
  if (section.has("name") && !plain_name(metadata.name))
    section.fail("name", "expected up to 64 lower-case letters, digits, - and _");
  metadata.version = section.text("version");
  metadata.vendor = section.text("vendor");
  // In the order of resource_type; an engine has no devices of its own.
  const auto type
      = section.word("type", {"gpu", "npu", "pim", "cpu", "remote", "hybrid", "engine"}, 0);
  metadata.engine = type == engine_word;
  metadata.type = metadata.engine ? resource_type::cpu : static_cast<resource_type>(type);
  section.require(metadata.engine ? "runs_on" : "probe",
                  metadata.engine ? "the plugins whose devices it runs models on"
                                  : "how to find the devices");
  metadata.priority = static_cast<int>(section.whole("priority", 50, 0, 1000));
  document.simulated = section.boolean("simulated", false);
  document.tags = section.texts("tags");
  document.search = section.texts("search");
  const auto& folders = document.search;
  if (folders.size() > limits::plugin_search_max
      || !std::all_of(folders.begin(), folders.end(), [](const auto& one) {
           return one.starts_with('/') && one.find_first_of(":\n") == std::string::npos;
         }))
    section.fail("search", "expected up to " + std::to_string(limits::plugin_search_max)
                               + " whole paths of folders, e.g. \"/opt/vendor/bin\"");
}

availability_test read_test(json_file& file, const std::string& pointer,
                            const nlohmann::json& object) {
  json_section section(file, pointer, object);
  availability_test test;
  const auto path = section.text("path"), command = section.text("command");
  const auto variable = section.text("env"), absent = section.text("no_command");
  const std::array all{&path, &command, &variable, &absent};
  if (std::count_if(all.begin(), all.end(), [](const auto* one) { return !one->empty(); }) != 1)
    section.fail("", "expected one of `path`, `command`, `env` and `no_command`");
  test.what = !path.empty()      ? availability_test::kind::path
              : !command.empty() ? availability_test::kind::command
              : !absent.empty()  ? availability_test::kind::no_command
                                 : availability_test::kind::variable;
  test.name = path + command + variable + absent;
  section.finish();
  return test;
}

std::string asked_words() {
  std::string words;
  for (const auto& one : asks::all)
    if (!one.word.empty())
      words.append(words.empty() ? "" : ", ").append(one.word);
  return words;
}

/// What its runtime answers nobody, whatever the model.
std::uint32_t read_refuses(json_section& section) {
  std::uint32_t bits = 0;
  for (const auto& name : section.texts("refuses")) {
    const auto known = std::find_if(asks::all.begin(), asks::all.end(),
                                    [&](const auto& one) { return one.word == name; });
    if (name.empty() || known == asks::all.end())
      section.fail("refuses", "`" + name + "` is none of " + asked_words());
    else
      bits |= known->bit;
  }
  return bits;
}

device_capability read_capability(json_file& file, json_section& parent,
                                  const nlohmann::json& object, bool has_builds, bool runs) {
  json_section section(file, parent.at("capability"), object);
  device_capability can;
  can.devices_max = static_cast<std::uint32_t>(
      section.whole("devices_max", 1, 1, core::limits::devices_per_instance_max));
  can.nodes_max = static_cast<std::uint32_t>(
      section.whole("nodes_max", 1, 1, core::limits::devices_per_instance_max));
  section.require("max_sequences", "how many sequences are decoded together");
  can.max_sequences
      = static_cast<std::uint32_t>(section.whole("max_sequences", 1, 1, limits::sequences_max));
  can.max_context_tokens
      = static_cast<std::uint32_t>(section.whole("max_context", 0, 1, 1U << 28U));
  can.dtypes = section.texts("dtypes");
  can.formats = section.texts("formats");
  const auto share_pm = section.scaled("memory_share", 0, 1000);
  if (section.has("memory_share") && (share_pm == 0 || share_pm > 1000))
    section.fail("memory_share", "expected a part of a device's memory, above 0 and at most 1");
  if (share_pm > 0) // Of no format where it runs artifacts alone.
    can.memory_rules = {{can.formats, static_cast<std::uint32_t>(share_pm)}};
  can.optimized_for = section.texts("optimized_for");
  const bool artifacts_only = section.boolean("requires_artifact", false);
  if (artifacts_only && !can.formats.empty())
    section.fail("formats", "with requires_artifact the device runs no format as it is");
  if (artifacts_only && !has_builds)
    section.fail("requires_artifact", "needs at least one entry in `build`");
  if (!artifacts_only && can.formats.empty() && runs)
    section.fail("", "expected `formats` that it runs as they are, or `requires_artifact`: true");
  can.adapters_max
      = static_cast<std::uint32_t>(section.whole("adapters_max", 0, 1, core::limits::adapters_max));
  if (const auto* runtime = section.find("runtime")) {
    json_section inner(file, section.at("runtime"), *runtime);
    auto& able = can.runtime;
    able.resume = static_cast<resume_support>(inner.word("resume", {"none", "text", "tokens"}, 0));
    able.cancel = inner.boolean("cancel", false);
    able.priority = inner.boolean("priority", false);
    able.preempt = inner.boolean("preempt", false);
    able.tokenize = inner.boolean("tokenize", false);
    able.streaming = inner.boolean("streaming", true);
    able.adapters = inner.boolean("adapters", false);
    if (able.adapters)
      can.adapter_formats = can.formats;
    able.embeddings = inner.boolean("embeddings", false);
    able.structured_output = inner.boolean("structured_output", false);
    able.refuses = read_refuses(inner);
    inner.finish();
  }
  if (can.adapters_max > 0 && !can.runtime.adapters)
    section.fail("adapters_max", "only with `adapters`: true in `runtime`");
  section.finish();
  return can;
}

/// A spec sheet: the plugin's own, or one for some models.
void read_sheet(json_file& file, json_section& section, model_sheet& sheet) {
  auto& spec = sheet.spec;
  spec.prefill_tokens_per_s = section.scaled("prefill_tokens_per_s", 0, 1);
  spec.decode_tokens_per_s = section.scaled("decode_tokens_per_s", 0, 1);
  spec.decode_batch_gain_pm
      = static_cast<std::uint32_t>(section.scaled("decode_batch_gain", 1000, 1000));
  spec.load_us = section.duration("load", 0, limits::runtime_start_us_max);
  spec.tdp_mw = section.scaled("tdp_watts", 0, 1000);
  spec.idle_mw = section.scaled("idle_watts", 0, 1000);
  spec.cost_micros_per_hour = section.scaled("cost_per_hour", 0, 1e6);
  if (spec.decode_batch_gain_pm > 10'000)
    section.fail("decode_batch_gain", "expected at most 10");
  if (const auto* bandwidth = section.find("memory_gb_per_s"); bandwidth != nullptr) {
    [[maybe_unused]] const auto checked = section.scaled("memory_gb_per_s", 0, 1);
    sheet.attributes["memory_gb_per_s"] = bandwidth->dump();
  }
  if (const auto* tflops = section.find("tflops"); tflops != nullptr) {
    json_section inner(file, section.at("tflops"), *tflops);
    if (tflops->is_object())
      for (const auto& [dtype, value] : tflops->items()) {
        [[maybe_unused]] const auto checked = inner.scaled(dtype, 0, 1);
        sheet.attributes["tflops_" + dtype] = value.dump();
      }
  }
}

void read_spec(json_file& file, json_section& parent, const nlohmann::json& object,
               plugin_document& document) {
  json_section section(file, parent.at("spec"), object);
  model_sheet common;
  read_sheet(file, section, common);
  document.spec = common.spec;
  document.attributes = common.attributes;
  const auto* list = section.find("models");
  if (list != nullptr && (!list->is_array() || list->size() > limits::spec_models_max))
    section.fail("models", "expected a list of at most " + std::to_string(limits::spec_models_max)
                               + " spec sheets");
  else if (list != nullptr)
    for (std::size_t at = 0; at < list->size(); ++at) {
      json_section inner(file, section.at("models") + "/" + std::to_string(at), (*list)[at]);
      model_sheet sheet;
      inner.require("match", "a regular expression for the device's model");
      sheet.match = inner.pattern("match", 0);
      read_sheet(file, inner, sheet);
      inner.finish();
      document.sheets.push_back(std::move(sheet));
    }
  section.finish();
}

/// `list` of `partitions`: parts of a device, each units FIRST to LAST of `of`.
partition_rule read_partition(json_file& file, const std::string& pointer,
                              const nlohmann::json& object, std::uint32_t of) {
  json_section section(file, pointer, object);
  partition_rule part;
  part.of = of;
  section.require("name", "a name, unique in the device");
  section.require("first", "its first unit");
  section.require("last", "its last unit");
  part.name = section.text("name");
  if (section.has("name") && !plain_name(part.name))
    section.fail("name", "expected up to 64 lower-case letters, digits, - and _");
  part.model = section.text("model");
  part.text = section.text("text");
  part.first = static_cast<std::uint32_t>(section.whole("first", 0, 0, of - 1));
  part.last = static_cast<std::uint32_t>(section.whole("last", part.first, part.first, of - 1));
  section.finish();
  return part;
}

void read_partitions(json_file& file, json_section& root, plugin_document& document) {
  const auto* object = root.find("partitions");
  if (object == nullptr)
    return;
  json_section section(file, root.at("partitions"), *object);
  section.require("of", "how many units a device has");
  section.require("list", "its parts");
  const bool offered = section.boolean("offer", true);
  const auto of = static_cast<std::uint32_t>(section.whole("of", 1, 1, 1024));
  const auto* list = section.find("list");
  if (list != nullptr && (!list->is_array() || list->size() > limits::partitions_max))
    section.fail("list",
                 "expected a list of at most " + std::to_string(limits::partitions_max) + " parts");
  else if (list != nullptr)
    for (std::size_t at = 0; at < list->size(); ++at) {
      auto part
          = read_partition(file, section.at("list") + "/" + std::to_string(at), (*list)[at], of);
      for (const auto& other : document.partitions)
        if (other.name == part.name)
          section.fail("list", "two parts are named " + part.name);
      document.partitions.push_back(std::move(part));
    }
  section.finish();
  if (!offered)
    document.partitions.clear();
}

void read_telemetry(json_file& file, json_section& root, plugin_document& document) {
  const auto* object = root.find("telemetry");
  if (object == nullptr)
    return;
  json_section section(file, root.at("telemetry"), *object);
  constexpr duration_us every_us_max = 3'600 * limits::second_us;
  document.metadata.telemetry_every_us
      = section.duration("every", limits::telemetry_every_us, every_us_max);
  if (document.metadata.telemetry_every_us < limits::telemetry_every_us_min)
    section.fail("every", "expected at least " + format_duration(limits::telemetry_every_us_min));
  document.telemetry = read_query(file, section, true);
  document.metadata.telemetry = true;
  if (const auto* list = section.find("also")) {
    if (!list->is_array() || list->size() > limits::telemetry_also_max)
      section.fail("also", "expected a list of at most "
                               + std::to_string(limits::telemetry_also_max) + " further questions");
    else
      for (std::size_t at = 0; at < list->size(); ++at) {
        json_section inner(file, section.at("also") + "/" + std::to_string(at), (*list)[at]);
        document.telemetry_also.push_back(read_query(file, inner, true));
        inner.finish();
      }
  }
  section.finish();
}

void read_stages(json_file& file, json_section& root, plugin_document& document) {
  const auto* object = root.find("stages");
  if (object == nullptr)
    return;
  if (document.metadata.type != resource_type::hybrid)
    root.fail("stages", "only with type hybrid");
  json_section section(file, root.at("stages"), *object);
  section.require("prefill_env", "the variable that names the device which prefills");
  section.require("decode_env", "the variable that names the device which decodes");
  stages_rule rule;
  rule.prefill_env = section.text("prefill_env");
  rule.decode_env = section.text("decode_env");
  rule.transfer_bytes_per_s = section.size("transfer_per_s", 0);
  rule.transfer_us = section.duration("transfer", 0, core::limits::transfer_us_max);
  section.finish();
  document.stages = std::move(rule);
}

void read_hosts(json_file& file, json_section& root, plugin_document& document) {
  const bool engine = document.metadata.engine;
  for (const auto* name : {"probe", "telemetry", "partitions", "tags"})
    if (engine && root.has(name))
      root.fail(name, "an engine has no devices of its own");
  const auto* object = root.find("runs_on");
  if (object == nullptr)
    return;
  if (!engine)
    root.fail("runs_on", "only with type engine");
  json_section section(file, root.at("runs_on"), *object);
  if (!object->is_object() || object->empty() || object->size() > limits::plugin_hosts_max)
    return root.fail("runs_on", "expected one to " + std::to_string(limits::plugin_hosts_max)
                                    + " names of plugins");
  for (const auto& [name, value] : object->items()) {
    json_section inner(file, section.at(name), value);
    auto& env = document.runs_on[name] = inner.text_map("env");
    for (const auto& [variable, text] : env)
      check_placeholders(inner, "env", {text}, server_placeholders());
    inner.finish();
  }
}

plugin_document read_document(json_file& file) {
  json_section root(file, "", file.root());
  plugin_document document;
  [[maybe_unused]] const auto schema_reference = root.text("$schema");
  read_metadata(root, document);
  if (const auto* object = root.find("available"))
    document.available = read_availability(file, root.at("available"), *object);
  read_hosts(file, root, document);
  read_stages(file, root, document);
  if (const auto* object = root.find("probe")) {
    json_section section(file, root.at("probe"), *object);
    document.probe = read_query(file, section, false);
    section.finish();
  }
  read_telemetry(file, root, document);
  if (const auto* list = root.find("build"))
    document.builds = read_builds(file, root.at("build"), *list);
  if (const auto* object = root.find("capability"))
    document.capability
        = read_capability(file, root, *object, !document.builds.empty(), root.has("runtime"));
  if (const auto* object = root.find("spec"))
    read_spec(file, root, *object, document);
  read_partitions(file, root, document);
  if (const auto* object = root.find("runtime"))
    document.runtime = read_runtime(file, root.at("runtime"), *object);
  const auto& server = document.runtime.server;
  if (document.runtime.present && document.runtime.interface == runtime_interface::server)
    document.capability.runtime.refuses |= refused_asks(server);
  const bool told = !server.adapters.arguments.empty() || !server.adapters.each.empty();
  const bool able = document.capability.runtime.adapters;
  if (told && !able)
    root.fail("runtime", "with `adapters` also `capability.runtime.adapters` must be true");
  if (able && !told && !server.command.empty())
    root.fail("runtime", "expected `adapters`, which says how the server is told of them");
  const auto asks
      = [](const std::string& text) { return text.find("{memory_share}") != std::string::npos; };
  if (document.capability.memory_rules.empty()
      && std::any_of(server.command.begin(), server.command.end(), asks))
    root.fail("capability", "expected `memory_share`, which {memory_share} stands for");
  if (document.runtime.present)
    document.capability.load_limit_us = document.runtime.start_timeout_us;
  if (const auto& box = document.runtime.server.container; box && box->pull)
    document.capability.load_limit_us += box->pull_us_max;
  root.finish();
  return document;
}

} // namespace

availability read_availability(json_file& file, const std::string& pointer,
                               const nlohmann::json& object) {
  availability tests;
  const bool any = object.is_object() && object.contains("any");
  const bool all = object.is_object() && object.contains("all");
  if (!any && !all) {
    tests.tests.push_back(read_test(file, pointer, object));
    return tests;
  }
  json_section section(file, pointer, object);
  tests.any = any;
  const std::string name = any ? "any" : "all";
  const auto* list = section.find(name);
  if (list->is_array())
    for (std::size_t i = 0; i < list->size(); ++i)
      tests.tests.push_back(
          read_test(file, section.at(name) + "/" + std::to_string(i), (*list)[i]));
  if (tests.tests.empty())
    section.fail(name, "expected a list of tests");
  section.finish();
  return tests;
}

result<plugin_document> parse_plugin_json(std::string_view text, const std::string& origin) {
  auto file = json_file::parse(text, origin);
  if (!file)
    return file.failure();
  auto document = read_document(*file);
  if (file->failure())
    return *file->failure();
  document.metadata.origin = origin;
  return document;
}

namespace {

constexpr std::size_t suggested_max = 3; ///< Of the folders that may have been meant.

/// Whoever names the folder of folders, as for --plugins, means one of those in it.
error no_plugin_json(const std::string& folder) {
  namespace fs = std::filesystem;
  std::error_code failed;
  if (!fs::is_directory(folder, failed) || fs::exists(folder + "/plugin.json", failed))
    return {recovery::refuse, "plugin_json", folder + "/plugin.json: cannot be read"};
  std::vector<std::string> meant;
  fs::directory_iterator entries(folder, failed);
  for (const auto end = fs::directory_iterator(); !failed && entries != end;
       entries.increment(failed))
    if (std::error_code ignored; fs::exists(entries->path() / "plugin.json", ignored))
      meant.push_back(entries->path().string());
  std::sort(meant.begin(), meant.end());
  std::string text = folder + ": holds no plugin.json";
  for (std::size_t at = 0; at < std::min(meant.size(), suggested_max); ++at)
    text += (at == 0 ? "; did you mean " : ", ") + meant[at];
  if (meant.size() > suggested_max)
    text += " or another of its " + std::to_string(meant.size());
  return {recovery::refuse, "plugin_json", text + (meant.empty() ? "" : "?")};
}

} // namespace

result<plugin_document> load_plugin_json(const std::string& folder) {
  const auto path = folder + "/plugin.json";
  if (std::error_code failed; std::filesystem::is_directory(path, failed))
    return error{recovery::refuse, "plugin_json", path + " is a folder, not a file"};
  const auto text = read_file_head(path, limits::plugin_json_bytes_max + 1);
  if (!text) {
    std::error_code failed;
    return std::filesystem::is_other(path, failed)
               ? error{recovery::refuse, "plugin_json", path + " is no regular file"}
               : no_plugin_json(folder);
  }
  auto document = parse_plugin_json(*text, path);
  if (document)
    document->metadata.origin = folder;
  return document;
}

} // namespace consort::node
