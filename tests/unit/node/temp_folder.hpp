// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A folder of one test's own, removed with all its content at the end of the test, and small
/// files and scripts in it.

#include "node/small_file.hpp"

#include <gtest/gtest.h>

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace consort::node::test {

class temp_folder {
public:
  temp_folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "consort-test-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~temp_folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  temp_folder(const temp_folder&) = delete;
  temp_folder& operator=(const temp_folder&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + "/" + name; }

  /// Writes a file, making its folders. Returns: its path.
  std::string write(const std::string& name, const std::string& content) const {
    const auto path = *this / name;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }
  /// Writes an executable `sh` script: a fake vendor tool.
  std::string script(const std::string& name, const std::string& body) const {
    const auto path = write(name, "#!/bin/sh\n" + body + "\n");
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
    return path;
  }

private:
  std::string path_;
};

/// What a file holds; nothing where there is none, or of a process that has just ended.
inline std::string read_file(const std::string& path) {
  return node::read_whole_file(path).value_or("");
}

} // namespace consort::node::test
