// SPDX-License-Identifier: Apache-2.0
#include "node/json_plugin.hpp"

#include "messages/wire_check.hpp"
#include "node/child_process.hpp"
#include "node/host/compile_main.hpp"
#include "node/pattern.hpp"
#include "node/placeholders.hpp"
#include "node/plugin_tools.hpp"
#include "node/probe_answer.hpp"
#include "node/runtimes/container.hpp"
#include "node/tool_compile.hpp"
#include "scheduler/attributes.hpp"

#include <unistd.h>

#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>

namespace consort::node {

namespace {

duration_us steady_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

/// Where this host's own files are, for an agent in a container; empty = where they always are.
std::string host_root() {
  const char* root = std::getenv("CONSORT_HOST_ROOT");
  return root == nullptr ? std::string() : std::string(root);
}

bool keeps_state(const plugin_document& document) {
  const auto names_it = [](const std::string& word) { return word.find("{state}") != word.npos; };
  const auto asks = [&](const tool_query& query) {
    return std::any_of(query.command.begin(), query.command.end(), names_it);
  };
  return (document.telemetry && asks(*document.telemetry))
         || std::any_of(document.telemetry_also.begin(), document.telemetry_also.end(), asks);
}

/// Returns: the folder, made where it is missing; empty where nothing is kept.
std::string state_folder(const plugin_document& document, const std::string& below) {
  if (below.empty() || !keeps_state(document))
    return {};
  auto path = below + "/" + document.metadata.name;
  std::error_code failed;
  std::filesystem::create_directories(path, failed);
  if (!failed)
    return path;
  spdlog::warn("plugin {}: {}: {}; what its tools keep there is forgotten when they end",
               document.metadata.name, path, failed.message());
  return {};
}

} // namespace

json_plugin::json_plugin(plugin_document document, std::string folder,
                         plugin_environment environment)
    : document_(std::move(document)),
      folder_(std::move(folder)),
      environment_(std::move(environment)),
      state_(state_folder(document_, environment_.state_path)) {
  for (auto& rule : document_.builds)
    if (rule.interface == build_interface::c_abi)
      run_in_host(rule);
  auto& prices = document_.runtime.server.prices;
  if (const auto told = environment_.prices.find(document_.metadata.name);
      told != environment_.prices.end()) {
    for (const auto& [model, price] : told->second)
      if (prices.contains(model) || prices.size() < limits::server_prices_max)
        prices[model] = price;
      else
        spdlog::warn("plugin {}: more than {} models have prices: {}'s is left out",
                     document_.metadata.name, limits::server_prices_max, model);
  }
  document_.capability.prices = prices;
  const auto root = host_root();
  const auto move = [&](tool_query& query) {
    if (query.parse == answer_format::sysfs)
      query.each = root + query.each;
  };
  move(document_.probe);
  if (document_.telemetry)
    move(*document_.telemetry);
  std::for_each(document_.telemetry_also.begin(), document_.telemetry_also.end(), move);
  for (auto& test : document_.available.tests)
    if (test.what == availability_test::kind::path && test.name.starts_with('/'))
      test.name.insert(0, root);
}

/// A build by the vendor's shared object is one by our own program, which loads it.
void json_plugin::run_in_host(build_rule& rule) const {
  const auto path = path_of(rule.library);
  rule.command = library_build_command(environment_.executable, path, rule.library_config);
  rule.version_command = library_version_command(environment_.executable, path);
  const std::string mark = build_line_mark;
  rule.progress = "^" + mark + "(\\d+)%$";
  rule.quality = {quality_source::kind::lines, "^" + mark + "quality (\\S+?)=(.*)$"};
  rule.failures.push_back({6, "", failure_class::resource}); // CONSORT_FAILED: elsewhere.
}

bool json_plugin::there(const availability_test& test) const {
  if (test.what == availability_test::kind::path)
    return matches_any(replace_placeholders(test.name, {{"plugin", folder_}}));
  if (test.what == availability_test::kind::command)
    return !find_program(test.name, tools()).empty();
  if (test.what == availability_test::kind::no_command)
    return find_program(test.name, tools()).empty();
  const char* value = std::getenv(test.name.c_str());
  return value != nullptr && *value != '\0';
}

namespace {

/// What is missing where the test fails.
std::string described(const availability_test& test) {
  switch (test.what) {
  case availability_test::kind::variable: return "$" + test.name;
  case availability_test::kind::no_command: return "nothing for who has " + test.name;
  default: return test.name;
  }
}

} // namespace

result<done> json_plugin::available() {
  // A look at the host begins: a tool may have come, gone or changed since it was asked last, and
  // devices are described by what their compilers are now.
  compilers_.clear();
  versions_said_.clear();
  std::string missing;
  bool any = false, fault = false;
  for (const auto& test : document_.available.tests) {
    const bool here = there(test);
    any = any || here;
    if (!here)
      missing += (missing.empty() ? "" : ", ") + described(test);
    const bool program = test.what == availability_test::kind::command;
    if (const auto wrong = program && !here ? no_executable(test.name, folder_) : "";
        !wrong.empty()) {
      missing += " (" + wrong + ")";
      fault = true;
    }
  }
  const bool good
      = document_.available.tests.empty() || (document_.available.any ? any : missing.empty());
  if (good)
    return done{};
  return error{recovery::retry_later, fault ? "tool_unusable" : "not_available",
               "not on this host: " + missing};
}

result<std::string> json_plugin::listen(const tool_query& query) {
  auto& stream = streams_[query.command]; // Questions to one tool share it.
  if (stream == nullptr) {
    auto spec = tool_of(query.command, tools(), 0);
    if (!spec)
      return spec.failure();
    stream = std::make_unique<tool_stream>(environment_.io, *std::move(spec));
  }
  return stream->latest(query.timeout_us);
}

/// The section of plugin.json that a question is: for messages.
std::string json_plugin::section_of(const tool_query& query) const {
  if (&query == &document_.probe)
    return "probe";
  if (document_.telemetry && &query == &*document_.telemetry)
    return "telemetry";
  return "telemetry.also";
}

result<std::string> json_plugin::ask(const tool_query& query) {
  if (query.command.empty())
    return std::string{};
  const auto section = section_of(query);
  const auto prefix
      = document_.metadata.name + ": " + section + " command " + query.command.front() + " ";
  if (query.stream) {
    auto line = listen(query);
    return line ? line
                : result<std::string>(error{line.failure().action, line.failure().code,
                                            document_.metadata.name + ": " + section + ": "
                                                + line.failure().message});
  }
  const auto end = run_tool(query.command, tools(), query.timeout_us);
  if (!end)
    return error{end.failure().action, end.failure().code,
                 document_.metadata.name + ": " + section + ": " + end.failure().message};
  if (!end->ok())
    return error{recovery::retry_later, "tool_failed",
                 prefix + end_of(*end, query.timeout_us, section + ".timeout")};
  if (end->out.cut())
    return error{recovery::retry_later, "tool_failed",
                 prefix + "printed more than " + std::to_string(end->out.text.size()) + " bytes"};
  return end->out.text;
}

result<done> json_plugin::tidy() {
  const auto& box = document_.runtime.server.container;
  // An engine that is not here left nothing here.
  if (!box || environment_.owner.empty() || find_program(box->engine, folder_).empty())
    return done{};
  const auto removed = remove_orphans(box->engine, folder_, environment_.owner);
  if (!removed)
    return error{removed.failure().action, removed.failure().code,
                 document_.metadata.name
                     + ": containers of an earlier life may be left: " + removed.failure().message};
  if (*removed > 0)
    spdlog::info("{}: removed {} containers of an earlier life", document_.metadata.name, *removed);
  return done{};
}

result<std::vector<device_spec>> json_plugin::probe() {
  if (document_.metadata.engine)
    return std::vector<device_spec>{};
  const auto answer = ask(document_.probe);
  if (!answer)
    return answer.failure();
  left_out_.clear();
  unmatched_.clear();
  modelless_.clear();
  modelless_ids_.clear();
  std::string preface;
  const auto rows = split_answer(document_.probe, *answer, &left_out_, &preface);
  if (!rows)
    return error{rows.failure().action, rows.failure().code,
                 document_.metadata.name + ": probe: " + rows.failure().message};
  note_preface("probe", preface);
  modelless_ = without_model(*rows);
  if (rows->empty())
    unmatched_ = unmatched_words(document_.probe, *answer);
  const auto plan = stages();
  if (!plan)
    return plan.failure();
  std::vector<device_spec> devices;
  for (const auto& row : *rows) {
    auto device = describe(row.fields, row.attributes);
    if (device.model.empty())
      modelless_ids_.insert(device.uuid);
    device.stages = *plan;
    const auto memory = figure_of(row, "memory_bytes");
    device.memory_bytes = static_cast<std::uint64_t>(std::max<std::int64_t>(memory.value_or(0), 0));
    // Servers are told their device by its place, as vendors' variables want it.
    if (!document_.runtime.present || document_.runtime.interface == runtime_interface::server)
      device.attributes.emplace("index", std::to_string(devices.size()));
    devices.push_back(std::move(device));
  }
  readings_.devices(devices);
  add_partitions(devices);
  return devices;
}

/// What a tool printed in front of its answer is logged when it says something else than before.
void json_plugin::note_preface(const std::string& section, const std::string& words) {
  if (auto& before = prefaces_[section]; before != words) {
    before = words;
    if (!words.empty())
      spdlog::warn("plugin {}: {}: its tool said in front of its answer: {}",
                   document_.metadata.name, section, words);
  }
}

/// As its variables name them; nothing where neither does.
result<stage_plan> json_plugin::stages() const {
  stage_plan made;
  if (!document_.stages)
    return made;
  const auto named = [](const std::string& variable) {
    const char* value = std::getenv(variable.c_str());
    return device_id(value == nullptr ? "" : value);
  };
  const auto& rule = *document_.stages;
  made.prefill = named(rule.prefill_env);
  made.decode = named(rule.decode_env);
  if (made.prefill.empty() != made.decode.empty())
    return error{recovery::refuse, "stages",
                 document_.metadata.name + ": $" + rule.prefill_env + " and $" + rule.decode_env
                     + " name a device each, or neither does"};
  if (!made.empty()) {
    made.transfer_bytes_per_s = rule.transfer_bytes_per_s;
    made.transfer_us = rule.transfer_us;
  }
  return made;
}

device_spec json_plugin::describe(const std::map<std::string, std::string>& fields,
                                  std::map<std::string, std::string> attributes) {
  const auto text = [&](const char* name) {
    const auto found = fields.find(name);
    return found == fields.end() ? std::string{} : found->second;
  };
  device_spec device;
  device.type = document_.metadata.type;
  device.vendor = document_.metadata.vendor;
  device.plugin = document_.metadata.name;
  device.uuid = text("id");
  device.model = text("model");
  device.topology_group = text("topology_group");
  device.parent = device_id(text("parent")); // Its uuid: the agent knows it under an id.
  device.simulated = document_.simulated;
  device.capability = document_.capability;
  device.tags = document_.tags;
  device.attributes = std::move(attributes);
  const auto* sheet = sheet_for(device.model);
  device.spec = sheet == nullptr ? document_.spec : sheet->spec;
  device.attributes.merge(std::map(sheet == nullptr ? document_.attributes : sheet->attributes));
  choose_profiles(device);
  if (const auto missing = missing_library(); !missing.empty()) {
    device.capability.formats.clear();
    device.capability.build_profiles.clear();
    device.attributes["runtime"] = "missing: " + missing;
    device.attributes[core::no_compiler_attribute] = no_runtime_words(missing);
  }
  return device;
}

const model_sheet* json_plugin::sheet_for(const std::string& model) const {
  for (const auto& sheet : document_.sheets)
    if (const auto wanted = pattern::compile(sheet.match)) {
      const auto match = wanted->search(model);
      if (match.gave_up)
        spdlog::warn("plugin {}: `match` of a spec sheet: {}", document_.metadata.name,
                     given_up_words(model));
      if (match.found)
        return &sheet;
    }
  return nullptr;
}

/// A vendor's runtime that is not installed yet: the device is shown, and runs nothing.
std::string json_plugin::missing_library() const {
  const auto& rule = document_.runtime;
  if (!rule.present || rule.interface != runtime_interface::c_abi)
    return {};
  const auto path = library_path();
  return matches_any(path) ? std::string() : path;
}

std::string json_plugin::path_of(const std::string& library) const {
  return library.starts_with('/') ? library : folder_ + "/" + library;
}

std::string json_plugin::library_path() const {
  return path_of(document_.runtime.library);
}

std::uint32_t json_plugin::memory_share_pm() const {
  const auto& rules = document_.capability.memory_rules;
  return rules.empty() ? 0 : rules.front().share_pm;
}

void json_plugin::choose_profiles(device_spec& device) {
  std::string lacks; // Why a rule is left out.
  const auto left_out = [&lacks](const std::string& why) {
    if (lacks.find(why) == std::string::npos)
      lacks += (lacks.empty() ? "" : "; ") + why;
  };
  device.attributes.erase(core::no_compiler_attribute);
  for (std::size_t i = 0; i < document_.builds.size(); ++i) {
    const auto& rule = document_.builds[i];
    auto profile = effective_profile(i);
    // Without a version nothing could ever match, and any artifact might be wrong.
    if (profile.compiler_version.empty() && !rule.version_command.empty()
        && rule.version != version_scope::none) {
      left_out(compiler(i).fault.empty() ? compiler(i).missing : compiler(i).fault);
      continue;
    }
    if (const auto name = target_attribute(rule); !name.empty()) {
      const auto found = device.attributes.find(name);
      if (found == device.attributes.end() || found->second.empty()) {
        left_out(profile.compiler + " builds for {" + name + "}, which the device does not say");
        continue;
      }
      profile.target = found->second;
      targets_[i].insert(profile.target);
    } else if (!profile.target.empty() && profile.target != device.model) {
      left_out(profile.compiler + " builds for " + profile.target + ", and the device is "
               + (device.model.empty() ? "of no known model" : device.model));
      continue;
    }
    device.capability.build_profiles.push_back({std::move(profile), rule.formats, rule.binds,
                                                document_.capability.runtime.adapters, rule.older,
                                                memory_share_pm()});
  }
  // Other rules' targets are no lack where one fits.
  if (device.capability.build_profiles.empty() && !lacks.empty())
    device.attributes[core::no_compiler_attribute]
        = messages::repaired(lacks, limits::plugin_reason_bytes_max);
  if (const auto cache = cache_profile(device.model))
    device.capability.caches = {{*cache, document_.capability.formats, artifact_kind::cache, true}};
}

/// Of what its servers compile at their start. A tool that cannot say its version keeps nothing:
/// what another version made may be wrong.
std::optional<build_profile> json_plugin::cache_profile(const std::string& target) {
  const auto& rule = document_.runtime.cache;
  if (!rule)
    return std::nullopt;
  build_profile made;
  made.name = document_.metadata.name + "-cache";
  made.target = target;
  made.compiler = document_.metadata.name;
  if (rule->version_command.empty())
    return made;
  const auto& end = version_said(rule->version_command);
  if (end && end->ok())
    made.compiler_version = find_version(end->out.text.empty() ? end->err.text : end->out.text);
  return made.compiler_version.empty() ? std::nullopt : std::optional(made);
}

std::optional<device_capability> json_plugin::adds_to(const device_spec& device) {
  if (!document_.runs_on.contains(device.plugin))
    return std::nullopt;
  auto with = device;
  with.capability = document_.capability;
  choose_profiles(with);
  return with.capability;
}

namespace {

std::uint64_t part_of(std::uint64_t whole, const partition_rule& part) {
  return whole / part.of * (part.last - part.first + 1)
         + whole % part.of * (part.last - part.first + 1) / part.of;
}

bool overlap(const partition_rule& one, const partition_rule& other) {
  return one.first <= other.last && other.first <= one.last;
}

} // namespace

/// What the tool does not list but the device can be split into.
void json_plugin::add_partitions(std::vector<device_spec>& devices) {
  const auto whole_count = devices.size();
  for (std::size_t at = 0; at < whole_count; ++at)
    for (const auto& part : document_.partitions) {
      auto child = devices[at];
      child.parent = device_id(child.uuid);
      child.attributes["partition"] = part.text;
      for (const auto& other : document_.partitions)
        if (&other != &part && overlap(part, other))
          child.exclusive_siblings.emplace_back(child.uuid + "/" + other.name);
      child.uuid += "/" + part.name;
      child.memory_bytes = part_of(child.memory_bytes, part);
      for (auto* figure :
           {&child.spec.prefill_tokens_per_s, &child.spec.decode_tokens_per_s, &child.spec.tdp_mw,
            &child.spec.idle_mw, &child.spec.cost_micros_per_hour})
        *figure = part_of(*figure, part);
      if (!part.model.empty()) {
        child.model = part.model;
        child.capability.build_profiles.clear();
        choose_profiles(child);
      }
      devices.push_back(std::move(child));
    }
}

/// Parts are as well as their device is; its power is the board's, and stays there.
void json_plugin::read_partitions(std::map<std::string, device_reading>& readings) const {
  std::map<std::string, device_reading> parts;
  for (const auto& [uuid, reading] : readings)
    for (const auto& part : document_.partitions) {
      auto& one = parts[uuid + "/" + part.name];
      one.health = reading.health;
      one.health_reason = reading.health_reason;
    }
  readings.merge(parts);
}

result<done> json_plugin::read_into(const tool_query& query) {
  const auto answer = ask(query);
  if (!answer)
    return answer.failure();
  std::string left_out, preface;
  const auto rows = split_answer(query, *answer, &left_out, &preface);
  if (!rows)
    return error{rows.failure().action, rows.failure().code,
                 document_.metadata.name + ": telemetry: " + rows.failure().message};
  note_preface(section_of(query), preface);
  readings_.add(query, *rows, steady_us());
  // The devices are those that the first question names; a further one adds to what is known.
  if (!left_out.empty() && &query == &*document_.telemetry)
    readings_.leave_out(left_out);
  return done{};
}

/// What goes by models, such as an engine, fits no such device: it is there, and not as it should
/// be.
void json_plugin::judge_modelless(std::map<std::string, device_reading>& readings) const {
  for (const auto& uuid : modelless_ids_)
    if (auto& reading = readings[uuid]; reading.health == device_health::healthy) {
      reading.health = device_health::degraded;
      reading.health_reason = "its plugin's probe: " + modelless_;
    }
}

result<std::map<std::string, device_reading>> json_plugin::read() {
  std::map<std::string, device_reading> readings;
  if (document_.telemetry) {
    auto read = read_into(*document_.telemetry);
    // What only a further tool knows is unknown while that one fails.
    for (const auto& query : document_.telemetry_also)
      if (read)
        static_cast<void>(read_into(query));
    readings = readings_.take();
    if (!read)
      return read.failure();
    read_partitions(readings);
  }
  judge_modelless(readings);
  return readings;
}

std::string json_plugin::unread(const device_spec& device) {
  return document_.telemetry ? readings_.unread(*document_.telemetry, device)
                             : "its plugin reads no telemetry";
}

runtime* json_plugin::device_runtime() {
  const auto& rule = document_.runtime;
  if (runtime_ == nullptr && rule.present)
    runtime_ = rule.interface == runtime_interface::server ? make_server() : make_c_abi();
  return runtime_.get();
}

std::unique_ptr<runtime> json_plugin::make_c_abi() const {
  if (!environment_.make_c_abi)
    return nullptr;
  const auto& rule = document_.runtime;
  c_abi_spec spec;
  spec.stepwise = document_.runtime.stepwise;
  spec.plugin = document_.metadata.name;
  spec.library = library_path();
  spec.config_json = rule.config_json;
  spec.start_timeout_us = rule.start_timeout_us;
  spec.memory_bytes = rule.memory_bytes;
  spec.threads = rule.threads;
  spec.sequences = document_.capability.max_sequences;
  spec.env = rule.env;
  spec.work_path = folder_;
  spec.capabilities = document_.capability.runtime;
  spec.capabilities.context_tokens = document_.capability.max_context_tokens;
  return environment_.make_c_abi(spec);
}

std::unique_ptr<runtime> json_plugin::make_server() const {
  if (!environment_.make_server)
    return nullptr;
  const auto& rule = document_.runtime;
  server_spec spec = rule.server;
  spec.plugin = document_.metadata.name;
  spec.env_on = document_.runs_on;
  spec.start_timeout_us = rule.start_timeout_us;
  spec.memory_bytes = rule.memory_bytes;
  spec.env = rule.env;
  spec.work_path = folder_;
  spec.search = document_.search;
  spec.sequences = document_.capability.max_sequences;
  if (const auto share_pm = memory_share_pm(); share_pm > 0)
    spec.memory_share = share_pm < 1000 ? "0." + std::to_string(1000 + share_pm).substr(1) : "1";
  spec.capabilities = document_.capability.runtime;
  spec.capabilities.context_tokens = document_.capability.max_context_tokens;
  if (spec.container)
    spec.container->owner = environment_.owner.empty() ? trial_owner() : environment_.owner;
  return environment_.make_server(spec);
}

} // namespace consort::node
