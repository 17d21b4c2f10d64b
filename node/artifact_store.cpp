// SPDX-License-Identifier: Apache-2.0
#include "node/artifact_store.hpp"

#include "node/artifact_store_state.hpp"
#include "node/bundle.hpp"
#include "node/file_digest.hpp"
#include "node/small_file.hpp"
#include "node/staging_sweep.hpp"
#include "node/synced_file.hpp"
#include "scheduler/artifact_model.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <set>
#include <utility>

namespace consort::node {

namespace {

namespace fs = std::filesystem;

error not_here(const digest& content) {
  return artifact_missing(is_digest(content.value) ? content.value : "named so");
}

/// An output that is a folder becomes one file.
result<done> pack_output(const staging_folder& from) {
  std::error_code failed;
  if (!fs::is_directory(from.output_path(), failed))
    return done{};
  const auto folder = from.path() + "/folder";
  fs::rename(from.output_path(), folder, failed);
  return failed ? result<done>(file_error(folder, failed.value()))
                : pack_folder(folder, from.output_path());
}

} // namespace

staging_folder::staging_folder(staging_folder&& other) noexcept
    : path_(std::exchange(other.path_, {})) {}

staging_folder::~staging_folder() {
  std::error_code ignored;
  if (!path_.empty())
    fs::remove_all(path_, ignored);
}

artifact_store::artifact_store(std::unique_ptr<state> opened) : state_(std::move(opened)) {}
artifact_store::~artifact_store() = default;

result<std::unique_ptr<artifact_store>>
artifact_store::open(const std::string& data_path, node_id node, std::size_t artifacts_max) {
  auto opened = std::make_unique<state>();
  opened->root = data_path;
  opened->node = std::move(node);
  opened->artifacts_max = artifacts_max;
  std::error_code failed;
  for (const auto* name : {"/artifacts", "/staging"}) {
    fs::create_directories(data_path + name, failed);
    if (failed)
      return error{recovery::refuse, "disk_error", data_path + name + ": " + failed.message()};
  }
  const auto lock_path = data_path + "/artifacts.lock";
  opened->opened_lock = unique_fd(::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (opened->opened_lock.get() < 0)
    return file_error(lock_path, errno);
  if (::flock(opened->opened_lock.get(), LOCK_SH | LOCK_NB) != 0)
    return error{recovery::retry_later, "store_busy",
                 data_path + ": its artifacts are being collected; try again when that is done"};
  sweep_staging(data_path + "/staging", ::getpid());
  opened->scan();
  return std::unique_ptr<artifact_store>(new artifact_store(std::move(opened)));
}

std::vector<error> artifact_store::complaints() {
  const std::scoped_lock lock(state_->guard);
  return std::exchange(state_->complaints, {});
}

std::vector<artifact_record> artifact_store::list() const {
  const std::scoped_lock lock(state_->guard);
  std::vector<artifact_record> all;
  for (const auto& [content, one] : state_->entries)
    for (const auto& made : one.made)
      all.push_back(made.record);
  return all;
}

std::optional<artifact_record> artifact_store::find(const artifact_key& key) const {
  const std::scoped_lock lock(state_->guard);
  const auto chosen = state_->choose(key);
  if (chosen.made == nullptr)
    return std::nullopt;
  auto record = chosen.made->record;
  record.key = key; // Of another compiler's version when that one is preferred.
  record.held = chosen.preferred || state_->marked(record.content, "kept");
  if (const auto& newest = chosen.newest->record; record.content != newest.content) {
    record.own = newest.content;
    record.quality = newest.quality; // People see the newest: one row is not to mix the two.
    record.quality[artifact_own_bytes] = std::to_string(newest.size_bytes);
  }
  return record;
}

std::vector<artifact_record> artifact_store::current() const {
  std::set<artifact_key> keys;
  for (const auto& one : list())
    keys.insert(one.key);
  std::vector<artifact_record> all;
  for (const auto& key : keys)
    if (auto record = find(key))
      all.push_back(*std::move(record));
  return all;
}

std::uint64_t artifact_store::free_bytes() const {
  std::error_code failed;
  const auto space = fs::space(state_->root, failed);
  const auto free = failed ? 0 : space.available;
  return free > limits::disk_headroom_bytes ? free - limits::disk_headroom_bytes : 0;
}

result<staging_folder> artifact_store::stage(std::uint64_t size_bytes) {
  const auto free = free_bytes();
  if (size_bytes > free || free == 0)
    return error{recovery::retry_later, "disk_full",
                 "no room in " + state_->root + ": " + std::to_string(size_bytes)
                     + " bytes wanted, " + std::to_string(free)
                     + " are free beyond the headroom of "
                     + std::to_string(limits::disk_headroom_bytes >> 20U) + " MiB"};
  // A process that was killed may have been there still when this one began.
  sweep_staging(state_->root + "/staging", 0);
  const std::scoped_lock lock(state_->guard);
  staging_folder folder(state_->staging());
  std::error_code failed;
  fs::create_directories(folder.work_path(), failed);
  if (failed)
    return file_error(folder.path(), failed.value());
  return folder;
}

result<artifact_record> artifact_store::put(staging_folder from, const artifact_key& key,
                                            std::map<std::string, std::string> quality,
                                            duration_us build_us, const std::atomic<bool>* stop) {
  if (auto packed = pack_output(from); !packed)
    return packed.failure();
  const auto stamp = stamp_file(from.output_path());
  if (!stamp)
    return error{recovery::refuse, "artifact_missing", stamp.failure().message};
  if (stamp->size_bytes == 0)
    return error{recovery::refuse, "artifact_empty", from.output_path() + ": empty"};
  const auto content = hash_file(from.output_path(), stop);
  if (!content)
    return content.failure();
  artifact_manifest made;
  made.record = {key, *content, state_->node, stamp->size_bytes, build_us, std::move(quality)};
  made.created_s = unix_now_s();
  return state_->store(from, {std::move(made)});
}

result<artifact_record> artifact_store::put_copy(staging_folder from,
                                                 const artifact_record& expected,
                                                 const std::optional<digest>& hashed) {
  return put_copy(std::move(from), std::vector{expected}, hashed);
}

result<artifact_record> artifact_store::put_copy(staging_folder from,
                                                 const std::vector<artifact_record>& expected,
                                                 const std::optional<digest>& hashed) {
  const auto stamp = stamp_file(from.output_path());
  if (!stamp)
    return error{recovery::refuse, "artifact_missing", stamp.failure().message};
  const auto content = hashed ? result<digest>(*hashed) : hash_file(from.output_path());
  if (!content)
    return content.failure();
  artifact_manifests made;
  for (const auto& one : expected) {
    if (*content != one.content)
      return error{recovery::retry_elsewhere, "artifact_corrupt",
                   "the copy of artifact " + one.content.value + " has content " + content->value};
    auto& added = made.emplace_back(artifact_manifest{one, unix_now_s()});
    added.record.node = state_->node;
    added.record.size_bytes = stamp->size_bytes;
  }
  return state_->store(from, std::move(made));
}

result<held_artifact> artifact_store::hold(const digest& content) {
  const std::scoped_lock lock(state_->guard);
  const auto found = state_->entries.find(content);
  if (found == state_->entries.end())
    return not_here(content);
  found->second.used_s = unix_now_s();
  return held_artifact{found->second.made.front().record, state_->folder(content) + "/payload",
                       found->second.pin};
}

result<std::string> artifact_store::path_of(const digest& content) {
  // Also keeps names from outside off the disk: only digests become paths.
  if (!is_digest(content.value))
    return not_here(content);
  auto path = state_->verify(content);
  if (!path || !is_bundle(*path))
    return path;
  const auto tree = state_->folder(content) + "/tree";
  const std::scoped_lock lock(unpacking_);
  if (std::error_code failed; !fs::is_directory(tree, failed))
    if (auto unpacked = unpack_bundle(*path, tree); !unpacked)
      return unpacked.failure();
  return tree;
}

result<std::string> artifact_store::path_of(const artifact_key& key) {
  const auto record = find(key);
  return record ? path_of(record->content) : artifact_missing("for profile " + key.profile.name);
}

artifact_pin artifact_store::pin(const digest& content) {
  const std::scoped_lock lock(state_->guard);
  const auto found = state_->entries.find(content);
  return found == state_->entries.end() ? nullptr : found->second.pin;
}

result<done> artifact_store::remove(const digest& content) {
  const std::scoped_lock lock(state_->guard);
  const auto found = state_->entries.find(content);
  if (found == state_->entries.end())
    return not_here(content);
  if (found->second.pin.use_count() > 1)
    return error{recovery::retry_later, "artifact_pinned", content.value + " is in use"};
  state_->drop(state_->folder(content));
  state_->entries.erase(found);
  return done{};
}

result<done> artifact_store::forget(const digest& content, const artifact_key& key) {
  {
    const std::scoped_lock lock(state_->guard);
    const auto found = state_->entries.find(content);
    if (found == state_->entries.end())
      return not_here(content);
    auto rest = found->second.made;
    if (std::erase_if(rest, [&](const auto& made) { return made.record.key == key; }) == 0)
      return artifact_missing("for profile " + key.profile.name);
    if (!rest.empty())
      return state_->leave(content, std::move(rest));
  }
  return remove(content);
}

namespace {

struct collection_candidate {
  std::int64_t used_s = 0;
  artifact_record record;
  std::size_t newer = 0; ///< In the line of which it is among the newest.
};

/// Built of one model for one profile and target, whatever the compiler's version.
bool same_line(const artifact_key& one, const artifact_key& other) {
  return one.binds == other.binds && one.profile.name == other.profile.name
         && one.profile.target == other.profile.target;
}

} // namespace

/// How many contents of the line of `made` are newer than `content`.
std::size_t artifact_store::state::newer_in_line(const digest& content,
                                                 const artifact_manifest& made) const {
  const auto is_newer = [&](const artifact_manifest& one) {
    return same_line(one.record.key, made.record.key)
           && std::pair(one.created_s, one.record.content) > std::pair(made.created_s, content);
  };
  std::size_t newer = 0;
  for (const auto& [other, beside] : entries)
    newer += other != content && std::any_of(beside.made.begin(), beside.made.end(), is_newer);
  return newer;
}

std::vector<artifact_record> artifact_store::collectable(const collection_rule& rule) const {
  std::vector<collection_candidate> oldest_first;
  std::uint64_t total = 0;
  {
    const std::scoped_lock lock(state_->guard);
    for (const auto& [content, one] : state_->entries) {
      const auto& first = one.made.front();
      total += first.record.size_bytes;
      if (one.pin.use_count() > 1)
        continue;
      auto& made = oldest_first.emplace_back(
          collection_candidate{one.used_s, first.record, state_->newer_in_line(content, first)});
      for (const auto& each : one.made) // It stays for as long as one of its keys wants it.
        made.newer = std::min(made.newer, state_->newer_in_line(content, each));
    }
  }
  std::stable_sort(oldest_first.begin(), oldest_first.end(),
                   [](const auto& left, const auto& right) { return left.used_s < right.used_s; });
  std::vector<artifact_record> chosen;
  const auto now_s = unix_now_s();
  for (auto& [used_s, record, newer] : oldest_first) {
    const bool too_old
        = rule.age_us_max > 0 && (now_s - used_s) >= rule.age_us_max / limits::second_us;
    const bool too_much = rule.size_bytes_max > 0 && total > rule.size_bytes_max;
    const bool too_many = rule.keep_last > 0 && newer >= rule.keep_last;
    if ((!too_old && !too_much && !too_many) || kept(record.content) || preferred(record.content))
      continue;
    total -= record.size_bytes;
    chosen.push_back(std::move(record));
  }
  return chosen;
}

std::vector<artifact_record> artifact_store::collect(const collection_rule& rule) {
  auto removed = collectable(rule);
  std::erase_if(removed, [&](const auto& record) { return !remove(record.content); });
  return removed;
}

void artifact_store::set_aside_unreadable() {
  const std::scoped_lock lock(state_->guard);
  const auto wanted = std::exchange(state_->unusable, {});
  const auto aside = state_->root + "/corrupt";
  std::error_code failed;
  if (!wanted.empty())
    fs::remove_all(aside, failed); // Of an earlier time.
  fs::create_directories(aside, failed);
  for (const auto& content : wanted) {
    // What somebody marked is theirs to look at where it is, and what is good now stays.
    if (kept(content) || preferred(content) || state_->entries.contains(content))
      continue;
    fs::rename(state_->folder(content), aside + "/" + content.value, failed);
    if (failed)
      continue;
    state_->complaints.push_back({recovery::refuse, "artifact_manifest",
                                  state_->folder(content)
                                      + ": without its manifest and all of its payload nobody can "
                                        "use it; it was set aside"});
  }
}

void artifact_store::rescan() {
  sweep_staging(state_->root + "/staging", 0);
  const std::scoped_lock lock(state_->guard);
  state_->scan();
}

bool artifact_store::alone() {
  return ::flock(state_->opened_lock.get(), LOCK_EX | LOCK_NB) == 0;
}

// --- beside the payload ---

result<done> artifact_store::mark_kept(const digest& content, bool wanted) {
  const auto held = hold(content);
  if (!held)
    return held.failure();
  const auto path = state_->folder(content) + "/kept";
  if (!wanted) {
    std::error_code failed;
    fs::remove(path, failed);
    return failed ? result<done>(file_error(path, failed.value())) : done{};
  }
  if (auto problem = write_synced(path, ""))
    return *problem;
  return done{};
}

bool artifact_store::kept(const digest& content) const {
  return state_->marked(content, "kept");
}

result<done> artifact_store::prefer(const digest& content) {
  const std::scoped_lock lock(state_->guard);
  const auto found = state_->entries.find(content);
  if (found == state_->entries.end())
    return not_here(content);
  const auto& made = found->second.made;
  for (const auto& one : made)
    state_->drop_preference(one.record.key);
  // Those of its keys are named that it has now: one that comes later is not gone back to.
  if (auto problem = replace_synced(state_->folder(content) + "/preferred", write_manifest(made)))
    return *problem;
  return done{};
}

bool artifact_store::preferred(const digest& content) const {
  return state_->marked(content, "preferred");
}

artifact_validation artifact_store::validation_of(const digest& content) const {
  return read_validation(state_->folder(content));
}

void artifact_store::note_load(const digest& content, const std::string& device,
                               duration_us load_us, const std::string& failure) {
  const std::scoped_lock lock(state_->guard);
  if (!state_->entries.contains(content))
    return;
  auto known = read_validation(state_->folder(content));
  if (failure.empty()) {
    known.loaded_s = unix_now_s();
    known.loaded_on = device;
    known.load_us = load_us;
  } else {
    known.failed_s = unix_now_s();
    known.failure = failure;
  }
  write_validation(state_->folder(content), known);
}

std::optional<std::string> artifact_store::log_of(const digest& content) const {
  return read_whole_file(state_->folder(content) + "/build.log");
}

void artifact_store::keep_log(const digest& content, const std::string& text) {
  std::ofstream file(state_->folder(content) + "/build.log", std::ios::binary);
  file << text;
}

std::string artifact_store::keep_failed_log(const std::string& name, const std::string& text) {
  const auto folder = fs::path(state_->root) / "logs";
  std::error_code failed;
  fs::create_directories(folder, failed);
  const auto path = folder / (name + ".log");
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  if (!file)
    return {};
  std::vector<std::pair<fs::file_time_type, fs::path>> all;
  for (const auto& one : fs::directory_iterator(folder, failed))
    all.emplace_back(fs::last_write_time(one.path(), failed), one.path());
  std::sort(all.begin(), all.end());
  for (std::size_t at = 0; at + limits::failed_logs_max < all.size(); ++at)
    fs::remove(all[at].second, failed);
  return path.string();
}

} // namespace consort::node
