// SPDX-License-Identifier: Apache-2.0
#include "node/server_cache.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <filesystem>

namespace consort::node {

namespace {

namespace fs = std::filesystem;

struct cache_contents {
  std::uint64_t bytes = 0;
  std::size_t files = 0;
  std::string listing; ///< Names and sizes, in order.
};

result<cache_contents> look_into(const std::string& folder) {
  cache_contents seen;
  std::vector<std::string> lines;
  std::error_code failed;
  for (fs::recursive_directory_iterator at(folder, failed), end; at != end && !failed;
       at.increment(failed)) {
    std::error_code gone; // A file that the server has just removed.
    if (!at->is_regular_file(gone) || at->is_symlink(gone))
      continue;
    const auto size = at->file_size(gone);
    if (gone)
      continue;
    seen.bytes += size;
    if (++seen.files > limits::server_cache_files_max)
      return error{recovery::refuse, "cache_too_large",
                   folder + ": more than " + std::to_string(limits::server_cache_files_max)
                       + " files"};
    lines.push_back(at->path().lexically_relative(folder).string() + " " + std::to_string(size)
                    + "\n");
  }
  if (failed)
    return error{recovery::retry_later, "cache_unreadable", folder + ": " + failed.message()};
  std::sort(lines.begin(), lines.end());
  for (const auto& line : lines)
    seen.listing += line;
  return seen;
}

} // namespace

result<std::shared_ptr<server_cache>> server_cache::make(artifact_store& store, cache_order order) {
  auto folder = store.stage(order.stored ? order.stored->size_bytes : 0);
  if (!folder)
    return folder.failure();
  auto made = std::make_shared<server_cache>(store, std::move(order), std::move(*folder));
  made->fill();
  return made;
}

server_cache::server_cache(artifact_store& store, cache_order order, staging_folder folder)
    : store_(store), order_(std::move(order)), folder_(std::move(folder)) {}

void server_cache::fill() {
  std::error_code failed;
  fs::create_directories(path(), failed);
  if (!order_.stored)
    return;
  const auto from = store_.path_of(order_.stored->content);
  if (from)
    fs::copy(*from, path(), fs::copy_options::recursive | fs::copy_options::copy_symlinks, failed);
  if (!from || failed) {
    spdlog::warn("a server starts without what an earlier start compiled: {}",
                 from ? failed.message() : from.failure().message);
    fs::remove_all(path(), failed);
    fs::create_directories(path(), failed);
    return;
  }
  if (const auto seen = look_into(path()))
    began_as_ = seen->listing;
}

result<std::optional<artifact_record>> server_cache::keep() {
  if (!order_.key)
    return std::optional<artifact_record>();
  const auto seen = look_into(path());
  if (!seen)
    return seen.failure();
  if (seen->listing.empty() || seen->listing == began_as_)
    return std::optional<artifact_record>();
  if (seen->bytes > order_.bytes_max)
    return error{recovery::refuse, "cache_too_large",
                 "what the server compiled takes " + std::to_string(seen->bytes)
                     + " bytes, more than its plugin's limit of "
                     + std::to_string(order_.bytes_max)};
  auto copy = store_.stage(2 * seen->bytes); // The copy and its bundle.
  if (!copy)
    return copy.failure();
  std::error_code failed;
  fs::copy(path(), copy->output_path(),
           fs::copy_options::recursive | fs::copy_options::copy_symlinks, failed);
  if (failed)
    return error{recovery::retry_later, "cache_unreadable",
                 path() + " changes while it is read: " + failed.message()};
  auto record = store_.put(std::move(*copy), *order_.key, {}, 0);
  if (!record)
    return record.failure();
  forget_older(record->content);
  return std::optional(*std::move(record));
}

/// One that is in use stays until the store is collected.
void server_cache::forget_older(const digest& kept) {
  for (const auto& one : store_.list())
    if (one.key == *order_.key && one.content != kept && !store_.kept(one.content))
      static_cast<void>(store_.forget(one.content, one.key));
}

} // namespace consort::node
