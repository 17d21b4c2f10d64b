// SPDX-License-Identifier: Apache-2.0
#include "node/artifact_folder.hpp"

#include <unistd.h>

#include <atomic>
#include <filesystem>

namespace consort::node {

namespace {

namespace fs = std::filesystem;

bool has_content(const std::string& folder) {
  std::error_code failed;
  for (fs::recursive_directory_iterator at(folder, failed), end; at != end && !failed;
       at.increment(failed))
    if (at->is_regular_file(failed) && at->file_size(failed) > 0)
      return true;
  return false;
}

child_spec tar(std::vector<std::string> arguments) {
  child_spec spec;
  spec.argv = std::move(arguments);
  spec.argv.insert(spec.argv.begin(), "tar");
  spec.env["LC_ALL"] = "C"; // Names are sorted by it.
  spec.timeout_us = limits::pack_us_max;
  return spec;
}

std::string folder_beside(const std::string& payload) {
  return payload + ".d";
}

} // namespace

result<done> pack_folder(const std::string& folder, const std::string& file) {
  if (!has_content(folder))
    return error{recovery::refuse, "artifact_empty", folder + ": no file with content"};
  // Who built it, and when, is no part of what was built.
  const auto end = run_child(tar({"--create", "--dereference", "--sort=name", "--mtime=@0",
                                  "--owner=0", "--group=0", "--numeric-owner", "--mode=u=rwX,go=rX",
                                  "--format=gnu", "--file", file, "--directory", folder, "."}));
  if (!end)
    return end.failure();
  if (!end->ok())
    return error{recovery::retry_later, "artifact_pack",
                 folder + ": tar " + describe_exit(*end) + ": " + end->err.tail};
  return done{};
}

std::optional<std::string> unpacked_folder(const std::string& payload) {
  std::error_code failed;
  if (fs::is_directory(payload, failed))
    return payload;
  auto beside = folder_beside(payload);
  return fs::is_directory(beside, failed) ? std::optional(std::move(beside)) : std::nullopt;
}

result<unpacking> begin_unpack(const std::string& payload) {
  static std::atomic<std::uint64_t> begun{0};
  unpacking made;
  made.scratch
      = folder_beside(payload) + "." + std::to_string(::getpid()) + "." + std::to_string(++begun);
  std::error_code failed;
  const auto wanted = fs::file_size(payload, failed);
  const auto space = fs::space(fs::path(payload).parent_path(), failed);
  if (!failed && space.available < wanted + limits::disk_headroom_bytes)
    return error{recovery::retry_later, "disk_full",
                 payload + ": no room to unpack " + std::to_string(wanted) + " bytes"};
  fs::create_directories(made.scratch, failed);
  if (failed)
    return error{recovery::retry_later, "disk_error", made.scratch + ": " + failed.message()};
  made.tool = tar({"--extract", "--file", payload, "--directory", made.scratch, "--no-same-owner",
                   "--no-same-permissions"});
  return made;
}

result<std::string> end_unpack(const std::string& payload, const unpacking& under_way,
                               const child_exit& end) {
  const auto place = folder_beside(payload);
  std::error_code failed;
  if (end.ok())
    fs::rename(under_way.scratch, place, failed);
  if (!end.ok() || failed) {
    std::error_code ignored;
    fs::remove_all(under_way.scratch, ignored);
  }
  if (end.timed_out || end.signal != 0)
    return error{recovery::retry_later, "artifact_pack", payload + ": tar " + describe_exit(end)};
  if (!end.ok())
    return error{recovery::retry_later, "artifact_unfit",
                 payload + " is no packed folder: tar " + describe_exit(end) + ": " + end.err.tail};
  if (failed && !unpacked_folder(payload)) // Else another was faster.
    return error{recovery::retry_later, "disk_error", place + ": " + failed.message()};
  return place;
}

} // namespace consort::node
