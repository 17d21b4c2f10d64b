// SPDX-License-Identifier: Apache-2.0
#include "node/inventory.hpp"

#include "messages/wire_check.hpp"
#include "node/plugin_change.hpp"
#include "node/plugin_json.hpp"
#include "node/small_file.hpp"
#include "scheduler/formats.hpp"

#include <algorithm>
#include <filesystem>
#include <set>
#include <tuple>

namespace consort::node {

namespace {

const char* type_word(resource_type type) {
  switch (type) {
  case resource_type::gpu: return "gpu";
  case resource_type::npu: return "npu";
  case resource_type::pim: return "pim";
  case resource_type::cpu: return "cpu";
  case resource_type::remote: return "remote";
  case resource_type::hybrid: return "hybrid";
  }
  return "device";
}

/// Subfolders with a plugin.json, in order of name.
std::vector<std::string> plugin_folders(const std::string& directory,
                                        std::vector<error>& failures) {
  std::vector<std::string> folders;
  std::error_code failed;
  std::filesystem::directory_iterator entries(directory, failed);
  if (failed) {
    if (failed != std::errc::no_such_file_or_directory)
      failures.push_back({recovery::refuse, "plugin_folder", directory + ": " + failed.message()});
    return folders;
  }
  for (const auto end = std::filesystem::directory_iterator(); entries != end && !failed;
       entries.increment(failed))
    if (std::error_code ignored; std::filesystem::exists(entries->path() / "plugin.json", ignored))
      folders.push_back(entries->path().string());
  std::sort(folders.begin(), folders.end());
  if (folders.size() > limits::plugin_folders_max) {
    failures.push_back({recovery::refuse, "plugin_folder",
                        directory + ": more than " + std::to_string(limits::plugin_folders_max)
                            + " plugins; the rest is left out"});
    folders.resize(limits::plugin_folders_max);
  }
  return folders;
}

} // namespace

struct inventory::entry {
  std::unique_ptr<plugin> owned;
  std::string folder; ///< Empty for one that is compiled in.
  std::string text;   ///< Its plugin.json when it was loaded.
  /// Held for the length of every call into the plugin; recursive, because a compile that fails at
  /// once reports inside the call, and its caller may ask for another.
  std::recursive_mutex calls;
  plugin_status status;
  std::vector<build_profile> toolchains;
  std::vector<device_spec> devices; ///< As it found them last.
  std::set<std::string> read;       ///< Uuids that a reading ever named; behind `calls`.
};

struct inventory::found_device {
  device_spec spec;
  entry_ref by;
};

namespace {

/// Keeps a plugin alive for as long as one of its compiles runs.
struct owned_compile final : running_compile {
  owned_compile(std::shared_ptr<const void> of, std::unique_ptr<running_compile> what)
      : owner(std::move(of)), running(std::move(what)) {}
  const std::shared_ptr<const void> owner;
  const std::unique_ptr<running_compile> running; ///< Goes first.
};

/// What a plugin.json holds; empty when it cannot be read.
std::string text_in(const std::string& folder) {
  return read_file_head(folder + "/plugin.json", limits::plugin_json_bytes_max).value_or("");
}

std::string without_devices(plugin& one) {
  const auto why = one.nothing_found();
  return "no device found" + (why.empty() ? "" : ": " + why);
}

} // namespace

inventory::inventory(node_id node, std::string numbers_path)
    : node_(std::move(node)), numbers_(std::move(numbers_path)) {}
inventory::~inventory() = default;

inventory::entry_ref inventory::entry_named(const std::string& name) const {
  const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const auto& one) {
    return one->status.metadata.name == name;
  });
  return found == entries_.end() ? nullptr : *found;
}

bool inventory::add(std::unique_ptr<plugin> one) {
  if (entry_named(one->metadata().name) != nullptr)
    return false;
  auto fresh = std::make_shared<entry>();
  fresh->status.metadata = one->metadata();
  fresh->owned = std::move(one);
  insert(std::move(fresh));
  return true;
}

void inventory::insert(entry_ref one) {
  const auto after = std::upper_bound(
      entries_.begin(), entries_.end(), one, [](const auto& left, const auto& right) {
        return left->status.metadata.name < right->status.metadata.name;
      });
  entries_.insert(after, std::move(one));
}

std::vector<error> inventory::load(const std::string& directory,
                                   const plugin_environment& environment) {
  std::vector<error> failures;
  for (const auto& folder : plugin_folders(directory, failures))
    take(folder, environment, failures);
  return failures;
}

/// Loads one folder. Returns: whether there is a plugin more.
bool inventory::take(const std::string& folder, const plugin_environment& environment,
                     std::vector<error>& complaints) {
  auto text = text_in(folder);
  auto document = load_plugin_json(folder);
  if (!document) {
    complaints.push_back(document.failure());
    return false;
  }
  const auto name = document->metadata.name;
  const bool added = add(std::make_unique<json_plugin>(*std::move(document), folder, environment));
  const auto holder = entry_named(name);
  std::error_code differs;
  if (!added && std::filesystem::equivalent(folder, holder->folder, differs))
    return false; // The folder of folders was named twice.
  if (!added) {
    complaints.push_back({recovery::refuse, "plugin_duplicate",
                          folder + ": plugin " + name + " is already loaded from "
                              + holder->status.metadata.origin});
    return false;
  }
  holder->folder = folder;
  holder->text = std::move(text);
  return true;
}

std::vector<error> inventory::tidy() {
  std::vector<error> failures;
  for (const auto& one : entries_) {
    const std::scoped_lock lock(one->calls);
    if (const auto tidied = one->owned->tidy(); !tidied)
      failures.push_back(tidied.failure());
  }
  return failures;
}

std::vector<inventory::found_device> inventory::ask_all(std::vector<error>& failures) {
  std::vector<found_device> found;
  for (const auto& one : entries_) {
    const std::scoped_lock lock(one->calls);
    auto& status = one->status;
    status.devices.clear();
    status.hosts.clear();
    status.probe_failed = false;
    status.fault.reset();
    const auto there = one->owned->available();
    status.available = there.ok();
    status.reason = there ? "" : there.failure().message;
    if (!there) {
      one->devices.clear();
      // A compiler may be installed on a host without the hardware.
      one->toolchains = one->owned->toolchains();
      continue;
    }
    if (auto devices = one->owned->probe()) {
      one->devices = *std::move(devices);
      status.available = status.metadata.engine || !one->devices.empty();
      status.fault = status.available ? one->owned->fault() : std::nullopt;
      status.reason = status.fault ? status.fault->message : "";
      if (!status.available)
        status.reason = without_devices(*one->owned);
    } else {
      status.reason = devices.failure().message;
      status.probe_failed = true;
      failures.push_back(devices.failure());
    }
    one->toolchains = one->owned->toolchains();
    for (const auto& device : one->devices)
      found.push_back({device, one});
  }
  return found;
}

std::vector<error> inventory::probe() {
  std::vector<error> failures;
  tables fresh;
  resolve(ask_all(failures), fresh);
  if (auto problem = numbers_.settle())
    failures.push_back(*std::move(problem));
  host_engines(fresh);
  for (const auto& one : entries_) {
    for (const auto& profile : one->toolchains)
      fresh.toolchains.emplace_back(profile, one);
    {
      const std::scoped_lock calls(one->calls);
      fresh.compiler_files += one->owned->compiler_files();
    }
    fresh.statuses.push_back(one->status);
  }
  const std::lock_guard lock(mutex_);
  std::swap(seen_, fresh);
  return failures;
}

// --- again ---

/// Makes entries_ what the folders hold now. Who is loaded keeps its name, whatever folder with the
/// same name was put beside it: first come what did not change, then what did, then what is new.
/// Returns: what it was.
std::vector<inventory::entry_ref>
inventory::load_folders(const std::vector<std::string>& directories,
                        const plugin_environment& environment, std::vector<error>& complaints) {
  const auto before = entries_;
  std::erase_if(entries_, [](const auto& one) { return !one->folder.empty(); });
  std::vector<std::string> fresh;
  std::vector<entry_ref> changed;
  for (const auto& directory : directories)
    for (const auto& folder : plugin_folders(directory, complaints)) {
      const auto known = std::find_if(before.begin(), before.end(),
                                      [&](const auto& one) { return one->folder == folder; });
      if (known == before.end())
        fresh.push_back(folder);
      else if ((*known)->text != text_in(folder))
        changed.push_back(*known);
      else if (entry_named((*known)->status.metadata.name) == nullptr)
        insert(*known); // Else its folder of folders was named twice.
    }
  for (const auto& one : changed) // What cannot be loaded goes on as it was.
    if (!take(one->folder, environment, complaints)
        && entry_named(one->status.metadata.name) == nullptr)
      insert(one);
  for (const auto& folder : fresh)
    take(folder, environment, complaints);
  return before;
}

/// Which plugins came and went. `usable` are those that were of use before.
void inventory::compare_plugins(const std::vector<entry_ref>& before,
                                const std::set<std::string>& usable, inventory_change& out) const {
  for (const auto& one : entries_) {
    const auto& name = one->status.metadata.name;
    const bool known = std::find(before.begin(), before.end(), one) != before.end();
    // A node that only runs engines may go without their compilers.
    if (const auto& fault = one->status.fault; fault && fault->code == "plugin_fault")
      out.complaints.push_back({fault->action, fault->code, name + ": " + fault->message});
    if (!known && !one->status.available)
      out.complaints.push_back(
          {recovery::retry_later, "plugin_absent", name + ": " + one->status.reason});
    if (!known || (one->status.available && !usable.contains(name)))
      out.plugins_came.push_back(name);
  }
  for (const auto& one : before)
    if (entry_named(one->status.metadata.name) == nullptr)
      out.plugins_gone.push_back(one->status.metadata.name);
}

/// Why plugins are of no use any more; of one whose devices another one has now, as where the
/// vendor's better tool was installed, there is nothing to say. Requires: the mutex is held.
void inventory::tell_useless(const tables& before, const std::vector<entry_ref>& loaded,
                             inventory_change& out) const {
  for (const auto& then : before.statuses) {
    const auto now = entry_named(then.metadata.name);
    if (!then.available || now == nullptr || now->status.available
        || std::find(loaded.begin(), loaded.end(), now) == loaded.end())
      continue;
    const bool all_had = std::all_of(then.devices.begin(), then.devices.end(),
                                     [&](const auto& id) { return seen_.owners.contains(id); });
    if (then.metadata.engine || !all_had)
      out.complaints.push_back(
          {recovery::retry_later, "plugin_absent",
           then.metadata.name + " is of no use any more: " + now->status.reason});
  }
}

/// Whether what the one runs goes on under the other.
bool inventory::follows(const entry_ref& now, const entry_ref& before) {
  return now == before
         || (now->folder == before->folder && !now->folder.empty()
             && now->status.metadata.name == before->status.metadata.name
             && runs_alike(before->text, now->text));
}

/// Why what ran on a device must end; empty when it goes on. Requires: the mutex is held.
std::string inventory::lost_to(const tables& before, const device_spec& device) const {
  const auto& then = before.owners.at(device.id);
  const auto& name = then->status.metadata.name;
  const auto now = seen_.owners.find(device.id);
  if (now == seen_.owners.end())
    return entry_named(name) == nullptr ? "its plugin " + name + " was taken out"
                                        : "its plugin " + name + " no longer finds it";
  if (now->second->status.metadata.name != name)
    return "plugin " + now->second->status.metadata.name + " has it now, no longer " + name;
  const auto described = std::find_if(seen_.devices.begin(), seen_.devices.end(),
                                      [&](const auto& one) { return one.id == device.id; });
  const bool same = now->second == then || same_hardware(device, *described);
  if (!same || !follows(now->second, then))
    return "its plugin " + name + " changed, and what ran there begins anew";
  const auto& guests = seen_.guests.at(device.id);
  for (const auto& one : before.guests.at(device.id))
    if (std::none_of(guests.begin(), guests.end(),
                     [&](const auto& other) { return follows(other.by, one.by); }))
      return "the engine " + one.by->status.metadata.name + " that it ran went or changed";
  return {};
}

inventory_change inventory::reload(const std::vector<std::string>& directories,
                                   const plugin_environment& environment) {
  inventory_change out;
  tables before;
  {
    const std::lock_guard lock(mutex_);
    before = seen_;
  }
  std::set<std::string> usable;
  for (const auto& status : before.statuses)
    if (status.available)
      usable.insert(status.metadata.name);
  const auto entries_before = load_folders(directories, environment, out.complaints);
  out.retired.assign(entries_before.begin(), entries_before.end());
  for (auto& complaint : probe())
    out.complaints.push_back(std::move(complaint));
  compare_plugins(entries_before, usable, out);
  for (const auto& one : entries_before)
    if (std::find(entries_.begin(), entries_.end(), one) == entries_.end()) {
      const std::scoped_lock calls(one->calls);
      one->owned->retire();
    }
  const std::lock_guard lock(mutex_);
  tell_useless(before, entries_before, out);
  const auto profiles = [](const tables& of) {
    std::vector<build_profile> all;
    for (const auto& [profile, by] : of.toolchains)
      all.push_back(profile);
    return all;
  };
  out.toolchains
      = profiles(before) != profiles(seen_) || before.compiler_files != seen_.compiler_files;
  for (const auto& device : before.devices)
    if (auto why = lost_to(before, device); !why.empty()) {
      out.gone.push_back(device.id);
      out.why_gone.emplace(device.id, std::move(why));
    }
  for (const auto& device : seen_.devices)
    if (!before.owners.contains(device.id) || out.why_gone.contains(device.id))
      out.appeared.push_back(device);
  return out;
}

// --- claims and names ---

/// The id that the device had before, else the next number of its type, or of its parent's parts.
device_id inventory::id_for(const device_spec& device) {
  const auto prefix = node_.value + "/";
  const auto stem = device.parent.empty() ? std::string(type_word(device.type))
                                          : device.parent.value.substr(prefix.size()) + ".";
  return device_id(prefix + numbers_.name_of(device.uuid, stem));
}

/// Of all who found one device the highest priority, then the first by name. Returns: what they
/// found, by plugin and uuid, parts behind what they are parts of.
std::vector<inventory::found_device> inventory::settle_claims(std::vector<found_device> found,
                                                              tables& into) {
  std::stable_sort(found.begin(), found.end(), [](const auto& left, const auto& right) {
    const auto& l = left.by->status.metadata;
    const auto& r = right.by->status.metadata;
    return std::tie(left.spec.uuid, r.priority, l.name)
           < std::tie(right.spec.uuid, l.priority, r.name);
  });
  std::vector<found_device> winners;
  for (auto& one : found) {
    const auto& metadata = one.by->status.metadata;
    if (winners.empty() || winners.back().spec.uuid != one.spec.uuid) {
      into.claims.push_back({one.spec.uuid, {}, metadata.name, {}, "only claim"});
      winners.push_back(std::move(one));
      continue;
    }
    auto& claim = into.claims.back();
    const auto best = winners.back().by->status.metadata.priority;
    if (claim.losers.empty())
      claim.reason = best == metadata.priority
                         ? "equal priority " + std::to_string(best) + ", first by name before "
                               + metadata.name
                         : "priority " + std::to_string(best) + " over "
                               + std::to_string(metadata.priority) + " (" + metadata.name + ")";
    claim.losers.push_back(metadata.name);
  }
  std::sort(winners.begin(), winners.end(), [](const auto& left, const auto& right) {
    return std::tie(left.by->status.metadata.name, left.spec.uuid)
           < std::tie(right.by->status.metadata.name, right.spec.uuid);
  });
  // A part's id begins with its parent's, which therefore comes first.
  std::stable_partition(winners.begin(), winners.end(),
                        [](const auto& one) { return one.spec.parent.empty(); });
  return winners;
}

/// Ids: those of before, else in order of the winner's name, then uuid, counted per type, so that
/// equal hosts name their devices alike.
void inventory::resolve(std::vector<found_device> found, tables& into) {
  std::map<std::string, device_id> ids; // By uuid.
  numbers_.begin();
  for (auto& one : settle_claims(std::move(found), into)) {
    auto& spec = one.spec;
    spec.node = node_;
    if (const auto parent = ids.find(spec.parent.value); parent != ids.end())
      spec.parent = parent->second;
    else
      spec.parent = {}; // A part of nothing that is here is a device of its own.
    spec.id = ids[spec.uuid] = id_for(spec);
    for (auto* member : {&spec.stages.prefill, &spec.stages.decode})
      if (!member->empty() && member->value.find('/') == std::string::npos)
        *member = device_id(node_.value + "/" + member->value); // A device of this node.
    into.owners[spec.id] = one.by;
    one.by->status.devices.push_back(spec.id);
    std::find_if(into.claims.begin(), into.claims.end(),
                 [&](const auto& claim) { return claim.uuid == spec.uuid; })
        ->device
        = spec.id;
    into.devices.push_back(std::move(spec));
  }
  name_siblings(into.devices, ids);
  std::sort(into.devices.begin(), into.devices.end(),
            [](const auto& left, const auto& right) { return left.id < right.id; });
}

/// Plugins know siblings by uuid. A device whose tool lists parts of it is split for good: it is
/// there for its board's sake, and runs nothing itself.
void inventory::name_siblings(std::vector<device_spec>& devices,
                              const std::map<std::string, device_id>& ids) {
  std::set<device_id> split;
  for (auto& one : devices) {
    std::vector<device_id> named;
    for (const auto& sibling : one.exclusive_siblings)
      if (const auto known = ids.find(sibling.value); known != ids.end())
        named.push_back(known->second);
    one.exclusive_siblings = std::move(named);
    if (!one.parent.empty() && !one.attributes.contains("partition"))
      split.insert(one.parent);
  }
  for (auto& one : devices)
    if (split.contains(one.id)) {
      one.capability.formats.clear();
      one.capability.build_profiles.clear();
      one.capability.caches.clear();
      one.attributes["split"] = "its partitions run models";
    }
}

namespace {

bool runs_something(const device_capability& can) {
  return !can.formats.empty() || !can.build_profiles.empty();
}

/// What several engines run on one device: the first that runs anything says how.
void join(device_capability& all, const device_capability& more) {
  if (!runs_something(all)) {
    all = more;
    return;
  }
  const auto append = [](auto& list, const auto& from) {
    for (const auto& one : from)
      if (std::find(list.begin(), list.end(), one) == list.end())
        list.push_back(one);
  };
  auto rules = more.memory_rules;
  for (auto& rule : rules) // What was there before runs what both run.
    std::erase_if(rule.formats, [&all](const std::string& format) {
      return std::find(all.formats.begin(), all.formats.end(), format) != all.formats.end();
    });
  append(all.memory_rules, rules);
  append(all.formats, more.formats);
  append(all.build_profiles, more.build_profiles);
  append(all.adapter_formats, more.adapter_formats);
  append(all.caches, more.caches);
  all.adapters_max = std::max(all.adapters_max, more.adapters_max);
  append(all.dtypes, more.dtypes);
  append(all.optimized_for, more.optimized_for);
  all.runtime.refuses &= more.runtime.refuses; // What one of them answers is answered there.
  all.load_limit_us = std::max(all.load_limit_us, more.load_limit_us);
}

} // namespace

/// Engines in order of priority, then name, behind the device's own plugin.
void inventory::host_engines(tables& into) {
  std::vector<entry_ref> engines;
  for (const auto& one : entries_)
    if (one->status.metadata.engine && one->status.available)
      engines.push_back(one);
  std::stable_sort(engines.begin(), engines.end(), [](const auto& left, const auto& right) {
    return left->status.metadata.priority > right->status.metadata.priority;
  });
  for (auto& device : into.devices) {
    auto& guests = into.guests[device.id];
    guests.push_back({into.owners.at(device.id), device.capability});
    for (const auto& engine : engines) {
      if (device.attributes.contains("split"))
        continue;
      const std::scoped_lock lock(engine->calls);
      auto adds = engine->owned->adds_to(device);
      if (!adds)
        continue;
      join(device.capability, *adds);
      engine->status.hosts.push_back(device.id);
      if (adds->build_profiles.empty() && engine->status.fault)
        device.attributes.emplace(
            core::no_compiler_attribute,
            messages::repaired(engine->status.fault->message, limits::plugin_reason_bytes_max));
      guests.push_back({engine, *std::move(adds)});
    }
  }
  // What they build for may be the devices' to say.
  for (const auto& engine : engines)
    if (!engine->status.hosts.empty()) {
      const std::scoped_lock lock(engine->calls);
      engine->toolchains = engine->owned->toolchains();
    }
}

// --- what the outside asks ---

std::vector<device_spec> inventory::devices() const {
  const std::lock_guard lock(mutex_);
  return seen_.devices;
}

std::vector<build_profile> inventory::toolchains() const {
  const std::lock_guard lock(mutex_);
  std::vector<build_profile> profiles;
  for (const auto& [profile, by] : seen_.toolchains)
    profiles.push_back(profile);
  return profiles;
}

std::string inventory::compiler_files() const {
  const std::lock_guard lock(mutex_);
  return seen_.compiler_files;
}

std::vector<plugin_status> inventory::plugins() const {
  const std::lock_guard lock(mutex_);
  return seen_.statuses;
}

std::vector<device_claim> inventory::claims() const {
  const std::lock_guard lock(mutex_);
  return seen_.claims;
}

std::optional<device_spec> inventory::find(const device_id& device) const {
  const std::lock_guard lock(mutex_);
  for (const auto& one : seen_.devices)
    if (one.id == device)
      return one;
  return std::nullopt;
}

/// Of a device that its plugin's telemetry says nothing about. One that it used to name is in no
/// state to work; of one that it never named nothing is known, which is no fault of the device.
device_reading inventory::unread(entry& by, const device_spec& device) {
  device_reading reading;
  const auto why = by.owned->unread(device);
  if (by.read.contains(device.uuid)) {
    reading.health = device_health::unhealthy;
    reading.health_reason = "was read before, and now " + why;
  } else {
    reading.health_reason = "its readings are unknown: " + why;
  }
  return reading;
}

result<std::map<device_id, device_reading>> inventory::read(const std::string& plugin) {
  std::vector<device_spec> devices;
  entry_ref one;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& device : seen_.devices)
      if (device.plugin == plugin) {
        devices.push_back(device);
        one = seen_.owners.at(device.id);
      }
  }
  if (one == nullptr) // Read anew meanwhile: another plugin has them, or nobody.
    return std::map<device_id, device_reading>{};
  const std::scoped_lock lock(one->calls);
  const auto readings = one->owned->read();
  if (!readings)
    return readings.failure();
  std::map<device_id, device_reading> by_device;
  for (const auto& device : devices)
    if (const auto found = readings->find(device.uuid); found != readings->end()) {
      one->read.insert(device.uuid);
      by_device[device.id] = found->second;
    } else if (one->status.metadata.telemetry) {
      by_device[device.id] = unread(*one, device);
    }
  return by_device;
}

std::shared_ptr<runtime> inventory::runtime_of(const device_id& device, const std::string& format,
                                               const std::string& profile) {
  std::vector<guest> guests;
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = seen_.guests.find(device); found != seen_.guests.end())
      guests = found->second;
  }
  const auto fits = [&](const device_capability& runs) {
    const auto& built = runs.build_profiles;
    return !profile.empty()
               ? std::any_of(built.begin(), built.end(),
                             [&](const auto& one) { return one.profile.name == profile; })
               : format.empty() || core::runs_format(runs.formats, format);
  };
  const auto brings = [](const entry_ref& by) -> std::shared_ptr<runtime> {
    const std::scoped_lock lock(by->calls);
    auto* const brought = by->owned->device_runtime();
    return brought == nullptr ? nullptr : std::shared_ptr<runtime>(by, brought);
  };
  for (const auto& [by, runs] : guests)
    if (fits(runs))
      if (auto found = brings(by))
        return found;
  // What nobody claims is its own plugin's to refuse.
  return guests.empty() ? nullptr : brings(guests.front().by);
}

std::unique_ptr<running_compile>
inventory::compile(const compile_request& wanted, std::function<void(std::uint32_t)> progress,
                   std::function<void(result<compile_outcome>)> finished) {
  entry_ref one;
  {
    const std::lock_guard lock(mutex_);
    const auto found
        = std::find_if(seen_.toolchains.begin(), seen_.toolchains.end(),
                       [&](const auto& tool) { return tool.first == wanted.key.profile; });
    one = found == seen_.toolchains.end() ? nullptr : found->second;
  }
  if (one == nullptr) {
    finished(error{recovery::retry_elsewhere, "no_compiler",
                   "no compiler for profile " + wanted.key.profile.name + " on this node"});
    return std::make_unique<running_compile>();
  }
  const std::scoped_lock lock(one->calls);
  return std::make_unique<owned_compile>(
      one, one->owned->compile(wanted, std::move(progress), std::move(finished)));
}

} // namespace consort::node
