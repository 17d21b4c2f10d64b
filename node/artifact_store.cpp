// SPDX-License-Identifier: Apache-2.0
#include "node/artifact_store.hpp"

#include "node/artifact_manifest.hpp"
#include "node/bundle.hpp"
#include "node/file_digest.hpp"
#include "node/process_group.hpp"
#include "node/small_file.hpp"
#include "node/staging_sweep.hpp"
#include "scheduler/artifact_model.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <set>

namespace consort::node {

namespace {

namespace fs = std::filesystem;

error disk_error(const std::string& path, int reason) {
  const bool full = reason == ENOSPC || reason == EDQUOT || reason == EFBIG;
  return {recovery::retry_later, full ? "disk_full" : "disk_error",
          path + ": " + std::strerror(reason)};
}

/// Flushes a file or folder to the disk.
std::optional<error> sync_path(const std::string& path) {
  const unique_fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0 || ::fsync(file.get()) != 0)
    return disk_error(path, errno);
  return std::nullopt;
}

std::optional<error> write_synced(const std::string& path, const std::string& text) {
  {
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    if (!(file << text) || !file.flush())
      return disk_error(path, ENOSPC);
  }
  return sync_path(path);
}

/// Marks the time of a use, for collections by processes to come; best effort.
void touch(const std::string& path) {
  const unique_fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  if (file.get() >= 0)
    static_cast<void>(::futimens(file.get(), nullptr));
}

std::int64_t last_touched_s(const std::string& path) {
  struct stat found {};
  return ::stat(path.c_str(), &found) == 0 ? static_cast<std::int64_t>(found.st_mtime) : 0;
}

std::int64_t unix_now_s() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

error missing(const std::string& what) {
  return {recovery::retry_elsewhere, "artifact_missing", "no artifact " + what + " on this node"};
}

/// An output that is a folder becomes one file.
result<done> pack_output(const staging_folder& from) {
  std::error_code failed;
  if (!fs::is_directory(from.output_path(), failed))
    return done{};
  const auto folder = from.path() + "/folder";
  fs::rename(from.output_path(), folder, failed);
  return failed ? result<done>(disk_error(folder, failed.value()))
                : pack_folder(folder, from.output_path());
}

/// Engines that may stand for each other when an operator says so: all but the compiler's version
/// is the same. What a server compiled is for that version alone.
bool may_stand_for(const artifact_key& one, const artifact_key& other) {
  return one.kind != artifact_kind::cache && other_version(one, other);
}

} // namespace

staging_folder::staging_folder(staging_folder&& other) noexcept
    : path_(std::exchange(other.path_, {})) {}

staging_folder::~staging_folder() {
  std::error_code ignored;
  if (!path_.empty())
    fs::remove_all(path_, ignored);
}

struct artifact_store::state {
  struct entry {
    artifact_record record;
    std::int64_t created_s = 0;
    std::int64_t used_s = 0;            ///< Last use, for collection.
    std::optional<file_stamp> verified; ///< Stamp under which the content was last hashed.
    artifact_pin pin;                   ///< Use count above 1 = pinned by others.
  };

  std::string root;
  node_id node;
  std::size_t artifacts_max = limits::artifacts_max;
  mutable std::mutex guard;
  std::map<digest, entry> entries;
  std::vector<error> complaints;
  std::set<std::string> complained; ///< Of what, so that each scan tells only what is new.
  std::set<digest> unreadable;      ///< Folders whose manifest says nothing, not even its version.
  std::uint64_t staged = 0;
  unique_fd opened_lock; ///< Shared by whoever has the store open.

  [[nodiscard]] std::string folder(const digest& content) const {
    return root + "/artifacts/" + content.value;
  }
  [[nodiscard]] bool marked(const digest& content, const char* mark) const {
    std::error_code failed;
    return fs::exists(folder(content) + "/" + mark, failed);
  }
  /// Of this process.
  [[nodiscard]] std::string staging() {
    return root + "/staging/" + std::to_string(::getpid()) + "/" + std::to_string(++staged);
  }
  void drop(const std::string& path);
  void scan();
  void scan_one(const std::string& name);
  result<std::string> verify(const digest& content);
  void note_hashed(const digest& content) const;
  [[nodiscard]] const entry* choose(const artifact_key& key, digest& newest_own) const;
  void drop_preference(const artifact_key& key);
  [[nodiscard]] std::int64_t after_others(const artifact_manifest& manifest) const;
  void discard(const digest& content);
  result<artifact_record> store(const staging_folder& from, artifact_manifest manifest);
};

void artifact_store::state::scan() {
  std::error_code failed;
  std::vector<std::string> names;
  for (fs::directory_iterator at(root + "/artifacts", failed), end; at != end && !failed;
       at.increment(failed))
    names.push_back(at->path().filename().string());
  std::sort(names.begin(), names.end());
  for (const auto& name : names)
    scan_one(name);
}

void artifact_store::state::scan_one(const std::string& name) {
  const auto complain = [&](const std::string& why) {
    const auto words = root + "/artifacts/" + name + ": " + why + "; ignored";
    if (complained.insert(words).second)
      complaints.push_back({recovery::refuse, "artifact_manifest", words});
  };
  if (!is_digest(name))
    return complain("not an artifact");
  if (entries.contains(digest(name)))
    return;
  if (entries.size() == artifacts_max)
    return complain("more than " + std::to_string(artifacts_max) + " artifacts");
  const auto path = folder(digest(name));
  const auto manifest = load_manifest(path + "/manifest.json");
  if (!manifest && manifest.failure().code == "manifest_unreadable")
    unreadable.insert(digest(name));
  if (!manifest)
    return complain("manifest.json: " + manifest.failure().message);
  const auto stamp = stamp_file(path + "/payload");
  if (manifest->record.content.value != name || !stamp
      || stamp->size_bytes != manifest->record.size_bytes)
    return complain("payload and manifest disagree");
  entry one;
  one.record = manifest->record;
  one.record.node = node;
  one.created_s = manifest->created_s;
  one.used_s
      = std::min(std::max(manifest->created_s, last_touched_s(path + "/used")), unix_now_s());
  one.pin = std::make_shared<const digest>(name);
  entries.emplace(digest(name), std::move(one));
}

/// Removes a folder so that no process that dies meanwhile leaves half of it.
void artifact_store::state::drop(const std::string& path) {
  const auto away = staging();
  std::error_code ignored;
  fs::create_directories(fs::path(away).parent_path(), ignored);
  fs::rename(path, away, ignored);
  fs::remove_all(ignored ? path : away, ignored);
}

/// Moves a bad artifact out of the way, for people to look at; only the latest is kept.
void artifact_store::state::discard(const digest& content) {
  std::error_code ignored;
  fs::remove_all(root + "/corrupt", ignored);
  fs::create_directories(root + "/corrupt", ignored);
  fs::rename(folder(content), root + "/corrupt/" + content.value, ignored);
  fs::remove_all(folder(content), ignored);
  entries.erase(content);
}

/// Hashes without the lock: a large artifact must not hold up the others.
result<std::string> artifact_store::state::verify(const digest& content) {
  const auto path = folder(content) + "/payload";
  const auto stamp = stamp_file(path);
  {
    const std::scoped_lock lock(guard);
    const auto found = entries.find(content);
    if (found == entries.end())
      return missing(content.value);
    found->second.used_s = unix_now_s();
    touch(folder(content) + "/used");
    if (stamp && found->second.verified == *stamp)
      return path;
  }
  const auto actual = hash_file(path);
  const std::scoped_lock lock(guard);
  const auto found = entries.find(content);
  if (found == entries.end())
    return missing(content.value);
  if (actual && *actual == content && stamp) {
    found->second.verified = *stamp;
    note_hashed(content);
    return path;
  }
  discard(content);
  return error{recovery::retry_later, "artifact_corrupt",
               "artifact " + content.value + " was corrupt (content is "
                   + (actual ? actual->value : "unreadable") + ") and was discarded"};
}

void artifact_store::state::note_hashed(const digest& content) const {
  auto known = read_validation(folder(content));
  known.hashed_s = unix_now_s();
  write_validation(folder(content), known);
}

/// Of several of one key the one that is preferred, else one that another version of the compiler
/// built and that is preferred, else the newest. Nothing stands for a key that has none of its own:
/// that one is to be built. `newest_own` is set to the newest of the key itself. Requires: the
/// lock.
const artifact_store::state::entry* artifact_store::state::choose(const artifact_key& key,
                                                                  digest& newest_own) const {
  const entry* newest = nullptr;
  const entry* preferred = nullptr;
  const entry* instead = nullptr;
  for (const auto& [content, one] : entries) {
    const bool own = one.record.key == key;
    if ((own || may_stand_for(one.record.key, key)) && marked(content, "preferred"))
      (own ? preferred : instead) = &one;
    if (own && (newest == nullptr || one.created_s > newest->created_s))
      newest = &one;
  }
  if (newest == nullptr)
    return nullptr;
  newest_own = newest->record.content;
  if (preferred != nullptr)
    return preferred;
  return instead != nullptr ? instead : newest;
}

/// What is put later is the newer one, also within a second.
std::int64_t artifact_store::state::after_others(const artifact_manifest& manifest) const {
  const std::scoped_lock lock(guard);
  auto created_s = manifest.created_s;
  for (const auto& [content, one] : entries)
    if (one.record.key == manifest.record.key && content != manifest.record.content)
      created_s = std::max(created_s, one.created_s + 1);
  return created_s;
}

/// Requires: the lock.
void artifact_store::state::drop_preference(const artifact_key& key) {
  std::error_code ignored;
  for (const auto& [content, one] : entries)
    if (one.record.key == key || may_stand_for(one.record.key, key))
      fs::remove(folder(content) + "/preferred", ignored);
}

result<artifact_record> artifact_store::state::store(const staging_folder& from,
                                                     artifact_manifest manifest) {
  const auto& content = manifest.record.content;
  const auto target = folder(content);
  manifest.created_s = after_others(manifest);
  const auto fresh = from.path() + "/artifact";
  std::error_code failed;
  if (fs::create_directory(fresh, failed); failed)
    return disk_error(fresh, failed.value());
  fs::rename(from.output_path(), fresh + "/payload", failed);
  if (failed)
    return disk_error(fresh, failed.value());
  ::chmod((fresh + "/payload").c_str(), 0444);
  for (auto problem :
       {sync_path(fresh + "/payload"),
        write_synced(fresh + "/manifest.json", write_manifest(manifest)), sync_path(fresh)})
    if (problem)
      return *problem;
  const std::scoped_lock lock(guard);
  if (entries.size() >= artifacts_max && !entries.contains(content))
    return error{recovery::retry_later, "store_full",
                 "more than " + std::to_string(artifacts_max) + " artifacts"};
  // The same content again: its new manifest counts, and what stood beside it stays.
  for (const auto* beside : {"/kept", "/build.log", "/used", "/validation.json"})
    fs::copy_file(target + beside, fresh + beside, failed);
  fs::rename(target + "/tree", fresh + "/tree", failed); // Servers may run on it.
  drop_preference(manifest.record.key);
  drop(target);
  if (std::rename(fresh.c_str(), target.c_str()) != 0)
    return disk_error(target, errno);
  if (auto problem = sync_path(root + "/artifacts"))
    return *problem;
  auto& one = entries[content];
  one.record = manifest.record;
  one.created_s = manifest.created_s;
  one.used_s = unix_now_s();
  one.verified.reset();
  if (const auto stamp = stamp_file(target + "/payload"))
    one.verified = *stamp; // Hashed a moment ago, and only renamed since.
  note_hashed(content);
  if (one.pin == nullptr)
    one.pin = std::make_shared<const digest>(content);
  return one.record;
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
    return disk_error(lock_path, errno);
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
    all.push_back(one.record);
  return all;
}

std::optional<artifact_record> artifact_store::find(const artifact_key& key) const {
  const std::scoped_lock lock(state_->guard);
  digest newest_own;
  const auto* chosen = state_->choose(key, newest_own);
  if (chosen == nullptr)
    return std::nullopt;
  auto record = chosen->record;
  record.key = key; // Of another compiler's version when that one is preferred.
  const auto& content = record.content;
  record.held = state_->marked(content, "kept") || state_->marked(content, "preferred");
  if (record.content != newest_own)
    record.own = newest_own;
  if (const auto own = state_->entries.find(newest_own);
      !record.own.empty() && own != state_->entries.end())
    record.quality[artifact_own_bytes] = std::to_string(own->second.record.size_bytes);
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
    return disk_error(folder.path(), failed.value());
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
  artifact_manifest manifest;
  manifest.record = {key, *content, state_->node, stamp->size_bytes, build_us, std::move(quality)};
  manifest.created_s = unix_now_s();
  return state_->store(from, std::move(manifest));
}

result<artifact_record> artifact_store::put_copy(staging_folder from,
                                                 const artifact_record& expected,
                                                 const std::optional<digest>& hashed) {
  const auto stamp = stamp_file(from.output_path());
  if (!stamp)
    return error{recovery::refuse, "artifact_missing", stamp.failure().message};
  const auto content = hashed ? result<digest>(*hashed) : hash_file(from.output_path());
  if (!content)
    return content.failure();
  if (*content != expected.content)
    return error{recovery::retry_elsewhere, "artifact_corrupt",
                 "the copy of artifact " + expected.content.value + " has content "
                     + content->value};
  artifact_manifest manifest;
  manifest.record = expected;
  manifest.record.node = state_->node;
  manifest.record.size_bytes = stamp->size_bytes;
  manifest.created_s = unix_now_s();
  return state_->store(from, std::move(manifest));
}

result<held_artifact> artifact_store::hold(const digest& content) {
  const std::scoped_lock lock(state_->guard);
  const auto found = state_->entries.find(content);
  if (found == state_->entries.end())
    return missing(is_digest(content.value) ? content.value : "named so");
  found->second.used_s = unix_now_s();
  return held_artifact{found->second.record, state_->folder(content) + "/payload",
                       found->second.pin};
}

result<std::string> artifact_store::path_of(const digest& content) {
  // Also keeps names from outside off the disk: only digests become paths.
  if (!is_digest(content.value))
    return missing("named so");
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
  return record ? path_of(record->content) : missing("for profile " + key.profile.name);
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
    return missing(is_digest(content.value) ? content.value : "named so");
  if (found->second.pin.use_count() > 1)
    return error{recovery::retry_later, "artifact_pinned", content.value + " is in use"};
  state_->drop(state_->folder(content));
  state_->entries.erase(found);
  return done{};
}

namespace {

struct collection_candidate {
  std::int64_t used_s = 0;
  artifact_record record;
  std::size_t newer = 0; ///< In its line.
};

/// Built of one model for one profile and target, whatever the compiler's version.
bool same_line(const artifact_key& one, const artifact_key& other) {
  return one.binds == other.binds && one.profile.name == other.profile.name
         && one.profile.target == other.profile.target;
}

} // namespace

std::vector<artifact_record> artifact_store::collectable(const collection_rule& rule) const {
  std::vector<collection_candidate> oldest_first;
  std::uint64_t total = 0;
  {
    const std::scoped_lock lock(state_->guard);
    for (const auto& [content, one] : state_->entries) {
      total += one.record.size_bytes;
      if (one.pin.use_count() > 1)
        continue;
      auto& made = oldest_first.emplace_back(collection_candidate{one.used_s, one.record, 0});
      for (const auto& [other, beside] : state_->entries)
        made.newer
            += same_line(one.record.key, beside.record.key)
                       && std::pair(beside.created_s, other) > std::pair(one.created_s, content)
                   ? 1
                   : 0;
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
  const auto wanted = std::exchange(state_->unreadable, {});
  const auto aside = state_->root + "/corrupt";
  std::error_code failed;
  if (!wanted.empty())
    fs::remove_all(aside, failed); // Of an earlier time.
  fs::create_directories(aside, failed);
  for (const auto& content : wanted) {
    // What somebody marked is theirs to look at where it is.
    if (kept(content) || preferred(content))
      continue;
    fs::rename(state_->folder(content), aside + "/" + content.value, failed);
    if (failed)
      continue;
    state_->complaints.push_back(
        {recovery::refuse, "artifact_manifest",
         state_->folder(content) + ": without its manifest nobody can use it; it was set aside"});
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
    return failed ? result<done>(disk_error(path, failed.value())) : done{};
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
    return missing(is_digest(content.value) ? content.value : "named so");
  state_->drop_preference(found->second.record.key);
  if (auto problem = write_synced(state_->folder(content) + "/preferred", ""))
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
