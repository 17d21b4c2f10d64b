// SPDX-License-Identifier: Apache-2.0
#include "node/bundle.hpp"

#include "node/child_process.hpp"

#include <array>
#include <filesystem>
#include <fstream>
#include <string_view>

namespace consort::node {

namespace {

namespace fs = std::filesystem;

constexpr const char* bundle_mark = ".consort-bundle";

error bundle_error(const std::string& what, const std::string& why) {
  return {recovery::retry_later, "bundle_failed", what + ": " + why};
}

result<done> run_tar(std::vector<std::string> arguments, const std::string& what) {
  child_spec tar;
  tar.argv = std::move(arguments);
  tar.argv.insert(tar.argv.begin(), "tar");
  tar.env = {{"LC_ALL", "C"}};
  tar.timeout_us = limits::bundle_us_max;
  const auto ended = run_child(tar);
  if (!ended)
    return bundle_error(what, ended.failure().message);
  if (ended->ok())
    return done{};
  return bundle_error(what, ended->timed_out ? "tar took too long"
                                             : "tar: " + ended->err.tail.substr(0, 256));
}

} // namespace

result<done> pack_folder(const std::string& folder, const std::string& file) {
  std::error_code failed;
  if (!fs::is_directory(folder, failed) || fs::is_empty(folder, failed))
    return error{recovery::refuse, "bundle_empty", folder + ": a folder with nothing in it"};
  const auto mark = fs::path(folder) / bundle_mark;
  if (std::ofstream made(mark); !made)
    return bundle_error(folder, "cannot be written");
  fs::permissions(mark, fs::perms::owner_read | fs::perms::owner_write, failed);
  // Neither times, owners nor the order that a disk lists files in may change the digest.
  return run_tar({"--create", "--file", file, "--format=gnu", "--sort=name", "--mtime=@0",
                  "--owner=0", "--group=0", "--numeric-owner", "--mode=u=rwX,go=rX", "-C", folder,
                  bundle_mark, std::string("--exclude=./") + bundle_mark, "."},
                 folder);
}

bool is_bundle(const std::string& file) {
  std::array<char, 512> head{};
  std::ifstream(file, std::ios::binary).read(head.data(), head.size());
  const std::string_view name(head.data(), 100); // Ends with a zero only where it is shorter.
  return name.substr(0, name.find('\0')) == bundle_mark
         && std::string_view(head.data() + 257, 5) == "ustar";
}

result<done> unpack_bundle(const std::string& file, const std::string& folder) {
  const auto fresh = folder + ".new";
  std::error_code failed;
  fs::remove_all(fresh, failed);
  fs::create_directories(fresh, failed);
  if (failed)
    return bundle_error(fresh, failed.message());
  // tar refuses members with `..` and takes a leading / off.
  if (auto unpacked = run_tar({"--extract", "--file", file, "--no-same-owner", "-C", fresh}, file);
      !unpacked) {
    fs::remove_all(fresh, failed);
    return unpacked;
  }
  fs::remove_all(folder, failed);
  fs::rename(fresh, folder, failed);
  return failed ? result<done>(bundle_error(folder, failed.message())) : done{};
}

} // namespace consort::node
