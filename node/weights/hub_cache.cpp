// SPDX-License-Identifier: Apache-2.0
#include "node/weights/hub_cache.hpp"

#include "node/weights/adapter_folder.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>

namespace consort::node {

namespace {

namespace fs = std::filesystem;

error not_cached(const std::string& what) {
  return {recovery::retry_later, "weights_missing", "the cache of this host has no " + what};
}

std::string first_line(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  line.resize(std::min(line.find_first_of(" \r\t"), line.size()));
  return line;
}

/// All files below, as paths within it.
std::vector<std::string> files_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code failed;
  for (fs::recursive_directory_iterator at(folder, failed), end; at != end && !failed;
       at.increment(failed))
    if (std::error_code ignored; at->is_regular_file(ignored))
      names.push_back(at->path().lexically_relative(folder).string());
  std::sort(names.begin(), names.end());
  return names;
}

/// A link at `path`, whatever was there.
bool relink(const fs::path& target, const fs::path& path) {
  std::error_code failed;
  fs::create_directories(path.parent_path(), failed);
  const auto fresh = fs::path(path.string() + ".new");
  fs::remove(fresh, failed);
  fs::create_symlink(target, fresh, failed);
  if (!failed)
    fs::rename(fresh, path, failed);
  return !failed;
}

} // namespace

std::string hub_cache::repository(const weight_source& source) const {
  const auto slash = source.repository.find('/');
  return folder_ + "/models--" + source.repository.substr(0, slash) + "--"
         + source.repository.substr(slash + 1);
}

std::optional<hub_cache::snapshot> hub_cache::snapshot_of(const weight_source& source) const {
  if (folder_.empty())
    return std::nullopt;
  const fs::path root = repository(source);
  auto commit = source.revision;
  if (!is_commit(commit))
    commit = first_line(root / "refs" / source.revision);
  const auto path = root / "snapshots" / commit;
  std::error_code failed;
  if (!is_commit(commit) || !fs::is_directory(path, failed))
    return std::nullopt;
  return snapshot{commit, path.string()};
}

result<hub_cache::found_file> hub_cache::find(const weight_source& source) const {
  const auto there = snapshot_of(source);
  if (!there)
    return not_cached(source.text() + (folder_.empty() ? ": it has no cache" : ""));
  found_file out{source, {}};
  out.source.revision = there->commit;
  if (source.file.empty()) {
    auto only = only_weights(files_in(there->path), "hf:" + source.repository);
    if (!only)
      return only.failure();
    out.source.file = *std::move(only);
  }
  out.path = there->path + "/" + out.source.file;
  std::error_code failed;
  if (!fs::is_regular_file(out.path, failed))
    return not_cached(source.text());
  return out;
}

result<hub_cache::found_folder> hub_cache::find_folder(const weight_source& source) const {
  const auto there = snapshot_of(source);
  if (!there)
    return not_cached(source.text());
  auto folder = names_adapter_folder(source.file) ? adapter_folder_of(source.file)
                : source.file.empty()             ? std::string()
                                                  : source.file + "/";
  const auto names = adapter_files(files_in(there->path), folder, "hf:" + source.repository);
  if (!names)
    return names.failure();
  found_folder out{source, {}};
  out.source.revision = there->commit;
  out.source.file = folder + std::string(adapter_settings_file);
  for (const auto& name : *names)
    out.files.emplace(name, there->path + "/" + folder + name);
  return out;
}

std::optional<std::string> hub_cache::blob(const weight_source& source,
                                           const digest& content) const {
  if (folder_.empty())
    return std::nullopt;
  const auto path = repository(source) + "/blobs/" + content.value;
  std::error_code failed;
  if (fs::is_regular_file(path, failed))
    return path;
  // Where no links can be made, or a cache was copied with what they led to, the snapshot has it.
  const auto named = find(source);
  return named ? std::optional(named->path) : std::nullopt;
}

bool hub_cache::keep(const weight_source& source, const digest& content,
                     const std::string& path) const {
  if (folder_.empty() || !is_commit(source.revision) || source.file.empty())
    return false;
  const fs::path root = repository(source);
  const auto kept = root / "blobs" / content.value;
  std::error_code failed;
  fs::create_directories(kept.parent_path(), failed);
  if (!fs::exists(kept, failed))
    fs::create_hard_link(path, kept, failed);
  if (failed)
    return false;
  const auto link = root / "snapshots" / source.revision / source.file;
  return relink(kept.lexically_relative(link.parent_path()), link);
}

void hub_cache::keep_revision(const weight_source& asked, const std::string& commit) const {
  if (folder_.empty() || is_commit(asked.revision))
    return;
  const auto path = fs::path(repository(asked)) / "refs" / asked.revision;
  std::error_code failed;
  fs::create_directories(path.parent_path(), failed);
  const auto fresh = path.string() + ".new";
  if (std::ofstream file(fresh, std::ios::trunc); !(file << commit))
    return;
  fs::rename(fresh, path, failed);
}

} // namespace consort::node
