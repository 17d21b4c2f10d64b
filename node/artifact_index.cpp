// SPDX-License-Identifier: Apache-2.0
// The folder of an artifact store: what is in it, which of it stands for a key, and how an
// artifact gets in and out whole.
#include "node/artifact_store_state.hpp"
#include "node/small_file.hpp"
#include "node/synced_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <utility>

namespace consort::node {

namespace {

namespace fs = std::filesystem;

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

/// Of what is there at all: where that cannot be told, nothing is said against it.
bool payload_is_cut(const std::string& path, const result<file_stamp>& stamp,
                    std::uint64_t size_bytes) {
  std::error_code failed;
  const bool there = fs::exists(path, failed);
  return stamp ? stamp->size_bytes != size_bytes : !there && !failed;
}

file_stamp stamp_or_none(const std::string& path) {
  const auto stamp = stamp_file(path);
  return stamp ? *stamp : file_stamp{};
}

} // namespace

std::int64_t unix_now_s() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

error artifact_missing(const std::string& what) {
  return {recovery::retry_elsewhere, "artifact_missing", "no artifact " + what + " on this node"};
}

bool may_stand_for(const artifact_key& one, const artifact_key& other) {
  return one.kind != artifact_kind::cache && other_version(one, other);
}

bool artifact_store::state::marked(const digest& content, const char* mark) const {
  std::error_code failed;
  return fs::exists(folder(content) + "/" + mark, failed);
}

std::string artifact_store::state::staging() {
  return root + "/staging/" + std::to_string(::getpid()) + "/" + std::to_string(++staged);
}

std::size_t artifact_store::state::keys() const {
  std::size_t all = 0;
  for (const auto& [content, one] : entries)
    all += one.made.size();
  return all;
}

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
  const auto complain = [&](const std::string& why, const char* code = "artifact_manifest") {
    const auto words = root + "/artifacts/" + name + ": " + why + "; ignored";
    if (complained.insert(words).second)
      complaints.push_back({recovery::refuse, code, words});
  };
  if (!is_digest(name))
    return complain("not an artifact", "not_an_artifact");
  const digest content(name);
  const auto path = folder(content);
  const auto read = stamp_or_none(path + "/manifest.json");
  const auto known = entries.find(content);
  // Another process may have put the same content for a further key.
  if (known != entries.end() && known->second.read == read)
    return;
  auto made = load_manifest(path + "/manifest.json");
  const auto stamp = stamp_file(path + "/payload");
  const bool agree = made && stamp && made->front().record.content == content
                     && stamp->size_bytes == made->front().record.size_bytes;
  if (!agree && known != entries.end())
    return; // What it was is looked at before its next use.
  if (!made && made.failure().code == "manifest_unreadable")
    unusable.insert(content);
  if (!made)
    return complain("manifest.json: " + made.failure().message);
  if (!agree) {
    const auto& first = made->front().record;
    if (first.content != content || payload_is_cut(path + "/payload", stamp, first.size_bytes))
      unusable.insert(content);
    return complain("payload and manifest disagree");
  }
  const auto before = known == entries.end() ? 0 : known->second.made.size();
  if (keys() - before + made->size() > artifacts_max)
    return complain("more than " + std::to_string(artifacts_max) + " artifacts");
  auto& one = take_up(content, *std::move(made), read);
  for (const auto& each : one.made)
    one.used_s = std::max(one.used_s, each.created_s);
  one.used_s = std::min(std::max(one.used_s, last_touched_s(path + "/used")), unix_now_s());
}

artifact_store::state::entry& artifact_store::state::take_up(const digest& content,
                                                             artifact_manifests made,
                                                             const file_stamp& read) {
  auto& one = entries[content];
  one.made = std::move(made);
  for (auto& each : one.made)
    each.record.node = node;
  one.read = read;
  if (one.pin == nullptr)
    one.pin = std::make_shared<const digest>(content);
  return one;
}

void artifact_store::state::drop(const std::string& path) {
  const auto away = staging();
  std::error_code ignored;
  fs::create_directories(fs::path(away).parent_path(), ignored);
  fs::rename(path, away, ignored);
  fs::remove_all(ignored ? path : away, ignored);
}

void artifact_store::state::discard(const digest& content) {
  std::error_code ignored;
  fs::remove_all(root + "/corrupt", ignored);
  fs::create_directories(root + "/corrupt", ignored);
  fs::rename(folder(content), root + "/corrupt/" + content.value, ignored);
  fs::remove_all(folder(content), ignored);
  entries.erase(content);
}

result<std::string> artifact_store::state::verify(const digest& content) {
  const auto path = folder(content) + "/payload";
  const auto stamp = stamp_file(path);
  {
    const std::scoped_lock lock(guard);
    const auto found = entries.find(content);
    if (found == entries.end())
      return artifact_missing(content.value);
    found->second.used_s = unix_now_s();
    touch(folder(content) + "/used");
    if (stamp && found->second.verified == *stamp)
      return path;
  }
  const auto actual = hash_file(path);
  const std::scoped_lock lock(guard);
  const auto found = entries.find(content);
  if (found == entries.end())
    return artifact_missing(content.value);
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

// --- which one stands for a key ---

artifact_store::state::choice artifact_store::state::choose(const artifact_key& key) const {
  choice chosen;
  const artifact_manifest* preferred = nullptr;
  const artifact_manifest* instead = nullptr;
  for (const auto& [content, one] : entries)
    for (const auto& made : one.made) {
      const bool own = made.record.key == key;
      if (!own && !may_stand_for(made.record.key, key))
        continue;
      const auto wanted = preferred_keys(content, one);
      if (std::find(wanted.begin(), wanted.end(), made.record.key) != wanted.end())
        (own ? preferred : instead) = &made;
      if (own && (chosen.newest == nullptr || made.created_s > chosen.newest->created_s))
        chosen.newest = &made;
    }
  if (chosen.newest == nullptr)
    return chosen;
  const auto* const gone_back_to = preferred != nullptr ? preferred : instead;
  chosen.preferred = gone_back_to != nullptr;
  chosen.made = chosen.preferred ? gone_back_to : chosen.newest;
  return chosen;
}

std::vector<artifact_key> artifact_store::state::preferred_keys(const digest& content,
                                                                const entry& one) const {
  const auto text = read_whole_file(folder(content) + "/preferred");
  if (!text)
    return {};
  const auto of = read_manifest(*text);
  if (!of)
    return {one.made.front().record.key};
  std::vector<artifact_key> keys;
  for (const auto& made : *of)
    keys.push_back(made.record.key);
  return keys;
}

void artifact_store::state::drop_preference(const artifact_key& key) {
  const auto goes = [&](const artifact_key& one) { return one == key || may_stand_for(one, key); };
  for (const auto& [content, one] : entries) {
    const auto wanted = preferred_keys(content, one);
    if (std::none_of(wanted.begin(), wanted.end(), goes))
      continue;
    auto rest = one.made;
    std::erase_if(rest, [&](const auto& made) {
      const auto& its = made.record.key;
      return goes(its) || std::find(wanted.begin(), wanted.end(), its) == wanted.end();
    });
    mark_preferred(content, rest);
  }
}

void artifact_store::state::mark_preferred(const digest& content, const artifact_manifests& made) {
  const auto mark = folder(content) + "/preferred";
  std::error_code ignored;
  if (made.empty() || replace_synced(mark, write_manifest(made)))
    fs::remove(mark, ignored);
}

std::int64_t artifact_store::state::after_others(const artifact_manifest& fresh) const {
  const std::scoped_lock lock(guard);
  auto created_s = fresh.created_s;
  for (const auto& [content, one] : entries)
    for (const auto& made : one.made)
      if (made.record.key == fresh.record.key && content != fresh.record.content)
        created_s = std::max(created_s, made.created_s + 1);
  return created_s;
}

// --- how one gets in ---

result<artifact_record> artifact_store::state::store(const staging_folder& from,
                                                     artifact_manifests fresh) {
  const auto content = fresh.front().record.content;
  const auto asked = fresh.front().record.key;
  for (auto& one : fresh)
    one.created_s = after_others(one); // What is put later is the newer one, within a second too.
  ::chmod(from.output_path().c_str(), 0444);
  if (auto problem = sync_path(from.output_path()))
    return *problem;
  const std::scoped_lock lock(guard);
  // What the folder says, not what was read of it once: another process may have added to it.
  const auto there = load_manifest(folder(content) + "/manifest.json");
  const bool known = there && there->front().record.content == content;
  const auto found = entries.find(content);
  auto made = found == entries.end() ? artifact_manifests() : found->second.made;
  const auto before = made.size();
  if (known)
    made = *there;
  for (const auto& one : fresh)
    add_manifest(made, one);
  for (auto& one : made)
    one.record.size_bytes = fresh.front().record.size_bytes; // Whatever the folder said.
  if (made.size() > before && keys() - before + made.size() > artifacts_max)
    return error{recovery::retry_later, "store_full",
                 "more than " + std::to_string(artifacts_max) + " artifacts"};
  for (const auto& one : fresh)
    drop_preference(one.record.key);
  if (auto problem = known ? renew(from, content, made) : place(from, content, made))
    return *problem;
  auto& one = take_up(content, std::move(made), stamp_or_none(folder(content) + "/manifest.json"));
  one.used_s = unix_now_s();
  one.verified.reset();
  if (const auto stamp = stamp_file(folder(content) + "/payload"))
    one.verified = *stamp; // Hashed a moment ago, and only renamed since.
  note_hashed(content);
  return std::find_if(one.made.begin(), one.made.end(),
                      [&](const auto& each) { return each.record.key == asked; })
      ->record;
}

/// The same content again, for this or another key. Each step leaves an artifact that is whole, and
/// all that stands beside its payload.
std::optional<error> artifact_store::state::renew(const staging_folder& from, const digest& content,
                                                  const artifact_manifests& made) {
  const auto target = folder(content);
  // What is there may be damaged; this is not.
  if (std::rename(from.output_path().c_str(), (target + "/payload").c_str()) != 0)
    return file_error(target + "/payload", errno);
  if (auto problem = replace_synced(target + "/manifest.json", write_manifest(made)))
    return problem;
  return sync_path(target);
}

std::optional<error> artifact_store::state::place(const staging_folder& from, const digest& content,
                                                  const artifact_manifests& made) {
  const auto target = folder(content);
  const auto fresh = from.path() + "/artifact";
  std::error_code failed;
  if (fs::create_directory(fresh, failed); failed)
    return file_error(fresh, failed.value());
  if (std::rename(from.output_path().c_str(), (fresh + "/payload").c_str()) != 0)
    return file_error(fresh, errno);
  if (auto problem = write_synced(fresh + "/manifest.json", write_manifest(made)))
    return problem;
  // Where a manifest was lost, what stood beside it stays.
  for (const auto* beside : {"/kept", "/build.log", "/used", "/validation.json"})
    fs::copy_file(target + beside, fresh + beside, failed);
  fs::rename(target + "/tree", fresh + "/tree", failed); // Servers may run on it.
  if (auto problem = sync_path(fresh))
    return problem;
  drop(target);
  if (std::rename(fresh.c_str(), target.c_str()) != 0)
    return file_error(target, errno);
  return sync_path(root + "/artifacts");
}

result<done> artifact_store::state::leave(const digest& content, artifact_manifests made) {
  const auto path = folder(content) + "/manifest.json";
  const auto wanted = preferred_keys(content, entries.at(content));
  if (auto problem = replace_synced(path, write_manifest(made)))
    return *problem;
  if (!wanted.empty()) {
    auto rest = made;
    std::erase_if(rest, [&](const auto& one) {
      return std::find(wanted.begin(), wanted.end(), one.record.key) == wanted.end();
    });
    mark_preferred(content, rest);
  }
  take_up(content, std::move(made), stamp_or_none(path));
  return done{};
}

} // namespace consort::node
